"""Family label: what became of a stock after T, straight from the raw tables.

Nothing here is asked by a feature. A label looks at columns T+1, T+2, ... of the code's own bars
and brings every price to the basis of the later of two columns.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable
from functools import partial

from tests.reference.basis import factor_after
from tests.reference.cross_section import sector_members
from tests.reference.market import Bar, Feature, ReferenceMarket, remembered
from tests.reference.operators import Value, difference, mean, present, ratio, simple_return
from tests.reference.volatility import realized_vol

HORIZONS = (1, 2, 5, 10, 20)


@remembered
def last_column_with_a_bar(market: ReferenceMarket) -> int:
    """Number of the last column on which any issue at all was traded."""
    days = [
        day
        for code in market.traded_codes
        for day, bar in market.bars(code).items()
        if bar.is_traded and day in market.column_of
    ]
    return max((market.column_of[day] for day in days), default=-1)


@remembered
def topix_opens(market: ReferenceMarket) -> dict[dt.date, Value]:
    return {row["Date"]: row["O"] for row in market.rows("topix")}


def trade(market: ReferenceMarket, code: str, column: int) -> Bar | None:
    """The bar of a column on which the code is listed and traded."""
    day = market.columns[column]
    bar = market.bars(code).get(day)
    if bar is None or not bar.is_traded or day not in market.listings(code):
        return None
    return bar


def last_close(
    market: ReferenceMarket, code: str, first: int, last: int
) -> tuple[int, float] | None:
    """Column and close of the last trade in [first..last]."""
    for column in range(last, first - 1, -1):
        bar = trade(market, code, column)
        if bar is not None and bar.c is not None:
            return column, bar.c
    return None


def price_return(
    market: ReferenceMarket, code: str, entry: int, paid: Value, exit_: int, got: Value
) -> Value:
    """Return between raw prices of two columns."""
    if paid is None:
        return None
    k = factor_after(market, code, market.columns[entry], market.columns[exit_])
    return simple_return(got, paid * k)


def close_to_close(h: int, market: ReferenceMarket, code: str, date: dt.date) -> Value:
    here = market.column_of[date]
    if here + h > last_column_with_a_bar(market):
        return None
    entry = trade(market, code, here)
    found = last_close(market, code, here + 1, here + h)
    if entry is None or found is None:
        return None
    return price_return(market, code, here, entry.c, *found)


def open_to_open(h: int, market: ReferenceMarket, code: str, date: dt.date) -> Value:
    first = market.column_of[date] + 1
    exit_ = first + h
    if exit_ > last_column_with_a_bar(market):
        return None
    entry = trade(market, code, first)
    if entry is None:
        return None
    leaving = trade(market, code, exit_)
    if leaving is not None:
        return price_return(market, code, first, entry.o, exit_, leaving.o)
    found = last_close(market, code, first, exit_ - 1)
    assert found is not None  # T+1 itself has a trade
    return price_return(market, code, first, entry.o, *found)


def log_of(label: Feature, market: ReferenceMarket, code: str, date: dt.date) -> Value:
    value = label(market, code, date)
    return None if value is None else math.log(1 + value)


def vol_scaled(h: int, market: ReferenceMarket, code: str, date: dt.date) -> Value:
    history = market.history(code, date)
    volatility = None if history is None else realized_vol(history, 20)
    if volatility is None or volatility < 0.01:
        return None
    return ratio(open_to_open(h, market, code, date), volatility * math.sqrt(h / 252))


@remembered
def of_universe(market: ReferenceMarket, h: int, date: dt.date) -> list[float]:
    codes = market.universe(date)
    return sorted(present([open_to_open(h, market, code, date) for code in codes]))


def rank(h: int, market: ReferenceMarket, code: str, date: dt.date) -> Value:
    own, known = open_to_open(h, market, code, date), of_universe(market, h, date)
    if own is None or len(known) < 20:
        return None
    below, equal = sum(x < own for x in known), sum(x == own for x in known)
    return (below + (equal + 1) / 2 - 1) / (len(known) - 1)


def market_relative(h: int, market: ReferenceMarket, code: str, date: dt.date) -> Value:
    first = market.column_of[date] + 1
    own = open_to_open(h, market, code, date)
    if own is None:
        return None
    opened, closed = (topix_opens(market).get(market.columns[u]) for u in (first, first + h))
    return difference(own, simple_return(closed, opened))


def sector_relative(h: int, market: ReferenceMarket, code: str, date: dt.date) -> Value:
    own = open_to_open(h, market, code, date)
    members = sector_members(market, date, market.listings(code)[date].s33)
    known = present([open_to_open(h, market, peer, date) for peer in members])
    return difference(own, mean(known)) if len(known) >= 5 else None


def _named(pattern: str, formula: Callable[..., Value]) -> dict[str, Feature]:
    return {pattern.format(h): partial(formula, h) for h in HORIZONS}


_RETURNS: dict[str, Feature] = {
    **_named("label_ret_cc_{}d", close_to_close),
    **_named("label_ret_oo_{}d", open_to_open),
}

LABELS: dict[str, Feature] = {
    **_RETURNS,
    **{
        name.replace("ret", "logret"): partial(log_of, formula)
        for name, formula in _RETURNS.items()
    },
    **_named("label_ret_oo_{}d_volscaled", vol_scaled),
    **_named("label_ret_oo_{}d_rank", rank),
    **_named("label_ret_oo_{}d_mktrel", market_relative),
    **_named("label_ret_oo_{}d_secrel", sector_relative),
}
