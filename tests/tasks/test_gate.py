"""The gate in a run: what it looks at beyond the columns, what it marks and what it leaves alone."""

from __future__ import annotations

import datetime as dt
import io
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from tests.tasks.commands import EVERYTHING, ONE_PROCESS, Home, rewrite, sha
from tests.tasks.conftest import RANGE
from tests.tasks.test_steps import edit


@pytest.fixture(scope="module")
def built(built: Home) -> Home:
    """Tasks share the process of their run: here it matters what they do."""
    return built.having(**ONE_PROCESS)


def report(home: Home) -> dict[str, object]:
    return json.loads((home.root / "validation" / "schema_validation.json").read_text())


def test_a_build_from_the_simulator_has_no_warnings(built: Home) -> None:
    """Rows are those of the listing records, values finite and in their ranges."""
    told = report(built)
    assert told["passed"]
    assert not told["sha256_verified"]
    assert [chunk["warnings"] for chunk in told["chunks"]] == [[], []]
    for chunk in built.chunks.ids():
        assert built.chunks.metadata(chunk)["warnings"] == []


def test_a_changed_byte_shuts_the_gate_on_request(built: Home, tmp_path: Path) -> None:
    """A report that did not read the files is not enough then; the chunk is marked and named."""
    home = built.copy(tmp_path / "output", *EVERYTHING)
    path = home.chunks.parquet_path("2024Q2")
    content = bytearray(path.read_bytes())
    content[len(content) // 4] ^= 1  # amid the values of some feature
    rewrite(path, content)
    ended = home.run("ValidateSchema", "--verify-sha256")
    assert ended.code == 30
    line = ended.told[-1]
    assert "2024Q2" in line
    assert "sha256 differs" in line
    states = {chunk: status["state"] for chunk, status in home.statuses().items()}
    assert states == {"2024Q1": "completed", "2024Q2": "failed_schema_mismatch"}
    told = report(home)
    assert [chunk["passed"] for chunk in told["chunks"]] == [True, False]


def test_two_chunks_with_the_same_dates_shut_the_gate(built: Home, tmp_path: Path) -> None:
    """Both stay completed: neither is at fault alone, and rebuilding would mend nothing."""
    home = built.copy(tmp_path / "output", *EVERYTHING)
    folder = home.chunks.folder
    shutil.copytree(folder / "2024Q1", folder / "2024M03")
    for name in ("status.json", "metadata.json"):
        edit(folder / "2024M03" / name, chunk_id="2024M03")
    ended = home.run("MergeChunks")
    assert ended.code == 30
    line = ended.told[-1]
    assert "hold the same dates" in line
    assert "2024M03" in line
    assert "2024Q1" in line
    assert {status["state"] for status in home.statuses().values()} == {"completed"}
    assert home.dataset_sha() == built.dataset_sha()


def test_warnings_shut_the_gate_when_they_are_to(built: Home, tmp_path: Path) -> None:
    """Otherwise they stand in the report. Without a cache there is no calendar, which is said."""
    home = built.copy(tmp_path / "output", "chunks")
    edit(home.chunks.metadata_path("2024Q1"), warnings=["more nulls than before"])
    passed = home.run("ValidateSchema")
    assert passed.code == 0, passed.told
    assert any("no trading calendar in the cache" in line for line in passed.told)
    assert any("chunk 2024Q1: more nulls than before" in line for line in passed.told)
    assert report(home)["chunks"][0]["warnings"] == ["more nulls than before"]
    ended = home.run("MergeChunks", "--ValidateSchema-fail-on-warning", "true")
    assert ended.code == 30
    assert any("content count (1), first chunk 2024Q1" in line for line in ended.told)
    assert home.dataset() is None
    assert {status["state"] for status in home.statuses().values()} == {"completed"}


def test_every_row_has_its_listing_record(built: Home) -> None:
    """The number of rows counted by hand in the snapshot of the listing records."""
    status = built.chunks.read_status("2024Q2")
    rows = pq.read_table(built.chunks.parquet_path("2024Q2"), columns=["Date", "Code"])
    (key,) = (key for key in status["inputs"] if key.startswith("listed_raw_"))
    snapshot = json.loads((built.root / "cache" / "listed" / f"{key}.json").read_text())
    expected = set()
    for part in snapshot["parts"]:
        path = built.root / "cache" / "listed" / "parts" / part["file"]
        for record in pq.read_table(path).to_pylist():
            ordinary = record["Code"][4] == "0" and record["S33"] not in ("9999", None, "")
            if ordinary and record["Mkt"] in {"0111", "0112", "0113"}:
                expected.add((record["Date"], record["Code"]))
    found = {(row["Date"], row["Code"]) for row in rows.to_pylist()}
    days = {day for day, _ in found}
    assert found == {(day, code) for day, code in expected if day in days}


def without(home: Home, chunk: str, keep: Callable[[pa.Table], pa.Array]) -> pa.Table:
    """Take rows out of a chunk under the right names, and make its records fit; what is gone."""
    path = home.chunks.parquet_path(chunk)
    table = pq.read_table(path)
    kept = table.filter(keep(table))
    buffer = io.BytesIO()
    with pq.ParquetWriter(buffer, table.schema) as writer:
        months = pc.strftime(kept["Date"], "%Y-%m")
        for month in pc.unique(months):
            writer.write_table(kept.filter(pc.equal(months, month)))
    rewrite(path, buffer.getvalue())
    facts = {"rows": kept.num_rows, "parquet_bytes": path.stat().st_size}
    edit(home.chunks.status_path(chunk), parquet_sha256=sha(path), **facts)
    edit(home.chunks.metadata_path(chunk), dataset_hash=sha(path), rows=kept.num_rows)
    return table.filter(pc.invert(keep(table))).select(["Date", "Code"])


def test_whole_chunks_were_held_against_calendar_and_listing(built: Home) -> None:
    """With the snapshot the chunk was built from, and nothing left unchecked."""
    for chunk in report(built)["chunks"]:
        inputs = built.chunks.read_status(chunk["chunk_id"])["inputs"]
        held = chunk["coverage"]
        assert inputs[held["listing"]] == held["listing_sha256"]
        assert held["unchecked"] == {}


@pytest.mark.parametrize("how", ["MergeChunks", "merge-chunks"])
def test_a_hole_in_a_chunk_is_never_merged(built: Home, tmp_path: Path, how: str) -> None:
    """A stock that is gone on a day: chunk, session, counts and code; with or without Luigi."""
    home = built.copy(tmp_path / "output", *EVERYTHING)
    (home.root / "validation" / "schema_validation.json").unlink()
    first = pq.read_table(home.chunks.parquet_path("2024Q2"))["Code"][0].as_py()
    day = pa.scalar(dt.date(2024, 4, 3))
    gone = without(
        home,
        "2024Q2",
        lambda t: pc.or_(pc.not_equal(t["Date"], day), pc.not_equal(t["Code"], first)),
    )
    assert gone.num_rows == 1
    ended = home.run(how) if how == "MergeChunks" else home.g5(how)
    assert ended.code == 30
    line = ended.told[-1]
    assert "2024Q2: rows are not those of the listing records on 1 sessions: 2024-04-03" in line
    assert f"missing {first}" in line
    assert home.dataset_sha() == built.dataset_sha()
    if how == "MergeChunks":
        assert home.chunks.read_status("2024Q2")["state"] == "failed_schema_mismatch"
        assert "--refresh-listed" in line


def test_a_lost_session_shuts_the_gate(built: Home, tmp_path: Path) -> None:
    """Found by the calendar, of whatever the listing records say."""
    home = built.copy(tmp_path / "output", *EVERYTHING)
    (home.root / "validation" / "schema_validation.json").unlink()
    day = pa.scalar(dt.date(2024, 3, 12))
    without(home, "2024Q1", lambda t: pc.not_equal(t["Date"], day))
    ended = home.run("MergeChunks")
    assert ended.code == 30
    assert "1 sessions of 2024-03-01 to 2024-03-29 have no row: 2024-03-12" in ended.told[-1]


def test_without_a_cache_it_is_said_what_was_not_checked(built: Home, tmp_path: Path) -> None:
    """As a warning and in the report; the merge goes on."""
    home = built.copy(tmp_path / "output", "chunks")
    ended = home.run("ValidateSchema")
    assert ended.code == 0, ended.told
    (calendar, *listing) = [line for line in ended.told if "not checked: " in line]
    assert "sessions of 2024Q1, 2024Q2: no trading calendar in the cache" in calendar
    assert "is not in the cache, nor are other listing records" in listing[0]
    for chunk in report(home)["chunks"]:
        assert set(chunk["coverage"]["unchecked"]) == {"sessions", "rows"}
    assert "not checked: sessions" in "\n".join(home.g5("merge-chunks").told)


def change_listing(home: Home, change: Callable[[pa.Table], pa.Table]) -> None:
    """Other listing records of April in the cache, under the names that are there."""
    folder = home.root / "cache" / "listed"
    for note in sorted((folder / "parts").glob("2024-04*.json")):
        path = note.with_suffix(".parquet")
        buffer = io.BytesIO()
        pq.write_table(change(pq.read_table(path)), buffer)
        rewrite(path, buffer.getvalue())
        edit(note, bytes=path.stat().st_size)
        for snapshot in folder.glob("*.json"):
            parts = json.loads(snapshot.read_text())["parts"]
            for part in parts:
                if part["file"] == path.name:
                    part["bytes"] = path.stat().st_size
            edit(snapshot, parts=parts)


def with_texts(table: pa.Table, name: str, **texts: str) -> pa.Table:
    column = table[name].cast(pa.string()).to_pylist()
    at = table.schema.get_field_index(name)
    return table.set_column(at, name, pa.array([texts.get(f"_{t}", t) for t in column]))


def test_a_month_whose_markets_lost_their_padding_is_whole(built: Home, tmp_path: Path) -> None:
    """``111`` for ``0111`` after a spreadsheet: the very bytes of the undisturbed build."""
    home = built.copy(tmp_path / "output", *EVERYTHING)
    change_listing(home, lambda t: with_texts(t, "Mkt", _0111="111", _0112="112", _0113="113"))
    assert home.g5("rebuild", "2024Q2").code == 0
    ended = home.run("BuildAll", *RANGE)
    assert ended.code == 0, ended.told
    assert home.builds()["2024Q2"] != built.builds()["2024Q2"]
    path = home.chunks.parquet_path("2024Q2")
    assert sha(path) == sha(built.chunks.parquet_path("2024Q2"))


def test_a_month_of_an_unknown_market_ends_the_run(built: Home, tmp_path: Path) -> None:
    """By source, field, value, code and day; the dataset stays as it is."""
    home = built.copy(tmp_path / "output", *EVERYTHING)
    change_listing(home, lambda t: with_texts(t, "Mkt", _0112="0115"))
    assert home.g5("rebuild", "2024Q2").code == 0
    ended = home.run("BuildAll", *RANGE)
    assert ended.code == 30
    assert re.search(
        r"listed: Mkt '0115' of [0-9A-Z]{5} on 2024-04-\d\d and \d+ more rows", ended.told[-1]
    )
    assert home.dataset_sha() == built.dataset_sha()
