"""Change lists: the few columns on which the answers of an event book can change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.market.books.fiscal_periods import Points
from pipeline.market.panel.axis import Axis, FloatArray, IndexArray


@dataclass(frozen=True, eq=False)
class Timeline:
    """Points between which nothing changes, over the columns from ``since`` on.

    Attributes:
        points: sorted by code, then column; each code has one on column ``since``.
        index: (codes, columns - since) the point that holds on each column.
    """

    points: Points
    index: NDArray[np.int32]

    def spread(self, values: NDArray[Any]) -> FloatArray:
        """(codes, columns - since) values of the points, each up to the next change."""
        return np.asarray(values, dtype=np.float64)[self.index]


def timeline(
    axis: Axis, code: IndexArray, visible: IndexArray, ages: tuple[int, ...], since: int
) -> Timeline:
    """The columns on which some record reaches one of some ages, and those of splits.

    Args:
        axis: codes and columns of the panel.
        code, visible: (records,) index of the code, and first column the record counts on.
        ages: columns after ``visible`` on which what the record says may change; 0 included
            when its appearance is such a change.
        since: first column of interest.
    """
    width = axis.n_columns - since
    column = (visible[:, None] + np.array(ages)).ravel() - since
    inside = (column > 0) & (column < width)
    changes = np.repeat(code, len(ages))[inside] * width + column[inside]
    starts = np.arange(axis.codes.size) * width
    splits = np.flatnonzero(axis.adj_factor[:, since:] != 1.0)
    places = np.unique(np.concatenate([starts, changes, splits]))
    lengths = np.diff(places, append=axis.codes.size * width)
    index = np.repeat(np.arange(places.size, dtype=np.int32), lengths)
    return Timeline(
        Points(places // width, places % width + since), index.reshape(axis.codes.size, width)
    )
