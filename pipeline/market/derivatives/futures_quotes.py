"""Futures quotes (drv-bars-daily-fut) of three products, and which contract is front."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.market.calendar.sessions import DateArray
from pipeline.market.closed_lists import CENTRAL_MONTH, SETTLEMENT
from pipeline.market.panel.axis import (
    NOWHERE,
    Axis,
    FloatArray,
    IndexArray,
    Source,
    dates_of,
    numbers_of,
)
from pipeline.market.panel.daily_records import own_columns
from pipeline.market.texts import encoded

COLUMNS = (
    "ProdCat", "Date", "CM", "CCMFlag", "EmMrgnTrgDiv", "H", "L", "EC", "Settle", "OI", "LTD",
    "SQD",
)  # fmt: skip

_LAST_DAY = np.iinfo(np.int64).max


@dataclass(frozen=True, eq=False)
class Contracts:
    """The contracts of one product, contracts x columns, by ascending contract month.

    The last row is of no contract and null throughout, so that NOWHERE picks null. A contract is
    *live* on a column when it has a record there and its SQ day is still to come.

    Attributes:
        sessions: (columns,) datetime64[D].
        central: True where the exchange calls it the central contract month.
        high, low: of the whole trading day, night session included; NaN when nothing traded.
        night_close: close of the night session, which precedes the day session; NaN without one.
        settle: settlement price; NaN where none was struck.
        oi: open interest, contracts.
        last_day: last trading day; NaT where there is no record or it is unknown.
        sq_day: SQ day or, of bonds, delivery day; NaT likewise.
    """

    sessions: DateArray
    central: NDArray[np.bool_]
    high: FloatArray
    low: FloatArray
    night_close: FloatArray
    settle: FloatArray
    oi: FloatArray
    last_day: DateArray
    sq_day: DateArray

    @cached_property
    def live(self) -> NDArray[np.bool_]:
        """(contracts, columns); an unknown SQ day is not to come."""
        return self.sq_day > self.sessions

    @cached_property
    def front(self) -> IndexArray:
        """(columns,) row of the front contract; NOWHERE where no contract is live.

        The central contract month, else the largest open interest; ties go to the nearest SQ day.
        """
        central = self.live & self.central
        interest = np.where(self.live, np.nan_to_num(self.oi), -1.0)
        busiest = self.live & (interest == interest.max(axis=0))
        return self._nearest(np.where(central.any(axis=0), central, busiest))

    @cached_property
    def following(self) -> IndexArray:
        """(columns,) row of the nearest contract after the front one that somebody holds."""
        later = self.sq_day > self.at(self.front, self.sq_day)
        return self._nearest(self.live & later & (self.oi > 0.0))

    def at(self, row: IndexArray, values: NDArray[Any]) -> NDArray[Any]:
        """(columns,) ``values`` of one contract per column; null where NOWHERE."""
        return values[row, np.arange(row.size)]

    def before(self, row: IndexArray, values: FloatArray) -> FloatArray:
        """(columns,) ``values`` of the column before, of the contract given per column."""
        result = np.full(row.size, np.nan)
        result[1:] = values[row[1:], np.arange(row.size - 1)]
        return result

    def _nearest(self, eligible: NDArray[np.bool_]) -> IndexArray:
        """(columns,) eligible row with the nearest SQ day; NOWHERE where none is."""
        days = np.where(eligible, self.sq_day.astype(np.int64), _LAST_DAY)
        return np.where(eligible.any(axis=0), days.argmin(axis=0), NOWHERE)


@dataclass(frozen=True, eq=False)
class FuturesQuotes:
    """End-of-day quotes of the products features read.

    Attributes:
        topix: TOPIX futures.
        nikkei: Nikkei 225 futures.
        bond: 10-year government bond futures.
    """

    topix: Contracts
    nikkei: Contracts
    bond: Contracts


def futures_quotes(source: Source, axis: Axis) -> FuturesQuotes:
    """Arrange the rows of drv-bars-daily-fut along the columns.

    Left out are repeats of emergency margin, rows whose date is no column, and rows without a
    contract month. What is blank before 2016-07-19 (SQ days, settlement prices) stays null.
    """
    return FuturesQuotes(
        topix=_contracts(source, axis, "TOPIXF"),
        nikkei=_contracts(source, axis, "NK225F"),
        bond=_contracts(source, axis, "JGBLF"),
    )


def _contracts(source: Source, axis: Axis, product: str) -> Contracts:
    table = source.table.filter(
        pc.and_(
            pc.equal(source.table["ProdCat"], pa.scalar(product)),
            pa.array(SETTLEMENT.decode(source.table["EmMrgnTrgDiv"]) == 1.0),
        )
    )
    column = own_columns(Source(table, source.publication), axis)
    month, months = encoded(table["CM"])
    keep = (column >= 0) & np.array([text != "" for text in months], dtype=bool)[month]
    order = np.argsort(np.argsort(np.array(months, dtype=np.str_)))
    shape = (len(months) + 1, axis.n_columns)
    at = (order[month[keep]], column[keep])

    def dense(values: NDArray[Any], empty: object) -> NDArray[Any]:
        grid = np.full(shape, empty, dtype=values.dtype)
        grid[at] = values[keep]
        return grid

    def numbers(field: str) -> FloatArray:
        return dense(numbers_of(table[field]), np.nan)

    def prices(field: str) -> FloatArray:
        quoted = numbers(field)
        return np.where(quoted == 0.0, np.nan, quoted)  # 0: nothing traded, nothing struck

    def days(field: str) -> DateArray:
        return dense(dates_of(table[field]), np.datetime64("NaT"))

    return Contracts(
        sessions=axis.sessions,
        central=dense(CENTRAL_MONTH.decode(table["CCMFlag"]) == 1.0, empty=False),
        high=prices("H"),
        low=prices("L"),
        night_close=prices("EC"),
        settle=prices("Settle"),
        oi=numbers("OI"),
        last_day=days("LTD"),
        sq_day=days("SQD"),
    )
