"""Specification of the Parquet layout: order, months, encodings, statistics, same bytes."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.dataset.parquet.layout import Contents, Layout, RowGroupWriter, file_sha256
from pipeline.errors import SchemaMismatch, StorageError
from tests.dataset.builders import SCHEMA, january, rows

FEBRUARY = [dt.date(2020, 2, 3)]


def write(path: Path, *tables: pa.Table | pa.RecordBatch, layout: Layout | None = None) -> Contents:
    with RowGroupWriter(path, SCHEMA, layout or Layout(), "chunk 2020Q1") as writer:
        for table in tables:
            writer.write(table)
    return writer.contents()


def test_each_write_is_one_row_group_and_the_whole_reads_back(tmp_path):
    """Two months, two row groups; the rows, dtypes and roles are those that were written."""
    path = tmp_path / "x.parquet"
    first, second = rows(january(6, 7)), rows(FEBRUARY)
    write(path, first, second)
    assert [pq.ParquetFile(path).metadata.row_group(i).num_rows for i in range(2)] == [4, 2]
    table = pq.read_table(path)
    assert table.equals(pa.concat_tables([first, second]))
    assert table.schema.equals(SCHEMA, check_metadata=True)


def test_the_contents_are_counted_while_writing(tmp_path):
    """Rows, first and last session, share of nulls: no second reading is needed."""
    assert write(tmp_path / "x", rows(january(6, 7)), rows(FEBRUARY)) == Contents(
        rows=6,
        first=dt.date(2020, 1, 6),
        last=dt.date(2020, 2, 3),
        null_rates={
            "Date": 0.0,
            "Code": 0.0,
            "ret_prev_1d": round(2 / 6, 9),
            "is_traded": 0.0,
            "sector": round(2 / 6, 9),
        },
    )


def test_a_file_without_rows_is_a_file(tmp_path):
    """No rows: no row group, no sessions, and no division by zero."""
    contents = write(tmp_path / "x", rows([]))
    assert (contents.rows, contents.first, contents.last) == (0, None, None)
    assert set(contents.null_rates.values()) == {0.0}
    assert pq.read_table(tmp_path / "x").schema.equals(SCHEMA, check_metadata=True)


def test_the_same_rows_give_the_same_bytes(tmp_path):
    """Nothing in the file depends on when or where it was written."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write(tmp_path / name / f"{name}.parquet", rows(january(6, 7)), rows(FEBRUARY))
    first, second = tmp_path / "a" / "a.parquet", tmp_path / "b" / "b.parquet"
    assert first.read_bytes() == second.read_bytes()
    assert file_sha256(first) == file_sha256(second)


def test_encodings_and_statistics_are_those_of_the_design(tmp_path):
    """zstd everywhere; dictionary for keys and flags, plain floats; statistics on keys."""
    write(tmp_path / "x", rows(january(6, 7)))
    group = pq.ParquetFile(tmp_path / "x").metadata.row_group(0)
    found = {c.path_in_schema: c for c in (group.column(i) for i in range(group.num_columns))}
    assert {c.compression for c in found.values()} == {"ZSTD"}
    dictionary = {name for name, c in found.items() if "RLE_DICTIONARY" in c.encodings}
    assert dictionary == {"Date", "Code", "is_traded", "sector"}
    assert set(found["ret_prev_1d"].encodings) == {"PLAIN", "RLE"}
    assert {name for name, c in found.items() if c.is_stats_set} == {"Date", "Code"}
    assert {name for name, c in found.items() if c.has_column_index} == {"Date", "Code"}
    assert found["Date"].statistics.min == dt.date(2020, 1, 6)
    assert found["Date"].statistics.max == dt.date(2020, 1, 7)


def test_a_float_with_few_values_can_have_a_dictionary(tmp_path):
    """The layout names such columns; the values stay the same."""
    table = rows(january(6, 7))
    write(tmp_path / "x", table, layout=Layout(repeating=frozenset({"ret_prev_1d"})))
    column = pq.ParquetFile(tmp_path / "x").metadata.row_group(0).column(2)
    assert "RLE_DICTIONARY" in column.encodings
    assert pq.read_table(tmp_path / "x").equals(table)


def test_a_batch_and_a_table_without_roles_are_taken(tmp_path):
    """Rows need not repeat what the file's schema declares: roles and required keys."""
    table = rows(january(6))
    bare = pa.table({name: table[name] for name in table.column_names})
    write(tmp_path / "x", bare.to_batches()[0])
    assert pq.read_table(tmp_path / "x").equals(table)


@pytest.mark.parametrize(
    ("change", "violation"),
    [
        (lambda t: t.drop_columns(["is_traded"]), "missing column 'is_traded' (Int8)"),
        (lambda t: t.append_column("x", t["Code"]), "extra column 'x' (String)"),
        (
            lambda t: t.set_column(3, "is_traded", t["is_traded"].cast(pa.int64())),
            "column 'is_traded': expected dtype Int8, found Int64",
        ),
        (
            lambda t: t.select(["Date", "Code", "is_traded", "ret_prev_1d", "sector"]),
            "column order: 2 out of place: 'is_traded', 'ret_prev_1d'",
        ),
    ],
)
def test_other_columns_than_declared_are_refused(tmp_path, change, violation):
    """A catalogue and the code that fills it must agree before anything is written."""
    with pytest.raises(SchemaMismatch) as info:
        write(tmp_path / "x", change(rows(january(6))))
    assert info.value.violations == (violation,)
    assert "chunk 2020Q1" in info.value.message


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ([rows(january(7, 6))], "2020-01-06 13010 stands out of order, after 2020-01-07 1301A"),
        ([rows(january(6), ["1301A", "13010"])], "13010 stands out of order"),
        ([rows(january(6), ["13010", "13010"])], "13010 stands twice"),
        ([rows(january(7)), rows(january(6))], "stands out of order"),
        ([rows(january(6)), rows(january(6))], "2020-01-06 13010 stands out of order"),
        ([rows(january(6), ["13010"]), rows(january(6), ["13010"])], "stands twice"),
        ([rows([*january(31), *FEBRUARY])], "row group from 2020-01-31 to 2020-02-03"),
    ],
)
def test_rows_out_of_order_are_refused(tmp_path, tables, message):
    """Ascending by Date and Code, no duplicates, one month a row group; the place is named."""
    with pytest.raises(StorageError) as info:
        write(tmp_path / "x", *tables)
    assert message in info.value.message


def test_a_row_without_a_key_is_refused(tmp_path):
    """Nobody could ever find it again."""
    table = rows(january(6, 7))
    codes = pa.array(["13010", None, "13010", "1301A"])
    with pytest.raises(StorageError, match="a row without Date or Code"):
        write(tmp_path / "x", table.set_column(1, SCHEMA.field("Code"), codes))


keys = st.tuples(
    st.dates(dt.date(2020, 1, 1), dt.date(2020, 1, 5)), st.sampled_from(["13010", "1301A", "99840"])
)


@given(st.lists(keys, min_size=1, max_size=8))
def test_a_row_group_is_accepted_exactly_when_it_is_strictly_ascending(tmp_path_factory, found):
    """Python's own order of tuples is the oracle."""
    path = tmp_path_factory.mktemp("rows") / "x"
    table = rows(january(6), [str(i) for i in range(len(found))])
    table = table.set_column(0, SCHEMA.field("Date"), pa.array([d for d, _ in found], pa.date32()))
    table = table.set_column(1, SCHEMA.field("Code"), pa.array([c for _, c in found]))
    if found == sorted(set(found)):
        write(path, table)
        assert pq.read_table(path).equals(table)
    else:
        with pytest.raises(StorageError, match="stands"):
            write(path, table)


def test_the_error_of_the_block_is_not_hidden_by_closing_the_file(tmp_path, monkeypatch):
    """On a full disk closing fails as well; the first error is the one to see."""
    close = pq.ParquetWriter.close

    def close_and_fail(writer: pq.ParquetWriter) -> None:
        close(writer)
        raise OSError("second")

    def fail() -> None:
        with RowGroupWriter(tmp_path / "x", SCHEMA, Layout(), "chunk 2020Q1") as writer:
            writer.write(rows(january(6)))
            raise RuntimeError("first")

    monkeypatch.setattr(pq.ParquetWriter, "close", close_and_fail)
    with pytest.raises(RuntimeError, match="first"):
        fail()
