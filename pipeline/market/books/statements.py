"""Statements: what the companies' published results said, as of each column.

A code's book changes on few columns. ``timeline`` finds them, features are evaluated there, on
arrays of points, and ``Timeline.spread`` repeats the values up to the next change. For instance
the sales of the last full year, on every wanted column, and the columns that supplied them:

    timeline = statements.wanted
    at = timeline.points
    sales = statements.figures("Sales", at, statements.last_full_year(at))
    timeline.spread(sales.values), timeline.spread(sales.columns)

Questions may be asked at any other points too, in any order: an answer depends on its own point
alone. ``market.accounts`` makes quarters and four-quarter sums of the figures.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from pipeline.market.books import statement_book as book
from pipeline.market.books.change_list import Timeline, timeline
from pipeline.market.books.fiscal_periods import FULL_YEAR, NO_YEAR, YEAR, Periods, Points
from pipeline.market.books.record_in_force import NO_ROW
from pipeline.market.books.statement_book import (
    BoolArray,
    StatementRows,
    statement_rows,
)
from pipeline.market.calendar.sessions import DateArray
from pipeline.market.panel import share_basis
from pipeline.market.panel.axis import Axis, FloatArray, IndexArray, Source

COLUMNS: Final[tuple[str, ...]] = book.COLUMNS
DEPTH: Final = book.DEPTH
MAX_AGE: Final = 200  # columns after its first disclosure for which a latest period counts
REPORTING_GAP: Final = np.timedelta64(400, "D")  # cash flows are due with 2Q and FY only

_NEVER = np.datetime64("NaT", "D")
_ANY_DAY = np.datetime64("9999-12-31", "D")


@dataclass(frozen=True, eq=False)
class Figures:
    """Values of a field at points.

    Attributes:
        values: (points,) NaN where there is none.
        columns: (points,) column from which the row that supplied the value was visible (may be
            negative); the point's own column where there is no value.
    """

    values: FloatArray
    columns: IndexArray


@dataclass(frozen=True, eq=False)
class Latest:
    """A period in force at points; a point without one has NO_YEAR, NaT and NaN.

    Attributes:
        row: (points,) its last row in force, NO_ROW for none.
        period: its fiscal year and quarter.
        end: (points,) datetime64[D], CurPerEn.
    """

    row: IndexArray
    period: Periods
    end: DateArray

    def where(self, condition: BoolArray) -> Latest:
        """The same where ``condition`` (points,) holds, none elsewhere."""
        year = np.where(condition, self.period.year, NO_YEAR)
        return Latest(
            np.where(condition, self.row, NO_ROW),
            Periods(year, self.period.quarter),
            np.where(condition, self.end, _NEVER),
        )


@dataclass(frozen=True, eq=False)
class Statements:
    """The statement book of all codes.

    Attributes:
        axis: of the panel.
        rows: what it consists of.
    """

    axis: Axis
    rows: StatementRows

    def figures(self, field: str, at: Points, period: Periods) -> Figures:
        """A field of a period as of each point: a late correction counts from its disclosure on.

        Args:
            field: one of ``statement_book.FIELDS``; cumulative from the start of the fiscal
                year where it is a flow.
            at: where the book is looked at.
            period: (points,) whose figure is wanted.
        """
        consolidated, alone = self.rows.figures[field]
        values, columns = book.figures_in_force(
            *self._keys, consolidated, alone, at.code, at.column, period.year, period.quarter
        )
        return Figures(values, columns)

    def latest(self, at: Points) -> Latest:
        """The period with the largest CurPerEn in force, whatever its age.

        Of two periods that end together, the one disclosed last.
        """
        return self._newest(at, (), _ANY_DAY)

    def current(self, at: Points) -> Latest:
        """The latest period, none once its first disclosure is older than MAX_AGE columns."""
        latest = self.latest(at)
        first, _ = self.disclosures(at, latest.period)
        age = at.column - np.append(self.rows.visible, 0)[first]  # an entry for NO_ROW
        fresh = (first != NO_ROW) & (age <= MAX_AGE)
        return latest.where(fresh)

    def preceding(self, at: Points, latest: Latest) -> Latest:
        """The reported period with the next smaller CurPerEn than the latest one."""
        return self._newest(at, (), latest.end)

    def reporting(self, at: Points, latest: Latest, fields: tuple[str, ...]) -> Latest:
        """The latest period that reports all ``fields``, which may be ``latest`` itself.

        None if it ended more than REPORTING_GAP before the latest one.

        Args:
            at: where the book is looked at.
            latest: as ``current`` or ``latest`` returned it for these points.
            fields: without values of the company alone, as CFO, CFI and CashEq are.
        """
        found = self._newest(at, fields, _ANY_DAY)
        return found.where(latest.end - found.end <= REPORTING_GAP)  # False where either is NaT

    def disclosures(self, at: Points, period: Periods) -> tuple[IndexArray, IndexArray]:
        """First and last row in force of a period, (points,) each; NO_ROW without one."""
        return book.rows_of_period(*self._keys, at.code, at.column, period.year, period.quarter)

    def last_full_year(self, at: Points) -> Periods:
        """The largest fiscal year with a full-year statement in force; NO_YEAR without one."""
        year = book.last_year_in_force(*self._keys, FULL_YEAR, at.code, at.column)
        return Periods(year, np.full_like(year, FULL_YEAR))

    def issued_shares(self, at: Points, period: Periods) -> FloatArray:
        """(points,) ShOutFY of a period, in the basis of the point's column."""
        return self._in_basis_of(at, self.figures("ShOutFY", at, period))

    def treasury_shares(self, at: Points, period: Periods) -> FloatArray:
        """(points,) TrShFY of a period, in the basis of the point's column; 0 where missing.

        NaN where it is stated and the splits since then are not known.
        """
        stated = self.figures("TrShFY", at, period)
        return np.where(np.isnan(stated.values), 0.0, self._in_basis_of(at, stated))

    def net_shares(self, at: Points, period: Periods) -> FloatArray:
        """(points,) issued less treasury shares, each restated from the column of its own row."""
        return self.issued_shares(at, period) - self.treasury_shares(at, period)

    @cached_property
    def shares(self) -> FloatArray:
        """(codes, columns) shares outstanding on each column, in its own basis.

        NaN without a current period that states them. Also on the first MAX_AGE columns of the
        panel where they were stated before it: splits in between are not known.
        """
        timeline = self.timeline(0)
        points = timeline.points
        return timeline.spread(self.net_shares(points, self.current(points).period))

    @cached_property
    def wanted(self) -> Timeline:
        """The timeline of the wanted columns, for features of (codes, n_out)."""
        return self.timeline(self.axis.first_wanted)

    @cached_property
    def forecast_year(self) -> FloatArray:
        """(codes, n_out) fy*: the fiscal year after the last one with published results.

        Months since 1970 of its end; NaN while there are no results of a full year.
        """
        year = self.last_full_year(self.wanted.points).year
        return self.wanted.spread(np.where(year == NO_YEAR, np.nan, year + YEAR))

    def timeline(self, since: int) -> Timeline:
        """Where answers may change from column ``since`` on: a row comes into force, the period
        it may have opened gets too old, a number of shares in it can no longer be restated, it
        expires; or a split changes the basis."""
        ages = (0, MAX_AGE + 1, share_basis.DEPTH + 1, DEPTH + 1)
        return timeline(self.axis, self.rows.code, self.rows.visible, ages, since)

    @property
    def _keys(self) -> tuple[IndexArray, IndexArray, IndexArray, IndexArray]:
        rows = self.rows
        return rows.begin, rows.visible, rows.year, rows.quarter

    def _in_basis_of(self, at: Points, stated: Figures) -> FloatArray:
        """(points,) numbers of shares, restated from the columns they were stated on."""
        factor = share_basis.restated(self.axis.adj_factor, at.code, stated.columns, at.column)
        return stated.values / factor

    def _newest(
        self, at: Points, fields: tuple[str, ...], before: DateArray | np.datetime64
    ) -> Latest:
        """The newest period that reports some fields and ends before a day; none before NaT."""
        rows = self.rows
        present = np.zeros((len(fields), rows.code.size), dtype=bool)
        for i, field in enumerate(fields):
            present[i] = ~np.isnan(rows.figures[field][0])
        limit = np.broadcast_to(_day_number(before), at.code.shape)
        row, end = book.newest_period(
            *self._keys, _day_number(rows.end), present, at.code, at.column, limit
        )
        # the appended entries are those of NO_ROW
        year, quarter = np.append(rows.year, NO_YEAR)[row], np.append(rows.quarter, FULL_YEAR)[row]
        ends = np.where(row == NO_ROW, _NEVER, end.astype("datetime64[D]"))
        return Latest(row, Periods(year, quarter), ends)


def _day_number(days: DateArray | np.datetime64) -> IndexArray:
    """Days since 1970; negative for NaT."""
    return np.where(np.isnat(days), -1, np.asarray(days).astype(np.int64))


def statements(source: Source, axis: Axis) -> Statements:
    """The statement book from the rows of fin-summary.

    Args:
        source: the columns COLUMNS of fin-summary, any order of rows.
        axis: codes and columns of the panel.
    """
    return Statements(axis, statement_rows(source, axis))
