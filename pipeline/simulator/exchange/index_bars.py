"""The exchange's indices, weighted by market value from the returns of their members.

An index of session T moves like a basket of its members bought at their last prices before T.
Its open, noon and close are baskets of the members' prices; high and low reach a little beyond.
An index without members (a small market has empty industries) follows its factor. TOPIX itself
(0000) is the market's own index, the same as in ``/indices/bars/daily/topix``.
"""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Final

import numpy as np

from pipeline.simulator.array_types import iso_dates
from pipeline.simulator.companies.event_records import joined
from pipeline.simulator.exchange import code_tables
from pipeline.simulator.exchange.exchange_calendar import SYSTEM_FAILURE
from pipeline.simulator.exchange.price_paths import AFTERNOON, CLOSE, LOTS, MORNING, OPEN
from pipeline.simulator.random_streams import stream

if TYPE_CHECKING:
    from pipeline.simulator.array_types import BoolArray, Columns, DateArray, FloatArray, IntArray
    from pipeline.simulator.companies.company_traits import Companies
    from pipeline.simulator.exchange.listings import Universe
    from pipeline.simulator.exchange.price_paths import PriceTape
    from pipeline.simulator.exchange.return_factors import Factors

_ALWAYS = (np.datetime64("0001-01-01"), np.datetime64("9999-12-31"))
_UNTIL_REFORM = (_ALWAYS[0], np.datetime64("2022-04-01"))
_SEGMENTS_SINCE = (np.datetime64("2022-06-27"), _ALWAYS[1])
_PRIME_150_SINCE = (np.datetime64("2023-05-29"), _ALWAYS[1])
_TOPIX_17_SINCE = (np.datetime64("2009-02-02"), _ALWAYS[1])
_STYLES_SINCE = (np.datetime64("2009-02-09"), _ALWAYS[1])
_REIT_GROUPS_SINCE = (np.datetime64("2010-03-01"), _ALWAYS[1])
# Dates, both included, on which only a close was published.
_CLOSE_ONLY: Final = {
    "002F": (np.datetime64("2018-09-03"), np.datetime64("2018-10-08")),
    "0503": (np.datetime64("2023-05-29"), np.datetime64("2023-07-02")),
    "8501": (np.datetime64("2010-03-01"), np.datetime64("2010-03-07")),
    "8502": (np.datetime64("2010-03-01"), np.datetime64("2010-03-07")),
    "8503": (np.datetime64("2010-03-01"), np.datetime64("2010-03-07")),
}
TOPIX: Final = "0000"
_TOPIX_17: Final = [name for name in code_tables.TOPIX_17 if name != "99"]
_POINTS = 4  # before, open, noon, close
_REACH = 0.15  # of the day's volatility, beyond the three points


@dataclass(frozen=True)
class Index:
    """An index: code, first and last date, first value."""

    code: str
    dates: tuple[np.datetime64, np.datetime64]
    start: float


def _indices() -> tuple[Index, ...]:
    sizes = ("0028", "0029", "002A", "002B", "002C", "002D", "002E", "002F")
    codes = {TOPIX: _ALWAYS, "0001": _UNTIL_REFORM}
    codes |= dict.fromkeys(sizes, _ALWAYS)
    codes |= {f"{0x40 + i:04X}": _ALWAYS for i in range(code_tables.OTHER_INDUSTRY)}
    codes |= {"0070": _ALWAYS, "0075": _ALWAYS}
    codes |= {f"{0x80 + i:04X}": _TOPIX_17_SINCE for i in range(len(_TOPIX_17))}
    codes |= {"0091": _UNTIL_REFORM}
    codes |= dict.fromkeys(("0500", "0501", "0502"), _SEGMENTS_SINCE)
    codes |= {"0503": _PRIME_150_SINCE}
    codes |= dict.fromkeys(("8100", "812C", "812D", "8200", "822C", "822D"), _STYLES_SINCE)
    codes |= dict.fromkeys(("8501", "8502", "8503"), _REIT_GROUPS_SINCE)
    return tuple(
        Index(code, dates, 1000.0 + 37.0 * (i % 40))
        for i, (code, dates) in enumerate(codes.items())
    )


INDICES: Final = _indices()
CODES: Final = tuple(index.code for index in INDICES)
ROWS: Final = {code: row for row, code in enumerate(CODES)}


class IndexTape:
    """Index bars of all sessions, filled on demand and in order.

    Attributes:
        bars: (sessions, indices, 4) open, high, low, close in points, two decimals.
    """

    def __init__(
        self,
        seed: int,
        universe: Universe,
        factors: Factors,
        tape: PriceTape,
        companies: Companies,
    ) -> None:
        self._seed, self._universe, self._factors, self._tape = seed, universe, factors, tape
        self.bars: FloatArray = np.zeros((universe.sessions.size, len(INDICES), 4))
        self._level = np.array([index.start for index in INDICES])
        kind = universe.issues.kind
        self._stock, self._reit = kind == code_tables.ORDINARY, kind == code_tables.REIT
        self._cheap = companies.book_to_market > float(np.exp(-0.1))
        self._industry17 = np.array(
            [
                _TOPIX_17.index(row[2]) if row[2] in _TOPIX_17 else -1
                for row in code_tables.INDUSTRIES
            ]
        )
        self._done = 0
        self._lock = Lock()

    def extend(self, stop: int) -> None:
        """Make sure that the sessions before index ``stop`` are there."""
        with self._lock:
            self._tape.extend(stop)
            while self._done < stop:
                self._run_session(self._done)
                self._done += 1

    # -- one session -------------------------------------------------------------------------

    def _run_session(self, t: int) -> None:
        day = self._universe.sessions[t]
        rng = stream(self._seed, "indices", int(day.astype(np.int64)))
        reach = np.abs(rng.standard_normal((2, len(INDICES)))) * _REACH
        if day == SYSTEM_FAILURE:
            bars = np.repeat(np.round(self._level, 2)[:, None], 4, axis=1)
        else:
            opening, noon, close = self._growth(t)
            top = np.maximum(np.maximum(opening, noon), close)
            bottom = np.minimum(np.minimum(opening, noon), close)
            daily = np.sqrt(self._factors.market_variance[t])
            growth = np.stack(
                [opening, top * np.exp(reach[0] * daily), bottom * np.exp(-reach[1] * daily), close]
            )
            bars = np.round(self._level[:, None] * growth.T, 2)
            self._level *= close
        self.bars[t] = bars
        self.bars[t, ROWS[TOPIX]] = self._factors.topix[t]

    def _growth(self, t: int) -> FloatArray:
        """Open, noon and close over the close before, (3, indices)."""
        prices, weight = self._prices(t)
        basket = np.stack([weight * price for price in prices])  # prices[0]: the close before
        totals = self._totals(t, basket)
        fallback = self._factor_growth(t)
        has_members = totals[0] > 0
        growth: FloatArray = np.where(
            has_members, totals[1:] / np.where(has_members, totals[0], 1.0), fallback
        )
        return growth

    def _prices(self, t: int) -> tuple[FloatArray, FloatArray]:
        """Prices of all slots at the four points, and shares of the members (0 for others)."""
        tape, universe = self._tape, self._universe
        before = tape.carried[max(t - 1, 0)].copy()
        shares = universe.issues.shares.copy()
        for split in tape.splits:
            if split.session <= t:
                shares[split.slot] /= split.factor
            if split.session == t:
                before[split.slot] *= split.factor
        member = universe.listed[t] & universe.listed[max(t - 1, 0)] & (before > 0)
        prices, last = [before], before
        for half, row in ((MORNING, OPEN), (MORNING, CLOSE)):
            block = tape.blocks[half, :, t]
            last = np.where(block[LOTS] > 0, block[row] / 10, last)
            prices.append(last)
        block = tape.blocks[AFTERNOON, :, t]
        prices.append(np.where(block[LOTS] > 0, block[CLOSE] / 10, last))
        return np.stack(prices), np.where(member, shares, 0.0)

    def _totals(self, t: int, basket: FloatArray) -> FloatArray:
        """Value of every index's basket at the four points, (4, indices)."""
        universe = self._universe
        bucket, industry = universe.bucket[t], universe.industry[t].astype(np.int64)
        stock = self._stock
        totals = np.zeros((_POINTS, len(INDICES)))

        def add(codes: str | list[str], members: BoolArray) -> None:
            value = basket[:, members].sum(axis=1)
            for code in [codes] if isinstance(codes, str) else codes:
                totals[:, ROWS[code]] += value

        sizes = (
            (code_tables.CORE30, ["0028", "002A", "002C", "002E"]),
            (code_tables.LARGE70, ["0029", "002A", "002C", "002E"]),
            (code_tables.MID400, ["002B", "002C", "002E"]),
            (code_tables.SMALL1, ["002D", "002E", "002F"]),
            (code_tables.SMALL2, ["002D"]),
        )
        for size, codes in sizes:
            members = stock & (bucket == size)
            add(codes, members)
            part = "2C" if size <= code_tables.MID400 else "2D"
            add(["8100", f"81{part}"], members & self._cheap)
            add(["8200", f"82{part}"], members & ~self._cheap)
            if size <= code_tables.LARGE70:
                add("0503", members)
        segments = (
            ("0001", ("0102",)),
            ("0070", ("0104", "0113")),
            ("0091", ("0106", "0107")),
            ("0500", ("0111", "0101")),
            ("0501", ("0112", "0102", "0106")),
            ("0502", ("0113", "0104", "0107")),
        )
        for code, names in segments:
            chosen = [code_tables.SEGMENT[name] for name in names]
            add(code, stock & np.isin(universe.segment[t], chosen))
        add("0075", self._reit)
        numbers = np.arange(stock.size)
        for group, code in enumerate(("8501", "8502", "8503")):
            add(code, self._reit & (numbers % 3 == group))
        self._add_industries(totals, basket, industry)
        return totals

    def _add_industries(self, totals: FloatArray, basket: FloatArray, industry: IntArray) -> None:
        count = code_tables.OTHER_INDUSTRY
        first33, first17 = ROWS["0040"], ROWS["0080"]
        members = self._stock & (industry < count)
        for point in range(_POINTS):
            value = np.bincount(industry[members], weights=basket[point, members], minlength=count)
            totals[point, first33 : first33 + count] = value
            totals[point, first17 : first17 + len(_TOPIX_17)] = np.bincount(
                self._industry17[:count], weights=value, minlength=len(_TOPIX_17)
            )

    def _factor_growth(self, t: int) -> FloatArray:
        legs = np.repeat(self._factors.market[t][None], len(INDICES), axis=0)
        first = ROWS["0040"]
        legs[first : first + code_tables.OTHER_INDUSTRY] += self._factors.industry[t]
        path = np.exp(np.cumsum(legs, axis=1))
        return np.stack([path[:, 0], path[:, 1], path[:, 3]])


def index_bars(indices: IndexTape, dates: DateArray, sessions: range, code: str | None) -> Columns:
    """Rows of ``/indices/bars/daily``: the indices that exist on each date."""
    indices.extend(sessions.stop)
    parts = [_rows(indices, dates[t], t, code) for t in sessions]
    return joined(parts, _rows(indices, dates[0], 0, code))


def _rows(indices: IndexTape, day: np.datetime64, t: int, code: str | None) -> Columns:
    rows = [
        ROWS[index.code]
        for index in INDICES
        if index.dates[0] <= day <= index.dates[1] and code in (None, index.code)
    ]
    bars = indices.bars[t, rows].copy()
    for place, row in enumerate(rows):
        first, last = _CLOSE_ONLY.get(CODES[row], _ALWAYS[::-1])
        if first <= day <= last:
            bars[place, :3] = np.nan
    return {
        "Date": iso_dates(np.full(len(rows), day)),
        "Code": np.array([CODES[row] for row in rows], dtype=object),
        **dict(zip("OHLC", bars.T, strict=True)),
    }
