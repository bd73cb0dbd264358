"""Specification of the content checks: values, rows per session, null rates; all are warnings."""

from __future__ import annotations

import datetime as dt
import math
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.dataset.chunk_store import ChunkStore
from tests.dataset.builders import SCHEMA, clock, january, order, rows

DAYS = january(6, 7)


@pytest.fixture
def store(tmp_path: Path) -> ChunkStore:
    return ChunkStore(tmp_path, clock)


def warnings(
    store: ChunkStore,
    table: pa.Table,
    expected: dict[dt.date, int] | None = None,
    **changes: object,
) -> list[str]:
    """Build the chunk from one row group; what its metadata warn of."""
    with store.build(order(**changes)) as writer:
        if expected is not None:
            writer.expect_rows(expected)
        writer.write(table)
    assert store.read_status("2020Q1")["state"] == "completed"
    return store.metadata("2020Q1")["warnings"]


def with_returns(*values: float | None) -> pa.Table:
    """Two days of two stocks with these values of ret_prev_1d."""
    return rows(DAYS).set_column(2, SCHEMA.field(2), pa.array(values, pa.float32()))


def test_an_ordinary_chunk_has_no_warnings(store):
    """Values in their range, all rows expected, nothing to compare with yet."""
    ranges = {"is_traded": (0, 1), "ret_prev_1d": (-1, 1)}
    assert warnings(store, rows(DAYS), dict.fromkeys(DAYS, 2), ranges=ranges) == []
    assert store.metadata("2020Q1")["last_good"] is None


@pytest.mark.parametrize("bad", [math.inf, -math.inf, math.nan])
def test_a_value_that_is_no_number_is_told(store, bad):
    """Whether or not other values are null."""
    (line,) = warnings(store, with_returns(0.1, None, bad, 0.2))
    assert line == "values not finite in 1 column: ret_prev_1d"


def test_a_value_outside_the_range_of_its_column_is_told(store):
    """Ends of the range belong to it; a flag of 2 does not."""
    (line,) = warnings(store, with_returns(1.0, -1.0, None, 1.5), ranges={"ret_prev_1d": (-1, 1)})
    assert line == "values outside their range in 1 column: ret_prev_1d [-1, 1]"
    flags = rows(DAYS).set_column(3, SCHEMA.field(3), pa.array([0, 1, 2, 1], pa.int8()))
    (line,) = warnings(store, flags, ranges={"is_traded": (0, 1)})
    assert "is_traded [0, 1]" in line


@pytest.mark.parametrize(
    ("expected", "told"),
    [
        ({DAYS[0]: 2, DAYS[1]: 3}, "1 of 2 sessions, first 2020-01-07: expected 3, got 2"),
        ({DAYS[0]: 2}, "1 of 1 sessions, first 2020-01-07: expected 0, got 2"),
        (dict.fromkeys([*DAYS, dt.date(2020, 1, 8)], 2), "first 2020-01-08: expected 2, got 0"),
    ],
)
def test_rows_are_held_against_the_listing_records(store, expected, told):
    """One stock too few, a session too many, a session that has no row at all."""
    (line,) = warnings(store, rows(DAYS), expected)
    assert line.startswith("rows differ from the listing records on")
    assert told in line


def test_more_nulls_than_in_the_last_good_build_are_told_until_they_are_gone(store):
    """A bad build is no measure for the next one; the good one before it stays the measure."""
    assert warnings(store, with_returns(0.1, 0.2, 0.3, 0.4)) == []
    good = store.read_status("2020Q1")["build_id"]
    for _ in range(2):
        (line,) = warnings(store, with_returns(0.1, None, None, 0.4))
        assert line == (
            f"more nulls than in build {good[:8]} in 1 column: ret_prev_1d 0.000 -> 0.500"
        )
        assert store.metadata("2020Q1")["last_good"]["build_id"] == good
    assert warnings(store, with_returns(0.1, 0.2, 0.3, 0.4)) == []
    assert store.metadata("2020Q1")["last_good"] is None


def test_a_column_that_lost_its_last_value_is_told(store):
    """However few values it had."""
    assert warnings(store, rows(january(*range(1, 21)), ("13010",))) == []
    empty = rows(january(*range(1, 21)), ("13010",))
    table = empty.set_column(2, SCHEMA.field(2), pa.nulls(20, pa.float32()))
    (line,) = warnings(store, table)
    assert "ret_prev_1d 0.050 -> 1.000" in line


@pytest.mark.parametrize(
    "changes", [{"schema_version": "1.1.0"}, {"origin": "api"}, {"unavailable": ("dividend",)}]
)
def test_builds_that_differ_for_a_reason_are_not_compared(store, changes):
    """Another manifest, origin or plan."""
    assert warnings(store, with_returns(0.1, 0.2, 0.3, 0.4)) == []
    assert warnings(store, with_returns(None, None, None, 0.4), **changes) == []


def test_a_chunk_that_grew_much_is_not_compared(store):
    """The third day of a quarter says little about the second."""
    assert warnings(store, rows(january(6), ("1301A", "13010")[::-1])) == []
    table = rows(january(6, 7, 8))
    nulls = table.set_column(2, SCHEMA.field(2), pa.nulls(6, pa.float32()))
    assert warnings(store, nulls) == []


def test_what_the_values_were_made_of_is_passed_on(store):
    """Unknown members that count as null are no refusal, and stand first."""
    with store.build(order(ranges={"is_traded": (0, 0)})) as writer:
        writer.note(["listed: ScaleCat 'TOPIX Nano' of 13790 on 2020-01-06"])
        writer.write(rows(DAYS))
    first, second = store.metadata("2020Q1")["warnings"]
    assert first.startswith("listed: ScaleCat 'TOPIX Nano'")
    assert second.startswith("values outside their range")
