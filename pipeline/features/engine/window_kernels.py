"""Window kernels: one compiled loop per operator, every window computed afresh.

All kernels take ``x`` of shape (rows, columns) with NaN for null and return (rows, n_out): the
values of the last ``n_out`` columns. Columns before the start of the array count as null, so a
kernel may be asked for more columns than the array has; that is how kernels are chained:
``window_std(window_mean(x, 20, 20, n_out + 9), 10, 10, n_out)``.

A value depends on the terms of its own window alone, bit for bit: sums start anew in every window
and add their terms in one order (oldest first), nothing is carried from one window to the next.
The price is O(window) per value. Loops run over the window outside and over the columns inside,
which lets the compiler handle several columns at once without touching the order of any sum.

Compiled functions are cached per source file. A compiled function of another module should not
call one of these from compiled code, because its cache would not notice a change made here; it
takes the padded array from ``lagged(x, 0, n_out + window - 1)`` instead.
"""

from __future__ import annotations

import numpy as np

from pipeline.features.engine.column_spec import BoolArray, FloatArray
from pipeline.market.jit import jit
from pipeline.market.panel.price_panel import SAME_PRICE

ZERO_DEVIATION = 1e-12  # a std up to this share of the largest absolute value counts as 0


@jit
def _tail(line: FloatArray, width: int) -> FloatArray:
    """Last ``width`` values of a (columns,) line, NaN in front where it is shorter."""
    result = np.full(width, np.nan)
    have = min(width, line.size)
    result[width - have :] = line[line.size - have :]
    return result


@jit
def _sums(line: FloatArray, window: int, n_out: int) -> tuple[FloatArray, FloatArray]:
    """Sum and number of the non-null terms of every window of a padded line, (n_out,) each."""
    total = np.zeros(n_out)
    count = np.zeros(n_out)
    for k in range(window):
        term = line[k : k + n_out]
        for t in range(n_out):
            known = not np.isnan(term[t])
            total[t] += term[t] if known else 0.0
            count[t] += 1.0 if known else 0.0
    return total, count


@jit
def _squares(line: FloatArray, mean: FloatArray, window: int) -> tuple[FloatArray, FloatArray]:
    """Sum of squared deviations from ``mean`` and largest absolute term of every window."""
    n_out = mean.size
    squares = np.zeros(n_out)
    largest = np.zeros(n_out)
    for k in range(window):
        term = line[k : k + n_out]
        for t in range(n_out):
            known = not np.isnan(term[t])
            deviation = term[t] - mean[t] if known else 0.0
            squares[t] += deviation * deviation
            largest[t] = max(largest[t], abs(term[t]) if known else 0.0)
    return squares, largest


@jit
def window_sum(x: FloatArray, window: int, min_count: int, n_out: int) -> FloatArray:
    """Sum over the columns T-window+1..T, nulls skipped; null below ``min_count`` terms."""
    result = np.empty((x.shape[0], n_out))
    for i in range(x.shape[0]):
        total, count = _sums(_tail(x[i], n_out + window - 1), window, n_out)
        result[i] = np.where(count >= min_count, total, np.nan)
    return result


@jit
def window_count(x: FloatArray, window: int, n_out: int) -> FloatArray:
    """Number of non-null terms in the columns T-window+1..T; never null."""
    result = np.empty((x.shape[0], n_out))
    for i in range(x.shape[0]):
        result[i] = _sums(_tail(x[i], n_out + window - 1), window, n_out)[1]
    return result


@jit
def window_mean(x: FloatArray, window: int, min_count: int, n_out: int) -> FloatArray:
    """Mean over the columns T-window+1..T, nulls skipped; null below ``min_count`` terms."""
    needed = max(min_count, 1)
    result = np.empty((x.shape[0], n_out))
    for i in range(x.shape[0]):
        total, count = _sums(_tail(x[i], n_out + window - 1), window, n_out)
        result[i] = np.where(count >= needed, total / count, np.nan)
    return result


@jit
def window_std(x: FloatArray, window: int, min_count: int, n_out: int) -> FloatArray:
    """Standard deviation (ddof 1, two passes) over T-window+1..T, nulls skipped.

    Null below ``min_count`` terms and below two. Exactly 0 where it is at most ZERO_DEVIATION of
    the largest absolute term: what rounding leaves of a constant is no deviation.
    """
    needed = max(min_count, 2)
    result = np.empty((x.shape[0], n_out))
    for i in range(x.shape[0]):
        line = _tail(x[i], n_out + window - 1)
        total, count = _sums(line, window, n_out)
        squares, largest = _squares(line, total / count, window)
        for t in range(n_out):
            result[i, t] = np.nan
            if count[t] >= needed:
                std = np.sqrt(squares[t] / (count[t] - 1.0))
                result[i, t] = std if std > ZERO_DEVIATION * largest[t] else 0.0
    return result


@jit
def window_max(x: FloatArray, window: int, min_count: int, n_out: int) -> FloatArray:
    """Largest value of the columns T-window+1..T, nulls skipped; null below ``min_count``."""
    needed = max(min_count, 1)
    result = np.empty((x.shape[0], n_out))
    for i in range(x.shape[0]):
        line = _tail(x[i], n_out + window - 1)
        highest = np.full(n_out, -np.inf)
        count = np.zeros(n_out)
        for k in range(window):
            term = line[k : k + n_out]
            for t in range(n_out):
                known = not np.isnan(term[t])
                highest[t] = max(highest[t], term[t] if known else -np.inf)
                count[t] += 1.0 if known else 0.0
        result[i] = np.where(count >= needed, highest, np.nan)
    return result


def window_min(x: FloatArray, window: int, min_count: int, n_out: int) -> FloatArray:
    """Smallest value of the columns T-window+1..T, nulls skipped; null below ``min_count``."""
    return -window_max(-x, window, min_count, n_out)


@jit
def ewm(x: FloatArray, alpha: float, length: int, min_count: int, n_out: int) -> FloatArray:
    """Exponentially weighted mean over a finite window, normalised over its non-null terms.

    Weight (1-alpha)^k on column T-k for k < length. No recursion and no seed: it exists while
    ``min_count`` non-null terms are in the window, also where column T itself is null. See
    ``ema`` and ``wilder`` for the two usual parameter sets.
    """
    needed = max(min_count, 1)
    weight = np.empty(length)
    weight[0] = 1.0
    for k in range(1, length):
        weight[k] = weight[k - 1] * (1.0 - alpha)
    result = np.empty((x.shape[0], n_out))
    for i in range(x.shape[0]):
        line = _tail(x[i], n_out + length - 1)
        total, weights, count = np.zeros(n_out), np.zeros(n_out), np.zeros(n_out)
        for k in range(length):
            term = line[k : k + n_out]
            w = weight[length - 1 - k]
            for t in range(n_out):
                known = not np.isnan(term[t])
                total[t] += w * term[t] if known else 0.0
                weights[t] += w if known else 0.0
                count[t] += 1.0 if known else 0.0
        result[i] = np.where(count >= needed, total / weights, np.nan)
    return result


def ema(x: FloatArray, n: int, n_out: int) -> FloatArray:
    """ema_N: alpha = 2/(N+1), 7(N+1) columns, at least N terms."""
    return ewm(x, 2.0 / (n + 1), 7 * (n + 1), n, n_out)


def wilder(x: FloatArray, n: int, n_out: int) -> FloatArray:
    """wil_N, Wilder's mean: alpha = 1/N, 14N columns, at least N terms."""
    return ewm(x, 1.0 / n, 14 * n, n, n_out)


def lagged(x: FloatArray, k: int, n_out: int) -> FloatArray:
    """Values ``k`` columns before each of the last ``n_out`` columns; null before the start.

    Raises:
        ValueError: ``k`` is negative, which would read the future.
    """
    if k < 0:
        raise ValueError(f"lagged: k must be at least 0, got {k}; a feature reads the past only")
    stop = max(x.shape[1] - k, 0)
    have = min(n_out, stop)
    result = np.full((x.shape[0], n_out), np.nan)
    result[:, n_out - have :] = x[:, stop - have : stop]
    return result


@jit
def previous_traded(x: FloatArray, p_prev: FloatArray) -> FloatArray:
    """Bar field of the previous traded day, null once its close is no longer carried.

    Args:
        x: (rows, columns) bar field, NaN without a trade.
        p_prev: (rows, columns) carried close of the column before.

    Returns:
        (rows, columns) last non-null ``x`` of an earlier column; NaN where ``p_prev`` is.
    """
    result = np.full(x.shape, np.nan)
    for i in range(x.shape[0]):
        latest = np.nan
        for j in range(x.shape[1]):
            if not np.isnan(p_prev[i, j]):
                result[i, j] = latest
            if not np.isnan(x[i, j]):
                latest = x[i, j]
    return result


def ratio(numerator: FloatArray, denominator: FloatArray) -> FloatArray:
    """Quotient, null where the denominator is 0 or either side is null."""
    return numerator / np.where(denominator == 0.0, np.nan, denominator)


def same_price(a: FloatArray, b: FloatArray) -> BoolArray:
    """True where two prices of one basis are equal by SAME_PRICE; false where either is null."""
    same: BoolArray = np.abs(a - b) <= SAME_PRICE * np.maximum(np.abs(a), np.abs(b))
    return same


def simple_change(now: FloatArray, before: FloatArray) -> FloatArray:
    """now / before - 1 of two prices, exactly 0 where they are equal by SAME_PRICE."""
    return np.where(same_price(now, before), 0.0, ratio(now, before) - 1.0)


def log_change(now: FloatArray, before: FloatArray) -> FloatArray:
    """ln(now / before) of two prices, exactly 0 where they are equal by SAME_PRICE."""
    return np.where(same_price(now, before), 0.0, np.log(ratio(now, before)))
