"""How a range is cut into chunks, and what they are called."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import UsageError
from pipeline.market.calendar.periods import ChunkRange, Period, chunk_ranges, periods_between
from pipeline.market.calendar.sessions import TradingCalendar

DATES = st.dates(dt.date(2008, 1, 1), dt.date(2030, 12, 31))
LENGTHS = st.integers(1, 24)


@pytest.mark.parametrize(
    ("chunk_id", "first", "last"),
    [
        ("2020Q1", "2020-01-01", "2020-03-31"),
        ("2020Q4", "2020-10-01", "2020-12-31"),
        ("2020M02", "2020-02-01", "2020-02-29"),
        ("2020M12", "2020-12-01", "2020-12-31"),
        ("2020M01-06", "2020-01-01", "2020-06-30"),
        ("2020M01-12", "2020-01-01", "2020-12-31"),
        ("2020M11-2021M02", "2020-11-01", "2021-02-28"),
        ("2020M02-04", "2020-02-01", "2020-04-30"),
    ],
)
def test_a_chunk_id_names_whole_months(chunk_id: str, first: str, last: str):
    """First and last calendar day of each form."""
    period = Period.parse(chunk_id)
    assert (period.first_day.isoformat(), period.last_day.isoformat()) == (first, last)
    assert period.chunk_id == chunk_id


@given(st.integers(2000 * 12, 2040 * 12), LENGTHS)
def test_a_period_is_read_back_from_its_name(first: int, length: int):
    """Every name is canonical."""
    period = Period(first, first + length - 1)
    assert Period.parse(period.chunk_id) == period


@pytest.mark.parametrize(
    "chunk_id",
    [
        "2020", "2020Q5", "2020q1", "2020M00", "2020M13", "2020M1", "2020M01-03", "2020M04-2020M06",
        "2020M01-2020M06", "2020M06-01", "2021M01-2020M12", "2020M01-13", "2020Q1/..", " 2020Q1",
        "2020M05-05", "",
    ],
)  # fmt: skip
def test_another_spelling_is_refused(chunk_id: str):
    """One period has one name, and nothing else passes for one."""
    with pytest.raises(UsageError, match="expected a form like 2020Q1"):
        Period.parse(chunk_id)


@given(DATES, DATES, LENGTHS)
def test_periods_cover_the_range_without_gap_or_overlap(a: dt.date, b: dt.date, months: int):
    """In order, of equal length, and none lies outside the range."""
    start, end = min(a, b), max(a, b)
    periods = periods_between(start, end, months)
    assert periods[0].first_day <= start <= periods[0].last_day
    assert periods[-1].first_day <= end <= periods[-1].last_day
    for period, following in zip(periods[:-1], periods[1:], strict=True):
        assert following.first_month == period.last_month + 1
        assert not period.overlaps(following)
    assert {p.last_month - p.first_month + 1 for p in periods} == {months}


@given(DATES, DATES, DATES, LENGTHS)
def test_a_day_has_the_same_chunk_in_every_range(a: dt.date, b: dt.date, c: dt.date, months: int):
    """The grid does not depend on where a run starts or ends."""
    start, day, end = sorted((a, b, c))
    (own,) = periods_between(day, day, months)
    assert own in periods_between(start, end, months)


def test_quarters_begin_in_january():
    """Three months are calendar quarters, six are half-years."""
    start, end = dt.date(2020, 2, 15), dt.date(2020, 7, 1)
    assert [p.chunk_id for p in periods_between(start, end, 3)] == ["2020Q1", "2020Q2", "2020Q3"]
    assert [p.chunk_id for p in periods_between(start, end, 6)] == ["2020M01-06", "2020M07-12"]


def test_months_overlap_the_quarter_they_are_in():
    """Which chunks hold the same days."""
    quarter = Period.parse("2020Q1")
    assert quarter.overlaps(Period.parse("2020M03"))
    assert Period.parse("2020M03").overlaps(quarter)
    assert not quarter.overlaps(Period.parse("2020M04"))


@pytest.mark.parametrize(
    ("end", "months"), [("2019-12-31", 3), ("2020-12-31", 0), ("2020-12-31", 121)]
)
def test_impossible_ranges_are_refused(end: str, months: int):
    """The end before the start, no months, more than ten years."""
    with pytest.raises(UsageError):
        periods_between(dt.date(2020, 1, 1), dt.date.fromisoformat(end), months)


SESSIONS = np.array(
    ["2020-01-06", "2020-03-31", "2020-04-01", "2020-07-01", "2020-12-30"], "datetime64[D]"
)


def test_chunk_ranges_name_the_sessions_asked_for():
    """First and last session inside the range; a period without one is left out."""
    seen = chunk_ranges(TradingCalendar(SESSIONS), dt.date(2020, 1, 7), dt.date(2020, 9, 30), 3)
    assert seen == [
        ChunkRange("2020Q1", dt.date(2020, 3, 31), dt.date(2020, 3, 31)),
        ChunkRange("2020Q2", dt.date(2020, 4, 1), dt.date(2020, 4, 1)),
        ChunkRange("2020Q3", dt.date(2020, 7, 1), dt.date(2020, 7, 1)),
    ]


def test_a_range_without_sessions_has_no_chunks():
    """Between two sessions."""
    calendar = TradingCalendar(SESSIONS)
    assert chunk_ranges(calendar, dt.date(2020, 5, 1), dt.date(2020, 6, 30), 3) == []
