"""Which chunks a daily update is about."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest

from pipeline.market.calendar.periods import Period
from pipeline.market.calendar.sessions import TradingCalendar
from pipeline.operations.runs.daily_update import Due, due, steps


@pytest.fixture(scope="module")
def calendar() -> TradingCalendar:
    """Weekdays of a year."""
    days = np.arange("2024-01-01", "2025-01-01", dtype="datetime64[D]")
    return TradingCalendar(days[np.is_busday(days)])


def day(text: str) -> dt.date:
    return dt.date.fromisoformat(f"2024-{text}")


def status(first: str, last: str) -> dict[str, str]:
    return {"covered_from": f"2024-{first}", "covered_to": f"2024-{last}"}


def test_the_running_chunk_is_asked_for_from_its_first_day(calendar: TradingCalendar) -> None:
    """Up to the last published session, whether there is something new or not."""
    newest = Period.parse("2024Q2")
    (chunk,) = due(calendar, day("05-08"), newest, status("04-01", "05-07"), 3)
    assert chunk == Due(day("04-01"), day("05-08"), 3)
    assert due(calendar, day("05-08"), newest, status("04-01", "05-08"), 3) == [chunk]


def test_a_complete_chunk_is_left_alone_when_the_next_begins(calendar: TradingCalendar) -> None:
    """The next one has the same length."""
    found = due(calendar, day("04-01"), Period.parse("2024Q1"), status("01-01", "03-29"), 1)
    assert found == [Due(day("04-01"), day("04-01"), 3)]


def test_days_missed_over_the_end_of_a_chunk_are_made_up_for(calendar: TradingCalendar) -> None:
    """First the chunk that stayed short, then every one after it."""
    found = due(calendar, day("05-02"), Period.parse("2024M02"), status("02-01", "02-28"), 3)
    assert found == [
        Due(day("02-01"), day("02-29"), 1),
        Due(day("03-01"), day("03-29"), 1),
        Due(day("04-01"), day("04-30"), 1),
        Due(day("05-01"), day("05-02"), 1),
    ]
    names = [step.name for step in steps(found)]
    assert names == [
        *(f"incremental run to {chunk.end}" for chunk in found),
        "merge, labels and report",
    ]


def test_a_first_chunk_that_begins_late_is_not_extended_backwards(
    calendar: TradingCalendar,
) -> None:
    """Its own first day is asked for."""
    (chunk,) = due(calendar, day("03-11"), Period.parse("2024Q1"), status("02-15", "03-08"), 3)
    assert chunk.start == day("02-15")


def test_without_chunks_it_begins_with_the_newest(calendar: TradingCalendar) -> None:
    """In the length that the configuration says; a chunk without status is begun anew."""
    assert due(calendar, day("05-08"), None, None, 6) == [Due(day("01-01"), day("05-08"), 6)]
    unreadable = due(calendar, day("05-08"), Period.parse("2024Q2"), None, 6)
    assert unreadable == [Due(day("04-01"), day("05-08"), 3)]
    later = due(calendar, day("03-08"), Period.parse("2024Q2"), status("04-01", "05-07"), 3)
    assert later == [Due(day("01-01"), day("03-08"), 3)]
