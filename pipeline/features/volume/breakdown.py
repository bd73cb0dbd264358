"""Family breakdown: what kinds of orders the day's trading was made of.

Every trade has a buyer and a seller, so all purchases equal all sales: shares of either side are
shares of one turnover B.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from pipeline.features.engine import window_kernels
from pipeline.features.engine.column_spec import Feature, FloatArray, Scope
from pipeline.market.panel.market_data import Market
from pipeline.market.panel.price_panel import Panel

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
    check="hand",
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
        check="hand; B identity as data check",
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
            f"{_TURNOVER} (MrgnBuyNewVa-MrgnSellCloseVa)/B of T: net opening of margin longs."
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


def compute(market: Market) -> dict[str, FloatArray]:
    """All columns of the family, (codes, n_out) each."""
    panel, records = market.panel, market.breakdown
    short = records.short_cash + records.margin_sell_new
    long_opening = records.margin_buy_new - records.margin_sell_close
    of_the_day = {
        "bd_short_share": short,
        "bd_nonmargin_short_share": records.short_cash,
        "bd_margin_buy_share": records.margin_buy_new + records.margin_buy_close,
        "bd_margin_long_flow": long_opening,
        "bd_margin_short_flow": records.margin_sell_new - records.margin_buy_close,
    }
    shares = {
        name: window_kernels.lagged(window_kernels.ratio(amount, records.turnover), 0, panel.n_out)
        for name, amount in of_the_day.items()
    }
    return {
        **shares,
        "bd_short_share_20d": _share_of_sums(panel, short, records.turnover),
        "bd_margin_long_flow_20d": _share_of_sums(panel, long_opening, records.turnover),
    }


def margin_buy_share_20d(market: Market) -> FloatArray:
    """Mean of bd_margin_buy_share over the records of [T-19..T], (codes, n_out).

    Null below 10 records. It runs over the records of the line, those of days on which the stock
    was outside the universe included, as every window of a base column does.
    """
    panel, records = market.panel, market.breakdown
    share = window_kernels.ratio(
        records.margin_buy_new + records.margin_buy_close, records.turnover
    )
    own = of_lines(panel, share)
    return panel.pick(window_kernels.window_mean(own, _WINDOW, _MIN_RECORDS, panel.n_out))


def of_lines(panel: Panel, values: FloatArray) -> FloatArray:
    """What a window over ``market.breakdown`` may see: records of a line's listed columns.

    Args:
        panel: the whole panel.
        values: (codes, trailing columns).

    Returns:
        (lines, trailing columns): as with bars, what was traded on a day without a master record
        does not count, and a returning code does not see its earlier life.
    """
    listed = panel.listed[:, panel.n_columns - values.shape[1] :]
    return np.where(listed, values[panel.line_code], np.nan)


def _share_of_sums(panel: Panel, part: FloatArray, turnover: FloatArray) -> FloatArray:
    """Sum of ``part`` over that of the turnover, of records that have both, (codes, n_out)."""
    complete = ~np.isnan(part + turnover)

    def total(amount: FloatArray) -> FloatArray:
        own = of_lines(panel, np.where(complete, amount, np.nan))
        return window_kernels.window_sum(own, _WINDOW, _MIN_RECORDS, panel.n_out)

    return panel.pick(window_kernels.ratio(total(part), total(turnover)))
