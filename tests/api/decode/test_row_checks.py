"""What was asked is what is there, in one order only."""

from __future__ import annotations

import datetime as dt
import random
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.api.catalogue.endpoints import endpoint_of
from pipeline.api.decode.row_checks import (
    days_of,
    ordered,
    require_readable,
    require_sessions,
    require_within,
)
from pipeline.errors import BadResponse, SnapshotError
from pipeline.quarantine import REPEATED, VALUE, Entry, noted, notes_of

DAY = dt.date(2024, 1, 16)
BREAKDOWN = endpoint_of("breakdown")
INDICES = endpoint_of("indices")
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


def test_repeated_rows_are_dropped_and_counted() -> None:
    """Identical ones, by day and with the first of them."""
    thrice = ordered(indices((16, "0000"), (17, "002A"), (16, "0000"), (16, "0000")), INDICES)
    assert [row["Code"] for row in thrice.to_pylist()] == ["0000", "002A"]
    (entry,) = notes_of(thrice)
    assert (entry.kind, entry.count, entry.first) == (REPEATED, 2, "2024-01-16")
    assert entry.record == "Date 2024-01-16, Code 0000"
    assert thrice.equals(ordered(indices((17, "002A"), (16, "0000")), INDICES))


@pytest.mark.parametrize("other", [2.0, None])
def test_rows_with_one_key_and_other_values_are_refused(other: float | None) -> None:
    """The key, the field and both values are named."""
    rows = [{"Date": DAY, "Code": "0000", "O": 5.0, "C": close} for close in (1.0, other)]
    told = (
        rf"indices: two rows of Date 2024-01-16, Code 0000 differ in field C: '1.0' and '{other}'"
    )
    with pytest.raises(SnapshotError, match=told):
        ordered(table("indices", rows), INDICES)


def test_one_filing_number_may_hold_two_documents() -> None:
    """Met on one day: both rows stay; the same document twice with other values does not."""
    summary = endpoint_of("fin_summary")
    rows = [
        {"DiscDate": DAY, "DiscNo": "1", "Code": "13010", "DocType": kind, "Sales": sales}
        for kind, sales in (("FY", 1.0), ("EarnForecastRevision", None), ("FY", 1.0), (None, 3.0))
    ]
    found = ordered(table("fin_summary", rows), summary)
    assert found["DocType"].to_pylist() == ["EarnForecastRevision", "FY", None]
    with pytest.raises(SnapshotError, match="DiscNo 1, DocType FY differ in field Sales"):
        ordered(table("fin_summary", [*rows, {**rows[0], "Sales": 2.0}]), summary)


@pytest.mark.parametrize(
    ("lost", "rows", "refused"), [(4, 4, False), (5, 499, True), (5, 500, False), (6, 20, True)]
)
def test_more_than_a_share_of_a_month_is_a_refusal(lost: int, rows: int, refused: bool) -> None:
    """One per cent, but never less than five values; field, value, record, month and share."""
    keys = [
        {"Date": DAY, "Code": f"{at:04}", "C": 1.0 if at >= lost else None} for at in range(rows)
    ]
    entry = Entry(VALUE, "C", "N/A", lost, "2024-01-16", "2024-01-16", "Code 0000")
    found = noted(table("indices", keys), [entry])
    if not refused:
        require_readable(found, INDICES)
        return
    told = rf"field C: {lost} of {rows} values of 2024-01 \(.*%\) .*'N/A' at Code 0000"
    with pytest.raises(SnapshotError, match=told):
        require_readable(found, INDICES)


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
    """The short way gives what sorting gives, each row once."""
    endpoint = endpoint_of("indices")
    in_order, mixed = indices(*sorted(keys)), indices(*keys[::-1])
    if len(set(keys)) == len(keys):
        assert ordered(in_order, endpoint).equals(ordered(mixed, endpoint))
    else:
        for rows in (in_order, mixed):
            assert ordered(rows, endpoint).equals(ordered(indices(*set(keys)), endpoint))
            assert sum(note.count for note in notes_of(ordered(rows, endpoint))) == len(keys) - len(
                set(keys)
            )
