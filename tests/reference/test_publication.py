"""First columns of raw rows, by hand."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pandas as pd
import pytest

from tests.reference.hand import CODE, DAYS, market, weekend_after
from tests.reference.market import ReferenceMarket
from tests.reference.publication import known, margin_column

HOLIDAYS = ["2019-04-29", "2019-04-30", "2019-05-01", "2019-05-02", "2019-05-03", "2019-05-06"]
GOLDEN_WEEK = ReferenceMarket(
    pd.DataFrame({"Date": [], "Code": []}),
    pd.DataFrame({"Date": [], "Code": []}),
    pd.DataFrame(
        {
            "Date": pd.bdate_range("2019-04-01", "2019-05-31").drop(pd.DatetimeIndex(HOLIDAYS)),
            "HolDiv": "1",
        }
    ),
)


@pytest.mark.parametrize(
    ("applied", "published", "first"),
    [
        ("2019-04-12", None, "2019-04-16"),  # Friday: the next Tuesday
        ("2019-04-19", None, "2019-04-23"),
        ("2019-04-26", None, "2019-05-09"),  # ten days closed: the third day
        ("2019-04-25", None, "2019-05-08"),  # the second day, 12 days later, gives the third
        ("2019-04-12", "2019-04-15", "2019-04-15"),
        ("2019-04-12", "2019-04-27", "2019-05-07"),  # stamped on a Saturday
    ],
)
def test_margin_balances_appear_on_the_second_or_third_trading_day(
    applied: str, published: str | None, first: str
) -> None:
    """PubDate where filled, else the second trading day; the third over long breaks."""
    row = {
        "Date": dt.date.fromisoformat(applied),
        "PubDate": None if published is None else dt.date.fromisoformat(published),
    }
    column = margin_column(GOLDEN_WEEK, row)
    assert GOLDEN_WEEK.columns[column] == dt.date.fromisoformat(first)


def test_six_calendar_days_are_not_a_long_break() -> None:
    """The limit itself belongs to the second day."""
    days = pd.DatetimeIndex(["2019-12-24", "2019-12-25", "2019-12-30", "2020-01-06"])
    nothing = pd.DataFrame({"Date": [], "Code": []})
    calendar = pd.DataFrame({"Date": days, "HolDiv": "1"})
    year_end = ReferenceMarket(nothing, nothing, calendar)
    assert margin_column(year_end, {"Date": dt.date(2019, 12, 24), "PubDate": None}) == 2
    assert margin_column(year_end, {"Date": dt.date(2019, 12, 23), "PubDate": None}) == 1
    assert margin_column(year_end, {"Date": dt.date(2019, 12, 25), "PubDate": None}) == 4


def columns_seen(source: str, **row: dt.date) -> list[int]:
    """Columns on which a row is visible with a depth of two."""
    tables: dict[str, Any] = {source: [row]}
    m = market(**tables)
    return [i for i in range(300) if known(m, source, CODE, DAYS[i], depth=2)]


def test_rows_count_from_their_day_and_earnings_dates_a_day_later() -> None:
    """eff(PubDate), the depth included; strictly after PubDate for earnings dates."""
    friday = 104
    assert columns_seen("fin_summary", DiscDate=DAYS[friday]) == [104, 105, 106]
    assert columns_seen("fin_summary", DiscDate=weekend_after(friday)) == [105, 106, 107]
    assert columns_seen("dividend", PubDate=DAYS[friday]) == [104, 105, 106]
    assert columns_seen("earnings_date", PubDate=DAYS[friday]) == [105, 106, 107]
    assert columns_seen("earnings_date", PubDate=weekend_after(friday)) == [105, 106, 107]
    assert columns_seen("short_sale", DiscDate=DAYS[0]) == [0, 1, 2]


def test_without_the_table_there_are_no_records() -> None:
    """A source that is unavailable or empty."""
    assert known(market(), "dividend", CODE, DAYS[5]) == []
    assert known(market(dividend=[]), "dividend", CODE, DAYS[5]) == []
