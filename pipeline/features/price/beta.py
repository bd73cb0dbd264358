"""Family beta: the market model, a stock's return on that of TOPIX.

``beta60`` is offered to other families: the coefficients of a column may be applied to the next.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np

from pipeline.features.derivatives.futures import topix_basis
from pipeline.features.engine import window_kernels
from pipeline.features.engine.column_spec import (
    AFTER_CLOSE,
    AFTER_NIGHT,
    CLOSE,
    Feature,
    FloatArray,
    Scope,
    no_carried_close,
)
from pipeline.features.engine.window_kernels import ZERO_DEVIATION
from pipeline.market.jit import jit
from pipeline.market.panel.market_data import Market

SCOPE: Scope = "line"

_YEAR = 252.0  # trading days by which a variance is annualised
_WINDOW = 60
_DOWN_WINDOW, _DOWN_MIN_COUNT = 250, 60
_MOMENTUM_WINDOW, _MOMENTUM_SKIP, _MOMENTUM_MIN_COUNT = 230, 20, 200

_ANY_NULL = "any input null"

_feature = partial(
    Feature,
    family="beta",
    inputs=f"{CLOSE};idx-bars-daily-topix.C",
    lookback=_WINDOW,
    available=AFTER_CLOSE,
    dtype="float32",
    null_rule=no_carried_close(_WINDOW),
)

FEATURES: tuple[Feature, ...] = (
    _feature(
        name="beta60_topix",
        formula=(
            "cov/var of (r_u, m_u) over u in [T-59..T], m = TOPIX simple return, ddof=1, "
            "60 pairs required; null if var=0. Includes T"
        ),
        unit="beta",
        check="TA-Lib BETA uses returns of prices with window+1; pandas rolling cov/var",
    ),
    _feature(
        name="alpha60_topix",
        formula="mean_60[r]-beta60_topix*mean_60[m], daily",
        unit="ratio per day",
        check="statsmodels OLS intercept",
    ),
    _feature(
        name="idio_vol_60",
        formula="sqrt(252*SSE/58) of the OLS of r on (1,m) over [T-59..T]",
        unit="annualised vol",
        check="statsmodels sqrt(mse_resid*252)",
    ),
    _feature(
        name="down_beta_250",
        formula=(
            "cov/var (ddof=1) of (r_u,m_u) over u in [T-249..T] with m_u<0, at least 60 such pairs"
        ),
        lookback=_DOWN_WINDOW,
        unit="beta",
        null_rule="fewer than 60 down days",
        check="pandas",
    ),
    _feature(
        name="resid_ret_1d",
        formula=(
            "r_T - alpha60_topix_(T-1) - beta60_topix_(T-1)*m_T (coefficients estimated up to T-1)"
        ),
        lookback=_WINDOW + 1,
        unit="ratio",
        null_rule=_ANY_NULL,
        check="hand",
    ),
    _feature(
        name="resid_mom_250_20",
        formula=(
            "sum(e_u)/std(e_u) over u in [T-249..T-20], e=resid_ret_1d, ddof=1, "
            "at least 200 non-null; null if std=0"
        ),
        lookback=310,
        unit="ratio",
        null_rule="fewer than 200 residuals",
        check="hand",
    ),
    _feature(
        name="beta_x_fut_basis",
        formula="beta60_topix_T*fut_topix_basis_T.",
        inputs=f"{CLOSE};idx-bars-daily-topix.C;drv-bars-daily-fut.Settle,CCMFlag",
        available=AFTER_NIGHT,
        unit="ratio",
        null_rule="either input null",
        check="hand",
    ),
)


class Line(NamedTuple):
    """Least-squares line of the stock's return on the market's, (lines, n_out) each.

    Attributes:
        slope: beta.
        intercept: alpha, per day.
        sse: sum of squared residuals.
    """

    slope: FloatArray
    intercept: FloatArray
    sse: FloatArray


def compute(market: Market) -> dict[str, FloatArray]:
    """All features of the family, name -> (lines, n_out)."""
    n_out = market.panel.n_out
    history = n_out + _MOMENTUM_SKIP + _MOMENTUM_WINDOW
    model = _market_model(market, history)
    residual = _residual(market, model, history - 1)
    beta, alpha, sse = (window_kernels.lagged(values, 0, n_out) for values in model)
    earlier = window_kernels.lagged(residual, _MOMENTUM_SKIP, n_out + _MOMENTUM_WINDOW - 1)
    return {
        "beta60_topix": beta,
        "alpha60_topix": alpha,
        "idio_vol_60": np.sqrt(_YEAR * sse / (_WINDOW - 2)),
        "down_beta_250": _down_beta(market, n_out),
        "resid_ret_1d": window_kernels.lagged(residual, 0, n_out),
        "resid_mom_250_20": window_kernels.ratio(
            window_kernels.window_sum(earlier, _MOMENTUM_WINDOW, _MOMENTUM_MIN_COUNT, n_out),
            window_kernels.window_std(earlier, _MOMENTUM_WINDOW, _MOMENTUM_MIN_COUNT, n_out),
        ),
        "beta_x_fut_basis": beta * topix_basis(market),
    }


def beta60(market: Market, n_out: int) -> FloatArray:
    """beta60_topix of the last ``n_out`` columns, (lines, n_out)."""
    return _market_model(market, n_out).slope


def _market_model(market: Market, n_out: int) -> Line:
    """OLS of r on TOPIX over 60 columns, all 60 pairs required."""
    return window_line(market.panel.r, market.topix.r, _WINDOW, _WINDOW, n_out)


def _residual(market: Market, model: Line, n_out: int) -> FloatArray:
    """Return of a column beyond the line estimated up to the column before, (lines, n_out).

    Args:
        market: the chunk's inputs.
        model: of at least the last n_out + 1 columns.
        n_out: number of columns wanted.
    """
    beta, alpha = (window_kernels.lagged(x, 1, n_out) for x in (model.slope, model.intercept))
    own = window_kernels.lagged(market.panel.r, 0, n_out)
    return own - alpha - beta * window_kernels.lagged(market.topix.r[np.newaxis], 0, n_out)


def _down_beta(market: Market, n_out: int) -> FloatArray:
    """Beta over the columns on which TOPIX fell, (lines, n_out)."""
    m = market.topix.r
    falling = np.where(m < 0.0, m, np.nan)
    return window_line(market.panel.r, falling, _DOWN_WINDOW, _DOWN_MIN_COUNT, n_out).slope


def window_line(x: FloatArray, m: FloatArray, window: int, min_count: int, n_out: int) -> Line:
    """Least-squares line of ``x`` on ``m`` over the columns T-window+1..T where both are known.

    Args:
        x: (rows, columns), one series per row.
        m: (columns,), the regressor of every row.
        window: number of columns.
        min_count: pairs required, at least 3.
        n_out: number of columns wanted.

    Returns:
        (rows, n_out) each; null below ``min_count`` pairs and where ``m`` is constant. A constant
        ``x`` has slope 0 and no residuals.
    """
    width = n_out + window - 1
    padded = window_kernels.lagged(m[np.newaxis], 0, width)[0]
    return Line(*_line(window_kernels.lagged(x, 0, width), padded, window, min_count, n_out))


@jit
def _line(
    padded: FloatArray, m: FloatArray, window: int, needed: int, n_out: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    shape = (padded.shape[0], n_out)
    slope, intercept, sse = np.empty(shape), np.empty(shape), np.empty(shape)
    for i in range(padded.shape[0]):
        count, mean_x, mean_m = np.zeros(n_out), np.zeros(n_out), np.zeros(n_out)
        for k in range(window):
            a, b = padded[i, k : k + n_out], m[k : k + n_out]
            for t in range(n_out):
                known = a[t] == a[t] and b[t] == b[t]
                count[t] += 1.0 if known else 0.0
                mean_x[t] += a[t] if known else 0.0
                mean_m[t] += b[t] if known else 0.0
        mean_x, mean_m = mean_x / count, mean_m / count
        xx, mm, xm = np.zeros(n_out), np.zeros(n_out), np.zeros(n_out)
        largest_x, largest_m = np.zeros(n_out), np.zeros(n_out)
        for k in range(window):
            a, b = padded[i, k : k + n_out], m[k : k + n_out]
            for t in range(n_out):
                known = a[t] == a[t] and b[t] == b[t]
                dx = a[t] - mean_x[t] if known else 0.0
                dm = b[t] - mean_m[t] if known else 0.0
                xx[t] += dx * dx
                mm[t] += dm * dm
                xm[t] += dx * dm
                largest_x[t] = max(largest_x[t], abs(a[t]) if known else 0.0)
                largest_m[t] = max(largest_m[t], abs(b[t]) if known else 0.0)
        for t in range(n_out):
            deviation_m = np.sqrt(mm[t] / (count[t] - 1.0))
            deviation_x = np.sqrt(xx[t] / (count[t] - 1.0))
            slope[i, t] = np.nan
            if count[t] >= needed and deviation_m > ZERO_DEVIATION * largest_m[t]:
                moves = deviation_x > ZERO_DEVIATION * largest_x[t]
                slope[i, t] = xm[t] / mm[t] if moves else 0.0
        squares = np.zeros(n_out)
        for k in range(window):
            a, b = padded[i, k : k + n_out], m[k : k + n_out]
            for t in range(n_out):
                known = a[t] == a[t] and b[t] == b[t]
                error = a[t] - mean_x[t] - slope[i, t] * (b[t] - mean_m[t])
                squares[t] += error * error if known else 0.0
        for t in range(n_out):
            intercept[i, t] = mean_x[t] - slope[i, t] * mean_m[t]
            sse[i, t] = np.nan
            if not np.isnan(slope[i, t]):
                residual = np.sqrt(squares[t] / (count[t] - 2.0))
                sse[i, t] = squares[t] if residual > ZERO_DEVIATION * largest_x[t] else 0.0
    return slope, intercept, sse
