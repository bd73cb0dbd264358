"""Hand-made rows of fin-summary, stamped with columns of a panel of weekdays."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from pipeline.api.catalogue.endpoints import endpoint_of
from pipeline.market.books.fiscal_periods import Points
from pipeline.market.books.statement_book import COLUMNS
from pipeline.market.books.statements import Statements, statements
from pipeline.market.calendar.sessions import TradingCalendar
from pipeline.market.panel.axis import Axis, Source
from tests.market.hand import FIRST_DAY

Row = dict[str, object]

BEFORE = 1500  # sessions of the calendar in front of the panel
_SUMMARY = endpoint_of("fin_summary")
SCHEMA = pa.schema([_SUMMARY.schema.field(name) for name in COLUMNS])

_MONTHS = {"1Q": -9, "2Q": -6, "3Q": -3, "FY": 0}


def days(first: int, stop: int) -> np.ndarray:
    """Sessions of the columns [first, stop), which may be negative."""
    return np.busday_offset(FIRST_DAY, np.arange(first, stop), roll="forward")


def date_of(column: int) -> dt.date:
    return days(column, column + 1)[0].astype(object)


def month_end(month: np.datetime64) -> dt.date:
    return ((month + 1).astype("datetime64[D]") - 1).astype(object)


def month(year: str) -> int:
    """Fiscal year that ends in a month such as 2023-03, as the book numbers it."""
    return int(np.datetime64(year, "M").astype(np.int64))


def points(*columns: int, code: int = 0) -> Points:
    """Some columns of one code."""
    return Points(np.full(len(columns), code), np.array(columns, dtype=np.int64))


def filing(
    column: int,
    year: str,
    period: str,
    *,
    code: str = "10010",
    time: str = "15:00:00",
    number: str | None = None,
    kind: str = "Consolidated_JP",
    **fields: object,
) -> Row:
    """A statement disclosed on a column about ``period`` of the fiscal year ending in ``year``.

    Args:
        column: of the disclosure, may be negative.
        year: month of its end, such as 2023-03.
        period: 1Q, 2Q, 3Q or FY.
        number: DiscNo; made of the column by default.
        kind: end of DocType.
        fields: any other field, or another value of one of those above.
    """
    end = np.datetime64(year, "M")
    return {
        "DiscDate": date_of(column),
        "DiscTime": time,
        "Code": code,
        "DiscNo": number or f"{10_000_000 + column:014d}",
        "DocType": f"{period}FinancialStatements_{kind}",
        "CurPerType": period,
        "CurPerEn": month_end(end + _MONTHS.get(period, 0)),
        "CurFYEn": month_end(end),
        **fields,
    }


def axis_of(
    codes: Sequence[str] = ("10010",),
    *,
    columns: int = 300,
    n_out: int | None = None,
    first: int = 0,
    factors: Mapping[tuple[str, int], float] | None = None,
) -> Axis:
    """An axis whose column 0 is the session ``first`` of the columns the filings are counted in.

    Args:
        factors: (code, column of the filings) -> AdjFactor; 1 elsewhere.
    """
    adj_factor = np.ones((len(codes), columns))
    for (code, column), factor in (factors or {}).items():
        if 0 <= column - first < columns:
            adj_factor[list(codes).index(code), column - first] = factor
    return Axis(
        codes=np.array(codes),
        sessions=days(first, first + columns),
        n_out=columns if n_out is None else n_out,
        calendar=TradingCalendar(days(-BEFORE, first + columns + 300)),
        adj_factor=adj_factor,
    )


def source_of(rows: Sequence[Row]) -> Source:
    return Source(pa.Table.from_pylist(list(rows), SCHEMA), _SUMMARY.publication)


def book_of(*rows: Row, axis: Axis | None = None) -> Statements:
    """The statement book of the rows, by default for one code over 300 columns."""
    return statements(source_of(rows), axis or axis_of())
