"""What became of the members of some days: bars of those days and of the sessions after them.

The only place where columns after the row's own date are laid out. Features never see these
arrays; labels are made of them, and of nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.market.calendar.sessions import DateArray
from pipeline.market.closed_lists import INDUSTRY
from pipeline.market.panel.axis import NOWHERE, FloatArray, IndexArray, dates_of, numbers_of
from pipeline.market.panel.price_panel import BoolArray
from pipeline.market.texts import encoded

#: Columns read of every source.
BAR_COLUMNS = ("Date", "Code", "O", "C", "Vo", "AdjFactor")
LISTED_COLUMNS = ("Date", "Code", "S33")
TOPIX_COLUMNS = ("Date", "O")

NO_BAR = -1


@dataclass(frozen=True, eq=False)
class Outcomes:
    """Raw prices of the members of some days, over these days and the columns after them.

    Attributes:
        sessions: (columns,) consecutive sessions; the first ``days`` of them have rows.
        days: number of days with rows.
        codes: (codes,) ascending; everyone who has a row.
        universe: (codes, days) True where the code has a row.
        sector: (codes, days) S33 number; NaN for none.
        volatility: (codes, days) realised volatility as known on the day; NaN = null.
        o, c: (codes, columns) unadjusted prices in yen; NaN without a trade.
        adj_factor: (codes, columns) AdjFactor of the column's own date, 1 where none.
        topix_open: (columns,) index points; NaN where there is no record.
        last_bar: last column in which anything at all was traded; NO_BAR without one.
    """

    sessions: DateArray
    days: int
    codes: NDArray[np.str_]
    universe: BoolArray
    sector: FloatArray
    volatility: FloatArray
    o: FloatArray
    c: FloatArray
    adj_factor: FloatArray
    topix_open: FloatArray
    last_bar: int

    @property
    def last_bar_session(self) -> np.datetime64 | None:
        """The session of ``last_bar``; None without one."""
        return None if self.last_bar == NO_BAR else self.sessions[self.last_bar]


def outcomes_of(
    members: pa.Table,
    volatility: str,
    bars: pa.Table,
    listed: pa.Table,
    topix: pa.Table,
    sessions: DateArray,
) -> Outcomes:
    """Lay out what labels are made of.

    Args:
        members: one row per wanted label row: ``Date``, ``Code`` and the volatility; at least one.
        volatility: name of that column.
        bars, listed, topix: records with at least BAR_COLUMNS, LISTED_COLUMNS, TOPIX_COLUMNS; what
            is dated outside ``sessions`` or belongs to other codes does not matter.
        sessions: (columns,) consecutive sessions from the first day of ``members`` to the last one
            whose bars are known or wanted.

    Raises:
        ValueError: a member is dated on none of the sessions.
    """
    codes = np.unique(np.array(members["Code"].to_pylist(), dtype=np.str_))
    own = _Places(members, codes, sessions)
    if own.row.size != members.num_rows:
        raise ValueError("outcomes: a row is dated on none of the given sessions")
    days = int(own.column.max()) + 1
    listing, daily = _Places(listed, codes, sessions), _Places(bars, codes, sessions)
    present = listing.grid(np.ones(listed.num_rows), 0.0) > 0.0
    close, volume = daily.grid(numbers_of(bars["C"])), daily.grid(numbers_of(bars["Vo"]))
    traded = present & ~np.isnan(close) & (volume > 0.0)
    factors = daily.grid(numbers_of(bars["AdjFactor"]), 1.0)
    sector = listing.grid(INDUSTRY.decode(listed["S33"]))
    return Outcomes(
        sessions=sessions,
        days=days,
        codes=codes,
        universe=own.grid(np.ones(members.num_rows), 0.0)[:, :days] > 0.0,
        sector=sector[:, :days].copy(),
        volatility=own.grid(numbers_of(members[volatility]))[:, :days].copy(),
        o=np.where(traded, daily.grid(numbers_of(bars["O"])), np.nan),
        c=np.where(traded, close, np.nan),
        adj_factor=np.where(np.isnan(factors), 1.0, factors),
        topix_open=_series(topix, "O", sessions),
        last_bar=_last_bar(bars, sessions),
    )


class _Places:
    """Where the rows of a table fall on codes x sessions.

    Attributes:
        row: positions of the rows that fall on them at all.
        code, column: (rows,) their place.
    """

    def __init__(self, table: pa.Table, codes: NDArray[np.str_], sessions: DateArray) -> None:
        self._shape = (codes.size, sessions.size)
        index, texts = encoded(table["Code"])
        names = np.array(texts, dtype=np.str_)
        at = np.minimum(np.searchsorted(codes, names), codes.size - 1)
        code = np.where(codes[at] == names, at, NOWHERE)[index] if texts else index
        column = _column_of(table, sessions)
        self.row: IndexArray = np.flatnonzero((code != NOWHERE) & (column != NOWHERE))
        self.code, self.column = code[self.row], column[self.row]

    def grid(self, values: FloatArray, empty: float = np.nan) -> FloatArray:
        """(codes, sessions) the values of all rows of the table, ``empty`` where there is none."""
        grid = np.full(self._shape, empty)
        grid[self.code, self.column] = values[self.row]
        return grid


def _column_of(table: pa.Table, sessions: DateArray) -> IndexArray:
    """(rows,) position of each record's date; NOWHERE where it is no session."""
    dates = dates_of(table["Date"])
    at = np.minimum(np.searchsorted(sessions, dates), sessions.size - 1)
    return np.where(sessions[at] == dates, at, NOWHERE)


def _series(table: pa.Table, field: str, sessions: DateArray) -> FloatArray:
    """(sessions,) a field of a table with one record per date."""
    column = _column_of(table, sessions)
    series = np.full(sessions.size, np.nan)
    series[column[column != NOWHERE]] = numbers_of(table[field])[column != NOWHERE]
    return series


def _last_bar(bars: pa.Table, sessions: DateArray) -> int:
    """Of all issues, whoever has a row: an outage ends with the first trade of anything."""
    traded = ~np.isnan(numbers_of(bars["C"])) & (numbers_of(bars["Vo"]) > 0.0)
    return int(_column_of(bars, sessions)[traded].max(initial=NO_BAR))
