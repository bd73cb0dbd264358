"""When a record became public, and which rows may therefore use it.

The one rule of the dataset: row T may use what was published by 08:00 on the next trading day
after T (the *decision time*). Each source declares a ``Publication``; nothing else in the package
turns a date into a moment, and no feature shifts dates by hand.

Every moment here is a naive ``datetime64[m]`` in Japan Standard Time, which has no daylight
saving; every date is a ``datetime64[D]`` of the same clock. A moment that is not known, because
the record carries no date or the published calendar ends before it, is NaT and never visible.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.market.calendar.sessions import DateArray, TradingCalendar

MomentArray: TypeAlias = NDArray[np.datetime64]
IndexArray: TypeAlias = NDArray[np.int64]

CUTOFF = np.timedelta64(8 * 60, "m")  # 08:00, before the next opening auction

_CLOCK = re.compile(r"(\d{2}):([0-5]\d)")
_DAY = np.timedelta64(1, "D")
_NEVER = np.datetime64("NaT", "D")


@dataclass(frozen=True)
class Publication:
    """The rule that turns the date a record carries into the moment it was public.

    Business days are counted as an exchange calendar does: day 0 is the stamp itself, or the next
    trading day when the stamp is none; day n > 0 is the n-th trading day strictly after the
    stamp; day n < 0 the n-th one strictly before it.

    Attributes:
        stamp: date column the rule starts from.
        clock: time of day, JST. Hours run on after midnight as the vendor writes them:
            ``27:00`` is 03:00 of the next calendar day.
        days: distance from the stamp, may be negative.
        unit: what ``days`` counts.
        max_gap: if the business day found lies more than this many calendar days after the stamp
            (year end, Golden Week), the following one counts instead.
        otherwise: rule for records whose ``stamp`` is null.
    """

    stamp: str
    clock: str
    days: int = 0
    unit: Literal["business", "calendar"] = "business"
    max_gap: int | None = None
    otherwise: Publication | None = None

    def __post_init__(self) -> None:
        if _CLOCK.fullmatch(self.clock) is None:
            raise ValueError(f"publication of {self.stamp}: clock {self.clock!r}, expected HH:MM")

    @property
    def time_of_day(self) -> np.timedelta64:
        """Minutes after midnight of the publication day; 24 hours and more are the next day."""
        hours, minutes = self.clock.split(":")
        return np.timedelta64(int(hours) * 60 + int(minutes), "m")


def decision_time(session: np.datetime64, calendar: TradingCalendar) -> np.datetime64:
    """08:00 JST on the trading day after ``session``: what is public by then may enter its row.

    Raises:
        NotASession: the published calendar ends with ``session``.
    """
    moment: np.datetime64 = calendar.next(session).astype("datetime64[m]") + CUTOFF
    return moment


def published_at(dates: DateArray, rule: Publication, calendar: TradingCalendar) -> MomentArray:
    """Moments at which records stamped ``dates`` were public, by ``rule`` itself.

    Args:
        dates: (n,) datetime64[D], values of the column ``rule.stamp``; NaT where null.

    Returns:
        (n,) datetime64[m] JST; NaT where the date is NaT or the calendar does not reach.
    """
    dates = dates.astype("datetime64[D]")
    days: DateArray
    if rule.unit == "calendar":
        days = np.add(dates, np.timedelta64(rule.days, "D"))
    else:
        at = _business_day(dates, rule.days, calendar)
        if rule.max_gap is not None:
            at = at + (_session(at, calendar) - dates > np.timedelta64(rule.max_gap, "D"))
        days = np.where(np.isnat(dates), _NEVER, _session(at, calendar))
    moments: MomentArray = np.add(days.astype("datetime64[m]"), rule.time_of_day)
    return moments


def publication_moments(
    table: pa.Table, rule: Publication, calendar: TradingCalendar
) -> MomentArray:
    """Moments at which the rows of ``table`` were public, ``rule.otherwise`` included.

    Returns:
        (rows,) datetime64[m] JST; NaT where it cannot be known.
    """
    stamps = _dates(table, rule.stamp)
    moments = published_at(stamps, rule, calendar)
    if rule.otherwise is None:
        return moments
    return np.where(np.isnat(stamps), publication_moments(table, rule.otherwise, calendar), moments)


def visible(
    table: pa.Table, rule: Publication, cutoff: np.datetime64, calendar: TradingCalendar
) -> pa.Table:
    """The rows that were public by ``cutoff`` (JST, that minute included), in the same order."""
    public = publication_moments(table, rule, calendar) <= cutoff
    # Most often all were: a filter would copy them.
    return table if bool(public.all()) else table.filter(pa.array(public))


def first_visible_column(
    table: pa.Table, rule: Publication, calendar: TradingCalendar
) -> IndexArray:
    """Index of the first session in whose row each record of ``table`` may appear.

    That is the first session whose decision time is not before the publication, and never a
    session before the record's own stamp: tomorrow's master list is public tonight, but belongs
    to tomorrow's row. A record stamped on a closed day counts from the next trading day.

    Returns:
        (rows,) positions in ``calendar.sessions``; their number where no row may use the record.
    """
    sessions = calendar.sessions
    # The day after the last published session is unknown, but not earlier than the next day.
    following = np.append(sessions[1:], sessions[-1] + _DAY)
    decisions = following.astype("datetime64[m]") + CUTOFF
    moments = publication_moments(table, rule, calendar)
    column = np.maximum(
        np.searchsorted(decisions, moments, side="left"),
        np.searchsorted(sessions, _effective_stamps(table, rule), side="left"),
    )
    return np.where(np.isnat(moments), sessions.size, column).astype(np.int64)


def last_published_session(
    rule: Publication, moment: np.datetime64, calendar: TradingCalendar
) -> np.datetime64 | None:
    """Last session whose own records, stamped with it, are public at ``moment``; None before all.

    Meant for sources with records of every session: up to here a fetch can be complete.
    """
    public = published_at(calendar.sessions, rule, calendar) <= moment
    if not bool(public.any()):
        return None
    session: np.datetime64 = calendar.sessions[public][-1]
    return session


def _dates(table: pa.Table, name: str) -> DateArray:
    values: DateArray = table[name].to_numpy().astype("datetime64[D]")
    return values


def _effective_stamps(table: pa.Table, rule: Publication) -> DateArray:
    stamps = _dates(table, rule.stamp)
    if rule.otherwise is None:
        return stamps
    return np.where(np.isnat(stamps), _effective_stamps(table, rule.otherwise), stamps)


def _business_day(dates: DateArray, days: int, calendar: TradingCalendar) -> IndexArray:
    """Positions of the sessions ``days`` business days from ``dates`` (see ``Publication``).

    A day before the calendar's first session becomes that session: later than the truth, so
    nothing can leak; a day after the last one keeps its position outside the calendar.
    """
    after = np.searchsorted(calendar.sessions, dates, side="right" if days > 0 else "left")
    return np.maximum(after + (days - 1 if days > 0 else days), 0)


def _session(at: IndexArray, calendar: TradingCalendar) -> DateArray:
    """Sessions at the positions ``at``; NaT beyond the calendar's end."""
    padded = np.append(calendar.sessions, _NEVER)
    return padded[np.minimum(at, calendar.sessions.size)]
