"""Daily valuation: prices against the statements and forecasts in force.

A disclosure counts from the session after its day on. Share counts are those of the statement,
brought to the basis of the session by the splits in between.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.simulator.companies.disclosures import CORRECTION

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.simulator.array_types import BoolArray, Columns, DateArray, FloatArray, IntArray
    from pipeline.simulator.companies.disclosures import Disclosures


class ValuationBook:
    """What every company has last told, by session.

    Args:
        disclosures: documents in any order.
        sessions: of the market.
        split: product of the split factors up to sessions, ``split(t, s)``.
    """

    def __init__(
        self,
        disclosures: Disclosures,
        sessions: DateArray,
        split: Callable[[IntArray, IntArray], FloatArray],
    ) -> None:
        day, slot = disclosures.day, disclosures.slot
        effective = np.searchsorted(sessions, day, side="right").astype(np.int64)
        order = np.lexsort((disclosures.kind, day, slot))
        self._slot, self._key = slot[order], _key(effective, slot)[order]
        figures = {name: values[order] for name, values in disclosures.figures.items()}
        statement = disclosures.kind[order] <= CORRECTION
        told_on = np.maximum(effective[order] - 1, 0)
        # Shares in the basis of the listing day: free of all splits.
        net = (figures["ShOutFY"] - figures["TrShFY"]) * split(told_on, self._slot)
        forecast = np.where(np.isnan(figures["NxFNp"]), figures["FNP"], figures["NxFNp"])
        self._trailing = self._latest(disclosures.trailing_profit[order], statement)
        self._equity = self._latest(figures["Eq"], statement)
        self._net_shares = self._latest(net, statement)
        self._forecast = self._latest(forecast, ~np.isnan(forecast))
        self._split = split

    def indicators(self, t: IntArray, s: IntArray, price: FloatArray) -> Columns:
        """Per-share figures, returns and multiples of slots ``s`` on sessions ``t``.

        Args:
            price: yen, in the basis of the session.
        """
        trailing, equity = self._at(self._trailing, t, s), self._at(self._equity, t, s)
        forecast = self._at(self._forecast, t, s)
        shares = self._at(self._net_shares, t, s) / self._split(t, s)
        eps, forward, book = trailing / shares, forecast / shares, equity / shares
        positive_equity = np.where(equity > 0, equity, np.nan)
        return {
            "EPS": np.round(eps, 2),
            "FwdEPS": np.round(forward, 2),
            "BPS": np.round(book, 2),
            "ROE": np.round(trailing / positive_equity, 4),
            "FwdROE": np.round(forecast / positive_equity, 4),
            "PER": _multiple(price, eps),
            "FwdPER": _multiple(price, forward),
            "PBR": _multiple(price, book),
        }

    def _latest(self, values: FloatArray, told: BoolArray) -> FloatArray:
        """Values carried forward from the newest document of the issue that tells them."""
        rows = np.arange(values.size)
        newest = np.maximum.accumulate(np.where(told, rows, -1))
        own = (newest >= 0) & (self._slot[newest] == self._slot)
        carried: FloatArray = np.where(own, values[newest], np.nan)
        return carried

    def _at(self, values: FloatArray, t: IntArray, s: IntArray) -> FloatArray:
        place = np.searchsorted(self._key, _key(t, s), side="right") - 1
        found = (place >= 0) & (self._slot[place] == s)
        return np.where(found, values[place], np.nan)


def _key(t: IntArray, s: IntArray) -> IntArray:
    key: IntArray = (np.asarray(s, dtype=np.int64) << 24) + t
    return key


def _multiple(price: FloatArray, per_share: FloatArray) -> FloatArray:
    """Price over a figure per share; a loss has no multiple (the vendor's rule is not known)."""
    return np.round(price / np.where(per_share > 0, per_share, np.nan), 2)
