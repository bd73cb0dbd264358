"""Raw tables of small markets, and chunks built from them: shared by the tests across packages.

``simulated`` takes the tables of the synthetic exchange; ``with_accidents`` adds what it does not
make; ``build`` wires tables to rows exactly as the chunk task does, without files.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass, replace
from functools import cached_property, lru_cache, partial
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.feather as feather

from pipeline.api.catalogue.endpoints import endpoint_of
from pipeline.api.decode.page_decoder import Decoder
from pipeline.api.decode.row_checks import ordered
from pipeline.api.http.pagination import Columns as ScannedColumns
from pipeline.features.engine import chunk_features, chunk_matrix
from pipeline.features.engine.chunk_features import months_of
from pipeline.features.engine.column_spec import FloatArray
from pipeline.features.engine.transforms import HISTORY
from pipeline.market.calendar.as_of import decision_time, visible
from pipeline.market.calendar.sessions import TradingCalendar
from pipeline.market.panel.assemble import COLUMNS
from pipeline.market.panel.axis import Source
from pipeline.market.panel.market_data import Market
from pipeline.simulator import Market as Exchange
from pipeline.simulator import MarketSpec
from tests.shared import once

Day = str | dt.date | np.datetime64

BAR_FIELDS = ("O", "H", "L", "C", "Vo", "Va")
CALENDAR = "trading_calendar"
SIMULATED_NAME = {CALENDAR: "calendar", "index_option": "index_options"}  # others are called alike


@dataclass(frozen=True, eq=False)
class Tables:
    """Raw tables with the columns and types of snapshots, by source; the calendar apart."""

    sources: Mapping[str, pa.Table]
    calendar: pa.Table

    @property
    def bars(self) -> pa.Table:
        return self.sources["daily_bars"]

    @property
    def listed(self) -> pa.Table:
        return self.sources["listed"]

    @cached_property
    def sessions(self) -> TradingCalendar:
        return TradingCalendar.from_table(self.calendar)

    def source(self, name: str) -> Source:
        """One source as ``assemble`` takes it."""
        return Source(self.sources[name], endpoint_of(name).publication)

    def replaced(self, **tables: pa.Table) -> Tables:
        """With other tables for some sources."""
        return replace(self, sources={**self.sources, **tables})

    def without(self, *sources: str) -> Tables:
        """As if some sources were unavailable."""
        return self.replaced(**{name: self.sources[name].slice(0, 0) for name in sources})

    def until(self, last: Day) -> Tables:
        """Without every row dated after ``last``; the calendar, published ahead, stays."""
        limit = pa.scalar(np.datetime64(last).astype(object), pa.date32())

        def cut(source: str, table: pa.Table) -> pa.Table:
            return table.filter(pc.less_equal(table[endpoint_of(source).date_field], limit))

        return self.each(cut)

    def public_for(self, session: Day) -> Tables:
        """What is public at the decision time of ``session``, and nothing else."""
        cutoff = decision_time(np.datetime64(session), self.sessions)

        def seen(source: str, table: pa.Table) -> pa.Table:
            return visible(table, endpoint_of(source).publication, cutoff, self.sessions)

        return replace(self.each(seen), calendar=seen(CALENDAR, self.calendar))

    def shuffled(self, seed: int) -> Tables:
        """The same rows in another order."""
        rng = np.random.default_rng(seed)
        return self.each(lambda _, table: table.take(pa.array(rng.permutation(table.num_rows))))

    def each(self, change: Callable[[str, pa.Table], pa.Table]) -> Tables:
        """Every source but the calendar changed by a function of its name and table."""
        changed = {name: change(name, table) for name, table in self.sources.items()}
        return replace(self, sources=changed)


SPEC = MarketSpec(seed=7, stocks=60, start=dt.date(2015, 1, 5), end=dt.date(2021, 1, 29))
"""A market whose fourth quarter of 2020 has all its warm-up and begins with the day of the system
failure."""

LONGEST = replace(SPEC, end=dt.date(2021, 6, 30))
"""The same market with what came in the same year: then the year up to its end has its warm-up."""

OPTIONS_FROM = dt.date(2019, 1, 4)


@lru_cache(maxsize=2)
def simulated(spec: MarketSpec, derivatives_from: dt.date | None = None) -> Tables:
    """The tables of a synthetic market; derivatives only from ``derivatives_from`` on.

    Made once for all test processes, and read in place. What is the beginning of ``LONGEST`` is
    cut from it: markets that differ only in their end are alike up to the earlier one, and the
    calendar is published for whole years.
    """
    whole = LONGEST if replace(spec, end=LONGEST.end) == LONGEST else spec
    name = "-".join(str(value) for value in (*astuple(whole), derivatives_from))
    folder = once(name, partial(_simulate, whole, derivatives_from))
    found = {path.stem: feather.read_table(path) for path in folder.iterdir()}
    tables = Tables({source: found[source] for source in COLUMNS}, found[CALENDAR])
    return tables if whole == spec else tables.until(spec.end)


def _simulate(spec: MarketSpec, derivatives_from: dt.date | None, folder: Path) -> None:
    exchange = Exchange(spec)
    for source in (*COLUMNS, CALENDAR):
        late = source in {"futures", "index_option"} and derivatives_from is not None
        first = derivatives_from if late else spec.start
        last = dt.date(spec.end.year + 2, 12, 31) if source == CALENDAR else spec.end
        rows = exchange.table(SIMULATED_NAME.get(source, source), first, last)
        table = as_snapshot(rows, source).combine_chunks()
        path = folder / f"{source}.arrow"
        feather.write_feather(table, path, "uncompressed", chunksize=max(table.num_rows, 1))


def as_snapshot(table: pa.Table, source: str) -> pa.Table:
    """Rows of the simulator as a snapshot holds them, by the decoder of the client."""
    endpoint = endpoint_of(source)
    arrays = {
        name: column.to_pylist() if pa.types.is_struct(column.type) else column
        for name, column in zip(table.column_names, table.columns, strict=True)
    }
    rows = ScannedColumns(table.num_rows, tuple(arrays), arrays)
    return ordered(Decoder(endpoint).table(rows, {}), endpoint)


def accident_codes(tables: Tables, first: Day) -> list[str]:
    """Six ordinary shares that trade every day around ``first`` and do not split."""
    here = tables.sessions.eff(np.datetime64(first))
    days = tables.sessions.sessions[here - 120 : here + 60].astype(object).tolist()
    bars = tables.bars.to_pandas()
    shares = bars[bars["Code"].str.endswith("0") & (bars["Code"].str[:4] >= "1700")]
    inside = shares[shares["Date"].isin(days) & shares["C"].notna()].groupby("Code")
    traded = inside["C"].size()
    steady = (traded == traded.max()) & (inside["AdjFactor"].nunique() == 1)
    return sorted(traded.index[steady])[:6]


def with_accidents(tables: Tables, first: Day) -> Tables:
    """The same market with what the synthetic exchange does not make.

    Counted from the session ``first``, the ``accident_codes`` get:

    0. no trade in the columns 5 to 29, longer than a close is carried;
    1. no master record in the columns 8 to 27: 20 columns, still one line;
    2. no master record in the columns 8 to 28: 21 columns, a new line;
    3. a split on column 12 and a reverse split on column 15, on which nothing trades; others long
       before, of which some chunks see fewer than others;
    4. the PRO market until column 10, Standard from then on;
    5. one constant price, on every third day no trade, a split on column 9.
    """
    sessions = tables.sessions.sessions
    here = tables.sessions.eff(np.datetime64(first))
    bars, listed = tables.bars.to_pandas(), tables.listed.to_pandas()

    def days(start: int, stop: int) -> list[dt.date]:
        return sessions[here + start : here + stop].astype(object).tolist()

    def rows(frame: pd.DataFrame, code: str, dates: list[dt.date]) -> pd.Series:
        return (frame["Code"] == code) & frame["Date"].isin(dates)

    codes = accident_codes(tables, first)
    bars.loc[rows(bars, codes[0], days(5, 30)), BAR_FIELDS] = np.nan
    listed = listed[~rows(listed, codes[1], days(8, 28))]
    listed = listed[~rows(listed, codes[2], days(8, 29))]
    for column, factor in ((-560, 1 / 3), (-530, 0.1), (-100, 0.7), (12, 0.25), (15, 3.0)):
        _split(bars, codes[3], days(column, column + 1)[0], factor)
    bars.loc[rows(bars, codes[3], days(15, 16)), BAR_FIELDS] = np.nan
    listed.loc[(listed["Code"] == codes[4]) & (listed["Date"] < days(10, 11)[0]), "Mkt"] = "0105"
    flat = bars["Code"] == codes[5]
    bars.loc[flat, ["O", "H", "L", "C"]] = 700.7
    bars.loc[flat, "Va"] = 700.7 * bars.loc[flat, "Vo"]
    bars.loc[rows(bars, codes[5], days(-400, 60)[::3]), BAR_FIELDS] = np.nan
    _split(bars, codes[5], days(9, 10)[0], 0.3)
    return tables.replaced(
        daily_bars=pa.Table.from_pandas(bars, schema=tables.bars.schema, preserve_index=False),
        listed=pa.Table.from_pandas(listed, schema=tables.listed.schema, preserve_index=False),
    )


def _split(bars: pd.DataFrame, code: str, ex_date: dt.date, factor: float) -> None:
    own = bars["Code"] == code
    bars.loc[own & (bars["Date"] == ex_date), "AdjFactor"] = factor
    later = own & (bars["Date"] >= ex_date)
    bars.loc[later, ["O", "H", "L", "C"]] *= factor
    bars.loc[later, "Vo"] /= factor


@dataclass(frozen=True, eq=False)
class Chunk:
    """Inputs and base values of one build.

    Attributes:
        market: the arrays, warm-up included.
        sessions: (days,) wanted sessions.
        base: name -> values over HISTORY + days columns, as stored.
    """

    market: Market
    sessions: np.ndarray
    base: dict[str, FloatArray]

    def rows(self, threads: int = 1) -> pa.Table:
        """Rows of all days, made month by month as the task makes them."""
        days = self.sessions.size
        members = chunk_matrix.members(self.market, days)
        parts = [
            chunk_matrix.rows(members, self.base, start, stop, threads)
            for start, stop in months_of(self.sessions)
        ]
        return pa.concat_tables(parts).combine_chunks()

    def value(self, name: str, session: Day, code: str) -> float:
        """Base value as stored, NaN = null."""
        values = self.base[name]
        column = HISTORY + int(np.searchsorted(self.sessions, np.datetime64(session)))
        if values.ndim == 1:
            return float(values[column])
        return float(values[np.searchsorted(self.market.panel.codes, code), column])


def build(tables: Tables, first: Day, last: Day, *, earlier: int = 0, threads: int = 1) -> Chunk:
    """Base values of the sessions from ``first`` to ``last``.

    Args:
        tables: raw tables; rows outside the panel's columns do not matter.
        first, last: calendar days, both included.
        earlier: columns by which the panel starts earlier than it has to.
        threads: as in the task.
    """
    sources = {name: tables.source(name) for name in tables.sources}
    sessions = tables.sessions.between(np.datetime64(first), np.datetime64(last))
    market = chunk_features.market_of(sources, tables.sessions, sessions, earlier)
    return Chunk(market, sessions, chunk_matrix.base_values(market, sessions.size, threads))


def between(rows: pa.Table, first: Day, last: Day) -> pa.Table:
    """The rows of some days."""
    bounds = [pa.scalar(np.datetime64(day).astype(object), pa.date32()) for day in (first, last)]
    date = rows["Date"]
    inside = pc.and_(pc.greater_equal(date, bounds[0]), pc.less_equal(date, bounds[1]))
    return rows.filter(inside).combine_chunks()


def differing(seen: pa.Table, expected: pa.Table) -> list[str]:
    """Columns that differ in a null or in a single bit, minus zero included."""
    if seen.schema != expected.schema or seen.num_rows != expected.num_rows:
        return ["schema or number of rows"]
    return [
        name
        for name in expected.column_names
        if not seen[name].equals(expected[name]) or _bits(seen[name]) != _bits(expected[name])
    ]


def _bits(column: pa.ChunkedArray) -> bytes:
    if not pa.types.is_floating(column.type):
        return b""  # equal values have equal bits
    filled: bytes = column.fill_null(0.0).to_numpy().tobytes()
    return filled


def assert_same_rows(seen: pa.Table, expected: pa.Table) -> None:
    """Bit-identical rows; names at most five of the columns that are not."""
    assert expected.num_rows > 0
    names = differing(seen, expected)
    assert not names, f"{len(names)} columns differ, first {names[:5]}"
