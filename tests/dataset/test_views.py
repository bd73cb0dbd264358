"""A view is the chunks of a moment as one table, by links and one footer for all."""

from __future__ import annotations

import datetime as dt
import errno
import os
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from pipeline import manifest as m
from pipeline.dataset.chunk_store import ChunkStore
from pipeline.dataset.views import ViewStore
from pipeline.errors import MissingData, SchemaMismatch, StorageError
from tests.dataset.builders import COLUMNS, NOW, SCHEMA, build, clock, january, leftovers, rows
from tests.dataset.readers import fastparquet_rows

JANUARY, FEBRUARY, APRIL = january(6, 7), [dt.date(2020, 2, 3)], [dt.date(2020, 4, 1)]
SPRING = {"covered_from": dt.date(2020, 4, 1), "covered_to": dt.date(2020, 6, 30)}
WHOLE = pa.concat_tables([rows(JANUARY), rows(FEBRUARY), rows(APRIL)])


@pytest.fixture
def chunks(tmp_path: Path) -> ChunkStore:
    """Two quarters: January and February, and one session of April."""
    store = ChunkStore(tmp_path, clock)
    build(store, "2020Q1", rows(JANUARY), rows(FEBRUARY))
    build(store, "2020Q2", rows(APRIL), **SPRING)
    return store


@pytest.fixture
def store(tmp_path: Path) -> ViewStore:
    return ViewStore(tmp_path, clock)


def table_of(view: Path) -> pa.Table:
    return ds.parquet_dataset(view / "_metadata").to_table()


def test_a_view_is_read_as_one_table(store, chunks):
    """By pyarrow and fastparquet through the common footer, by Polars and DuckDB as files."""
    view = store.make(chunks, ["2020Q2", "2020Q1"])
    assert view.name == "ml_dataset_20200106_20200401_20240603T080000Z_view"
    assert store.latest() == view
    whole = ds.parquet_dataset(store.latest_path / "_metadata")
    assert whole.to_table().equals(WHOLE)
    assert whole.schema.equals(SCHEMA, check_metadata=True)
    keys = WHOLE.select(["Date", "Code"]).to_pylist()
    pattern = str(store.latest_path / "*.parquet")
    assert pl.read_parquet(pattern).select("Date", "Code").to_dicts() == keys
    assert pl.scan_pyarrow_dataset(whole).select("Date", "Code").collect().to_dicts() == keys
    with duckdb.connect() as connection:
        found = connection.execute(f"SELECT Code FROM '{pattern}' ORDER BY Date, Code").fetchall()
    assert found == [(key["Code"],) for key in keys]
    assert [code for (code,) in fastparquet_rows(view, ["Code"])] == [key["Code"] for key in keys]
    assert leftovers(store.root) == []


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_only_files_with_wanted_rows_are_opened(store, chunks):
    """The common footer says which: the other ones could be gone."""
    view = store.make(chunks, chunks.ids())
    april = ds.field("Date") >= APRIL[0]
    whole = ds.parquet_dataset(view / "_metadata")
    (view / "2020Q1.parquet").unlink()
    assert whole.to_table(filter=april).equals(rows(APRIL))


def test_the_bytes_are_not_copied_and_not_changed(store, chunks):
    """Links hold the files as they were when a chunk is built anew."""
    view = store.make(chunks, chunks.ids())
    assert (view / "2020Q1.parquet").samefile(chunks.parquet_path("2020Q1"))
    build(chunks, "2020Q1", rows(JANUARY))
    assert table_of(view).equals(WHOLE)
    again = store.make(chunks, chunks.ids())
    assert again != view
    assert table_of(store.latest_path).num_rows == 6


def test_nothing_is_written_when_nothing_changed(store, chunks):
    """Not even a new link."""
    view = store.make(chunks, chunks.ids())
    before = {path: path.lstat().st_mtime_ns for path in [store.root, *store.root.rglob("*")]}
    assert store.make(chunks, chunks.ids()) == view
    assert {
        path: path.lstat().st_mtime_ns for path in [store.root, *store.root.rglob("*")]
    } == before
    assert store.make(chunks, ["2020Q1"]) != view


@pytest.mark.parametrize("left", [0, 3, 100, -1])
def test_a_view_with_a_cut_index_is_made_again(store, chunks, left):
    """The links alone are no view."""
    view = store.make(chunks, chunks.ids())
    whole = (view / "_metadata").read_bytes()
    (view / "_metadata").write_bytes(whole[:left])
    assert not store.shows(chunks, chunks.ids())
    again = store.make(chunks, chunks.ids())
    assert again != view
    assert store.shows(chunks, chunks.ids())
    assert table_of(store.latest_path).equals(WHOLE)


@pytest.mark.parametrize("source", ["2020Q1", "2020Q2"])
def test_a_view_with_the_index_of_other_files_is_made_again(store, chunks, source):
    """A footer in order, of fewer row groups."""
    view = store.make(chunks, chunks.ids())
    (view / "_metadata").write_bytes(chunks.parquet_path(source).read_bytes())
    assert not store.shows(chunks, chunks.ids())
    assert store.make(chunks, chunks.ids()) != view


def test_an_index_of_other_rows_is_none_of_these(store, chunks):
    """As many row groups, one of them shorter."""
    view = store.make(chunks, chunks.ids())
    groups = ds.parquet_dataset(view / "_metadata").get_fragments()
    count = sum(len(group.row_groups) for group in groups)
    shorter = WHOLE.slice(0, WHOLE.num_rows - 1)
    pq.write_table(shorter, view / "_metadata", row_group_size=-(-shorter.num_rows // count))
    assert pq.read_metadata(view / "_metadata").num_row_groups == count
    assert not store.shows(chunks, chunks.ids())


def test_the_last_three_views_are_kept(tmp_path, chunks):
    """Datasets and foreign files stay."""
    times = iter(NOW + dt.timedelta(hours=hour) for hour in range(20))
    store = ViewStore(tmp_path, lambda: next(times))
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets" / "notes.txt").write_bytes(b"")
    made = [store.make(chunks, ids) for ids in [["2020Q2"], ["2020Q1"]] * 2 + [["2020Q2"]]]
    assert {path.name for path in store.folder.iterdir()} == {
        "notes.txt",
        *(view.name for view in made[-3:]),
    }


def test_what_killed_runs_left_of_a_view_does_not_count(tmp_path, chunks):
    """Links without an index: it goes, and three views remain."""
    times = iter(NOW + dt.timedelta(hours=hour) for hour in range(20))
    store = ViewStore(tmp_path, lambda: next(times))
    made = [store.make(chunks, [chunk_id]) for chunk_id in ["2020Q1", "2020Q2", "2020Q1"]]
    for second in (1, 2):
        left = store.folder / f"ml_dataset_20200106_20200203_20240603T12000{second}Z_view"
        left.mkdir()
        (left / "2020Q1.parquet").hardlink_to(chunks.parquet_path("2020Q1"))
    made.append(store.make(chunks, ["2020Q2"]))
    assert sorted(store.folder.iterdir()) == sorted(made[1:])


def test_the_name_of_a_view_is_later_than_those_there_are(tmp_path, chunks):
    """After a clock that was ahead; a dataset beside it has times of its own."""
    years = iter([2030, 2024, 2024])
    store = ViewStore(tmp_path, lambda: NOW.replace(year=next(years)))
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets" / "ml_dataset_20200106_20200203_20350603T080000Z_full.parquet").touch()
    made = [store.make(chunks, [chunk_id]).name for chunk_id in ["2020Q1", "2020Q2", "2020Q1"]]
    assert [name.split("_")[4] for name in made] == [f"20300603T08000{s}Z" for s in range(3)]


def test_another_file_system_is_named(store, chunks, monkeypatch):
    """A view there would not hold the files as they are; nothing is left of it."""

    def refuse(*_args: object, **_options: object) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(StorageError, match=r"2020Q1.* cannot be linked .*cross-device"):
        store.make(chunks, chunks.ids())
    assert list(store.folder.iterdir()) == []
    assert store.latest() is None


def test_chunks_that_cannot_share_a_footer_are_refused(store, chunks):
    """The same columns under other metadata: a merge writes them anew, a view cannot."""
    later = m.arrow_schema(COLUMNS, "1.1.0")
    build(chunks, "2020Q2", rows(APRIL), schema=later, schema_version="1.1.0", **SPRING)
    with pytest.raises(SchemaMismatch, match="2020Q2 differs from 2020Q1 in its metadata"):
        store.make(chunks, chunks.ids())
    assert list(store.folder.iterdir()) == []


def test_nothing_to_view_is_missing_data(store, chunks):
    """No chunk at all, or none with rows."""
    with pytest.raises(MissingData, match="no chunk in"):
        store.make(chunks, [])
    build(chunks, "2020Q1")
    with pytest.raises(MissingData, match="no rows at all"):
        store.make(chunks, ["2020Q1"])
