"""Earnings reports as events of the price."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest

from pipeline.market.books.earnings_reaction import (
    NO_REACTION,
    REACH,
    REMEMBERED,
    EarningsEvents,
    earnings_events,
)
from pipeline.market.calendar.sessions import TradingCalendar
from pipeline.market.panel.axis import Axis
from tests.market.records import CODES, axis, day, source

N = 30
YEAR = dt.date(2023, 3, 31)


def statement(
    disclosed: dt.date,
    time: str | None = "13:00:00",
    *,
    period: str | None = "1Q",
    year: dt.date | None = YEAR,
    kind: str = "1QFinancialStatements_Consolidated_JP",
    code: str = CODES[0],
) -> dict[str, object]:
    return {
        "DiscDate": disclosed,
        "DiscTime": time,
        "Code": code,
        "DocType": kind,
        "CurPerType": period,
        "CurFYEn": year,
    }


def events(*rows: dict[str, object], n: int = N, n_out: int | None = None) -> EarningsEvents:
    return earnings_events(source("fin_summary", *rows), axis(n, n_out or n, CODES[:2]))


def columns(*rows: dict[str, object], n: int = N) -> list[int]:
    """Reaction columns of the first code."""
    book = events(*rows, n=n)
    own: list[int] = book.column[book.offsets[0] : book.offsets[1]].tolist()
    return own


@pytest.mark.parametrize(
    ("time", "column"),
    [
        ("09:00:00", 3),
        ("14:59:59", 3),
        ("15:00:00", 4),
        ("15:30:00", 4),
        ("00:00", 3),
        ("", 4),
        (None, 4),
        ("unknown", 4),
    ],
)
def test_before_the_close_the_same_session_reacts(time, column):
    """At 15:00 or later it is the next one; a time that is not told counts as after the close."""
    assert columns(statement(day(3), time)) == [column]


@pytest.mark.parametrize(
    ("date", "time", "reaction"),
    [
        ("2024-11-01", "14:59:00", "2024-11-01"),
        ("2024-11-01", "15:00:00", "2024-11-05"),
        ("2024-11-05", "15:29:59", "2024-11-05"),
        ("2024-11-05", "15:30:00", "2024-11-06"),
        ("2024-11-04", "15:45:00", "2024-11-05"),
    ],
)
def test_the_close_is_half_an_hour_later_from_november_2024(date, time, reaction):
    """Monday 2024-11-04 was a holiday: the next session reacts, whatever the time."""
    days = np.arange(np.datetime64("2024-10-28"), np.datetime64("2024-12-31"))
    closed = ~np.is_busday(days) | (days == np.datetime64("2024-11-04"))
    sessions = days[~closed]
    chart = Axis(
        np.array(CODES[:1]), sessions[:20], 20, TradingCalendar(sessions), np.ones((1, 20))
    )
    rows = source("fin_summary", statement(dt.date.fromisoformat(date), time))
    (column,) = earnings_events(rows, chart).column
    assert sessions[column] == np.datetime64(reaction)


def test_a_disclosure_on_a_closed_day_acts_on_the_next_session():
    """Saturday after column 4, late in the day: Monday, column 5."""
    assert columns(statement(day(4, plus=1), "18:00:00")) == [5]


def test_only_the_first_statement_of_a_period_is_an_event():
    """A correction is none, in whatever order the rows stand; other periods are their own."""
    rows = (
        statement(day(12), "09:00:00"),
        statement(day(3), "16:00:00"),
        statement(day(5), period="2Q"),
        statement(day(9), year=dt.date(2024, 3, 31)),
        statement(day(7), code=CODES[1]),
    )
    for order in (rows, rows[::-1]):
        assert columns(*order) == [4, 5, 9]


def test_two_statements_of_one_day_are_told_apart_by_the_time():
    """The one in the morning is first, also when the other stands before it."""
    assert columns(statement(day(3), "16:00:00"), statement(day(3), "11:30:00")) == [3]


def test_the_year_is_that_of_the_month_it_ends_in():
    """20 March and 31 March are one fiscal year end; the month after is another."""
    rows = statement(day(3)), statement(day(5), year=dt.date(2023, 3, 20))
    assert columns(*rows) == [3]
    assert columns(rows[0], statement(day(5), year=dt.date(2023, 4, 30))) == [3, 5]


def test_what_is_no_statement_is_no_event():
    """Revisions, fourth and fifth quarters, rows without a fiscal year."""
    rows = (
        statement(day(3), kind="EarnForecastRevision"),
        statement(day(4), period="4Q", kind="OtherPeriodFinancialStatements_Consolidated_JP"),
        statement(day(5), period=None),
        statement(day(6), year=None),
        statement(day(7), code="99990"),
    )
    assert columns(*rows) == []


def test_a_repeat_after_the_remembered_columns_is_an_event():
    """Nothing further back is looked for, so the depth of the table does not matter."""
    n = REMEMBERED + 30
    first = statement(day(3))
    assert columns(first, statement(day(3 + REMEMBERED)), n=n) == [3]
    assert columns(first, statement(day(4 + REMEMBERED)), n=n) == [3, 4 + REMEMBERED]
    between = statement(day(20))
    assert columns(first, between, statement(day(4 + REMEMBERED)), n=n) == [3]


def test_the_latest_event_counts_from_its_reaction_column():
    """Disclosed after the close of column 3, it counts from column 4 on."""
    book = events(statement(day(3), "16:00:00"), statement(day(9), period="2Q"))
    np.testing.assert_array_equal(book.reaction[0, [3, 4, 8, 9, 29]], [NO_REACTION, 4, 4, 9, 9])
    assert (book.reaction[1] == NO_REACTION).all()


@pytest.mark.parametrize(("time", "column"), [("13:00:00", 3), ("16:00:00", 4)])
def test_an_event_is_over_after_its_reach(time, column):
    """Its age is that of the publication, also when the price reacted a column later."""
    book = events(statement(day(3), time), n=REACH + 10)
    np.testing.assert_array_equal(book.reaction[0, [REACH + 3, REACH + 4]], [column, NO_REACTION])


def test_values_do_not_depend_on_the_wanted_columns():
    """A narrower request is the tail of a wider one."""
    rows = [statement(day(c), period=p) for c, p in ((2, "1Q"), (11, "2Q"), (24, "FY"))]
    np.testing.assert_array_equal(events(*rows, n_out=7).reaction, events(*rows).reaction[:, -7:])


def test_no_rows():
    """An empty table has no events."""
    assert (events().reaction == NO_REACTION).all()
