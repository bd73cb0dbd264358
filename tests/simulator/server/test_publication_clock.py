"""The clock that decides which rows are out."""

from __future__ import annotations

from datetime import date, datetime

import pytest

from pipeline.simulator.exchange.exchange_calendar import TokyoCalendar
from pipeline.simulator.server.publication_clock import (
    AFTER_CLOSE,
    EVENING_BEFORE,
    JST,
    NIGHT_AFTER,
    morning_after,
    tokyo_date,
)

SESSIONS = TokyoCalendar(date(2024, 6, 3), date(2024, 6, 14)).sessions


@pytest.mark.parametrize(
    ("rule", "now", "newest"),
    [
        (AFTER_CLOSE, "2024-06-07T16:29", "2024-06-06"),
        (AFTER_CLOSE, "2024-06-07T16:30", "2024-06-07"),
        (AFTER_CLOSE, "2024-06-09T23:00", "2024-06-07"),
        (NIGHT_AFTER, "2024-06-08T02:59", "2024-06-06"),
        (NIGHT_AFTER, "2024-06-08T03:00", "2024-06-07"),
        (NIGHT_AFTER, "2024-06-10T16:30", "2024-06-07"),
        (EVENING_BEFORE, "2024-06-07T17:29", "2024-06-07"),
        (EVENING_BEFORE, "2024-06-07T17:30", "2024-06-10"),
        (EVENING_BEFORE, "2024-07-30T17:30", "2024-06-14"),
    ],
)
def test_the_newest_visible_session(rule, now, newest):
    """Bars at 16:30, options at 03:00 of the next calendar day, the list the evening before."""
    index = rule.newest(SESSIONS, datetime.fromisoformat(now).replace(tzinfo=JST))
    assert str(SESSIONS[index]) == newest


def test_nothing_is_visible_before_the_first_publication():
    """The index -1 says so."""
    assert AFTER_CLOSE.newest(SESSIONS, datetime(2024, 6, 3, 9, tzinfo=JST)) == -1


def test_the_default_clock_is_the_next_morning_in_tokyo():
    """Everything of the last date is out by then."""
    now = morning_after(date(2024, 6, 14))
    assert now.astimezone(JST).isoformat() == "2024-06-15T08:00:00+09:00"
    assert tokyo_date(now) == date(2024, 6, 15)
