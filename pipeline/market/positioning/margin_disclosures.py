"""Daily margin disclosures of designated issues, replayed as of each column.

A designated issue is published every day with its balances of the day before (AppDate). A row
counts on the column it becomes visible and the one after it, then it lapses: an issue that is no
longer published is no longer designated. Of the rows that count the one with the largest AppDate
is *in force*, and among equal AppDates the one with the largest PubDate: a correction is a further
row with a later PubDate, and does not displace a newer day.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pipeline.market.books.record_in_force import NO_ROW, offsets_of, rows_in_force
from pipeline.market.closed_lists import JSF_PRECAUTION, JSF_RESTRICTED, REGULATION
from pipeline.market.panel.axis import Axis, FloatArray, IndexArray, Source, dates_of, numbers_of
from pipeline.market.panel.share_basis import restated

_BY_JSF = ("PubReason.RestrictedByJSF", "PubReason.PrecautionByJSF")

COLUMNS = (
    "PubDate", "Code", "AppDate", *_BY_JSF, "LongOut", "LongOutChg", "ShrtOut", "TSEMrgnRegCls",
)  # fmt: skip

DEPTH = 1  # columns a row counts after it became visible
HISTORY = 19  # columns before the wanted ones that are replayed too


@dataclass(frozen=True, eq=False)
class MarginAlerts:
    """Rows, sorted by code, AppDate and PubDate.

    Attributes:
        axis: codes and columns.
        offsets: (codes + 1,) the rows of code i are ``offsets[i]:offsets[i + 1]``.
        since: (rows,) last column at or before AppDate: the basis of the share counts.
        visible: (rows,) first column each row counts on.
        reg_class: (rows,) number of the exchange's class of regulation; NaN where it is not known.
        by_jsf: (rows,) 1 when the securities finance company restricts loans or warns, else
            0; NaN where that is not known.
        long, short: (rows,) balances in shares, as reported.
        long_change: (rows,) change of ``long`` from the day before; NaN on the first day.
    """

    axis: Axis
    offsets: IndexArray
    since: IndexArray
    visible: IndexArray
    reg_class: FloatArray
    by_jsf: FloatArray
    long: FloatArray
    short: FloatArray
    long_change: FloatArray

    @cached_property
    def listed(self) -> FloatArray:
        """(codes, HISTORY + n_out) 1 where a row is in force, else 0."""
        return np.where(self._replayed == NO_ROW, 0.0, 1.0)

    @property
    def row(self) -> IndexArray:
        """(codes, n_out) row in force, NO_ROW where none is."""
        return self._replayed[:, HISTORY:]

    def value(self, values: FloatArray) -> FloatArray:
        """(codes, n_out) ``values`` of the row in force; NaN without one."""
        value: FloatArray = np.append(values, np.nan)[self.row]
        return value

    def shares(self, values: FloatArray) -> FloatArray:
        """(codes, n_out) share counts of the row in force, in the basis of T; NaN without one."""
        code = np.arange(self.axis.codes.size)[:, None]
        columns = np.arange(self.axis.first_wanted, self.axis.n_columns)
        since = np.append(self.since, 0)[self.row]
        return self.value(values) / restated(self.axis.adj_factor, code, since, columns)

    @cached_property
    def _replayed(self) -> IndexArray:
        columns = np.arange(self.axis.first_wanted - HISTORY, self.axis.n_columns)
        return rows_in_force(self.offsets, self.visible, columns, DEPTH)


def margin_alerts(source: Source, axis: Axis) -> MarginAlerts:
    """The disclosures in the rows of mkt-margin-alert."""
    table = source.table
    code, visible = axis.position_of(table["Code"]), axis.visible_from(source)
    row = np.flatnonzero(axis.may_count(code, visible, axis.first_wanted - HISTORY - DEPTH))
    applied, published = dates_of(table["AppDate"]), dates_of(table["PubDate"])
    row = row[np.lexsort((published[row], applied[row], code[row]))]
    restricted, warned = (
        known.decode(table[known.field])[row] for known in (JSF_RESTRICTED, JSF_PRECAUTION)
    )
    return MarginAlerts(
        axis=axis,
        offsets=offsets_of(code[row], axis.codes.size),
        since=axis.column_at_or_before(applied[row]),
        visible=visible[row],
        reg_class=REGULATION.decode(table["TSEMrgnRegCls"])[row],
        by_jsf=np.where((restricted == 1.0) | (warned == 1.0), 1.0, restricted + warned),
        long=numbers_of(table["LongOut"])[row],
        short=numbers_of(table["ShrtOut"])[row],
        long_change=numbers_of(table["LongOutChg"])[row],
    )
