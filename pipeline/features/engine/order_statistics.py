"""Order statistics in windows: quantile, rank, extreme and where it stands.

Conventions of ``kernels``: ``x`` is (rows, columns) with NaN for null, results are (rows, n_out)
for the last ``n_out`` columns, columns before the array count as null, and a value depends on
the terms of its own window alone. The sorted window of the quantiles may slide from column to
column: sorting only compares, so its content never depends on where the sliding began.

Rank and position compare prices of different columns and take two of them as equal when they
differ by at most SAME_PRICE: split factors leave rounding errors that are no price moves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pipeline.features.engine.column_spec import FloatArray
from pipeline.features.engine.window_kernels import lagged
from pipeline.market.jit import jit
from pipeline.market.panel.price_panel import SAME_PRICE


class Extreme(NamedTuple):
    """Extreme of every window, both (rows, n_out) and null together.

    Attributes:
        value: the highest or lowest value.
        position: column where it first occurs, 1 = oldest of the window, ``window`` = T.
    """

    value: FloatArray
    position: FloatArray


def window_quantile(x: FloatArray, window: int, q: float, min_count: int, n_out: int) -> FloatArray:
    """Quantile ``q`` of the columns T-window+1..T, linear interpolation, nulls skipped.

    Null below ``min_count`` terms.

    Raises:
        ValueError: ``q`` lies outside [0, 1].
    """
    quantile: FloatArray = window_quantiles(x, window, (q,), min_count, n_out)[0]
    return quantile


def window_quantiles(
    x: FloatArray, window: int, qs: Sequence[float], min_count: int, n_out: int
) -> FloatArray:
    """Several quantiles of the same windows, sorted once: (len(qs), rows, n_out).

    Raises:
        ValueError: a quantile lies outside [0, 1].
    """
    outside = [q for q in qs if not 0.0 <= q <= 1.0]
    if outside:
        raise ValueError(f"window_quantiles: expected quantiles between 0 and 1, got {outside}")
    padded = lagged(x, 0, n_out + window - 1)
    return _quantiles(padded, window, np.array(qs, dtype=np.float64), max(min_count, 1), n_out)


def window_rank(x: FloatArray, window: int, min_count: int, n_out: int) -> FloatArray:
    """Rank of x_T among the columns T-window+1..T, ascending from 1, ties averaged.

    Values equal by SAME_PRICE are ties. Null where x_T is and below ``min_count`` terms.
    """
    return _ranks(lagged(x, 0, n_out + window - 1), window, min_count, n_out)


def window_highest(x: FloatArray, window: int, min_count: int, n_out: int) -> Extreme:
    """Highest value of the columns T-window+1..T and its first position.

    A column equal to the highest by SAME_PRICE counts as highest. Null columns keep their place
    in the count of positions but cannot win. Null below ``min_count`` terms.
    """
    padded = lagged(x, 0, n_out + window - 1)
    return Extreme(*_highest(padded, window, max(min_count, 1), n_out))


def window_lowest(x: FloatArray, window: int, min_count: int, n_out: int) -> Extreme:
    """Lowest value of the columns T-window+1..T and its first position, as window_highest."""
    value, position = window_highest(-x, window, min_count, n_out)
    return Extreme(-value, position)


@jit
def _insert(kept: FloatArray, size: int, value: float) -> None:
    """Put ``value`` into the ascending first ``size`` places of ``kept``."""
    place = size
    while place > 0 and kept[place - 1] > value:
        kept[place] = kept[place - 1]
        place -= 1
    kept[place] = value


@jit
def _remove(kept: FloatArray, size: int, value: float) -> None:
    """Take one ``value`` out of the ascending first ``size`` places of ``kept``."""
    for place in range(np.searchsorted(kept[:size], value), size - 1):
        kept[place] = kept[place + 1]


@jit
def _interpolated(kept: FloatArray, size: int, q: float) -> float:
    """Quantile of the ascending first ``size`` places of ``kept``."""
    place = q * (size - 1)
    below = int(place)
    above = min(below + 1, size - 1)
    return kept[below] + (kept[above] - kept[below]) * (place - below)  # type: ignore[no-any-return]


@jit
def _quantiles(
    padded: FloatArray, window: int, qs: FloatArray, needed: int, n_out: int
) -> FloatArray:
    result = np.full((qs.size, padded.shape[0], n_out), np.nan)
    kept = np.empty(window)
    for i in range(padded.shape[0]):
        # 0.0 is added because it turns -0.0 into 0.0: the two compare equal, so which of them
        # stands first would depend on the columns before the window.
        line = padded[i] + 0.0
        size = 0
        for j in range(line.size):
            if j >= window and line[j - window] == line[j - window]:
                _remove(kept, size, line[j - window])
                size -= 1
            if line[j] == line[j]:
                _insert(kept, size, line[j])
                size += 1
            if j >= window - 1 and size >= needed:
                for k in range(qs.size):
                    result[k, i, j - window + 1] = _interpolated(kept, size, qs[k])
    return result


@jit
def _ranks(padded: FloatArray, window: int, min_count: int, n_out: int) -> FloatArray:
    result = np.empty((padded.shape[0], n_out))
    for i in range(padded.shape[0]):
        newest = padded[i, window - 1 :]
        count, below, equal = np.zeros(n_out), np.zeros(n_out), np.zeros(n_out)
        for k in range(window):
            term = padded[i, k : k + n_out]
            for t in range(n_out):
                tolerance = SAME_PRICE * max(abs(term[t]), abs(newest[t]))
                same = abs(term[t] - newest[t]) <= tolerance
                count[t] += 1.0 if term[t] == term[t] else 0.0
                equal[t] += 1.0 if same else 0.0
                below[t] += 1.0 if term[t] < newest[t] and not same else 0.0
        # Without x_T nothing is equal to it; with it, it is at least equal to itself.
        known = (count >= min_count) & (equal > 0.0)
        result[i] = np.where(known, below + (equal + 1.0) / 2.0, np.nan)
    return result


@jit
def _highest(
    padded: FloatArray, window: int, needed: int, n_out: int
) -> tuple[FloatArray, FloatArray]:
    value = np.empty((padded.shape[0], n_out))
    position = np.empty((padded.shape[0], n_out))
    for i in range(padded.shape[0]):
        highest, count = np.full(n_out, -np.inf), np.zeros(n_out)
        for k in range(window):
            term = padded[i, k : k + n_out]
            for t in range(n_out):
                known = term[t] == term[t]
                highest[t] = max(highest[t], term[t] if known else -np.inf)
                count[t] += 1.0 if known else 0.0
        first = np.full(n_out, np.nan)
        for k in range(window - 1, -1, -1):  # newest first, so that the oldest has the last word
            term = padded[i, k : k + n_out]
            for t in range(n_out):
                tolerance = SAME_PRICE * max(abs(highest[t]), abs(term[t]))
                first[t] = k + 1.0 if highest[t] - term[t] <= tolerance else first[t]
        value[i] = np.where(count >= needed, highest, np.nan)
        position[i] = np.where(count >= needed, first, np.nan)
    return value, position
