"""Family calendar: where T stands in the published calendar, which is known a year ahead."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from pipeline.features.engine.column_spec import Feature, FloatArray, Scope
from pipeline.market.calendar.sessions import DateArray
from pipeline.market.panel.market_data import Market

SCOPE: Scope = "market"

_FISCAL_CAP = 120  # td_to_fy_end does not count further
_MARCH = 2  # months after January
_FRIDAY = 4  # Monday is 0
_TWO_DAY_SETTLEMENT = np.datetime64("2019-07-18")  # first record date with rights two days before

_DAY = np.timedelta64(1, "D")

_feature = partial(
    Feature,
    family="calendar",
    inputs="mkt-cal.Date,HolDiv",
    lookback=0,
    available=("known in advance (calendar is published a year ahead); own value of T allowed"),
    dtype="int8",
    unit="trading days",
    null_rule="never",
    check="exchange calendar",
)

FEATURES: tuple[Feature, ...] = (
    _feature(
        name="day_of_week",
        formula="ISO weekday of T, Monday=1..Friday=5.",
        unit="category",
        check="pandas dayofweek+1",
    ),
    _feature(
        name="td_of_month",
        formula="ordinal of T among the trading days of its calendar month, from 1.",
    ),
    _feature(
        name="td_to_month_end",
        formula=(
            "trading days from T to the last trading day of its month, 0 on that day "
            "(HolDiv 1 or 2 of the published calendar, not of the data seen so far)."
        ),
    ),
    _feature(
        name="td_to_fy_end",
        formula=(
            "trading days from T to the last trading day of March (next one on or after T), "
            f"cap {_FISCAL_CAP}"
        ),
        dtype="int16",
    ),
    _feature(
        name="td_to_sq",
        formula=(
            "trading days from T to the next SQ day >= T; SQ day = second Friday of the "
            "month, or the preceding trading day if that Friday is not a trading day."
        ),
        check="SQD of the derivatives files",
    ),
    _feature(
        name="gap_days_prev",
        formula="calendar days from the previous trading day to T",
        unit="calendar days",
    ),
    _feature(
        name="gap_days_next",
        formula="calendar days from T to the next trading day.",
        unit="calendar days",
    ),
    _feature(
        name="td_to_rights_last",
        formula=(
            "trading days from T to the next last-cum-rights day >= T: the trading day n before "
            "the last trading day of the month, n=2 for record dates from 2019-07-18 on (T+2 "
            "settlement), n=3 before"
        ),
        check="hand",
    ),
)


def compute(market: Market) -> dict[str, FloatArray]:
    """All columns of the family, (n_out,) each.

    NaN where the published calendar does not reach far enough to know the answer.

    Raises:
        NotASession: a wanted date is no trading day of the calendar.
    """
    published = market.calendar.sessions
    wanted = market.panel.sessions[-market.panel.n_out :]
    here = np.array([market.calendar.index(date) for date in wanted], np.float64)
    month = wanted.astype("datetime64[M]")
    gaps = np.full(published.size + 1, np.nan)
    gaps[1:-1] = np.diff(published) / _DAY
    at = here.astype(np.int64)
    return {
        "day_of_week": _weekday(wanted) + 1.0,
        "td_of_month": here - _first_of_month(published, month) + 1.0,
        "td_to_month_end": _last_of_month(published, month) - here,
        "td_to_fy_end": _to_fiscal_year_end(published, wanted, here),
        "td_to_sq": _until(here, _sq_day(published, month), _sq_day(published, month + 1)),
        "gap_days_prev": gaps[at],
        "gap_days_next": gaps[at + 1],
        "td_to_rights_last": _until(
            here, _last_with_rights(published, month), _last_with_rights(published, month + 1)
        ),
    }


# Positions are float64 indices into the published sessions, NaN where the calendar cannot tell.


def _first_of_month(published: DateArray, month: DateArray) -> FloatArray:
    """Position of the first session; unknown when the calendar begins after a weekday of it."""
    first = month.astype("datetime64[D]")
    position = np.searchsorted(published, first).astype(np.float64)
    position[published[0] > np.busday_offset(first, 0, roll="forward")] = np.nan
    return position


def _last_of_month(published: DateArray, month: DateArray) -> FloatArray:
    """Position of the last session; unknown when the calendar ends before a weekday of it."""
    following = (month + 1).astype("datetime64[D]")
    position = (np.searchsorted(published, following) - 1).astype(np.float64)
    position[published[-1] < np.busday_offset(following, -1, roll="forward")] = np.nan
    return position


def _sq_day(published: DateArray, month: DateArray) -> FloatArray:
    """Position of the second Friday, or of the last session before it."""
    first = month.astype("datetime64[D]")
    friday = first + (_FRIDAY - _weekday(first)) % 7 + 7
    position = (np.searchsorted(published, friday, side="right") - 1).astype(np.float64)
    position[published[-1] < friday] = np.nan
    return position


def _last_with_rights(published: DateArray, month: DateArray) -> FloatArray:
    """Position of the last session on which a buyer is on record at the end of the month."""
    last = _last_of_month(published, month)
    known = ~np.isnan(last)
    two_days = np.zeros(last.shape, np.bool_)
    two_days[known] = published[last[known].astype(np.int64)] >= _TWO_DAY_SETTLEMENT
    return last - np.where(two_days, 2.0, 3.0)


def _to_fiscal_year_end(published: DateArray, wanted: DateArray, here: FloatArray) -> FloatArray:
    """Sessions to the last session of March, capped; the cap may be known when March is not."""
    march = wanted.astype("datetime64[Y]").astype("datetime64[M]") + _MARCH
    distance = _until(here, _last_of_month(published, march), _last_of_month(published, march + 12))
    to_calendar_end = published.size - 1.0 - here
    distance[np.isnan(distance) & (to_calendar_end >= _FISCAL_CAP)] = _FISCAL_CAP
    return np.minimum(distance, _FISCAL_CAP)


def _until(here: FloatArray, this: FloatArray, following: FloatArray) -> FloatArray:
    """Distance to ``this`` event, or to the ``following`` one once this has passed.

    An unknown position lies beyond the end of the calendar, so the following one is unknown too.
    """
    return np.where(this >= here, this, following) - here


def _weekday(dates: DateArray) -> NDArray[np.int64]:
    """0 for Monday to 6 for Sunday; day 0 of datetime64 was a Thursday."""
    return (dates.astype("datetime64[D]").astype(np.int64) + 3) % 7
