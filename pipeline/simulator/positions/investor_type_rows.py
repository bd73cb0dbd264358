"""Weekly trading by type of investor, per section of the exchange.

Both sides of a section's turnover are split among the investors: foreigners buy after a rising
week, individuals sell into it. Some figures are wrong at first. Corrections announced since
2023-04-03 are rows of their own with a newer publication date; earlier ones overwrote the row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from pipeline.simulator.array_types import iso_dates
from pipeline.simulator.companies.event_records import (
    NEVER,
    NO_ISSUE,
    Records,
    moment,
    sorted_records,
)
from pipeline.simulator.exchange import code_tables
from pipeline.simulator.exchange.listings import REORGANISATION
from pipeline.simulator.exchange.price_paths import LOT, LOTS, VWAP
from pipeline.simulator.random_streams import stream

if TYPE_CHECKING:
    from pipeline.simulator.array_types import Columns, FloatArray, IntArray
    from pipeline.simulator.synthetic_market import Market

CORRECTIONS_ADD_ROWS_SINCE = np.datetime64("2023-04-03")
_GROUPS = "Prop Brk Tot Ind Frgn SecCo InvTr BusCo OthCo InsCo Bank TrstBnk OthFin"
GROUPS: Final = tuple(_GROUPS.split())
# Investors, their share of the turnover, and how they react to the week's return.
_INVESTORS: Final = (
    ("Prop", 0.100, 0.2),
    ("Ind", 0.220, -0.9),
    ("Frgn", 0.540, 0.9),
    ("SecCo", 0.010, 0.0),
    ("InvTr", 0.025, -0.3),
    ("BusCo", 0.015, -0.4),
    ("OthCo", 0.010, 0.0),
    ("InsCo", 0.005, -0.3),
    ("Bank", 0.008, 0.0),
    ("TrstBnk", 0.060, -0.4),
    ("OthFin", 0.007, 0.0),
)
_NAMES: Final = tuple(row[0] for row in _INVESTORS)
_OLD: Final = (("TSE1st", "0101"), ("TSE2nd", "0102"), ("TSEMothers", "0104"))
_NEW: Final = (("TSEPrime", "0111"), ("TSEStandard", "0112"), ("TSEGrowth", "0113"))
_WHOLE = "TokyoNagoya"
_PUBLISHED_AFTER = 4  # sessions after the week's last one
_CORRECTED, _MISREAD = 0.06, 0.02


@dataclass(frozen=True, eq=False)
class _Rows:
    """Weekly rows: sessions of publication, first and last session, and thousand yen.

    Attributes:
        trades: (n, 2, investors) sales and purchases.
        shown_on: (n,) session; dated: session of ``PubDate``; gone_on: session on which the row
            is overwritten, -1 where it stays.
    """

    section: list[str]
    first: IntArray
    last: IntArray
    dated: IntArray
    shown_on: IntArray
    gone_on: IntArray
    trades: IntArray


def investor_records(market: Market) -> Records:
    """Records of ``/equities/investor-types``."""
    market.tape.extend(market.last + 1)
    rows = _make_rows(market)
    sessions = market.universe.sessions
    day = sessions[rows.dated]
    gone = moment(sessions[np.maximum(rows.gone_on, 0)], 18)
    return sorted_records(
        day,
        np.full(day.size, NO_ISSUE),
        moment(sessions[rows.shown_on], 18),
        lambda index: _columns(market, rows, index),
        tie=np.arange(day.size),
        withdrawn=np.where(rows.gone_on < 0, NEVER, gone),
    )


def _make_rows(market: Market) -> _Rows:
    sessions = market.universe.sessions
    week = (sessions.astype(np.int64) + 3) // 7
    starts = np.flatnonzero(np.diff(week, prepend=week[0] - 1))
    stops = np.append(starts[1:], sessions.size)
    parts: list[tuple[str, int, int, int, int, int, IntArray]] = []
    for first, stop in zip(starts.tolist(), stops.tolist(), strict=True):
        shown_on = stop - 1 + _PUBLISHED_AFTER
        if shown_on > market.last:
            break
        parts += _week(market, first, stop, shown_on)
    columns = list(zip(*parts, strict=True)) if parts else [()] * 7
    numbers = [np.array(column, dtype=np.int64) for column in columns[1:6]]
    trades = np.array(columns[6], dtype=np.int64).reshape(-1, 2, len(_NAMES))
    begins, ends, dated, shown, gone = numbers
    return _Rows(list(columns[0]), begins, ends, dated, shown, gone, trades)


def _week(
    market: Market, first: int, stop: int, shown_on: int
) -> list[tuple[str, int, int, int, int, int, IntArray]]:
    sessions = market.universe.sessions
    ordinal = int(sessions[stop - 1].astype(np.int64))
    rng = stream(market.spec.seed, "flows", ordinal)
    normal, uniform = rng.standard_normal((4, len(_NAMES))), rng.random(4)
    turnover = _turnover(market, first, stop)
    weekly_return = float(market.factors.market[first:stop].sum())
    old = sessions[first] < REORGANISATION
    named = [(name, turnover[code_tables.SEGMENT[code]]) for name, code in (_OLD if old else _NEW)]
    if old:
        named.append(
            (
                "TSEJASDAQ",
                turnover[code_tables.SEGMENT["0106"]] + turnover[code_tables.SEGMENT["0107"]],
            )
        )
    trades = [
        _split(int(yen // 1000), weekly_return, normal[i]) for i, (_, yen) in enumerate(named)
    ]
    names = [*(name for name, _ in named), _WHOLE]
    trades.append(np.sum(trades, axis=0))
    rows = [
        (name, first, stop - 1, shown_on, shown_on, -1, trade)
        for name, trade in zip(names, trades, strict=True)
    ]
    corrected_on = shown_on + 3 + int(17 * uniform[2])
    if uniform[0] < _CORRECTED and corrected_on + 1 < sessions.size:
        rows += _correct(rows, int(uniform[1] * len(rows)), corrected_on, sessions)
    return rows


def _correct(
    rows: list[tuple[str, int, int, int, int, int, IntArray]],
    wrong: int,
    announced: int,
    sessions: np.ndarray[tuple[int, ...], np.dtype[np.datetime64]],
) -> list[tuple[str, int, int, int, int, int, IntArray]]:
    """Spoils row ``wrong`` and gives the right one, public the session after the announcement."""
    name, first, last, dated, shown_on, _, right = rows[wrong]
    spoilt = right.copy()
    misread = int(_MISREAD * right[1, _NAMES.index("Frgn")])
    spoilt[1, _NAMES.index("Frgn")] -= misread
    spoilt[1, _NAMES.index("Ind")] += misread
    if sessions[announced] >= CORRECTIONS_ADD_ROWS_SINCE:
        rows[wrong] = (name, first, last, dated, shown_on, -1, spoilt)
        return [(name, first, last, announced + 1, announced + 1, -1, right)]
    rows[wrong] = (name, first, last, dated, shown_on, announced + 1, spoilt)
    return [(name, first, last, dated, announced + 1, -1, right)]


def _turnover(market: Market, first: int, stop: int) -> FloatArray:
    """Yen by segment over sessions ``first`` to ``stop``, excluded."""
    blocks = market.tape.blocks[:, :, first:stop]
    value = (blocks[:, LOTS].astype(np.float64) * blocks[:, VWAP]).sum(axis=0) * (LOT / 10)
    segment = market.universe.segment[first:stop].astype(np.int64)
    count = len(code_tables.SEGMENTS)
    turnover = np.bincount(segment.ravel(), weights=value.ravel(), minlength=count)
    return turnover.astype(np.float64)


def _split(thousands: int, weekly_return: float, normal: FloatArray) -> IntArray:
    """Sales and purchases of every investor; either side sums to the turnover."""
    share = np.array([row[1] for row in _INVESTORS])
    reaction = np.array([row[2] for row in _INVESTORS])
    lean = reaction * weekly_return + 0.03 * normal
    sides = np.stack([share * np.exp(-lean), share * np.exp(lean)])
    parts = np.floor(thousands * sides / sides.sum(axis=1, keepdims=True))
    trades: IntArray = parts.astype(np.int64)
    trades[:, _NAMES.index("Frgn")] += thousands - trades.sum(axis=1)
    return trades


def _columns(market: Market, rows: _Rows, index: IntArray) -> Columns:
    sessions = market.universe.sessions
    trades = rows.trades[index]
    own = _NAMES.index("Prop")
    total = trades.sum(axis=2)
    by_group = {name: trades[:, :, i] for i, name in enumerate(_NAMES)}
    by_group |= {"Tot": total, "Brk": total - trades[:, :, own]}
    columns: Columns = {
        "PubDate": iso_dates(sessions[rows.dated[index]]),
        "StDate": iso_dates(sessions[rows.first[index]]),
        "EnDate": iso_dates(sessions[rows.last[index]]),
        "Section": np.array(rows.section, dtype=object)[index],
    }
    for group in GROUPS:
        sell, buy = by_group[group].T
        columns |= {
            f"{group}Sell": sell,
            f"{group}Buy": buy,
            f"{group}Tot": sell + buy,
            f"{group}Bal": buy - sell,
        }
    return columns
