"""The axes of a chunk, and where the records of a source fall on them.

A column is counted from the first one of the panel; an event that became public earlier has a
negative column, so ages are plain differences: ``column - event column``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.market.calendar.as_of import Publication, first_visible_column
from pipeline.market.calendar.sessions import DateArray, TradingCalendar
from pipeline.market.texts import encoded

IndexArray: TypeAlias = NDArray[np.int64]
FloatArray: TypeAlias = NDArray[np.float64]
BoolArray: TypeAlias = NDArray[np.bool_]

NOWHERE = -1  # position of a code that is not on the axis


@dataclass(frozen=True, eq=False)
class Source:
    """Rows of one source, and the rule that says when they became public.

    Attributes:
        table: any order of rows; no row that was published after the last column's decision
            time. Without rows when the source is unavailable.
        publication: see ``market.asof``.
    """

    table: pa.Table
    publication: Publication


@dataclass(frozen=True, eq=False)
class Axis:
    """Codes x columns of a chunk.

    Attributes:
        codes: (codes,) 5-character strings, ascending.
        sessions: (columns,) datetime64[D], consecutive sessions of ``calendar``.
        n_out: number of trailing columns for which features are wanted.
        calendar: all published sessions.
        adj_factor: (codes, columns) AdjFactor of the column's own date, 1 where none.
    """

    codes: NDArray[np.str_]
    sessions: DateArray
    n_out: int
    calendar: TradingCalendar
    adj_factor: FloatArray

    @property
    def n_columns(self) -> int:
        return int(self.sessions.size)

    @property
    def first_wanted(self) -> int:
        """Column of the first wanted session."""
        return self.n_columns - self.n_out

    def position_of(self, codes: pa.ChunkedArray[Any]) -> IndexArray:
        """(rows,) index of each code in ``codes``; NOWHERE where it is not on the axis."""
        index, texts = encoded(codes)
        if not texts:
            return index
        return positions(np.array(texts, dtype=np.str_), self.codes)[index]

    def column_at_or_after(self, dates: DateArray) -> IndexArray:
        """eff(D): (rows,) first column at or after each date; NaT is after every column."""
        return self._relative(np.searchsorted(self.calendar.sessions, dates, side="left"))

    def column_at_or_before(self, dates: DateArray) -> IndexArray:
        """(rows,) last column at or before each date."""
        return self._relative(np.searchsorted(self.calendar.sessions, dates, side="right")) - 1

    def visible_from(self, source: Source) -> IndexArray:
        """(rows,) first column in whose row each record may appear."""
        return self._relative(first_visible_column(source.table, source.publication, self.calendar))

    def may_count(self, code: IndexArray, visible: IndexArray, since: int) -> BoolArray:
        """(rows,) True for records of codes on the axis that became visible on the columns from
        ``since`` on.

        Args:
            code: (rows,) as ``position_of``.
            visible: (rows,) as ``visible_from``.
            since: column before which a record counts for nothing wanted; may be negative.
        """
        counts: BoolArray = (code != NOWHERE) & (visible < self.n_columns) & (visible >= since)
        return counts

    def _relative(self, position: NDArray[np.integer[Any]]) -> IndexArray:
        offset = self.calendar.index(self.sessions[0])
        return position.astype(np.int64) - offset


def positions(names: NDArray[np.str_], codes: NDArray[np.str_]) -> IndexArray:
    """(names,) index of each name in the ascending ``codes``, of which there are some; NOWHERE
    where it is not among them."""
    at = np.searchsorted(codes, names)
    at[at == codes.size] = 0
    return np.where(codes[at] == names, at, NOWHERE)


def ranks(index: IndexArray, texts: Sequence[str]) -> IndexArray:
    """(rows,) rank of ``texts[index]`` among the distinct texts, from 0."""
    _, rank = np.unique(np.array(texts, dtype=np.str_), return_inverse=True)
    result: IndexArray = rank.astype(np.int64)[index]
    return result


def dates_of(column: pa.ChunkedArray[Any]) -> DateArray:
    """(rows,) datetime64[D]; NaT where null."""
    days: DateArray = column.to_numpy().astype("datetime64[D]")
    return days


def numbers_of(column: pa.ChunkedArray[Any]) -> FloatArray:
    """(rows,) float64; NaN where null."""
    return np.asarray(column.to_numpy(), dtype=np.float64)
