"""The rows of the statement book, and the questions it answers as of any column.

The book is replayed from scratch for every point (code, column): a row counts from the column it
became visible on for DEPTH columns, and an answer is a function of the rows that count, whatever
other rows, codes and columns there are. The rows of a code lie in the order of their disclosure,
so *latest* is *last*, and rows expire in the same order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.market.books.fiscal_periods import NO_YEAR, year_of
from pipeline.market.books.record_in_force import NO_ROW, offsets_of
from pipeline.market.calendar.sessions import DateArray
from pipeline.market.closed_lists import DOCUMENT, PERIOD
from pipeline.market.jit import jit
from pipeline.market.panel.axis import Axis, FloatArray, IndexArray, Source, dates_of, numbers_of
from pipeline.market.texts import encoded, texts_of

BoolArray = NDArray[np.bool_]

DEPTH: Final = 1100  # columns a row counts after it became visible

#: Consolidated field -> the field of the company alone that stands in for it; None without one.
FIELDS: Final[Mapping[str, str | None]] = {
    "Sales": "NCSales",
    "OP": "NCOP",
    "NP": "NCNP",
    "TA": "NCTA",
    "Eq": "NCEq",
    "CFO": None,
    "CFI": None,
    "CashEq": None,
    "ShOutFY": None,
    "TrShFY": None,
    "DivAnn": None,
}

COLUMNS: Final = (
    "DiscDate", "DiscTime", "Code", "DiscNo", "DocType", "CurPerType", "CurPerEn", "CurFYEn",
    *FIELDS, *(own for own in FIELDS.values() if own is not None),
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class StatementRows:
    """Statements, sorted by code and order of disclosure; each has a fiscal period.

    Attributes:
        begin: (codes + 1,) the rows of code i are ``begin[i]:begin[i + 1]``.
        code: (rows,) index of the code on the axis.
        visible: (rows,) first column in whose row it may appear; may be negative.
        year, quarter: (rows,) fiscal period, see ``market.fiscal``.
        end: (rows,) CurPerEn as datetime64[D]; NaT where missing.
        disclosed: (rows,) DiscDate.
        kind: (rows,) position of its DocType in ``kinds``.
        kinds: distinct DocTypes.
        figures: field -> consolidated value and value of the company alone, (rows,) each.
    """

    begin: IndexArray
    code: IndexArray
    visible: IndexArray
    year: IndexArray
    quarter: IndexArray
    end: DateArray
    disclosed: DateArray
    kind: IndexArray
    kinds: list[str]
    figures: Mapping[str, tuple[FloatArray, FloatArray]]


def statement_rows(source: Source, axis: Axis) -> StatementRows:
    """The statements of fin-summary that count on any column of the panel.

    Left out are rows of other and of unknown documents, of other periods than 1Q, 2Q, 3Q and FY,
    without a CurFYEn, and of codes that are not on the axis.
    """
    code, visible = axis.position_of(source.table["Code"]), axis.visible_from(source)
    keep = _is_statement(source.table) & axis.may_count(code, visible, -DEPTH)
    rows = np.flatnonzero(keep)
    disclosed = source.table.take(pa.array(rows))
    rows = rows[order_of_disclosure(disclosed, code=code[rows], visible=visible[rows])]
    table = source.table.select(COLUMNS).take(pa.array(rows))
    code, visible = code[rows], visible[rows]
    kind, kinds = encoded(table["DocType"])
    nothing = np.full(rows.size, np.nan)
    return StatementRows(
        begin=offsets_of(code, axis.codes.size),
        code=code,
        visible=visible,
        year=year_of(dates_of(table["CurFYEn"])),
        quarter=_quarters(table),
        end=dates_of(table["CurPerEn"]),
        disclosed=dates_of(table["DiscDate"]),
        kind=kind,
        kinds=kinds,
        figures={
            field: (numbers_of(table[field]), nothing if own is None else numbers_of(table[own]))
            for field, own in FIELDS.items()
        },
    )


def _is_statement(table: pa.Table) -> BoolArray:
    named = ~np.isnan(DOCUMENT.decode(table["DocType"]))
    dated = year_of(dates_of(table["CurFYEn"])) != NO_YEAR
    statement: BoolArray = named & dated & (_quarters(table) > 0)
    return statement


def _quarters(table: pa.Table) -> IndexArray:
    """(rows,) 1 to 4, 0 for other types of period."""
    return np.nan_to_num(PERIOD.decode(table["CurPerType"]), nan=0.0).astype(np.int64)


def order_of_disclosure(table: pa.Table, **before: IndexArray) -> IndexArray:
    """Sorting permutation: (DiscDate, DiscTime, DiscNo), the texts as texts, a missing one first.

    Args:
        before: (rows,) numbers each, sorted by before all else.
    """
    keys: dict[str, Any] = {name: pa.array(values) for name, values in before.items()}
    keys["DiscDate"] = table["DiscDate"]
    keys |= {name: texts_of(table[name]) for name in ("DiscTime", "DiscNo")}
    order = pc.sort_indices(pa.table(keys), [(name, "ascending") for name in keys])
    return np.asarray(order.to_numpy(), dtype=np.int64)


@jit
def _in_force(visible: IndexArray, begin: int, end: int, column: int) -> tuple[int, int]:
    """The rows first:stop of a code that count on a column."""
    stop = end
    while stop > begin and visible[stop - 1] > column:
        stop -= 1
    first = stop
    while first > begin and column - visible[first - 1] <= DEPTH:
        first -= 1
    return first, stop


@jit
def figures_in_force(
    begin: IndexArray,
    visible: IndexArray,
    year: IndexArray,
    quarter: IndexArray,
    consolidated: FloatArray,
    alone: FloatArray,
    code: IndexArray,
    column: IndexArray,
    of_year: IndexArray,
    of_quarter: IndexArray,
) -> tuple[FloatArray, IndexArray]:
    """Latest non-null consolidated value of a period; if there is none, of the company alone.

    Args:
        begin ... quarter: of ``StatementRows``.
        consolidated, alone: (rows,) the two values of a field, NaN where missing.
        code, column: (points,) where the book is looked at.
        of_year, of_quarter: (points,) the period asked for.

    Returns:
        (points,) values, NaN where there is none; and columns from which the row that supplied
        them was visible, the point's own column where there is no value.
    """
    value = np.full(code.size, np.nan)
    supplied = column.copy()
    for q in range(code.size):
        first, stop = _in_force(visible, begin[code[q]], begin[code[q] + 1], column[q])
        for i in range(stop - 1, first - 1, -1):
            if year[i] != of_year[q] or quarter[i] != of_quarter[q]:
                continue
            if not np.isnan(consolidated[i]):
                value[q] = consolidated[i]
                supplied[q] = visible[i]
                break
            if np.isnan(value[q]) and not np.isnan(alone[i]):
                value[q] = alone[i]
                supplied[q] = visible[i]
    return value, supplied


@jit
def _same_period(year: IndexArray, quarter: IndexArray, i: int, j: int) -> bool:
    same: bool = year[i] == year[j] and quarter[i] == quarter[j]
    return same


@jit
def _period_end(
    year: IndexArray, quarter: IndexArray, end: IndexArray, row: int, first: int, stop: int
) -> int:
    """CurPerEn of the period of ``row`` by the last row that gives it, if ``row`` is the last
    one of the period in first:stop; else negative, as where none gives it."""
    for i in range(row + 1, stop):
        if _same_period(year, quarter, i, row):
            return -1
    for i in range(row, first - 1, -1):
        if end[i] >= 0 and _same_period(year, quarter, i, row):
            return int(end[i])
    return -1


@jit
def _reports(
    year: IndexArray, quarter: IndexArray, present: BoolArray, row: int, first: int, stop: int
) -> bool:
    """True when each field is in some row of first:stop about the same period as ``row``."""
    for field in range(present.shape[0]):
        found = False
        for i in range(first, stop):
            if present[field, i] and _same_period(year, quarter, i, row):
                found = True
        if not found:
            return False
    return True


@jit
def newest_period(
    begin: IndexArray,
    visible: IndexArray,
    year: IndexArray,
    quarter: IndexArray,
    end: IndexArray,
    present: BoolArray,
    code: IndexArray,
    column: IndexArray,
    before: IndexArray,
) -> tuple[IndexArray, IndexArray]:
    """The period in force with the largest CurPerEn among those that report some fields.

    A period ends on the CurPerEn of its last row that has one. Of periods that end together, the
    one disclosed last counts.

    Args:
        begin ... quarter: of ``StatementRows``.
        end: (rows,) CurPerEn as day number; negative where missing.
        present: (fields, rows) True where the row has the field; a period reports a field when
            one of its rows in force has it. Without fields every period will do.
        code, column: (points,) where the book is looked at.
        before: (points,) day number before which the period has to end.

    Returns:
        (points,) its last row and the day number of its end; NO_ROW and -1 where there is none.
    """
    newest = np.full(code.size, NO_ROW)
    ends = np.full(code.size, -1)
    for q in range(code.size):
        first, stop = _in_force(visible, begin[code[q]], begin[code[q] + 1], column[q])
        for i in range(stop - 1, first - 1, -1):
            day = _period_end(year, quarter, end, i, first, stop)
            if ends[q] < day < before[q] and _reports(year, quarter, present, i, first, stop):
                newest[q] = i
                ends[q] = day
    return newest, ends


@jit
def rows_of_period(
    begin: IndexArray,
    visible: IndexArray,
    year: IndexArray,
    quarter: IndexArray,
    code: IndexArray,
    column: IndexArray,
    of_year: IndexArray,
    of_quarter: IndexArray,
) -> tuple[IndexArray, IndexArray]:
    """First and last row in force of a period, (points,) each; NO_ROW where there is none."""
    oldest = np.full(code.size, NO_ROW)
    last = np.full(code.size, NO_ROW)
    for q in range(code.size):
        first, stop = _in_force(visible, begin[code[q]], begin[code[q] + 1], column[q])
        for i in range(first, stop):
            if year[i] == of_year[q] and quarter[i] == of_quarter[q]:
                last[q] = i
                if oldest[q] == NO_ROW:
                    oldest[q] = i
    return oldest, last


@jit
def last_year_in_force(
    begin: IndexArray,
    visible: IndexArray,
    year: IndexArray,
    quarter: IndexArray,
    full_year: int,
    code: IndexArray,
    column: IndexArray,
) -> IndexArray:
    """(points,) largest fiscal year with a full-year statement in force; NO_YEAR without one."""
    result = np.full(code.size, NO_YEAR)
    for q in range(code.size):
        first, stop = _in_force(visible, begin[code[q]], begin[code[q] + 1], column[q])
        for i in range(first, stop):
            if quarter[i] == full_year:
                result[q] = max(result[q], year[i])
    return result
