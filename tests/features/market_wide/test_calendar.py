"""Family calendar."""

from __future__ import annotations

import datetime as dt
import warnings
from types import SimpleNamespace

import exchange_calendars
import numpy as np
import pandas as pd
import pytest

from pipeline.features.market_wide import calendar
from pipeline.market.calendar.sessions import NotASession, TradingCalendar

with warnings.catch_warnings():
    # deprecations of pandas inside the package, nothing of ours
    warnings.simplefilter("ignore", DeprecationWarning)
    TOKYO = exchange_calendars.get_calendar("XTKS", start="2010-01-01", end="2025-12-31")
PUBLISHED = TOKYO.sessions.to_numpy().astype("datetime64[D]")


def values(wanted, published=PUBLISHED):
    """The family's columns for some sessions of a published calendar."""
    sessions = np.atleast_1d(np.asarray(wanted, "datetime64[D]"))
    market = SimpleNamespace(
        panel=SimpleNamespace(sessions=sessions, n_out=sessions.size),
        calendar=TradingCalendar(np.asarray(published)),
    )
    return calendar.compute(market)


def value(name, date, published=PUBLISHED):
    return values(date, published)[name][0]


def until(date):
    """The published sessions up to a date: a calendar that ends there."""
    return PUBLISHED[np.datetime64(date) >= PUBLISHED]


def test_the_family_returns_its_declared_columns_for_the_wanted_sessions_only():
    """One value per wanted date, whole numbers in float64."""
    market = SimpleNamespace(
        panel=SimpleNamespace(sessions=PUBLISHED[100:160], n_out=7),
        calendar=TradingCalendar(PUBLISHED),
    )
    columns = calendar.compute(market)
    assert list(columns) == [feature.name for feature in calendar.FEATURES]
    for name, column in columns.items():
        assert column.dtype == np.float64
        assert column.shape == (7,)
        np.testing.assert_array_equal(column, values(PUBLISHED[153:160])[name], err_msg=name)
        np.testing.assert_array_equal(column, np.round(column), err_msg=name)


def second_friday(year, month):
    first = dt.date(year, month, 1)
    return first + dt.timedelta(days=(4 - first.weekday()) % 7 + 7)


def test_every_session_of_ten_years_agrees_with_a_count_on_a_list_of_dates():
    """Each counter is the length of a list of sessions between two dates."""
    sessions = [day.astype(dt.date) for day in PUBLISHED]
    months = {day.replace(day=1): [] for day in sessions}
    for day in sessions:
        months[day.replace(day=1)].append(day)
    last_days = [days[-1] for days in months.values()]
    positions = {day: i for i, day in enumerate(sessions)}
    rights = [
        sessions[positions[day] - (2 if day >= dt.date(2019, 7, 18) else 3)]
        for day in last_days[1:]
    ]
    sq_days = [
        max(day for day in sessions[:positions_of_month_end] if day <= friday)
        for positions_of_month_end, friday in (
            (positions[days[-1]] + 1, second_friday(first.year, first.month))
            for first, days in months.items()
        )
    ]

    def distance(day, events):
        return positions[min(event for event in events if event >= day)] - positions[day]

    wanted = [day for day in sessions if 2012 <= day.year <= 2021]
    seen = pd.DataFrame(values(wanted), index=wanted)
    for day in wanted:
        i = positions[day]
        assert seen.loc[day].to_dict() == {
            "day_of_week": day.weekday() + 1,
            "td_of_month": months[day.replace(day=1)].index(day) + 1,
            "td_to_month_end": distance(day, last_days),
            "td_to_fy_end": min(120, distance(day, [d for d in last_days if d.month == 3])),
            "td_to_sq": distance(day, sq_days),
            "gap_days_prev": (day - sessions[i - 1]).days,
            "gap_days_next": (sessions[i + 1] - day).days,
            "td_to_rights_last": distance(day, rights),
        }, day


def test_the_turn_of_the_year_2024_by_hand():
    """30 December was the last session, 6 January the next one, the 26th the last with rights."""
    seen = values(["2024-12-26", "2024-12-27", "2024-12-30", "2025-01-06"])
    assert seen["td_to_rights_last"].tolist() == [0, 18, 17, 16]
    assert seen["td_to_month_end"].tolist() == [2, 1, 0, 18]
    assert seen["gap_days_next"].tolist() == [1, 3, 7, 1]
    assert seen["gap_days_prev"].tolist() == [1, 1, 3, 7]
    assert seen["td_of_month"].tolist() == [19, 20, 21, 1]
    assert seen["day_of_week"].tolist() == [4, 5, 1, 1]


def test_golden_week_of_2019_by_hand():
    """Ten closed days for the enthronement: April ended on the 26th, May began on the 7th."""
    seen = values(["2019-04-26", "2019-05-07"])
    assert seen["gap_days_next"].tolist() == [11, 1]
    assert seen["gap_days_prev"].tolist() == [1, 11]
    assert seen["td_to_month_end"].tolist() == [0, 18]
    assert seen["td_of_month"].tolist() == [20, 1]
    assert seen["td_to_sq"].tolist() == [4, 3]


@pytest.mark.parametrize(
    ("sq_day", "holiday"),
    [("2022-02-10", "2022-02-11"), ("2023-08-10", "2023-08-11")],
)
def test_a_second_friday_that_is_a_holiday_moves_the_sq_day_one_session_forward(sq_day, holiday):
    """Mountain Day and Foundation Day fell on second Fridays."""
    assert not TOKYO.is_session(holiday)
    assert value("td_to_sq", sq_day) == 0
    day_after = TOKYO.next_session(sq_day).to_datetime64()
    assert value("td_to_sq", day_after) > 15


@pytest.mark.parametrize("sq_day", ["2019-10-11", "2020-03-13", "2021-12-10", "2024-11-08"])
def test_an_ordinary_sq_day_is_the_second_friday(sq_day):
    """0 on the day itself, 1 on the session before."""
    assert value("td_to_sq", sq_day) == 0
    assert value("td_to_sq", TOKYO.previous_session(sq_day).to_datetime64()) == 1


@pytest.mark.parametrize(
    ("last_with_rights", "sessions_before_month_end"),
    [("2019-06-25", 3), ("2019-07-29", 2), ("2024-03-27", 2), ("2019-03-26", 3)],
)
def test_rights_follow_the_settlement_cycle_of_july_2019(
    last_with_rights, sessions_before_month_end
):
    """Three sessions before the last one of the month until June 2019, two since July."""
    assert value("td_to_rights_last", last_with_rights) == 0
    assert value("td_to_month_end", last_with_rights) == sessions_before_month_end


def test_the_fiscal_year_ends_on_the_last_session_of_march():
    """31 March 2024 was a Sunday; 120 sessions from the next end and more are 120."""
    seen = values(["2024-03-28", "2024-03-29", "2024-04-01", "2024-09-30", "2024-10-01"])
    assert seen["td_to_fy_end"].tolist() == [1, 0, 120, 120, 119]


def test_what_the_published_calendar_does_not_reach_is_null():
    """Counters of events beyond the last published session are null, the others are not."""
    seen = {name: column[0] for name, column in values("2024-06-20", until("2024-06-20")).items()}
    assert seen["td_of_month"] == 14
    assert seen["gap_days_prev"] == 1
    ahead = {"td_to_month_end", "td_to_fy_end", "td_to_sq", "gap_days_next", "td_to_rights_last"}
    assert {name for name, number in seen.items() if np.isnan(number)} == ahead


def test_the_calendar_need_not_reach_further_than_the_event():
    """The end of June 2024 is known with its last weekday, the SQ day with its Friday."""
    assert value("td_to_month_end", "2024-06-20", until("2024-06-28")) == 6
    assert np.isnan(value("td_to_month_end", "2024-06-20", until("2024-06-27")))
    assert value("td_to_sq", "2024-06-20", until("2024-07-12")) == 16
    assert np.isnan(value("td_to_sq", "2024-06-20", until("2024-07-11")))
    assert value("td_to_rights_last", "2024-06-20", until("2024-06-28")) == 4


def test_the_cap_of_the_fiscal_year_may_be_known_before_the_end_is():
    """120 published sessions without the end of March are enough."""
    here = int(np.flatnonzero(np.datetime64("2024-04-01") == PUBLISHED)[0])
    assert value("td_to_fy_end", "2024-04-01", PUBLISHED[: here + 121]) == 120
    assert np.isnan(value("td_to_fy_end", "2024-04-01", PUBLISHED[: here + 120]))


def test_a_calendar_that_begins_within_a_month_does_not_number_its_days():
    """The first days of that month may be missing; from the next month on all is known."""
    published = PUBLISHED[np.datetime64("2020-06-10") <= PUBLISHED]
    first = values(["2020-06-10", "2020-06-11", "2020-07-01"], published)
    np.testing.assert_array_equal(first["td_of_month"], [np.nan, np.nan, 1])
    np.testing.assert_array_equal(first["gap_days_prev"], [np.nan, 1, 1])


def test_a_date_that_is_no_trading_day_is_refused():
    """A panel and a calendar that disagree are an error, not a null."""
    with pytest.raises(NotASession, match="2024-06-22"):
        values("2024-06-22")
