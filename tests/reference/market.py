"""The raw tables, and what an observer on the evening of T sees of one code."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Hashable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import pandas as pd

from .operators import Value, after, log_return, simple_return

DEPTH = 500
"""Columns of history kept: the longest window (500, listing age); 446 for p with its carry."""

CARRY = 20
"""Columns for which the last traded close is repeated, and the longest gap inside a line."""

TIERS = {
    "0111": 1,
    "0101": 1,
    "0112": 2,
    "0102": 2,
    "0106": 2,
    "0113": 3,
    "0104": 3,
    "0107": 3,
}


@dataclass(frozen=True)
class Bar:
    """One raw bar as delivered; ``factor`` is AdjFactor with null as 1."""

    o: Value
    h: Value
    l: Value
    c: Value
    vo: Value
    va: Value
    factor: float

    @property
    def is_traded(self) -> bool:
        """The definition of the column of that name."""
        return self.c is not None and self.vo is not None and self.vo > 0


NO_BAR = Bar(None, None, None, None, None, None, 1.0)


@dataclass(frozen=True)
class Listing:
    """One master record, texts as delivered ("" for null)."""

    mkt: str
    s17: str
    s33: str
    scale: str
    margin: str

    @property
    def tier(self) -> int | None:
        """Market tier 1, 2, 3 or null."""
        return TIERS.get(self.mkt)


class ReferenceMarket:
    """Raw tables with look-ups; every question names its T and reads nothing later.

    Args:
        bars: Date, Code, O, H, L, C, Vo, Va, AdjFactor, raw; null where there was no trade.
        master: Date, Code, Mkt, S17, S33, ScaleCat, Mrgn; one record per listed code and date.
        calendar: Date, HolDiv; the published calendar, beyond the last bar as well.
    """

    def __init__(self, bars: pd.DataFrame, master: pd.DataFrame, calendar: pd.DataFrame) -> None:
        days = zip(_dates(calendar), calendar["HolDiv"], strict=True)
        self.columns = sorted({d for d, division in days if str(division) in {"1", "2"}})
        self.column_of = {d: i for i, d in enumerate(self.columns)}
        self.calendar_end = max(_dates(calendar))
        self._bar_rows = _by_code(bars)
        self._master_rows = _by_code(master)
        self.bars = lru_cache(maxsize=None)(self._read_bars)
        self.listings = lru_cache(maxsize=None)(self._read_listings)
        self.universe = lru_cache(maxsize=None)(self._find_universe)
        self.history = lru_cache(maxsize=1500)(self._build_history)
        self.values: dict[tuple[str, str, dt.date], Value] = {}

    @property
    def codes(self) -> list[str]:
        """Every code that ever had a master record."""
        return sorted(self._master_rows)

    def _read_bars(self, code: str) -> dict[dt.date, Bar]:
        return {
            row["Date"]: Bar(
                o=_number(row["O"]),
                h=_number(row["H"]),
                l=_number(row["L"]),
                c=_number(row["C"]),
                vo=_number(row["Vo"]),
                va=_number(row["Va"]),
                factor=_factor(row["AdjFactor"]),
            )
            for row in self._bar_rows.get(code, [])
        }

    def _read_listings(self, code: str) -> dict[dt.date, Listing]:
        fields = ("Mkt", "S17", "S33", "ScaleCat", "Mrgn")
        return {
            row["Date"]: Listing(*(_text(row[f]) for f in fields))
            for row in self._master_rows.get(code, [])
        }

    def _find_universe(self, date: dt.date) -> list[str]:
        """U_T: tier not null, S33 not 9999, fifth character 0."""
        members = []
        for code in self.codes:
            record = self.listings(code).get(date)
            if record is None or record.tier is None or record.s33 == "9999":
                continue
            if code[4] == "0":
                members.append(code)
        return members

    def _build_history(self, code: str, date: dt.date) -> History | None:
        """What is known of the line of ``code`` on T; null when it has no record dated T."""
        here = self.column_of[date]
        first = self._first_column_of_line(code, here)
        if first is None:
            return None
        listings, bars = self.listings(code), self.bars(code)
        records: list[Listing | None] = []
        line_bars: list[Bar | None] = []
        for column in range(here - DEPTH + 1, here + 1):
            day = self.columns[column] if column >= first else None
            records.append(None if day is None else listings.get(day))
            line_bars.append(None if day is None else bars.get(day, NO_BAR))
        return History(code, date, records, line_bars)

    def _first_column_of_line(self, code: str, here: int) -> int | None:
        """Walk back from T until the code has been missing for more than 20 columns."""
        listings = self.listings(code)
        if self.columns[here] not in listings:
            return None
        first, column = here, here
        while column > 0 and first - column <= CARRY:
            column -= 1
            if self.columns[column] in listings:
                first = column
        return first


@dataclass(frozen=True)
class History:
    """The last 500 columns of one line up to T, prices and shares in the basis of T.

    Every list has 500 entries and ends at T. Outside the line everything is null. A column of
    the line without a master record keeps its AdjFactor, but none of its trades.
    """

    code: str
    date: dt.date
    records: list[Listing | None]
    raw: list[Bar | None]

    @cached_property
    def factors(self) -> list[Value]:
        """AdjFactor (null = 1) of the columns of the line."""
        return [None if bar is None else bar.factor for bar in self.raw]

    @cached_property
    def k(self) -> list[float]:
        """K(u,T]: the product of the factors after u up to T."""
        factors = [1.0 if f is None else f for f in self.factors]
        return [math.prod(factors[i + 1 :]) for i in range(len(factors))]

    @cached_property
    def trades(self) -> list[Bar | None]:
        """Raw bars of the listed columns with a trade."""
        return [
            bar if bar is not None and bar.is_traded and record is not None else None
            for bar, record in zip(self.raw, self.records, strict=True)
        ]

    def _prices(self, field: str) -> list[Value]:
        result: list[Value] = []
        for bar, k in zip(self.trades, self.k, strict=True):
            price = None if bar is None else getattr(bar, field)
            result.append(None if price is None else price * k)
        return result

    @cached_property
    def o(self) -> list[Value]:
        """Open."""
        return self._prices("o")

    @cached_property
    def h(self) -> list[Value]:
        """High."""
        return self._prices("h")

    @cached_property
    def l(self) -> list[Value]:
        """Low."""
        return self._prices("l")

    @cached_property
    def c(self) -> list[Value]:
        """Close, null without a trade."""
        return self._prices("c")

    @cached_property
    def v(self) -> list[Value]:
        """Shares traded, null without a trade."""
        return [
            None if bar is None or bar.vo is None else bar.vo / k
            for bar, k in zip(self.trades, self.k, strict=True)
        ]

    @cached_property
    def vol(self) -> list[Value]:
        """Shares traded, 0 without a trade, null where not listed."""
        return [
            None if record is None else (v or 0.0)
            for v, record in zip(self.v, self.records, strict=True)
        ]

    @cached_property
    def p(self) -> list[Value]:
        """Carried close: the last traded close for at most 20 further columns."""
        result: list[Value] = []
        close: Value = None
        age = 0
        for c in self.c:
            close, age = (close, age + 1) if c is None else (c, 0)
            result.append(close if age <= CARRY else None)
        return result

    @cached_property
    def p_prev(self) -> list[Value]:
        """p of the column before."""
        return [None, *self.p[:-1]]

    @cached_property
    def r(self) -> list[Value]:
        """Simple return of p."""
        return after(self.p, simple_return)

    @cached_property
    def g(self) -> list[Value]:
        """Log return of p."""
        return after(self.p, log_return)


def _dates(frame: pd.DataFrame) -> list[dt.date]:
    return list(pd.to_datetime(frame["Date"]).dt.date)


def _by_code(frame: pd.DataFrame) -> dict[str, list[dict[Hashable, Any]]]:
    rows: dict[str, list[dict[Hashable, Any]]] = {}
    for day, row in zip(_dates(frame), frame.to_dict("records"), strict=True):
        rows.setdefault(str(row["Code"]), []).append({**row, "Date": day})
    return rows


def _is_null(value: Any) -> bool:
    return bool(pd.isna(value)) or value == ""


def _number(value: Any) -> Value:
    return None if _is_null(value) else float(value)


def _factor(value: Any) -> float:
    return 1.0 if _is_null(value) else float(value)


def _text(value: Any) -> str:
    return "" if _is_null(value) else str(value)
