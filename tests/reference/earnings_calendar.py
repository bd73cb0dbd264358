"""Family earnings_calendar: the next scheduled date, and the reaction to the last statement."""

from __future__ import annotations

import datetime as dt

from tests.reference.market import Feature, History, ReferenceMarket, of_line
from tests.reference.operators import Value, at_least, back, mean, ratio, window
from tests.reference.publication import Record, column_after
from tests.reference.schedule import days_to_next, next_event
from tests.reference.series import topix, topix_returns
from tests.reference.statements import book, disclosure

LONGER_SESSION = dt.date(2024, 11, 5)
"""First day on which the session ended at 15:30 instead of 15:00."""

LIMIT = 200
"""Columns for which a reaction is remembered."""

DRIFT_LIMIT = 120


def earn_days_to_next(market: ReferenceMarket, s: History) -> Value:
    return days_to_next(market, s.code, s.date)


def earn_date_shift_days(market: ReferenceMarket, s: History) -> Value:
    event = next_event(market, s.code, s.date)
    return None if event is None else (event.day - event.announced_first).days


def reaction_column(market: ReferenceMarket, record: Record) -> int:
    """The first column whose close can contain a statement."""
    day, time = record.day("DiscDate"), record.text("DiscTime")
    close = "15:30" if day >= LONGER_SESSION else "15:00"
    # Without a time the later column is the safe one.
    if day not in market.column_of or (time != "" and time[:5] < close):
        return market.eff(day)
    return column_after(market, day)


def last_event(market: ReferenceMarket, s: History) -> tuple[int, int] | None:
    """Columns since the publication and since the reaction to the last statement.

    Only the first disclosure of a period is an event. The last of those is meant whose reaction
    column is not after T.
    """
    here = market.column_of[s.date]
    statements = book(market, s.code, s.date)
    firsts = [statements.first(period) for period in statements.rows]
    firsts = [record for record in firsts if reaction_column(market, record) <= here]
    if not firsts:
        return None
    record = max(firsts, key=disclosure)
    return here - record.column, here - reaction_column(market, record)


def on_the_reaction_day(market: ReferenceMarket, s: History) -> int | None:
    """Columns since the reaction; null when the statement is older than 200 columns."""
    event = last_event(market, s)
    return None if event is None or event[0] > LIMIT else event[1]


def earn_reaction_1d(market: ReferenceMarket, s: History) -> Value:
    ago = on_the_reaction_day(market, s)
    if ago is None:
        return None
    own, whole = back(s.r, ago), back(topix_returns(market, s.date), ago)
    return None if own is None or whole is None else own - whole


def earn_drift_since(market: ReferenceMarket, s: History) -> Value:
    event = last_event(market, s)
    if event is None or event[1] > DRIFT_LIMIT:
        return None
    index = topix(market, s.date)
    own = ratio(back(s.p, 0), back(s.p, event[1]))
    whole = ratio(back(index, 0), back(index, event[1]))
    return None if own is None or whole is None else own - whole


def earn_reaction_value_ratio(market: ReferenceMarket, s: History) -> Value:
    ago = on_the_reaction_day(market, s)
    if ago is None:
        return None
    before = at_least(10, window(s.tv, 20, ago + 1))
    return None if before is None else ratio(back(s.tv, ago), mean(before))


FEATURES: dict[str, Feature] = {
    "earn_days_to_next": of_line(earn_days_to_next),
    "earn_date_shift_days": of_line(earn_date_shift_days),
    "earn_reaction_1d": of_line(earn_reaction_1d),
    "earn_drift_since": of_line(earn_drift_since),
    "earn_reaction_value_ratio": of_line(earn_reaction_value_ratio),
}
