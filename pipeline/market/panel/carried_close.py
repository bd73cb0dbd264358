"""Carried closes and returns per code, each in the basis of its own column.

The panel puts prices in the basis of the row they are for, which a code that splits needs several
lines for. What compares many codes over earlier columns needs one value per code and column, the
same wherever the chunk begins and ends: these.
"""

from __future__ import annotations

import numpy as np

from pipeline.market.jit import jit
from pipeline.market.panel.price_panel import CARRY_COLUMNS, SAME_PRICE, FloatArray


@jit
def own_basis_closes(raw: FloatArray, adj_factor: FloatArray, limit: int) -> FloatArray:
    """Last traded close for at most ``limit`` further columns, in the basis of each column.

    Args:
        raw: (codes, columns) unadjusted closes, NaN without a trade.
        adj_factor: (codes, columns) AdjFactor of the column's own date, 1 where none.

    Returns:
        (codes, columns) yen; NaN before the first trade and more than ``limit`` columns after one.
    """
    result = np.full(raw.shape, np.nan)
    for i in range(raw.shape[0]):
        last = -1
        for t in range(raw.shape[1]):
            if not np.isnan(raw[i, t]):
                last = t
            if last < 0 or t - last > limit:
                continue
            factor = 1.0
            for u in range(t, last, -1):
                factor *= adj_factor[i, u]
            result[i, t] = raw[i, last] * factor
    return result


def carried_closes(raw: FloatArray, adj_factor: FloatArray) -> FloatArray:
    """``own_basis_closes`` with the carry limit of the panel."""
    return own_basis_closes(raw, adj_factor, CARRY_COLUMNS)


def own_basis_returns(close: FloatArray, adj_factor: FloatArray) -> FloatArray:
    """Simple return of the carried close of each column over the one before.

    Args:
        close: (codes, columns) as ``carried_closes``.
        adj_factor: (codes, columns).

    Returns:
        (codes, columns); exactly 0 where the two prices are equal by SAME_PRICE; NaN in the first
        column and where either close is null.
    """
    result = np.full_like(close, np.nan)
    before = close[:, :-1] * adj_factor[:, 1:]
    now = close[:, 1:]
    change = now / before - 1.0
    change[np.abs(now - before) <= SAME_PRICE * np.maximum(np.abs(now), np.abs(before))] = 0.0
    result[:, 1:] = change
    return result
