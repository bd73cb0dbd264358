"""Daily sources joined by date."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest

from pipeline.market.calendar.as_of import Publication
from pipeline.market.panel.axis import NOWHERE, Axis, Source
from pipeline.market.panel.daily_records import own_columns
from tests.market.hand import date_of
from tests.market.records import axis, source


def columns(days, publication=None, on=None):
    rows = source("short_ratio", *({"Date": day, "S33": "0050"} for day in days))
    rule = publication or rows.publication
    return own_columns(Source(rows.table, rule), on or axis(5, 2)).tolist()


def test_a_record_counts_on_its_own_date():
    """Any order of rows; the first and the last column included."""
    assert columns([date_of(4), date_of(0), date_of(2)]) == [4, 0, 2]


def test_a_date_that_is_no_column_counts_nowhere():
    """A Saturday does not move to Monday, which has its own record."""
    assert columns([dt.date(2023, 1, 7), date_of(4)]) == [NOWHERE, 4]


def test_dates_around_the_panel_count_nowhere():
    """The panel begins and ends inside the calendar."""
    whole = axis(9, 2)
    inner = Axis(whole.codes, whole.sessions[3:7], 2, whole.calendar, whole.adj_factor[:, 3:7])
    days = [date_of(2), date_of(3), date_of(6), date_of(7)]
    assert columns(days, on=inner) == [NOWHERE, 0, 3, NOWHERE]


@pytest.mark.parametrize(("clock", "seen"), [("32:00", 1), ("32:01", NOWHERE)])
def test_what_comes_after_the_decision_time_counts_nowhere(clock, seen):
    """08:00 of the next trading day is 32:00: a minute later the row may not use the record."""
    assert columns([date_of(1)], Publication("Date", clock)) == [seen]


def test_no_records_have_no_columns():
    """An unavailable source."""
    assert columns([]) == []
    assert np.asarray(columns([])).size == 0
