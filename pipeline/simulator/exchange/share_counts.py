"""How many shares an issue has: splits, and since listing new issues and retirements.

Splits are the price tape's; new issues and retirements are drawn once per quarter from a stream
of their own and do not depend on prices.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.simulator.exchange import code_tables
from pipeline.simulator.random_streams import stream

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipeline.simulator.array_types import FloatArray, IntArray
    from pipeline.simulator.exchange.listings import Universe
    from pipeline.simulator.market_spec import MarketSpec

_NEW_ISSUES, _RETIREMENTS = 0.02, 0.008  # per ordinary share and quarter


class StepProduct:
    """Running products of factors per issue, looked up on any session.

    Args:
        steps: session, slot and factor of every step, in any order.
    """

    def __init__(self, steps: Iterable[tuple[int, int, float]]) -> None:
        ordered = sorted((slot, session, factor) for session, slot, factor in steps)
        self._slot = np.array([step[0] for step in ordered], dtype=np.int64)
        self._key = _key(np.array([step[1] for step in ordered], dtype=np.int64), self._slot)
        self._product = np.ones(len(ordered))
        for i, (slot, _, factor) in enumerate(ordered):
            goes_on = i > 0 and ordered[i - 1][0] == slot
            self._product[i] = factor * (self._product[i - 1] if goes_on else 1.0)

    def at(self, t: IntArray, s: IntArray) -> FloatArray:
        """Product of the factors of slots ``s`` up to sessions ``t``, themselves included."""
        if self._slot.size == 0:
            return np.ones(np.broadcast(t, s).shape)
        place = np.searchsorted(self._key, _key(t, s), side="right") - 1
        found = (place >= 0) & (self._slot[place] == s)
        product: FloatArray = np.where(found, self._product[place], 1.0)
        return product


def _key(t: IntArray, s: IntArray) -> IntArray:
    key: IntArray = (np.asarray(s, dtype=np.int64) << 24) + t
    return key


def issuance(spec: MarketSpec, universe: Universe) -> StepProduct:
    """Growth of the number of shares by new issues, shrinkage by retirements."""
    steps: list[tuple[int, int, float]] = []
    for block in range(universe.block_start.size - 1):
        first, stop = (int(t) for t in universe.block_start[block : block + 2])
        ordinal = int(universe.sessions[first].astype(np.int64))
        rng = stream(spec.seed, "issuance", ordinal)
        known = np.flatnonzero(
            universe.issues.kind[: universe.known[block]] == code_tables.ORDINARY
        )
        for rate, low, high in ((_NEW_ISSUES, 1.005, 1.15), (_RETIREMENTS, 0.95, 0.99)):
            count = max(1, round(rate * spec.stocks))
            days = first + (rng.random(count) * (stop - first)).astype(np.int64)
            slots = known[rng.integers(0, known.size, count)]
            factors = rng.uniform(low, high, count)
            steps += zip(days.tolist(), slots.tolist(), factors.tolist(), strict=True)
    return StepProduct(steps)
