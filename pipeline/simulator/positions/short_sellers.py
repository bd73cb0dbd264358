"""Reports of large short positions.

Some sellers hold positions in every issue; the logarithm of a position over the shares
outstanding reverts to a mean. A seller reports when the position reaches half a percent, when
it crosses a tenth of a percent above that, and once when it falls below again. Reports on the
position of a day are public one or two sessions later.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pipeline.simulator.array_types import iso_dates
from pipeline.simulator.companies.event_records import Records, moment, sorted_records
from pipeline.simulator.exchange import code_tables
from pipeline.simulator.exchange.price_paths import LOT
from pipeline.simulator.random_streams import stream

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.simulator.array_types import Columns, FloatArray, IntArray, TextArray
    from pipeline.simulator.synthetic_market import Market

REPORTED_FROM = 0.005
_MEAN, _MEAN_SPREAD, _LARGEST = 0.0042, 0.45, 0.08
_REVERSION, _NOISE = 0.004, 0.020
_MORE_SELLERS = (0.5, 0.2)  # issues with a second and a third seller
_LATE = 0.85  # reports public after two sessions instead of one

_SELLERS: Final = tuple(
    [f"Simulated Capital {n:02d} LLP" for n in range(1, 15)]
    + [f"模擬アセットマネジメント{n}号" for n in range(1, 7)]
    + [f"Synthetic Markets {n} plc" for n in range(1, 5)]
    + ["個人"]
)
_ADDRESSES: Final = ("1 Sample Street, London", "東京都模擬区1-2-3", "2 Example Avenue, New York")
# Sellers do not always write their name alike: full-width letters, spaces around it.
_FULL_WIDTH: Final = {code: code + 0xFEE0 for code in range(0x21, 0x7F)} | {0x20: 0x3000}


@dataclass(frozen=True, eq=False)
class _Pairs:
    """Sellers and the issues they are short of, (pairs,); ``known`` counts them per block."""

    slot: IntArray
    mean: FloatArray
    start: FloatArray
    known: list[int]


@dataclass(frozen=True, eq=False)
class _Reports:
    """One entry per report: session, pair, ratio, and the report before (-1, NaN for none)."""

    session: IntArray
    pair: IntArray
    ratio: FloatArray
    previous: IntArray
    previous_ratio: FloatArray


def short_sale_records(market: Market) -> Records:
    """Records of ``/markets/short-sale-report``."""
    pairs = _make_pairs(market)
    reports = _run(market, pairs)
    universe = market.universe
    slot = pairs.slot[reports.pair]
    delay = 1 + ((reports.pair * 37 + reports.session * 11) % 100 < 100 * _LATE)
    shown_on = np.minimum(reports.session + delay, universe.sessions.size - 1)
    by_code = np.empty(universe.by_code.size, dtype=np.int64)
    by_code[universe.by_code] = np.arange(universe.by_code.size)
    days = universe.sessions[shown_on]
    return sorted_records(
        days,
        slot,
        moment(days, 17, 30),
        lambda index: _columns(market, reports, pairs, shown_on, index),
        tie=by_code[slot] * 100_000 + reports.session,
    )


def _make_pairs(market: Market) -> _Pairs:
    universe = market.universe
    slots, means, starts, known, done = [], [], [], [], 0
    for block, total in enumerate(universe.known.tolist()):
        day = universe.sessions[universe.block_start[block]]
        rng = stream(market.spec.seed, "short sellers", int(day.astype(np.int64)))
        uniform, normal = rng.random((2, total - done)), rng.standard_normal((6, total - done))
        new = np.arange(done, total)
        ordinary = universe.issues.kind[new] == code_tables.ORDINARY
        chosen = [
            ordinary,
            *(ordinary & (u < p) for u, p in zip(uniform, _MORE_SELLERS, strict=True)),
        ]
        for number, sold in enumerate(chosen):
            mean = np.log(_MEAN) + _MEAN_SPREAD * normal[2 * number][sold]
            slots.append(new[sold])
            means.append(mean)
            starts.append(mean + 0.22 * normal[2 * number + 1][sold])
        known.append(sum(part.size for part in slots))
        done = total
    return _Pairs(np.concatenate(slots), np.concatenate(means), np.concatenate(starts), known)


def _run(market: Market, pairs: _Pairs) -> _Reports:
    universe = market.universe
    level = pairs.start.copy()
    step_before = np.full(level.size, -1)  # tenths of a percent last reported; -1 for none open
    last = np.full(level.size, -1)
    last_ratio = np.full(level.size, np.nan)
    parts: list[tuple[NDArray[Any], ...]] = []
    for t in range(market.last + 1):
        block = int(np.searchsorted(universe.block_start, t, side="right")) - 1
        n = pairs.known[block]
        rng = stream(
            market.spec.seed, "short positions", int(universe.sessions[t].astype(np.int64))
        )
        level[:n] += _REVERSION * (pairs.mean[:n] - level[:n]) + _NOISE * rng.standard_normal(n)
        ratio = np.round(np.minimum(np.exp(level[:n]), _LARGEST), 4)
        step = np.floor(ratio * 1000 + 1e-6).astype(np.int64)
        open_now = ratio >= REPORTED_FROM
        news = np.where(open_now, step != step_before[:n], step_before[:n] >= 0)
        who = np.flatnonzero(news & universe.listed[t, pairs.slot[:n]])
        told = ratio[who]
        parts.append((np.full(who.size, t), who, told, last[who], last_ratio[who]))
        step_before[who] = np.where(open_now[who], step[who], -1)
        last[who], last_ratio[who] = t, told
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    return _Reports(*columns)


def _columns(
    market: Market, reports: _Reports, pairs: _Pairs, shown_on: IntArray, index: IntArray
) -> Columns:
    universe = market.universe
    t, pair = reports.session[index], reports.pair[index]
    slot = pairs.slot[pair]
    issued = market.issued(t, slot)
    shares = np.rint(reports.ratio[index] * issued)
    previous = reports.previous[index]
    first = previous < 0
    client = pair % 4 == 0
    return {
        "DiscDate": iso_dates(universe.sessions[shown_on[index]]),
        "CalcDate": iso_dates(universe.sessions[t]),
        "Code": universe.issues.code[slot],
        "SSName": _names(pair, t),
        "SSAddr": np.array(_ADDRESSES, dtype=object)[pair % 3],
        "DICName": np.where(client, "Simulated Pension Fund", "").astype(object),
        "DICAddr": np.where(client, _ADDRESSES[0], "").astype(object),
        "FundName": np.where(pair % 5 == 0, "Model Fund A", "").astype(object),
        "ShrtPosToSO": np.round(shares / issued, 4),
        "ShrtPosShares": shares.astype(np.int64),
        "ShrtPosUnits": shares.astype(np.int64) // LOT,
        "PrevRptDate": np.where(first, "", iso_dates(universe.sessions[previous])).astype(object),
        "PrevRptRatio": reports.previous_ratio[index],
        "Notes": np.where(pair % 50 == 0, "模擬", "").astype(object),
    }


def _names(pair: IntArray, t: IntArray) -> TextArray:
    names = []
    for number, session in zip(pair.tolist(), t.tolist(), strict=True):
        name = _SELLERS[number % len(_SELLERS)]
        if number % 11 == 0 and session % 2:
            name = name.translate(_FULL_WIDTH)
        names.append(name + " " if number % 13 == 0 and session % 3 == 0 else name)
    return np.array(names, dtype=object)
