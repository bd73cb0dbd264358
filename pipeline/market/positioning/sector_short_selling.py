"""Short selling of each sector and day (mkt-short-ratio): yen, sectors x columns."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pipeline.market.closed_lists import SHORT_INDUSTRY
from pipeline.market.panel.axis import NOWHERE, Axis, FloatArray, IndexArray, Source, numbers_of
from pipeline.market.panel.daily_records import own_columns
from pipeline.market.texts import encoded

COLUMNS = ("Date", "S33", "SellExShortVa", "ShrtWithResVa", "ShrtNoResVa")


@dataclass(frozen=True, eq=False)
class ShortRatios:
    """Sales of one day, sectors x columns in yen; NaN where there is no record.

    Attributes:
        sectors: (sectors,) 33-industry number, ascending; NaN, at the end, for what
            belongs to none (9999).
        long_sales: sales that are no short sales.
        restricted: short sales with the price restriction (uptick rule) in force.
        unrestricted: short sales without it.
    """

    sectors: FloatArray
    long_sales: FloatArray
    restricted: FloatArray
    unrestricted: FloatArray

    @cached_property
    def shorts(self) -> FloatArray:
        """All short sales."""
        return self.restricted + self.unrestricted

    @cached_property
    def sales(self) -> FloatArray:
        """All sales."""
        return self.long_sales + self.restricted + self.unrestricted

    @cached_property
    def market_share(self) -> FloatArray:
        """(columns,) short sales over all sales of the market, sectors without a number included.

        NaN on columns without a record, and where nothing was sold.
        """
        complete = ~np.isnan(self.sales)
        shorts = np.zeros(complete.shape[1])
        sales = np.zeros(complete.shape[1])
        for sector, known in enumerate(complete):  # one order of summation, whatever the width
            shorts += np.where(known, self.shorts[sector], 0.0)
            sales += np.where(known, self.sales[sector], 0.0)
        return shorts / np.where(sales == 0.0, np.nan, sales)

    def row_of(self, s33: FloatArray) -> IndexArray:
        """Row of each sector number, in the shape of ``s33``; NOWHERE where there is none."""
        numbers = self.sectors[~np.isnan(self.sectors)]
        at = np.searchsorted(numbers, s33)
        return np.where(np.append(numbers, np.nan)[at] == s33, at, NOWHERE)


def short_ratios(source: Source, axis: Axis) -> ShortRatios:
    """Arrange the rows of mkt-short-ratio along the columns.

    Raises:
        UnknownMember: a row of an industry that is in no list.
    """
    column = own_columns(source, axis)
    keep = column >= 0
    SHORT_INDUSTRY.refuse_unknown(source.table)
    text, texts = encoded(SHORT_INDUSTRY.normalised(source.table["S33"]))
    numbers = np.array([SHORT_INDUSTRY.number(name) for name in texts], dtype=np.float64)
    ascending = np.lexsort((np.array(texts, dtype=np.str_), numbers))  # NaN is last
    row = np.argsort(ascending)
    at = (row[text[keep]], column[keep])

    def dense(field: str) -> FloatArray:
        grid = np.full((row.size, axis.n_columns), np.nan)
        grid[at] = numbers_of(source.table[field])[keep]
        return grid

    return ShortRatios(
        sectors=numbers[ascending],
        long_sales=dense("SellExShortVa"),
        restricted=dense("ShrtWithResVa"),
        unrestricted=dense("ShrtNoResVa"),
    )
