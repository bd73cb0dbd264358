"""Publication rules, checked against dates worked out by hand."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.api.catalogue.endpoints import endpoint_of
from pipeline.errors import PipelineError
from pipeline.market.calendar.as_of import (
    Publication,
    decision_time,
    first_visible_column,
    last_published_session,
    publication_moments,
    published_at,
    visible,
)
from pipeline.market.calendar.sessions import TradingCalendar

# Closed days of the Tokyo exchange in the months used here, weekends apart.
CLOSED = """
    2018-12-24 2018-12-31 2019-01-01 2019-01-02 2019-01-03 2019-01-14 2019-02-11 2019-03-21
    2019-04-29 2019-04-30 2019-05-01 2019-05-02 2019-05-03 2019-05-06
    2023-11-03 2023-11-23 2024-01-01 2024-01-02 2024-01-03 2024-01-08
    2026-09-21 2026-09-22 2026-09-23 2026-10-12
"""
PERIODS = [("2018-12-01", "2019-05-31"), ("2023-11-01", "2024-01-31"), ("2026-09-01", "2026-10-31")]


def sessions_of(first: str, last: str) -> np.ndarray:
    days = np.arange(np.datetime64(first), np.datetime64(last) + 1)
    return days[np.is_busday(days, holidays=np.array(CLOSED.split(), dtype="datetime64[D]"))]


CALENDARS = {first[:4]: TradingCalendar(sessions_of(first, last)) for first, last in PERIODS}


def calendar_for(date: str) -> TradingCalendar:
    for calendar in CALENDARS.values():
        if calendar.sessions[0] <= np.datetime64(date) <= calendar.sessions[-1]:
            return calendar
    raise AssertionError(date)


def table(**columns: list[str | None]) -> pa.Table:
    return pa.table(
        {
            name: pa.array(
                [None if value is None else dt.date.fromisoformat(value) for value in values],
                pa.date32(),
            )
            for name, values in columns.items()
        }
    )


def first_row(records: pa.Table, rule: Publication, calendar: TradingCalendar) -> list[str]:
    """Session in whose row each record first appears; "never" where it does not."""
    names = [*map(str, calendar.sessions), "never"]
    return [names[column] for column in first_visible_column(records, rule, calendar)]


# source, date the record is stamped with, published, first row that may use it
RULES = [
    # an ordinary week: Tuesday 2024-01-16
    ("trading_calendar", "2024-01-16", "2023-01-16T00:00", "2024-01-16"),
    ("listed", "2024-01-16", "2024-01-15T17:30", "2024-01-16"),
    ("daily_bars", "2024-01-16", "2024-01-16T16:30", "2024-01-16"),
    ("topix", "2024-01-16", "2024-01-16T16:30", "2024-01-16"),
    ("indices", "2024-01-16", "2024-01-16T16:30", "2024-01-16"),
    ("short_ratio", "2024-01-16", "2024-01-16T16:30", "2024-01-16"),
    ("valuation", "2024-01-16", "2024-01-16T16:30", "2024-01-16"),
    ("breakdown", "2024-01-16", "2024-01-16T18:00", "2024-01-16"),
    ("margin_alert", "2024-01-16", "2024-01-16T16:30", "2024-01-16"),
    ("short_sale", "2024-01-16", "2024-01-16T17:30", "2024-01-16"),
    ("investor_types", "2024-01-18", "2024-01-18T18:00", "2024-01-18"),
    ("fin_summary", "2024-01-16", "2024-01-17T00:30", "2024-01-16"),
    ("dividend", "2024-01-16", "2024-01-16T19:00", "2024-01-16"),
    ("earnings_date", "2024-01-16", "2024-01-17T10:05", "2024-01-17"),
    ("futures", "2024-01-16", "2024-01-17T03:00", "2024-01-16"),
    ("index_option", "2024-01-16", "2024-01-17T03:00", "2024-01-16"),
    # a Friday before a holiday weekend: the cutoff is on Tuesday, the file comes on Saturday
    ("index_option", "2024-01-05", "2024-01-06T03:00", "2024-01-05"),
    ("fin_summary", "2024-01-05", "2024-01-06T00:30", "2024-01-05"),
    ("earnings_date", "2024-01-05", "2024-01-09T10:05", "2024-01-09"),
    ("listed", "2024-01-09", "2024-01-05T17:30", "2024-01-09"),
    # stamped on a closed day: counts from the next trading day
    ("fin_summary", "2024-01-06", "2024-01-10T00:30", "2024-01-09"),
    ("fin_summary", "2024-01-08", "2024-01-10T00:30", "2024-01-09"),
    ("dividend", "2024-01-07", "2024-01-09T19:00", "2024-01-09"),
    ("earnings_date", "2024-01-06", "2024-01-09T10:05", "2024-01-09"),
    ("fin_summary", "2019-05-01", "2019-05-08T00:30", "2019-05-07"),
    # the last session before the ten closed days of 2019
    ("daily_bars", "2019-04-26", "2019-04-26T16:30", "2019-04-26"),
    ("index_option", "2019-04-26", "2019-04-27T03:00", "2019-04-26"),
    ("earnings_date", "2019-04-26", "2019-05-07T10:05", "2019-05-07"),
    ("listed", "2019-05-07", "2019-04-26T17:30", "2019-05-07"),
]


@pytest.mark.parametrize(("source", "stamp", "published", "row"), RULES)
def test_each_source_is_public_when_its_rule_says(
    source: str, stamp: str, published: str, row: str
) -> None:
    """A record appears from the row whose 08:00 cutoff lies behind its publication."""
    calendar, rule = calendar_for(stamp), endpoint_of(source).publication
    records = table(**{rule.stamp: [stamp]})
    assert publication_moments(records, rule, calendar) == np.datetime64(published)
    assert first_row(records, rule, calendar) == [row]


# application date, filled publication date, published, first row
MARGIN = [
    # Friday; the second trading day after it is Tuesday
    ("2024-01-12", None, "2024-01-16T16:30", "2024-01-16"),
    # Monday is a holiday: Wednesday
    ("2024-01-05", None, "2024-01-10T16:30", "2024-01-10"),
    # the week ends with a holiday, the balance is that of Thursday
    ("2023-11-02", None, "2023-11-07T16:30", "2023-11-07"),
    # year end: the second trading day, 2024-01-05, is 7 days after Friday 2023-12-29: the third
    ("2023-12-29", None, "2024-01-09T16:30", "2024-01-09"),
    # a holiday on Monday alone: five calendar days
    ("2018-12-21", None, "2018-12-26T16:30", "2018-12-26"),
    # year end 2018: from Friday 12-28 the second trading day is 01-07, ten days later: 01-08
    ("2018-12-28", None, "2019-01-08T16:30", "2019-01-08"),
    # Golden Week 2019: from Friday 04-26 the second trading day is 05-08, twelve days later: 05-09
    ("2019-04-26", None, "2019-05-09T16:30", "2019-05-09"),
    # the daily era: the date is filled, its hour is not known
    ("2026-09-25", "2026-09-28", "2026-09-29T00:00", "2026-09-28"),
    ("2026-10-09", "2026-10-13", "2026-10-14T00:00", "2026-10-13"),
    # the last weekly one: the three holidays of September 2026 lie behind it
    ("2026-09-18", None, "2026-09-28T16:30", "2026-09-28"),
]


@pytest.mark.parametrize(("applied", "filled", "published", "row"), MARGIN)
def test_margin_balances_appear_with_their_publication(
    applied: str, filled: str | None, published: str, row: str
) -> None:
    """PubDate counts where filled; else the 2nd trading day after Date, or the 3rd if far off."""
    calendar, rule = calendar_for(applied), endpoint_of("margin_interest").publication
    records = table(PubDate=[filled], Date=[applied])
    assert publication_moments(records, rule, calendar) == np.datetime64(published)
    assert first_row(records, rule, calendar) == [row]


def test_filled_and_empty_publication_dates_may_be_mixed() -> None:
    """Each record follows the rule for its own kind."""
    calendar, rule = CALENDARS["2026"], endpoint_of("margin_interest").publication
    records = table(PubDate=[None, "2026-09-28"], Date=["2026-09-11", "2026-09-25"])
    assert first_row(records, rule, calendar) == ["2026-09-15", "2026-09-28"]


def test_six_calendar_days_are_not_too_far() -> None:
    """Only more than six calendar days move the publication to the third trading day."""
    calendar = TradingCalendar(
        np.array(["2024-03-01", "2024-03-06", "2024-03-07", "2024-03-08"], "datetime64[D]")
    )
    rule = Publication("Date", "16:30", days=2, max_gap=6)
    at_six = published_at(np.array(["2024-03-01"], "datetime64[D]"), rule, calendar)
    assert at_six == np.datetime64("2024-03-07T16:30")
    tighter = Publication("Date", "16:30", days=2, max_gap=5)
    at_five = published_at(np.array(["2024-03-01"], "datetime64[D]"), tighter, calendar)
    assert at_five == np.datetime64("2024-03-08T16:30")


def test_the_decision_time_is_eight_on_the_next_trading_day() -> None:
    """Over a holiday weekend it is the morning after it."""
    calendar = CALENDARS["2023"]
    friday = np.datetime64("2024-01-05")
    assert decision_time(friday, calendar) == np.datetime64("2024-01-09T08:00")
    with pytest.raises(PipelineError, match="no published session after 2024-01-31"):
        decision_time(np.datetime64("2024-01-31"), calendar)


def test_visible_keeps_what_is_public_including_the_minute_itself() -> None:
    """The cutoff belongs to the visible side; order and columns stay."""
    calendar, rule = CALENDARS["2023"], endpoint_of("daily_bars").publication
    records = table(Date=["2024-01-16", "2024-01-15", "2024-01-17"])
    at = np.datetime64("2024-01-16T16:30")
    assert visible(records, rule, at, calendar)["Date"].to_pylist() == [
        dt.date(2024, 1, 16),
        dt.date(2024, 1, 15),
    ]
    before = visible(records, rule, at - np.timedelta64(1, "m"), calendar)
    assert before["Date"].to_pylist() == [dt.date(2024, 1, 15)]


def test_a_record_without_a_date_is_never_visible() -> None:
    """An unknown publication is no publication, and neither is one beyond the calendar."""
    calendar, rule = CALENDARS["2023"], endpoint_of("fin_summary").publication
    records = table(DiscDate=[None, "2024-02-01"])
    assert np.isnat(publication_moments(records, rule, calendar)).all()
    assert first_row(records, rule, calendar) == ["never", "never"]
    assert visible(records, rule, np.datetime64("2030-01-01T00:00"), calendar).num_rows == 0


def test_the_last_session_of_the_calendar_has_rows_too() -> None:
    """The next session is unknown there, but it cannot be earlier than the next day."""
    calendar = CALENDARS["2023"]
    records = table(Date=["2024-01-31"])
    for source in ("daily_bars", "index_option"):
        assert first_row(records, endpoint_of(source).publication, calendar) == ["2024-01-31"]


def test_the_last_published_session_follows_the_clock() -> None:
    """At 03:00 the options of yesterday come; until then the day before yesterday is the last."""
    calendar, options = CALENDARS["2023"], endpoint_of("index_option").publication
    last = [
        last_published_session(options, np.datetime64(moment), calendar)
        for moment in ("2024-01-17T02:59", "2024-01-17T03:00", "2023-11-01T12:00")
    ]
    assert last == [np.datetime64("2024-01-15"), np.datetime64("2024-01-16"), None]


def test_a_clock_is_hours_and_minutes() -> None:
    """A typing error in the table of sources is found when it is read."""
    with pytest.raises(ValueError, match="expected HH:MM"):
        Publication("Date", "1630")


DATES = st.dates(dt.date(2023, 11, 1), dt.date(2024, 1, 20)).map(str)
NAMES = st.sampled_from(["listed", "daily_bars", "fin_summary", "earnings_date", "index_option"])


@given(st.lists(DATES, min_size=1, max_size=20), NAMES)
def test_the_first_row_is_the_first_whose_cutoff_shows_the_record(
    stamps: list[str], source: str
) -> None:
    """The columns agree with ``visible`` at each decision time, from the stamp on."""
    calendar, rule = CALENDARS["2023"], endpoint_of(source).publication
    records = table(**{rule.stamp: stamps})
    columns = first_visible_column(records, rule, calendar)
    for row, stamp in enumerate(stamps):
        one = records.slice(row, 1)
        expected = next(
            at
            for at, session in enumerate(calendar.sessions)
            if session >= np.datetime64(stamp)
            and visible(one, rule, decision_time(session, calendar), calendar).num_rows
        )
        assert columns[row] == expected
