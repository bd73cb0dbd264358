"""What could be known at a moment: which rows were decided, and which labels had come.

Pure. A row of session T is decided at 08:00 JST on the next session; a label that looks ``ahead``
sessions ahead is known at 16:30 JST of its exit, session T + ``ahead``. Moments are naive
``datetime64[m]`` in Japan Standard Time.
"""

from __future__ import annotations

import datetime as dt
from typing import TypeAlias

import numpy as np

from pipeline.errors import UsageError
from pipeline.market.calendar.as_of import CUTOFF
from pipeline.market.calendar.sessions import DateArray

Day: TypeAlias = str | dt.date | np.datetime64

_JST = dt.timezone(dt.timedelta(hours=9))
_BARS = np.timedelta64(16 * 60 + 30, "m")  # of the day, when its bars are public
# Calendar days until the next session is there for certain: the ten closed days around the
# accession of 2019 were the most there ever were.
_LONGEST_CLOSURE = np.timedelta64(11, "D")


def day_of(value: Day, what: str) -> dt.date:
    """A day from a text, date, moment or ``datetime64``.

    Raises:
        UsageError: it is none.
    """
    try:
        moment = dt.datetime.fromisoformat(str(value))
    except ValueError:
        raise UsageError(f"{what} {value!r}: expected a day such as 2024-06-03") from None
    return moment.date()


def moment_of(value: Day) -> np.datetime64:
    """The moment to look from. A day means 08:00 JST on it; a time without offset is JST.

    Raises:
        UsageError: it is neither day nor time.
    """
    text = str(value)
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"as_of {value!r}: expected a day or time such as 2024-06-03 or 2024-06-03T16:30"
        ) from None
    if len(text) <= len("2024-06-03"):
        return np.datetime64(moment.date(), "m") + CUTOFF
    if moment.tzinfo is not None:
        moment = moment.astimezone(_JST).replace(tzinfo=None)
    return np.datetime64(moment, "m")


def last_decided(sessions: DateArray, moment: np.datetime64) -> dt.date | None:
    """The last session whose row was decided by then; None before the first.

    Args:
        sessions: (n,) datetime64[D], ascending. The session after the last one is taken to be as
            late as one ever was, so that nothing is known too early.
    """
    following = np.append(sessions[1:], sessions[-1] + _LONGEST_CLOSURE)
    return _last(sessions, int(np.sum(following.astype("datetime64[m]") + CUTOFF <= moment)))


def last_labelled(sessions: DateArray, moment: np.datetime64, ahead: int) -> dt.date | None:
    """The last session of which a label that looks ``ahead`` sessions ahead was known by then."""
    over = int(np.sum(sessions.astype("datetime64[m]") + _BARS <= moment))
    return _last(sessions, over - ahead)


def _last(sessions: DateArray, count: int) -> dt.date | None:
    """The last of the first ``count`` sessions."""
    if count <= 0:
        return None
    day: dt.date = sessions[count - 1].astype("datetime64[D]").astype(object)
    return day
