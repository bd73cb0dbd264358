"""The panel: dense arrays, lines x columns, in the price basis of the row's own date.

A *column* is a trading day. A *line* is one listing of one code in one price basis. Most codes
have one line. A code that splits inside the wanted columns has one line per basis, because the
row of T must see prices as an observer on T would have adjusted them: before the ex-date nothing
of the split shows. A code that left the list for more than ``RELIST_GAP`` columns and came back
has separate lines too. So kernels run along plain arrays and never think about splits, and no
value depends on where the chunk ends.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
DateArray = NDArray[np.datetime64]

CARRY_COLUMNS = 20  # a close is carried over at most this many columns without a trade
RELIST_GAP = 20  # absent for more columns than this: a new line
SAME_PRICE = 1e-9  # relative difference up to which two prices of one basis are equal


@dataclass(frozen=True, eq=False)
class Panel:
    """Bars of a set of codes over consecutive trading columns.

    Attributes:
        sessions: (columns,) datetime64[D], ascending.
        n_out: number of trailing columns for which features are wanted.
        codes: (codes,) 5-character strings, ascending.
        line_code: (lines,) index into ``codes``; line i < len(codes) is the newest line of code i.
        line_first: (lines,) first wanted column the line answers for, counted from the start of
            the ``n_out`` wanted columns.
        line_stop: (lines,) end (excluded) of that range.
        o, h, l, c: (lines, columns) prices in yen in the basis of the line; NaN without a trade.
        v: (lines, columns) shares in the basis of the line; NaN without a trade.
        va: (lines, columns) turnover in yen; NaN without a trade.
        listed: (lines, columns) True where the code has a master record dated that day.
        adj_factor: (lines, columns) AdjFactor of the column's own date; 1 where none.
    """

    sessions: DateArray
    n_out: int
    codes: NDArray[np.str_]
    line_code: NDArray[np.int32]
    line_first: NDArray[np.int32]
    line_stop: NDArray[np.int32]
    o: FloatArray
    h: FloatArray
    l: FloatArray
    c: FloatArray
    v: FloatArray
    va: FloatArray
    listed: BoolArray
    adj_factor: FloatArray

    @property
    def n_lines(self) -> int:
        return int(self.line_code.size)

    @property
    def n_columns(self) -> int:
        return int(self.sessions.size)

    @cached_property
    def p(self) -> FloatArray:
        """Carried close: the last traded close of the line for at most 20 columns."""
        return carry(self.c, CARRY_COLUMNS)

    @cached_property
    def tv(self) -> FloatArray:
        """Turnover in yen; 0 on listed columns without a trade, NaN where not listed."""
        return np.where(self.listed, np.where(np.isnan(self.va), 0.0, self.va), np.nan)

    @cached_property
    def vol(self) -> FloatArray:
        """Shares traded; 0 on listed columns without a trade, NaN where not listed."""
        return np.where(self.listed, np.where(np.isnan(self.v), 0.0, self.v), np.nan)

    @cached_property
    def r(self) -> FloatArray:
        """Simple return of ``p``; exactly 0 where the two prices are equal by SAME_PRICE."""
        return self._change(lambda now, before: now / before - 1.0)

    @cached_property
    def g(self) -> FloatArray:
        """Log return of ``p``; exactly 0 where the two prices are equal by SAME_PRICE."""
        return self._change(lambda now, before: np.log(now / before))

    @cached_property
    def tr(self) -> FloatArray:
        """True range max(h, p_prev) - min(l, p_prev), yen; NaN without a trade or p_prev.

        Exactly 0 where the two ends are equal by SAME_PRICE.
        """
        high = np.maximum(self.h, self.p_prev)
        low = np.minimum(self.l, self.p_prev)
        reach = high - low
        reach[reach <= SAME_PRICE * high] = 0.0
        return reach

    @cached_property
    def p_prev(self) -> FloatArray:
        """``p`` of the column before."""
        previous = np.full_like(self.p, np.nan)
        previous[:, 1:] = self.p[:, :-1]
        return previous

    def block(self, start: int, stop: int) -> Panel:
        """The lines [start, stop) alone: lines are independent, so blocks run in threads."""
        rows = {name: getattr(self, name)[start:stop] for name in _LINE_FIELDS}
        return replace(self, **rows)

    def pick(self, values: FloatArray) -> FloatArray:
        """Bring a family's result to codes x wanted columns.

        Args:
            values: (lines, n_out), one row per line; (codes, n_out); or (n_out,), market-wide.

        Returns:
            (codes, n_out): for each column the value of the line that answers for it.
        """
        n_codes = self.codes.size
        if values.ndim == 1:
            return np.broadcast_to(values, (n_codes, self.n_out))
        picked = values[:n_codes]
        if values.shape[0] > n_codes:
            picked = picked.copy()
            for line in range(n_codes, values.shape[0]):
                first, stop = self.line_first[line], self.line_stop[line]
                picked[self.line_code[line], first:stop] = values[line, first:stop]
        return picked

    def _change(self, formula: Callable[[FloatArray, FloatArray], FloatArray]) -> FloatArray:
        now, before = self.p, self.p_prev
        change = formula(now, before)
        same = np.abs(now - before) <= SAME_PRICE * np.maximum(np.abs(now), np.abs(before))
        change[same] = 0.0
        return change


_LINE_FIELDS = (
    "line_code", "line_first", "line_stop", "o", "h", "l", "c", "v", "va", "listed", "adj_factor",
)  # fmt: skip


def carry(values: FloatArray, limit: int) -> FloatArray:
    """Repeat the last non-null value for at most ``limit`` columns.

    Args:
        values: (lines, columns), NaN = null.
        limit: columns a value may be carried.

    Returns:
        (lines, columns); NaN before the first value and more than ``limit`` columns after one.
    """
    columns = np.arange(values.shape[1], dtype=np.int32)
    last = np.where(np.isnan(values), np.int32(-1), columns)
    last = np.maximum.accumulate(last, axis=1)
    carried: FloatArray = np.take_along_axis(values, np.maximum(last, 0), axis=1)
    return np.where((last >= 0) & (columns - last <= limit), carried, np.nan)
