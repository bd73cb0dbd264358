"""The audit: a row must not change when what it could not know is taken away.

Every check builds some rows in two ways that must agree bit for bit:

- ``truncation``: from all data, and from what was public at the decision time of a day.
- ``length``: in chunks of different lengths.
- ``append``: day by day, each from what was public that morning, and all at once.
- ``order``: with the records of all sources in another order.

What differs is reported by column, with the number of cells, the largest difference and the first
example. Nothing is excused: a correct catalogue gives no finding.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.features.engine import catalogue
from pipeline.features.engine.chunk_features import Chunk, build
from pipeline.market.calendar.as_of import decision_time, visible
from pipeline.market.calendar.periods import periods_between
from pipeline.market.calendar.sessions import DateArray, TradingCalendar
from pipeline.market.panel.axis import Source

ROW = "(row)"  # stands for a column where rows are missing or too many


@dataclass(frozen=True)
class Finding:
    """One column that changed.

    Attributes:
        check: which check found it, and at what.
        column: name; ROW when the rows themselves differ.
        family: family of the column.
        cells: rows in which it differs.
        largest: largest absolute difference; NaN where one side is null or it is no number.
        date, code: first row that differs.
        expected, seen: its values from all data, and from less.
    """

    check: str
    column: str
    family: str
    cells: int
    largest: float
    date: str
    code: str
    expected: object
    seen: object

    def __str__(self) -> str:
        return (
            f"{self.check}: {self.family}.{self.column} differs in {self.cells} rows, at most by "
            f"{self.largest:.3g}; first {self.date} {self.code}: expected {self.expected}, "
            f"got {self.seen}"
        )


@dataclass(frozen=True, eq=False)
class Inputs:
    """All that chunks are built from.

    Attributes:
        sources: rows of every source, see ``assemble``.
        calendar: the trading calendar as a source: it is published ahead, not for ever.
        unavailable: endpoints without data.
        threads: of one build.
    """

    sources: Mapping[str, Source]
    calendar: Source
    unavailable: Collection[str] = ()
    threads: int = 1

    def trading_calendar(self) -> TradingCalendar:
        return TradingCalendar.from_table(self.calendar.table)

    def public_at(self, session: np.datetime64) -> Inputs:
        """Only what was public at the decision time of ``session``."""
        calendar = self.trading_calendar()
        cutoff = decision_time(session, calendar)

        def cut(source: Source) -> Source:
            return replace(
                source, table=visible(source.table, source.publication, cutoff, calendar)
            )

        sources = {name: cut(source) for name, source in self.sources.items()}
        return replace(self, sources=sources, calendar=cut(self.calendar))

    def in_order(self, order: Callable[[int], NDArray[np.int64]]) -> Inputs:
        """The same records in another order: ``order(n)`` permutes n of them."""

        def moved(source: Source) -> Source:
            return replace(source, table=source.table.take(order(source.table.num_rows)))

        return replace(self, sources={name: moved(s) for name, s in self.sources.items()})

    def build(self, first: np.datetime64, last: np.datetime64) -> Chunk:
        return build(
            self.sources,
            self.trading_calendar(),
            first,
            last,
            threads=self.threads,
            unavailable=self.unavailable,
        )


Progress = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Audit:
    """The checks over one range of days.

    Attributes:
        inputs: all data.
        first, last: sessions, both included.
        columns: which columns are compared; all when empty.
        progress: called with what is being done.
    """

    inputs: Inputs
    first: np.datetime64
    last: np.datetime64
    columns: Collection[str] = ()
    progress: Progress = lambda _: None

    def sessions(self) -> DateArray:
        return self.inputs.trading_calendar().between(self.first, self.last)

    def whole(self) -> Chunk:
        """All rows from all data: what everything else is compared with."""
        self.progress(f"building {self.first} to {self.last} from all data")
        return self.inputs.build(self.first, self.last)

    def truncation(self, whole: Chunk, cuts: Iterable[np.datetime64]) -> Iterator[Finding]:
        """Rows up to each cut, from what was public at its decision time."""
        for cut in cuts:
            self.progress(f"building {self.first} to {cut} from what was public then")
            seen = self.inputs.public_at(cut).build(self.first, cut)
            yield from self._compare(f"truncation at {cut}", whole, seen)

    def length(self, whole: Chunk, months: int) -> Iterator[Finding]:
        """The rows in chunks of ``months`` months on the grid of all chunks."""
        start, end = (day.astype(object) for day in (self.first, self.last))
        for period in periods_between(start, end, months):
            first = max(self.first, np.datetime64(period.first_day))
            last = min(self.last, np.datetime64(period.last_day))
            if self.inputs.trading_calendar().between(first, last).size == 0:
                continue
            self.progress(f"building chunk {period.chunk_id}")
            seen = self.inputs.build(first, last)
            yield from self._compare(f"length {period.chunk_id}", whole, seen)

    def append(self, whole: Chunk, days: Iterable[np.datetime64]) -> Iterator[Finding]:
        """Single days, each from what was public at its decision time."""
        for day in days:
            self.progress(f"building {day} alone from what was public then")
            seen = self.inputs.public_at(day).build(day, day)
            yield from self._compare(f"append {day}", whole, seen)

    def order(self, whole: Chunk, order: Callable[[int], NDArray[np.int64]]) -> Iterator[Finding]:
        """All records of all sources in another order."""
        self.progress(f"building {self.first} to {self.last} with the records in another order")
        seen = self.inputs.in_order(order).build(self.first, self.last)
        yield from self._compare("order", whole, seen)

    def _compare(self, check: str, whole: Chunk, seen: Chunk) -> Iterator[Finding]:
        """The rows of ``seen`` against the same days of ``whole``, a month at a time."""
        begin = int(np.searchsorted(whole.sessions, seen.sessions[0]))
        threads = self.inputs.threads
        found: dict[str, Finding] = {}
        for start, stop in seen.months():
            expected = whole.rows(begin + start, begin + stop, threads)
            for finding in differences(
                check, expected, seen.rows(start, stop, threads), self.columns
            ):
                before = found.get(finding.column)
                found[finding.column] = finding if before is None else _joined(before, finding)
        yield from found.values()


def differences(
    check: str, expected: pa.Table, seen: pa.Table, columns: Collection[str] = ()
) -> list[Finding]:
    """Columns that differ in a null or in a single bit, minus zero included.

    Args:
        expected, seen: rows of the same days, with the catalogue's columns.
        columns: names to compare; all when empty.
    """
    keys = [
        expected.select([catalogue.DATE, catalogue.CODE]),
        seen.select([catalogue.DATE, catalogue.CODE]),
    ]
    if not keys[0].equals(keys[1]):
        return [_other_rows(check, *keys)]
    wanted = columns or expected.column_names
    findings = []
    for name in wanted:
        unlike = _unlike(expected[name], seen[name])
        if unlike.any():
            findings.append(_finding(check, name, expected, seen, unlike))
    return findings


def _unlike(expected: pa.ChunkedArray[Any], seen: pa.ChunkedArray[Any]) -> NDArray[np.bool_]:
    """(rows,) where the two columns differ in a null or a bit."""
    nulls = [np.asarray(column.is_null().to_numpy(), np.bool_) for column in (expected, seen)]
    unlike: NDArray[np.bool_] = nulls[0] != nulls[1]
    if expected.type in (pa.string(), pa.date32()):
        same = np.asarray(pc.equal(expected, seen).to_numpy(), np.bool_)  # keys are never null
        unlike |= ~same
        return unlike
    bits = [
        np.asarray(column.fill_null(0).to_numpy()).view(f"u{expected.type.bit_width // 8}")
        for column in (expected, seen)
    ]
    unlike |= bits[0] != bits[1]
    return unlike


def _finding(
    check: str, name: str, expected: pa.Table, seen: pa.Table, unlike: NDArray[np.bool_]
) -> Finding:
    row = int(np.flatnonzero(unlike)[0])
    both = [table[name].filter(pa.array(unlike)).to_pandas() for table in (expected, seen)]
    numeric = expected.schema.field(name).type not in (pa.string(), pa.date32())
    gaps = (both[0] - both[1]).abs() if numeric else None
    return Finding(
        check=check,
        column=name,
        family=_families().get(name, "key"),
        cells=int(unlike.sum()),
        largest=float("nan") if gaps is None else float(gaps.max()),
        date=str(expected[catalogue.DATE][row].as_py()),
        code=str(expected[catalogue.CODE][row].as_py()),
        expected=expected[name][row].as_py(),
        seen=seen[name][row].as_py(),
    )


def _other_rows(check: str, expected: pa.Table, seen: pa.Table) -> Finding:
    """The first row that only one side has."""
    rows = [
        set(zip(*(column.to_pylist() for column in t.columns), strict=True))
        for t in (expected, seen)
    ]
    only = sorted(rows[0] ^ rows[1]) or sorted(rows[0])
    date, code = only[0]
    return Finding(
        check=check,
        column=ROW,
        family="key",
        cells=len(rows[0] ^ rows[1]),
        largest=float("nan"),
        date=str(date),
        code=str(code),
        expected="a row" if only[0] in rows[0] else "no row",
        seen="a row" if only[0] in rows[1] else "no row",
    )


def _joined(before: Finding, after: Finding) -> Finding:
    """The first example, the sum of the cells."""
    largest = float(np.fmax(before.largest, after.largest))
    return replace(before, cells=before.cells + after.cells, largest=largest)


@cache
def _families() -> dict[str, str]:
    return {
        column: family
        for family, columns in catalogue.columns_by_family().items()
        for column in columns
    }
