"""Share counts and per-share amounts of an earlier date, in the basis of a later one.

``K(a, b]`` is the product of AdjFactor over the columns after a up to b (0.5 on the ex-date of a
1:2 split). A number of shares stated as of column a is shares / K(a, b] on column b, an amount per
share is amount x K(a, b].
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.market.jit import jit

FloatArray = NDArray[np.float64]

#: Columns over which an amount is restated at most: the deepest use of it in the catalogue. An
#: older one is unknown, wherever the panel begins, so no value depends on that.
DEPTH = 560


@jit
def split_factor(
    adj_factor: FloatArray,
    code: NDArray[np.int64],
    since: NDArray[np.int64],
    upto: NDArray[np.int64],
) -> FloatArray:
    """K(since, upto], multiplied newest first, for many records at once.

    Args:
        adj_factor: (codes, columns) AdjFactor of each column's own date, 1 where none.
        code: (records,) row of ``adj_factor``.
        since: (records,) column as of which the amount is stated, may be negative.
        upto: (records,) column in whose basis it is wanted, inside the array.

    Returns:
        (records,) 1 where ``since >= upto``; NaN where ``since`` lies more than DEPTH columns
        before ``upto``, or before the array.
    """
    result = np.empty(code.size)
    for i in range(code.size):
        product = 1.0
        if since[i] < upto[i] and (since[i] < 0 or upto[i] - since[i] > DEPTH):
            product = np.nan
        else:
            for u in range(upto[i], since[i], -1):
                product *= adj_factor[code[i], u]
        result[i] = product
    return result


def restated(
    adj_factor: FloatArray, code: NDArray[Any], since: NDArray[Any], upto: NDArray[Any]
) -> FloatArray:
    """``split_factor`` over arrays of one shape, broadcast against each other."""
    code, since, upto = np.broadcast_arrays(code, since, upto)
    flat = (np.ascontiguousarray(x.ravel(), dtype=np.int64) for x in (code, since, upto))
    return split_factor(adj_factor, *flat).reshape(code.shape)
