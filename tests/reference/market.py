"""The raw tables, and what an observer on the evening of T sees of one code."""

from __future__ import annotations

import datetime as dt
from bisect import bisect_left
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache, wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

import pandas as pd

from tests.reference.operators import Value, after, log_return, simple_return
from tests.reference.tables import Groups, Row, rows_of

P = ParamSpec("P")
R = TypeVar("R")

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
    """One raw bar as delivered; ``factor`` is AdjFactor with null as 1.

    The limit flags are texts ("" for null). ``m*`` is the morning, ``a*`` the afternoon session;
    without these columns in the table they are null.
    """

    o: Value = None
    h: Value = None
    l: Value = None
    c: Value = None
    vo: Value = None
    va: Value = None
    factor: float = 1.0
    ul: str = ""
    ll: str = ""
    mo: Value = None
    mh: Value = None
    ml: Value = None
    mc: Value = None
    mva: Value = None
    ao: Value = None
    ah: Value = None
    al: Value = None
    ac: Value = None
    ava: Value = None

    @property
    def is_traded(self) -> bool:
        """The definition of the column of that name."""
        return self.c is not None and self.vo is not None and self.vo > 0


NO_BAR = Bar()

BAR_NUMBERS = ("O", "H", "L", "C", "Vo", "Va")
SESSION_NUMBERS = tuple(
    f"{session}{part}" for session in "MA" for part in ("O", "H", "L", "C", "Va")
)


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
            Optional: UL, LL and MO, MH, ML, MC, MVa, AO, AH, AL, AC, AVa.
        master: Date, Code, Mkt, S17, S33, ScaleCat, Mrgn; one record per listed code and date.
        calendar: Date, HolDiv; the published calendar, beyond the last bar as well.
        others: Further raw tables by the name of their source, such as ``topix``.
    """

    def __init__(
        self,
        bars: pd.DataFrame,
        master: pd.DataFrame,
        calendar: pd.DataFrame,
        others: Mapping[str, pd.DataFrame] | None = None,
    ) -> None:
        days = {row["Date"]: str(row["HolDiv"]) for row in rows_of(calendar)}
        self.columns: list[dt.date] = sorted(
            day for day, division in days.items() if division in {"1", "2"}
        )
        self.column_of = {d: i for i, d in enumerate(self.columns)}
        self.calendar_end: dt.date = max(days)
        self.tables: Mapping[str, pd.DataFrame] = {} if others is None else dict(others)
        self.memory: dict[tuple[Hashable, ...], Any] = {}
        self._bar_rows = Groups(bars, "Code")
        self._master_rows = Groups(master, "Code")
        self.bars = lru_cache(maxsize=None)(self._read_bars)
        self.listings = lru_cache(maxsize=None)(self._read_listings)
        self.universe = lru_cache(maxsize=None)(self._find_universe)
        self.history = lru_cache(maxsize=1500)(self._build_history)
        self.rows = lru_cache(maxsize=None)(self._read_rows)
        self.rows_by = lru_cache(maxsize=None)(self._group_rows)
        self.values: dict[tuple[str, str, dt.date], Value] = {}

    @property
    def codes(self) -> list[str]:
        """Every code that ever had a master record."""
        return sorted(self._master_rows)

    @property
    def traded_codes(self) -> list[str]:
        """Every code that ever had a bar."""
        return sorted(self._bar_rows)

    def eff(self, date: dt.date) -> int:
        """Number of the first column at or after a date; beyond the calendar its length."""
        return bisect_left(self.columns, date)

    def before(self, date: dt.date, k: int = 1) -> dt.date | None:
        """The column k columns before a trading day, if the calendar reaches back so far."""
        here = self.column_of[date]
        return self.columns[here - k] if here >= k else None

    def window(self, date: dt.date, width: int) -> list[dt.date | None]:
        """The columns T-width+1 .. T, oldest first; null before the calendar."""
        return [self.before(date, k) for k in reversed(range(width))]

    def has(self, source: str) -> bool:
        """Tell whether a table has any row."""
        return len(self.tables.get(source, ())) > 0

    def _read_rows(self, source: str) -> list[Row]:
        """The rows of a table in file order, none without the table."""
        return rows_of(self.tables[source]) if source in self.tables else []

    def _group_rows(self, source: str, field: str) -> Mapping[Any, list[Row]]:
        """The rows of a table by the value of one field, in file order."""
        return Groups(self.tables[source], field) if source in self.tables else {}

    def _read_bars(self, code: str) -> dict[dt.date, Bar]:
        return {row["Date"]: _bar(row) for row in self._bar_rows.get(code, [])}

    def _read_listings(self, code: str) -> dict[dt.date, Listing]:
        fields = ("Mkt", "S17", "S33", "ScaleCat", "Mrgn")
        return {
            row["Date"]: Listing(*(row[f] or "" for f in fields))
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
        newest_first = [1.0]
        for factor in reversed(self.factors[1:]):
            newest_first.append(newest_first[-1] * (1.0 if factor is None else factor))
        return newest_first[::-1]

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
    def tv(self) -> list[Value]:
        """Turnover in yen, 0 without a trade, null where not listed."""
        return [
            None if record is None else 0.0 if bar is None else bar.va or 0.0
            for bar, record in zip(self.trades, self.records, strict=True)
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


Feature = Callable[[ReferenceMarket, str, dt.date], Value]
"""Value of a base feature of a code on T; features of the whole market ignore the code."""


def of_line(formula: Callable[[ReferenceMarket, History], Value]) -> Feature:
    """A feature of what is known of the line on T; null without a master record dated T."""

    def value(market: ReferenceMarket, code: str, date: dt.date) -> Value:
        history = market.history(code, date)
        return None if history is None else formula(market, history)

    return value


def of_bars(formula: Callable[[History], Value]) -> Feature:
    """A feature of the bars and master records of the line alone."""
    return of_line(lambda market, history: formula(history))


def of_market(formula: Callable[[ReferenceMarket, dt.date], Value]) -> Feature:
    """A feature of the whole market."""

    def value(market: ReferenceMarket, code: str, date: dt.date) -> Value:
        return formula(market, date)

    return value


def remembered(
    f: Callable[Concatenate[ReferenceMarket, P], R],
) -> Callable[Concatenate[ReferenceMarket, P], R]:
    """Keep the results of a function of a market, by its further arguments, in that market."""

    @wraps(f)
    def look_up(market: ReferenceMarket, /, *args: P.args, **kwargs: P.kwargs) -> R:
        key = (f, *args, *sorted(kwargs.items()))
        if key not in market.memory:
            market.memory[key] = f(market, *args, **kwargs)
        result: R = market.memory[key]
        return result

    return look_up


def _bar(row: Row) -> Bar:
    fields: dict[str, Any] = {f.lower(): row.get(f) for f in (*BAR_NUMBERS, *SESSION_NUMBERS)}
    fields |= {f.lower(): row.get(f) or "" for f in ("UL", "LL")}
    factor = row["AdjFactor"]
    return Bar(**fields, factor=1.0 if factor is None else factor)
