"""Trading of each stock and day by kind of order (mkt-breakdown), codes x trailing columns."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

from pipeline.market.panel.axis import Axis, FloatArray, Source
from pipeline.market.panel.daily_records import placed

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
    records = placed(source, axis, axis.n_out + HISTORY)
    return Breakdown(**{name: records.numbers(field) for name, field in _FIELDS.items()})
