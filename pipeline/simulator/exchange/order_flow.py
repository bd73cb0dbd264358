"""Who was behind the trades of a day: cash, margin and short orders, by issue and by industry.

What margin accounts open and close fits the change of the margin balances; the rest of a day's
volume is split by the taste of the issue, the mood of its industry and chance. Everything is in
lots first, so that buys and sells agree; amounts follow at prices around the day's average, and
the cash orders take what is left, so that the amounts agree as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline.simulator.array_types import iso_dates
from pipeline.simulator.companies.event_records import joined
from pipeline.simulator.exchange import code_tables
from pipeline.simulator.exchange.exchange_calendar import SYSTEM_FAILURE
from pipeline.simulator.exchange.price_paths import HIGH, LOT, LOTS, LOW, VWAP
from pipeline.simulator.positions.margin_paths import LONG, SHORT
from pipeline.simulator.random_streams import stream

if TYPE_CHECKING:
    from pipeline.simulator.array_types import Columns, FloatArray, IntArray
    from pipeline.simulator.synthetic_market import Market

BREAKDOWN_SINCE = np.datetime64("2015-04-01")
SHORT_RATIO_SINCE = np.datetime64("2008-11-05")

_SELLS = ("LongSell", "ShrtNoMrgn", "MrgnSellNew", "MrgnSellClose")
_BUYS = ("LongBuy", "MrgnBuyNew", "MrgnBuyClose")
ORDERS = (*_SELLS, *_BUYS)
_CHURN = (0.12, 0.03)  # of the volume opened and closed within the day: long, short
_SHORT_SHARE, _RESTRICTED_SHARE = 0.30, 0.80
_MOOD_SESSIONS = 5
_GOLDEN_ANGLE = 2.399963
_FEW_LOTS = 20  # below, all orders trade at the average


@dataclass(frozen=True, eq=False)
class OrderFlow:
    """Orders of one session by issue.

    Attributes:
        slot: (n,) issues that traded.
        lots: by name of the order class, (n,).
        value: by name, yen, (n,).
    """

    slot: IntArray
    lots: dict[str, FloatArray]
    value: dict[str, FloatArray]


def order_flow(market: Market, t: int) -> OrderFlow:
    """All orders of session ``t``."""
    opened = market.margin.opened(t)
    blocks = market.tape.blocks[:, :, t].astype(np.float64)
    slot = np.flatnonzero(blocks[:, LOTS].sum(axis=0) > 0)
    n = int(market.universe.known[_block(market, t)])
    rng = stream(market.spec.seed, "orders", _ordinal(market, t))
    normal = rng.standard_normal((9, n))[:, slot]
    lots = _lots(market, t, slot, opened[:, slot].astype(np.float64), blocks[:, :, slot], normal)
    return OrderFlow(slot, lots, _values(lots, blocks[:, :, slot], normal[3:]))


def breakdown(market: Market, sessions: range, slots: IntArray) -> Columns:
    """Rows of ``/markets/breakdown``: issues that traded."""
    dates = market.universe.sessions
    parts = [_breakdown(market, t, slots) for t in sessions if dates[t] >= BREAKDOWN_SINCE]
    return joined(parts, _breakdown(market, 0, slots[:0]))


def _breakdown(market: Market, t: int, slots: IntArray) -> Columns:
    flow = order_flow(market, t)
    place = np.full(market.universe.issues.code.size, -1, dtype=np.int64)
    place[flow.slot] = np.arange(flow.slot.size)
    row = place[slots]
    s, row = slots[row >= 0], row[row >= 0]
    return {
        "Date": iso_dates(market.universe.sessions[np.full(s.size, t)]),
        "Code": market.universe.issues.code[s],
        **{name + "Va": flow.value[name][row] for name in ORDERS},
        **{name + "Vo": flow.lots[name][row] * LOT for name in ORDERS},
    }


def short_ratio(market: Market, sessions: range) -> Columns:
    """Rows of ``/markets/short-ratio``: 33 industries and the rest, on days with trading."""
    dates = market.universe.sessions
    parts = [
        _short_ratio(market, t)
        for t in sessions
        if dates[t] != SYSTEM_FAILURE and dates[t] >= SHORT_RATIO_SINCE
    ]
    return joined(parts, _short_ratio(market, 0))


def _short_ratio(market: Market, t: int) -> Columns:
    flow = order_flow(market, t)
    industries = len(code_tables.INDUSTRIES)
    industry = market.universe.industry[t, flow.slot].astype(np.int64)
    total = {
        name: np.bincount(industry, weights=flow.value[name], minlength=industries)
        for name in _SELLS
    }
    short = total["ShrtNoMrgn"] + total["MrgnSellNew"]
    mood = _mood(market, t)
    restricted = np.rint(short * np.clip(_RESTRICTED_SHARE + 0.05 * mood[1], 0.4, 0.98))
    return {
        "Date": np.full(industries, str(market.universe.sessions[t]), dtype=object),
        "S33": np.array([row[0] for row in code_tables.INDUSTRIES], dtype=object),
        "SellExShortVa": total["LongSell"] + total["MrgnSellClose"],
        "ShrtWithResVa": restricted,
        "ShrtNoResVa": short - restricted,
    }


def _lots(
    market: Market,
    t: int,
    slot: IntArray,
    opened: FloatArray,
    blocks: FloatArray,
    normal: FloatArray,
) -> dict[str, FloatArray]:
    universe = market.universe
    volume = blocks[:, LOTS].sum(axis=0)
    room = (volume - np.abs(opened).sum(axis=0)) // 3
    on_margin = universe.margin[t, slot] != code_tables.NO_MARGIN
    loanable = universe.margin[t, slot] == code_tables.LOANABLE
    ease = np.stack([on_margin, on_margin * np.where(loanable, 1.0, 0.1)])
    taste = np.array(_CHURN)[:, None] * np.exp(0.4 * normal[:2])
    churn = np.clip(np.rint(volume * taste * ease), 0, np.maximum(room, 0))
    new = churn + np.maximum(opened, 0)
    closed = churn + np.maximum(-opened, 0)
    left = volume - new[SHORT] - closed[LONG]
    mood = _mood(market, t)[0, universe.industry[t, slot]]
    share = _SHORT_SHARE + 0.10 * np.sin(_GOLDEN_ANGLE * slot) + 0.05 * mood + 0.06 * normal[2]
    short = np.rint(left * np.clip(share, 0.02, 0.8))
    return {
        "LongSell": left - short,
        "ShrtNoMrgn": short,
        "MrgnSellNew": new[SHORT],
        "MrgnSellClose": closed[LONG],
        "LongBuy": volume - new[LONG] - closed[SHORT],
        "MrgnBuyNew": new[LONG],
        "MrgnBuyClose": closed[SHORT],
    }


def _values(
    lots: dict[str, FloatArray], blocks: FloatArray, normal: FloatArray
) -> dict[str, FloatArray]:
    """Yen by order class; each side sums to the turnover of the day."""
    value = (blocks[:, LOTS] * blocks[:, VWAP]).sum(axis=0) * (LOT / 10)
    volume = blocks[:, LOTS].sum(axis=0)
    average = value / volume
    spread = np.max(blocks[:, HIGH] - blocks[:, LOW], axis=0) * (LOT / 10)
    values: dict[str, FloatArray] = {}
    row = 0
    for cash, *others in (_SELLS, _BUYS):
        tilts = lots[cash] >= np.maximum(0.2 * volume, _FEW_LOTS)
        rest = value
        for name in others:
            off = np.where(tilts, 0.05 * spread * np.tanh(normal[row]), 0.0)
            values[name] = np.rint(lots[name] * (average + off))
            rest = rest - values[name]
            row += 1
        values[cash] = rest
    return values


def _mood(market: Market, t: int) -> FloatArray:
    """Slow waves per industry, about normal: (2, industries); the last days of a noise."""
    first = max(t - _MOOD_SESSIONS + 1, 0)
    shape = (2, len(code_tables.INDUSTRIES) + 1)
    draws = [
        stream(market.spec.seed, "moods", _ordinal(market, u)).standard_normal(shape)
        for u in range(first, t + 1)
    ]
    wave = np.sum(draws, axis=0) / np.sqrt(_MOOD_SESSIONS)
    # The last column is the mood of the whole market.
    mood: FloatArray = 0.7 * wave[:, :-1] + 0.7 * wave[:, -1:]
    return mood


def _block(market: Market, t: int) -> int:
    return int(np.searchsorted(market.universe.block_start, t, side="right")) - 1


def _ordinal(market: Market, t: int) -> int:
    return int(market.universe.sessions[t].astype(np.int64))
