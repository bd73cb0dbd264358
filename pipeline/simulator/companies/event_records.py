"""Rows that are published one by one: disclosures, notices, reports, weekly tables.

A source of this kind knows for every row the date a query selects on and the moment at which
the row became visible. A row that the vendor later overwrote also has a moment at which it
disappeared. The columns are made only for the rows that are asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from pipeline.simulator.array_types import Columns, DateArray, IntArray

END_OF_TIME = np.datetime64("9999-01-01T00:00", "m")  # for those who want to see everything
NEVER = np.datetime64("9999-12-31T00:00", "m")
NO_ISSUE = -1


@dataclass(frozen=True)
class Selection:
    """Which rows are wanted, and who looks when.

    Attributes:
        first, last: dates, both included, of the source's own date field.
        now: wall clock in Tokyo, datetime64[m].
        real_time: True for the plan that gets disclosures without the evening's delay.
    """

    first: np.datetime64
    last: np.datetime64
    now: np.datetime64
    real_time: bool = False


@dataclass(frozen=True, eq=False)
class Records:
    """All rows of a source, ascending by ``day``.

    Attributes:
        day: (n,) datetime64[D], what a query selects on.
        slot: (n,) issue of the row, ``NO_ISSUE`` where it is about no issue.
        published: (n,) datetime64[m].
        withdrawn: (n,) datetime64[m], ``NEVER`` where the row stays.
        at_once: (n,) moments for those who get disclosures in real time.
        make: columns of the rows with these indices.
    """

    day: DateArray
    slot: IntArray
    published: DateArray
    withdrawn: DateArray
    at_once: DateArray
    make: Callable[[IntArray], Columns]

    def find(self, wanted: Selection, slots: IntArray | None = None) -> IntArray:
        """Indices of the visible rows of a selection, all issues when ``slots`` is None."""
        start = int(np.searchsorted(self.day, wanted.first, side="left"))
        stop = max(int(np.searchsorted(self.day, wanted.last, side="right")), start)
        part = slice(start, stop)
        moments = self.at_once if wanted.real_time else self.published
        shown = (moments[part] <= wanted.now) & (self.withdrawn[part] > wanted.now)
        if slots is not None:
            shown &= np.isin(self.slot[part], slots)
        return np.flatnonzero(shown) + start

    def select(self, wanted: Selection, slots: IntArray | None = None) -> Columns:
        """Columns of the visible rows of a selection."""
        return self.make(self.find(wanted, slots))


def sorted_records(
    day: DateArray,
    slot: IntArray,
    published: DateArray,
    make: Callable[[IntArray], Columns],
    *,
    tie: NDArray[Any],
    withdrawn: DateArray | None = None,
    at_once: DateArray | None = None,
) -> Records:
    """Records in the order of ``day``, then ``tie``; ``make`` takes indices of the given order."""
    order = np.lexsort((tie, day))
    stays = np.full(day.size, NEVER)
    return Records(
        day=day[order],
        slot=slot[order],
        published=published[order],
        withdrawn=(stays if withdrawn is None else withdrawn)[order],
        at_once=(published if at_once is None else at_once)[order],
        make=lambda index: make(order[index]),
    )


def moment(days: DateArray, hour: int, minute: int = 0) -> DateArray:
    """That time of each day, datetime64[m]."""
    midnight: DateArray = days.astype("datetime64[m]")
    return midnight + np.timedelta64(60 * hour + minute, "m")


def where_equal(columns: Columns, name: str, value: str | None) -> Columns:
    """Rows whose column ``name`` is ``value``; all rows when it is None."""
    if value is None:
        return columns
    keep = columns[name] == value
    return {field: values[keep] for field, values in columns.items()}


def joined(parts: list[Columns], empty: Columns) -> Columns:
    """Rows of all parts in their order; without parts an empty table with all columns."""
    if not parts:
        return {name: values[:0] for name, values in empty.items()}
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
