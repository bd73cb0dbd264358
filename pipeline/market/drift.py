"""Whether a column of one chunk is still that of the chunk before: null rates and distributions.

A distribution is a sample of values. Two are compared by the population stability index over the
tenths of one of them, the sum of ``(q - p) ln(q / p)`` over the bins, either way round, the larger
one. 0.25 is the textbook sign of a large shift; seasons of a market make such shifts all the time,
while a changed unit, a lost sign or a constant in place of values gives 2 to 12. The threshold
lies between.

Columns that are the same for all stocks of a day (an index, the month) hold some sixty values in a
quarter and move as a whole: of these only null rates are compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.market.panel.row_rules import Finding

NULL_RATE = 0.10  # change of a null rate, absolute, that is worth a warning
STABILITY = 1.0  # index from which a distribution counts as another one

_BINS = 10
_LEAST = 200  # values a comparison needs on both sides
_FLOOR = 1e-3  # share of an empty bin

Sample = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class ColumnProfile:
    """A column in a chunk.

    Attributes:
        null_rate: over all rows.
        values: (sampled,) ascending, without nulls; empty where the column holds no numbers.
        market_wide: the same for all rows of a day.
    """

    null_rate: float
    values: Sample
    market_wide: bool


@dataclass(frozen=True, eq=False)
class ChunkProfile:
    """All columns of a chunk, by name."""

    chunk_id: str
    columns: Mapping[str, ColumnProfile]


def drifted(before: ChunkProfile, after: ChunkProfile) -> Iterator[Finding]:
    """What differs too much between two chunks in a row, column by column."""
    where = f"{before.chunk_id} to {after.chunk_id}"
    for name, new in after.columns.items():
        old = before.columns.get(name)
        if old is None:
            continue
        if abs(new.null_rate - old.null_rate) > NULL_RATE:
            yield Finding(
                "nulls", name, f"{old.null_rate:.1%} null, then {new.null_rate:.1%} ({where})"
            )
        if (old.market_wide and new.market_wide) or min(old.values.size, new.values.size) < _LEAST:
            continue
        index = stability(old.values, new.values)
        if index > STABILITY:
            yield Finding(
                "distribution", name,
                f"stability index {index:.1f}; median {_median(old.values):g}, then "
                f"{_median(new.values):g} ({where})",
            )  # fmt: skip


def stability(one: Sample, other: Sample) -> float:
    """The population stability index of two samples, each ascending and not empty."""
    return max(_index(one, other), _index(other, one))


def same_all_day(matrix: NDArray[Any], starts: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Which columns hold one value, or none, on each day.

    Args:
        matrix: (rows, columns), NaN for null, the rows of a day one after the other.
        starts: (days,) the first row of each day.
    """
    high = np.fmax.reduceat(matrix, starts, axis=0)
    low = np.fmin.reduceat(matrix, starts, axis=0)
    same: NDArray[np.bool_] = ((high == low) | np.isnan(high)).all(axis=0)
    return same


def _index(reference: Sample, other: Sample) -> float:
    tenths = np.arange(1, _BINS) * reference.size // _BINS
    edges = np.unique(reference[tenths])
    p, q = (np.maximum(_shares(values, edges), _FLOOR) for values in (reference, other))
    return float(((q - p) * np.log(q / p)).sum())


def _shares(values: Sample, edges: Sample) -> NDArray[np.float64]:
    """The share of the values in each bin; a value on an edge belongs below it."""
    below = np.searchsorted(values, edges, side="right")
    counts = np.diff(np.concatenate([[0], below, [values.size]]))
    shares: NDArray[np.float64] = counts / values.size
    return shares


def _median(values: Sample) -> float:
    return float(values[values.size // 2])
