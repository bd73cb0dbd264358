"""Reference values of the catalogue, one (Date, Code) at a time.

Written from ``tests/data/features.csv`` and the rules it refers to, without a look at the package:
every value is computed from the raw tables by its definition, as slowly as that takes. There is
one module per family; the derived transforms are in ``transforms.py``.
"""

from __future__ import annotations

import csv
import datetime as dt
from functools import cache
from pathlib import Path

import pandas as pd

from tests.reference import (
    alpha158_rolling,
    beta,
    breakdown,
    calendar,
    candle,
    crowding,
    dividend,
    earnings_calendar,
    fundamental,
    futures,
    gap,
    guidance,
    identity,
    investor_flow,
    limit,
    liquidity,
    margin,
    margin_alert,
    market_breadth,
    moving_average,
    option,
    oscillator,
    peer,
    price_return,
    sector,
    sector_relative,
    session,
    short_position,
    short_ratio,
    supply,
    topix_index,
    transforms,
    valuation,
    volatility,
)
from tests.reference.market import Feature, ReferenceMarket, of_bars, of_market
from tests.reference.operators import Value

__all__ = ["NAMES", "ReferenceMarket", "base_value", "catalogue", "transform_value", "universe"]

CATALOGUE = Path(__file__).parents[1] / "data" / "features.csv"

OF_BARS = (
    identity,
    price_return,
    candle,
    moving_average,
    oscillator,
    volatility,
    alpha158_rolling,
    limit,
    session,
)
"""Families of the bars and master records of one line."""

OF_TABLES = (
    liquidity,
    gap,
    sector,
    sector_relative,
    peer,
    beta,
    topix_index,
    market_breadth,
    futures,
    option,
    investor_flow,
    margin,
    margin_alert,
    short_ratio,
    short_position,
    breakdown,
    fundamental,
    guidance,
    valuation,
    dividend,
    earnings_calendar,
    supply,
    crowding,
)
"""Families that look at further tables, or at other codes as well."""

FEATURES: dict[str, Feature] = {
    **{name: of_bars(f) for family in OF_BARS for name, f in family.FEATURES.items()},
    **{name: of_market(f) for name, f in calendar.FEATURES.items()},
    **{name: f for family in OF_TABLES for name, f in family.FEATURES.items()},
}

SOURCES = {
    "idx-bars-daily-topix": "topix",
    "idx-bars-daily": "indices",
    "eq-investor-types": "investor_types",
    "fin-summary": "fin_summary",
    "fin-dividend": "dividend",
    "fin-earnings-date": "earnings_date",
    "mkt-margin-int": "margin_interest",
    "mkt-margin-alert": "margin_alert",
    "mkt-short-ratio": "short_ratio",
    "mkt-short-sale": "short_sale",
    "mkt-breakdown": "breakdown",
    "drv-bars-daily-fut": "futures",
    "drv-bars-daily-opt-225": "index_option",
}
"""Endpoint of the catalogue -> name of the table that may be missing."""

Day = dt.date | pd.Timestamp | str


@cache
def catalogue() -> dict[str, dict[str, str]]:
    """The rows of the catalogue by name."""
    with CATALOGUE.open(encoding="utf-8", newline="") as file:
        return {row["name"]: row for row in csv.DictReader(file)}


NAMES = tuple(name for name in catalogue() if name in FEATURES)
"""Base features this reference can compute, in the order of the catalogue."""


@cache
def sources_of(name: str) -> frozenset[str]:
    """The tables besides bars, master and calendar that the catalogue gives as inputs."""
    endpoints = {part.split(".")[0] for part in catalogue()[name]["inputs"].split(";")}
    return frozenset(SOURCES[endpoint] for endpoint in endpoints if endpoint in SOURCES)


def universe(market: ReferenceMarket, date: Day) -> list[str]:
    """U_T, codes ascending."""
    return list(market.universe(_day(date)))


def base_value(market: ReferenceMarket, name: str, date: Day, code: str) -> Value:
    """Value of a base feature; also for listed codes outside the universe.

    Returns:
        The value before rounding to its stored type, or null; null as well when a table the
        feature needs is missing or empty, and when the code has no master record dated ``date``
        and the feature belongs to a code.

    Raises:
        KeyError: the name is none of :data:`NAMES`, or the date is no trading column.
    """
    day = _day(date)
    key = name, code, day
    if key not in market.values:
        is_fed = all(market.has(source) for source in sources_of(name))
        market.values[key] = FEATURES[name](market, code, day) if is_fed else None
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
