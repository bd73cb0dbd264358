"""Newly listed issues: their codes and the traits that never change afterwards."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from pipeline.simulator.exchange import code_tables
from pipeline.simulator.random_streams import stream

if TYPE_CHECKING:
    from pipeline.simulator.array_types import BoolArray, CodeArray, FloatArray, TextArray

_LETTERS = "ACDFGHJKLMNPRSTUWXY"  # those the exchange uses in codes
_ETF_CODES = range(1305, 1700)
_REIT_CODES = (*range(2971, 3000), *range(8951, 9000))
_STOCK_CODES = (1301, *range(1700, 2971), *range(3000, 8951), *range(9000, 9998))

_MEDIAN_CAP_YEN, _CAP_SPREAD = 3e10, 1.6
_MEDIAN_PRICE_YEN, _PRICE_SPREAD = 1400.0, 0.85
_YEN_PER_TRADE = 4e5
_ILLIQUID_SHARE = 0.012
_ILLIQUID_TRADES = 0.5  # expected trades per session: most days without one


@dataclass(frozen=True, eq=False)
class Issues:
    """Traits of issues, one array per trait, all (issues,).

    Attributes:
        code: 5-character codes.
        kind: one of ``tables.ORDINARY`` ... ``tables.PRO``.
        industry: index into ``tables.INDUSTRIES`` on the day of listing.
        tier: index into ``tables.SEGMENTS``, after the reorganisation of 2022-04-04.
        old_tier: the same before it.
        beta: to the market factor.
        industry_beta: to the industry factor.
        daily_vol: long-run standard deviation of the issue's own daily log return.
        price: first base price in yen.
        shares: outstanding at listing.
        turnover: yen a day in quiet times.
        trades: expected number of trades in one of the two sessions of a day.
    """

    code: TextArray
    kind: CodeArray
    industry: CodeArray
    tier: CodeArray
    old_tier: CodeArray
    beta: FloatArray
    industry_beta: FloatArray
    daily_vol: FloatArray
    price: FloatArray
    shares: FloatArray
    turnover: FloatArray
    trades: FloatArray

    def __len__(self) -> int:
        return int(self.code.size)


class CodeBook:
    """Hands out codes: four-digit ones in a seeded order, those with letters one by one."""

    def __init__(self, seed: int) -> None:
        rng = stream(seed, "codes")
        self._pools = {
            code_tables.ORDINARY: [str(c) for c in rng.permutation(_STOCK_CODES)],
            code_tables.ETF: [str(c) for c in rng.permutation(_ETF_CODES)],
            code_tables.REIT: [str(c) for c in rng.permutation(_REIT_CODES)],
        }
        self._with_letter = 0

    def take(self, kind: int, count: int, *, with_letter: bool) -> list[str]:
        """``count`` unused codes of 5 characters; letters also once the digits are used up."""
        pool = self._pools.get(kind, self._pools[code_tables.ORDINARY])
        taken = []
        for _ in range(count):
            stem = self._next_with_letter() if with_letter or not pool else pool.pop()
            taken.append(stem + "0")
        return taken

    def _next_with_letter(self) -> str:
        row, column = divmod(self._with_letter, 870)
        self._with_letter += 1
        return f"{130 + column}{_LETTERS[row]}"


def draw_issues(rng: np.random.Generator, codes: list[str], kinds: list[int]) -> Issues:
    """Issues with random traits."""
    kind = np.array(kinds, dtype=np.int8)
    normal = rng.standard_normal((kind.size, 6))
    uniform = rng.random((kind.size, 4))
    cap = _MEDIAN_CAP_YEN * np.exp(_CAP_SPREAD * np.clip(normal[:, 0], -2.6, 3.6))
    price = _MEDIAN_PRICE_YEN * np.exp(_PRICE_SPREAD * normal[:, 1] + 0.1 * normal[:, 0])
    price = np.clip(price, 90.0, 60000.0)
    turnover = cap * 0.003 * np.exp(0.8 * normal[:, 2])
    trades = turnover / _YEN_PER_TRADE / 2
    trades[uniform[:, 0] < _ILLIQUID_SHARE] = _ILLIQUID_TRADES
    tier, old_tier = _tiers(kind, normal[:, 0], uniform[:, 1:3])
    stock = (
        (kind == code_tables.ORDINARY) | (kind == code_tables.PRO) | (kind == code_tables.PREFERRED)
    )
    trades[kind == code_tables.PRO] = 0.02
    trades[kind == code_tables.PREFERRED] = np.minimum(trades[kind == code_tables.PREFERRED], 3.0)
    return Issues(
        code=np.array(codes, dtype=object),
        kind=kind,
        industry=_industries(stock, uniform[:, 3]),
        tier=tier,
        old_tier=old_tier,
        beta=np.where(stock, np.clip(0.85 + 0.3 * normal[:, 3], 0.1, 2.0), 0.9),
        industry_beta=np.where(stock, np.clip(0.9 + 0.25 * normal[:, 4], 0.0, 2.0), 0.0),
        daily_vol=np.where(stock, 0.017 * np.exp(0.35 * normal[:, 5]), 0.004),
        price=price,
        shares=np.round(cap / price, -2) + 100,
        turnover=turnover,
        trades=trades,
    )


def preferred_of(parent: Issues) -> Issues:
    """A preferred share beside each issue: same company, code ending in 5, thinner trading."""
    changed = {
        "code": np.array([code[:4] + "5" for code in parent.code], dtype=object),
        "kind": np.full(len(parent), code_tables.PREFERRED, dtype=np.int8),
        "price": parent.price * 0.8,
        "turnover": parent.turnover * 0.05,
        "trades": np.minimum(parent.trades * 0.05 + 0.3, 3.0),
    }
    kept = {f.name: getattr(parent, f.name) for f in fields(Issues) if f.name not in changed}
    return Issues(**kept, **changed)


def _tiers(kind: CodeArray, size: FloatArray, uniform: FloatArray) -> tuple[CodeArray, CodeArray]:
    """Segments after and before 2022-04-04; larger companies are mostly Prime."""
    segment = code_tables.SEGMENT
    prime = 0.9 * size + uniform[:, 0] > 0.65
    growth = uniform[:, 1] < 0.28
    tier = np.where(prime, segment["0111"], np.where(growth, segment["0113"], segment["0112"]))
    u = uniform[:, 0]
    old_standard = np.where(
        u < 0.15, segment["0101"], np.where(u < 0.45, segment["0102"], segment["0106"])
    )
    old_growth = np.where(u < 0.9, segment["0104"], segment["0107"])
    old = np.where(prime, segment["0101"], np.where(growth, old_growth, old_standard))
    for special, code in (
        (code_tables.ETF, "0109"),
        (code_tables.REIT, "0109"),
        (code_tables.PRO, "0105"),
    ):
        tier = np.where(kind == special, segment[code], tier)
        old = np.where(kind == special, segment[code], old)
    return tier.astype(np.int8), old.astype(np.int8)


def _industries(stock: BoolArray, uniform: FloatArray) -> CodeArray:
    share = np.array([row[3] for row in code_tables.INDUSTRIES])
    drawn = np.searchsorted(np.cumsum(share) / share.sum(), uniform, side="right")
    industry: CodeArray = np.where(stock, drawn, code_tables.OTHER_INDUSTRY).astype(np.int8)
    return industry
