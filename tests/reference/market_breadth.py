"""Family market_breadth: counts over the universe."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

from tests.reference.cross_section import returns_of_members, values_of
from tests.reference.market import Feature, History, ReferenceMarket, of_market, remembered
from tests.reference.moving_average import price_to_sma
from tests.reference.operators import (
    SAME_PRICE,
    Value,
    at_least,
    back,
    complete,
    equal,
    mean,
    present,
    ratio,
    std,
    var,
    window,
)
from tests.reference.schedule import days_to_next
from tests.reference.short_ratio import short_share

SOON = 5
"""Columns within which a scheduled date counts."""


@remembered
def members_returns(market: ReferenceMarket, date: dt.date) -> list[float]:
    """The returns of U_T that are known."""
    return present(list(returns_of_members(market, date).values()))


def share(flags: list[bool]) -> Value:
    return mean(flags) if flags else None


def mkt_up_share_1d(market: ReferenceMarket, date: dt.date) -> Value:
    return share([r > 0 for r in members_returns(market, date)])


def toraku_ratio_25d(market: ReferenceMarket, date: dt.date) -> Value:
    advances = declines = 0
    for day in market.window(date, 25):
        known = [] if day is None else members_returns(market, day)
        if not known:
            return None
        advances += sum(r > 0 for r in known)
        declines += sum(r < 0 for r in known)
    share_of = ratio(advances, declines)
    return None if share_of is None else 100 * share_of


def is_above_sma20(s: History) -> Value:
    gap = price_to_sma(s, 20)
    return None if gap is None else float(gap > SAME_PRICE)


@remembered
def mkt_above_sma20_share(market: ReferenceMarket, date: dt.date) -> Value:
    flags = present(values_of(market, market.universe(date), date, is_above_sma20))
    return mean(flags) if flags else None


def new_extreme(s: History) -> Value:
    """1 on the highest high of 250 columns, -1 on the lowest low, 0 on both and neither."""
    highs, lows = at_least(125, window(s.h, 250)), at_least(125, window(s.l, 250))
    if highs is None or lows is None:
        return None
    h, low = back(s.h, 0), back(s.l, 0)
    is_high = h is not None and equal(h, max(highs))
    is_low = low is not None and equal(low, min(lows))
    return float(is_high) - float(is_low)


@remembered
def mkt_new_high_minus_low_250(market: ReferenceMarket, date: dt.date) -> Value:
    known = present(values_of(market, market.universe(date), date, new_extreme))
    return mean(known) if known else None


def mkt_dispersion_1d(market: ReferenceMarket, date: dt.date) -> Value:
    clipped = [min(0.5, max(-0.5, r)) for r in members_returns(market, date)]
    return std(clipped) if len(clipped) > 1 else None


@remembered
def mkt_avg_corr_60(market: ReferenceMarket, date: dt.date) -> Value:
    histories = (market.history(code, date) for code in market.universe(date))
    windows = [complete(window(s.r, 60)) for s in histories if s is not None]
    known = [r for r in windows if r is not None]
    if len(known) < 20:
        return None
    average = [mean(day) for day in zip(*known, strict=True)]
    return ratio(var(average), mean([var(r) for r in known]))


@remembered
def mkt_earn_density_5d(market: ReferenceMarket, date: dt.date) -> Value:
    return earn_density(market, market.universe(date), date)


def earn_density(market: ReferenceMarket, codes: list[str], date: dt.date) -> Value:
    """Share of the codes whose next scheduled report comes within five columns."""
    distances = [days_to_next(market, code, date) for code in codes]
    return share([days is not None and days <= SOON for days in distances])


def short_ratio_market(market: ReferenceMarket, date: dt.date) -> Value:
    return short_share(market.rows_by("short_ratio", "Date").get(date, []))


FORMULAS: dict[str, Callable[[ReferenceMarket, dt.date], Value]] = {
    "mkt_up_share_1d": mkt_up_share_1d,
    "toraku_ratio_25d": toraku_ratio_25d,
    "mkt_above_sma20_share": mkt_above_sma20_share,
    "mkt_new_high_minus_low_250": mkt_new_high_minus_low_250,
    "mkt_dispersion_1d": mkt_dispersion_1d,
    "mkt_avg_corr_60": mkt_avg_corr_60,
    "mkt_earn_density_5d": mkt_earn_density_5d,
    "short_ratio_market": short_ratio_market,
}
FEATURES: dict[str, Feature] = {name: of_market(formula) for name, formula in FORMULAS.items()}
