"""A chunk that grows: the rows that stand stay as they were published, new ones come behind them.

``growth_of`` decides, from what is on disk and what is asked for, whether a build may go on from
the chunk as it is. If so, whole row groups of it are kept as they are; of the open month the
rows are decoded and written once more in front of the new ones, because a month is one row group.
The file is then what a build of all rows at once would have written, byte for byte.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.dataset.build_request import BuildOrder
from pipeline.dataset.content_checks import ChunkWriter, Finding, Ranges
from pipeline.dataset.parquet.append_rows import Kept, TailFile
from pipeline.dataset.parquet.layout import CODE, DATE, Layout, encoding_of, reading
from pipeline.manifest import columns_of, schema_hash, stamped
from pipeline.market.calendar.as_of import decision_time
from pipeline.market.calendar.sessions import TradingCalendar

Document = Mapping[str, Any]

_JST = dt.timezone(dt.timedelta(hours=9))


@dataclass(frozen=True)
class Group:
    """A row group.

    Attributes:
        rows: how many on each day, ascending.
        last_code: of its last row.
    """

    rows: Mapping[dt.date, int]
    last_code: str

    @property
    def first(self) -> dt.date:
        return next(iter(self.rows))

    @property
    def last(self) -> dt.date:
        return next(reversed(list(self.rows)))


@dataclass(frozen=True)
class Base:
    """A chunk on disk, as far as a build that goes on from it must know.

    Attributes:
        path: of the Parquet file.
        parquet_bytes: its size.
        status, metadata: its documents.
        schema: of the file, with its metadata.
        groups: its row groups.
    """

    path: Path
    parquet_bytes: int
    status: Document
    metadata: Document
    schema: pa.Schema
    groups: tuple[Group, ...]

    @property
    def days(self) -> list[dt.date]:
        """The sessions that have rows, ascending."""
        return [day for group in self.groups for day in group.rows]


@dataclass(frozen=True)
class Growth:
    """How a build goes on from a chunk.

    Attributes:
        base: the chunk.
        first: the first session whose rows are made; those before stand.
        groups: number of row groups that are kept as they are.
    """

    base: Base
    first: dt.date
    groups: int


def read_base(path: Path, status: Document, metadata: Document) -> Base:
    """What is to be known of a chunk.

    Raises:
        DamagedFile: its Parquet file is damaged.
        StorageError: it cannot be read.
    """
    with reading(path), pq.ParquetFile(path) as file:
        groups = tuple(_group(file, at) for at in range(file.num_row_groups))
        return Base(path, path.stat().st_size, status, metadata, file.schema_arrow, groups)


def growth_of(
    base: Base, order: BuildOrder, layout: Layout, calendar: TradingCalendar
) -> Growth | str:
    """How a build goes on from a complete chunk, or why it has to make all rows anew.

    A row is final when all it may use was public by the moment up to which its sources were
    known. Where the last rows were made before that, they are made once more.

    Args:
        calendar: the one the new rows are made by.
    """
    if why := _why_not(base, order, layout):
        return why
    covered = [np.datetime64(day) for day in (order.covered_from, base.status["covered_to"])]
    sessions: list[dt.date] = calendar.between(*covered).tolist()
    if base.days != sessions:
        return "holds other sessions than the calendar has now"
    if len({f"{group.first:%Y-%m}" for group in base.groups}) != len(base.groups):
        return "has several row groups of one month"
    known = min(_jst(moment) for moment in base.metadata["checked"].values())
    final = [day for day in sessions if decision_time(np.datetime64(day), calendar) <= known]
    if not final:
        return "holds no row that is final"
    first = calendar.next(np.datetime64(final[-1])).astype(object)
    month = first.replace(day=1)
    return Growth(base, first, sum(group.last < month for group in base.groups))


def writer_of(
    growth: Growth | None, path: Path, schema: pa.Schema, layout: Layout, what: str, ranges: Ranges
) -> ChunkWriter:
    """A writer of all rows of a chunk, or of those that come behind the ones that stand."""
    if growth is None:
        return ChunkWriter(path, schema, layout, what, ranges)
    return GrowingWriter(path, schema, layout, what, ranges, growth)


class GrowingWriter(ChunkWriter):
    """Writes the rows of a chunk behind those that stand; what it tells is about all of them."""

    def __init__(
        self,
        path: Path,
        schema: pa.Schema,
        layout: Layout,
        what: str,
        ranges: Ranges,
        growth: Growth,
    ) -> None:
        super().__init__(path, schema, layout, what, ranges)
        self._growth = growth
        self._base = base = growth.base
        kept = base.groups[: growth.groups]
        self._tail = TailFile(Kept(base.path, len(kept), base.status["parquet_sha256"]), path)
        self._begun = False
        for group in kept:
            self._rows += sum(group.rows.values())
            self._rows_on.update(group.rows)
            self._keys.pass_by((group.first, ""), (group.last, group.last_code))
        month = f"{growth.first:%Y-%m}"
        self._findings = [
            Finding(told["month"], tuple(told["not_finite"]), tuple(told["outside"]))
            for told in base.metadata["findings"]
            if told["month"] < month
        ]

    def __enter__(self) -> Self:
        self._tail.__enter__()
        try:
            return super().__enter__()
        except BaseException:
            self._tail.__exit__()
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None and not self._begun:
                standing = self._take_standing()  # no new rows: these stay
                if standing.num_rows:
                    super().write(standing)
            super().__exit__(kind, error, trace)
            if error is None:
                self._sha256 = self._tail.finish()
        finally:
            self._tail.__exit__()

    def write(self, rows: pa.Table | pa.RecordBatch) -> None:
        """Add one row group, the first one together with the rows of its month that stand."""
        table = self._fitted(rows)
        if table.num_rows and not self._begun:
            self._begun = True
            table = _joined(self._take_standing(), table, self._schema)
        super().write(table)

    def sha256(self) -> str:
        return self._sha256

    def _sink(self) -> pa.NativeFile:
        return self._tail.sink()

    def _take_standing(self) -> pa.Table:
        """The rows that stand of the row groups that are not kept.

        Of what remains of the old file the nulls are counted too: the old metadata have those of
        all of it.
        """
        rows = self._base.metadata["rows"]
        for name, rate in self._base.metadata["null_rates"].items():
            # The rate has digits enough to give the count exactly.
            self._nulls[name] = round(rate * rows)
        standing = self._schema.empty_table()
        with reading(self._base.path), pq.ParquetFile(self._base.path) as file:
            for at in range(self._growth.groups, file.num_row_groups):
                table = file.read_row_group(at)
                for name, column in zip(table.column_names, table.columns, strict=True):
                    self._nulls[name] -= column.null_count
                days = self._base.groups[at].rows.items()
                stay = sum(count for day, count in days if day < self._growth.first)
                if stay:
                    standing = table.slice(0, stay)
        return standing


def _why_not(base: Base, order: BuildOrder, layout: Layout) -> str | None:
    """Why the rows that stand cannot be kept, as far as documents and footer tell."""
    status, metadata = base.status, base.metadata
    schema = stamped(order.schema, order.schema_version)
    if metadata["build_id"] != status["build_id"]:
        return "has metadata of another build"
    if base.parquet_bytes != status["parquet_bytes"]:
        return f"has {base.parquet_bytes} bytes, recorded {status['parquet_bytes']}"
    if status["origin"] != order.origin:
        return f"was made from origin {status['origin']}"
    if status["code_version"] != order.code_version:
        return f"was made by {status['code_version']}, this is {order.code_version}"
    named = (status["schema_hash"], status["schema_version"])
    if named != (schema_hash(columns_of(order.schema)), order.schema_version):
        return "has another schema"
    if metadata["encoding"] != encoding_of(schema, layout) or not base.schema.equals(
        schema, check_metadata=True
    ):
        return "is encoded in another way"
    if set(metadata["unavailable"]) != set(order.unavailable):
        return f"was made without {', '.join(metadata['unavailable']) or 'no source'}"
    if _pins(status["inputs"]) != _pins(entry.key for entry in order.inputs):
        return "was made from snapshots of another as-of day or tag"
    if status["covered_from"] != str(order.covered_from):
        return f"begins {status['covered_from']}"
    if status["covered_to"] >= str(order.covered_to):
        return f"ends {status['covered_to']}"
    return None


def _pins(keys: Iterable[str]) -> set[str]:
    """As-of days and tags of snapshots: what follows the two dates in their keys."""
    return {key.partition("_raw_")[2][len("2020-01-01_2020-12-31") :] for key in keys}


def _jst(moment: str) -> np.datetime64:
    local = dt.datetime.fromisoformat(moment).astimezone(_JST)
    return np.datetime64(local.replace(tzinfo=None), "s")


def _group(file: pq.ParquetFile, at: int) -> Group:
    keys = file.read_row_group(at, columns=[DATE, CODE])
    counted = pc.value_counts(keys[DATE].combine_chunks()).to_pylist()
    rows = {entry["values"]: entry["counts"] for entry in counted}
    return Group(dict(sorted(rows.items())), keys[CODE][-1].as_py())


def _joined(before: pa.Table, after: pa.Table, schema: pa.Schema) -> pa.Table:
    """The rows of both, every column in one piece: how a column is cut would show in the file."""
    if not before.num_rows:
        return after
    pairs = list(zip(before.columns, after.columns, strict=True))[::-1]
    del before, after
    arrays = []
    while pairs:  # one column after the other is let go
        one, other = pairs.pop()
        whole = pa.chunked_array([*one.chunks, *other.chunks])
        arrays.append(whole.unify_dictionaries().combine_chunks())
    return pa.Table.from_arrays(arrays, schema=schema)
