"""Least squares and correlation in windows.

Conventions of ``kernels``: ``x`` is (rows, columns) with NaN for null, results are (rows, n_out)
for the last ``n_out`` columns, columns before the array count as null. Every window is computed
afresh in two passes, means first, so a value depends on its own terms alone, bit for bit, and
keeps its digits when the terms are large and their differences small.

A deviation of at most ZERO_DEVIATION of the largest absolute term is rounding and counts as 0.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pipeline.features.engine.column_spec import FloatArray
from pipeline.features.engine.window_kernels import ZERO_DEVIATION, lagged
from pipeline.market.jit import jit


class Trend(NamedTuple):
    """Least-squares line through the values of each window, (rows, n_out) each.

    Attributes:
        slope: change per column, unit of the values.
        r2: squared correlation of the values with time; null for constant values.
        residual: value of T minus the line at T, unit of the values.
    """

    slope: FloatArray
    r2: FloatArray
    residual: FloatArray


def window_trend(x: FloatArray, window: int, n_out: int) -> Trend:
    """Least-squares line of the columns T-window+1..T on time, all ``window`` >= 2 terms required.

    Constant values have the slope 0, the residual 0 and no r2.
    """
    return Trend(*_trend(lagged(x, 0, n_out + window - 1), window, n_out))


def window_corr(
    x: FloatArray, y: FloatArray, window: int, min_count: int, n_out: int
) -> FloatArray:
    """Pearson correlation over the columns T-window+1..T where both ``x`` and ``y`` are known.

    Null below ``min_count`` such columns, below two, and where either side is constant.
    """
    width = n_out + window - 1
    return _corr(lagged(x, 0, width), lagged(y, 0, width), window, max(min_count, 2), n_out)


@jit
def _deviates(squares: float, count: float, largest: float) -> bool:
    """True where the standard deviation (ddof 1) is more than rounding."""
    return bool(np.sqrt(squares / (count - 1.0)) > ZERO_DEVIATION * largest)


@jit
def _trend(
    padded: FloatArray, window: int, n_out: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    middle = (window - 1) / 2.0
    time_squares = window * (window * window - 1.0) / 12.0  # sum of (k - middle)^2
    slope = np.full((padded.shape[0], n_out), np.nan)
    r2, residual = slope.copy(), slope.copy()
    for i in range(padded.shape[0]):
        # Values are taken relative to that of T: it leaves the line's shape as it is, and the
        # residual at T becomes minus the line there. A null term turns its whole window to null.
        newest = padded[i, window - 1 :]
        total, largest = np.zeros(n_out), np.zeros(n_out)
        for k in range(window):
            term = padded[i, k : k + n_out]
            for t in range(n_out):
                total[t] += term[t] - newest[t]
                largest[t] = max(largest[t], abs(term[t]))
        mean = total / window
        products, squares = np.zeros(n_out), np.zeros(n_out)
        for k in range(window):
            term = padded[i, k : k + n_out]
            for t in range(n_out):
                deviation = term[t] - newest[t] - mean[t]
                products[t] += (k - middle) * deviation
                squares[t] += deviation * deviation
        for t in range(n_out):
            if _deviates(squares[t], window, largest[t]):
                slope[i, t] = products[t] / time_squares
                r2[i, t] = min(products[t] * products[t] / (time_squares * squares[t]), 1.0)
                residual[i, t] = -(mean[t] + slope[i, t] * middle)
            elif squares[t] == squares[t]:
                slope[i, t] = residual[i, t] = 0.0
    return slope, r2, residual


@jit
def _means(
    x: FloatArray, y: FloatArray, window: int, n_out: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Number of pairs and both means of every window of two padded lines."""
    count, total_x, total_y = np.zeros(n_out), np.zeros(n_out), np.zeros(n_out)
    for k in range(window):
        a, b = x[k : k + n_out], y[k : k + n_out]
        for t in range(n_out):
            known = a[t] == a[t] and b[t] == b[t]
            count[t] += 1.0 if known else 0.0
            total_x[t] += a[t] if known else 0.0
            total_y[t] += b[t] if known else 0.0
    return count, total_x / count, total_y / count


@jit
def _corr(
    padded_x: FloatArray, padded_y: FloatArray, window: int, needed: int, n_out: int
) -> FloatArray:
    result = np.full((padded_x.shape[0], n_out), np.nan)
    for i in range(padded_x.shape[0]):
        count, mean_x, mean_y = _means(padded_x[i], padded_y[i], window, n_out)
        xx, yy, xy = np.zeros(n_out), np.zeros(n_out), np.zeros(n_out)
        largest_x, largest_y = np.zeros(n_out), np.zeros(n_out)
        for k in range(window):
            a, b = padded_x[i, k : k + n_out], padded_y[i, k : k + n_out]
            for t in range(n_out):
                known = a[t] == a[t] and b[t] == b[t]
                dx = a[t] - mean_x[t] if known else 0.0
                dy = b[t] - mean_y[t] if known else 0.0
                xx[t] += dx * dx
                yy[t] += dy * dy
                xy[t] += dx * dy
                largest_x[t] = max(largest_x[t], abs(a[t]) if known else 0.0)
                largest_y[t] = max(largest_y[t], abs(b[t]) if known else 0.0)
        for t in range(n_out):
            x_moves = count[t] >= needed and _deviates(xx[t], count[t], largest_x[t])
            if x_moves and _deviates(yy[t], count[t], largest_y[t]):
                corr = xy[t] / (np.sqrt(xx[t]) * np.sqrt(yy[t]))
                result[i, t] = max(-1.0, min(1.0, corr))
    return result
