"""qlib's 158 columns from ours: from a file of bars to a table of values.

The four families are computed whole, as a build does it, so that besides what the 158 columns
need some thirty more come along. ``RECIPES`` says how each of qlib's columns follows from ours,
as the fields ``check`` of the catalogue do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from pipeline.features.engine.column_spec import FloatArray
from pipeline.features.price import alpha158_rolling, candle, moving_average, price_return
from pipeline.market.panel.price_panel import Panel

FAMILIES = (alpha158_rolling, candle, moving_average, price_return)
WINDOWS = (5, 10, 20, 30, 60)

_BLOCK = 100  # lines per task: some for every thread

Columns = Mapping[str, FloatArray]
Recipe = Callable[[Columns], FloatArray]


@dataclass(frozen=True)
class BarsOnly:
    """What a family of independent lines sees of a market."""

    panel: Panel


def alpha158(bars: Path, threads: int) -> np.ndarray:
    """All of ``RECIPES`` for a file of bars.

    Args:
        bars: Parquet with code, date, open, high, low, close, volume and vwap; sorted by code
            and date, every code on the same days, no gaps.
        threads: blocks of codes computed at a time.

    Returns:
        (columns, codes, days) float32, NaN where a window is not full.
    """
    panel = _panel(bars, threads)
    values = np.empty((len(RECIPES), panel.n_lines, panel.n_out), dtype=np.float32)

    def fill(start: int) -> None:
        market = BarsOnly(panel.block(start, start + _BLOCK))
        columns: dict[str, FloatArray] = {}
        for family in FAMILIES:
            columns |= family.compute(market)
        for row, recipe in zip(values, RECIPES.values(), strict=True):
            row[start : start + _BLOCK] = recipe(columns)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(fill, range(0, panel.n_lines, _BLOCK)))
    return values


def _panel(bars: Path, threads: int) -> Panel:
    table = pq.read_table(bars, use_threads=threads > 1)
    codes = np.array(table["code"].unique().to_pylist())
    shape = (codes.size, math.floor(table.num_rows / codes.size))
    o, h, low, c, v, vwap = (
        table[name].to_numpy().reshape(shape).astype(np.float64)
        for name in ("open", "high", "low", "close", "volume", "vwap")
    )
    return Panel(
        sessions=table["date"][: shape[1]].to_numpy().astype("datetime64[D]"),
        n_out=shape[1],
        codes=codes,
        line_code=np.arange(codes.size, dtype=np.int32),
        line_first=np.zeros(codes.size, dtype=np.int32),
        line_stop=np.full(codes.size, shape[1], dtype=np.int32),
        o=o,
        h=h,
        l=low,
        c=c,
        v=v,
        va=v * vwap,
        listed=np.ones(shape, dtype=bool),
        adj_factor=np.ones(shape),
    )


def _same(name: str) -> Recipe:
    return lambda ours: ours[name]


def _inverse(name: str) -> Recipe:
    """qlib divides the older price by the newest one, we the other way round, less 1."""
    return lambda ours: 1.0 / (1.0 + ours[name])


def _difference(name: str, minus: str) -> Recipe:
    return lambda ours: ours[name] - ours[minus]


def _affine(name: str, factor: float, offset: float) -> Recipe:
    return lambda ours: factor * ours[name] + offset


_SAME = {
    "KMID": "ret_intraday",
    "KLEN": "kbar_len",
    "KMID2": "kbar_body_share",
    "KUP": "kbar_upper",
    "KUP2": "kbar_upper_share",
    "KLOW": "kbar_lower",
    "KLOW2": "kbar_lower_share",
    "KSFT": "kbar_shift",
    "KSFT2": "kbar_shift_share",
    "HIGH0": "high_to_close",
    "LOW0": "low_to_close",
    "VWAP0": "vwap_to_close",
}
_SAME_OVER_A_WINDOW = {
    "STD": "close_std_ratio",
    "BETA": "trend_slope",
    "RSQR": "trend_r2",
    "RESI": "trend_resid",
    "MAX": "high_max_ratio",
    "MIN": "low_min_ratio",
    "QTLU": "close_q80_ratio",
    "QTLD": "close_q20_ratio",
    "RANK": "close_rank",
    "RSV": "rsv",
    "IMAX": "high_pos",
    "IMIN": "low_pos",
    "CORR": "corr_close_logvol",
    "CORD": "corr_ret_volchg",
    "CNTP": "up_day_share",
    "CNTN": "down_day_share",
    "SUMP": "gain_share",
    "VMA": "volume_ma_ratio",
    "VSTD": "volume_std_ratio",
    "WVMA": "absret_volume_cv",
    "VSUMP": "volume_gain_share",
}


def _recipes() -> dict[str, Recipe]:
    recipes = {name: _same(ours) for name, ours in _SAME.items()}
    recipes["OPEN0"] = _inverse("ret_intraday")
    for d in WINDOWS:
        recipes |= {
            f"{name}{d}": _same(f"{ours}_{d}d") for name, ours in _SAME_OVER_A_WINDOW.items()
        }
        recipes |= {
            f"ROC{d}": _inverse(f"ret_prev_{d}d"),
            f"MA{d}": _inverse(f"price_to_sma_{d}"),
            f"IMXD{d}": _difference(f"high_pos_{d}d", f"low_pos_{d}d"),
            f"CNTD{d}": _difference(f"up_day_share_{d}d", f"down_day_share_{d}d"),
            f"SUMN{d}": _affine(f"gain_share_{d}d", -1.0, 1.0),
            f"SUMD{d}": _affine(f"gain_share_{d}d", 2.0, -1.0),
            f"VSUMN{d}": _affine(f"volume_gain_share_{d}d", -1.0, 1.0),
            f"VSUMD{d}": _affine(f"volume_gain_share_{d}d", 2.0, -1.0),
        }
    return recipes


#: qlib's column -> how it follows from ours.
RECIPES: Mapping[str, Recipe] = _recipes()
