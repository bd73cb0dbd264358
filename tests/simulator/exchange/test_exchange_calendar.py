"""The calendar of the simulated exchange."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from pipeline.simulator.exchange.exchange_calendar import (
    TokyoCalendar,
    business_day_before,
    day_classes,
    special_quotation_day,
)


def _class_of(day):
    return day_classes(day, day)[1][0]


@pytest.mark.parametrize(
    ("day", "hol_div"),
    [
        (date(2020, 10, 1), "1"),  # system failure: a business day for the vendor
        (date(2024, 6, 3), "1"),
        (date(2024, 6, 1), "0"),  # Saturday
        (date(2022, 9, 19), "0"),  # holiday before holiday trading began
        (date(2022, 9, 23), "3"),
        (date(2023, 5, 4), "3"),
        (date(2023, 1, 2), "0"),  # no holiday trading at the turn of the year
        (date(2024, 12, 31), "0"),
        (date(2019, 5, 1), "0"),  # the long Golden Week
    ],
)
def test_day_classes(day, hol_div):
    """0 closed, 1 open, 3 derivatives only."""
    assert _class_of(day) == hol_div


def test_every_calendar_date_has_one_class():
    """The range is complete, weekends included."""
    days, classes = day_classes(date(2024, 1, 1), date(2024, 12, 31))
    assert days.size == classes.size == 366
    assert (classes == "1").sum() == 245


@pytest.mark.parametrize(
    ("month", "sq", "last_day"),
    [
        ("2023-01", "2023-01-13", "2023-01-12"),
        ("2023-08", "2023-08-10", "2023-08-09"),  # the second Friday is Mountain Day
        ("2024-03", "2024-03-08", "2024-03-07"),
        ("2024-06", "2024-06-14", "2024-06-13"),
    ],
)
def test_special_quotation_days(month, sq, last_day):
    """The second Friday, or the business day before it; trading ends the business day before."""
    day = special_quotation_day(np.datetime64(month))
    assert str(day) == sq
    assert str(business_day_before(day)) == last_day


def test_positions_of_dates_that_are_no_sessions():
    """The next session on one side, the last one on the other."""
    calendar = TokyoCalendar(date(2024, 1, 1), date(2024, 1, 31))
    saturday = np.datetime64("2024-01-06")
    assert str(calendar.sessions[calendar.at_or_before(saturday)]) == "2024-01-05"
    assert str(calendar.sessions[calendar.at_or_after(saturday)]) == "2024-01-09"
    assert calendar.at_or_before(np.datetime64("2024-01-03")) == -1
    assert calendar.at_or_after(np.datetime64("2024-02-01")) == len(calendar)
