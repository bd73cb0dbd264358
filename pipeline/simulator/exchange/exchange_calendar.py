"""The Tokyo calendar as the API tells it.

Source: the XTKS calendar of exchange_calendars. Two things differ at the vendor: 2020-10-01,
when the exchange's system failed, stays a business day; and since 2022-09-23 derivatives trade
on most national holidays.
"""

from __future__ import annotations

import warnings
from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING

import exchange_calendars
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.simulator.array_types import DateArray

SYSTEM_FAILURE = np.datetime64("2020-10-01")
HOLIDAY_TRADING_SINCE = np.datetime64("2022-09-23")
_ORIGIN = date(2006, 1, 1)  # before any date that is ever asked for

CLOSED, OPEN, DERIVATIVES_ONLY = "0", "1", "3"


class TokyoCalendar:
    """Sessions of the stock market from ``first`` to ``last``, both included.

    Attributes:
        sessions: (n,) datetime64[D], ascending.
    """

    def __init__(self, first: date, last: date) -> None:
        every = _xtks_sessions(last.year)
        inside = (every >= np.datetime64(first)) & (every <= np.datetime64(last))
        self.sessions: DateArray = every[inside]

    def __len__(self) -> int:
        return int(self.sessions.size)

    def at_or_after(self, day: np.datetime64) -> int:
        """Index of the first session at or after ``day``; ``len(self)`` when there is none."""
        return int(np.searchsorted(self.sessions, day, side="left"))

    def at_or_before(self, day: np.datetime64) -> int:
        """Index of the last session at or before ``day``; -1 when there is none."""
        return int(np.searchsorted(self.sessions, day, side="right")) - 1


def day_classes(first: date, last: date) -> tuple[DateArray, NDArray[np.object_]]:
    """Every calendar date of a range with its ``HolDiv`` text."""
    days = np.arange(np.datetime64(first), np.datetime64(last) + 1)
    is_open = np.isin(days, _xtks_sessions(last.year))
    weekday = (days.astype(np.int64) + 3) % 7  # 1970-01-01 was a Thursday; Monday is 0
    month_day = np.datetime_as_string(days, unit="D").astype("U10")
    new_year = np.isin(
        [text[5:] for text in month_day.tolist()], ["12-31", "01-01", "01-02", "01-03"]
    )
    holiday = ~is_open & (weekday < 5)
    derivatives = holiday & (days >= HOLIDAY_TRADING_SINCE) & ~new_year
    classes = np.where(is_open, OPEN, np.where(derivatives, DERIVATIVES_ONLY, CLOSED))
    return days, classes.astype(object)


def tokyo_sessions(last: np.datetime64) -> DateArray:
    """All sessions from 2006 to at least the end of the year of ``last``."""
    return _xtks_sessions(_year(last))


def special_quotation_day(month: np.datetime64) -> np.datetime64:
    """SQ day of a contract month: the second Friday, or the business day before when closed.

    Args:
        month: datetime64[M].
    """
    first = month.astype("datetime64[D]")
    weekday = (int(first.astype(np.int64)) + 3) % 7
    second_friday = first + (4 - weekday) % 7 + 7
    every = _xtks_sessions(_year(month))
    sq: np.datetime64 = every[np.searchsorted(every, second_friday, side="right") - 1]
    return sq


def business_day_before(day: np.datetime64) -> np.datetime64:
    """The session strictly before ``day``."""
    every = _xtks_sessions(_year(day))
    before: np.datetime64 = every[np.searchsorted(every, day, side="left") - 1]
    return before


def _year(day: np.datetime64) -> int:
    return int(day.astype("datetime64[Y]").astype(np.int64)) + 1970


def _xtks_sessions(last_year: int) -> DateArray:
    # Whole decades: few distinct calendars are built however the years asked for vary.
    return _xtks_sessions_through((last_year // 10) * 10 + 12)


@lru_cache(maxsize=8)
def _xtks_sessions_through(year: int) -> DateArray:
    with warnings.catch_warnings():
        # The library lags behind pandas; its use of deprecated calls is not ours to mend.
        warnings.simplefilter("ignore", DeprecationWarning)
        calendar = exchange_calendars.get_calendar("XTKS", start=_ORIGIN, end=date(year, 12, 31))
    sessions = calendar.sessions.to_numpy().astype("datetime64[D]")
    return np.union1d(sessions, np.array([SYSTEM_FAILURE]))
