"""Flows of statements as the catalogue uses them: by quarter, by four quarters.

Statements are cumulative from the start of the fiscal year, so both are differences of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.market.books.fiscal_periods import FULL_YEAR, Periods, Points
from pipeline.market.books.statements import Statements
from pipeline.market.panel.axis import FloatArray


@dataclass(frozen=True, eq=False)
class Accounts:
    """Figures of a fiscal period and of those before it, seen from points.

    Attributes:
        statements: the book.
        at: where it is looked at.
        period: (points,) the period the questions start from.

    A figure is null where a record it needs is missing; the year before is the one that ended in
    the same month, so nothing is compared across a change of the fiscal year end.
    """

    statements: Statements
    at: Points
    period: Periods

    def cumulative(self, field: str, *, years: int = 0) -> FloatArray:
        """cum(f - years, k): the field as stated, from the start of the fiscal year."""
        return self._stated(field, self.period.years_before(years))

    def whole_year(self, field: str, *, years: int = 0) -> FloatArray:
        """cum(f - years, FY): the field of the full year."""
        return self._stated(field, self.period.years_before(years).whole_year())

    def ttm(self, field: str, *, years: int = 0) -> FloatArray:
        """Four quarters up to the period: cum(f,k) + cum(f-1,FY) - cum(f-1,k), or cum(f,FY)."""
        stated = self.cumulative(field, years=years)
        rest = self.whole_year(field, years=years + 1) - self.cumulative(field, years=years + 1)
        return np.where(self.period.quarter == FULL_YEAR, stated, stated + rest)

    def single_quarter(self, field: str, *, quarters: int = 0) -> FloatArray:
        """The quarter alone, ``quarters`` earlier: cum(f,k) - cum(f,k-1), or cum(f,1Q)."""
        period = self.period.quarters_before(quarters)
        stated = self._stated(field, period)
        before = self._stated(field, period.quarters_before(1))
        return np.where(period.quarter == 1, stated, stated - before)

    def _stated(self, field: str, period: Periods) -> FloatArray:
        return self.statements.figures(field, self.at, period).values
