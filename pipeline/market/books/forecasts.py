"""The guidance book: what each company forecasts for a fiscal year, as of each column.

1. ``_disclosures``: the documents that may carry forecasts, in the order they were disclosed.
2. ``_chains``: per item, every forecast in the chain of its code, target year and scope. F-fields
   are about the fiscal year of the document, NxF-fields about the next one.
3. ``ForecastChains`` answers as of a column T, from the forecasts in force then: the latest one
   for a year, its last change, the revisions of a window. Each T is answered by itself.

Consolidated forecasts count; the non-consolidated ones (NC) only while there is no consolidated
one for the year. Only a change against an earlier forecast of the same year is a revision.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np
import pyarrow as pa

from pipeline.market.books.fiscal_periods import NO_YEAR, YEAR, year_of
from pipeline.market.books.record_in_force import NO_ROW, offsets_of
from pipeline.market.books.statement_book import order_of_disclosure
from pipeline.market.closed_lists import DOCUMENT
from pipeline.market.jit import jit
from pipeline.market.panel import share_basis
from pipeline.market.panel.axis import Axis, FloatArray, IndexArray, Source, dates_of, numbers_of
from pipeline.market.panel.price_panel import SAME_PRICE, BoolArray

Item: TypeAlias = Literal["Sales", "OP", "NP", "DivAnn"]

#: Columns for which a forecast in yen counts after it became public: the deepest look-back of the
#: event tables. An amount per share counts while it can be restated.
DEPTH: Final = 1100
#: A forecast older than this many columns is no current guidance.
CURRENT: Final = 300

# item -> (this year's field, next year's field) of the consolidated and non-consolidated scope
_FIELDS: Final[Mapping[Item, tuple[tuple[str, str], ...]]] = {
    "Sales": (("FSales", "NxFSales"), ("FNCSales", "NxFNCSales")),
    "OP": (("FOP", "NxFOP"), ("FNCOP", "NxFNCOP")),
    "NP": (("FNP", "NxFNp"), ("FNCNP", "NxFNCNP")),  # the vendor's spelling
    "DivAnn": (("FDivAnn", "NxFDivAnn"),),
}

COLUMNS: tuple[str, ...] = (
    "DiscDate", "DiscTime", "Code", "DiscNo", "DocType", "CurFYEn", "NxtFYEn",
    *(name for scopes in _FIELDS.values() for pair in scopes for name in pair),
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Forecast:
    """One amount per code and wanted column, as published.

    Attributes:
        value: (codes, n_out) yen, or yen per share in the basis of ``column``; NaN = none.
        column: (codes, n_out) column of the row that supplied it; 0 where there is none.
    """

    value: FloatArray
    column: IndexArray


@dataclass(frozen=True, eq=False)
class Revisions:
    """Changes of forecasts in a window of columns, (codes, n_out) each.

    Attributes:
        net: upward less downward changes, whole numbers.
        since_change: columns since the last change of the window; NaN = none.
        since_forecast: columns since the newest forecast, in the window or not; NaN = none.
    """

    net: FloatArray
    since_change: FloatArray
    since_forecast: FloatArray


@dataclass(frozen=True, eq=False)
class ForecastChains:
    """All forecasts of one item, sorted by code, target year, scope and disclosure.

    A chain is the run of rows of one code, year and scope; consolidated comes first.

    Attributes:
        first_wanted: column of the first answer.
        depth: columns a row counts after it became public.
        offsets: (codes + 1,) the rows of code i are ``offsets[i]:offsets[i + 1]``.
        year: (rows,) target year, the month of its end (months since 1970).
        own: (rows,) True for the non-consolidated scope.
        column: (rows,) first column in which the row is in force.
        value: (rows,) as published.
        change: (rows,) value less the one before in the chain, in the basis of ``column``; 0
            where the two are equal, NaN in the first row of a chain and where the one before
            cannot be restated.
    """

    first_wanted: int
    depth: int
    offsets: IndexArray
    year: IndexArray
    own: BoolArray
    column: IndexArray
    value: FloatArray
    change: FloatArray

    def latest(self, year: FloatArray, upto: IndexArray) -> IndexArray:
        """Rows with the last forecasts for ``year`` in force on column ``upto``, as of T.

        Args:
            year: (codes, n_out) target years; NaN finds nothing.
            upto: (codes, n_out) or (n_out,) columns, none after T.

        Returns:
            (codes, n_out), -1 where there is none.
        """
        upto = np.ascontiguousarray(np.broadcast_to(upto, year.shape))
        return _latest(self.offsets, self.year, self.own, self.column, year, upto,
                       self.first_wanted - self.depth)  # fmt: skip

    def last_change(self, latest: IndexArray) -> IndexArray:
        """Rows of the last changes in the chains up to the rows ``latest``; -1 where none."""
        return _last_change(self.column, self.change, latest, self.first_wanted - self.depth)

    def revisions(self, window: int, n_out: int) -> Revisions:
        """Changes of any year's forecast whose column is in [T-window+1..T]."""
        counts = _revisions(self.offsets, self.year, self.own, self.column, self.change, window,
                            self.first_wanted, self.depth, n_out)  # fmt: skip
        return Revisions(*counts)

    def taken(self, rows: IndexArray) -> Forecast:
        """Values and columns of rows; none where a row is -1."""
        return Forecast(np.append(self.value, np.nan)[rows], np.append(self.column, 0)[rows])


@dataclass(frozen=True, eq=False)
class Forecasts:
    """Full-year forecasts of each item; see ``Forecast`` for what the methods return.

    Attributes:
        columns: (n_out,) the wanted columns T.
        chains: of each item.
    """

    columns: IndexArray
    chains: Mapping[Item, ForecastChains]

    def current(self, item: Item, year: FloatArray) -> Forecast:
        """g(item): latest forecast for ``year`` in force on T, at most CURRENT columns old.

        Args:
            item: Sales, OP, NP (yen) or DivAnn (yen per share).
            year: (codes, n_out) month in which the target year ends, see ``market.fiscal``;
                NaN = none. fy* is ``Statements.forecast_year``.
        """
        chains = self.chains[item]
        return chains.taken(self._current_rows(item, year))

    def last_change(self, item: Item, year: FloatArray) -> Forecast:
        """Last change of ``current``: the difference, and the column that brought it.

        An amount per share is in the basis of that column. 0 where the forecast never changed,
        NaN where there is no current one.
        """
        chains = self.chains[item]
        latest = self._current_rows(item, year)
        changed = chains.last_change(latest)
        amount = np.append(chains.change, np.nan)[changed]
        amount[(changed == NO_ROW) & (latest != NO_ROW)] = 0.0
        return Forecast(amount, np.append(chains.column, 0)[changed])

    def before(self, item: Item, year: FloatArray, column: IndexArray) -> Forecast:
        """Last forecast for ``year`` in force strictly before ``column``, (codes, n_out).

        Args:
            item: as in ``current``.
            year: (codes, n_out) as in ``current``.
            column: (codes, n_out) not after T.
        """
        chains = self.chains[item]
        return chains.taken(chains.latest(year, column - 1))

    def revisions(self, item: Item, window: int) -> Revisions:
        """What changed in the forecasts of any year in the last ``window`` columns."""
        return self.chains[item].revisions(window, self.columns.size)

    def just_before(self, change: Forecast, series: FloatArray) -> FloatArray:
        """A series of the panel on the column before a change.

        Args:
            change: what ``last_change`` returned.
            series: (codes, columns).

        Returns:
            (codes, n_out); NaN for a change more than CURRENT columns old, so that nothing
            depends on how far back the panel reaches.
        """
        at = change.column - 1
        inside = (at >= 0) & (self.columns - change.column <= CURRENT)
        return np.where(inside, np.take_along_axis(series, np.where(inside, at, 0), 1), np.nan)

    def _current_rows(self, item: Item, year: FloatArray) -> IndexArray:
        chains = self.chains[item]
        rows = chains.latest(year, self.columns)
        too_old = self.columns - chains.taken(rows).column > CURRENT
        return np.where(too_old, NO_ROW, rows)


def forecasts(source: Source, axis: Axis) -> Forecasts:
    """Arrange the rows of fin-summary as chains of forecasts."""
    found = _disclosures(source, axis)
    chains: dict[Item, ForecastChains] = {item: _chains(item, found, axis) for item in _FIELDS}
    return Forecasts(np.arange(axis.first_wanted, axis.n_columns), chains)


@dataclass(frozen=True, eq=False)
class _Disclosures:
    """Documents in the order they were disclosed, (rows,) each."""

    table: pa.Table
    code: IndexArray
    column: IndexArray
    this_year: IndexArray
    next_year: IndexArray


def _disclosures(source: Source, axis: Axis) -> _Disclosures:
    """Rows of codes on the axis that some wanted column may see, with their target years."""
    table = source.table.select(COLUMNS)
    code, column = axis.position_of(table["Code"]), axis.visible_from(source)
    year_end = dates_of(table["CurFYEn"])
    forecasting = DOCUMENT.known(table["DocType"])
    keep = axis.may_count(code, column, axis.first_wanted - DEPTH)
    keep &= ~np.isnat(year_end) & forecasting
    rows = np.flatnonzero(keep)
    rows = rows[order_of_disclosure(table.take(pa.array(rows)))]
    this_year, next_year = year_of(year_end[rows]), year_of(dates_of(table["NxtFYEn"])[rows])
    next_year = np.where(next_year == NO_YEAR, this_year + YEAR, next_year)
    return _Disclosures(table.take(pa.array(rows)), code[rows], column[rows], this_year, next_year)


def _chains(item: Item, found: _Disclosures, axis: Axis) -> ForecastChains:
    rows, years, scopes, values = [], [], [], []
    for own, pair in enumerate(_FIELDS[item]):
        for name, target in zip(pair, (found.this_year, found.next_year), strict=True):
            amounts = numbers_of(found.table[name])
            at = np.flatnonzero(~np.isnan(amounts))
            rows.append(at)
            years.append(target[at])
            scopes.append(np.full(at.size, bool(own)))
            values.append(amounts[at])
    row, year, scope = np.concatenate(rows), np.concatenate(years), np.concatenate(scopes)
    order = np.lexsort((row, scope, year, found.code[row]))
    row, year, scope = row[order], year[order], scope[order]
    code, column, value = found.code[row], found.column[row], np.concatenate(values)[order]

    per_share = item == "DivAnn"
    linked = np.zeros(value.size, np.bool_)
    linked[1:] = (np.diff(code) == 0) & (np.diff(year) == 0) & (scope[1:] == scope[:-1])
    before = np.roll(value, 1)
    if per_share:
        before *= share_basis.restated(axis.adj_factor, code, np.roll(column, 1), column)
    return ForecastChains(
        first_wanted=axis.first_wanted,
        depth=share_basis.DEPTH if per_share else DEPTH,
        offsets=offsets_of(code, axis.codes.size),
        year=year,
        own=scope,
        column=column,
        value=value,
        change=np.where(linked, _change(value, before), np.nan),
    )


def _change(now: FloatArray, before: FloatArray) -> FloatArray:
    """Difference of two forecasts; 0 where they are equal by SAME_PRICE."""
    same = np.abs(now - before) <= SAME_PRICE * np.maximum(np.abs(now), np.abs(before))
    return np.where(same, 0.0, now - before)


@jit
def _latest(
    offsets: IndexArray,
    year: IndexArray,
    own: BoolArray,
    column: IndexArray,
    wanted: FloatArray,
    upto: IndexArray,
    oldest: int,
) -> IndexArray:
    """Kernel of ``ForecastChains.latest``; rows before ``oldest`` + t do not count for T = t."""
    result = np.full(wanted.shape, NO_ROW)
    for i in range(wanted.shape[0]):
        for t in range(wanted.shape[1]):
            found = NO_ROW
            for row in range(offsets[i], offsets[i + 1]):
                in_force = oldest + t <= column[row] <= upto[i, t]
                # Consolidated rows come first: a row of the other scope never replaces one.
                replaces = found == NO_ROW or own[row] == own[found]
                if in_force and year[row] == wanted[i, t] and replaces:
                    found = row
            result[i, t] = found
    return result


@jit
def _last_change(
    column: IndexArray, change: FloatArray, latest: IndexArray, oldest: int
) -> IndexArray:
    """Kernel of ``ForecastChains.last_change``: back along the chain while rows count."""
    result = np.full(latest.shape, NO_ROW)
    for i in range(latest.shape[0]):
        for t in range(latest.shape[1]):
            row = latest[i, t]
            # NaN, in a first row, is not linked to the row before.
            while row > 0 and not np.isnan(change[row]) and column[row - 1] >= oldest + t:
                if change[row] != 0.0:
                    result[i, t] = row
                    break
                row -= 1
    return result


@jit
def _revisions(
    offsets: IndexArray,
    year: IndexArray,
    own: BoolArray,
    column: IndexArray,
    change: FloatArray,
    window: int,
    first_wanted: int,
    depth: int,
    n_out: int,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Kernel of ``ForecastChains.revisions``: the fields of ``Revisions``."""
    shape = (offsets.size - 1, n_out)
    net = np.zeros(shape)
    since_change = np.full(shape, np.nan)
    since_forecast = np.full(shape, np.nan)
    for i in range(shape[0]):
        for t in range(n_out):
            now = first_wanted + t
            consolidated = False  # is there a consolidated forecast of the row's year in force
            for row in range(offsets[i], offsets[i + 1]):
                if row == offsets[i] or year[row] != year[row - 1]:
                    consolidated = False
                age = now - column[row]
                if age < 0 or age > depth:
                    continue
                consolidated |= not own[row]
                if own[row] and consolidated:
                    continue
                if not age >= since_forecast[i, t]:  # NaN: the first one
                    since_forecast[i, t] = age
                if age >= window or np.isnan(change[row]) or change[row] == 0.0:
                    continue
                if now - column[row - 1] > depth:
                    continue
                net[i, t] += 1.0 if change[row] > 0.0 else -1.0
                if not age >= since_change[i, t]:
                    since_change[i, t] = age
    return net, since_change, since_forecast
