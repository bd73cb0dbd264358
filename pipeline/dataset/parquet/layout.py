"""Parquet files of chunks and datasets: the one place that knows how they are laid out.

Rows are sorted by Date and Code, without duplicates; a row group never crosses a month, so that
a later day replaces only the tail of a file. The same rows give the same bytes.

Encoding, measured on one core with 80,000 rows x 310 columns (features, ratios, ranks, flags):
float32 plain with zstd level 1 writes 340 MB/s of ordinary features to 0.80 of their size;
BYTE_STREAM_SPLIT as fast to 0.79, but reads a fifth slower, and fastparquet does not know it;
level 3 gains 1 % in size for up to a quarter of the speed; a dictionary of continuous values
costs two thirds of it. A dictionary pays for keys, for int8 flags (half the size) and for floats
with few distinct values, such as ranks and sector means (0.27 instead of 0.67 of the size, at 240
instead of 370 MB/s). Compression is never off: fastparquet fails at the dictionary of a column
without values otherwise.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.errors import DamagedFile, StorageError
from pipeline.filesystem.local_copies import opened, seekable
from pipeline.filesystem.location import is_remote
from pipeline.manifest import KEYS, columns_of, compare

DATE, CODE = KEYS
REBUILD = "request a rebuild of the chunk: g5 rebuild"  # what helps against a damaged chunk

# Enough to tell one null in 240,000 rows times 80 chunks from none.
_RATE_DIGITS = 9


@dataclass(frozen=True)
class Layout:
    """How values are encoded.

    Attributes:
        level: zstd level.
        repeating: float columns with few distinct values, for which a dictionary is smaller.
    """

    level: int = 1
    repeating: frozenset[str] = field(default_factory=frozenset)


@dataclass(frozen=True)
class Contents:
    """What was written: number of rows, first and last session (None without rows), null rates."""

    rows: int
    first: dt.date | None
    last: dt.date | None
    null_rates: Mapping[str, float]


class KeyOrder:
    """Holds row groups against the order they must have: by Date, Code, each row once, and each
    group within one month.

    Args:
        what: the chunk or dataset, for messages.
    """

    def __init__(self, what: str) -> None:
        self.first: tuple[dt.date, str] | None = None
        self.last: tuple[dt.date, str] | None = None
        self._what = what

    def follow(self, rows: pa.Table) -> None:
        """Take the next row group, which is not empty.

        Raises:
            StorageError: rows not ascending by Date and Code, a null key, or two months.
        """
        dates, codes = (rows.column(key).combine_chunks() for key in KEYS)
        if dates.null_count or codes.null_count:
            raise StorageError(f"{self._what}: a row without {DATE} or {CODE}")
        first = (dates[0].as_py(), codes[0].as_py())
        last = (dates[-1].as_py(), codes[-1].as_py())
        if self.last is not None and first <= self.last:
            raise self._disorder(self.last, first)
        if (at := _first_disorder(dates, codes)) is not None:
            before, after = [(dates[i].as_py(), codes[i].as_py()) for i in (at, at + 1)]
            raise self._disorder(before, after)
        if (first[0].year, first[0].month) != (last[0].year, last[0].month):
            raise StorageError(
                f"{self._what}: a row group from {first[0]} to {last[0]}; expected one month",
                "write the rows month by month",
            )
        self.first, self.last = self.first or first, last

    def pass_by(self, first: tuple[dt.date, str], last: tuple[dt.date, str]) -> None:
        """Take the next row group unseen, by its first and last key."""
        self.first, self.last = self.first or first, last

    def _disorder(self, before: tuple[dt.date, str], after: tuple[dt.date, str]) -> StorageError:
        wrong = "twice" if before == after else "out of order"
        return StorageError(
            f"{self._what}: row {after[0]} {after[1]} stands {wrong}, after {before[0]} "
            f"{before[1]}; expected rows ascending by {DATE}, {CODE} without duplicates"
        )


class RowGroupWriter:
    """An open Parquet file to which row groups are added in order; a context manager.

    Args:
        path: the file, normally a temporary name.
        schema: starts with Date and Code; its metadata are written as they are.
        what: the chunk or dataset, for messages.
    """

    def __init__(self, path: Path, schema: pa.Schema, layout: Layout, what: str) -> None:
        self._path = path
        self._schema = schema
        self._layout = layout
        self._what = what
        self._rows = 0
        self._keys = KeyOrder(what)
        self._nulls = dict.fromkeys(schema.names, 0)

    def __enter__(self) -> Self:
        options = _options(self._schema, self._layout)
        self._writer = pq.ParquetWriter(self._sink(), self._schema, **options)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self._writer.close()
            return
        # The file is given up; closing it writes a footer, which must not hide the real error.
        with suppress(Exception):
            self._writer.close()

    def write(self, rows: pa.Table | pa.RecordBatch) -> None:
        """Add one row group: rows of one month, after all rows so far. No rows add nothing.

        Raises:
            SchemaMismatch: other columns than the file's.
            StorageError: rows not ascending by Date and Code, a null key, or two months.
        """
        table = self._fitted(rows)
        if not table.num_rows:
            return
        self._keys.follow(table)
        self._writer.write_table(table, row_group_size=table.num_rows)
        self._rows += table.num_rows
        for name, column in zip(table.column_names, table.columns, strict=True):
            self._nulls[name] += column.null_count

    @property
    def encoding(self) -> str:
        """See ``encoding_of``."""
        return encoding_of(self._schema, self._layout)

    def sha256(self) -> str:
        """Of the closed file, in hex."""
        return file_sha256(self._path)

    def contents(self) -> Contents:
        """What was written so far."""
        rates = {n: round(k / max(self._rows, 1), _RATE_DIGITS) for n, k in self._nulls.items()}
        return Contents(
            rows=self._rows,
            first=self._keys.first[0] if self._keys.first else None,
            last=self._keys.last[0] if self._keys.last else None,
            null_rates=rates,
        )

    def _sink(self) -> Path | pa.NativeFile:
        """Where the row groups go."""
        return self._path

    def _fitted(self, rows: pa.Table | pa.RecordBatch) -> pa.Table:
        """The rows under the file's own schema: equal names and dtypes, its field metadata."""
        table = rows if isinstance(rows, pa.Table) else pa.Table.from_batches([rows])
        if table.schema.equals(self._schema, check_metadata=True):
            return table
        seen = compare(columns_of(self._schema), columns_of(table.schema))
        # Roles are declared by the file's schema; rows on their way to it need not repeat them.
        replace(seen, roles=()).raise_for(self._what, "the code and its catalogue disagree")
        return table.cast(self._schema)


def encoding_of(schema: pa.Schema, layout: Layout) -> str:
    """What decides the bytes of given rows, as 16 hex digits: options and version of the writer.

    Two files of the same one can share row groups as if one writer had written both.
    """
    told = json.dumps([_options(schema, layout), pa.cpp_version], sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def layout_of(path: Path) -> Layout:
    """The layout a file was written with, as far as its footer shows: for a copy of it."""
    metadata = pq.read_metadata(seekable(path))
    if not metadata.num_row_groups:
        return Layout()
    group = metadata.row_group(0)
    columns = [group.column(i) for i in range(metadata.num_columns)]
    coded = {c.path_in_schema for c in columns if c.has_dictionary_page}
    floats = {c.path_in_schema for c in columns if c.physical_type in {"FLOAT", "DOUBLE"}}
    return Layout(repeating=frozenset(coded & floats))


def read_metadata(path: Path) -> pq.FileMetaData:
    """The footer of a Parquet file: what ``pq.read_metadata`` gives, in two thirds of its time.

    That one also makes a table of nested columns, in Python, while all other threads wait.

    Raises:
        OSError, pyarrow.ArrowException: the file cannot be read, or is no Parquet file.
    """
    with pa.PythonFile(seekable(path)) if is_remote(path) else pa.OSFile(str(path)) as file:
        reader = pq.core.ParquetReader()
        reader.open(file)
        return reader.metadata


def parquet_file(path: Path) -> pq.ParquetFile:
    """A Parquet file, open for reading, to be closed. Pages are held against their checksums; of an
    object store, ranges that are read together are asked for together.

    Raises:
        OSError, pyarrow.ArrowException: it cannot be read, or is no Parquet file.
    """
    return pq.ParquetFile(
        seekable(path), pre_buffer=is_remote(path), page_checksum_verification=True
    )


def file_sha256(path: Path) -> str:
    """sha256 of a file's bytes, in hex."""
    with opened(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _first_disorder(dates: pa.Array[Any], codes: pa.Array[Any]) -> int | None:
    """Position of the first row that is not before its successor by (Date, Code)."""
    days = dates.cast(pa.date32()).view(pa.int32()).to_numpy()
    step = np.diff(days)
    code_rises = pc.less(codes[:-1], codes[1:]).to_numpy(zero_copy_only=False)
    wrong = (step < 0) | ((step == 0) & ~code_rises)
    return int(np.argmax(wrong)) if wrong.any() else None


def _options(schema: pa.Schema, layout: Layout) -> dict[str, Any]:
    """Options of the Parquet writer: dictionary where it pays, other values plain."""
    repeating = [f.name for f in schema if f.name in layout.repeating or _repeats(f)]
    return {
        "compression": "zstd",
        "compression_level": layout.level,
        "use_dictionary": repeating,
        "write_statistics": list(KEYS),
        "write_page_index": True,
        "write_page_checksum": True,
    }


def _repeats(column: pa.Field[Any]) -> bool:
    """Keys, flags and text have few distinct values by their nature."""
    return (
        column.name in KEYS
        or column.type in (pa.int8(), pa.string())
        or pa.types.is_dictionary(column.type)
    )


@contextmanager
def reading(path: Path, hint: str = REBUILD) -> Iterator[None]:
    """Say which file pyarrow could not read, and what to do about it.

    Raises:
        DamagedFile: in place of what pyarrow says of its content.
        StorageError: in place of what the system says.
    """
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        # pyarrow has some errors about content that are OSErrors, without a number.
        content = not isinstance(error, OSError) or error.errno is None
        raise (DamagedFile if content else StorageError)(
            f"Parquet file {path}: cannot be read: {' '.join(str(error).split())}", hint
        ) from error


def row_groups(path: Path, hint: str = REBUILD) -> Iterator[pa.Table]:
    """The row groups of a file, one in memory at a time.

    Raises:
        StorageError: it is damaged.
    """
    with reading(path, hint):
        file = parquet_file(path)
    with file:
        for group in range(file.num_row_groups):
            with reading(path, hint):
                rows = file.read_row_group(group)
            yield rows
