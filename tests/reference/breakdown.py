"""Family breakdown: shares of the yen bought on the days of a line, as B in the catalogue."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable

from tests.reference.market import Feature, History, ReferenceMarket, of_line, remembered
from tests.reference.operators import Value, ratio
from tests.reference.tables import Row

Part = Callable[[Row], float]


def bought(row: Row) -> float:
    """B: all buying."""
    return amount(row, "LongBuyVa") + amount(row, "MrgnBuyNewVa") + amount(row, "MrgnBuyCloseVa")


def amount(row: Row, field: str) -> float:
    return float(row[field] or 0.0)


def short_sold(row: Row) -> float:
    return amount(row, "ShrtNoMrgnVa") + amount(row, "MrgnSellNewVa")


def margin_longs_opened(row: Row) -> float:
    return amount(row, "MrgnBuyNewVa") - amount(row, "MrgnSellCloseVa")


def margin_shorts_opened(row: Row) -> float:
    return amount(row, "MrgnSellNewVa") - amount(row, "MrgnBuyCloseVa")


@remembered
def rows_of(market: ReferenceMarket, code: str) -> dict[dt.date, Row]:
    """The records of a code by date."""
    return {row["Date"]: row for row in market.rows_by("breakdown", "Code").get(code, [])}


def records(market: ReferenceMarket, s: History, width: int) -> list[Row]:
    """The records of the listed columns among the last ones."""
    days = market.window(s.date, width)
    rows = rows_of(market, s.code)
    return [
        rows[day]
        for day, listing in zip(days, s.records[-width:], strict=True)
        if day in rows and listing is not None
    ]


def share_of_day(part: Part) -> Feature:
    """A part of B on T."""

    def value(market: ReferenceMarket, s: History) -> Value:
        rows = records(market, s, 1)
        return ratio(part(rows[0]), bought(rows[0])) if rows else None

    return of_line(value)


def share_of_twenty_days(part: Part) -> Feature:
    """The same over the records of twenty columns, at least ten."""

    def value(market: ReferenceMarket, s: History) -> Value:
        rows = records(market, s, 20)
        if len(rows) < 10:
            return None
        return ratio(math.fsum(map(part, rows)), math.fsum(map(bought, rows)))

    return of_line(value)


FEATURES: dict[str, Feature] = {
    "bd_short_share": share_of_day(short_sold),
    "bd_nonmargin_short_share": share_of_day(lambda row: amount(row, "ShrtNoMrgnVa")),
    "bd_margin_buy_share": share_of_day(
        lambda row: amount(row, "MrgnBuyNewVa") + amount(row, "MrgnBuyCloseVa")
    ),
    "bd_margin_long_flow": share_of_day(margin_longs_opened),
    "bd_margin_short_flow": share_of_day(margin_shorts_opened),
    "bd_short_share_20d": share_of_twenty_days(short_sold),
    "bd_margin_long_flow_20d": share_of_twenty_days(margin_longs_opened),
}
