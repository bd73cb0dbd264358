"""Which record of a code is in force on a column: the step all books of records share.

Rows stand code by code and, within a code, by precedence: of two rows that both count, the later
one is in force. A row begins to count on the column it became visible on and stops after the
depth of its book.
"""

from __future__ import annotations

import numpy as np

from pipeline.market.jit import jit
from pipeline.market.panel.axis import IndexArray

NO_ROW = -1  # nothing is in force


def offsets_of(code: IndexArray, n_codes: int) -> IndexArray:
    """(codes + 1,) the rows of code i are ``offsets[i]:offsets[i + 1]``; ``code`` ascends."""
    return np.searchsorted(code, np.arange(n_codes + 1)).astype(np.int64)


@jit
def rows_in_force(
    offsets: IndexArray, visible: IndexArray, columns: IndexArray, depth: int
) -> IndexArray:
    """The last row of each code among those that count on each column.

    Args:
        offsets: (codes + 1,) as ``offsets_of``.
        visible: (rows,) first column each row counts on.
        columns: (wanted,) columns asked for.
        depth: further columns a row counts on.

    Returns:
        (codes, wanted) row numbers, NO_ROW where none counts.
    """
    found = np.full((offsets.size - 1, columns.size), -1)
    for i in range(offsets.size - 1):
        for k in range(columns.size):
            for row in range(offsets[i + 1] - 1, offsets[i] - 1, -1):
                if visible[row] <= columns[k] <= visible[row] + depth:
                    found[i, k] = row
                    break
    return found
