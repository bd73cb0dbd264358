"""The 105 columns of the family alpha158_rolling in pandas: the yardstick of ``chunk.py``.

Written as one would write it with pandas alone: ``groupby(code).rolling(window)`` and its own
mean, sum, std, max, min, quantile and rank, several columns to a call. Correlations, and the trend
line as one with time, come from rolling means and deviations: the grouped ``rolling.corr`` pairs
all rows with all rows, and one call per code is eight times slower. ``rolling.apply`` stands only
where pandas has nothing: the position of the highest high and of the lowest low (2 of 21 columns
per window).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

WINDOWS = (5, 10, 20, 30, 60)
CARRY = 20  # sessions a close is carried over without a trade
APPLY = ("high_pos", "low_pos")  # the stems that need ``rolling.apply``

# Beyond every price, so that a session without a trade wins neither: rolling has no NaN here.
_LOWEST, _HIGHEST = -1.0, 1e12


def alpha158(bars: pd.DataFrame) -> pd.DataFrame:
    """All columns of the family.

    Args:
        bars: columns h, l, c (yen, one price basis) and v (shares), NaN without a trade; index
            (code, session), sorted, a row for every session on which the code is listed.

    Returns:
        Same index; one column per feature, named as in the catalogue.
    """
    frame = _series(bars)
    columns: dict[str, np.ndarray] = {}
    for window in WINDOWS:
        for stem, values in _over(frame, window).items():
            columns[f"{stem}_{window}d"] = values
    return pd.DataFrame(columns, index=bars.index)


def _series(bars: pd.DataFrame) -> pd.DataFrame:
    """The bars and everything that does not depend on the window."""
    frame = bars.assign(p=bars["c"].groupby(level="code").ffill(limit=CARRY))
    frame["vol"] = frame["v"].fillna(0.0)
    before = frame.groupby(level="code").shift(1)
    step = frame["p"] - before["p"]
    volume_step = frame["vol"] - before["vol"]
    return frame.assign(
        t=frame.groupby(level="code").cumcount().astype(float),
        up=(step > 0.0).astype(float).where(step.notna()),
        down=(step < 0.0).astype(float).where(step.notna()),
        gain=step.clip(lower=0.0),
        move=step.abs(),
        volume_gain=volume_step.clip(lower=0.0),
        volume_move=volume_step.abs(),
        moved=(step / before["p"]).abs() * frame["vol"],
        log_v=np.log(frame["v"]),
        price_ratio=frame["c"] / before["c"],
        log_v_ratio=np.log(frame["v"] / before["v"] + 1.0),
    )


def _over(frame: pd.DataFrame, window: int) -> dict[str, np.ndarray]:
    """The columns of one window, stem -> values in the order of the frame."""
    needed = (window + 1) // 2
    whole = frame.groupby(level="code").rolling(window)
    half = frame.groupby(level="code").rolling(window, min_periods=needed)
    p, v = frame["p"].to_numpy(), frame["v"].to_numpy()
    mean = _table(whole[["p", "up", "down", "vol", "moved"]].mean())
    std = _table(whole[["p", "vol", "moved"]].std())
    total = _table(whole[["gain", "move", "volume_gain", "volume_move"]].sum())
    high, low = half["h"].max().to_numpy(), half["l"].min().to_numpy()
    trend = _corr(frame, "p", "t", window, window)
    slope = trend * std["p"] / np.std(np.arange(window), ddof=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return {
            "close_std_ratio": std["p"] / p,
            "trend_slope": slope / p,
            "trend_r2": trend**2,
            "trend_resid": (p - mean["p"] - slope * (window - 1) / 2) / p,
            "high_max_ratio": high / p,
            "low_min_ratio": low / p,
            "close_q80_ratio": whole["p"].quantile(0.8).to_numpy() / p,
            "close_q20_ratio": whole["p"].quantile(0.2).to_numpy() / p,
            "close_rank": whole["p"].rank(pct=True).to_numpy(),
            "rsv": (p - low) / np.where(high > low, high - low, np.nan),
            "high_pos": _position(frame["h"].fillna(_LOWEST), high, window, np.argmax),
            "low_pos": _position(frame["l"].fillna(_HIGHEST), low, window, np.argmin),
            "corr_close_logvol": _corr(frame, "c", "log_v", window, needed),
            "corr_ret_volchg": _corr(frame, "price_ratio", "log_v_ratio", window, needed),
            "up_day_share": mean["up"],
            "down_day_share": mean["down"],
            "gain_share": _share(total["gain"], total["move"]),
            "volume_ma_ratio": mean["vol"] / v,
            "volume_std_ratio": std["vol"] / v,
            "absret_volume_cv": _share(std["moved"], mean["moved"]),
            "volume_gain_share": np.where(
                np.isnan(p), np.nan, _share(total["volume_gain"], total["volume_move"])
            ),
        }


def _table(result: pd.DataFrame) -> dict[str, np.ndarray]:
    return {name: result[name].to_numpy() for name in result.columns}


def _corr(frame: pd.DataFrame, x: str, y: str, window: int, needed: int) -> np.ndarray:
    """Pearson correlation of two columns over the sessions that have both."""
    both = frame[[x, y]].where(frame[[x, y]].notna().all(axis=1))
    pair = both.assign(product=both[x] * both[y]).groupby(level="code")
    mean = pair.rolling(window, min_periods=needed).mean()
    std = pair[[x, y]].rolling(window, min_periods=needed).std(ddof=0)
    covariance = (mean["product"] - mean[x] * mean[y]).to_numpy()
    return _share(covariance, (std[x] * std[y]).to_numpy())


def _position(
    filled: pd.Series, extreme: np.ndarray, window: int, find: Callable[[np.ndarray], np.intp]
) -> np.ndarray:
    """Position of the extreme in the window, 1 = its oldest session, as a share of the window."""

    def share(values: np.ndarray) -> float:
        return float(window - values.size + find(values) + 1) / window

    rolled = filled.groupby(level="code").rolling(window, min_periods=1)
    return np.where(np.isnan(extreme), np.nan, rolled.apply(share, raw=True).to_numpy())


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return part / np.where(whole > 0.0, whole, np.nan)
