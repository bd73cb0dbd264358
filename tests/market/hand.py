"""Hand-made tables: a few codes over consecutive weekdays, one number per column."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from pipeline.api.catalogue.endpoints import endpoint_of
from pipeline.market.calendar.sessions import DateArray, TradingCalendar
from pipeline.market.panel.assemble import COLUMNS, assemble
from pipeline.market.panel.axis import Source
from pipeline.market.panel.market_data import Market
from pipeline.market.panel.price_panel import Panel

FIRST_DAY = np.datetime64("2023-01-02")  # a Monday
NAN = float("nan")

RECORD = {"Mkt": "0111", "S17": "1", "S33": "0050", "ScaleCat": "-", "Mrgn": "2"}


def weekdays(n: int) -> DateArray:
    """The first ``n`` columns."""
    days: DateArray = np.busday_offset(FIRST_DAY, np.arange(n), roll="forward")
    return days


@dataclass(frozen=True)
class Stock:
    """One code, column by column from the first day.

    Attributes:
        code: 5 characters.
        closes: raw close of each column, NaN without a trade; the bar is flat but for high and
            low 1 % around it, 100 shares a yen of close.
        unlisted: columns without a master record; their bars are there all the same.
        factors: column -> AdjFactor, None for null; 1 elsewhere.
        record: fields of all master records that differ from ``RECORD``.
        later: column -> fields that change from it on.
    """

    code: str
    closes: Sequence[float]
    unlisted: Collection[int] = ()
    factors: Mapping[int, float | None] = field(default_factory=dict)
    record: Mapping[str, str | None] = field(default_factory=dict)
    later: Mapping[int, Mapping[str, str]] = field(default_factory=dict)

    def bars(self) -> list[dict[str, object]]:
        rows: list[dict[str, object]] = []
        for column, close in enumerate(self.closes):
            traded = None if np.isnan(close) else close
            bar = dict.fromkeys(("O", "C"), traded)
            bar["H"] = None if traded is None else traded * 1.01
            bar["L"] = None if traded is None else traded * 0.99
            bar["Vo"] = None if traded is None else 100.0 * traded
            bar["Va"] = None if traded is None else 100.0 * traded * traded
            rows.append({**self._key(column), **bar, "AdjFactor": self.factors.get(column, 1.0)})
        return rows

    def listed(self) -> list[dict[str, object]]:
        rows, fields = [], {**RECORD, **self.record}
        for column in range(len(self.closes)):
            fields |= self.later.get(column, {})
            if column not in self.unlisted:
                rows.append({**self._key(column), **fields})
        return rows

    def _key(self, column: int) -> dict[str, object]:
        return {"Date": weekdays(len(self.closes))[column].astype(object), "Code": self.code}


BAR_SCHEMA = pa.schema(
    [("Date", pa.date32()), ("Code", pa.string())]
    + [(name, pa.float64()) for name in ("O", "H", "L", "C", "Vo", "Va", "AdjFactor")]
)
LISTED_SCHEMA = pa.schema(
    [("Date", pa.date32()), *((name, pa.string()) for name in ("Code", *RECORD))]
)


def tables(*stocks: Stock) -> tuple[pa.Table, pa.Table]:
    """Bars and master records of some stocks."""
    bars = [row for stock in stocks for row in stock.bars()]
    listed = [row for stock in stocks for row in stock.listed()]
    return pa.Table.from_pylist(bars, BAR_SCHEMA), pa.Table.from_pylist(listed, LISTED_SCHEMA)


def calendar(n_columns: int) -> TradingCalendar:
    """The columns and two years of weekdays more."""
    return TradingCalendar(weekdays(n_columns + 520))


def market(*stocks: Stock, n_out: int) -> Market:
    """The stocks assembled, over as many columns as the first of them has."""
    bars, listed = tables(*stocks)
    n = len(stocks[0].closes)
    return assembled(bars, listed, calendar(n), weekdays(n), n_out)


def assembled(
    bars: pa.Table,
    listed: pa.Table,
    calendar: TradingCalendar,
    sessions: DateArray,
    n_out: int,
    **others: pa.Table,
) -> Market:
    """``assemble`` of bars, master records and some other sources; the rest is unavailable."""
    tables = {"daily_bars": bars, "listed": listed, **others}
    sources = {
        name: Source(
            padded(tables[name], name)
            if name in tables
            else endpoint_of(name).schema.empty_table(),
            endpoint_of(name).publication,
        )
        for name in COLUMNS
    }
    return assemble(sources, calendar, sessions, n_out)


def padded(table: pa.Table, source: str) -> pa.Table:
    """With nulls in the columns of the source that it lacks."""
    for column in endpoint_of(source).schema:
        if column.name not in table.column_names:
            table = table.append_column(column, pa.nulls(table.num_rows, column.type))
    return table


def panel(*stocks: Stock, n_out: int) -> Panel:
    """The panel of the stocks."""
    return market(*stocks, n_out=n_out).panel


def answering(panel: Panel, code: str, column: int) -> int:
    """The line that answers for a code on a column of the panel, found one by one."""
    wanted = column - (panel.n_columns - panel.n_out)
    own = [
        line
        for line in range(panel.n_lines)
        if panel.codes[panel.line_code[line]] == code
        and panel.line_first[line] <= wanted < panel.line_stop[line]
    ]
    (line,) = own
    return line


def date_of(column: int) -> dt.date:
    day: dt.date = weekdays(column + 1)[column].astype(object)
    return day
