"""Index values along the trading columns, straight from the tables topix, indices, index_option."""

from __future__ import annotations

import datetime as dt

from tests.reference.market import DEPTH, ReferenceMarket, remembered
from tests.reference.operators import (
    Value,
    Values,
    after,
    complete,
    log_return,
    simple_return,
    std,
    window,
)
from tests.reference.tables import Row
from tests.reference.volatility import YEAR


@remembered
def _topix_rows(market: ReferenceMarket) -> dict[dt.date, Row]:
    return {row["Date"]: row for row in market.rows("topix")}


@remembered
def _index_closes(market: ReferenceMarket, code: str) -> dict[dt.date, Value]:
    rows = market.rows_by("indices", "Code").get(code, [])
    return {row["Date"]: row["C"] for row in rows}


@remembered
def topix(market: ReferenceMarket, date: dt.date, field: str = "C") -> list[Value]:
    """A field of TOPIX on the last 500 columns up to T."""
    rows = _topix_rows(market)
    days = market.window(date, DEPTH)
    return [rows[day][field] if day in rows else None for day in days]


@remembered
def index(market: ReferenceMarket, date: dt.date, code: str) -> list[Value]:
    """The close of an index on the last 500 columns up to T."""
    closes = _index_closes(market, code)
    return [None if day is None else closes.get(day) for day in market.window(date, DEPTH)]


@remembered
def nikkei(market: ReferenceMarket, date: dt.date) -> Value:
    """Close of the Nikkei 225: the underlying price in the option file of T."""
    rows = market.rows_by("index_option", "Date").get(date, [])
    prices = [row["UnderPx"] for row in rows if row["EmMrgnTrgDiv"] == "002"]
    return next((price for price in prices if price), None)


@remembered
def topix_returns(market: ReferenceMarket, date: dt.date) -> list[Value]:
    """Simple returns m of TOPIX, 500 columns."""
    return after(topix(market, date), simple_return)


def return_over(closes: Values, k: int) -> Value:
    """``s_T / s_(T-k) - 1``."""
    return simple_return(closes[-1], closes[-1 - k])


def realized_vol(closes: Values, ago: int = 0) -> Value:
    """Annualised deviation of twenty log returns that end at T-ago."""
    g = complete(after(window(closes, 21, ago), log_return)[1:])
    return None if g is None else YEAR**0.5 * std(g)
