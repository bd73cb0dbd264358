"""Daily prices of every issue, simulated forward in time.

For every session and issue:
1. a latent log value makes four moves (overnight, morning, lunch, afternoon), each the sum of
   the market, the industry and the issue's own noise (GARCH), now and then with a jump;
2. the extremes of both sessions are drawn from the Brownian bridge between their ends;
3. everything is cut to the limits of the day and put on valid ticks: what the limit cuts off is
   carried to the next day by the latent value, so that big news take several limit days;
4. trades arrive at random: thin issues have sessions and days without any.

Splits are decided at the start of each quarter among the quiet issues, by price.
"""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from pipeline.simulator.exchange import code_tables
from pipeline.simulator.exchange.exchange_calendar import SYSTEM_FAILURE
from pipeline.simulator.exchange.price_rules import FINE_TICKS_FOR_MID400, limit_prices, on_tick
from pipeline.simulator.exchange.return_factors import LEG_SHARE, Factors, bridge_extremes
from pipeline.simulator.random_streams import stream

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.simulator.array_types import BoolArray, FloatArray, IntArray
    from pipeline.simulator.exchange.listings import Shock, Universe
    from pipeline.simulator.market_spec import MarketSpec

LOT = 100  # shares
MORNING, AFTERNOON = 0, 1
OPEN, HIGH, LOW, CLOSE, LOTS, VWAP = range(6)

_ARCH, _GARCH = 0.08, 0.88
_VARIANCE_CAP = 16.0  # times the issue's long-run variance
_JUMP_PROBABILITY, _JUMP_SIZE = 0.006, 0.17
_FLOOR_YEN = 25.0  # issues worth less are consolidated or delisted in reality
_SPLITS, _CONSOLIDATIONS = 0.008, 0.0012  # per ordinary share and quarter
_SPLIT_RATIOS = np.array([2, 2, 2, 2, 3, 3, 4, 5, 5, 10])
_CONSOLIDATION_RATIOS = np.array([10, 10, 5])
_NORMALS, _UNIFORMS = 6, 9


@dataclass(frozen=True)
class Split:
    """An ex-date: prices of the issue are multiplied by ``factor`` (0.5 for 1:2, 10 for 10:1)."""

    session: int
    slot: int
    factor: float


@dataclass(eq=False)
class _State:
    """What carries over from one session to the next, one value per slot."""

    latent: FloatArray  # log yen
    close: FloatArray  # last traded close or base price, in tenths of a yen, in today's basis
    variance: FloatArray
    vol_scale: FloatArray


@dataclass(frozen=True, eq=False)
class _Day:
    """One session while it is simulated; n issues are known.

    Attributes:
        open: (n,) True where trading is possible.
        fine: (n,) True for issues with fine ticks.
        base: (n,) base price of the limits, in tenths of a yen.
        path: (4, n) log yen at open, morning close, afternoon open, close.
        variance: (n,) of the log return of the day.
        normal, uniform: random numbers, (values, n).
    """

    open: BoolArray
    fine: BoolArray
    base: FloatArray
    path: FloatArray
    variance: FloatArray
    normal: FloatArray
    uniform: FloatArray


class PriceTape:
    """Prices of all sessions, filled on demand and in order.

    Attributes:
        blocks: (2, 6, sessions, slots) int32: per session of the day open, high, low, close in
            tenths of a yen, volume in lots, average price in tenths; all 0 without a trade.
        carried: (sessions, slots) yen; the latest traded close, or the base price before the
            first trade, in the basis of the session.
        limit_up, limit_down: (2, sessions, slots) True where the limit was touched.
        splits: all decided so far, in order of quarters; some may lie ahead.
    """

    def __init__(self, spec: MarketSpec, universe: Universe, factors: Factors) -> None:
        shape = universe.listed.shape
        self._seed, self._universe, self._factors = spec.seed, universe, factors
        self._stocks = spec.stocks
        self.blocks: NDArray[np.int32] = np.zeros((2, 6, *shape), dtype=np.int32)
        self.carried: FloatArray = np.zeros(shape)
        self.limit_up: BoolArray = np.zeros((2, *shape), dtype=np.bool_)
        self.limit_down: BoolArray = np.zeros((2, *shape), dtype=np.bool_)
        self.splits: list[Split] = []
        self._shocks: dict[int, list[Shock]] = {}
        for shock in universe.shocks:
            self._shocks.setdefault(shock.session, []).append(shock)
        self._done = 0
        self._lock = Lock()
        issues = universe.issues
        self._state = _State(
            latent=np.log(issues.price),
            close=np.zeros(len(issues)),
            variance=issues.daily_vol**2,
            vol_scale=np.ones(len(issues)),
        )

    def extend(self, stop: int) -> None:
        """Make sure that the sessions before index ``stop`` are there."""
        with self._lock:
            while self._done < stop:
                self._run_session(self._done)
                self._done += 1

    # -- one session -------------------------------------------------------------------------

    def _run_session(self, t: int) -> None:
        block = int(np.searchsorted(self._universe.block_start, t, side="right")) - 1
        n = int(self._universe.known[block])
        if t == self._universe.block_start[block]:
            self._decide_splits(block, n)
        self._apply_events(t, n)
        day = self._universe.sessions[t]
        rng = stream(self._seed, "prices", int(day.astype(np.int64)))
        normal = rng.standard_normal((_NORMALS, n))
        uniform = rng.random((_UNIFORMS, n))
        open_today = self._universe.listed[t, :n] & ~self._universe.halted[t, :n]
        open_today &= day != SYSTEM_FAILURE
        fine = self._fine_ticks(t, n)
        base = self._base_prices(t, n, fine)
        path, variance = self._move(t, n, normal, uniform)
        self._trade(t, _Day(open_today, fine, base, path, variance, normal, uniform))

    def _fine_ticks(self, t: int, n: int) -> BoolArray:
        finest = code_tables.LARGE70
        if self._universe.sessions[t] >= np.datetime64(FINE_TICKS_FOR_MID400):
            finest = code_tables.MID400
        fine: BoolArray = self._universe.bucket[t, :n] <= finest
        return fine

    def _apply_events(self, t: int, n: int) -> None:
        state = self._state
        for shock in self._shocks.get(t, ()):
            if shock.slot < n:
                state.latent[shock.slot] += shock.log_jump
                state.vol_scale[shock.slot] = shock.vol_scale
        for split in self.splits:
            if split.session == t:
                state.latent[split.slot] += np.log(split.factor)
                state.close[split.slot] *= split.factor

    def _base_prices(self, t: int, n: int, fine: BoolArray) -> FloatArray:
        """Base price of the day in tenths; issues that (re)appear start at their value."""
        state, listed = self._state, self._universe.listed
        before = listed[t - 1, :n] if t else np.zeros(n, dtype=np.bool_)
        appears = listed[t, :n] & ~before
        if appears.any():
            value = on_tick(np.exp(state.latent[:n]) * 10, fine)
            state.close[:n][appears] = value[appears]
        base: FloatArray = np.maximum(state.close[:n], 10.0)
        return base

    def _move(
        self, t: int, n: int, normal: FloatArray, uniform: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Log values at the four points of the day (4, n), and the variance of the day (n,)."""
        issues, state, factors = self._universe.issues, self._state, self._factors
        industry = np.minimum(self._universe.industry[t, :n], code_tables.OTHER_INDUSTRY - 1)
        beta, industry_beta = issues.beta[:n], issues.industry_beta[:n]
        own_variance = state.variance[:n] * state.vol_scale[:n] ** 2
        own = np.sqrt(LEG_SHARE)[:, None] * np.sqrt(own_variance) * normal[:4]
        # A quiet issue (tender offer) follows its price, not the market.
        common = np.minimum(state.vol_scale[:n], 1.0)
        legs = own + common * (
            factors.market[t][:, None] * beta + factors.industry[t][industry].T * industry_beta
        )
        jumps = (uniform[0] < _JUMP_PROBABILITY * common) & (issues.daily_vol[:n] > 0.01)
        legs[0] += np.where(jumps, _JUMP_SIZE * normal[4], 0.0)
        path = state.latent[:n] + np.cumsum(legs, axis=0)
        moved = np.maximum(path[3], np.log(_FLOOR_YEN))
        state.latent[:n] = np.where(state.close[:n] > 0, moved, state.latent[:n])
        long_run = issues.daily_vol[:n] ** 2
        news = own.sum(axis=0) ** 2 / np.maximum(state.vol_scale[:n] ** 2, 1e-4)
        after = (1 - _ARCH - _GARCH) * long_run + _ARCH * news + _GARCH * state.variance[:n]
        state.variance[:n] = np.minimum(after, _VARIANCE_CAP * long_run)
        variance = (
            own_variance
            + (common * beta) ** 2 * factors.market_variance[t]
            + (common * industry_beta) ** 2 * factors.industry_variance[t][industry]
        )
        return path, variance

    def _trade(self, t: int, day: _Day) -> None:
        """Turns the path of the day into trades and stores them."""
        lowest, highest = limit_prices(day.base, day.fine)
        prices = _session_prices(day)
        tenths = on_tick(np.clip(np.exp(prices) * 10, lowest, highest), day.fine)
        n = day.base.size
        issues, close = self._universe.issues, self._state.close[:n]
        surprise = np.abs(day.path[3] - day.path[0]) / np.sqrt(day.variance + 1e-12)
        activity = np.exp(0.45 * day.normal[5] + 0.35 * surprise - 0.3)
        for half in (MORNING, AFTERNOON):
            o, h, l, c = tenths[4 * half : 4 * half + 4]
            idle = np.exp(-issues.trades[:n] * activity)
            trades = day.open & (day.uniform[5 + half] >= idle)
            lots = np.rint(issues.turnover[:n] * activity / 2 / (o * (LOT / 10)))
            lots = np.clip(lots, 1, 2**31 - 1).astype(np.int64)
            h, l = _few_trades(o, h, l, c, lots)
            c = np.where(lots == 1, o, c)
            middle = 0.25 * (o + c) + 0.5 * (l + day.uniform[7 + half] * (h - l))
            vwap = np.clip(np.rint(middle).astype(np.int64), l, h)
            stored = np.stack([o, h, l, c, lots, vwap])
            self.blocks[half, :, t, :n] = np.where(trades, stored, 0)
            self.limit_up[half, t, :n] = trades & (h == highest)
            self.limit_down[half, t, :n] = trades & (l == lowest)
            close[trades] = c[trades]
        self.carried[t, :n] = close / 10

    # -- splits ------------------------------------------------------------------------------

    def _decide_splits(self, block: int, n: int) -> None:
        """Dear issues split, cheap ones consolidate, on a random day of the quarter."""
        universe = self._universe
        first, stop = (int(x) for x in universe.block_start[block : block + 2])
        if stop - first < 3:
            return
        rng = stream(self._seed, "splits", int(universe.sessions[first].astype(np.int64)))
        taste = rng.normal(0.0, 0.4, n)
        free = universe.quiet[block, :n] & universe.listed[first, :n]
        free &= universe.issues.kind[:n] == code_tables.ORDINARY
        slots = np.flatnonzero(free & (universe.listed[:first, :n].any(axis=0) | (block == 0)))
        value = self._state.latent[slots]
        order = slots[np.argsort(value + taste[slots], kind="stable")]
        cheap = order[: min(self._count(_CONSOLIDATIONS), order.size // 2)]
        dear = order[::-1][: min(self._count(_SPLITS), order.size // 2)]
        for slot in dear.tolist():
            ratio = int(rng.choice(_SPLIT_RATIOS))
            self.splits.append(Split(int(rng.integers(first + 1, stop)), slot, 1.0 / ratio))
        for slot in cheap.tolist():
            ratio = int(rng.choice(_CONSOLIDATION_RATIOS))
            self.splits.append(Split(int(rng.integers(first + 1, stop)), slot, float(ratio)))

    def _count(self, rate: float) -> int:
        return max(1, round(rate * self._stocks))


def _session_prices(day: _Day) -> FloatArray:
    """Log open, high, low, close of the morning, then of the afternoon: (8, issues)."""
    opening, noon, reopening, close = day.path
    morning = bridge_extremes(opening, noon, day.variance * LEG_SHARE[1], day.uniform[1:3])
    afternoon = bridge_extremes(reopening, close, day.variance * LEG_SHARE[3], day.uniform[3:5])
    return np.stack([opening, *morning, noon, reopening, *afternoon, close])


def _few_trades(
    o: IntArray,
    h: IntArray,
    l: IntArray,
    c: IntArray,
    lots: IntArray,
) -> tuple[IntArray, IntArray]:
    """High and low that fit the number of lots: one lot has one price, two have two."""
    upper = np.where(lots == 1, o, np.maximum(o, c))
    lower = np.where(lots == 1, o, np.minimum(o, c))
    return np.where(lots <= 2, upper, h), np.where(lots <= 3, lower, l)
