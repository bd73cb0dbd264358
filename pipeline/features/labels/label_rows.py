"""Rows of the label table, and what of an earlier table stands for good."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.features.engine.catalogue import CODE, DATE
from pipeline.features.labels import label_values
from pipeline.features.labels.label_values import LABELS
from pipeline.market.calendar.sessions import TradingCalendar
from pipeline.market.panel.axis import dates_of
from pipeline.market.panel.outcomes import Outcomes


def rows(outcomes: Outcomes, start: int, stop: int) -> pa.Table:
    """Label rows of the days [start, stop): one per member of each day, sorted by Date, Code."""
    values = label_values.compute(outcomes, start, stop)
    member = outcomes.universe[:, start:stop].T
    day, code = np.nonzero(member)
    keys = [
        pa.array(outcomes.sessions[start:stop][day].astype("datetime64[D]"), type=pa.date32()),
        pa.array(outcomes.codes.tolist(), type=pa.string()).take(code),
    ]
    columns = [
        pa.array(values[label.name].T[member].astype(np.float32), from_pandas=True)
        for label in LABELS
    ]
    return pa.Table.from_arrays([*keys, *columns], schema=label_values.label_schema())


@dataclass(frozen=True)
class Kept:
    """Rows in which nothing that was settled before is different.

    Attributes:
        rows: the rows.
        differing: settled values that the present bars would make different; they stand.
        example: one of them, readable; "" without any.
    """

    rows: pa.Table
    differing: int = 0
    example: str = ""


def keep_settled(
    new: pa.Table, earlier: pa.Table, last_bar: np.datetime64, calendar: TradingCalendar
) -> Kept:
    """The new rows with every value that was settled in the earlier ones as it was.

    Args:
        new: label rows from ``rows``.
        earlier: label rows of the same days, as they were published.
        last_bar: last session with a bar that the earlier ones knew.

    Returns:
        Exactly the keys of ``new``.
    """
    place = _positions(new, earlier)
    earlier = earlier.filter(pa.array(place >= 0))
    place = place[place >= 0]
    days, day_of_row = np.unique(dates_of(earlier[DATE]), return_inverse=True)
    column = np.array([calendar.index(day) for day in days], dtype=np.int64)[day_of_row]
    known = calendar.index(last_bar)
    differing, example = 0, ""
    columns = {name: new[name] for name in (DATE, CODE)}
    for label in LABELS:
        settled = column + label.ahead <= known
        values, was = (_floats(table, label.name) for table in (new, earlier))
        at = place[settled]
        other = np.flatnonzero(_unequal(values[at], was[settled]))
        if other.size and not example:
            row = int(at[other[0]])
            example = f"{label.name} of {new[CODE][row]} on {new[DATE][row]}"
        differing += int(other.size)
        values[at] = was[settled]
        columns[label.name] = pa.array(values, from_pandas=True)
    return Kept(pa.table(columns, schema=label_values.label_schema()), differing, example)


def _positions(new: pa.Table, earlier: pa.Table) -> NDArray[np.int64]:
    """(earlier rows,) position of each key of ``earlier`` in ``new``; -1 where it is gone."""
    codes = np.unique(np.array(new[CODE].to_pylist(), dtype=np.str_))
    if not codes.size:
        return np.full(earlier.num_rows, -1, dtype=np.int64)

    def numbered(table: pa.Table) -> NDArray[np.int64]:
        own = np.array(table[CODE].to_pylist(), dtype=np.str_)
        code = np.minimum(np.searchsorted(codes, own), codes.size - 1)
        number = dates_of(table[DATE]).astype(np.int64) * codes.size + code
        return np.where(codes[code] == own, number, -1)

    wanted, found = numbered(new), numbered(earlier)
    at = np.minimum(np.searchsorted(wanted, found), wanted.size - 1)
    return np.where(wanted[at] == found, at, -1)


def _floats(table: pa.Table, name: str) -> NDArray[np.float32]:
    """A writable copy of a column; NaN = null."""
    return np.array(table[name].to_numpy(), dtype=np.float32)


def _unequal(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.bool_]:
    unequal: NDArray[np.bool_] = (a != b) & ~(np.isnan(a) & np.isnan(b))
    return unequal
