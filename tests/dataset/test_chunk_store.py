"""Specification of the life of a chunk: built, failed, killed, asked for again, refused."""

from __future__ import annotations

import datetime as dt
import errno
import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.dataset import chunk_store as c
from pipeline.dataset.parquet.layout import file_sha256
from pipeline.errors import MissingData, SchemaMismatch, StorageError, UsageError
from tests.dataset.builders import (
    HASH,
    KEY,
    SCHEMA,
    build,
    clock,
    documents,
    january,
    leftovers,
    order,
    rows,
)

FIRST, LAST = dt.date(2020, 1, 1), dt.date(2020, 3, 31)
OLD, NEW = rows(january(6)), rows(january(6, 7))


@pytest.fixture
def store(tmp_path: Path) -> c.ChunkStore:
    return c.ChunkStore(tmp_path, clock)


def why(store: c.ChunkStore, chunk_id: str = "2020Q1", **changes: object) -> str | None:
    asked = {"origin": "simulator", "first": FIRST, "last": LAST} | changes
    return store.why_not_complete(chunk_id, **asked)


def data(store: c.ChunkStore, chunk_id: str = "2020Q1") -> pa.Table:
    return pq.read_table(store.parquet_path(chunk_id))


def test_a_chunk_is_not_there_then_built_then_complete(store):
    """Not complete, build, complete, content; the three files agree."""
    assert why(store).endswith("does not exist")
    build(store, "2020Q1", NEW)
    assert why(store) is None
    assert data(store).equals(NEW)
    path = store.parquet_path("2020Q1")
    status, metadata = store.read_status("2020Q1"), store.metadata("2020Q1")
    assert status["state"] == "completed"
    assert (status["rows"], status["output_start"], status["output_end"]) == (
        4,
        "2020-01-06",
        "2020-01-07",
    )
    assert (status["covered_from"], status["covered_to"]) == ("2020-01-01", "2020-03-31")
    assert status["parquet_bytes"] == path.stat().st_size
    assert status["parquet_sha256"] == metadata["dataset_hash"] == file_sha256(path)
    assert status["schema_hash"].encode() == SCHEMA.metadata[b"g5.schema_hash"]
    assert status["inputs"] == {KEY: HASH}
    assert status["pid"] == os.getpid()
    assert metadata["build_id"] == status["build_id"]
    assert metadata["columns"] == SCHEMA.names
    assert metadata["dtypes"]["sector"] == "Categorical"
    assert metadata["null_rates"]["ret_prev_1d"] == 0.25
    assert metadata["sources"] == {"daily_bars": [{"key": KEY, "sha256": HASH}]}
    assert leftovers(store.folder) == []


def test_while_a_chunk_is_rebuilt_readers_see_the_old_one(store):
    """The status says building; the Parquet file is the old one until the new one is whole."""
    build(store, "2020Q1", OLD)
    with store.build(order()) as writer:
        writer.write(NEW)
        assert store.read_status("2020Q1")["state"] == "building"
        assert "unfinished build since 2024-06-03T08:00:00+00:00" in why(store)
        assert data(store).equals(OLD)
    assert data(store).equals(NEW)
    assert why(store) is None


def test_two_builds_of_the_same_rows_are_the_same_file_with_different_ids(store):
    """Bytes depend on rows alone; the build id says that it was built again."""
    build(store, "2020Q1", NEW)
    first = store.read_status("2020Q1")
    build(store, "2020Q1", NEW, run_id="run-2")
    second = store.read_status("2020Q1")
    assert first["parquet_sha256"] == second["parquet_sha256"]
    assert first["build_id"] != second["build_id"]


@pytest.mark.parametrize(
    ("error", "state", "hint"),
    [
        (RuntimeError("no such thing"), "failed", ""),
        (StorageError("no such thing", "look"), "failed", "look"),
        (
            SchemaMismatch("no such thing", ["missing column 'x' (Int8)"]),
            "failed_schema_mismatch",
            "",
        ),
    ],
)
def test_a_failed_build_is_recorded_and_keeps_the_old_data(store, error, state, hint):
    """Type, message and hint are on disk; the error goes on; the next build succeeds."""
    build(store, "2020Q1", OLD)

    def fail() -> None:
        with store.build(order()) as writer:
            writer.write(NEW)
            raise error

    with pytest.raises(type(error)):
        fail()
    status = store.read_status("2020Q1")
    assert status["state"] == state
    assert status["error"]["type"] == type(error).__name__
    assert status["error"]["message"].startswith("no such thing")
    assert status["error"]["hint"] == hint
    assert status["rows"] is None
    assert why(store).startswith(f"{state}: {type(error).__name__}: no such thing")
    assert data(store).equals(OLD)
    assert leftovers(store.folder) == []
    build(store, "2020Q1", NEW)
    assert why(store) is None


def test_rows_that_do_not_fit_the_schema_are_a_schema_mismatch(store):
    """The writer itself finds it, without help from the code that computes the rows."""
    with pytest.raises(SchemaMismatch):
        build(store, "2020Q1", OLD.drop_columns(["is_traded"]))
    assert store.read_status("2020Q1")["state"] == "failed_schema_mismatch"
    assert not store.parquet_path("2020Q1").exists()


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_an_interrupted_build_stays_unfinished(store, stop):
    """A signal is no failure of the chunk: building, not complete, the old data in place."""
    build(store, "2020Q1", OLD)

    def interrupt() -> None:
        with store.build(order()) as writer:
            writer.write(NEW)
            raise stop

    with pytest.raises(stop):
        interrupt()
    assert store.read_status("2020Q1")["state"] == "building"
    assert data(store).equals(OLD)
    assert leftovers(store.folder) == []


def test_a_full_disk_fails_the_chunk_and_keeps_the_old_data(store, monkeypatch):
    """The Parquet file cannot be forced to disk; the failure can still be told."""
    build(store, "2020Q1", OLD)
    calls = []
    fsync = os.fsync

    def full_at_third(handle: int) -> None:
        calls.append(handle)
        if len(calls) == 3:  # after the two of status ``building``
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", full_at_third)
    with pytest.raises(StorageError, match="No space left on device"):
        build(store, "2020Q1", NEW)
    status = store.read_status("2020Q1")
    assert status["state"] == "failed"
    assert "free some disk space" in status["error"]["hint"]
    assert data(store).equals(OLD)
    assert store.metadata("2020Q1")["rows"] == OLD.num_rows
    assert leftovers(store.folder) == []


def test_when_not_even_the_failure_can_be_written_the_first_error_is_raised(store, monkeypatch):
    """What went wrong first goes up, with a note; building is not complete either."""

    def refuse(_handle: int) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    def fail() -> None:
        with store.build(order()):
            monkeypatch.setattr(os, "fsync", refuse)
            raise RuntimeError("first")

    with pytest.raises(RuntimeError, match="first") as info:
        fail()
    assert "Read-only file system" in info.value.__notes__[0]
    assert store.read_status("2020Q1")["state"] == "building"


def test_killed_between_parquet_and_status_is_not_complete(store):
    """New data under status building, written by hand as a killed process leaves it."""
    build(store, "2020Q1", NEW)
    done = store.read_status("2020Q1")
    killed = done | {
        "state": "building",
        "finished_at": None,
        "rows": None,
        "parquet_bytes": None,
        "parquet_sha256": None,
    }
    store.status_path("2020Q1").write_text(json.dumps(killed))
    assert "unfinished build" in why(store)
    store.status_path("2020Q1").unlink()
    assert "does not exist" in why(store)


def test_killed_before_any_rename_leaves_the_temporary_file_aside(store):
    """A half-written file under its temporary name counts for nothing and harms nobody."""
    build(store, "2020Q1", OLD)
    half = store.parquet_path("2020Q1").with_name(f".ml_dataset.parquet.{'0' * 32}.tmp")
    half.write_bytes(b"PAR1")
    assert why(store) is None
    build(store, "2020Q1", NEW)
    assert data(store).equals(NEW)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b'{"chunk_id": "2020Q1", "sta', "cut off"),
        (b'{"name": "another program"}', "does not fit its schema"),
        (json.dumps(documents()["status"] | {"state": "running"}).encode(), "'running' is not one"),
        (json.dumps(documents()["status"] | {"chunk_id": "2020Q2"}).encode(), "belongs to chunk"),
    ],
)
def test_a_bad_status_is_not_complete_and_says_why(store, content, reason):
    """Empty, truncated, foreign, unknown state, copied from another chunk."""
    build(store, "2020Q1", OLD)
    store.status_path("2020Q1").write_bytes(content)
    assert store.status("2020Q1") is None
    assert reason in store.status_problem("2020Q1")
    assert reason in why(store)
    build(store, "2020Q1", OLD)
    assert store.status_problem("2020Q1") is None
    assert why(store) is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"first": dt.date(2019, 12, 31)}, "covers 2020-01-01 to 2020-03-31, asked 2019-12-31 to"),
        ({"last": dt.date(2020, 4, 1)}, "asked 2020-01-01 to 2020-04-01"),
        ({"origin": "api"}, "made from origin simulator, the run is api"),
        ({"first": dt.date(2020, 2, 1), "last": dt.date(2020, 2, 29)}, None),
    ],
)
def test_a_chunk_serves_only_a_run_of_its_origin_within_its_range(store, changes, reason):
    """So the running quarter grows by itself, and synthetic data never pass for real."""
    build(store, "2020Q1", OLD)
    found = why(store, **changes)
    assert found is None if reason is None else reason in found


@pytest.mark.parametrize("size", [None, 0, 100])
def test_a_parquet_file_of_another_size_is_not_the_recorded_one(store, size):
    """Removed, emptied or cut off."""
    build(store, "2020Q1", OLD)
    path = store.parquet_path("2020Q1")
    if size is None:
        path.unlink()
        assert why(store) == "the Parquet file is missing"
    else:
        os.truncate(path, size)
        assert f"the Parquet file has {size} bytes, recorded" in why(store)


def test_a_rebuild_request_is_answered_by_exactly_one_build(store):
    """Durable: it stands until a build begun after it has succeeded."""
    build(store, "2020Q1", OLD)
    build(store, "2020Q2", rows([dt.date(2020, 4, 1)]), covered_to=dt.date(2020, 6, 30))
    first = store.request_rebuild(["2020Q1"], "by hand")
    assert store.wanted("2020Q1") == first["2020Q1"]
    assert store.wanted("2020Q2") is None
    assert why(store) == "a rebuild was requested"
    assert data(store).equals(OLD)
    with pytest.raises(SchemaMismatch):
        build(store, "2020Q1", OLD.drop_columns(["sector"]))
    assert why(store).startswith("failed_schema_mismatch")
    build(store, "2020Q1", NEW)
    assert why(store) is None
    assert store.read_status("2020Q1")["rebuild"] == first["2020Q1"]
    second = store.request_rebuild(["2020Q1"], "again")
    assert second != first
    assert why(store) == "a rebuild was requested"


def test_a_request_made_during_a_build_is_not_answered_by_it(store):
    """The build may have read its inputs before: it is done once more."""
    with store.build(order()) as writer:
        writer.write(OLD)
        store.request_rebuild(["2020Q1"], "new data")
    assert why(store) == "a rebuild was requested"


def test_a_request_withdrawn_leaves_the_chunk_complete(store):
    """Without a request there is nothing to answer."""
    store.request_rebuild(["2020Q1"], "by hand")
    build(store, "2020Q1", OLD)
    store.rebuild_path("2020Q1").unlink()
    assert why(store) is None


@pytest.mark.parametrize("content", [b"", b"{", b'{"id": 1}', b"[]"])
def test_a_damaged_request_is_still_one_request(store, content):
    """Rather one build too many than one too few; then it is answered."""
    build(store, "2020Q1", OLD)
    store.rebuild_path("2020Q1").write_bytes(content)
    assert why(store) == "a rebuild was requested"
    build(store, "2020Q1", OLD)
    assert why(store) is None


def test_a_malformed_id_requests_nothing(store):
    """Checked before the first file is written; ids become paths."""
    with pytest.raises(UsageError, match=r"\.\./x"):
        store.request_rebuild(["2020Q1", "../x"], "by hand")
    assert not store.folder.exists()
    with pytest.raises(UsageError):
        build(store, "../x", OLD)
    assert not store.folder.exists()


def test_the_gate_withdraws_a_completed_chunk(store):
    """Its data stay; it is not complete until it is built again."""
    build(store, "2020Q1", OLD)
    before = store.read_status("2020Q1")
    store.mark_schema_mismatch("2020Q1", "missing column 'x' (Int8)")
    after = store.read_status("2020Q1")
    assert after["state"] == "failed_schema_mismatch"
    assert after["error"]["message"] == "missing column 'x' (Int8)"
    assert after["build_id"] == before["build_id"]
    assert why(store).startswith("failed_schema_mismatch: SchemaMismatch: missing column")
    assert data(store).equals(OLD)
    build(store, "2020Q1", OLD)
    assert why(store) is None


def test_the_gate_leaves_unfinished_chunks_alone(store):
    """Another process may be at work on one; a missing one is not invented."""
    store.mark_schema_mismatch("2020Q1", "x")
    assert not store.folder.exists()
    with store.build(order()) as writer:
        writer.write(OLD)
        store.mark_schema_mismatch("2020Q1", "x")
        assert store.read_status("2020Q1")["state"] == "building"


def test_chunks_are_listed_in_order_of_time_and_strays_passed_over(store):
    """Files, hidden folders and folders of other names are not chunks."""
    assert store.ids() == []
    for name in ("2020M11-2021M02", "2020Q1", "2019Q4", "notes", "2020Q5", "2020M01-03", ".git"):
        (store.folder / name).mkdir(parents=True)
    (store.folder / "2020Q2").write_bytes(b"")
    assert store.ids() == ["2019Q4", "2020Q1", "2020M11-2021M02"]


def test_a_chunks_folder_that_is_a_file_is_named(store):
    """Not an empty list: something is wrong."""
    store.folder.write_bytes(b"")
    with pytest.raises(StorageError, match="chunks: cannot be read: Not a directory"):
        store.ids()


def test_missing_metadata_are_missing_data(store):
    """The chunk's other files may be in order; the metadata are asked for by name."""
    with pytest.raises(MissingData, match=r"metadata\.json"):
        store.metadata("2020Q1")


def test_a_chunk_without_rows_can_be_complete(store):
    """A range whose sessions hold nobody of the universe is no failure."""
    build(store, "2020Q1")
    assert why(store) is None
    assert store.read_status("2020Q1")["output_start"] is None


def test_the_clock_of_real_life_gives_utc():
    """Seconds are enough, and the offset is stated."""
    assert c.utc_now().utcoffset() == dt.timedelta(0)
    assert c.utc_now().microsecond == 0
