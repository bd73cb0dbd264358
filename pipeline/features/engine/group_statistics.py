"""Statistics over groups of codes on one date: sectors, the whole universe.

Conventions: ``x`` is (codes, columns) with NaN for null; a group is known by its number. Sums add
the members by ascending code, so a value depends on its own members alone, bit for bit: neither
on other codes, nor on the width of the array, nor on how groups are numbered.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.features.engine.column_spec import BoolArray, FloatArray
from pipeline.features.engine.window_kernels import ZERO_DEVIATION
from pipeline.market.jit import jit

NO_GROUP = -1


@dataclass(frozen=True, eq=False)
class Groups:
    """Who belongs together on each date.

    Attributes:
        number: (codes, columns) group of each code; NO_GROUP where it belongs to none.
        count: numbers are below it.
    """

    number: NDArray[np.int64]
    count: int

    def spread(self, values: FloatArray) -> FloatArray:
        """Values of (groups, columns) given to every member, (codes, columns); else NaN."""
        padded = np.vstack([values, np.full((1, values.shape[1]), np.nan)])  # row NO_GROUP
        return padded[self.number, np.arange(values.shape[1])]


def groups_of(labels: FloatArray, universe: BoolArray) -> Groups:
    """Members of the universe with the same label; NaN is none. Both (codes, columns)."""
    known, numbers = np.unique(labels, return_inverse=True)
    labelled = universe & ~np.isnan(labels)
    number = np.where(labelled, numbers.reshape(labels.shape), NO_GROUP)
    return Groups(number.astype(np.int64), int(known.size))


def whole(universe: BoolArray) -> Groups:
    """The universe as one group, number 0."""
    return Groups(np.where(universe, 0, NO_GROUP).astype(np.int64), 1)


def group_mean(x: FloatArray, groups: Groups, min_count: int) -> FloatArray:
    """Mean of the non-null members, (groups, columns); null below ``min_count`` of them."""
    return _mean(x, groups.number, groups.count, max(min_count, 1))


def group_std(x: FloatArray, groups: Groups, min_count: int) -> FloatArray:
    """Standard deviation (ddof 1, two passes) of the non-null members, (groups, columns).

    Null below ``min_count`` of them and below two; exactly 0 up to ZERO_DEVIATION of the largest.
    """
    return _std(x, _mean(x, groups.number, groups.count, max(min_count, 2)), groups.number)


def group_share(
    condition: BoolArray, known: BoolArray, groups: Groups, min_count: int
) -> FloatArray:
    """Share of the known members that meet a condition, (groups, columns)."""
    return group_mean(np.where(known, condition, np.nan), groups, min_count)


def group_pct(x: FloatArray, groups: Groups, min_count: int) -> FloatArray:
    """Rank of each member in its group from 0 (lowest) to 1 (highest), (codes, columns).

    (k - 1) / (n - 1) with k the ascending rank, average ties, among the n non-null members; null
    where x is, outside the groups, and below ``min_count`` or two of them.
    """
    order = np.argsort(x.T, axis=1)
    return _pct(x, order, groups.number, groups.count, max(min_count, 2))


@jit
def _mean(x: FloatArray, number: NDArray[np.int64], n_groups: int, needed: int) -> FloatArray:
    total = np.zeros((n_groups, x.shape[1]))
    count = np.zeros((n_groups, x.shape[1]))
    for i in range(x.shape[0]):
        for t in range(x.shape[1]):
            if number[i, t] >= 0 and not np.isnan(x[i, t]):
                total[number[i, t], t] += x[i, t]
                count[number[i, t], t] += 1.0
    return np.where(count >= needed, total / count, np.nan)


@jit
def _std(x: FloatArray, mean: FloatArray, number: NDArray[np.int64]) -> FloatArray:
    squares, count, largest = np.zeros(mean.shape), np.zeros(mean.shape), np.zeros(mean.shape)
    for i in range(x.shape[0]):
        for t in range(x.shape[1]):
            own = number[i, t]
            if own >= 0 and not np.isnan(x[i, t]):
                squares[own, t] += (x[i, t] - mean[own, t]) ** 2
                count[own, t] += 1.0
                largest[own, t] = max(largest[own, t], abs(x[i, t]))
    std = np.sqrt(squares / (count - 1.0))
    std = np.where(std <= ZERO_DEVIATION * largest, 0.0, std)
    return np.where(np.isnan(mean), np.nan, std)


@jit
def _pct(
    x: FloatArray,
    order: NDArray[np.int64],
    number: NDArray[np.int64],
    n_groups: int,
    needed: int,
) -> FloatArray:
    """``order``: (columns, codes) argsort of x along the codes, nulls last."""
    result = np.full(x.shape, np.nan)
    n_codes = x.shape[0]
    for t in range(x.shape[1]):
        count = np.zeros(n_groups)
        for i in range(n_codes):
            if number[i, t] >= 0 and not np.isnan(x[i, t]):
                count[number[i, t]] += 1.0
        below = np.zeros(n_groups)  # members lower than the present value
        equal = np.zeros(n_groups)
        first = 0
        while first < n_codes and not np.isnan(x[order[t, first], t]):
            stop = first
            while stop < n_codes and x[order[t, stop], t] == x[order[t, first], t]:
                own = number[order[t, stop], t]
                if own >= 0:
                    equal[own] += 1.0
                stop += 1
            for place in range(first, stop):
                code = order[t, place]
                own = number[code, t]
                if own >= 0 and count[own] >= needed:
                    rank = below[own] + (equal[own] + 1.0) / 2.0
                    result[code, t] = (rank - 1.0) / (count[own] - 1.0)
            for place in range(first, stop):
                own = number[order[t, place], t]
                if own >= 0:
                    below[own] += equal[own]
                    equal[own] = 0.0
            first = stop
    return result
