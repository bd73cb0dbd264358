"""What the daily bars say beyond the whole day's bar: its two sessions, and the price limits.

Everything here is raw, of one day, and compared within that day only, so it has no price basis.
A day without a master record has its bar here all the same: the families look at the listing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from pipeline.market.panel.axis import Axis, Source, numbers_of
from pipeline.market.panel.daily_records import Placed, placed
from pipeline.market.panel.price_panel import BoolArray, FloatArray

#: Columns in front of the wanted ones that are kept, the deepest use of each: a sum over 20
#: columns, a search in 60.
SESSION_DAYS_BEFORE: Final = 19
LIMIT_DAYS_BEFORE: Final = 59

#: Columns of the table that are read here.
COLUMNS: Final = (
    "Date", "Code", "H", "L", "C", "Vo", "Va", "UL", "LL",
    "MO", "MH", "ML", "MC", "MVa", "AO", "AH", "AL", "AC", "AVa",
)  # fmt: skip

_TOUCHED = "1"  # UL, LL: the limit was touched; "0" otherwise


@dataclass(frozen=True, eq=False)
class DayParts:
    """Morning (m) and afternoon (a) bars and the day they are parts of, unadjusted.

    Every field is (codes, width), prices and turnover (``va``) in yen: the last columns of the
    panel, which are the wanted ones and SESSION_DAYS_BEFORE before them, or all there are. NaN
    where nothing traded in the session (on the day, for ``h``, ``l`` and ``va``), and throughout
    on a plan without session fields.
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
    """Touched price limits, (codes, width); False where nothing traded.

    The columns are the last ones of the panel: the wanted ones and LIMIT_DAYS_BEFORE before
    them, or all there are.

    Attributes:
        up, down: True where the price touched the upper, the lower limit of the day.
        closed_high, closed_low: True where the close is the high, the low of the day.
    """

    up: BoolArray
    down: BoolArray
    closed_high: BoolArray
    closed_low: BoolArray


def day_parts(source: Source, axis: Axis) -> DayParts:
    """Arrange the sessions of the daily bars.

    Args:
        source: daily bars with at least COLUMNS.
        axis: codes and columns of the chunk.
    """
    days = _traded_days(source, axis, axis.n_out + SESSION_DAYS_BEFORE)
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
    days = _traded_days(source, axis, axis.n_out + LIMIT_DAYS_BEFORE)
    close = days.numbers("C")
    return LimitFlags(
        up=days.equal("UL", _TOUCHED),
        down=days.equal("LL", _TOUCHED),
        closed_high=close == days.numbers("H"),
        closed_low=close == days.numbers("L"),
    )


def _traded_days(source: Source, axis: Axis, width: int) -> Placed:
    """The bars of days with a trade on the last ``width`` columns, or on all there are."""
    bars = placed(source, axis, width)
    return bars.only((numbers_of(bars.table["Vo"]) > 0.0) & ~np.isnan(numbers_of(bars.table["C"])))
