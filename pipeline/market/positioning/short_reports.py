"""Reported short positions, replayed as of each column.

A *position* is what one reporter holds in one code. The reporter is (SSName, DICName, FundName)
after NFKC normalisation and trimming, because reporters do not always write a name alike. Its
state on a column is closed, or open at a ratio of the shares outstanding:

- each report replaces the one before it, on the column it becomes visible; reports follow one
  another by (DiscDate, CalcDate);
- a report of at least SMALLEST opens the position at its ratio, a smaller one closes it;
- DEPTH columns after its last report became visible a position counts as closed.

Every state lasts from a column to a column, so the book is a list of intervals.

Two reports of a reporter with equal DiscDate and CalcDate are ordered as our tables are, by the
names as written and then by the ratio: by their content, whatever order they arrive in.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipeline.market.books.record_in_force import offsets_of
from pipeline.market.panel.axis import (
    Axis,
    FloatArray,
    IndexArray,
    Source,
    dates_of,
    numbers_of,
    ranks,
)
from pipeline.market.texts import encoded

_REPORTER = ("SSName", "DICName", "FundName")

COLUMNS = ("DiscDate", "CalcDate", "Code", *_REPORTER, "ShrtPosToSO")

SMALLEST = 0.005  # ratio from which a position has to be reported
DEPTH = 250  # columns a report counts after it became visible
HISTORY = 20  # columns before the wanted ones that are replayed too


@dataclass(frozen=True, eq=False)
class ShortReports:
    """Open positions as intervals, and the columns with reports.

    Attributes:
        axis: codes and columns.
        offsets: (codes + 1,) the intervals of code i are ``offsets[i]:offsets[i + 1]``, those of
            a reporter together, reporters ascending by name.
        start, stop: (intervals,) columns [start, stop) on which the position is open.
        ratio: (intervals,) position over shares outstanding.
        report_offsets: (codes + 1,) the same for ``reported``.
        reported: (reports,) columns on which reports became visible, ascending within a code.
    """

    axis: Axis
    offsets: IndexArray
    start: IndexArray
    stop: IndexArray
    ratio: FloatArray
    report_offsets: IndexArray
    reported: IndexArray


def short_reports(source: Source, axis: Axis) -> ShortReports:
    """The positions in the rows of mkt-short-sale."""
    table = source.table
    code, visible = axis.position_of(table["Code"]), axis.visible_from(source)
    row = np.flatnonzero(axis.may_count(code, visible, axis.first_wanted - HISTORY - DEPTH))
    ratio, reporter = numbers_of(table["ShrtPosToSO"])[row], _reporters(table)[row]
    disclosed, calculated = (dates_of(table[name])[row] for name in ("DiscDate", "CalcDate"))
    as_written = [ranks(*encoded(table[name]))[row] for name in _REPORTER]
    code, visible = code[row], visible[row]

    order = np.lexsort((ratio, *reversed(as_written), calculated, disclosed, reporter, code))
    by_code, start, ratio = code[order], visible[order], ratio[order]
    stop = np.minimum(start + DEPTH + 1, _replaced(by_code, reporter[order], start))
    is_open = (ratio >= SMALLEST) & (start < stop)
    by_column = np.lexsort((visible, code))
    return ShortReports(
        axis=axis,
        offsets=offsets_of(by_code[is_open], axis.codes.size),
        start=start[is_open],
        stop=stop[is_open],
        ratio=ratio[is_open],
        report_offsets=offsets_of(code[by_column], axis.codes.size),
        reported=visible[by_column],
    )


def _replaced(code: IndexArray, reporter: IndexArray, start: IndexArray) -> IndexArray:
    """(reports,) column on which the reporter's next report takes over; far off without one."""
    replaced = np.full(start.size, np.iinfo(np.int64).max)
    followed = (np.diff(code) == 0) & (np.diff(reporter) == 0)
    replaced[:-1][followed] = start[1:][followed]
    return replaced


def _reporters(table: pa.Table) -> IndexArray:
    """(rows,) a number per reporter, ascending with the normalised names."""
    number = np.zeros(table.num_rows, np.int64)
    for name in _REPORTER:
        index, texts = encoded(table[name])
        clean = [unicodedata.normalize("NFKC", text).strip() for text in texts]
        number = number * max(len(texts), 1) + ranks(index, clean)
    return number
