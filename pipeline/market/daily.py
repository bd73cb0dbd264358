"""Sources with one record per trading day and key, joined by the date they carry.

Such a record counts in the row of its own date alone. It has no place in the panel when that date
is no column (derivatives trade on some holidays), or when it was not public by the decision time
of that column.
"""

from __future__ import annotations

import numpy as np

from pipeline.market.axis import NOWHERE, Axis, IndexArray, Source, dates_of

DATE = "Date"


def own_columns(source: Source, axis: Axis) -> IndexArray:
    """(rows,) column of each record's own date; NOWHERE where it counts in none."""
    column = axis.visible_from(source)
    column[(column < 0) | (column >= axis.n_columns)] = NOWHERE
    own = axis.sessions[column] == dates_of(source.table[DATE])
    return np.where(own, column, NOWHERE)
