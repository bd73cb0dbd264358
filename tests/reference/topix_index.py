"""Family topix_index: TOPIX and spreads between indices."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from functools import partial

from tests.reference.market import Feature, ReferenceMarket, of_market
from tests.reference.moving_average import true_ranges
from tests.reference.operators import (
    Value,
    at_least,
    back,
    difference,
    mean,
    minus_one,
    ratio,
    simple_return,
    std,
    wilder,
    window,
)
from tests.reference.oscillator import rsi
from tests.reference.series import index, nikkei, realized_vol, return_over, topix

GROWTH_250 = "0070"
SMALL, LARGE = "002D", "002A"
VALUE, GROWTH = "8100", "8200"


def topix_ret(market: ReferenceMarket, date: dt.date, k: int) -> Value:
    return return_over(topix(market, date), k)


def topix_overnight(market: ReferenceMarket, date: dt.date) -> Value:
    return simple_return(back(topix(market, date, "O"), 0), back(topix(market, date), 1))


def topix_intraday(market: ReferenceMarket, date: dt.date) -> Value:
    return simple_return(back(topix(market, date), 0), back(topix(market, date, "O"), 0))


def topix_rsi_14(market: ReferenceMarket, date: dt.date) -> Value:
    return rsi(topix(market, date), 14)


def topix_natr_14(market: ReferenceMarket, date: dt.date) -> Value:
    closes = topix(market, date)
    highs, lows = topix(market, date, "H"), topix(market, date, "L")
    share = ratio(wilder(true_ranges(highs, lows, [None, *closes[:-1]]), 14), closes[-1])
    return None if share is None else 100 * share


def topix_realized_vol_20(market: ReferenceMarket, date: dt.date) -> Value:
    return realized_vol(topix(market, date))


def topix_vol_z_250(market: ReferenceMarket, date: dt.date) -> Value:
    vols = [realized_vol(topix(market, date), ago) for ago in range(250)]
    known = at_least(125, vols)
    if known is None or vols[0] is None:
        return None
    return ratio(vols[0] - mean(known), std(known))


def topix_drawdown_250d(market: ReferenceMarket, date: dt.date) -> Value:
    closes = topix(market, date)
    known = at_least(125, window(closes, 250))
    return None if known is None else minus_one(ratio(closes[-1], max(known)))


def growth250_rel_20d(market: ReferenceMarket, date: dt.date) -> Value:
    return difference(return_over(index(market, date, GROWTH_250), 20), topix_ret(market, date, 20))


def spread_20d(market: ReferenceMarket, date: dt.date, one: str, other: str) -> Value:
    """Return of one index over 20 columns less that of another."""
    return difference(
        return_over(index(market, date, one), 20), return_over(index(market, date, other), 20)
    )


def nt_ratio_chg_20d(market: ReferenceMarket, date: dt.date) -> Value:
    earlier = market.before(date, 20)
    if earlier is None:
        return None
    closes = topix(market, date)
    now = ratio(nikkei(market, date), closes[-1])
    return minus_one(ratio(now, ratio(nikkei(market, earlier), closes[-21])))


FORMULAS: dict[str, Callable[[ReferenceMarket, dt.date], Value]] = {
    **{f"topix_ret_{k}d": partial(topix_ret, k=k) for k in (1, 5, 20)},
    "topix_overnight": topix_overnight,
    "topix_intraday": topix_intraday,
    "topix_rsi_14": topix_rsi_14,
    "topix_natr_14": topix_natr_14,
    "topix_realized_vol_20": topix_realized_vol_20,
    "topix_vol_z_250": topix_vol_z_250,
    "topix_drawdown_250d": topix_drawdown_250d,
    "growth250_rel_20d": growth250_rel_20d,
    "small_minus_large_20d": partial(spread_20d, one=SMALL, other=LARGE),
    "value_minus_growth_20d": partial(spread_20d, one=VALUE, other=GROWTH),
    "nt_ratio_chg_20d": nt_ratio_chg_20d,
}
FEATURES: dict[str, Feature] = {name: of_market(formula) for name, formula in FORMULAS.items()}
