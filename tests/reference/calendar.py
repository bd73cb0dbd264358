"""Family calendar: counters on the published calendar, future included."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

from tests.reference.market import ReferenceMarket
from tests.reference.operators import Value

TWO_DAY_SETTLEMENT = dt.date(2019, 7, 18)
"""First record date whose last cum-rights day is two trading days earlier (before: three)."""

FISCAL_CAP = 120

Month = tuple[int, int]


def next_month(month: Month) -> Month:
    year, number = month
    return (year + 1, 1) if number == 12 else (year, number + 1)


def last_calendar_day(month: Month) -> dt.date:
    return dt.date(*next_month(month), 1) - dt.timedelta(days=1)


def columns_of(market: ReferenceMarket, month: Month) -> list[int]:
    """Column numbers of the trading days of a month."""
    return [i for i, d in enumerate(market.columns) if (d.year, d.month) == month]


def last_column(market: ReferenceMarket, month: Month) -> int | None:
    """Column of the last trading day of a month; null when the calendar ends before it."""
    if market.calendar_end < last_calendar_day(month):
        return None
    return columns_of(market, month)[-1]


def sq_column(market: ReferenceMarket, month: Month) -> int | None:
    """Column of the second Friday of a month, or of the trading day before it."""
    fridays = [day for n in range(1, 15) if (day := dt.date(*month, n)).isoweekday() == 5]
    if market.calendar_end < fridays[1]:
        return None
    return max(i for i, d in enumerate(market.columns) if d <= fridays[1])


def rights_column(market: ReferenceMarket, month: Month) -> int | None:
    """Column of the last cum-rights day of a month."""
    last = last_column(market, month)
    if last is None:
        return None
    return last - (2 if market.columns[last] >= TWO_DAY_SETTLEMENT else 3)


def until_next(
    market: ReferenceMarket,
    date: dt.date,
    column_in: Callable[[ReferenceMarket, Month], int | None],
) -> Value:
    """Columns from T to the first monthly event on or after it."""
    here, month = market.column_of[date], (date.year, date.month)
    while (event := column_in(market, month)) is not None:
        if event >= here:
            return event - here
        month = next_month(month)
    return None


def day_of_week(market: ReferenceMarket, date: dt.date) -> Value:
    return date.isoweekday()


def td_of_month(market: ReferenceMarket, date: dt.date) -> Value:
    return columns_of(market, (date.year, date.month)).index(market.column_of[date]) + 1


def td_to_month_end(market: ReferenceMarket, date: dt.date) -> Value:
    return until_next(market, date, last_column)


def td_to_fy_end(market: ReferenceMarket, date: dt.date) -> Value:
    here = market.column_of[date]
    for year in (date.year, date.year + 1):
        last = last_column(market, (year, 3))
        if last is None:
            # The cap can be known although the end of March is not.
            return FISCAL_CAP if len(market.columns) - 1 - here >= FISCAL_CAP else None
        if last >= here:
            return min(FISCAL_CAP, last - here)
    raise AssertionError("one of two consecutive Marches ends on or after T")


def td_to_sq(market: ReferenceMarket, date: dt.date) -> Value:
    return until_next(market, date, sq_column)


def gap_days_prev(market: ReferenceMarket, date: dt.date) -> Value:
    here = market.column_of[date]
    return None if here == 0 else (date - market.columns[here - 1]).days


def gap_days_next(market: ReferenceMarket, date: dt.date) -> Value:
    here = market.column_of[date]
    if here + 1 == len(market.columns):
        return None
    return (market.columns[here + 1] - date).days


def td_to_rights_last(market: ReferenceMarket, date: dt.date) -> Value:
    return until_next(market, date, rights_column)


FEATURES: dict[str, Callable[[ReferenceMarket, dt.date], Value]] = {
    "day_of_week": day_of_week,
    "td_of_month": td_of_month,
    "td_to_month_end": td_to_month_end,
    "td_to_fy_end": td_to_fy_end,
    "td_to_sq": td_to_sq,
    "gap_days_prev": gap_days_prev,
    "gap_days_next": gap_days_next,
    "td_to_rights_last": td_to_rights_last,
}
