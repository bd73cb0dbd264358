"""Label tables of small markets: what the label task does, without files."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from pipeline.features.engine import chunk_features, chunk_matrix
from pipeline.features.engine.chunk_features import months_of
from pipeline.features.labels import label_rows
from pipeline.features.labels.label_values import AHEAD, VOLATILITY
from pipeline.features.price import volatility
from pipeline.market.panel.outcomes import Outcomes, outcomes_of
from tests.markets import Day, Tables

NEEDED = ("daily_bars", "listed", "topix")


def members(tables: Tables, first: Day, last: Day) -> pa.Table:
    """Keys of the rows of some days, and their realised volatility as it is stored."""
    others = [name for name in tables.sources if name not in NEEDED]
    sources = {name: tables.without(*others).source(name) for name in tables.sources}
    sessions = tables.sessions.between(np.datetime64(first), np.datetime64(last))
    market = chunk_features.market_of(sources, tables.sessions, sessions)
    days = chunk_matrix.members(market, sessions.size)
    stored = market.panel.pick(volatility.compute(market)[VOLATILITY])[:, -sessions.size :]
    day, code = np.nonzero(days.universe.T)
    return pa.table(
        {
            "Date": pa.array(sessions[day].astype("datetime64[D]"), pa.date32()),
            "Code": pa.array(days.codes[code].tolist(), pa.string()),
            VOLATILITY: pa.array(stored[code, day].astype(np.float32), from_pandas=True),
        }
    )


def outcomes(tables: Tables, rows: pa.Table, ahead: int = AHEAD) -> Outcomes:
    """What became of these rows, with ``ahead`` columns after the last of them."""
    sessions = tables.sessions.sessions
    dates = rows["Date"].to_numpy().astype("datetime64[D]")
    start, end = (tables.sessions.index(day) for day in (dates.min(), dates.max()))
    return outcomes_of(
        rows,
        VOLATILITY,
        *(tables.sources[name] for name in NEEDED),
        sessions[start : end + ahead + 1],
    )


def label_table(found: Outcomes) -> pa.Table:
    """All rows, made month by month as the task makes them."""
    months = months_of(found.sessions[: found.days])
    return pa.concat_tables(label_rows.rows(found, *month) for month in months).combine_chunks()
