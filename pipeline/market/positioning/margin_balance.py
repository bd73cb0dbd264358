"""Weekly and daily margin balances per code, replayed as of each column.

A record holds the balances at the close of its Date and becomes visible on the column of its
publication. Until September 2026 there is a record a week, from then on one every day; nothing
here depends on which. As of T, among the records visible on T:

- *in force* is the one with the largest Date, while it has been visible for at most FRESH columns;
- the *week before* is the one with the largest Date at least 7 and at most 21 days before that.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pipeline.market.books.record_in_force import NO_ROW, offsets_of, rows_in_force
from pipeline.market.jit import jit
from pipeline.market.panel.axis import (
    Axis,
    FloatArray,
    IndexArray,
    Source,
    dates_of,
    numbers_of,
)
from pipeline.market.panel.share_basis import restated

#: PubDate is read by the rule of publication.
COLUMNS = ("PubDate", "Date", "Code", "LongVol", "ShrtVol", "LongStdVol")

FRESH = 20  # columns since its publication on which a record may be in force
DEPTH = 300  # columns a record counts after it became visible: the 400 days of the weekly sample
_WEEK, _WEEKS = 7, 21  # calendar days between a record and the one of the week before


@dataclass(frozen=True, eq=False)
class MarginRecords:
    """Records, sorted by code and Date.

    Attributes:
        axis: codes and columns.
        offsets: (codes + 1,) the records of code i are ``offsets[i]:offsets[i + 1]``.
        day: (records,) Date in days since 1970-01-01.
        since: (records,) last column at or before Date: the basis of the share counts.
        visible: (records,) first column in whose row each record may appear.
        long, short: (records,) shares bought and sold on margin, as reported; NaN where not told.
        long_standard: (records,) the standardised part of ``long``, likewise.
    """

    axis: Axis
    offsets: IndexArray
    day: IndexArray
    since: IndexArray
    visible: IndexArray
    long: FloatArray
    short: FloatArray
    long_standard: FloatArray

    @cached_property
    def row(self) -> IndexArray:
        """(codes, n_out) row of the record in force, NO_ROW where none is."""
        row = rows_in_force(self.offsets, self.visible, self._columns, DEPTH)
        stale = self._columns - np.append(self.visible, 0)[row] > FRESH
        return np.where(stale, NO_ROW, row)

    @cached_property
    def row_week_before(self) -> IndexArray:
        """(codes, n_out) row of the record of the week before, NO_ROW where none is."""
        return _week_before(self.offsets, self.row, self.day, self.visible, self._columns)

    @cached_property
    def staleness(self) -> FloatArray:
        """(codes, n_out) columns since the record in force became visible; NaN without one."""
        age = self._columns - np.append(self.visible, 0)[self.row]
        return np.where(self.row == NO_ROW, np.nan, age)

    def shares(self, values: FloatArray, row: IndexArray) -> FloatArray:
        """(codes, n_out) share counts of the records ``row`` in the basis of T; NaN for NO_ROW."""
        code = np.arange(self.axis.codes.size)[:, None]
        factor = restated(self.axis.adj_factor, code, np.append(self.since, 0)[row], self._columns)
        return np.append(values, np.nan)[row] / factor

    @property
    def _columns(self) -> IndexArray:
        return np.arange(self.axis.first_wanted, self.axis.n_columns)


def margin_records(source: Source, axis: Axis) -> MarginRecords:
    """The balances in the rows of mkt-margin-int."""
    table = source.table
    code, visible = axis.position_of(table["Code"]), axis.visible_from(source)
    row = np.flatnonzero(axis.may_count(code, visible, axis.first_wanted - DEPTH))
    date = dates_of(table["Date"])
    row = row[np.lexsort((visible[row], date[row], code[row]))]
    return MarginRecords(
        axis=axis,
        offsets=offsets_of(code[row], axis.codes.size),
        day=date[row].astype(np.int64),
        since=axis.column_at_or_before(date[row]),
        visible=visible[row],
        long=numbers_of(table["LongVol"])[row],
        short=numbers_of(table["ShrtVol"])[row],
        long_standard=numbers_of(table["LongStdVol"])[row],
    )


@jit
def _week_before(
    offsets: IndexArray,
    in_force: IndexArray,
    day: IndexArray,
    visible: IndexArray,
    columns: IndexArray,
) -> IndexArray:
    """See ``MarginRecords.row_week_before``."""
    found = np.full(in_force.shape, -1)
    for i in range(in_force.shape[0]):
        for k in range(in_force.shape[1]):
            newest = in_force[i, k]
            for row in range(newest - 1, offsets[i] - 1, -1):
                if day[newest] - day[row] > _WEEKS:
                    break
                counts = visible[row] <= columns[k] <= visible[row] + DEPTH
                if counts and day[newest] - day[row] >= _WEEK:
                    found[i, k] = row
                    break
    return found
