"""Windows as a slow reader sees them, and arrays worth trying them on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipeline.features.engine.column_spec import FloatArray

PROPERTY = settings(deadline=None, max_examples=80)  # the first call compiles

# Few distinct values, so that ties are common; some differ by rounding only, some just by more.
LEVELS = [100.0, 100.0 * (1 + 5e-10), 100.0 * (1 + 5e-9), 101.0, 99.0, 0.0, -0.0, -100.0]
TERMS = st.one_of(
    st.just(np.nan), st.sampled_from(LEVELS), st.floats(-1e3, 1e3, allow_subnormal=False)
)
PANELS = arrays(np.float64, st.tuples(st.integers(1, 3), st.integers(0, 25)), elements=TERMS)


def over_windows(
    reduce: Callable[..., float], window: int, n_out: int, *panels: FloatArray
) -> FloatArray:
    """``reduce`` of every window of one or more arrays, nulls left in their places.

    Args:
        reduce: takes one (window,) slice per array; columns before an array are NaN.
        window: columns of a window.
        n_out: trailing columns wanted.
        panels: (rows, columns) each.

    Returns:
        (rows, n_out).
    """
    rows = panels[0].shape[0]
    padded = [np.hstack([np.full((rows, n_out + window), np.nan), x]) for x in panels]
    result = np.empty((rows, n_out))
    for i in range(rows):
        for t in range(n_out):
            stop = padded[0].shape[1] - n_out + t + 1
            result[i, t] = reduce(*(x[i, stop - window : stop] for x in padded))
    return result


def same(a: float, b: float) -> bool:
    """Equal prices: at most 1e-9 of the larger one apart."""
    return abs(a - b) <= 1e-9 * max(abs(a), abs(b))
