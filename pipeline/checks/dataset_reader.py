"""A merged dataset read once, row group by row group: its keys, and what its columns hold.

Memory goes by the rows of one row group times a few columns, and by the samples of one chunk.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.dataset.parquet.layout import CODE, DATE, parquet_file, reading
from pipeline.manifest import KEYS, Column, columns_of
from pipeline.market.drift import ChunkProfile, ColumnProfile, same_all_day
from pipeline.market.panel.row_rules import Finding, Span

SAMPLED = 1024  # rows of a row group that a distribution is made of
_BATCH_BYTES = 64 << 20  # of decoded values in memory at a time

_HINT = (
    "merge again: g5 merge-chunks --anew; is it damaged then, see g5 check-chunks --verify-sha256"
)
_EPOCH = dt.date(1970, 1, 1)

Key = tuple[dt.date, str]


@dataclass(frozen=True)
class Extent:
    """A chunk in a dataset, by what its metadata say: name and number of rows."""

    chunk_id: str
    rows: int


@dataclass
class Keys:
    """What the key columns hold.

    Attributes:
        days: rows of each day.
        spans: chunks with rows, in order.
        findings: on keys and their order.
    """

    days: Counter[dt.date] = field(default_factory=Counter)
    spans: list[Span] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


class DatasetFile:
    """An open dataset; a context manager.

    Args:
        extents: its chunks in order of time; none: each quarter counts as one.

    Raises:
        StorageError: it cannot be read, or is damaged.
    """

    def __init__(self, path: Path, extents: Sequence[Extent] = ()) -> None:
        self.path = path
        with reading(path, _HINT):
            self._file = parquet_file(path)
        self._footer = self._file.metadata
        self._extents = extents

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    @property
    def rows(self) -> int:
        return int(self._footer.num_rows)

    @property
    def columns(self) -> tuple[Column, ...]:
        return columns_of(self._file.schema_arrow)

    def keys(self) -> Keys:
        """Look at the keys of all rows.

        Raises:
            StorageError: it is damaged, or has no such columns.
        """
        found = Keys()
        ranges: list[tuple[dt.date, dt.date] | None] = []
        last: Key | None = None
        tangled = []
        for group in range(self._footer.num_row_groups):
            rows = self._read(group, KEYS)
            dates, codes = (rows[key].combine_chunks() for key in KEYS)
            if nulls := dates.null_count + codes.null_count:
                found.findings.append(_finding("keys", group, f"{nulls} keys are null"))
                rows = rows.filter(pc.and_(dates.is_valid(), codes.is_valid()))
                dates, codes = (rows[key].combine_chunks() for key in KEYS)
            if not rows.num_rows:
                ranges.append(None)
                continue
            days = _days(dates)
            for day, count in zip(*np.unique(days, return_counts=True), strict=True):
                found.days[_date(day)] += int(count)
            ranges.append((_date(days.min()), _date(days.max())))
            wrong = _disorder(days, codes)
            if wrong.size:
                tangled.append(group)
                at = int(wrong[0])
                found.findings.append(
                    _finding("order", group, f"{wrong.size} rows do not follow those before, first "
                             f"{_date(days[at + 1])} {codes[at + 1]} after {_date(days[at])} "
                             f"{codes[at]}")
                )  # fmt: skip
            first = _date(days[0]), codes[0].as_py()
            if last is not None and first <= last:
                found.findings.append(
                    _finding("order", group, f"begins with {first[0]} {first[1]}, the one before "
                             f"ends with {last[0]} {last[1]}")
                )  # fmt: skip
            last = _date(days[-1]), codes[-1].as_py()
            found.findings += self._of_group(group, *ranges[-1])  # type: ignore[misc]
        found.findings += self._duplicates(ranges, tangled)
        found.spans = list(self._spans(ranges))
        return found

    def profiles(self, names: Sequence[str]) -> Iterator[ChunkProfile]:
        """What these columns hold, chunk by chunk.

        Raises:
            StorageError: it is damaged.
        """
        for chunk_id, groups in self._chunks():
            parts = [self._group_profile(group, names) for group in groups]
            rows = sum(self._footer.row_group(group).num_rows for group in groups)
            yield ChunkProfile(
                chunk_id, {name: _joined([part[name] for part in parts], rows) for name in names}
            )

    def _read(self, group: int, columns: Sequence[str]) -> pa.Table:
        with reading(self.path, _HINT):
            table: pa.Table = self._file.read_row_group(group, columns=list(columns))
            return table

    def _of_group(self, group: int, first: dt.date, last: dt.date) -> Iterator[Finding]:
        """One month, and statistics that readers can trust to pass over the others."""
        if (first.year, first.month) != (last.year, last.month):
            yield _finding("order", group, f"{first} to {last} is more than one month")
        index = self._file.schema_arrow.get_field_index(DATE)
        statistics = self._footer.row_group(group).column(index).statistics
        if statistics is None or not statistics.has_min_max:
            yield _finding("order", group, f"no statistics of {DATE}: readers cannot pass over it")
        elif (statistics.min, statistics.max) != (first, last):
            yield _finding(
                "order", group, f"statistics say {statistics.min} to {statistics.max}, its rows "
                f"are of {first} to {last}",
            )  # fmt: skip

    def _duplicates(
        self, ranges: Sequence[tuple[dt.date, dt.date] | None], tangled: Sequence[int]
    ) -> Iterator[Finding]:
        """Keys that stand more than once. Only groups out of order, and those that share days
        with another, can hold such."""
        suspects = sorted({*tangled, *_overlapping(ranges)})
        if not suspects:
            return
        rows = pa.concat_tables([self._read(group, KEYS) for group in suspects]).drop_null()
        counts = rows.group_by(list(KEYS)).aggregate([([], "count_all")])
        twice = counts.filter(pc.greater(counts["count_all"], 1)).sort_by(
            [(DATE, "ascending"), (CODE, "ascending")]
        )
        if twice.num_rows:
            first = twice.slice(0, 1).to_pylist()[0]
            yield Finding(
                "keys", f"{first[DATE]} {first[CODE]}",
                f"stands {first['count_all']} times; {twice.num_rows} keys stand more than once",
            )  # fmt: skip

    def _chunks(self) -> Iterator[tuple[str, list[int]]]:
        """The row groups of each chunk with rows."""
        chunk_of = self._chunk_of_rows()
        named: dict[str, list[int]] = {}
        begin = 0
        for group in range(self._footer.num_row_groups):
            rows = self._footer.row_group(group).num_rows
            if rows:
                named.setdefault(chunk_of(group, begin), []).append(group)
            begin += rows
        yield from named.items()

    def _chunk_of_rows(self) -> Any:
        if not self._extents:
            return lambda group, _begin: _quarter(self._first_day(group))
        ends = np.cumsum([extent.rows for extent in self._extents])
        names = [extent.chunk_id for extent in self._extents]

        def chunk_of(_group: int, begin: int) -> str:
            return names[min(int(np.searchsorted(ends, begin, side="right")), len(names) - 1)]

        return chunk_of

    def _first_day(self, group: int) -> dt.date:
        day: dt.date = pc.min(self._read(group, [DATE])[DATE]).as_py() or _EPOCH
        return day

    def _spans(self, ranges: Sequence[tuple[dt.date, dt.date] | None]) -> Iterator[Span]:
        for chunk_id, groups in self._chunks():
            filled = [found for group in groups if (found := ranges[group]) is not None]
            if filled:
                yield Span(chunk_id, min(a for a, _ in filled), max(b for _, b in filled))

    def _group_profile(self, group: int, names: Sequence[str]) -> dict[str, _Part]:
        rows = self._footer.row_group(group).num_rows
        picked = np.unique(np.linspace(0, rows - 1, min(rows, SAMPLED)).astype(np.int64))
        days = _days(self._read(group, [DATE])[DATE].combine_chunks())[picked]
        starts = np.flatnonzero(np.diff(days, prepend=days[0] - 1))
        at = pa.array(picked)
        step = max(_BATCH_BYTES // (4 * rows), 16)
        found: dict[str, _Part] = {}
        for begin in range(0, len(names), step):
            batch = self._read(group, names[begin : begin + step])
            matrix = np.empty((picked.size, batch.num_columns), np.float32)
            for i, column in enumerate(batch.columns):
                matrix[:, i] = _numbers(column.take(at))
            same = same_all_day(matrix, starts)
            for i, name in enumerate(batch.column_names):
                nulls = batch.column(i).null_count
                found[name] = _Part(nulls, matrix[:, i].copy(), bool(same[i]))
        return found


@dataclass(frozen=True, eq=False)
class _Part:
    """A column in a row group: nulls of all rows, sampled values, the same all day."""

    nulls: int
    sample: NDArray[np.float32]
    same: bool


def _joined(parts: Sequence[_Part], rows: int) -> ColumnProfile:
    values = np.concatenate([part.sample for part in parts])
    return ColumnProfile(
        null_rate=sum(part.nulls for part in parts) / max(rows, 1),
        values=np.sort(values[~np.isnan(values)]),
        market_wide=all(part.same for part in parts),
    )


def _numbers(column: pa.ChunkedArray[Any]) -> NDArray[np.float32]:
    """Values as numbers, NaN for null; of what is no number all are null."""
    kind = column.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        return np.full(len(column), np.nan, np.float32)
    found: NDArray[np.float32] = column.cast(pa.float32(), safe=False).to_numpy()
    return found


def _days(dates: pa.Array[Any]) -> NDArray[np.int32]:
    """Days since 1970, nought for none."""
    numbers = dates.cast(pa.date32()).view(pa.int32()).fill_null(0)
    days: NDArray[np.int32] = numbers.to_numpy()
    return days


def _date(day: Any) -> dt.date:
    return _EPOCH + dt.timedelta(days=int(day))


def _quarter(day: dt.date) -> str:
    return f"{day.year}Q{(day.month + 2) // 3}"


def _disorder(days: NDArray[np.int32], codes: pa.Array[Any]) -> NDArray[np.intp]:
    """Positions of the rows that are not before their successor by (Date, Code)."""
    step = np.diff(days)
    rises = pc.less(codes[:-1], codes[1:]).to_numpy(zero_copy_only=False)
    return np.flatnonzero((step < 0) | ((step == 0) & ~rises))


def _overlapping(ranges: Sequence[tuple[dt.date, dt.date] | None]) -> set[int]:
    """Groups that share a day with another, or may."""
    ordered = sorted((found, group) for group, found in enumerate(ranges) if found is not None)
    found: set[int] = set()
    reach, widest = dt.date.min, -1
    for (first, last), group in ordered:
        if first <= reach:
            found |= {widest, group}
        if last > reach:
            reach, widest = last, group
    return found


def _finding(check: str, group: int, text: str) -> Finding:
    return Finding(check, f"row group {group}", text)
