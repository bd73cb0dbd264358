"""Quantities of many codes on one date."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable

from tests.reference.market import CARRY, NO_BAR, History, ReferenceMarket, remembered
from tests.reference.operators import Value, mean, present, simple_return


@remembered
def returns(market: ReferenceMarket, code: str) -> dict[dt.date, Value]:
    """r_u, in the basis of u, of every column u on which the code is listed.

    The same as ``market.history(code, u).r[-1]``, in one walk over all columns.
    """
    listings, bars = market.listings(code), market.bars(code)
    result: dict[dt.date, Value] = {}
    close: Value = None
    age = missing = 0
    for day in market.columns:
        missing = 0 if day in listings else missing + 1
        if missing > CARRY:
            close = None
        bar = bars.get(day, NO_BAR)
        before = None if close is None else close * bar.factor
        if bar.is_traded and day in listings:
            close, age = bar.c, 0
        else:
            close, age = before, age + 1
        if age > CARRY:
            close = None
        if day in listings:
            result[day] = simple_return(close, before)
    return result


@remembered
def returns_of_members(market: ReferenceMarket, date: dt.date) -> dict[str, Value]:
    """r_T of every member of U_T, codes ascending."""
    return {code: returns(market, code).get(date) for code in market.universe(date)}


@remembered
def mean_return(market: ReferenceMarket, date: dt.date) -> Value:
    """Equal-weighted mean of r_u over U_u."""
    known = present(list(returns_of_members(market, date).values()))
    return mean(known) if known else None


@remembered
def sector_members(market: ReferenceMarket, date: dt.date, s33: str) -> list[str]:
    """The members of U_T of one S33."""
    members = market.universe(date)
    return [code for code in members if market.listings(code)[date].s33 == s33]


@remembered
def sector17_members(market: ReferenceMarket, date: dt.date, s17: str) -> list[str]:
    """The members of U_T of one S17."""
    members = market.universe(date)
    return [code for code in members if market.listings(code)[date].s17 == s17]


def values_of(
    market: ReferenceMarket,
    codes: Iterable[str],
    date: dt.date,
    formula: Callable[[History], Value],
) -> list[Value]:
    """A quantity of the lines of several codes on one date."""
    histories = (market.history(code, date) for code in codes)
    return [None if history is None else formula(history) for history in histories]
