"""Earnings reports as events of the price: on which column the market could first react.

An *event* is the first statement of a fiscal period, (Code, fiscal year, CurPerType); the year is
that of the month in which it ends. A later statement of the same period, a correction, is none,
as long as it follows within REMEMBERED columns of the one before it; what lies further back is
not looked for, so that no event depends on how early the snapshots begin.

An event acts on its *reaction column* R: the first column at or after DiscDate, if it was
disclosed before the close of that session or on a closed day; else the one after it. As of T the
event with the largest R <= T counts, and every event replaces the one before it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.market.books.fiscal_periods import FULL_YEAR
from pipeline.market.books.record_in_force import offsets_of, rows_in_force
from pipeline.market.calendar.sessions import DateArray
from pipeline.market.closed_lists import DOCUMENT, PERIOD
from pipeline.market.panel.axis import NOWHERE, Axis, IndexArray, Source, dates_of
from pipeline.market.texts import encoded

COLUMNS = ("DiscDate", "DiscTime", "Code", "DocType", "CurPerType", "CurFYEn")

REACH = 200  # columns an event counts after its statement became visible
REMEMBERED = 900  # columns within which a second statement of a period is a correction
DEPTH = REACH + REMEMBERED  # columns a row counts for after it became visible

NO_REACTION = -(1 << 40)  # reaction column of a code without an event

_CLOSE, _LATER_CLOSE = 15 * 60, 15 * 60 + 30  # minutes after midnight
_CLOSES_LATER_FROM = np.datetime64("2024-11-05")
_MIDNIGHT = 24 * 60
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})")


@dataclass(frozen=True, eq=False)
class EarningsEvents:
    """First statements, sorted by code and reaction column.

    Attributes:
        axis: codes and columns.
        offsets: (codes + 1,) the events of code i are ``offsets[i]:offsets[i + 1]``.
        visible: (events,) first column in whose row the statement may appear.
        column: (events,) reaction column.
    """

    axis: Axis
    offsets: IndexArray
    visible: IndexArray
    column: IndexArray

    @cached_property
    def reaction(self) -> IndexArray:
        """(codes, n_out) reaction column of the latest event as of T.

        NO_REACTION where there is none, or its statement is public for more than REACH columns.
        """
        known = np.maximum(self.visible, self.column)
        columns = np.arange(self.axis.first_wanted, self.axis.n_columns)
        row = rows_in_force(self.offsets, known, columns, REACH)
        age = columns - np.append(self.visible, 0)[row]
        return np.where(age > REACH, NO_REACTION, np.append(self.column, NO_REACTION)[row])


def earnings_events(source: Source, axis: Axis) -> EarningsEvents:
    """The events among the rows of fin-summary."""
    code, visible = axis.position_of(source.table["Code"]), axis.visible_from(source)
    period = _periods(source.table)
    (row,) = np.nonzero((code != NOWHERE) & (visible < axis.n_columns) & (period >= 0))
    date, minute = dates_of(source.table["DiscDate"])[row], _minutes(source.table)[row]
    code, visible, period = code[row], visible[row], period[row]

    order = np.lexsort((minute, date, period, code))
    again = (np.diff(code[order]) == 0) & (np.diff(period[order]) == 0)
    again &= np.diff(visible[order]) <= REMEMBERED
    event = order[np.append(True, ~again)[: order.size]]

    column = _reaction_columns(date[event], minute[event], axis)
    event, column = event[column >= 0], column[column >= 0]
    order = np.lexsort((column, code[event]))
    event = event[order]
    return EarningsEvents(
        axis=axis,
        offsets=offsets_of(code[event], axis.codes.size),
        visible=visible[event],
        column=column[order],
    )


def _periods(table: pa.Table) -> IndexArray:
    """(rows,) a number per fiscal year and quarter, -1 for rows that are no such statement."""
    is_statement = ~np.isnan(DOCUMENT.decode(table["DocType"]))
    quarter = np.nan_to_num(PERIOD.decode(table["CurPerType"]), nan=0.0).astype(np.int64) - 1
    year_end = dates_of(table["CurFYEn"])
    known = is_statement & (quarter >= 0) & ~np.isnat(year_end)
    month = np.where(known, year_end.astype("datetime64[M]").astype(np.int64), 0)
    # Months are counted from 1970: shifted, so that no period of an earlier year is negative.
    return np.where(known, (month + (1 << 20)) * FULL_YEAR + quarter, -1)


def _minutes(table: pa.Table) -> IndexArray:
    """(rows,) DiscTime in minutes after midnight; the end of the day where it is not told."""
    index, texts = encoded(table["DiscTime"])
    clocks = (_CLOCK.match(text) for text in texts)
    return _looked_up(
        index, [int(c[1]) * 60 + int(c[2]) if c is not None else _MIDNIGHT for c in clocks]
    )


def _looked_up(index: IndexArray, meaning: list[Any]) -> IndexArray:
    return np.array(meaning, dtype=np.int64)[index]


def _reaction_columns(date: DateArray, minute: IndexArray, axis: Axis) -> IndexArray:
    eff = axis.column_at_or_after(date)
    open_that_day: NDArray[np.bool_] = eff == axis.column_at_or_before(date)
    close = np.where(date < _CLOSES_LATER_FROM, _CLOSE, _LATER_CLOSE)
    return eff + (open_that_day & (minute >= close))
