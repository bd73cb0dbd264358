"""Rules of the Tokyo Stock Exchange that bound a price: tick sizes and daily limits.

Prices inside the simulator are whole tenths of a yen, because the smallest tick is 0.1 yen.
Sources: the exchange's tables of tick sizes (2015-09-24, TOPIX 500 from 2023-06-05) and of
daily price limits.
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pipeline.simulator.array_types import BoolArray, FloatArray, IntArray

# Issues of TOPIX Mid400 got the fine ticks on this date; Core30 and Large70 have had them longer.
FINE_TICKS_FOR_MID400 = date(2023, 6, 5)

_INF = np.inf
# upper price of the band in yen (included), tick of most issues, tick of TOPIX 100 or 500, in yen
_TICKS = np.array(
    [
        (1e3, 1, 0.1),
        (3e3, 1, 0.5),
        (5e3, 5, 1),
        (1e4, 10, 1),
        (3e4, 10, 5),
        (5e4, 50, 10),
        (1e5, 100, 10),
        (3e5, 100, 50),
        (5e5, 500, 100),
        (1e6, 1000, 100),
        (3e6, 1000, 500),
        (5e6, 5000, 1000),
        (1e7, 10000, 1000),
        (3e7, 10000, 5000),
        (5e7, 50000, 10000),
        (_INF, 100000, 10000),
    ]
)
_TICK_BOUNDS = _TICKS[:-1, 0] * 10
_TICK_TENTHS = np.rint(_TICKS[:, 1:] * 10).astype(np.int64)

# base price in yen below which the width holds, width in yen
_LIMITS = np.array(
    [
        (100, 30),
        (200, 50),
        (500, 80),
        (700, 100),
        (1000, 150),
        (1500, 300),
        (2000, 400),
        (3000, 500),
        (5000, 700),
        (7000, 1000),
        (10000, 1500),
        (15000, 3000),
        (20000, 4000),
        (30000, 5000),
        (50000, 7000),
        (70000, 10000),
        (100000, 15000),
        (150000, 30000),
        (200000, 40000),
        (300000, 50000),
        (500000, 70000),
        (700000, 100000),
        (1000000, 150000),
        (1500000, 300000),
        (2000000, 400000),
        (3000000, 500000),
        (5000000, 700000),
        (7000000, 1000000),
        (10000000, 1500000),
        (15000000, 3000000),
        (20000000, 4000000),
        (30000000, 5000000),
        (50000000, 7000000),
        (_INF, 10000000),
    ]
)


def tick_size(tenths: FloatArray, fine: BoolArray) -> IntArray:
    """Tick in tenths of a yen at a price.

    Args:
        tenths: prices in tenths of a yen, any shape ending in (issues,).
        fine: (issues,) True for issues with the fine table.
    """
    band = np.searchsorted(_TICK_BOUNDS, tenths, side="left")
    ticks: IntArray = _TICK_TENTHS[band, fine.astype(np.int64)]
    return ticks


def on_tick(tenths: FloatArray, fine: BoolArray) -> IntArray:
    """The valid price nearest to each price, in tenths of a yen; shapes as in ``tick_size``."""
    tick = tick_size(tenths, fine)
    prices: IntArray = np.rint(tenths / tick).astype(np.int64) * tick
    return prices


def limit_width(base: FloatArray) -> FloatArray:
    """Daily limit width in yen for base prices in yen."""
    widths: FloatArray = _LIMITS[np.searchsorted(_LIMITS[:, 0], base, side="right"), 1]
    return widths


def limit_prices(base_tenths: FloatArray, fine: BoolArray) -> tuple[IntArray, IntArray]:
    """Lowest and highest valid price of the day, in tenths of a yen.

    The limits are moved inwards to the next valid price; the lowest is at least one tick.
    """
    width = limit_width(np.round(base_tenths / 10, 6)) * 10
    upper, lower = base_tenths + width, np.maximum(base_tenths - width, 1.0)
    up_tick, low_tick = tick_size(upper, fine), tick_size(lower, fine)
    highest = np.floor(upper / up_tick).astype(np.int64) * up_tick
    lowest = np.ceil(lower / low_tick).astype(np.int64) * low_tick
    return lowest, highest
