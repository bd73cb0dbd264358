"""When each company reports: planned days, days that change, and what never comes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline.simulator.random_streams import stream

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.simulator.array_types import BoolArray, DateArray, FloatArray, IntArray, TextArray
    from pipeline.simulator.companies.company_accounts import PeriodEnd
    from pipeline.simulator.companies.company_traits import Companies

# The close moved from 15:00 to 15:30 on this day, and with it the favourite hours.
LATER_CLOSE = np.datetime64("2024-11-05")

_EXTRA_DAYS_FINAL = 6
_LATE, _NEVER = 0.008, 0.003
_MOVED_BY_DAYS = 0.05  # share of plans that move by a few days
_WEEKEND = 0.01  # of the disclosures due on the last session of a week
_TIMES = np.array(
    ["11:30:00", "12:00:00", "13:00:00", "14:00:00", "15:00:00", "15:00:00", "15:00:00",
     "15:10:00", "15:30:00", "15:30:00", "16:00:00", "16:30:00", "17:00:00", "18:20:00"],
    dtype=object,
)  # fmt: skip
_TIMES_SINCE = np.array(
    ["11:30:00", "12:00:00", "13:00:00", "14:00:00", "15:00:00", "15:30:00", "15:30:00",
     "15:30:00", "15:30:00", "15:40:00", "16:00:00", "16:30:00", "17:00:00", "18:20:00"],
    dtype=object,
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Agenda:
    """Plans for the companies of one ``PeriodEnd``, all (n,).

    Attributes:
        period_end: last calendar day of the quarter.
        announced: day on which the plan was published.
        planned: first plan, a session.
        moved: day on which the plan was changed; NaT when it never was.
        undecided: True where the change only withdrew the day.
        day: of the disclosure, NaT when it never comes; rarely no session.
        time: of the disclosure, HH:MM:SS.
    """

    period_end: np.datetime64
    announced: DateArray
    planned: DateArray
    moved: DateArray
    undecided: BoolArray
    day: DateArray
    time: TextArray


def make_agenda(seed: int, end: PeriodEnd, companies: Companies, sessions: DateArray) -> Agenda:
    """The plans of one month's companies.

    Days beyond the last known session are NaT; they lie after the end of any market's data.
    """
    n = end.slot.size
    rng = stream(seed, "agenda", end.month)
    normal, uniform = rng.standard_normal((2, n)), rng.random((8, n))
    period_end = (np.datetime64(end.month + 1, "M")).astype("datetime64[D]") - 1
    lag = companies.lag_days[end.slot] + 2.0 * normal[0] + _EXTRA_DAYS_FINAL * end.final
    planned = on_session(sessions, period_end + _days(np.clip(lag, 20, 58)))
    late, never = uniform[0] < _LATE, uniform[0] > 1 - _NEVER
    small_move = uniform[1] < _MOVED_BY_DAYS
    shift = np.where(late, 25 + 30 * uniform[2], np.where(small_move, 2 + 6 * uniform[2], 0.0))
    early = small_move & ~late & (uniform[3] < 0.3)
    day = on_session(sessions, planned + _days(np.where(early, -2.0, shift)))
    changes = late | never | (day != planned)
    lead = np.where(early, 3 + 2 * uniform[4], 1 + 5 * uniform[4])
    moved = np.where(changes, planned - _days(lead), np.datetime64("NaT"))
    weekend = (uniform[5] < _WEEKEND) & ~np.isin(day + 1, sessions)
    day = np.where(weekend, day + 1, day)
    choice = (uniform[6] * _TIMES.size).astype(np.int64)
    return Agenda(
        period_end=period_end,
        announced=on_session(sessions, period_end + _days(3 + 12 * uniform[7])),
        planned=planned,
        moved=on_session(sessions, moved),
        undecided=late | never,
        day=np.where(never, np.datetime64("NaT"), day),
        time=np.where(day < LATER_CLOSE, _TIMES[choice], _TIMES_SINCE[choice]),
    )


def on_session(sessions: DateArray, days: DateArray) -> DateArray:
    """The first session at or after each day; NaT for NaT and beyond the last session."""
    place = np.searchsorted(sessions, days)  # NaT sorts after everything
    padded = np.append(sessions, np.datetime64("NaT"))
    found: DateArray = padded[place]
    # What lies before the first session is history nobody counts in sessions.
    return np.where(days < sessions[0], days, found)


def last_session(sessions: DateArray, days: DateArray) -> IntArray:
    """Index of the last session at or before each day; 0 before the first."""
    place = np.searchsorted(sessions, days, side="right") - 1
    index: IntArray = np.clip(place, 0, sessions.size - 1)
    return index


def _days(count: FloatArray) -> NDArray[np.timedelta64]:
    return np.asarray(count).astype(np.int64).astype("timedelta64[D]")
