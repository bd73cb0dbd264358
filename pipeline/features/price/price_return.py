"""Family price_return: how far the price has come, over a day and up to a year."""

from __future__ import annotations

from functools import partial

import numpy as np

from pipeline.features.engine import window_kernels
from pipeline.features.engine.column_spec import (
    AFTER_CLOSE,
    BARS,
    CLOSE,
    Feature,
    FloatArray,
    Scope,
    no_carried_close,
)
from pipeline.market.jit import jit
from pipeline.market.panel.market_data import Market
from pipeline.market.panel.price_panel import SAME_PRICE

SCOPE: Scope = "line"

_HORIZONS = (1, 5, 10, 20, 30, 60, 120, 250)
_FDIFF_ORDER = 0.4
_FDIFF_WINDOW = 100
_DRAWDOWN_WINDOW = 60
_STREAK_CAP = 20


_feature = partial(
    Feature,
    family="price_return",
    available=AFTER_CLOSE,
    dtype="float32",
    unit="ratio",
)


def _trailing_return(days: int) -> Feature:
    talib, qlib = f"TA-Lib ROCP({days})", f"qlib Alpha158 ROC{days} = 1/(1+x)"
    return _feature(
        name=f"ret_prev_{days}d",
        formula=(
            f"p_T / p_(T-{days}) - 1, simple return of the carried adjusted close, panel columns; "
            "no-trade days carry the last close (return 0 that day)"
        ),
        inputs=CLOSE,
        lookback=days,
        null_rule=f"p null at T or T-{days}",
        check=f"pandas p.pct_change({days}); {talib if days in {1, 120, 250} else qlib}",
    )


FEATURES: tuple[Feature, ...] = (
    *(_trailing_return(days) for days in _HORIZONS),
    _feature(
        name="mom_250_20",
        formula="p_(T-20) / p_(T-250) - 1 (twelve-month momentum skipping the last month)",
        inputs=CLOSE,
        lookback=250,
        null_rule="p null at T-20 or T-250",
        check="pandas p.shift(20)/p.shift(250)-1",
    ),
    _feature(
        name="ret_overnight",
        formula=(
            "o_T / p_(T-1) - 1, open of T in the basis of T; an ex-dividend drop is not adjusted."
        ),
        inputs=BARS,
        lookback=1,
        null_rule="no trade on T or p_(T-1) null",
        check="hand",
    ),
    _feature(
        name="overnight_ret_sum_20d",
        formula=(
            "sum over u in [T-19..T] of ln(o_u / p_(u-1)); null terms (no-trade days) skipped, "
            "at least 10 terms"
        ),
        inputs=BARS,
        lookback=20,
        unit="log return",
        null_rule="fewer than 10 traded days in the window",
        check="pandas rolling(20,min_periods=10).sum()",
    ),
    *(
        _feature(
            name=f"{name}_ret_20d",
            formula=f"{name} of r_u over u in [T-19..T], 20 non-null required",
            inputs=CLOSE,
            lookback=20,
            null_rule=no_carried_close(20),
            check=f"pandas r.rolling(20).{name}()",
        )
        for name in ("max", "min")
    ),
    *(
        _feature(
            name=f"dist_{name}_250d",
            formula=f"p_T / {extreme}({x}_u, u in [T-249..T]) - 1, at least 125 traded days",
            inputs=BARS,
            lookback=250,
            null_rule="fewer than 125 traded days",
            check=f"pandas {x}.rolling(250,min_periods=125).{extreme}()",
        )
        for name, extreme, x in (("high", "max", "h"), ("low", "min", "l"))
    ),
    _feature(
        name="max_drawdown_60d",
        formula=(
            "min over T-59 <= i <= j <= T of p_j / p_i - 1 "
            "(i = j gives 0, so the value is <= 0); 60 non-null p required"
        ),
        inputs=CLOSE,
        lookback=59,
        null_rule=no_carried_close(59),
        check="(p/p.cummax()-1).min() on each 60-row slice",
    ),
    _feature(
        name="ret_streak",
        formula=(
            "signed run length ending at T, capped at +-20: +n if r_u > 0 for u = "
            "T-n+1..T and not for T-n; -n likewise for r_u < 0; 0 if r_T = 0."
        ),
        inputs=CLOSE,
        lookback=20,
        dtype="int8",
        unit="trading days",
        null_rule="r_T null",
        check="hand",
    ),
    _feature(
        name="fdiff_0p4_100",
        formula=(
            "sum over k=0..99 of w_k * ln(p_(T-k)/p_T), w_0 = 1, w_k = -w_(k-1)*(0.4-k+1)/k; "
            "fixed window 100, all 100 p required. The division by p_T removes the price basis "
            "(the level form is not split invariant)"
        ),
        inputs=CLOSE,
        lookback=99,
        unit="log",
        null_rule=no_carried_close(99),
        check="hand (mlfinlab-style fixed-width window weights)",
    ),
)


def compute(market: Market) -> dict[str, FloatArray]:
    """All features of the family, name -> (lines, n_out)."""
    panel, n_out = market.panel, market.panel.n_out
    p = window_kernels.lagged(panel.p, 0, n_out)
    overnight = window_kernels.log_change(panel.o, panel.p_prev)
    result = {
        f"ret_prev_{days}d": window_kernels.simple_change(
            p, window_kernels.lagged(panel.p, days, n_out)
        )
        for days in _HORIZONS
    }
    result["mom_250_20"] = window_kernels.simple_change(
        window_kernels.lagged(panel.p, 20, n_out), window_kernels.lagged(panel.p, 250, n_out)
    )
    result["ret_overnight"] = window_kernels.simple_change(
        window_kernels.lagged(panel.o, 0, n_out), window_kernels.lagged(panel.p, 1, n_out)
    )
    result["overnight_ret_sum_20d"] = window_kernels.window_sum(overnight, 20, 10, n_out)
    result["max_ret_20d"] = window_kernels.window_max(panel.r, 20, 20, n_out)
    result["min_ret_20d"] = window_kernels.window_min(panel.r, 20, 20, n_out)
    highest = window_kernels.window_max(panel.h, 250, 125, n_out)
    lowest = window_kernels.window_min(panel.l, 250, 125, n_out)
    result["dist_high_250d"] = window_kernels.simple_change(p, highest)
    result["dist_low_250d"] = window_kernels.simple_change(p, lowest)
    drawdown = _max_drawdown(
        window_kernels.lagged(panel.p, 0, n_out + _DRAWDOWN_WINDOW - 1), _DRAWDOWN_WINDOW
    )
    result["max_drawdown_60d"] = np.where(drawdown >= -SAME_PRICE, 0.0, drawdown)
    result["ret_streak"] = _streak(
        window_kernels.lagged(panel.r, 0, n_out + _STREAK_CAP - 1), _STREAK_CAP
    )
    result["fdiff_0p4_100"] = _fractional_difference(
        np.log(window_kernels.lagged(panel.p, 0, n_out + _FDIFF_WINDOW - 1)), _fdiff_weights()
    )
    return result


@jit
def _max_drawdown(p: FloatArray, window: int) -> FloatArray:
    """Deepest fall from a running peak inside each window; null if any price in it is.

    Args:
        p: (rows, n_out + window - 1) prices.
        window: number of columns.
    """
    n_out = p.shape[1] - window + 1
    result = np.empty((p.shape[0], n_out))
    for i in range(p.shape[0]):
        peak = np.full(n_out, -np.inf)
        deepest = np.zeros(n_out)
        for k in range(window):
            price = p[i, k : k + n_out]
            for t in range(n_out):
                known = not np.isnan(price[t])
                peak[t] = max(peak[t], price[t] if known else np.inf)
                deepest[t] = min(deepest[t], price[t] / peak[t] - 1.0 if known else 0.0)
        result[i] = np.where(peak < np.inf, deepest, np.nan)
    return result


@jit
def _streak(r: FloatArray, cap: int) -> FloatArray:
    """Signed length of the run of rises or falls that ends in each column, at most ``cap``.

    Args:
        r: (rows, n_out + cap - 1) returns, exactly 0 between equal prices.
        cap: longest run counted.
    """
    n_out = r.shape[1] - cap + 1
    result = np.empty((r.shape[0], n_out))
    for i in range(r.shape[0]):
        for t in range(n_out):
            sign = np.sign(r[i, t + cap - 1])
            length = 0
            while length < cap and sign * r[i, t + cap - 1 - length] > 0.0:
                length += 1
            result[i, t] = sign * length  # NaN sign: null, 0: no run
    return result


def _fdiff_weights() -> FloatArray:
    """(window,) weights of the fractional difference, w_0 first."""
    weights = np.ones(_FDIFF_WINDOW)
    for k in range(1, _FDIFF_WINDOW):
        weights[k] = -weights[k - 1] * (_FDIFF_ORDER - k + 1.0) / k
    return weights


@jit
def _fractional_difference(log_p: FloatArray, weights: FloatArray) -> FloatArray:
    """Weighted sum of log prices relative to the last one of each window; null if any is.

    Args:
        log_p: (rows, n_out + window - 1) log prices.
        weights: (window,) weight of lag k.
    """
    window = weights.size
    n_out = log_p.shape[1] - window + 1
    result = np.zeros((log_p.shape[0], n_out))
    for i in range(log_p.shape[0]):
        latest = log_p[i, window - 1 :]
        for k in range(window):
            price = log_p[i, window - 1 - k : window - 1 - k + n_out]
            for t in range(n_out):
                result[i, t] += weights[k] * (price[t] - latest[t])
    return result
