"""Everything a feature may look at, as plain arrays."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.market.options import OptionQuotes
from pipeline.market.panel import BoolArray, FloatArray, Panel
from pipeline.market.sessions import TradingCalendar


@dataclass(frozen=True, eq=False)
class Master:
    """Master records, codes x columns of the panel; NaN where none is dated that day.

    Attributes:
        listed: True where the code has a master record dated that day.
        tier: 1 Prime and first section, 2 Standard and the like, 3 Growth and the like.
        s17: TOPIX-17 sector number; NaN for 99.
        s33: 33-industry number; NaN for 9999.
        scale: ordinal of the TOPIX size bucket, 0 (none) to 5 (Core30).
        margin: margin class 1, 2 or 3.
        universe: True where the code belongs to the universe of that day.
        adj_factor: AdjFactor of the column's own date, 1 where none.
    """

    listed: BoolArray
    tier: FloatArray
    s17: FloatArray
    s33: FloatArray
    scale: FloatArray
    margin: FloatArray
    universe: BoolArray
    adj_factor: FloatArray


@dataclass(frozen=True, eq=False)
class Market:
    """One chunk's inputs, warm-up included.

    Attributes:
        panel: bars, lines x columns.
        master: listing records, codes x columns.
        calendar: published trading days, beyond the last column too.
        options: Nikkei 225 option quotes; None when the source is unavailable.
    """

    panel: Panel
    master: Master
    calendar: TradingCalendar
    options: OptionQuotes | None
