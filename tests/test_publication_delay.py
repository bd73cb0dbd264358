"""A record published one day later moves its value by one row, in every source.

For some days of the quarter, the records that became public on them are delayed by one session.
The row of that day must then be the row without those records; and every row before it, and the
keys, must not change at all.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from pipeline.api.catalogue.endpoints import endpoint_of
from pipeline.features.engine import catalogue
from pipeline.features.engine.transforms import transforms_of
from pipeline.market.calendar.as_of import first_visible_column
from tests.markets import OPTIONS_FROM, SPEC, Tables, between, build, differing, simulated

FIRST, LAST = "2020-10-05", "2020-11-30"

#: Sources whose records are joined by publication, and the column that carries its date.
STAMPS = {
    "fin_summary": "DiscDate",
    "dividend": "PubDate",
    "earnings_date": "PubDate",
    "margin_interest": "PubDate",
    "margin_alert": "PubDate",
    "short_sale": "DiscDate",
    "investor_types": "PubDate",
}

#: Sources joined by their own date.
DAILY = ("topix", "indices", "short_ratio", "breakdown", "futures", "index_option")

#: Source of each endpoint.
SOURCES = {endpoint_of(source).id: source for source in (*STAMPS, *DAILY)}


@pytest.fixture(scope="module")
def tables() -> Tables:
    return simulated(SPEC, OPTIONS_FROM)


@pytest.fixture(scope="module")
def quarter(tables: Tables) -> pa.Table:
    return build(tables, FIRST, LAST).rows()


def visible_from(tables: Tables, source: str) -> np.ndarray:
    """Session from which each record of a source counts; sessions are positions."""
    given = tables.source(source)
    return first_visible_column(given.table, given.publication, tables.sessions)


def busiest_session(tables: Tables, source: str) -> int:
    """The session of the range, not among its last, on which most records become public."""
    sessions = tables.sessions
    low, high = sessions.eff(np.datetime64(FIRST)), sessions.eff(np.datetime64(LAST)) - 3
    here = visible_from(tables, source)
    here = here[(here >= low) & (here <= high)]
    return int(np.bincount(here).argmax())


def columns_of(source: str) -> set[str]:
    """Columns that read a source: the only ones that may change."""
    return {
        feature.name + suffix
        for feature in catalogue.features()
        if source in {SOURCES.get(endpoint) for endpoint in feature.endpoints}
        for suffix in ("", *(transform.suffix for transform in transforms_of(feature)))
    }


def delayed(tables: Tables, source: str, session: int) -> Tables:
    """The records that become public on ``session`` do so on the next one."""
    table = tables.sources[source]
    moved = visible_from(tables, source) == session
    calendar = tables.sessions.sessions
    later = calendar[session + 1]
    if source == "earnings_date":
        later = calendar[session]  # counts from the day after its date
    stamps = table[STAMPS[source]].to_pandas()
    stamps[moved] = later.astype(object)
    column = table.column_names.index(STAMPS[source])
    array = pa.array(stamps, pa.date32(), from_pandas=True)
    return tables.replaced(**{source: table.set_column(column, STAMPS[source], array)})


def without(tables: Tables, source: str, session: int) -> Tables:
    """No record of a source becomes public on ``session``."""
    kept = visible_from(tables, source) != session
    return tables.replaced(**{source: tables.sources[source].filter(pa.array(kept))})


@pytest.mark.parametrize("source", STAMPS)
def test_a_record_published_a_day_later_counts_a_day_later(
    tables: Tables, quarter: pa.Table, source: str
):
    """Rows before the day: unchanged. The row of the day: as if the records did not exist. The
    records do matter: without the delay the row is another one. No other column changes."""
    session = busiest_session(tables, source)
    day, before = (tables.sessions.sessions[session - k] for k in (0, 1))
    moved = build(delayed(tables, source, session), FIRST, LAST).rows()
    absent = build(without(tables, source, session), FIRST, LAST).rows()
    assert not differing(between(moved, FIRST, before), between(quarter, FIRST, before))
    assert not differing(between(moved, day, day), between(absent, day, day))
    changed = set(differing(moved, quarter))
    assert changed & set(differing(between(moved, day, day), between(quarter, day, day)))
    assert changed <= columns_of(source)


@pytest.mark.parametrize("source", [*STAMPS, *DAILY])
def test_every_source_moves_its_columns(tables: Tables, quarter: pa.Table, source: str):
    """Each base column that reads the source by itself has another value without its records, and
    no column changes that does not name the source among its inputs."""
    gone = build(tables.without(source), FIRST, LAST).rows()
    changed = set(differing(gone, quarter))
    own = {
        feature.name
        for feature in catalogue.features()
        if {SOURCES.get(endpoint) for endpoint in feature.endpoints} == {source}
    }
    assert own <= changed
    assert changed <= columns_of(source)


def test_margin_balances_without_a_publication_day_follow_the_rule(tables: Tables):
    """Weekly balances carry no PubDate: Friday's are public on the second session after it."""
    table = tables.sources["margin_interest"]
    missing = pc.is_null(table["PubDate"]).to_numpy()
    dates = pd.to_datetime(table["Date"].to_pandas())[missing]
    seen = tables.sessions.sessions[visible_from(tables, "margin_interest")[missing]]
    assert missing.any()
    assert (seen > dates.to_numpy()).all()
    assert (np.busday_count(dates.to_numpy().astype("datetime64[D]"), seen) >= 2).all()
