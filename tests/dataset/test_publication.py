"""Specification of the merge: the chunks one after the other, published in one step."""

from __future__ import annotations

import datetime as dt
import errno
import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import manifest as m
from pipeline.dataset import publication
from pipeline.dataset.chunk_store import ChunkStore
from pipeline.dataset.parquet.layout import Layout, RowGroupWriter, layout_of
from pipeline.dataset.publication import DatasetStore, copy_row_groups, metadata_path
from pipeline.errors import MissingData, SchemaMismatch, StorageError, UsageError
from tests.dataset.builders import COLUMNS, NOW, build, clock, january, leftovers, rows

JANUARY, FEBRUARY, APRIL = january(6, 7), [dt.date(2020, 2, 3)], [dt.date(2020, 4, 1)]
SPRING = {"covered_from": dt.date(2020, 4, 1), "covered_to": dt.date(2020, 6, 30)}


@pytest.fixture
def chunks(tmp_path: Path) -> ChunkStore:
    """Two quarters: January and February, and one session of April."""
    store = ChunkStore(tmp_path, clock)
    build(store, "2020Q1", rows(JANUARY), rows(FEBRUARY))
    build(store, "2020Q2", rows(APRIL), **SPRING)
    return store


@pytest.fixture
def store(tmp_path: Path) -> DatasetStore:
    return DatasetStore(tmp_path, clock)


def test_the_merged_dataset_is_the_chunks_one_after_the_other(store, chunks):
    """In order of time whatever the order asked; name, link and metadata are those agreed."""
    assert store.latest() is None
    made = store.merge(chunks, ["2020Q2", "2020Q1"])
    assert made.path.name == "ml_dataset_20200106_20200401_20240603T080000Z_full.parquet"
    expected = pa.concat_tables([rows(JANUARY), rows(FEBRUARY), rows(APRIL)])
    assert pq.read_table(store.latest_path).equals(expected)
    assert pq.ParquetFile(made.path).num_row_groups == 3
    assert store.latest_path.readlink() == Path("datasets", made.path.name)
    assert store.latest() == made
    beside = made.path.with_name(f"{made.path.stem}_metadata.json")
    assert beside.read_bytes() == store.latest_metadata_path.read_bytes()
    assert leftovers(store.root) == []


def test_the_metadata_sum_up_those_of_the_chunks(store, chunks):
    """Rows, range, null rates over all rows, and the builds merged."""
    made = store.merge(chunks, chunks.ids())
    seen = made.metadata
    assert (seen["rows"], seen["output_start"], seen["output_end"]) == (
        8,
        "2020-01-06",
        "2020-04-01",
    )
    table = pq.read_table(made.path)
    assert seen["null_rates"] == {
        name: table[name].null_count / table.num_rows for name in table.column_names
    }
    assert seen["origin"] == "simulator"
    assert seen["feature_schema_hash"] == m.schema_hash(COLUMNS)
    statuses = [chunks.read_status(chunk_id) for chunk_id in chunks.ids()]
    assert [c["build_id"] for c in seen["chunks"]] == [s["build_id"] for s in statuses]
    assert [c["parquet_sha256"] for c in seen["chunks"]] == [s["parquet_sha256"] for s in statuses]
    assert [len(entries) for entries in seen["sources"].values()] == [1]


def test_readers_of_the_old_dataset_are_not_disturbed(store, chunks):
    """Who has it open reads on; the link shows the new one."""
    store.merge(chunks, ["2020Q1"])
    with pq.ParquetFile(store.latest_path) as old:
        store.merge(chunks, ["2020Q1", "2020Q2"], keep=1)
        assert old.read().equals(pa.concat_tables([rows(JANUARY), rows(FEBRUARY)]))
    assert pq.read_metadata(store.latest_path).num_rows == 8


def test_two_merges_within_a_second_have_two_names(store, chunks):
    """A published file is never written over."""
    names = [store.merge(chunks, ["2020Q2"]).path.name]
    build(chunks, "2020Q2", rows(APRIL), **SPRING)
    names.append(store.merge(chunks, ["2020Q2"]).path.name)
    assert [name.split("_")[4] for name in names] == ["20240603T080000Z", "20240603T080001Z"]


def test_the_last_three_datasets_are_kept(tmp_path, chunks):
    """By time of the merge, not by name; with their metadata; foreign files stay."""
    times = iter(NOW + dt.timedelta(hours=hour // 2) for hour in range(20))
    store = DatasetStore(tmp_path, lambda: next(times))
    foreign = tmp_path / "datasets" / "notes.txt"
    foreign.parent.mkdir()
    foreign.write_bytes(b"")
    made = [store.merge(chunks, ids).path for ids in [["2020Q2"], ["2020Q1"]] * 2 + [["2020Q2"]]]
    expected = {path.name for path in made[-3:]} | {
        f"{path.stem}_metadata.json" for path in made[-3:]
    }
    assert {path.name for path in store.folder.iterdir()} == expected | {"notes.txt"}


def tree(root: Path) -> dict[Path, tuple[int, int]]:
    """Inode and time of change of everything below a folder."""
    stats = {path: path.lstat() for path in [root, *root.rglob("*")]}
    return {path: (stat.st_ino, stat.st_mtime_ns) for path, stat in stats.items()}


def test_the_same_builds_are_not_merged_twice(store, chunks):
    """Nothing is written, not even a folder's time of change."""
    made = store.merge(chunks, chunks.ids())
    before = tree(store.root)
    assert store.merge(chunks, chunks.ids()) == made
    assert tree(store.root) == before


@pytest.mark.parametrize("damage", ["footer", "cut", "metadata", "rebuilt"])
def test_what_is_not_as_it_was_is_merged_again(store, chunks, damage):
    """A dataset that somebody touched, or a chunk that was built anew."""
    made = store.merge(chunks, chunks.ids())
    if damage == "footer":
        content = bytearray(made.path.read_bytes())
        content[-20] ^= 1
        made.path.write_bytes(content)
    elif damage == "cut":
        os.truncate(made.path, 100)
    elif damage == "metadata":
        made.path.with_name(f"{made.path.stem}_metadata.json").unlink()
    else:
        build(chunks, "2020Q2", rows(APRIL), **SPRING)
    again = store.merge(chunks, chunks.ids())
    assert again.path != made.path
    assert store.latest() == again
    assert pq.read_table(again.path).num_rows == 8


@pytest.mark.parametrize("lost", ["link", "metadata", "stale"])
def test_a_merge_killed_between_the_latest_names_is_finished(store, chunks, lost):
    """The next merge writes the names and no dataset."""
    store.merge(chunks, ["2020Q1"])
    old = store.latest_metadata_path.read_bytes()
    made = store.merge(chunks, chunks.ids())
    if lost == "link":
        store.latest_metadata_path.unlink()
        store.latest_path.unlink()
    elif lost == "metadata":
        store.latest_metadata_path.unlink()
    else:
        store.latest_metadata_path.write_bytes(old)
    assert not store.is_published(made)
    again = store.merge(chunks, chunks.ids())
    assert (again == made) is (lost != "link")
    assert store.is_published(again)
    assert json.loads(store.latest_metadata_path.read_bytes()) == again.metadata


def test_the_dataset_hash_is_that_of_the_content(tmp_path, store, chunks):
    """The same chunks give the same hash at any time and place; one other value, another."""
    made = store.merge(chunks, chunks.ids())
    elsewhere = DatasetStore(tmp_path / "elsewhere", lambda: NOW + dt.timedelta(days=1))
    twin = elsewhere.merge(chunks, chunks.ids())
    assert twin.metadata["dataset_hash"] == made.metadata["dataset_hash"]
    assert twin.path.read_bytes() == made.path.read_bytes()
    table = rows(APRIL)
    other = pa.array([None, 0.5], pa.float32())
    build(chunks, "2020Q2", table.set_column(2, table.schema.field(2), other), **SPRING)
    assert (
        store.merge(chunks, chunks.ids()).metadata["dataset_hash"] != twin.metadata["dataset_hash"]
    )


def lay(store: DatasetStore, stamp: str, content: bytes | None = None) -> Path:
    """A dataset of this time that was never published, with what lies beside it: metadata, or this
    instead; nothing if it is empty."""
    path = store.folder / f"ml_dataset_20200106_20200203_{stamp}_full.parquet"
    path.write_bytes(b"")
    described = json.dumps({"dataset": path.name}).encode()
    if content != b"":
        metadata_path(path).write_bytes(described if content is None else content)
    return path


def test_the_published_dataset_is_never_removed(store, chunks):
    """Even when newer ones lie beside it that were never published."""
    made = store.merge(chunks, ["2020Q1"])
    newer = [lay(store, f"20240604T08000{second}Z") for second in range(1, 5)]
    assert store.prune(keep=2) == newer[:2]
    assert store.latest() == made


OTHER = b'{"dataset": "ml_dataset_20200106_20200401_20250101T000000Z_full.parquet"}'


@pytest.mark.parametrize(
    "beside", [b"", b'{"dataset": "ml_d', b"[]", OTHER], ids=["none", "cut", "list", "other"]
)
def test_what_killed_merges_left_does_not_count(tmp_path, chunks, beside):
    """Two of them, without metadata of their own: they go, and three datasets remain."""
    times = iter(NOW + dt.timedelta(hours=hour // 2) for hour in range(20))
    store = DatasetStore(tmp_path, lambda: next(times))
    made = [store.merge(chunks, [chunk]) for chunk in ["2020Q1", "2020Q2", "2020Q1"]]
    left = [lay(store, f"20240603T12000{second}Z", beside) for second in (1, 2)]
    assert store.prune() == []
    assert all(path.exists() for path in left)  # nothing newer is whole
    made.append(store.merge(chunks, ["2020Q2"]))
    assert sorted(store.folder.glob("*.parquet")) == sorted(each.path for each in made[1:])
    assert [store.opened(each.path) for each in made[1:]] == made[1:]
    assert len(list(store.folder.iterdir())) == 6


def test_the_metadata_of_a_dataset_deleted_by_hand_go(store, chunks):
    """Once a whole dataset is newer; not those of the published name."""
    first, second = (store.merge(chunks, [chunk]) for chunk in ["2020Q1", "2020Q2"])
    second.path.unlink()
    assert store.prune() == []
    first.path.unlink()
    later = lay(store, "20240604T080000Z")
    assert store.prune() == [metadata_path(first.path)]
    assert sorted(store.folder.iterdir()) == sorted(
        [metadata_path(second.path), later, metadata_path(later)]
    )
    third = store.merge(chunks, chunks.ids())
    assert sorted(store.folder.glob("*.json")) == sorted(
        [metadata_path(later), metadata_path(third.path)]
    )


def test_metadata_that_cannot_be_read_are_not_taken_for_none(store, chunks, monkeypatch):
    """Nothing is removed while the disk does not answer."""
    for chunk_id in ["2020Q1", "2020Q2"] * 2:
        store.merge(chunks, [chunk_id], keep=9)
    before = sorted(store.folder.iterdir())

    def refuse(_path: Path) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(publication, "read_bytes", refuse)
    with pytest.raises(StorageError, match="Input/output error"):
        store.prune()
    assert sorted(store.folder.iterdir()) == before


def test_a_clock_that_was_ahead_does_not_cost_the_newest(tmp_path, chunks):
    """Names go on from the time of the last one: their order is that of the merges."""
    years = iter([2030] * 6 + [2024] * 20)
    store = DatasetStore(tmp_path, lambda: NOW.replace(year=next(years)))
    made = [store.merge(chunks, ids).path for ids in [["2020Q2"], ["2020Q1"]] * 3]
    by_name = sorted(store.folder.glob("*.parquet"), key=lambda path: path.name.split("_")[4])
    assert by_name == made[-3:]
    assert made[-1].name.split("_")[4] == "20300603T080005Z"


@pytest.mark.parametrize("failing", ["copy", "fsync", "metadata"])
def test_a_failed_merge_leaves_the_published_dataset(store, chunks, monkeypatch, failing):
    """Nothing half-made is visible, under any name."""
    made = store.merge(chunks, ["2020Q1"])
    before = sorted(path.name for path in store.root.rglob("*"))

    def refuse(*_args: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def refuse_metadata(source: Path, target: Path, rename: Any = os.replace) -> None:
        if "metadata" in Path(target).name:
            refuse()
        rename(source, target)

    targets = {
        "copy": (publication, "copy_row_groups", refuse),
        "fsync": (os, "fsync", refuse),
        "metadata": (os, "replace", refuse_metadata),
    }
    monkeypatch.setattr(*targets[failing])
    with pytest.raises(StorageError, match="No space left"):
        store.merge(chunks, ["2020Q1", "2020Q2"])
    assert sorted(path.name for path in store.root.rglob("*")) == before
    assert store.latest() == made


def test_chunks_of_different_schemas_are_never_merged(store, chunks):
    """The odd one is named with both hashes; nothing is written."""
    other = m.arrow_schema([*COLUMNS[:3], m.Column("is_traded", "Int16"), COLUMNS[4]], "1.0.0")
    table = rows(APRIL)
    table = table.set_column(3, "is_traded", table["is_traded"].cast(pa.int16()))
    build(chunks, "2020Q2", table, schema=other, **SPRING)
    with pytest.raises(SchemaMismatch, match="2020Q2") as info:
        store.merge(chunks, chunks.ids())
    assert m.schema_hash(m.columns_of(other)) in info.value.violations[0]
    assert not store.folder.exists()


def test_a_label_is_never_merged(store, chunks):
    """Though hash and names agree: its role says that it knows the future."""
    columns = [m.Column(c.name, c.dtype, c.nullable, "label") if c.name == "ret_prev_1d" else c
               for c in COLUMNS]  # fmt: skip
    schema = m.arrow_schema(columns, "1.0.0")
    build(chunks, "2020Q2", rows(APRIL).cast(schema), schema=schema, **SPRING)
    with pytest.raises(SchemaMismatch, match="labels among the features") as info:
        store.merge(chunks, chunks.ids())
    assert "2020Q2: ret_prev_1d" in str(info.value)
    assert store.latest() is None


def test_a_status_that_belies_its_file_is_a_mismatch(store, chunks):
    """The file's own columns decide, not what is said about them."""
    path = chunks.status_path("2020Q2")
    status = json.loads(path.read_bytes()) | {"schema_hash": "0" * 16}
    path.write_text(json.dumps(status))
    with pytest.raises(SchemaMismatch, match="2020Q2: status says 0000000000000000, file"):
        store.merge(chunks, chunks.ids())


def test_synthetic_and_real_chunks_are_never_merged(store, chunks):
    """Even when somebody copies them into one folder."""
    build(chunks, "2020Q2", rows(APRIL), origin="api", **SPRING)
    with pytest.raises(StorageError, match="different origin: api, simulator"):
        store.merge(chunks, chunks.ids())


def test_chunks_that_are_not_complete_are_named_together(store, chunks):
    """Missing, failed and cut off: one message, exit code of missing data."""
    chunks.mark_schema_mismatch("2020Q1", "x")
    os.truncate(chunks.parquet_path("2020Q2"), 10)
    with pytest.raises(MissingData) as info:
        store.merge(chunks, ["2019Q4", "2020Q1", "2020Q2"])
    assert "3 of 3 chunks are not complete" in info.value.message
    assert "2019Q4/status.json: does not exist" in info.value.message
    assert "2020Q1 is failed_schema_mismatch" in info.value.message
    assert "2020Q2: the Parquet file is missing or of another size" in info.value.message


def test_nothing_to_merge_is_missing_data(store, chunks):
    """No chunk at all, or chunks without a single row."""
    with pytest.raises(MissingData, match="no chunk in"):
        store.merge(chunks, [])
    build(chunks, "2020Q1")
    with pytest.raises(MissingData, match="no rows at all"):
        store.merge(chunks, ["2020Q1"])
    with pytest.raises(UsageError):
        store.merge(chunks, ["../2020Q1"])


def test_a_chunk_without_rows_does_not_matter(store, chunks):
    """It is listed and adds nothing."""
    build(chunks, "2020Q1")
    made = store.merge(chunks, chunks.ids())
    assert pq.read_table(made.path).equals(rows(APRIL))
    assert [c["rows"] for c in made.metadata["chunks"]] == [0, 2]


def test_overlapping_chunks_are_refused(store, chunks):
    """A month and the quarter around it hold the same rows twice."""
    build(chunks, "2020M02", rows(FEBRUARY))
    with pytest.raises(StorageError, match="chunk 2020M02 begins 2020-02-03, but 2020Q1 ends"):
        store.merge(chunks, chunks.ids())


def test_metadata_of_another_build_are_refused(store, chunks):
    """A chunk whose files were mixed by hand."""
    path = chunks.metadata_path("2020Q1")
    path.write_text(json.dumps(json.loads(path.read_bytes()) | {"build_id": "f" * 32}))
    with pytest.raises(StorageError, match="does not belong to the build"):
        store.merge(chunks, chunks.ids())


def test_a_damaged_parquet_file_is_named(store, chunks):
    """Right size, wrong bytes."""
    path = chunks.parquet_path("2020Q1")
    path.write_bytes(b"\0" * path.stat().st_size)
    with pytest.raises(StorageError, match=r"2020Q1/ml_dataset\.parquet: cannot be read"):
        store.merge(chunks, chunks.ids())


def test_a_chunk_rebuilt_during_the_merge_stops_it(store, chunks, monkeypatch):
    """What was read and what the metadata say could differ."""

    def copy_then_rebuild(files: list[Path], target: Path, *others: Any) -> None:
        copy_row_groups(files, target, *others)
        build(chunks, "2020Q1", rows(JANUARY))

    monkeypatch.setattr(publication, "copy_row_groups", copy_then_rebuild)
    with pytest.raises(StorageError, match="2020Q1 was rebuilt while it was read"):
        store.merge(chunks, chunks.ids())
    assert store.latest() is None
    assert list(store.folder.iterdir()) == []


def test_a_link_to_nowhere_is_an_error(store, chunks):
    """Somebody removed the file: no silent None."""
    store.merge(chunks, chunks.ids()).path.unlink()
    with pytest.raises(StorageError, match="which is gone"):
        store.latest()


def test_foreign_metadata_beside_the_dataset_are_an_error(store, chunks):
    """A metadata file of another dataset copied over."""
    path = store.merge(chunks, chunks.ids()).path
    beside = path.with_name(f"{path.stem}_metadata.json")
    other = "ml_dataset_20200106_20200401_20250101T000000Z_full.parquet"
    beside.write_text(json.dumps(json.loads(beside.read_bytes()) | {"dataset": other}))
    with pytest.raises(StorageError, match="describes ml_dataset_20200106_20200401_20250101"):
        store.latest()


months = st.lists(
    st.tuples(
        st.lists(st.integers(1, 28), min_size=0, max_size=3, unique=True).map(sorted),
        st.lists(st.sampled_from(["13010", "1301A", "72030", "99840"]), min_size=1, unique=True),
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=25, deadline=None)
@given(months)
def test_merging_is_concatenation(tmp_path_factory, found):
    """For any months, empty ones included: what pyarrow reads is the rows in order."""
    root = tmp_path_factory.mktemp("root")
    chunks, tables = ChunkStore(root, clock), []
    for month, (days, codes) in enumerate(found, start=1):
        table = rows([dt.date(2020, month, day) for day in days], sorted(codes))
        build(chunks, f"2020M{month:02d}", table)
        tables.append(table)
    expected = pa.concat_tables(tables)
    store = DatasetStore(root, clock)
    if not expected.num_rows:
        with pytest.raises(MissingData):
            store.merge(chunks, chunks.ids())
        return
    made = store.merge(chunks, chunks.ids())
    merged = pq.read_table(made.path)
    assert merged.equals(expected)
    assert merged.schema.equals(expected.schema, check_metadata=True)
    assert pq.ParquetFile(made.path).num_row_groups == sum(bool(t.num_rows) for t in tables)


def test_a_copy_keeps_the_encoding_of_its_source(tmp_path):
    """A merged dataset is not larger than its chunks because values that repeat lost their
    dictionary."""
    day = [dt.date(2020, 1, 6)] * 500
    table = pa.table(
        {
            "Date": pa.array(day, pa.date32()),
            "Code": [f"{1000 + i}0" for i in range(500)],
            "same": pa.array([float(i % 3) for i in range(500)], pa.float32()),
            "other": pa.array([i * 0.37 for i in range(500)], pa.float32()),
        }
    )
    source, target = tmp_path / "source.parquet", tmp_path / "target.parquet"
    layout = Layout(repeating=frozenset({"same"}))
    with RowGroupWriter(source, table.schema, layout, "source") as writer:
        writer.write(table)
    copy_row_groups([source], target, "target")
    assert layout_of(source) == layout == layout_of(target)
    last = pq.read_metadata(source).row_group(0).column(3)
    pages = last.data_page_offset + last.total_compressed_size
    assert target.read_bytes()[:pages] == source.read_bytes()[:pages]
