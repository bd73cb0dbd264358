"""Announced dates of earnings reports, replayed as of each column.

A *report* is a fiscal quarter of a code, (Code, FYE, FQName); FYE is month and day, so its name
comes back every year. Per report the state on column T is one published row, or none:

- a row enters on the column it becomes visible (the trading day after its PubDate) and replaces
  the one before, whatever either says;
- a row without SchDate withdraws the date: the report stays, its date is undecided;
- DEPTH columns after it became visible a row lapses, long before the name comes back.

The *next report* of a code is the one whose row in force has the nearest SchDate after T, the
first in order of (FYE, FQName) where two share the day. Its *first date* is that of its earliest
row with a SchDate among those that have not lapsed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pipeline.market.books.record_in_force import NO_ROW, offsets_of
from pipeline.market.jit import jit
from pipeline.market.panel.axis import Axis, FloatArray, IndexArray, Source, dates_of, ranks
from pipeline.market.texts import encoded

COLUMNS = ("PubDate", "SchDate", "FQName", "FYE", "Code")

DEPTH = 120  # columns a row counts after it became visible

_UNDECIDED = int(np.iinfo(np.int64).min)  # NaT as a number, before every day


@dataclass(frozen=True, eq=False)
class EarningsSchedule:
    """Published rows, sorted by code, report and time of publication.

    Attributes:
        axis: codes and columns.
        offsets: (codes + 1,) the rows of code i are ``offsets[i]:offsets[i + 1]``.
        report: (rows,) number of the report within its code; ascends with (FYE, FQName).
        visible: (rows,) first column each row counts on.
        day: (rows,) SchDate in days since 1970-01-01; the smallest integer where undecided.
        due: (rows,) first column at or after SchDate.
    """

    axis: Axis
    offsets: IndexArray
    report: IndexArray
    visible: IndexArray
    day: IndexArray
    due: IndexArray

    @cached_property
    def days_to_next(self) -> FloatArray:
        """(codes, n_out) columns from T to the next report; NaN when no date is known.

        A date after the end of the published calendar, which reaches a year ahead, counts as the
        first session after that end: it is at least as far as that.
        """
        row, _ = self._next
        return np.where(row == NO_ROW, np.nan, _taken(self.due, row) - self._columns)

    def days_up_to(self, cap: int) -> FloatArray:
        """``days_to_next``, at most ``cap``; NaN too where the calendar ends before both."""
        (end,) = self.axis.column_at_or_after(np.array(["NaT"], dtype="datetime64[D]"))
        days = self.days_to_next
        cut_off = (self._columns + days == end) & (days < cap)
        return np.where(cut_off, np.nan, np.minimum(days, cap))

    @cached_property
    def date_shift(self) -> FloatArray:
        """(codes, n_out) calendar days the next report was moved by since its first date.

        Positive when later than first announced; NaN when no date is known.
        """
        row, first = self._next
        moved = _taken(self.day, row) - _taken(self.day, first)
        return np.where(row == NO_ROW, np.nan, moved)

    @property
    def _columns(self) -> IndexArray:
        return np.arange(self.axis.first_wanted, self.axis.n_columns)

    @cached_property
    def _next(self) -> tuple[IndexArray, IndexArray]:
        """(codes, n_out) row of the next report, and the row that gave its first date."""
        sessions = self.axis.sessions[self._columns].astype("datetime64[D]")
        return _next_reports(
            self.offsets,
            self.report,
            self.visible,
            self.day,
            self._columns,
            sessions.astype(np.int64),
        )


def earnings_schedule(source: Source, axis: Axis) -> EarningsSchedule:
    """The schedule in the rows of fin-earnings-date.

    Rows of one report with the same PubDate, which the vendor's key excludes, would count in the
    order of the table.
    """
    table = source.table
    code, visible = axis.position_of(table["Code"]), axis.visible_from(source)
    report, published = _report_numbers(source), dates_of(table["PubDate"])
    row = np.flatnonzero(axis.may_count(code, visible, axis.first_wanted - DEPTH))
    row = row[np.lexsort((published[row], report[row], code[row]))]
    scheduled = dates_of(table["SchDate"])[row]
    return EarningsSchedule(
        axis=axis,
        offsets=offsets_of(code[row], axis.codes.size),
        report=report[row],
        visible=visible[row],
        day=scheduled.astype(np.int64),
        due=axis.column_at_or_after(scheduled),
    )


def _report_numbers(source: Source) -> IndexArray:
    """(rows,) a number per (FYE, FQName), in their order as text."""
    (year_end, year_ends), (quarter, quarters) = (
        encoded(source.table[name]) for name in ("FYE", "FQName")
    )
    return ranks(year_end, year_ends) * len(quarters) + ranks(quarter, quarters)


def _taken(values: IndexArray, row: IndexArray) -> IndexArray:
    """``values[row]``, 0 where there is no row."""
    return np.append(values, 0)[row]


@jit
def _next_reports(
    offsets: IndexArray,
    report: IndexArray,
    visible: IndexArray,
    day: IndexArray,
    columns: IndexArray,
    today: IndexArray,
) -> tuple[IndexArray, IndexArray]:
    """Replay of the module's rules, (codes, columns) twice: see ``EarningsSchedule._next``."""
    nearest = np.full((offsets.size - 1, columns.size), -1)
    first = np.full((offsets.size - 1, columns.size), -1)
    for i in range(offsets.size - 1):
        for k in range(columns.size):
            row = offsets[i]
            while row < offsets[i + 1]:
                current, announced, start = -1, -1, row
                while row < offsets[i + 1] and report[row] == report[start]:
                    if visible[row] <= columns[k] <= visible[row] + DEPTH:
                        current = row
                        if announced < 0 and day[row] != _UNDECIDED:
                            announced = row
                    row += 1
                if current < 0 or day[current] <= today[k]:
                    continue
                if nearest[i, k] < 0 or day[current] < day[nearest[i, k]]:
                    nearest[i, k], first[i, k] = current, announced
    return nearest, first
