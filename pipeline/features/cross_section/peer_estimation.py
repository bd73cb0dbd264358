"""Whose returns move with whose: the ten closest peers of each stock, estimated once a week.

1. The *estimation column* E of a row T is the last column of an ISO week strictly before T.
2. y_u is the return of u less the equal-weighted mean return of the universe of u.
3. Stocks of the universe of E whose 120 returns up to E are known and whose y varies are scaled:
   a Pearson correlation becomes a sum of 120 products.
4. ``_closest`` forms each pair once and keeps what is asked for: per stock a list of ten and a
   count. The matrix of all correlations is never stored.

A correlation is a sum over the columns in their order, whoever else is in the market: loops are
arranged so that the compiler handles many pairs at once, never several terms of one pair. So
pairs of equal correlation are equal to the last bit, and ties go to the lower code.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.features.engine.column_spec import BoolArray, FloatArray
from pipeline.features.engine.group_statistics import group_mean, whole
from pipeline.features.engine.window_kernels import ZERO_DEVIATION
from pipeline.market.calendar.sessions import DateArray
from pipeline.market.jit import jit
from pipeline.market.panel.axis import IndexArray

WINDOW = 120
PEERS = 10
THRESHOLD = 0.5
NO_PEER = -1

_BLOCK = 128  # stocks per block: their 120 columns fit the second-level cache
_ROWS = 2  # stocks that share a pass over a block
_TERMS = 4  # columns per pass; divides WINDOW
_MONDAY = 3  # days from Monday 1969-12-29 to 1970-01-01


@dataclass(frozen=True, eq=False)
class PeerTable:
    """Peers by estimation column.

    Attributes:
        estimate: (n_out,) which row of the arrays below holds on each wanted column;
            -1 where no estimation column has a full window before it.
        peers: (estimates, codes, PEERS) codes by descending correlation; NO_PEER throughout for a
            stock that is not in the estimation set.
        mean_corr: (estimates, codes) mean correlation with them, NaN likewise.
        degree: (estimates, codes) number of stocks correlated THRESHOLD or more, NaN likewise.
    """

    estimate: IndexArray
    peers: IndexArray
    mean_corr: FloatArray
    degree: FloatArray

    def on_columns(self, values: FloatArray) -> FloatArray:
        """``mean_corr`` or ``degree`` along the wanted columns, (codes, n_out)."""
        padded = np.vstack([values, np.full((1, values.shape[1]), np.nan)])
        return np.ascontiguousarray(padded[self.estimate].T)


def peer_table(
    returns: FloatArray, universe: BoolArray, sessions: DateArray, n_out: int
) -> PeerTable:
    """Estimate the peers that hold on the last ``n_out`` columns.

    Args:
        returns: (codes, columns) simple returns, NaN = null.
        universe: (codes, columns) who belongs to the universe of each column.
        sessions: (columns,) consecutive sessions of the published calendar.
        n_out: number of columns wanted.
    """
    used_on = estimation_columns(sessions)[sessions.size - n_out :]
    ends = np.unique(used_on[used_on >= WINDOW - 1])
    estimate = np.where(used_on >= WINDOW - 1, np.searchsorted(ends, used_on), -1)
    shape = (ends.size, returns.shape[0])
    peers = np.full((*shape, PEERS), NO_PEER)
    mean_corr, degree = np.full(shape, np.nan), np.full(shape, np.nan)
    for row, end in enumerate(ends):
        window = slice(end - WINDOW + 1, end + 1)
        excess = _excess(returns[:, window], universe[:, window])
        member, scaled = _estimation_set(excess, universe[:, end])
        if member.size > PEERS:
            place, corr, count = _closest(scaled, PEERS, THRESHOLD)
            peers[row, member] = member[place]
            mean_corr[row, member] = _row_means(corr)
            degree[row, member] = count
    return PeerTable(estimate, peers, mean_corr, degree)


def estimation_columns(sessions: DateArray) -> IndexArray:
    """(columns,) last column of an ISO week strictly before each column; -1 where there is none.

    A column ends its week when the next session lies in another one. Only columns before the one
    asked for matter, so the published calendar always knows their next session.
    """
    week = (sessions.astype("datetime64[D]").astype(np.int64) + _MONDAY) // 7
    first_of_week = np.searchsorted(week, week, side="left")
    return first_of_week - 1


def peer_mean(values: FloatArray, table: PeerTable, min_count: int) -> FloatArray:
    """Mean of the peers' values on each wanted column, (codes, n_out), in the order of the peers.

    Args:
        values: (codes, n_out), NaN = null and outside the universe of the column.
        table: the peers.
        min_count: non-null values required.
    """
    return _peer_mean(values, table.peers, table.estimate, min_count)


def _excess(returns: FloatArray, universe: BoolArray) -> FloatArray:
    """Returns less the mean of the universe of each column, (codes, columns)."""
    returns = np.ascontiguousarray(returns)
    excess: FloatArray = returns - group_mean(returns, whole(universe), 1)
    return excess


def _estimation_set(excess: FloatArray, universe: BoolArray) -> tuple[IndexArray, FloatArray]:
    """Codes of the set, (members,), and their series with mean 0 and length 1, one a row."""
    scaled, varies = _standardised(excess)
    member = np.flatnonzero(universe & varies)
    return member, scaled[member]


@jit
def _standardised(x: FloatArray) -> tuple[FloatArray, BoolArray]:
    """Rows less their mean, over the root of their sum of squares; and whether that exists."""
    n_columns = x.shape[1]
    result = np.empty(x.shape)
    varies = np.zeros(x.shape[0], dtype=np.bool_)
    for i in range(x.shape[0]):
        total = 0.0
        for k in range(n_columns):
            total += x[i, k]
        mean = total / n_columns
        squares, largest = 0.0, 0.0
        for k in range(n_columns):
            squares += (x[i, k] - mean) ** 2
            largest = max(largest, abs(x[i, k]))
        length = np.sqrt(squares)
        # False for null, too
        varies[i] = length / np.sqrt(n_columns - 1.0) > ZERO_DEVIATION * largest
        for k in range(n_columns):
            result[i, k] = (x[i, k] - mean) / length
    return result, varies


@jit
def _closest(
    scaled: FloatArray, n_peers: int, threshold: float
) -> tuple[IndexArray, FloatArray, FloatArray]:
    """The highest correlations of each row with the others, and how many reach a threshold.

    Args:
        scaled: (rows, columns) with mean 0 and length 1, more rows than ``n_peers``, a multiple
            of _TERMS columns.
        n_peers: length of the lists.
        threshold: correlation counted, this one included.

    Returns:
        (rows, n_peers) the other rows by descending correlation, ties by ascending number;
        (rows, n_peers) those correlations; (rows,) the count.
    """
    n = scaled.shape[0]
    best = np.full((n, n_peers), -np.inf)
    peer = np.full((n, n_peers), -1)
    degree = np.zeros(n)
    lowest = np.full(n, -np.inf)  # the last of each list: what a pair has to exceed
    for start in range(0, n, _BLOCK):
        width = min(_BLOCK, n - start)
        block = np.ascontiguousarray(scaled[start : start + width].T)
        corr = np.empty((_ROWS, width))
        # Each row meets the others in ascending order: lower rows come as i, higher ones as j.
        for pair in range(0, start + width, _ROWS):
            stop = min(pair + _ROWS, n)
            _products(scaled[pair], scaled[stop - 1], block, corr)
            for i in range(pair, stop):
                for j in range(max(0, i + 1 - start), width):
                    c = min(corr[i - pair, j], 1.0)
                    other = start + j
                    if c >= threshold:
                        degree[i] += 1.0
                        degree[other] += 1.0
                    if c > lowest[i]:
                        lowest[i] = _insert(best[i], peer[i], c, other)
                    if c > lowest[other]:
                        lowest[other] = _insert(best[other], peer[other], c, i)
    return peer, best, degree


@jit
def _products(x: FloatArray, y: FloatArray, block: FloatArray, result: FloatArray) -> None:
    """Sums of products of two series with each column of a block, first term first.

    Args:
        x, y: (terms,), a multiple of _TERMS: so many are held in registers in a pass.
        block: (terms, width).
        result: (_ROWS, width), output.
    """
    result[:] = 0.0
    for k in range(0, x.size, _TERMS):
        x0, x1, x2, x3 = x[k], x[k + 1], x[k + 2], x[k + 3]
        y0, y1, y2, y3 = y[k], y[k + 1], y[k + 2], y[k + 3]
        b0, b1, b2, b3 = block[k], block[k + 1], block[k + 2], block[k + 3]
        rx, ry = result[0], result[1]
        for j in range(b0.size):
            rx[j] = (((rx[j] + x0 * b0[j]) + x1 * b1[j]) + x2 * b2[j]) + x3 * b3[j]
            ry[j] = (((ry[j] + y0 * b0[j]) + y1 * b1[j]) + y2 * b2[j]) + y3 * b3[j]


@jit
def _insert(best: FloatArray, peer: IndexArray, corr: float, row: int) -> float:
    """Put a pair into a list in descending order, behind its equals; the last one falls out."""
    place = best.size - 1
    while place > 0 and best[place - 1] < corr:
        best[place] = best[place - 1]
        peer[place] = peer[place - 1]
        place -= 1
    best[place] = corr
    peer[place] = row
    return float(best[-1])


@jit
def _row_means(x: FloatArray) -> FloatArray:
    """Mean of each row, first term first, (rows,)."""
    mean = np.zeros(x.shape[0])
    for i in range(x.shape[0]):
        for k in range(x.shape[1]):
            mean[i] += x[i, k]
        mean[i] /= x.shape[1]
    return mean


@jit
def _peer_mean(
    values: FloatArray, peers: NDArray[np.int64], estimate: IndexArray, min_count: int
) -> FloatArray:
    result = np.full(values.shape, np.nan)
    for i in range(values.shape[0]):
        for t in range(values.shape[1]):
            if estimate[t] < 0:
                continue
            total, count = 0.0, 0
            for k in range(peers.shape[2]):
                other = peers[estimate[t], i, k]
                if other >= 0 and not np.isnan(values[other, t]):
                    total += values[other, t]
                    count += 1
            if count >= min_count:
                result[i, t] = total / count
    return result
