"""Rows of each source, made from the simulated arrays: one function per source.

Every function gives columns in the order of the API's fields, sorted by the key of the source.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.simulator.array_types import (
    BoolArray,
    Columns,
    FloatArray,
    IntArray,
    TextArray,
    iso_dates,
)
from pipeline.simulator.exchange import code_tables
from pipeline.simulator.exchange.price_paths import (
    AFTERNOON,
    CLOSE,
    HIGH,
    LOT,
    LOTS,
    LOW,
    MORNING,
    OPEN,
    VWAP,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pipeline.simulator.exchange.new_issues import Issues
    from pipeline.simulator.synthetic_market import Market

_FUND_NAMES = {code_tables.ETF: "上場投信", code_tables.REIT: "投資法人"}


def listed(market: Market, sessions: range, slots: IntArray) -> Columns:
    """The issue master of each session."""
    universe, issues = market.universe, market.universe.issues
    t, s = _cells(market, sessions, slots)
    industry = universe.industry[t, s]
    segment, margin = universe.segment[t, s], universe.margin[t, s]
    return {
        "Date": iso_dates(universe.sessions[t]),
        "Code": issues.code[s],
        "CoName": market.names[s],
        "CoNameEn": market.english_names[s],
        "S17": _pick([row[2] for row in code_tables.INDUSTRIES], industry),
        "S17Nm": _pick([code_tables.TOPIX_17[row[2]] for row in code_tables.INDUSTRIES], industry),
        "S33": _pick([row[0] for row in code_tables.INDUSTRIES], industry),
        "S33Nm": _pick([row[1] for row in code_tables.INDUSTRIES], industry),
        "ScaleCat": _pick(code_tables.SIZE_BUCKETS, universe.bucket[t, s]),
        "Mkt": _pick([row[0] for row in code_tables.SEGMENTS], segment),
        "MktNm": _pick([row[1] for row in code_tables.SEGMENTS], segment),
        "Mrgn": _pick([row[0] for row in code_tables.MARGIN_CLASSES], margin),
        "MrgnNm": _pick([row[1] for row in code_tables.MARGIN_CLASSES], margin),
        "ProdCat": _pick([code_tables.PRODUCT_CATEGORY[kind] for kind in range(5)], issues.kind[s]),
    }


def issue_names(issues: Issues) -> tuple[TextArray, TextArray]:
    """Japanese and English names that nobody can take for real ones."""
    japanese, english = [], []
    for code, kind, industry in zip(
        issues.code.tolist(), issues.kind.tolist(), issues.industry.tolist(), strict=True
    ):
        business = _FUND_NAMES.get(kind, code_tables.INDUSTRIES[industry][1])
        japanese.append(f"模擬{business}{code[:4]}")
        english.append(f"Simulated Issue {code}")
    return np.array(japanese, dtype=object), np.array(english, dtype=object)


def daily_bars(market: Market, sessions: range, slots: IntArray, as_of: int) -> Columns:
    """Daily prices, adjusted for all splits up to session ``as_of``."""
    universe = market.universe
    t, s = _cells(market, sessions, slots)
    events = _SplitTable(market, sessions, slots, as_of)
    later = events.later[events.cell(t, s)]
    factor = events.own[events.cell(t, s)]
    halves = [_half_day(market, half, t, s) for half in (MORNING, AFTERNOON)]
    whole = _whole_day(*halves)
    columns: Columns = {
        "Date": iso_dates(universe.sessions[t]),
        "Code": universe.issues.code[s],
        **_raw_columns("", whole),
        "AdjFactor": factor,
        **_adjusted_columns("", whole, later),
    }
    for prefix, half in zip("MA", halves, strict=True):
        columns |= _raw_columns(prefix, half) | _adjusted_columns(prefix, half, later)
    listed_shares = universe.issues.shares[s] / events.until[events.cell(t, s)]
    shares = np.round(listed_shares * market.issuance.at(t, s))
    value = np.round(whole["C"] * shares / 1e6)
    fund = universe.issues.kind[s] == code_tables.ETF
    columns["MktCap"] = np.where(fund, np.nan, value)
    kind = np.select([factor < 1, factor > 1], [1, 2], 0)
    columns["ExRT"] = _pick([None, "1", "2"], kind)
    return columns


def topix(market: Market, sessions: range) -> Columns:
    """TOPIX-like index."""
    return _index_columns(market, sessions, market.factors.topix)


def index_options(market: Market, sessions: range) -> Columns:
    """Nikkei 225 options."""
    parts = [market.options.rows(t) for t in sessions]
    if not parts:
        # An empty table still has all its columns.
        return {name: values[:0] for name, values in market.options.rows(0).items()}
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def valuations(market: Market, sessions: range, slots: IntArray) -> Columns:
    """Per-share figures and multiples; a day without a trade counts at the price carried on."""
    universe, kind = market.universe, market.universe.issues.kind
    t, s = _cells(market, sessions, slots)
    price = market.tape.carried[t, s]
    indicators = market.fundamentals().valuation.indicators(t, s, price)
    has_accounts = (kind[s] == code_tables.ORDINARY) | (kind[s] == code_tables.PRO)
    value = np.round(price * market.issued(t, s) / 1e6)
    return {
        "Date": iso_dates(universe.sessions[t]),
        "Code": universe.issues.code[s],
        **{name: np.where(has_accounts, values, np.nan) for name, values in indicators.items()},
        "MktCap": np.where(kind[s] == code_tables.ETF, np.nan, value),
    }


class _SplitTable:
    """Split factors over a rectangle of sessions and slots.

    Attributes:
        own: (sessions, slots) AdjFactor of the session itself.
        later: product of the factors after the session, up to ``as_of``.
        until: product of the factors up to the session, itself included.
    """

    def __init__(self, market: Market, sessions: range, slots: IntArray, as_of: int) -> None:
        shape = (len(sessions), slots.size)
        self.own: FloatArray = np.ones(shape)
        self.later: FloatArray = np.ones(shape)
        self.until: FloatArray = np.ones(shape)
        self._first = sessions.start
        self._column = np.full(market.universe.listed.shape[1], -1, dtype=np.int64)
        self._column[slots] = np.arange(slots.size)
        for split in market.tape.splits:
            column = self._column[split.slot]
            if column < 0 or split.session > as_of:
                continue
            row = min(max(split.session - self._first, 0), shape[0])
            self.later[:row, column] *= split.factor
            self.until[row:, column] *= split.factor
            if split.session in sessions:
                self.own[row, column] *= split.factor

    def cell(self, t: IntArray, s: IntArray) -> tuple[IntArray, IntArray]:
        return t - self._first, self._column[s]


def _cells(market: Market, sessions: range, slots: IntArray) -> tuple[IntArray, IntArray]:
    """Session and slot of every row: listed cells by session, then in the order of ``slots``."""
    block = market.universe.listed[sessions.start : sessions.stop][:, slots]
    t, column = np.nonzero(block)
    return t + sessions.start, slots[column]


def _half_day(market: Market, half: int, t: IntArray, s: IntArray) -> Columns:
    blocks = market.tape.blocks[half]
    lots = blocks[LOTS][t, s].astype(np.float64)
    traded = lots > 0
    bar: Columns = {}
    for name, row in (("O", OPEN), ("H", HIGH), ("L", LOW), ("C", CLOSE)):
        bar[name] = np.where(traded, blocks[row][t, s] / 10, np.nan)
    bar["UL"] = market.tape.limit_up[half][t, s]
    bar["LL"] = market.tape.limit_down[half][t, s]
    bar["Vo"] = np.where(traded, lots * LOT, np.nan)
    bar["Va"] = np.where(traded, lots * blocks[VWAP][t, s] * (LOT / 10), np.nan)
    return bar


def _whole_day(morning: Columns, afternoon: Columns) -> Columns:
    idle = np.isnan(morning["Vo"]) & np.isnan(afternoon["Vo"])
    volume = np.nan_to_num(morning["Vo"]) + np.nan_to_num(afternoon["Vo"])
    value = np.nan_to_num(morning["Va"]) + np.nan_to_num(afternoon["Va"])
    return {
        "O": np.where(np.isnan(morning["O"]), afternoon["O"], morning["O"]),
        "H": np.fmax(morning["H"], afternoon["H"]),
        "L": np.fmin(morning["L"], afternoon["L"]),
        "C": np.where(np.isnan(afternoon["C"]), morning["C"], afternoon["C"]),
        "UL": morning["UL"] | afternoon["UL"],
        "LL": morning["LL"] | afternoon["LL"],
        "Vo": np.where(idle, np.nan, volume),
        "Va": np.where(idle, np.nan, value),
    }


def _raw_columns(prefix: str, bar: Columns) -> Columns:
    flags = {name: _flag(bar[name]) for name in ("UL", "LL")}
    return {prefix + name: values for name, values in (bar | flags).items()}


def _adjusted_columns(prefix: str, bar: Columns, later: FloatArray) -> Columns:
    adjusted = {f"{prefix}Adj{name}": adjusted_price(bar[name], later) for name in "OHLC"}
    return adjusted | {f"{prefix}AdjVo": np.round(bar["Vo"] / later, 4)}


def adjusted_price(price: FloatArray, later: FloatArray) -> FloatArray:
    """Prices times the later split factors, half up to 0.1 yen."""
    # The small term keeps a half that binary fractions put just below it.
    rounded: FloatArray = np.floor(price * 10 * later + 0.5 + 1e-7) / 10
    return rounded


def _index_columns(market: Market, sessions: range, bars: FloatArray) -> Columns:
    part = slice(sessions.start, sessions.stop)
    prices = dict(zip("OHLC", bars[part].T, strict=True))
    return {"Date": iso_dates(market.universe.sessions[part]), **prices}


def _flag(values: BoolArray) -> TextArray:
    return _pick(["0", "1"], values.astype(np.int64))


def _pick(texts: Sequence[str | None], index: NDArray[np.integer[Any]]) -> TextArray:
    chosen: TextArray = np.array(texts, dtype=object)[index]
    return chosen
