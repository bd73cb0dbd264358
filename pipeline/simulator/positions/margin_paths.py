"""Margin balances and designations of every issue, simulated forward with the prices.

Long balances lean against the price (individuals buy weakness), short balances follow it. Both
run after a target in days of turnover, by at most a part of the day's volume: what is opened
and closed on margin was traded. Balances move with splits like the shares they are.

Issues that move violently, and a few others, are designated for daily publication for some
weeks; some are restricted in up to four stages.
"""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from pipeline.simulator.exchange import code_tables
from pipeline.simulator.exchange.price_paths import LOTS
from pipeline.simulator.random_streams import stream

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.simulator.array_types import BoolArray, CodeArray, FloatArray, IntArray
    from pipeline.simulator.exchange.listings import Universe
    from pipeline.simulator.exchange.price_paths import PriceTape
    from pipeline.simulator.market_spec import MarketSpec

LONG, SHORT = 0, 1
CLASSES = ("", "001", "002", "003", "004", "005", "006", "101", "102")
NOT_DESIGNATED, CAUTION, DAILY, RESTRICTED, STAGE_4, LIFTED, SUPERVISED = 0, 1, 2, 3, 6, 7, 8

_DAYS_OF_TURNOVER = (6.0, 1.6)  # of an average issue: long, short
_SHORT_WITHOUT_LOANS = 0.06  # of the target where shares cannot be borrowed from the exchange
_FOLLOWS = (-1.6, 1.2)  # reaction of the log target to a day's log return
_REVERSION, _NOISE = 0.03, 0.10
_PACE, _OF_VOLUME = 0.15, 0.2
_HAZARD, _VIOLENT, _VIOLENT_HAZARD = 0.0006, 0.28, 0.15
_SOME_AT_ANY_SIZE = 0.12  # designations per session that even a small market has
_ESCALATION, _SHORTEST, _MEAN_LENGTH = 0.025, 5, 18


class MarginTape:
    """Balances of all sessions, filled on demand and in order.

    Attributes:
        balance: (2, sessions, slots) lots outstanding, long and short.
        designation: (sessions, slots) index into ``CLASSES``, of the balance of the session.
    """

    def __init__(self, spec: MarketSpec, universe: Universe, tape: PriceTape) -> None:
        shape = universe.listed.shape
        self._seed, self._universe, self._tape = spec.seed, universe, tape
        self._hazard = max(_HAZARD, _SOME_AT_ANY_SIZE / spec.stocks)
        self.balance: NDArray[np.int32] = np.zeros((2, *shape), dtype=np.int32)
        self.designation: CodeArray = np.zeros(shape, dtype=np.int8)
        n = shape[1]
        self._appetite = np.zeros((2, n))  # log of the target over its average
        self._drift = np.zeros(n)  # recent log return, fading
        self._ends = np.zeros(n, dtype=np.int64)  # session after the designation's last one
        self._done = 0
        self._lock = Lock()

    def extend(self, stop: int) -> None:
        """Make sure that the sessions before index ``stop`` are there."""
        with self._lock:
            self._tape.extend(stop)
            while self._done < stop:
                self._run_session(self._done)
                self._done += 1

    def opened(self, t: int) -> IntArray:
        """Lots by which balances grew in session ``t`` on top of splits: (2, slots)."""
        self.extend(t + 1)
        carried = self._carried_over(t)
        growth: IntArray = np.where(
            self._was_listed(t), self.balance[:, t].astype(np.int64) - carried, 0
        )
        return growth

    # -- one session -------------------------------------------------------------------------

    def _run_session(self, t: int) -> None:
        universe = self._universe
        block = int(np.searchsorted(universe.block_start, t, side="right")) - 1
        n = int(universe.known[block])
        rng = stream(self._seed, "margin", int(universe.sessions[t].astype(np.int64)))
        normal, uniform = rng.standard_normal((2, n)), rng.random((3, n))
        lots = self._tape.blocks[:, LOTS, t, :n].sum(axis=0).astype(np.float64)
        price = self._tape.carried[t, :n]
        change = self._log_return(t, n)
        before = self._carried_over(t)[:, :n].astype(np.float64)
        usual = universe.issues.turnover[:n] / np.maximum(price * 100, 1.0)
        loanable = universe.margin[t, :n] == code_tables.LOANABLE
        tradable = universe.listed[t, :n] & (universe.margin[t, :n] != code_tables.NO_MARGIN)
        starts = tradable & ~self._was_listed(t)[:n]
        for side in (LONG, SHORT):
            appetite = self._appetite[side, :n]
            appetite *= 1 - _REVERSION
            appetite += _NOISE * normal[side] + _FOLLOWS[side] * change
            target = _DAYS_OF_TURNOVER[side] * usual * np.exp(np.clip(appetite, -3, 3))
            if side == SHORT:
                target *= np.where(loanable, 1.0, _SHORT_WITHOUT_LOANS)
            step = np.clip(_PACE * (target - before[side]), -_OF_VOLUME * lots, _OF_VOLUME * lots)
            after = np.where(starts, target, before[side] + np.rint(step))
            bounded = np.clip(np.rint(after), 0, 2**31 - 1)
            self.balance[side, t, :n] = np.where(tradable, bounded, 0)
        self._designate(t, n, tradable, change, uniform)

    def _was_listed(self, t: int) -> BoolArray:
        if t == 0:
            return np.zeros(self.balance.shape[2], dtype=np.bool_)
        before: BoolArray = self._universe.listed[t - 1] & self._universe.listed[t]
        return before

    def _carried_over(self, t: int) -> IntArray:
        """Balances of the session before, in shares of this session: (2, slots)."""
        if t == 0:
            return np.zeros((2, self.balance.shape[2]), dtype=np.int64)
        balance = self.balance[:, t - 1].astype(np.int64)
        for split in self._tape.splits:
            if split.session == t:
                balance[:, split.slot] = np.rint(balance[:, split.slot] / split.factor)
        return balance

    def _log_return(self, t: int, n: int) -> FloatArray:
        if t == 0:
            return np.zeros(n)
        now, before = self._tape.carried[t, :n], self._tape.carried[t - 1, :n].copy()
        for split in self._tape.splits:
            if split.session == t and split.slot < n:
                before[split.slot] *= split.factor
        known = (now > 0) & (before > 0)
        return np.log(np.where(known, now, 1.0) / np.where(known, before, 1.0))

    # -- designations ------------------------------------------------------------------------

    def _designate(
        self, t: int, n: int, tradable: BoolArray, change: FloatArray, uniform: FloatArray
    ) -> None:
        self._drift[:n] = 0.8 * self._drift[:n] + change
        kind = self._universe.issues.kind[:n]
        eligible = tradable & ((kind == code_tables.ORDINARY) | (kind == code_tables.ETF))
        violent = np.abs(self._drift[:n]) > _VIOLENT
        chance = self._hazard + np.where(violent, _VIOLENT_HAZARD, 0.0)
        before = self.designation[t - 1, :n] if t else np.zeros(n, dtype=np.int8)
        running = tradable & (t < self._ends[:n])
        starts = eligible & ~running & (before == NOT_DESIGNATED) & (uniform[0] < chance)
        length = _SHORTEST - _MEAN_LENGTH * np.log1p(-uniform[1])
        self._ends[:n] = np.where(starts, t + np.rint(length).astype(np.int64), self._ends[:n])
        first = np.select(
            [uniform[2] < 0.3, uniform[2] < 0.75, uniform[2] < 0.9],
            [CAUTION, DAILY, RESTRICTED],
            SUPERVISED,
        )
        harder = (uniform[2] < _ESCALATION) & (before >= DAILY) & (before < STAGE_4)
        goes_on = np.where(harder, before + 1, before)
        # The last day of a restricted issue says that the restriction is lifted.
        strict = (before >= RESTRICTED) & (before <= STAGE_4)
        goes_on = np.where(strict & (t == self._ends[:n] - 1), LIFTED, goes_on)
        today = np.where(starts, first, np.where(running, goes_on, NOT_DESIGNATED))
        self.designation[t, :n] = today
