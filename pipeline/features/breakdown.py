"""Family breakdown: what kinds of orders the day's trading was made of.

Every trade has a buyer and a seller, so all purchases equal all sales: shares of either side are
shares of one turnover B.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from pipeline.features import kernels
from pipeline.features.spec import Feature, FloatArray, Scope
from pipeline.market.data import Market
from pipeline.market.panel import Panel

SCOPE: Scope = "market"

_WINDOW, _MIN_RECORDS = 20, 10

_TURNOVER = (
    "B = LongBuyVa+MrgnBuyNewVa+MrgnBuyCloseVa (equals "
    "LongSellVa+ShrtNoMrgnVa+MrgnSellNewVa+MrgnSellCloseVa);"
)

_feature = partial(
    Feature,
    family="breakdown",
    inputs=(
        "mkt-breakdown.LongSellVa,ShrtNoMrgnVa,MrgnSellNewVa,MrgnSellCloseVa,"
        "LongBuyVa,MrgnBuyNewVa,MrgnBuyCloseVa"
    ),
    lookback=0,
    available="T 18:00 JST; own value of T allowed in row T",
    dtype="float32",
    unit="share",
    null_rule="no breakdown record on T or B=0",
    check="hand; B identity as data check",
)
_sum_feature = partial(
    _feature,
    lookback=_WINDOW - 1,
    null_rule=f"fewer than {_MIN_RECORDS} records",
    check="pandas rolling sum",
)

FEATURES: tuple[Feature, ...] = (
    _feature(
        name="bd_short_share",
        formula=f"{_TURNOVER} (ShrtNoMrgnVa+MrgnSellNewVa)/B of T",
    ),
    _feature(
        name="bd_nonmargin_short_share",
        formula=(
            f"{_TURNOVER} ShrtNoMrgnVa/B of T (short sales outside margin accounts, mostly "
            "institutional)"
        ),
    ),
    _feature(
        name="bd_margin_buy_share",
        formula=f"{_TURNOVER} (MrgnBuyNewVa+MrgnBuyCloseVa)/B of T",
    ),
    _feature(
        name="bd_margin_long_flow",
        formula=(
            f"{_TURNOVER} (MrgnBuyNewVa-MrgnSellCloseVa)/B of T: net opening of margin longs. "
            "[bd_net_value and bd_credit_close_net of the predecessor are the same number]"
        ),
    ),
    _feature(
        name="bd_margin_short_flow",
        formula=(
            f"{_TURNOVER} (MrgnSellNewVa-MrgnBuyCloseVa)/B of T: net opening of margin shorts"
        ),
    ),
    _sum_feature(
        name="bd_short_share_20d",
        formula=(
            f"sum of (ShrtNoMrgnVa+MrgnSellNewVa) over [T-{_WINDOW - 1}..T] / sum of B over the "
            f"same days, at least {_MIN_RECORDS} records"
        ),
    ),
    _sum_feature(
        name="bd_margin_long_flow_20d",
        formula=(
            f"sum of (MrgnBuyNewVa-MrgnSellCloseVa) over [T-{_WINDOW - 1}..T] / sum of B, at least "
            f"{_MIN_RECORDS} records"
        ),
    ),
)


@dataclass(frozen=True, eq=False)
class _Flows:
    """Yen of each day, lines x trailing columns; NaN where there is no record of the line."""

    turnover: FloatArray
    short: FloatArray
    short_cash: FloatArray
    margin_buy: FloatArray
    long_opening: FloatArray
    short_opening: FloatArray


def compute(market: Market) -> dict[str, FloatArray]:
    """All columns of the family, (lines, n_out) each."""
    flows, n_out = _flows(market), market.panel.n_out
    of_the_day = {
        "bd_short_share": flows.short,
        "bd_nonmargin_short_share": flows.short_cash,
        "bd_margin_buy_share": flows.margin_buy,
        "bd_margin_long_flow": flows.long_opening,
        "bd_margin_short_flow": flows.short_opening,
    }
    turnover = kernels.lagged(flows.turnover, 0, n_out)
    shares = {
        name: kernels.ratio(kernels.lagged(values, 0, n_out), turnover)
        for name, values in of_the_day.items()
    }
    return {
        **shares,
        "bd_short_share_20d": _share_of_sums(flows.short, flows.turnover, n_out),
        "bd_margin_long_flow_20d": _share_of_sums(flows.long_opening, flows.turnover, n_out),
    }


def margin_buy_share_20d(market: Market) -> FloatArray:
    """Mean of bd_margin_buy_share over the records of [T-19..T], (codes, n_out).

    Null below 10 records. It runs over the records of the line, those of days on which the stock
    was outside the universe included, as every window of a base column does.
    """
    flows, n_out = _flows(market), market.panel.n_out
    share = kernels.ratio(flows.margin_buy, flows.turnover)
    return market.panel.pick(kernels.window_mean(share, _WINDOW, _MIN_RECORDS, n_out))


def of_lines(panel: Panel, values: FloatArray) -> FloatArray:
    """A field of ``market.breakdown`` per line, null before the line was listed.

    Args:
        values: (codes, trailing columns).

    Returns:
        (lines, trailing columns): a returning code does not see the records of its earlier life.
    """
    column = np.arange(panel.n_columns - values.shape[1], panel.n_columns)
    listed_from = panel.listed.argmax(axis=1)[:, np.newaxis]
    return np.where(column >= listed_from, values[panel.line_code], np.nan)


def _flows(market: Market) -> _Flows:
    records = market.breakdown
    turnover = records.long_buy + records.margin_buy_new + records.margin_buy_close

    def of(values: FloatArray) -> FloatArray:
        """Null where the turnover is, so that sums of both run over the same records."""
        return of_lines(market.panel, np.where(np.isnan(turnover), np.nan, values))

    return _Flows(
        turnover=of(turnover),
        short=of(records.short_cash + records.margin_sell_new),
        short_cash=of(records.short_cash),
        margin_buy=of(records.margin_buy_new + records.margin_buy_close),
        long_opening=of(records.margin_buy_new - records.margin_sell_close),
        short_opening=of(records.margin_sell_new - records.margin_buy_close),
    )


def _share_of_sums(part: FloatArray, turnover: FloatArray, n_out: int) -> FloatArray:
    """Sum of ``part`` over the sum of the turnover of the same records, (lines, n_out)."""
    same = np.where(np.isnan(part), np.nan, turnover)
    return kernels.ratio(
        kernels.window_sum(part, _WINDOW, _MIN_RECORDS, n_out),
        kernels.window_sum(same, _WINDOW, _MIN_RECORDS, n_out),
    )
