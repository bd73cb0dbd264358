"""Trading of each stock and day by kind of order (mkt-breakdown), codes x trailing columns."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.market.axis import NOWHERE, Axis, FloatArray, Source, numbers_of
from pipeline.market.daily import own_columns

#: Columns kept in front of the wanted ones: the longest window of the catalogue is 120.
HISTORY: Final = 119

_FIELDS: Final = {
    "short_cash": "ShrtNoMrgnVa",
    "margin_sell_new": "MrgnSellNewVa",
    "margin_sell_close": "MrgnSellCloseVa",
    "long_buy": "LongBuyVa",
    "margin_buy_new": "MrgnBuyNewVa",
    "margin_buy_close": "MrgnBuyCloseVa",
    "margin_sell_new_shares": "MrgnSellNewVo",
    "margin_buy_new_shares": "MrgnBuyNewVo",
}
COLUMNS = ("Date", "Code", *_FIELDS.values())


@dataclass(frozen=True, eq=False)
class Breakdown:
    """Executed orders of one day, codes x the last columns; NaN where there is no record.

    The columns are the wanted ones and HISTORY before them, as far as the panel has them. Amounts
    are yen, numbers of shares are as of the column's own date, not adjusted for later splits.

    Attributes:
        short_cash: short sales outside margin accounts, mostly institutional.
        margin_sell_new: short sales that open a margin position.
        margin_sell_close: sales that close a margin long.
        long_buy: purchases outside margin accounts.
        margin_buy_new: purchases that open a margin long.
        margin_buy_close: purchases that close a margin short.
        margin_sell_new_shares: shares of ``margin_sell_new``.
        margin_buy_new_shares: shares of ``margin_buy_new``.
    """

    short_cash: FloatArray
    margin_sell_new: FloatArray
    margin_sell_close: FloatArray
    long_buy: FloatArray
    margin_buy_new: FloatArray
    margin_buy_close: FloatArray
    margin_sell_new_shares: FloatArray
    margin_buy_new_shares: FloatArray

    @cached_property
    def turnover(self) -> FloatArray:
        """All purchases, which are all sales."""
        return self.long_buy + self.margin_buy_new + self.margin_buy_close


def breakdown(source: Source, axis: Axis) -> Breakdown:
    """Arrange the rows of mkt-breakdown along codes and columns."""
    width = min(axis.n_columns, axis.n_out + HISTORY)
    first = axis.n_columns - width
    since = pa.scalar(axis.sessions[first].astype(object), pa.date32())
    recent = source.table.filter(pc.greater_equal(source.table["Date"], since))
    column = own_columns(Source(recent, source.publication), axis)
    code = axis.position_of(recent["Code"])
    row = np.flatnonzero((column >= first) & (code != NOWHERE))
    shape = (axis.codes.size, width)
    at = code[row] * width + column[row] - first  # flat: twice as fast as two indices

    def dense(field: str) -> FloatArray:
        grid = np.full(shape[0] * shape[1], np.nan)
        grid[at] = numbers_of(recent[field])[row]
        return grid.reshape(shape)

    return Breakdown(**{name: dense(field) for name, field in _FIELDS.items()})
