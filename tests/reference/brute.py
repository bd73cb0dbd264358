"""Reference values of the catalogue, one (Date, Code) at a time.

Written from ``tests/data/features.csv`` and the rules it refers to, without a look at the package:
every value is computed from the raw tables by its definition, as slowly as that takes.
Families: identity, price_return, candle, moving_average, volatility, alpha158_rolling, calendar,
and the derived transforms of each.
"""

from __future__ import annotations

import csv
import datetime as dt
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pandas as pd

from . import (
    alpha158_rolling,
    calendar,
    candle,
    identity,
    moving_average,
    price_return,
    transforms,
    volatility,
)
from .market import History, ReferenceMarket
from .operators import Value

__all__ = ["NAMES", "ReferenceMarket", "base_value", "catalogue", "transform_value", "universe"]

CATALOGUE = Path(__file__).parents[1] / "data" / "features.csv"

OF_CODE: dict[str, Callable[[History], Value]] = {
    **identity.FEATURES,
    **price_return.FEATURES,
    **candle.FEATURES,
    **moving_average.FEATURES,
    **volatility.FEATURES,
    **alpha158_rolling.FEATURES,
}
OF_DATE = calendar.FEATURES

NAMES = (*OF_CODE, *OF_DATE)
"""Base features this reference can compute."""

Day = dt.date | pd.Timestamp | str


@cache
def catalogue() -> dict[str, dict[str, str]]:
    """The rows of the catalogue by name."""
    with CATALOGUE.open(encoding="utf-8", newline="") as file:
        return {row["name"]: row for row in csv.DictReader(file)}


def universe(market: ReferenceMarket, date: Day) -> list[str]:
    """U_T, codes ascending."""
    return list(market.universe(_day(date)))


def base_value(market: ReferenceMarket, name: str, date: Day, code: str) -> Value:
    """Value of a base feature; also for listed codes outside the universe.

    Returns:
        The value before rounding to its stored type, or null; null as well when the code has no
        master record dated ``date`` and the feature belongs to a code.

    Raises:
        KeyError: the name is none of :data:`NAMES`, or the date is no trading column.
    """
    day = _day(date)
    if name in OF_DATE:
        return OF_DATE[name](market, day)
    key = name, code, day
    if key not in market.values:
        history = market.history(code, day)
        market.values[key] = None if history is None else OF_CODE[name](history)
    return market.values[key]


def transform_value(
    market: ReferenceMarket, feature_name: str, suffix: str, date: Day, code: str
) -> Value:
    """Value of a derived column; null for a code outside U_T.

    Raises:
        KeyError: the feature has no column with this suffix.
    """
    row = catalogue()[feature_name]
    if suffix not in transforms.suffixes_of(row["family"], row["dtype"]):
        raise KeyError(f"{feature_name}: no derived column {suffix}")
    day = _day(date)
    members = market.universe(day)
    if code not in members:
        return None
    x = stored_value(market, feature_name, day, code)
    if suffix in transforms.TIME_SERIES:
        return transforms.time_series(suffix, x, _before(market, feature_name, day, code))
    if suffix in transforms.SECTOR:
        own = market.listings(code)[day].s33
        members = [other for other in members if market.listings(other)[day].s33 == own]
        values = [stored_value(market, feature_name, day, other) for other in members]
        return transforms.sector(suffix, x, values)
    values = [stored_value(market, feature_name, day, other) for other in members]
    return transforms.cross_section(suffix, x, values)


def stored_value(market: ReferenceMarket, name: str, day: dt.date, code: str) -> Value:
    """The base value of a row of the dataset: null where the code was not in the universe."""
    return base_value(market, name, day, code) if code in market.universe(day) else None


def _before(market: ReferenceMarket, name: str, day: dt.date, code: str) -> list[Value]:
    """Stored values of the columns T-20..T-1; columns before the calendar are left out."""
    here = market.column_of[day]
    days = market.columns[max(0, here - transforms.HISTORY) : here]
    return [stored_value(market, name, earlier, code) for earlier in days]


def _day(date: Day) -> dt.date:
    return pd.Timestamp(date).date()
