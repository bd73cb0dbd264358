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
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pipeline.market import basis
from pipeline.market import statement_book as book
from pipeline.market.axis import Axis, FloatArray, IndexArray, Source
from pipeline.market.fiscal import FULL_YEAR, NO_YEAR, YEAR, Periods, Points
from pipeline.market.sessions import DateArray
from pipeline.market.statement_book import NO_ROW, StatementRows, statement_rows

COLUMNS: Final[tuple[str, ...]] = book.COLUMNS
DEPTH: Final = book.DEPTH
MAX_AGE: Final = 200  # columns after its first disclosure for which a latest period counts
REPORTING_GAP: Final = np.timedelta64(400, "D")  # cash flows are due with 2Q and FY only


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
        row: (points,) a row of the period, NO_ROW for none.
        period: its fiscal year and quarter.
        end: (points,) datetime64[D], CurPerEn.
    """

    row: IndexArray
    period: Periods
    end: DateArray


@dataclass(frozen=True, eq=False)
class Timeline:
    """The points on which a book may change, over the columns from ``since`` on.

    Attributes:
        points: sorted by code, then column; each code has one on column ``since``.
        index: (codes, columns - since) the point that holds on each column.
    """

    points: Points
    index: NDArray[np.int32]

    def spread(self, values: NDArray[Any]) -> FloatArray:
        """(codes, columns - since) values of the points, each up to the next change."""
        return np.asarray(values, dtype=np.float64)[self.index]


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
        return self._newest(at, (), np.full(at.code.size, NO_ROW))

    def current(self, at: Points) -> Latest:
        """The latest period, none once its first disclosure is older than MAX_AGE columns."""
        latest = self.latest(at)
        first, _ = self.disclosures(at, latest.period)
        disclosed = np.append(self.rows.visible, NO_YEAR)[first]  # long ago where there is none
        return self._period_of(np.where(at.column - disclosed <= MAX_AGE, latest.row, NO_ROW))

    def preceding(self, at: Points, latest: Latest) -> Latest:
        """The reported period with the next smaller CurPerEn than the latest one."""
        found = self._newest(at, (), latest.row)
        return self._period_of(np.where(latest.row == NO_ROW, NO_ROW, found.row))

    def reporting(self, at: Points, latest: Latest, fields: tuple[str, ...]) -> Latest:
        """The latest period that reports all ``fields``, which may be ``latest`` itself.

        None if it ended more than REPORTING_GAP before the latest one.

        Args:
            at: where the book is looked at.
            latest: as ``current`` or ``latest`` returned it for these points.
            fields: without values of the company alone, as CFO, CFI and CashEq are.
        """
        found = self._newest(at, fields, np.full(at.code.size, NO_ROW))
        recent = latest.end - found.end <= REPORTING_GAP  # False where either is NaT
        return self._period_of(np.where(recent, found.row, NO_ROW))

    def disclosures(self, at: Points, period: Periods) -> tuple[IndexArray, IndexArray]:
        """First and last row in force of a period, (points,) each; NO_ROW without one."""
        return book.rows_of_period(*self._keys, at.code, at.column, period.year, period.quarter)

    def last_full_year(self, at: Points) -> Periods:
        """The largest fiscal year with a full-year statement in force; NO_YEAR without one."""
        year = book.last_year_in_force(*self._keys, FULL_YEAR, at.code, at.column)
        return Periods(year, np.full_like(year, FULL_YEAR))

    def net_shares(self, at: Points, period: Periods) -> FloatArray:
        """(points,) issued less treasury shares of a period, in the basis of the point's column.

        A missing number of treasury shares counts as 0. Each number is restated from the column
        of the row that supplied it.
        """
        treasury = self.shares_of("TrShFY", at, period)
        return self.shares_of("ShOutFY", at, period) - np.where(np.isnan(treasury), 0.0, treasury)

    def shares_of(self, field: str, at: Points, period: Periods) -> FloatArray:
        """(points,) a number of shares of a period, in the basis of the point's column."""
        stated = self.figures(field, at, period)
        factor = basis.restated(self.axis.adj_factor, at.code, stated.columns, at.column)
        return stated.values / factor

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
        it may have opened gets too old, an amount in it can no longer be restated, it expires;
        or a split changes the basis."""
        ages = np.array([0, MAX_AGE + 1, basis.DEPTH + 1, DEPTH + 1])
        column = (self.rows.visible[:, None] + ages).ravel() - since
        code = np.repeat(self.rows.code, ages.size)
        width = self.axis.n_columns - since
        inside = (column > 0) & (column < width)
        split_code, split = np.nonzero(self.axis.adj_factor[:, since:] != 1.0)
        key = np.unique(
            np.concatenate(
                [
                    np.arange(self.axis.codes.size) * width,
                    code[inside] * width + column[inside],
                    split_code * width + split,
                ]
            )
        )
        lengths = np.diff(key, append=self.axis.codes.size * width)
        index = np.repeat(np.arange(key.size, dtype=np.int32), lengths)
        points = Points(key // width, key % width + since)
        return Timeline(points, index.reshape(self.axis.codes.size, width))

    @property
    def _keys(self) -> tuple[IndexArray, IndexArray, IndexArray, IndexArray]:
        rows = self.rows
        return rows.begin, rows.visible, rows.year, rows.quarter

    @cached_property
    def _end(self) -> IndexArray:
        """(rows,) CurPerEn in days since 1970; negative where missing."""
        days = self.rows.end.astype(np.int64)
        return np.where(np.isnat(self.rows.end), -1, days)

    def _newest(self, at: Points, fields: tuple[str, ...], later: IndexArray) -> Latest:
        present = np.zeros((len(fields), self.rows.code.size), dtype=bool)
        for i, field in enumerate(fields):
            present[i] = ~np.isnan(self.rows.figures[field][0])
        return self._period_of(
            book.newest_period(*self._keys, self._end, present, at.code, at.column, later)
        )

    def _period_of(self, row: IndexArray) -> Latest:
        """The periods of rows; an entry behind the last row stands for NO_ROW."""
        rows = self.rows
        year = np.append(rows.year, NO_YEAR)[row]
        quarter = np.append(rows.quarter, FULL_YEAR)[row]
        end = np.append(rows.end, np.datetime64("NaT", "D"))[row]
        return Latest(row, Periods(year, quarter), end)


def statements(source: Source, axis: Axis) -> Statements:
    """The statement book from the rows of fin-summary.

    Args:
        source: the columns COLUMNS of fin-summary, any order of rows.
        axis: codes and columns of the panel.
    """
    return Statements(axis, statement_rows(source, axis))
