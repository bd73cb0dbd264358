"""When a row becomes visible: the clock of the simulated exchange, Japan Standard Time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from pipeline.simulator.array_types import DateArray

JST = timezone(timedelta(hours=9), "JST")


@dataclass(frozen=True)
class Publication:
    """A row of date T appears ``lag`` units after T at the hour ``at``.

    Attributes:
        lag: may be negative: the master of T appears on the session before.
        unit: of the lag, sessions or calendar days.
        at: wall clock in Tokyo.
    """

    lag: int
    unit: Literal["session", "day"]
    at: time

    def newest(self, sessions: DateArray, now: datetime) -> int:
        """Index of the newest session whose rows are visible at ``now``; -1 when none is."""
        clock = tokyo_clock(now)
        at = np.timedelta64(self.at.hour * 60 + self.at.minute, "m")
        days = np.timedelta64(self.lag if self.unit == "day" else 0, "D")
        appears = (sessions + days).astype("datetime64[m]") + at
        passed = int(np.searchsorted(appears, clock, side="right")) - 1
        newest = passed - (self.lag if self.unit == "session" else 0)
        return min(max(newest, -1), sessions.size - 1)


def tokyo_clock(now: datetime) -> np.datetime64:
    """Wall clock in Tokyo, datetime64[m]."""
    return np.datetime64(now.astimezone(JST).replace(tzinfo=None), "m")


AFTER_CLOSE = Publication(0, "session", time(16, 30))
EVENING_BEFORE = Publication(-1, "session", time(17, 30))
IN_THE_EVENING = Publication(0, "session", time(18))
NIGHT_AFTER = Publication(1, "day", time(3, 0))


def tokyo_date(now: datetime) -> date:
    """Calendar date in Tokyo."""
    return now.astimezone(JST).date()


def morning_after(day: date) -> datetime:
    """08:00 on the next calendar date: everything of ``day`` is out by then."""
    return datetime.combine(day + timedelta(days=1), time(8), tzinfo=JST).astimezone(UTC)
