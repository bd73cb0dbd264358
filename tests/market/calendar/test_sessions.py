"""Trading days."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.market.calendar.sessions import NotASession, TradingCalendar

DAYS = np.array(["2020-09-30", "2020-10-01", "2020-10-02", "2020-10-05"], "datetime64[D]")
CALENDAR = TradingCalendar(DAYS)


def day(text: str) -> np.datetime64:
    return np.datetime64(text)


def test_open_and_half_days_are_sessions():
    """HolDiv 1 and 2; closed days and derivatives holidays are none; any order, repeats too."""
    dates = ["2022-12-30", "2023-01-02", "2022-12-29", "2022-09-23", "2022-12-31", "2022-12-30"]
    table = pa.table(
        {
            "Date": pa.array(np.array(dates, "datetime64[D]"), pa.date32()),
            "HolDiv": ["2", "0", "1", "3", "0", "2"],
        }
    )
    sessions = TradingCalendar.from_table(table).sessions
    assert sessions.tolist() == [day("2022-12-29").item(), day("2022-12-30").item()]
    assert sessions.dtype == np.dtype("datetime64[D]")


@pytest.mark.parametrize("dates", [[], ["2020-01-06", "2020-01-06"], ["2020-01-07", "2020-01-06"]])
def test_a_calendar_is_not_empty_and_ascends(dates: list[str]):
    """Anything else is refused."""
    with pytest.raises(NotASession, match="trading calendar"):
        TradingCalendar(np.array(dates, "datetime64[D]"))


def test_index_is_exact():
    """The position of a session; any other day is an error that names the calendar."""
    assert [CALENDAR.index(d) for d in DAYS] == [0, 1, 2, 3]
    for other in ("2020-10-03", "2020-09-29", "2020-10-06"):
        with pytest.raises(NotASession, match=f"{other}.*2020-09-30 to 2020-10-05"):
            CALENDAR.index(day(other))


def test_eff_is_the_first_session_at_or_after():
    """A closed day counts as the next session; one past the end there is none."""
    expected = {"2020-09-01": 0, "2020-10-01": 1, "2020-10-03": 3, "2020-10-05": 3, "2020-10-06": 4}
    assert {text: CALENDAR.eff(day(text)) for text in expected} == expected


def test_between_includes_both_ends():
    """Ends need not be sessions; no session between is an empty answer."""
    assert CALENDAR.between(day("2020-10-01"), day("2020-10-04")).tolist() == DAYS[1:3].tolist()
    assert CALENDAR.between(DAYS[0], DAYS[-1]).size == 4
    assert CALENDAR.between(day("2020-10-03"), day("2020-10-04")).size == 0


def test_next_and_previous_are_strict():
    """From a session and from a closed day."""
    assert CALENDAR.next(DAYS[1]) == DAYS[2]
    assert CALENDAR.next(day("2020-10-03")) == DAYS[3]
    assert CALENDAR.previous(DAYS[1]) == DAYS[0]
    assert CALENDAR.previous(day("2020-10-04")) == DAYS[2]


def test_beyond_the_published_days_is_an_error():
    """Not a guess."""
    with pytest.raises(NotASession, match="no published session after 2020-10-05"):
        CALENDAR.next(DAYS[-1])
    with pytest.raises(NotASession, match="no session before 2020-09-30"):
        CALENDAR.previous(DAYS[0])


@given(st.integers(0, 3), st.integers(0, 10))
def test_back_counts_columns_and_stops_at_the_first(at: int, columns: int):
    """As many sessions earlier as the calendar has."""
    assert CALENDAR.back(DAYS[at], columns) == DAYS[max(0, at - columns)]


def test_back_from_a_closed_day_counts_from_the_next_session():
    """Saturday 2020-10-03 stands for Monday."""
    assert CALENDAR.back(day("2020-10-03"), 1) == DAYS[2]
