"""Fiscal periods as numbers, and where one stands when it looks at the books.

A fiscal year is named by the month of its end, counted from January 1970, so a year that ends in
another month (change of the fiscal year end) is another series: the year before is the same month
one year earlier, and there is none when the company closed its books in another month then.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from pipeline.market.calendar.sessions import DateArray
from pipeline.market.panel.axis import IndexArray

FULL_YEAR: Final = 4  # quarter of the statements of the whole year
YEAR: Final = 12  # months

#: No fiscal year: so far from all of them that years before it are none either.
NO_YEAR: Final = -1_000_000


def year_of(ends: DateArray) -> IndexArray:
    """(n,) fiscal years by the last day of each; NO_YEAR for NaT."""
    months = ends.astype("datetime64[M]").astype(np.int64)
    return np.where(np.isnat(ends), NO_YEAR, months)


@dataclass(frozen=True, eq=False)
class Points:
    """Where the books are looked at: on each column as an observer on it would.

    Attributes:
        code: (points,) index of the code on the axis.
        column: (points,) column of the panel.
    """

    code: IndexArray
    column: IndexArray


@dataclass(frozen=True, eq=False)
class Periods:
    """A fiscal period for each point.

    Attributes:
        year: (points,) month in which the fiscal year ends; NO_YEAR for no period.
        quarter: (points,) 1 to 4; the figures of a period run from the start of its year.
    """

    year: IndexArray
    quarter: IndexArray

    def years_before(self, years: int) -> Periods:
        """The same quarter, ``years`` earlier."""
        return Periods(self.year - YEAR * years, self.quarter)

    def quarters_before(self, quarters: int) -> Periods:
        """The period that ended ``quarters`` earlier."""
        years, quarter = np.divmod(self.quarter - 1 - quarters, FULL_YEAR)
        return Periods(self.year + YEAR * years, quarter + 1)

    def whole_year(self) -> Periods:
        """The full year the period belongs to."""
        return Periods(self.year, np.full_like(self.quarter, FULL_YEAR))
