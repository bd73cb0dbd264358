"""The dividend book: what the notices of each company say about its ex-dates, as of each column.

1. A notice belongs to the chain of its CARefNo: the first notice, corrections, a deletion.
2. Within a chain the last notice by (PubDate, PubTime, RefNo) is in force, so each one stands
   from the column it became visible on until the next one does, or until it is too old.
3. Deleted notices and those without an ex-date say nothing while they stand and are left out.

A forecast and a decision that the vendor does not link by CARefNo both count.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.market.calendar.sessions import DateArray
from pipeline.market.closed_lists import NOTICE
from pipeline.market.panel.axis import Axis, FloatArray, IndexArray, Source, dates_of, numbers_of
from pipeline.market.texts import texts_of

COLUMNS: Final[tuple[str, ...]] = (
    "PubDate", "PubTime", "Code", "RefNo", "StatCode", "DivRate", "ExDate", "CARefNo",
)  # fmt: skip

DEPTH: Final = 500  # columns a notice counts after it became public


@dataclass(frozen=True, eq=False)
class DividendNotices:
    """Notices with the columns on which they stand, sorted by code, ex-date and CARefNo.

    Attributes:
        code: (notices,) index of the code on the axis.
        start, stop: (notices,) in force on the columns start <= T < stop.
        stated: (notices,) last column at or before PubDate: the basis of the rate.
        ex_date: (notices,) datetime64[D].
        ex_column: (notices,) first column at or after the ex-date; one past the last published
            session when it lies beyond.
        rate: (notices,) yen per share; NaN while undecided.
    """

    code: IndexArray
    start: IndexArray
    stop: IndexArray
    stated: IndexArray
    ex_date: DateArray
    ex_column: IndexArray
    rate: FloatArray


def dividend_notices(source: Source, axis: Axis) -> DividendNotices:
    """The dividend book from the rows of fin-dividend.

    Args:
        source: the columns COLUMNS of fin-dividend, any order of rows.
        axis: codes and columns of the panel.
    """
    code, column = axis.position_of(source.table["Code"]), axis.visible_from(source)
    rows = np.flatnonzero(axis.may_count(code, column, axis.first_wanted - DEPTH))
    table = _chained(source.table.select(COLUMNS).take(pa.array(rows)), code[rows], column[rows])

    code, start = table["position"].to_numpy(), table["column"].to_numpy()
    ex_date = dates_of(table["ExDate"])
    notices = DividendNotices(
        code=code,
        start=start,
        stop=np.minimum(_next_in_chain(table, start, axis.n_columns), start + DEPTH + 1),
        stated=axis.column_at_or_before(dates_of(table["PubDate"])),
        ex_date=ex_date,
        ex_column=axis.column_at_or_after(ex_date),
        rate=numbers_of(table["DivRate"]),
    )
    says = (notices.stop > start) & ~np.isnat(ex_date)
    says &= NOTICE.decode(table["StatCode"]) == 1.0  # neither a deletion nor unknown
    kept = np.flatnonzero(says)
    kept = kept[np.lexsort((ex_date[kept], code[kept]))]  # stable: by CARefNo on one ex-date
    return DividendNotices(**{name: values[kept] for name, values in vars(notices).items()})


def _chained(table: pa.Table, code: IndexArray, column: IndexArray) -> pa.Table:
    """The rows sorted chain by chain, in order of publication; ``chain`` names the chain.

    A notice without a CARefNo is a chain of its own.
    """
    linked = texts_of(table["CARefNo"])
    own = texts_of(table["RefNo"])
    columns = {
        "position": pa.array(code),
        "chain": pc.if_else(pc.equal(linked, pa.scalar("")), own, linked),
        "PubDate": table["PubDate"],
        "PubTime": texts_of(table["PubTime"]),
        "RefNo": own,
    }
    order = pc.sort_indices(pa.table(columns), [(name, "ascending") for name in columns])
    for name in ("position", "chain"):
        table = table.append_column(name, columns[name])
    return table.append_column("column", pa.array(column)).take(order)


def _next_in_chain(table: pa.Table, start: IndexArray, otherwise: int) -> IndexArray:
    """(rows,) start of the next notice of the chain, ``otherwise`` for the last one."""
    following = np.full(start.size, otherwise)
    if start.size > 1:
        same: Any = pc.and_(
            pc.equal(table["position"][1:], table["position"][:-1]),
            pc.equal(table["chain"][1:], table["chain"][:-1]),
        )
        following[:-1] = np.where(same.to_numpy(), start[1:], otherwise)
    return following
