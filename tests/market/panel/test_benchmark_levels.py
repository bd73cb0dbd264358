"""Index levels along the trading columns."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import pyarrow as pa

from pipeline.api.catalogue.endpoints import endpoint_of
from pipeline.market.calendar.sessions import TradingCalendar
from pipeline.market.closed_lists import INDUSTRY
from pipeline.market.panel.axis import Axis, Source
from pipeline.market.panel.benchmark_levels import (
    INDEX_CODES,
    SECTOR_INDEX,
    Topix,
    index_closes,
    topix,
)
from pipeline.simulator.exchange import code_tables
from pipeline.simulator.exchange import index_bars as simulated

NAN = np.nan
CALENDAR = TradingCalendar(
    np.busday_offset(np.datetime64("2023-01-02"), np.arange(30), roll="forward")
)
AXIS = Axis(
    codes=np.array(["13010"]),
    sessions=CALENDAR.sessions[3:8],  # Thursday to Wednesday
    n_out=2,
    calendar=CALENDAR,
    adj_factor=np.ones((1, 5)),
)
SATURDAY = dt.date(2023, 1, 7)


def day(column: int) -> dt.date:
    date: dt.date = CALENDAR.sessions[3 + column].astype(object)
    return date


def source(name: str, rows: list[dict]) -> Source:
    endpoint = endpoint_of(name)
    return Source(pa.Table.from_pylist(rows, endpoint.schema), endpoint.publication)


def bar(date: dt.date, level: float, **fields: object) -> dict:
    return {"Date": date, "O": level, "H": level + 2, "L": level - 3, "C": level + 1, **fields}


def test_topix_is_put_on_its_own_dates():
    """Any order; a date before the panel, after it or on a closed day is on no column."""
    dates = [day(4), day(0), day(1), day(-1), day(5), SATURDAY]
    rows = [bar(date, 100.0 * place) for place, date in enumerate(dates, start=1)]
    seen = topix(source("topix", rows), AXIS)
    np.testing.assert_array_equal(seen.o, [200.0, 300.0, NAN, NAN, 100.0])
    np.testing.assert_array_equal(seen.h - seen.o, [2.0, 2.0, NAN, NAN, 2.0])
    np.testing.assert_array_equal(seen.l - seen.o, [-3.0, -3.0, NAN, NAN, -3.0])
    np.testing.assert_array_equal(seen.c - seen.o, [1.0, 1.0, NAN, NAN, 1.0])


def test_returns_of_topix():
    """From the column before, null beside a gap, exactly 0 between levels 1e-9 apart."""
    level = 1234.5
    closes = np.array([level, level * (1 + 5e-10), 1300.0, NAN, 1300.0, 1300.0, 1300.1])
    seen = Topix(closes, closes, closes, closes).r
    expected = pd.Series(closes).pct_change(fill_method=None)
    assert seen[1] == 0.0
    np.testing.assert_allclose(seen[2:], expected[2:], rtol=1e-12)
    assert np.isnan(seen[0])


def test_closes_of_the_indices_that_are_used():
    """By code and date; other codes, blank closes and other dates are left out."""
    rows = [
        bar(day(1), 10.0, Code="0040"),
        bar(day(1), 20.0, Code="8200"),
        bar(day(2), 30.0, Code="0070"),
        bar(day(2), 40.0, Code="0001"),
        bar(SATURDAY, 50.0, Code="0040"),
        {**bar(day(3), 60.0, Code="0040"), "C": None},
    ]
    seen = index_closes(source("indices", rows), AXIS)
    assert seen.closes.shape == (len(INDEX_CODES), 5)
    np.testing.assert_array_equal(seen.of("0040"), [NAN, 11.0, NAN, NAN, NAN])
    np.testing.assert_array_equal(seen.sectors[0], seen.of("0040"))
    np.testing.assert_array_equal(seen.of("8200"), [NAN, 21.0, NAN, NAN, NAN])
    np.testing.assert_array_equal(seen.of("0070"), [NAN, NAN, 31.0, NAN, NAN])
    assert np.isfinite(seen.closes).sum() == 3


def test_without_records_everything_is_null():
    """An unavailable source is a table without rows."""
    assert np.isnan(topix(source("topix", []), AXIS).r).all()
    assert np.isnan(index_closes(source("indices", []), AXIS).closes).all()


def test_every_industry_has_an_index_of_its_own():
    """33 industries in ascending order, 33 index codes in ascending order from 0040 to 0060."""
    assert list(SECTOR_INDEX) == sorted(SECTOR_INDEX)
    assert list(SECTOR_INDEX.values()) == [f"{code:04X}" for code in range(0x40, 0x61)]
    industries = {
        INDUSTRY.number(industry[0]) for industry in code_tables.INDUSTRIES if industry[0] != "9999"
    }
    assert set(SECTOR_INDEX) == industries
    assert set(INDEX_CODES) <= set(simulated.CODES)
