"""Label files: whole, the same for the same rows, and kept where they are settled."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.dataset.label_store import LabelStore, PartOrder, members_of
from pipeline.errors import StorageError
from tests.dataset.builders import BUILD, leftovers

SCHEMA = pa.schema(
    [
        pa.field("Date", pa.date32(), nullable=False, metadata={b"role": b"key"}),
        pa.field("Code", pa.string(), nullable=False, metadata={b"role": b"key"}),
        pa.field("label_x", pa.float32(), metadata={b"role": b"label"}),
    ]
)
ORDER = PartOrder(
    chunk_id="2024Q1",
    build_id=BUILD,
    rebuild=None,
    origin="simulator",
    schema=SCHEMA,
    definition_hash="0" * 16,
    known_to=dt.date(2024, 2, 9),
    last_bar=dt.date(2024, 2, 8),
    settled=False,
)
ASKED = ("2024Q1", None, "simulator", "0" * 16)


def month(number: int, *values: float | None) -> pa.Table:
    days = [dt.date(2024, number, 1 + i) for i in range(len(values))]
    return pa.table([days, ["13010"] * len(values), list(values)], schema=SCHEMA)


def publish(store: LabelStore, *entries: dict[str, Any], others: Any = ()) -> None:
    store.commit(
        entries,
        others,
        schema=SCHEMA,
        definition_hash="0" * 16,
        origin="simulator",
        run_id="run-1",
        now="2024-06-03T08:00:00+09:00",
    )


@pytest.fixture
def store(tmp_path: Path) -> LabelStore:
    """A table of one chunk with two months."""
    made = LabelStore(tmp_path)
    publish(made, made.write(ORDER, [month(1, 1.0, 2.0), month(2, 3.0, None)]))
    return made


def test_a_table_says_what_it_holds(store: LabelStore) -> None:
    """Rows, range, receipt, null rates; role metadata in the file; nothing left over."""
    document = store.read_document()
    (part,) = document["parts"]
    assert (document["rows"], document["output_start"]) == (4, "2024-01-01")
    assert (part["build_id"], part["null_rates"]["label_x"]) == (BUILD, 0.25)
    assert part["parquet_bytes"] == store.part_bytes("2024Q1")
    file = pq.ParquetFile(store.part_path("2024Q1"))
    assert file.num_row_groups == 2
    assert file.schema_arrow.field("label_x").metadata[b"role"] == b"label"
    assert leftovers(store.folder) == []


def test_the_same_rows_are_the_same_bytes(store: LabelStore, tmp_path: Path) -> None:
    """Whatever build they are for."""
    other = LabelStore(tmp_path / "other")
    order = replace(ORDER, build_id="2" * 32, rebuild="3" * 32)
    other.write(order, [month(1, 1.0, 2.0), month(2, 3.0, None)])
    assert other.part_path("2024Q1").read_bytes() == store.part_path("2024Q1").read_bytes()


def test_an_earlier_file_is_read_by_its_days(store: LabelStore) -> None:
    """And says what it knew."""
    earlier = store.earlier(*ASKED)
    assert earlier is not None
    assert earlier.last_bar == dt.date(2024, 2, 8)
    rows = earlier.rows(dt.date(2024, 2, 1), dt.date(2024, 2, 29))
    assert rows["label_x"].to_pylist() == [3.0, None]


@pytest.mark.parametrize(
    "asked",
    [
        ("2024Q1", "3" * 32, "simulator", "0" * 16),
        ("2024Q1", None, "api", "0" * 16),
        ("2024Q1", None, "simulator", "1" * 16),
        ("2024Q2", None, "simulator", "0" * 16),
    ],
    ids=["rebuild", "origin", "formulas", "chunk"],
)
def test_nothing_is_kept_after_a_rebuild_or_of_something_else(
    store: LabelStore, asked: tuple[Any, ...]
) -> None:
    """A request, another origin, other formulas, another chunk."""
    assert store.earlier(*asked) is None


def test_nothing_is_kept_of_a_damaged_file(store: LabelStore) -> None:
    """Other bytes that know no more, half a file, or none."""
    path = store.part_path("2024Q1")
    content = path.read_bytes()
    publish(store, {**store.entries()["2024Q1"], "parquet_sha256": "0" * 64})
    assert store.earlier(*ASKED) is None
    path.write_bytes(content[: len(content) // 2])
    assert store.earlier(*ASKED) is None
    path.unlink()
    assert store.earlier(*ASKED) is None


def test_a_file_of_a_run_that_died_before_its_document_counts(store: LabelStore) -> None:
    """It knows more than the document says, so it was made from what the document names."""
    store.write(replace(ORDER, last_bar=dt.date(2024, 2, 20)), [month(1, 1.0, 2.0)])
    earlier = store.earlier(*ASKED)
    assert earlier is not None
    assert earlier.last_bar == dt.date(2024, 2, 20)


def test_a_writer_that_fails_leaves_the_old_file(store: LabelStore) -> None:
    """Rows out of order."""
    before = store.part_path("2024Q1").read_bytes()
    with pytest.raises(StorageError, match="labels of 2024Q1"):
        store.write(ORDER, [month(2, 1.0), month(1, 1.0)])
    assert store.part_path("2024Q1").read_bytes() == before
    assert leftovers(store.folder) == []


def test_files_of_chunks_that_are_gone_go_and_others_stay(store: LabelStore) -> None:
    """A table of some chunks does not forget the files of the others."""
    second = store.write(replace(ORDER, chunk_id="2024Q2"), [month(4, 1.0)])
    publish(store, second, others=[store.entries()["2024Q1"]])
    assert set(store.entries()) == {"2024Q1", "2024Q2"}
    assert store.read_document()["rows"] == 1
    assert store.earlier(*ASKED) is not None
    assert store.remove_others(["2024Q2"]) == [store.part_path("2024Q1")]
    assert store.part_bytes("2024Q2") is not None


def test_a_chunk_without_rows_has_a_file_without_rows(tmp_path: Path) -> None:
    """With the columns of any other."""
    store = LabelStore(tmp_path)
    publish(store, store.write(replace(ORDER, last_bar=None, settled=True), []))
    assert pq.read_table(store.part_path("2024Q1")).num_rows == 0
    assert store.read_document()["output_start"] is None


def test_the_column_labels_are_scaled_by_must_be_there(store: LabelStore) -> None:
    """A chunk without it is named."""
    path = store.part_path("2024Q1")
    assert members_of(path).column_names == ["Date", "Code"]
    with pytest.raises(StorageError, match=r"cannot be read: .*\(vol\)"):
        members_of(path, "vol")
