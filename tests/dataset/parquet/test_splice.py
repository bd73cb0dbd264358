"""Files joined by their bytes are, for every reader, the file pyarrow would have written."""

from __future__ import annotations

import datetime as dt
import errno
import gc
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.dataset.parquet import footer, join
from pipeline.dataset.parquet import splice as splicing
from pipeline.dataset.parquet.footer import Unlike, read_footer
from pipeline.dataset.parquet.join import copy_row_groups
from pipeline.dataset.parquet.splice import splice
from pipeline.dataset.parquet.thrift import BINARY, Cursor, Struct, decode
from pipeline.dataset.parquet.thrift_writer import encode
from pipeline.errors import SchemaMismatch, StorageError
from tests.dataset.readers import READERS

DAY = dt.date(2020, 1, 1)
VALUES: dict[pa.DataType, st.SearchStrategy[Any]] = {
    pa.int8(): st.integers(-128, 127),
    pa.int16(): st.integers(-(1 << 15), (1 << 15) - 1),
    pa.int32(): st.integers(-(1 << 31), (1 << 31) - 1),
    pa.int64(): st.integers(-(1 << 53), 1 << 53),
    pa.float32(): st.floats(width=32, allow_nan=False, allow_infinity=False),
    pa.float64(): st.floats(allow_nan=False, allow_infinity=False),
    pa.bool_(): st.booleans(),
    pa.string(): st.text("abcäß漢", max_size=5),
    pa.dictionary(pa.int32(), pa.string()): st.sampled_from(["red", "green", "blue"]),
}


@st.composite
def files(draw: st.DrawFn) -> tuple[list[list[pa.Table]], list[dict[str, Any]]]:
    """Row groups of some files of one schema, ascending by Date, and how each is written."""
    types = draw(st.lists(st.sampled_from(list(VALUES)), max_size=6))
    fields = [pa.field("Date", pa.date32(), nullable=False), pa.field("Code", pa.string())]
    fields += [pa.field(f"c{i}", kind) for i, kind in enumerate(types)]
    groups, options, day = [], [], DAY
    for _ in range(draw(st.integers(1, 4))):
        tables = []
        for rows in draw(st.lists(st.integers(1, 40), max_size=3)):
            codes = pa.array([f"{i:05d}" for i in range(rows)])
            columns = [pa.array([day] * rows, pa.date32()), codes]
            for kind in types:
                values = st.lists(VALUES[kind] | st.none(), min_size=rows, max_size=rows)
                columns.append(pa.array(draw(values), kind))
            tables.append(pa.Table.from_arrays(columns, schema=pa.schema(fields)))
            day += dt.timedelta(days=1)
        groups.append(tables)
        options.append(
            {
                "compression": draw(st.sampled_from(["none", "snappy", "gzip", "zstd", "brotli"])),
                "use_dictionary": draw(st.booleans()),
                "write_page_index": draw(st.booleans()),
                "write_statistics": draw(st.booleans()),
                "data_page_size": draw(st.sampled_from([64, 1 << 20])),
                "max_rows_per_page": draw(st.sampled_from([3, 20_000])),
                "write_page_checksum": draw(st.booleans()),
            }
        )
    return groups, options


def write(path: Path, schema: pa.Schema, groups: list[pa.Table], **options: Any) -> Path:
    with pq.ParquetWriter(path, schema, **options) as writer:
        for table in groups:
            writer.write_table(table)
    return path


def quarter(first: dt.date, rows: int = 300) -> pa.Table:
    """A hundred rows a day, with text, a flag and a number."""
    return pa.table(
        {
            "Date": pa.array([first + dt.timedelta(days=i // 100) for i in range(rows)]),
            "Code": [f"{1000 + i % 100}0" for i in range(rows)],
            "value": pa.array(
                [None if i % 7 == 0 else i * 0.37 for i in range(rows)], pa.float32()
            ),
        }
    )


@pytest.fixture
def pair(tmp_path: Path) -> list[Path]:
    """Two files with two row groups each and page indexes: January and April."""
    made = []
    for month in (1, 4):
        table = quarter(dt.date(2020, month, 1))
        path = tmp_path / f"{month}.parquet"
        options = {"write_page_index": True, "max_rows_per_page": 50, "compression": "zstd"}
        made.append(write(path, table.schema, [table[:150], table[150:]], **options))
    return made


@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(files())
def test_every_reader_sees_what_pyarrow_would_have_written(tmp_path_factory, drawn):
    """For any schema, nulls, row groups, empty files, compressions and encodings."""
    folder = tmp_path_factory.mktemp("files")
    groups, options = drawn
    tables = [table for of_file in groups for table in of_file]
    if not tables:
        return
    schema = tables[0].schema
    sources = [
        write(folder / f"{i}.parquet", schema, groups[i], **options[i]) for i in range(len(groups))
    ]
    joined, reference = folder / "joined.parquet", folder / "reference.parquet"
    splice(sources, joined)
    write(reference, schema, tables, compression="snappy")
    assert pq.read_table(joined).equals(pa.concat_tables(tables))
    assert pq.read_schema(joined).equals(schema, check_metadata=True)
    assert pq.read_metadata(joined).num_row_groups == len(tables)
    last = tables[-1]["Date"][0].as_py()
    known_to_all = folder / "known_to_all.parquet"
    copy_row_groups(sources, known_to_all, "joined")
    everybody = known_to_all.read_bytes() == joined.read_bytes()
    for name, rows in READERS.items():
        expected, dates = rows(reference, schema.names), (last, last)
        if name == "fastparquet" and not everybody:
            assert rows(known_to_all, schema.names) == expected
            continue
        assert rows(joined, schema.names) == expected, name
        assert rows(joined, schema.names, dates) == rows(reference, schema.names, dates), name
    check_page_indexes(joined)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"use_dictionary": False}, {"use_dictionary": ["Code"]}),
        ({"compression": "none"}, {}),
        ({"use_dictionary": False, "use_byte_stream_split": ["value"]}, {"use_dictionary": False}),
    ],
)
def test_bytes_that_one_reader_does_not_know_are_written_anew(pair, tmp_path, first, second):
    """Text with a dictionary here and none there, an empty dictionary, split floats."""
    for path, options in zip(pair, (first, second), strict=True):
        table = pq.read_table(path)
        gone = pa.nulls(150, pa.float32())
        groups = [table[:150].set_column(2, table.schema.field("value"), gone), table[150:]]
        write(path, table.schema, groups, **({"compression": "zstd"} | options))
    spliced, joined = tmp_path / "spliced.parquet", tmp_path / "joined.parquet"
    splice(pair, spliced)
    copy_row_groups(pair, joined, "joined")
    columns = ["Date", "Code", "value"]
    expected = READERS["pyarrow"](spliced, columns)
    for name, rows in READERS.items():
        if name != "fastparquet":
            assert rows(joined, columns) == expected, name
            assert rows(spliced, columns) == expected, name
    known = READERS["fastparquet"](joined, columns)
    assert [row[1:] for row in known] == [row[1:] for row in expected]
    assert not understood(spliced, columns, known)


def understood(path: Path, columns: list[str], expected: list[tuple[Any, ...]]) -> bool:
    """Whether fastparquet reads a file; where it fails it leaves the file open."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            return READERS["fastparquet"](path, columns) == expected
        except (NotImplementedError, TypeError):
            return False
        finally:
            gc.collect()


def test_a_reader_asks_for_the_pages_it_needs_only(pair, tmp_path):
    """Predicate push-down by the statistics of row groups: the pages of the other ones are
    nonsense, and nobody notices."""
    joined = tmp_path / "joined.parquet"
    splice(pair, joined)
    april = (dt.date(2020, 4, 1), dt.date(2020, 4, 30))
    expected = {name: rows(joined, ["Date", "value"], april) for name, rows in READERS.items()}
    assert {len(rows) for rows in expected.values()} == {300}
    content = bytearray(joined.read_bytes())
    spoil(content, pq.read_metadata(joined), range(2))
    joined.write_bytes(content)
    for name, rows in READERS.items():
        assert rows(joined, ["Date", "value"], april) == expected[name], name
        if name != "fastparquet":  # it prints a line for each value and returns others
            with pytest.raises(Exception):  # each has its own
                rows(joined, ["Date", "value"])
    (fragment,) = ds.dataset(joined).get_fragments()
    assert len(fragment.split_by_row_group(ds.field("Date") >= april[0])) == 2


def spoil(content: bytearray, meta: pq.FileMetaData, groups: range) -> None:
    for group in groups:
        for column in range(meta.num_columns):
            chunk = meta.row_group(group).column(column)
            begin = chunk.dictionary_page_offset or chunk.data_page_offset
            end = begin + chunk.total_compressed_size
            content[begin:end] = b"\xff" * (end - begin)


def column_chunks(path: Path) -> Iterator[Struct]:
    """Every ColumnChunk of a file."""
    with path.open("rb") as file:
        cursor = Cursor(read_footer(file).data)
    for field, kind in cursor.fields():
        value = cursor.value(kind)
        if field == 4:
            for group in value.items:
                yield from group[1][1].items


def check_page_indexes(path: Path) -> int:
    """Each place an offset index names is that of a page of that length; how many there are."""
    content = path.read_bytes()
    pages = 0
    for chunk in column_chunks(path):
        if 4 not in chunk:
            continue
        index = decode(content[chunk[4][1] : chunk[4][1] + chunk[5][1]])
        places = [(p[1][1], p[2][1]) for p in index[1][1].items]
        assert places[0][0] == chunk[3][1][9][1]
        for begin, length in places:
            header = decode(content[begin : begin + length])
            assert len(encode(header)) + header[3][1] == length
            pages += 1
        assert all(a + n == b for (a, n), (b, _) in zip(places, places[1:], strict=False))
    return pages


def test_page_indexes_point_at_the_pages(pair, tmp_path):
    """Offset indexes are written anew; column indexes, of lowest and highest values, moved."""
    joined = tmp_path / "joined.parquet"
    splice(pair, joined)
    assert check_page_indexes(joined) == 3 * 2 * 2 * 3
    before = [c for path in pair for c in column_chunks(path)]
    contents = [path.read_bytes() for path in pair for _ in range(6)]
    merged = joined.read_bytes()
    for old, content, new in zip(before, contents, column_chunks(joined), strict=True):
        at, length = old[6][1], old[7][1]
        assert merged[new[6][1] :][:length] == content[at:][:length]
    meta = pq.read_metadata(joined)
    assert meta.row_group(3).column(0).has_column_index


def test_a_reader_that_knows_page_indexes_asks_for_single_pages(pair, tmp_path):
    """DuckDB does: of the day it wants it reads two pages of each column in the second file, and
    all others are nonsense. The other three go by row groups alone."""
    joined = tmp_path / "joined.parquet"
    splice(pair, joined)
    content = bytearray(joined.read_bytes())
    for number, chunk in enumerate(column_chunks(joined)):
        index = decode(bytes(content[chunk[4][1] : chunk[4][1] + chunk[5][1]]))
        for page, place in enumerate(index[1][1].items):
            begin, length = place[1][1], place[2][1]
            # Rows 100 to 199 of April are the last page of a group and the first of the next.
            if (number // 3, page) not in {(2, 2), (3, 0)}:
                content[begin : begin + length] = b"\xff" * length
    day = (dt.date(2020, 4, 2),) * 2
    expected = READERS["pyarrow"](joined, ["Date", "Code", "value"], day)
    assert len(expected) == 100
    joined.write_bytes(content)
    assert READERS["duckdb"](joined, ["Date", "Code", "value"], day) == expected


def test_bloom_filters_move_along(tmp_path):
    """DuckDB writes them, and still finds in them what is there and what is not."""
    paths = []
    with duckdb.connect() as connection:
        for i in range(2):
            path = tmp_path / f"{i}.parquet"
            connection.execute(
                f"COPY (SELECT 'k' || ((range + {i}) % 50 * 2 + {i}) AS k FROM range(5000)) "
                f"TO '{path}' (FORMAT parquet)"
            )
            paths.append(path)
        joined = tmp_path / "joined.parquet"
        splice(paths, joined)

        def excludes(key: str) -> list[bool]:
            query = (
                f"SELECT bloom_filter_excludes FROM parquet_bloom_probe('{joined}', 'k', '{key}')"
            )
            return [row[0] for row in connection.execute(query).fetchall()]

        assert excludes("k0") == [False, True]
        assert excludes("k1") == [True, False]
        assert connection.execute(f"SELECT count(*) FROM '{joined}'").fetchone() == (10_000,)


@pytest.mark.parametrize("writer", ["polars", "duckdb", "fastparquet"])
def test_files_of_other_writers_join_too(tmp_path, writer):
    """Whatever fields they fill in; positions that stand for nothing stay nought."""
    tables = [quarter(dt.date(2020, month, 1)) for month in (1, 4)]
    paths = [tmp_path / f"{i}.parquet" for i in range(2)]
    for path, table in zip(paths, tables, strict=True):
        if writer == "polars":
            pl.from_arrow(table).write_parquet(path, row_group_size=100)
        elif writer == "duckdb":
            with duckdb.connect() as connection:
                connection.register("rows", table)
                connection.execute(f"COPY rows TO '{path}' (FORMAT parquet)")
        else:
            from tests.dataset.readers import fastparquet

            frame = table.to_pandas().astype({"Date": "datetime64[ns]"})
            fastparquet.write(str(path), frame, row_group_offsets=100)
    joined = tmp_path / "joined.parquet"
    splice(paths, joined)
    columns = ["Code", "value"]
    for name, rows in READERS.items():
        assert rows(joined, columns) == [r for path in paths for r in rows(path, columns)], name
    groups = [pq.read_metadata(path).num_row_groups for path in paths]
    assert pq.read_metadata(joined).num_row_groups == sum(groups)
    check_page_indexes(joined)


def test_ordinals_count_on_and_end_where_the_format_ends(tmp_path, monkeypatch):
    """Row groups of a merged file have numbers of their own, as long as they fit."""
    path, joined = tmp_path / "a.parquet", tmp_path / "joined.parquet"
    pl.from_arrow(quarter(DAY)).write_parquet(path, row_group_size=100)

    def ordinals() -> list[int | None]:
        with joined.open("rb") as file:
            groups = decode(read_footer(file).data)[4][1].items
        return [group[7][1] if 7 in group else None for group in groups]

    splice([path, path], joined)
    assert ordinals() == list(range(6))
    monkeypatch.setattr(footer, "_ORDINALS", 4)
    splice([path, path], joined)
    assert ordinals() == [0, 1, 2, 3, None, None]
    assert pl.read_parquet(joined).height == 600


def test_fields_that_nobody_knows_survive(pair, tmp_path):
    """A newer writer may say more; the copy does not say less."""
    strange = {99: (8, b"of tomorrow")}
    with pair[0].open("rb") as file:
        parts = read_footer(file)
    tree = decode(parts.data)
    tree[4][1].items[0] |= strange
    tree[4][1].items[0][1][1].items[0][3][1].update(strange)
    put_footer(pair[0], encode(tree))
    joined = tmp_path / "joined.parquet"
    splice(pair[:1], joined)
    with joined.open("rb") as file:
        (group, _) = decode(read_footer(file).data)[4][1].items
    assert group[99] == strange[99] == group[1][1].items[0][3][1][99]
    assert pq.read_table(joined).equals(pq.read_table(pair[0]))


def put_footer(path: Path, data: bytes) -> None:
    """Replace the footer of a file."""
    with path.open("rb") as file:
        start = read_footer(file).start
    tail = data + len(data).to_bytes(4, "little") + b"PAR1"
    path.write_bytes(path.read_bytes()[:start] + tail)


def test_only_files_without_rows_give_one_without_rows(tmp_path):
    """No row group in any of them."""
    schema = quarter(DAY).schema
    sources = [write(tmp_path / f"{i}.parquet", schema, []) for i in range(2)]
    joined = tmp_path / "joined.parquet"
    splice(sources, joined)
    assert pq.read_table(joined).equals(schema.empty_table())


def test_an_empty_row_group_is_harmless(tmp_path):
    """Some writers give a file without rows one that is empty."""
    table = quarter(DAY)
    pq.write_table(table[:0], tmp_path / "a.parquet")
    pq.write_table(table, tmp_path / "b.parquet")
    splice([tmp_path / "a.parquet", tmp_path / "b.parquet"], tmp_path / "joined.parquet")
    for name, rows in READERS.items():
        if name != "fastparquet":  # it fails at an empty row group of pyarrow's too
            assert len(rows(tmp_path / "joined.parquet", ["Code"])) == 300, name


def test_copies_begin_at_whole_blocks(pair, tmp_path):
    """So a file system can share them; the same files give the same bytes."""
    first, second = tmp_path / "first.parquet", tmp_path / "second.parquet"
    splice(pair, first)
    splice(pair, second)
    assert first.read_bytes() == second.read_bytes()
    content = first.read_bytes()
    with pair[1].open("rb") as file:
        length = read_footer(file).start
    at = content.index(pair[1].read_bytes()[:length])
    assert at > 0
    assert at % 4096 == 0


@pytest.mark.parametrize("way", ["none", "refused", "nothing", "little"])
def test_it_copies_where_the_kernel_cannot(pair, tmp_path, monkeypatch, way):
    """Other systems, file systems that differ, and calls that copy less than asked."""
    real = os.copy_file_range

    def refused(*_: Any) -> int:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    def little(source: int, target: int, length: int, begin: int, at: int) -> int:
        return real(source, target, min(length, 1000), begin, at)

    if way == "none":
        monkeypatch.delattr(os, "copy_file_range")
    else:
        call = {"refused": refused, "nothing": lambda *_: 0, "little": little}[way]
        monkeypatch.setattr(os, "copy_file_range", call)
    monkeypatch.setattr(splicing, "_BUFFER", 999)
    joined = tmp_path / "joined.parquet"
    splice(pair, joined)
    assert pq.read_table(joined).equals(pa.concat_tables([pq.read_table(path) for path in pair]))


def test_a_full_disk_is_the_error_of_the_system(pair, tmp_path, monkeypatch):
    """What the copying thread meets is raised, not lost."""

    def full(*_: Any) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "copy_file_range", full)
    with pytest.raises(OSError, match="No space left"):
        splice(pair, tmp_path / "joined.parquet")


def test_files_that_differ_beside_their_rows_are_written_anew(pair, tmp_path, monkeypatch):
    """Other metadata of schema or fields: the rows under those of the first."""
    table = pq.read_table(pair[1])
    write(pair[1], table.schema.with_metadata({"version": "2"}), [table[:100], table[100:]])
    joined = tmp_path / "joined.parquet"
    with pytest.raises(Unlike):
        splice(pair, joined)
    copy_row_groups(pair, joined, "joined")
    assert pq.read_table(joined).equals(pa.concat_tables([pq.read_table(path) for path in pair]))
    assert pq.read_schema(joined).equals(pq.read_schema(pair[0]), check_metadata=True)
    assert pq.read_metadata(joined).num_row_groups == 4


def test_files_of_the_same_schema_are_never_written_anew(pair, tmp_path, monkeypatch):
    """Another compression or writer is no reason."""
    monkeypatch.setattr(join, "rewrite", None)
    table = pq.read_table(pair[1])
    write(pair[1], table.schema, [table], compression="gzip", version="1.0")
    content = pair[1].read_bytes()
    pair[1].write_bytes(
        content.replace(b"parquet-cpp-arrow version 2", b"parquet-cpp-arrow version 1")
    )
    joined = tmp_path / "joined.parquet"
    copy_row_groups(pair, joined, "joined")
    assert pq.read_metadata(joined).row_group(2).column(0).compression == "GZIP"


def test_different_columns_are_an_error(pair, tmp_path):
    """Neither joined nor written anew."""
    table = pq.read_table(pair[1])
    for other in (table.drop_columns("value"), table.select(["Date", "value", "Code"])):
        write(pair[1], other.schema, [other])
        with pytest.raises(SchemaMismatch):
            copy_row_groups(pair, tmp_path / "joined.parquet", "joined")


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda _: b"", "0 bytes are no Parquet file"),
        (lambda c: c[:-1], "no Parquet file, or cut off"),
        (lambda c: c[: len(c) // 2], "no Parquet file, or cut off"),
        (lambda c: b"\0" * len(c), "no Parquet file, or cut off"),
        (lambda c: c[:-4] + b"PARE", "the file is encrypted"),
        (lambda c: c[:-8] + b"\xff\xff\xff\x7f" + c[-4:], "a footer of 2147483647 bytes"),
        (lambda c: c[:-300] + b"\xff" * 290 + c[-10:], ""),
        (lambda c: b"PAR1" + c[1000:], ""),
    ],
)
def test_a_damaged_file_is_named_in_one_line(pair, tmp_path, damage, reason):
    """Cut off, overwritten or none at all."""
    pair[1].write_bytes(damage(pair[1].read_bytes()))
    with pytest.raises(StorageError) as info:
        splice(pair, tmp_path / "joined.parquet")
    assert str(info.value).startswith(f"Parquet file {pair[1]}: cannot be read: {reason}")
    assert "\n" not in str(info.value)


def test_a_missing_file_is_named(pair, tmp_path):
    """Somebody removed it."""
    pair[1].unlink()
    with pytest.raises(StorageError, match=r"4\.parquet: cannot be read: No such file"):
        splice(pair, tmp_path / "joined.parquet")


@pytest.mark.parametrize("field", [3, 5, 7])  # rows, position and ordinal
def test_a_number_of_a_row_group_that_is_none_is_an_error(pair, tmp_path, field):
    """Text in its place, as a damaged byte of the footer makes it."""
    with pair[1].open("rb") as file:
        found = read_footer(file)
    tree = decode(found.data)
    groups = tree[4][1]
    groups.items[0][field] = (BINARY, b"x")
    damaged = tmp_path / "damaged.parquet"
    content = encode(tree)
    damaged.write_bytes(
        pair[1].read_bytes()[: found.start] + content + len(content).to_bytes(4, "little") + b"PAR1"
    )
    with pytest.raises(StorageError, match="is missing or no count"):
        splice([pair[0], damaged], tmp_path / "joined.parquet")


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_a_damaged_footer_is_an_error_or_a_footer(pair, tmp_path, data):
    """Any byte of it changed: an error of ours, and never one of Python's."""
    content = bytearray(pair[1].read_bytes())
    with pair[1].open("rb") as file:
        start = read_footer(file).start
    at = data.draw(st.integers(start, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    damaged = tmp_path / "damaged.parquet"
    damaged.write_bytes(content)
    try:
        splice([pair[0], damaged], tmp_path / "joined.parquet")
    except (StorageError, Unlike):
        pass
