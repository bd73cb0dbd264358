"""Sources with one record per trading day and key, joined by the date they carry.

Such a record counts in the row of its own date alone. It has no place in the panel when that date
is no column (derivatives trade on some holidays), or when it was not public by the decision time
of that column.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.market.panel.axis import (
    NOWHERE,
    Axis,
    BoolArray,
    FloatArray,
    IndexArray,
    Source,
    dates_of,
    numbers_of,
)

DATE = "Date"


def own_columns(source: Source, axis: Axis) -> IndexArray:
    """(rows,) column of each record's own date; NOWHERE where it counts in none."""
    column = axis.visible_from(source)
    column[(column < 0) | (column >= axis.n_columns)] = NOWHERE
    own = axis.sessions[column] == dates_of(source.table[DATE])
    return np.where(own, column, NOWHERE)


@dataclass(frozen=True, eq=False)
class Placed:
    """Records of codes on the last columns, and where they go.

    Attributes:
        table: records, those that go nowhere too.
        row: (placed,) rows of ``table``.
        at: (placed,) their places in an array codes x columns, counted row by row.
        shape: codes, columns.
    """

    table: pa.Table
    row: IndexArray
    at: IndexArray
    shape: tuple[int, int]

    def only(self, wanted: BoolArray) -> Placed:
        """Without the rows of ``table`` where ``wanted`` (rows,) is False."""
        kept = wanted[self.row]
        return replace(self, row=self.row[kept], at=self.at[kept])

    def numbers(self, field: str) -> FloatArray:
        """(codes, columns) values of a field; NaN where there is none."""
        grid = np.full(self.shape[0] * self.shape[1], np.nan)
        grid[self.at] = numbers_of(self.table[field])[self.row]
        return grid.reshape(self.shape)

    def equal(self, field: str, text: str) -> BoolArray:
        """(codes, columns) True where a field is this text."""
        grid = np.zeros(self.shape[0] * self.shape[1], dtype=np.bool_)
        same = pc.equal(self.table[field], pa.scalar(text)).fill_null(False)
        grid[self.at] = same.to_numpy()[self.row]
        return grid.reshape(self.shape)


def placed(source: Source, axis: Axis, width: int) -> Placed:
    """The records of codes on the axis and of its last ``width`` columns, or all there are."""
    width = min(width, axis.n_columns)
    first = axis.n_columns - width
    since = pa.scalar(axis.sessions[first].astype(object), pa.date32())
    recent = source.table.filter(pc.greater_equal(source.table[DATE], since))
    column = own_columns(Source(recent, source.publication), axis)
    code = axis.position_of(recent["Code"])
    row = np.flatnonzero((column >= first) & (code != NOWHERE))
    at = code[row] * width + column[row] - first
    return Placed(recent, row, at, (axis.codes.size, width))
