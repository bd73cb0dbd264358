"""qlib's Alpha158 in pandas, written from its published definitions: the judge of our columns.

Source: the expressions of ``Alpha158DL`` in microsoft/qlib, qlib/contrib/data/loader.py, default
configuration (9 bar shapes, 4 prices, 29 window operators over 5 windows). The operators mean:
``Ref(x, d)`` the value d rows before, ``Slope``, ``Rsquare``, ``Resi`` the least-squares line on
1..d, ``IdxMax`` the position of the first maximum counted from 1, ``Rank`` the average-tie rank
divided by d. Two deliberate simplifications: rows without a full window are not of interest here,
and the number under the logarithm of ``CORR`` is an argument, because we leave its +1 out.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

WINDOWS = (5, 10, 20, 30, 60)
EPSILON = 1e-12  # what qlib adds to denominators


def alpha158(bars: pd.DataFrame, log_offset: float = 1.0) -> pd.DataFrame:
    """All 158 columns of one stock.

    Args:
        bars: open, high, low, close, volume, vwap; one row per trading day, no gaps.
        log_offset: added to the volume before the logarithm of CORR; qlib adds 1.

    Returns:
        One row per row of ``bars``; NaN where a window is not full.
    """
    columns = {**_bar_shapes(bars), **_prices(bars)}
    for d in WINDOWS:
        columns |= {
            **{f"{name}{d}": x for name, x in _close_windows(bars["close"], d).items()},
            **{f"{name}{d}": x for name, x in _range_windows(bars, d).items()},
            **{f"{name}{d}": x for name, x in _volume_windows(bars, d, log_offset).items()},
        }
    return pd.DataFrame(columns)


def _bar_shapes(bars: pd.DataFrame) -> dict[str, pd.Series]:
    o, h, low, c = bars["open"], bars["high"], bars["low"], bars["close"]
    top, bottom = np.maximum(o, c), np.minimum(o, c)
    height = h - low + EPSILON
    return {
        "KMID": (c - o) / o,
        "KLEN": (h - low) / o,
        "KMID2": (c - o) / height,
        "KUP": (h - top) / o,
        "KUP2": (h - top) / height,
        "KLOW": (bottom - low) / o,
        "KLOW2": (bottom - low) / height,
        "KSFT": (2 * c - h - low) / o,
        "KSFT2": (2 * c - h - low) / height,
    }


def _prices(bars: pd.DataFrame) -> dict[str, pd.Series]:
    fields = ("open", "high", "low", "vwap")
    return {f"{field.upper()}0": bars[field] / bars["close"] for field in fields}


def _close_windows(c: pd.Series, d: int) -> dict[str, pd.Series]:
    rolling, change = c.rolling(d), c - c.shift(1)
    slope, at_end = _line(c, d)
    up, down = (change > 0).rolling(d).mean(), (change < 0).rolling(d).mean()
    return {
        "ROC": c.shift(d) / c,
        "MA": rolling.mean() / c,
        "STD": rolling.std() / c,
        "BETA": slope / c,
        "RSQR": _apply(c, d, lambda y: np.corrcoef(np.arange(d), y)[0, 1] ** 2),
        "RESI": (c - at_end) / c,
        "QTLU": rolling.quantile(0.8) / c,
        "QTLD": rolling.quantile(0.2) / c,
        "RANK": rolling.rank(pct=True),
        "CNTP": up,
        "CNTN": down,
        "CNTD": up - down,
        **_shares(change, d, "SUM"),
    }


def _range_windows(bars: pd.DataFrame, d: int) -> dict[str, pd.Series]:
    h, low, c = bars["high"], bars["low"], bars["close"]
    highest, lowest = h.rolling(d).max(), low.rolling(d).min()
    idx_max = _apply(h, d, lambda y: np.argmax(y) + 1)
    idx_min = _apply(low, d, lambda y: np.argmin(y) + 1)
    return {
        "MAX": highest / c,
        "MIN": lowest / c,
        "RSV": (c - lowest) / (highest - lowest + EPSILON),
        "IMAX": idx_max / d,
        "IMIN": idx_min / d,
        "IMXD": (idx_max - idx_min) / d,
    }


def _volume_windows(bars: pd.DataFrame, d: int, log_offset: float) -> dict[str, pd.Series]:
    c, v = bars["close"], bars["volume"]
    c_ratio, v_ratio = c / c.shift(1), v / v.shift(1)
    moved = (c_ratio - 1).abs() * v
    return {
        "CORR": c.rolling(d).corr(np.log(v + log_offset)),
        "CORD": c_ratio.rolling(d).corr(np.log(v_ratio + 1)),
        "VMA": v.rolling(d).mean() / (v + EPSILON),
        "VSTD": v.rolling(d).std() / (v + EPSILON),
        "WVMA": moved.rolling(d).std() / (moved.rolling(d).mean() + EPSILON),
        **_shares(v - v.shift(1), d, "VSUM"),
    }


def _shares(change: pd.Series, d: int, name: str) -> dict[str, pd.Series]:
    """Gains, losses and their difference as shares of all moves."""
    gains = change.clip(lower=0).rolling(d).sum()
    losses = (-change).clip(lower=0).rolling(d).sum()
    moves = change.abs().rolling(d).sum() + EPSILON
    return {
        f"{name}P": gains / moves,
        f"{name}N": losses / moves,
        f"{name}D": (gains - losses) / moves,
    }


def _line(y: pd.Series, d: int) -> tuple[pd.Series, pd.Series]:
    """Slope of the least-squares line of every window, and its value at the last row."""
    x = np.arange(1, d + 1)
    slope = _apply(y, d, lambda window: np.polyfit(x, window, 1)[0])
    at_end = _apply(y, d, lambda window: np.polyval(np.polyfit(x, window, 1), d))
    return slope, at_end


def _apply(y: pd.Series, d: int, reduce: Callable[[np.ndarray], float]) -> pd.Series:
    return y.rolling(d).apply(reduce, raw=True)
