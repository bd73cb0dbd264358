"""Trading days as the exchange publishes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.errors import PipelineError
from pipeline.market.closed_lists import HOLIDAY

DateArray: TypeAlias = NDArray[np.datetime64]


class NotASession(PipelineError):
    """A date was used as a trading day and is none, or lies outside the calendar."""


@dataclass(frozen=True, eq=False)
class TradingCalendar:
    """The trading days, past and published future ones.

    Attributes:
        sessions: (n,) datetime64[D], ascending, unique.
    """

    sessions: DateArray

    def __post_init__(self) -> None:
        if self.sessions.size == 0:
            raise NotASession("trading calendar: no session in it", "fetch the calendar again")
        if not bool(np.all(np.diff(self.sessions) > np.timedelta64(0, "D"))):
            raise NotASession("trading calendar: sessions are not strictly ascending")

    @classmethod
    def from_table(cls, table: pa.Table) -> TradingCalendar:
        """Sessions of a calendar table with columns ``Date`` (date32) and ``HolDiv`` (string).

        Raises:
            UnknownMember: a day of which nobody knows whether shares are traded on it.
        """
        HOLIDAY.refuse_unknown(table)
        is_open = HOLIDAY.decode(table["HolDiv"]) == 1.0
        dates = table.filter(pa.array(is_open))["Date"].to_numpy().astype("datetime64[D]")
        return cls(np.unique(dates))

    def index(self, date: np.datetime64) -> int:
        """Position of a session.

        Raises:
            NotASession: ``date`` is not a trading day.
        """
        at = int(np.searchsorted(self.sessions, date))
        if at == self.sessions.size or self.sessions[at] != date:
            raise NotASession(
                f"{date}: not a trading day of the calendar {self.sessions[0]} to "
                f"{self.sessions[-1]}"
            )
        return at

    def eff(self, date: np.datetime64) -> int:
        """Position of the first session at or after ``date`` (may be one past the end)."""
        return int(np.searchsorted(self.sessions, date))

    def between(self, first: np.datetime64, last: np.datetime64) -> DateArray:
        """Sessions in [first, last], both ends included."""
        start, stop = np.searchsorted(self.sessions, [first, last + np.timedelta64(1, "D")])
        return self.sessions[start:stop]

    def next(self, date: np.datetime64) -> np.datetime64:
        """First session strictly after ``date``.

        Raises:
            NotASession: the published calendar ends before it.
        """
        at = self.eff(date + np.timedelta64(1, "D"))
        if at == self.sessions.size:
            raise NotASession(f"no published session after {date}", "fetch the calendar again")
        session: np.datetime64 = self.sessions[at]
        return session

    def previous(self, date: np.datetime64) -> np.datetime64:
        """Last session strictly before ``date``.

        Raises:
            NotASession: the calendar begins after it.
        """
        at = self.eff(date) - 1
        if at < 0:
            raise NotASession(f"no session before {date} in the calendar")
        session: np.datetime64 = self.sessions[at]
        return session

    def back(self, date: np.datetime64, columns: int) -> np.datetime64:
        """Session ``columns`` before the first session at or after ``date``; the first one
        of the calendar if it does not reach back that far."""
        session: np.datetime64 = self.sessions[max(0, self.eff(date) - columns)]
        return session
