"""What the daily bars say beyond the whole day's bar: its two sessions, and the price limits.

Everything here is raw, of one day, and compared within that day only, so it has no price basis.
A day without a master record has its bar here all the same: the families look at the listing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.market.axis import NOWHERE, Axis, Source, numbers_of
from pipeline.market.daily import own_columns
from pipeline.market.panel import BoolArray, FloatArray

#: Columns in front of the wanted ones on which session fields are kept: the deepest use, a sum
#: over 20 columns.
DAYS_BEFORE: Final = 19

#: Columns of the table that are read here.
COLUMNS: Final = (
    "Date", "Code", "H", "L", "C", "Vo", "Va", "UL", "LL",
    "MO", "MH", "ML", "MC", "MVa", "AO", "AH", "AL", "AC", "AVa",
)  # fmt: skip

_TOUCHED = "1"  # UL, LL: the limit was touched; "0" otherwise


@dataclass(frozen=True, eq=False)
class DayParts:
    """Morning (m) and afternoon (a) bars and the day they are parts of, unadjusted.

    Every field is (codes, width): the last ``width`` columns of the panel, which are the wanted
    ones and DAYS_BEFORE before them, or all there are. NaN where nothing traded in the session
    (on the day, for ``h``, ``l`` and ``va``), and throughout on a plan without session fields.
    Prices in yen, turnover (``va``) in yen.
    """

    mo: FloatArray
    mh: FloatArray
    ml: FloatArray
    mc: FloatArray
    mva: FloatArray
    ao: FloatArray
    ah: FloatArray
    al: FloatArray
    ac: FloatArray
    ava: FloatArray
    h: FloatArray
    l: FloatArray
    va: FloatArray

    @property
    def width(self) -> int:
        """Number of trailing columns kept."""
        return int(self.va.shape[1])


@dataclass(frozen=True, eq=False)
class LimitFlags:
    """Touched price limits, (codes, columns); False where nothing traded.

    Attributes:
        up, down: True where the price touched the upper, the lower limit of the day.
        closed_high, closed_low: True where the close is the high, the low of the day.
    """

    up: BoolArray
    down: BoolArray
    closed_high: BoolArray
    closed_low: BoolArray


@dataclass(frozen=True, eq=False)
class _TradedDays:
    """Bars of days with a trade that fall on the last ``width`` columns, and their places."""

    table: pa.Table
    code: NDArray[np.int64]
    column: NDArray[np.int64]
    shape: tuple[int, int]

    def numbers(self, field: str) -> FloatArray:
        """(codes, width) values of a field; NaN where there is none."""
        grid = np.full(self.shape, np.nan)
        grid[self.code, self.column] = numbers_of(self.table[field])
        return grid

    def flags(self, rows: BoolArray) -> BoolArray:
        """(codes, width) one truth value per row; False where there is no row."""
        grid = np.zeros(self.shape, dtype=np.bool_)
        grid[self.code, self.column] = rows
        return grid

    def touched(self, field: str) -> BoolArray:
        """(codes, width) True where the flag ``field`` is set; a null flag is not."""
        flag = pc.equal(self.table[field], pa.scalar(_TOUCHED)).fill_null(False)
        return self.flags(flag.to_numpy())


def day_parts(source: Source, axis: Axis) -> DayParts:
    """Arrange the sessions of the daily bars.

    Args:
        source: daily bars with at least COLUMNS.
        axis: codes and columns of the chunk.
    """
    days = _traded_days(source, axis, min(axis.n_out + DAYS_BEFORE, axis.n_columns))
    return DayParts(
        mo=days.numbers("MO"),
        mh=days.numbers("MH"),
        ml=days.numbers("ML"),
        mc=days.numbers("MC"),
        mva=days.numbers("MVa"),
        ao=days.numbers("AO"),
        ah=days.numbers("AH"),
        al=days.numbers("AL"),
        ac=days.numbers("AC"),
        ava=days.numbers("AVa"),
        h=days.numbers("H"),
        l=days.numbers("L"),
        va=days.numbers("Va"),
    )


def limit_flags(source: Source, axis: Axis) -> LimitFlags:
    """Arrange the limit flags of the daily bars.

    Args:
        source: daily bars with at least COLUMNS.
        axis: codes and columns of the chunk.
    """
    days = _traded_days(source, axis, axis.n_columns)
    close = numbers_of(days.table["C"])
    return LimitFlags(
        up=days.touched("UL"),
        down=days.touched("LL"),
        closed_high=days.flags(close == numbers_of(days.table["H"])),
        closed_low=days.flags(close == numbers_of(days.table["L"])),
    )


def _traded_days(source: Source, axis: Axis, width: int) -> _TradedDays:
    first = axis.n_columns - width
    column = own_columns(source, axis)
    code = axis.position_of(source.table["Code"])
    traded = (numbers_of(source.table["Vo"]) > 0.0) & ~np.isnan(numbers_of(source.table["C"]))
    keep = traded & (column != NOWHERE) & (column >= first) & (code != NOWHERE)
    table = source.table.select(COLUMNS).filter(pa.array(keep))
    return _TradedDays(table, code[keep], column[keep] - first, (axis.codes.size, width))
