"""What was asked is what is there, in one order only."""

from __future__ import annotations

import datetime as dt
import random
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.api.endpoints import endpoint_of
from pipeline.api.rows import days_of, ordered, require_sessions, require_within
from pipeline.errors import BadResponse, SnapshotError

DAY = dt.date(2024, 1, 16)
BREAKDOWN = endpoint_of("breakdown")
SHORT_SALE = endpoint_of("short_sale")
QUERY = {"date": "2024-01-16"}


def table(source: str, rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=endpoint_of(source).schema)


def indices(*keys: tuple[int, str]) -> pa.Table:
    rows = [{"Date": DAY.replace(day=day), "Code": code, "C": 1.0} for day, code in keys]
    return table("indices", rows)


@given(st.sets(st.tuples(st.integers(1, 31), st.sampled_from(["0000", "002A", "812C"]))))
def test_rows_come_in_the_order_of_their_key(keys: set[tuple[int, str]]) -> None:
    """By day and code, from whatever order."""
    shuffled = random.Random(7).sample(sorted(keys), len(keys))
    found = ordered(indices(*shuffled), endpoint_of("indices")).to_pylist()
    assert [(row["Date"].day, row["Code"]) for row in found] == sorted(keys)


def test_equal_keys_are_refused_even_with_equal_content() -> None:
    """A row that came twice means that another one may not have come at all."""
    twice = indices((16, "0000"), (16, "002A"), (16, "0000"))
    with pytest.raises(SnapshotError, match="indices: 1 duplicate keys .*: 2024-01-16/0000"):
        ordered(twice, endpoint_of("indices"))


def test_many_duplicates_are_named_five_at_most() -> None:
    """Five and the number of the others."""
    many = indices(*[(day, "0000") for day in range(1, 9)] * 2)
    with pytest.raises(SnapshotError, match="8 duplicate keys .*2024-01-05/0000 and 3 more"):
        ordered(many, endpoint_of("indices"))


def test_a_source_without_a_key_keeps_equal_rows_in_one_order() -> None:
    """Large short positions: one seller may report several funds; all columns decide the order."""
    base = {"DiscDate": DAY, "CalcDate": DAY, "Code": "13010", "SSName": "A"}
    rows = [{**base, "ShrtPosShares": shares} for shares in (3.0, None, 1.0, 3.0, 2.0)]
    forward = ordered(table("short_sale", rows), SHORT_SALE)
    backward = ordered(table("short_sale", rows[::-1]), SHORT_SALE)
    assert forward.equals(backward)
    assert forward["ShrtPosShares"].to_pylist() == [1.0, 2.0, 3.0, 3.0, None]


def test_rows_of_another_day_are_refused() -> None:
    """Asked for a closed day the master list answers with the next trading day."""
    other = indices((16, "0000"), (17, "0000"))
    with pytest.raises(BadResponse, match="expected 2024-01-16 to 2024-01-16, got .* 2024-01-17"):
        require_within(other, endpoint_of("indices"), DAY, DAY, QUERY)
    require_within(other, endpoint_of("indices"), DAY, None, QUERY)
    require_within(other.slice(0, 0), endpoint_of("indices"), DAY, DAY, QUERY)
    with pytest.raises(BadResponse, match="expected the start to 2024-01-16"):
        require_within(other, endpoint_of("indices"), None, DAY, QUERY)


def test_sessions_without_promised_rows_are_named() -> None:
    """Days are missing, not silently short; the halted day is no gap."""
    days = [dt.date(2020, 9, 30), dt.date(2020, 10, 1), dt.date(2020, 10, 2)]
    require_sessions([days[0], days[2]], days, BREAKDOWN)
    with pytest.raises(SnapshotError, match="breakdown: no rows for 1 of 3 sessions: 2020-10-02"):
        require_sessions(days[:1], days, BREAKDOWN)
    require_sessions([], days, SHORT_SALE)


def test_days_are_cut_from_ordered_rows() -> None:
    """Each with all of its rows, in order of date; no rows make no days."""
    table = indices((17, "0000"), (17, "002A"), (19, "0000"))
    days = days_of(table, endpoint_of("indices"))
    assert [(day.day, rows.num_rows) for day, rows in days.items()] == [(17, 2), (19, 1)]
    assert days[dt.date(2024, 1, 17)].equals(table.slice(0, 2))
    assert days_of(table.slice(0, 0), endpoint_of("indices")) == {}


@given(st.lists(st.tuples(st.integers(1, 5), st.sampled_from(["0000", "002A"])), max_size=8))
def test_rows_in_order_are_left_as_they_are(keys: list[tuple[int, str]]) -> None:
    """The short way gives what sorting gives, and refuses what sorting refuses."""
    endpoint = endpoint_of("indices")
    in_order, mixed = indices(*sorted(keys)), indices(*keys[::-1])
    if len(set(keys)) == len(keys):
        assert ordered(in_order, endpoint).equals(ordered(mixed, endpoint))
    else:
        for rows in (in_order, mixed):
            with pytest.raises(SnapshotError, match="duplicate keys"):
                ordered(rows, endpoint)
