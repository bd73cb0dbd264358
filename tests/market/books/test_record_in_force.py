"""The last row of each code that counts on a column."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.market.books.record_in_force import NO_ROW, offsets_of, rows_in_force


def replay(code: list[int], visible: list[int], columns: list[int], depth: int) -> list[list[int]]:
    offsets = offsets_of(np.array(code, dtype=np.int64), max(code, default=-1) + 2)
    rows = rows_in_force(offsets, np.array(visible, dtype=np.int64), np.array(columns), depth)
    return rows.tolist()


def test_a_row_counts_from_its_column_until_its_depth_is_over():
    """In force on the column it became visible and on ``depth`` more; a code has its own rows."""
    assert replay([0, 0, 1], [2, 5, 3], [1, 2, 4, 5, 7, 8], depth=2) == [
        [NO_ROW, 0, 0, 1, 1, NO_ROW],
        [NO_ROW, NO_ROW, 2, 2, NO_ROW, NO_ROW],
        [NO_ROW] * 6,
    ]


def test_a_later_row_takes_precedence_even_if_it_was_visible_earlier():
    """What comes late about an earlier day does not displace a newer day."""
    assert replay([0, 0], [6, 4], [5, 6, 9, 10], depth=5)[0] == [1, 1, 1, 0]


def test_no_rows_at_all():
    """An empty table puts nothing in force."""
    assert replay([], [], [0, 1], depth=5) == [[NO_ROW, NO_ROW]]


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(-9, 12)), max_size=12),
    st.integers(0, 6),
)
def test_it_is_the_last_row_that_counts(rows: list[tuple[int, int]], depth: int):
    """Against a search over all rows, negative columns included."""
    rows = sorted(rows, key=lambda r: r[0])
    code, visible = [r[0] for r in rows], [r[1] for r in rows]
    for i, found in enumerate(replay(code, visible, list(range(10)), depth)):
        for t, row in enumerate(found):
            counting = [
                j for j in range(len(rows)) if code[j] == i and 0 <= t - visible[j] <= depth
            ]
            assert row == max(counting, default=NO_ROW)
