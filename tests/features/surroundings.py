"""More of a market than its bars, made from them, so that it follows them wherever they are cut."""

from __future__ import annotations

from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from pipeline.features.engine.column_spec import FloatArray
from pipeline.market.panel.benchmark_levels import Topix
from pipeline.market.panel.intraday_bars import LimitFlags
from pipeline.market.panel.price_panel import Panel
from tests.features.bars import Bars, market_of

SHARES = 1e6


def surrounded(panel: Panel) -> Any:
    """A market with index, market values and touched limits that are functions of the bars."""
    o, h, low, c = (np.nan_to_num(x, nan=1.0) for x in (panel.o, panel.h, panel.l, panel.c))
    traded = ~np.isnan(panel.c)
    return SimpleNamespace(
        panel=panel,
        topix=Topix(o=o[0], h=h[0], l=low[0], c=c[0]),
        mktcap=panel.p * SHARES,
        limits=LimitFlags(
            up=traded & (h > 1.02 * o),
            down=traded & (low < 0.98 * o),
            closed_high=c > 0.998 * h,
            closed_low=c < 1.002 * low,
        ),
    )


def surrounded_market(bars: Bars, n_out: int) -> Any:
    """``market_of`` with surroundings."""
    return surrounded(market_of(bars, n_out).panel)


def in_surroundings(family: ModuleType) -> Any:
    """A family that gets its surroundings by itself, for the checks that offer a panel only."""

    def compute(market: Any) -> dict[str, FloatArray]:
        values: dict[str, FloatArray] = family.compute(surrounded(market.panel))
        return values

    return SimpleNamespace(FEATURES=family.FEATURES, compute=compute)
