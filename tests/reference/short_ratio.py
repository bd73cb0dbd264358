"""Family short_ratio: short selling in the sector the stock has on T."""

from __future__ import annotations

import datetime as dt
import math

from tests.reference.market import Feature, History, ReferenceMarket, of_line
from tests.reference.operators import Value, ratio
from tests.reference.tables import Row


def total(rows: list[Row], *fields: str) -> float:
    return math.fsum(row[field] or 0.0 for row in rows for field in fields)


def short_share(rows: list[Row]) -> Value:
    """``(R+N)/(S+R+N)`` of the sums of some records; null without a record."""
    short = total(rows, "ShrtWithResVa", "ShrtNoResVa")
    return ratio(short, short + total(rows, "SellExShortVa"))


def records(market: ReferenceMarket, date: dt.date | None, s33: str) -> list[Row]:
    """The record of a sector on one date, if there is one."""
    rows = market.rows_by("short_ratio", "Date").get(date, [])
    return [row for row in rows if row["S33"] == s33]


def own_sector(s: History) -> str:
    record = s.records[-1]
    return "" if record is None else record.s33


def short_ratio_sector(market: ReferenceMarket, s: History) -> Value:
    return short_share(records(market, s.date, own_sector(s)))


def short_restricted_share_sector(market: ReferenceMarket, s: History) -> Value:
    rows = records(market, s.date, own_sector(s))
    return ratio(total(rows, "ShrtWithResVa"), total(rows, "ShrtWithResVa", "ShrtNoResVa"))


def short_ratio_sector_chg_5d(market: ReferenceMarket, s: History) -> Value:
    now = short_ratio_sector(market, s)
    before = short_share(records(market, market.before(s.date, 5), own_sector(s)))
    return None if now is None or before is None else now - before


FEATURES: dict[str, Feature] = {
    "short_ratio_sector": of_line(short_ratio_sector),
    "short_restricted_share_sector": of_line(short_restricted_share_sector),
    "short_ratio_sector_chg_5d": of_line(short_ratio_sector_chg_5d),
}
