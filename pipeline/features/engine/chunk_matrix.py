"""From a market to the columns of a chunk.

1. ``base_values``: every family once, for the wanted columns and the 20 before them. Families
   whose lines are independent run in blocks of lines, several at a time; those that need columns
   of other families run last.
2. Values are brought from lines to codes and blanked outside the universe: "as stored".
3. ``rows``: for a run of days, base columns and their transforms in catalogue order, as Arrow
   arrays sorted by Date, Code. Called month by month, it bounds memory by a month of rows.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.features.engine import transforms
from pipeline.features.engine.catalogue import FAMILIES, Family, column_schema, features
from pipeline.features.engine.column_spec import BoolArray, Feature, FloatArray, Scope
from pipeline.features.engine.transforms import HISTORY, NULL_INT8, transform_class
from pipeline.market.calendar.sessions import DateArray
from pipeline.market.panel.market_data import Market

_BLOCK = 1000  # lines per task: large enough to amortise, small enough to balance two threads

Column: TypeAlias = "pa.Array[Any]"


def base_values(
    market: Market,
    days: int,
    threads: int = 1,
    unavailable: Collection[str] = (),
    columns: MutableMapping[str, FloatArray] | None = None,
) -> Mapping[str, FloatArray]:
    """Base columns as stored, in float64.

    Args:
        market: inputs of the chunk; ``panel.n_out`` is the days of the chunk plus HISTORY, or
            less where the data begin within the history.
        days: sessions of the chunk, the last columns of the panel.
        threads: families and blocks computed at a time.
        unavailable: endpoints without data; every column that reads one is null.
        columns: where the columns are put, one by one as they are ready; a dict by default.

    Returns:
        name -> (codes, HISTORY + days), NaN = null and outside the universe; or
        (HISTORY + days,) for a column that has one value per date.
    """
    absent = frozenset(unavailable)
    known: MutableMapping[str, FloatArray] = {} if columns is None else columns

    def keep(family: Family, values: Mapping[str, FloatArray]) -> None:
        for feature in family.FEATURES:
            column = _in_universe(market, values[feature.name])
            known[feature.name] = (
                np.full_like(column, np.nan) if absent & feature.endpoints else column
            )

    with ThreadPoolExecutor(threads) as pool:
        independent = pool.map(
            lambda family: (family, _checked(family, family.compute(market))), _of_scope("market")
        )
        for family, values in _line_families(market, pool):
            keep(family, values)
        for family, values in independent:
            keep(family, values)
    for family in _of_scope("derived"):
        keep(family, _checked(family, family.compute(market, known)))
    if market.panel.n_out < HISTORY + days:
        for name in list(known):
            known[name] = _padded(known[name], HISTORY + days)
    return known


def _of_scope(scope: Scope) -> list[Family]:
    return [family for family in FAMILIES if scope == family.SCOPE]


def _line_families(
    market: Market, pool: ThreadPoolExecutor
) -> Iterator[tuple[Family, dict[str, FloatArray]]]:
    """Families whose lines are independent, one after the other, in blocks of lines."""
    panel = market.panel
    bounds = [(a, min(a + _BLOCK, panel.n_lines)) for a in range(0, panel.n_lines, _BLOCK)]
    # One market per block for all families: they share what it caches.
    blocks = [replace(market, panel=panel.block(*ends)) for ends in bounds]
    for family in _of_scope("line"):
        whole = {
            feature.name: np.empty((panel.n_lines, panel.n_out)) for feature in family.FEATURES
        }
        parts = pool.map(family.compute, blocks)
        for (start, stop), part in zip(bounds, parts, strict=True):
            for name, values in _checked(family, part).items():
                whole[name][start:stop] = values
        yield family, whole


def _checked(family: Family, values: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
    declared = [feature.name for feature in family.FEATURES]
    if sorted(values) != sorted(declared):
        raise AssertionError(f"{family}: computes {sorted(values)}, declares {sorted(declared)}")
    return dict(values)


def _in_universe(market: Market, values: FloatArray) -> FloatArray:
    """Codes x columns, null outside the universe; one value per date stays as it is."""
    if values.ndim == 1:
        return values
    universe = market.master.universe[:, -market.panel.n_out :]
    return np.where(universe, market.panel.pick(values), np.nan)


def _padded(values: FloatArray, width: int) -> FloatArray:
    """Null columns in front where the data begin within the history."""
    padding = [(0, 0)] * (values.ndim - 1) + [(width - values.shape[-1], 0)]
    return np.pad(values, padding, constant_values=np.nan)


@dataclass(frozen=True, eq=False)
class Members:
    """Who has a row on the days of a chunk: all that rows need beside the base values.

    Attributes:
        sessions: (days,) datetime64[D].
        codes: (codes,) ascending.
        universe: (codes, days) True where the code has a row.
        sector: (codes, days) S33 number, NaN for none.
    """

    sessions: DateArray
    codes: NDArray[np.str_]
    universe: BoolArray
    sector: FloatArray


def members(market: Market, days: int) -> Members:
    """The members of the last ``days`` columns; nothing else of the market is kept."""
    last = np.s_[:, -days:]
    master = market.master
    universe, sector = master.universe[last].copy(), master.s33[last].copy()
    return Members(market.panel.sessions[-days:], market.panel.codes, universe, sector)


def rows(
    members: Members,
    base: Mapping[str, FloatArray],
    first: int,
    stop: int,
    threads: int = 1,
) -> pa.Table:
    """The chunk's rows of some of its days.

    Args:
        members: who has a row on the days of the chunk.
        base: what ``base_values`` returned for these days.
        first, stop: days [first, stop), counted from the chunk's first day.
        threads: columns computed at a time.

    Returns:
        Date, Code and every catalogue column, one row per member of each day's universe,
        sorted by Date, Code.
    """
    layout = _Layout(members, first, stop)
    with ThreadPoolExecutor(threads) as pool:
        groups = pool.map(lambda feature: _columns(layout, feature, base[feature.name]), features())
        arrays = [array for group in groups for array in group]
    return pa.Table.from_arrays([*layout.keys(), *arrays], schema=column_schema())


class _Layout:
    """Where the rows of days [first, stop) are: shared by all columns."""

    def __init__(self, members: Members, first: int, stop: int) -> None:
        self.window = slice(first, stop + HISTORY)  # of the base values, history in front
        self.days = slice(first + HISTORY, stop + HISTORY)
        self.sessions = members.sessions[first:stop]
        self.codes = members.codes
        self.member = np.ascontiguousarray(members.universe[:, first:stop].T)
        self.n_rows = int(self.member.sum())
        place = np.cumsum(self.member.ravel(), dtype=np.int32).reshape(self.member.shape) - 1
        self.row_of_day = np.where(self.member, place, np.int32(-1)).astype(np.int32)
        self.row_of_code = np.ascontiguousarray(self.row_of_day.T)
        self.n_sectors, self.sector_of = _numbered(members.sector[:, first:stop].T)
        self.day_of_row = np.repeat(np.arange(self.sessions.size), self.member.sum(axis=1))

    def keys(self) -> tuple[Column, Column]:
        code_of_row = np.nonzero(self.member)[1]
        dates = pa.array(self.sessions[self.day_of_row].astype("datetime64[D]"), type=pa.date32())
        return dates, pa.array(self.codes.tolist(), type=pa.string()).take(code_of_row)


def _numbered(sectors: FloatArray) -> tuple[int, NDArray[np.int16]]:
    """Sectors numbered from 0 in ascending order; NaN gets a number too, and no row has it."""
    known, numbers = np.unique(sectors, return_inverse=True, equal_nan=True)
    return int(known.size), np.ascontiguousarray(numbers.reshape(sectors.shape).astype(np.int16))


def _columns(layout: _Layout, feature: Feature, values: FloatArray) -> list[Column]:
    """One base column and its transforms as Arrow arrays in column order."""
    if values.ndim == 1:
        return _market_wide(layout, feature, values)
    by_day = np.ascontiguousarray(values[:, layout.days].T)
    columns = [_stored(by_day[layout.member], feature)]
    kind = transform_class(feature)
    if kind in "XSM":
        columns += _time_series(np.ascontiguousarray(values[:, layout.window]),
                                layout.row_of_code)  # fmt: skip
    if kind in "XF":
        columns += _sector(layout, by_day)
    if kind in "XSF":
        columns += _cross_section(layout, by_day)
    return columns


def _market_wide(layout: _Layout, feature: Feature, values: FloatArray) -> list[Column]:
    """One value per date: transform the series once, then repeat it over the day's rows."""
    per_day = [_stored(values[layout.days], feature)]
    if transform_class(feature) == "M":
        days = np.arange(layout.sessions.size, dtype=np.int32)[None, :]
        per_day += _time_series(values[None, layout.window], days)
    return [array.take(layout.day_of_row) for array in per_day]


def _time_series(x: FloatArray, row_of: NDArray[np.int32]) -> list[Column]:
    n_rows = int(row_of.max(initial=-1)) + 1
    mean, std, zscore = (np.empty(n_rows, dtype=np.float32) for _ in range(3))
    flag = np.empty(n_rows, dtype=np.int8)
    transforms.time_series(x, row_of, mean, std, zscore, flag)
    return [_floats(mean), _floats(std), _floats(zscore), _flags(flag)]


def _sector(layout: _Layout, x: FloatArray) -> list[Column]:
    mean, relative = (np.empty(layout.n_rows, dtype=np.float32) for _ in range(2))
    transforms.sector(x, layout.sector_of, layout.row_of_day, layout.n_sectors, mean, relative)
    return [_floats(mean), _floats(relative)]


def _cross_section(layout: _Layout, x: FloatArray) -> list[Column]:
    rank, pct = (np.empty(layout.n_rows, dtype=np.float32) for _ in range(2))
    top, bottom = (np.empty(layout.n_rows, dtype=np.int8) for _ in range(2))
    order = np.argsort(x, axis=1)
    transforms.cross_section(x, order, layout.row_of_day, rank, pct, top, bottom)
    return [_floats(rank), _floats(pct), _flags(top), _flags(bottom)]


def _stored(values: FloatArray, feature: Feature) -> Column:
    if feature.dtype == "float32":
        return _floats(values.astype(np.float32))
    missing = np.isnan(values)
    whole = np.where(missing, 0, values).astype(feature.dtype)
    return pa.array(whole, mask=missing)


def _floats(values: NDArray[np.float32]) -> Column:
    column: Column = pa.array(values, from_pandas=True)  # NaN becomes null
    return column


def _flags(values: NDArray[np.int8]) -> Column:
    return pa.array(values, mask=values == NULL_INT8)
