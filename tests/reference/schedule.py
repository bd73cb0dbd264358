"""The schedule of earnings dates as of T."""

from __future__ import annotations

import datetime as dt
from typing import NamedTuple

from tests.reference.market import ReferenceMarket, remembered
from tests.reference.publication import Record, known

DEPTH = 120
"""Columns after which an announcement counts for nothing: FYE repeats every year."""

CAP = 60


class Event(NamedTuple):
    """The next earnings date, and the first one announced for the same event."""

    day: dt.date
    announced_first: dt.date


def announced(
    market: ReferenceMarket, code: str, date: dt.date
) -> dict[tuple[str, str], list[Record]]:
    """Announcements in force by (FYE, FQName), ascending; one per event and day of publication."""
    days: dict[tuple[str, str], dict[dt.date, Record]] = {}
    for row in known(market, "earnings_date", code, date, DEPTH):
        # A later row of the file takes the place of an earlier one of the same day.
        days.setdefault((row.text("FYE"), row.text("FQName")), {})[row.day("PubDate")] = row
    return {
        key: [row for _, row in sorted(of_key.items(), key=lambda item: item[0])]
        for key, of_key in sorted(days.items())
    }


@remembered
def next_event(market: ReferenceMarket, code: str, date: dt.date) -> Event | None:
    """The event with the smallest known date after T."""
    events = []
    for rows in announced(market, code, date).values():
        days = [row.date("SchDate") for row in rows]
        if days[-1] is not None and days[-1] > date:
            events.append(Event(days[-1], next(day for day in days if day is not None)))
    return min(events, key=lambda event: event.day, default=None)


def days_to_next(market: ReferenceMarket, code: str, date: dt.date) -> int | None:
    """Columns from T to the next known earnings date, at most 60."""
    event = next_event(market, code, date)
    return None if event is None else columns_until(market, date, event.day, CAP)


def columns_until(market: ReferenceMarket, date: dt.date, day: dt.date, cap: int) -> int | None:
    """Columns from T to eff(day), at most ``cap``; null when the calendar ends too early to say."""
    here, column = market.column_of[date], market.eff(day)
    if column < len(market.columns):
        return min(cap, column - here)
    return cap if len(market.columns) - 1 - here >= cap else None
