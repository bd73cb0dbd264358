"""Which Nikkei 225 option series exist on a date.

Eight consecutive contract months are listed. A month starts with strikes around the index and
gets new ones whenever the index moves on: on each of three grids the strikes reach a fixed
distance beyond every close since the grid was opened, so a strike, once listed, stays until
the last trading day. Strikes of a date follow the closes up to the session before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline.simulator.exchange.exchange_calendar import business_day_before, special_quotation_day

if TYPE_CHECKING:
    from pipeline.simulator.array_types import BoolArray, DateArray, FloatArray, IntArray

MONTHS_LISTED = 8
STRIKE_UNIT = 125
_NEAR_SESSIONS = 110  # the finest grid opens this many sessions before the last trading day


@dataclass(frozen=True)
class Grid:
    """A grid of strikes: spacing in index points, reach beyond the index as a fraction."""

    spacing: int
    reach_down: float
    reach_up: float


def grids(stocks: int) -> tuple[Grid, Grid, Grid]:
    """Finest (only near expiry), middle and widest grid; coarser for small markets."""
    scale = 1 if stocks >= 2000 else 2 if stocks >= 500 else 4
    shrink = 1.0 if scale == 1 else 0.7 if scale == 2 else 0.5
    return (
        Grid(STRIKE_UNIT * min(scale, 2), 0.45 * shrink**2, 0.38 * shrink**2),
        Grid(250 * min(scale, 2), 0.55 * shrink**2, 0.45 * shrink**2),
        Grid(500 * scale, 0.65 * shrink, 0.60 * shrink),
    )


@dataclass(frozen=True)
class Expiry:
    """A contract month.

    Attributes:
        month: datetime64[M].
        sq: special quotation day.
        last_trading_day: the business day before it.
        opened: index of the first session with series of this month.
        near: index of the session on which the finest grid opens.
        closed: index of the last session with series.
    """

    month: np.datetime64
    sq: np.datetime64
    last_trading_day: np.datetime64
    opened: int
    near: int
    closed: int


@dataclass(frozen=True, eq=False)
class SeriesList:
    """Strikes of one date, one entry per month and strike, in the order of months and strikes.

    Attributes:
        expiry: (n,) index into ``SeriesBook.expiries``.
        strike: (n,) index points.
        is_new: (n,) True on the first day of the series.
    """

    expiry: IntArray
    strike: IntArray
    is_new: BoolArray


class SeriesBook:
    """Series of every session of a market.

    Args:
        sessions: all sessions.
        closes: (sessions,) closes of the underlying index.
        stocks: size of the market, which sets the density of strikes.
    """

    def __init__(self, sessions: DateArray, closes: FloatArray, stocks: int) -> None:
        self._closes = closes
        self._grids = grids(stocks)
        self.expiries = _expiries(sessions)

    def on(self, t: int) -> SeriesList:
        """Series with rows in session ``t``."""
        parts = [
            (index, *self._strikes(expiry, t))
            for index, expiry in enumerate(self.expiries)
            if expiry.opened <= t <= expiry.closed
        ]
        return SeriesList(
            expiry=np.repeat([p[0] for p in parts], [p[1].size for p in parts]).astype(np.int64),
            strike=np.concatenate([p[1] for p in parts]),
            is_new=np.concatenate([p[2] for p in parts]),
        )

    def _strikes(self, expiry: Expiry, t: int) -> tuple[IntArray, BoolArray]:
        strikes = self._listed(expiry, t)
        if t == expiry.opened:
            # What is there on the first day of the market has a history like any other.
            is_new = np.full(strikes.size, t > 0)
        else:
            is_new = ~np.isin(strikes, self._listed(expiry, t - 1), assume_unique=True)
        return strikes, is_new

    def _listed(self, expiry: Expiry, t: int) -> IntArray:
        fine, middle, wide = self._grids
        strikes = [self._on_grid(middle, expiry.opened, t), self._on_grid(wide, expiry.opened, t)]
        if t >= expiry.near:
            strikes.append(self._on_grid(fine, expiry.near, t))
        listed: IntArray = np.unique(np.concatenate(strikes))
        return listed

    def _on_grid(self, grid: Grid, opened: int, t: int) -> IntArray:
        seen = self._closes[max(opened - 1, 0) : max(t, 1)]
        lowest = seen.min() * (1 - grid.reach_down) // grid.spacing
        highest = -(-seen.max() * (1 + grid.reach_up) // grid.spacing)
        return np.arange(max(int(lowest), 1), int(highest) + 1, dtype=np.int64) * grid.spacing


def _expiries(sessions: DateArray) -> list[Expiry]:
    first, last = sessions[0].astype("datetime64[M]"), sessions[-1].astype("datetime64[M]")
    months = np.arange(first - MONTHS_LISTED, last + MONTHS_LISTED + 2)
    sq = [special_quotation_day(m) for m in months]
    expiries = []
    for i in range(MONTHS_LISTED, months.size):
        last_day = business_day_before(sq[i])
        # A month opens on the first session after the month eight before it has expired.
        opened = int(np.searchsorted(sessions, sq[i - MONTHS_LISTED], side="left"))
        closed = int(np.searchsorted(sessions, last_day, side="right")) - 1
        if closed < 0 or opened >= sessions.size:
            continue
        if last_day > sessions[-1]:
            closed = sessions.size  # beyond the data; any later session will do
        near = _sessions_before(sessions, last_day, _NEAR_SESSIONS)
        expiries.append(Expiry(months[i], sq[i], last_day, opened, max(near, opened), closed))
    return expiries


def _sessions_before(sessions: DateArray, day: np.datetime64, count: int) -> int:
    """Index of the session about ``count`` sessions before ``day``, which may lie ahead.

    Counted in weeks, so that it does not depend on how far the sessions run.
    """
    target = day - np.timedelta64(count * 7 // 5, "D")
    return int(np.searchsorted(sessions, target, side="left"))
