"""How far labels can look, and when they are due."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipeline.market.calendar.sessions import TradingCalendar
from pipeline.operations.building.label_inputs import known_until, sessions_of
from pipeline.operations.planning.staleness import is_label_part_due, why_labels_due


@pytest.fixture(scope="module")
def calendar() -> TradingCalendar:
    """Weekdays of a year."""
    days = np.arange("2024-01-01", "2025-01-01", dtype="datetime64[D]")
    return TradingCalendar(days[np.is_busday(days)])


def day(text: str) -> dt.date:
    return dt.date.fromisoformat(f"2024-{text}")


def covered(**chunks: str) -> dict[str, tuple[dt.date, dt.date]]:
    return {name[1:]: (day(ends[:5]), day(ends[6:])) for name, ends in chunks.items()}


def test_a_chunk_looks_as_far_as_the_chunks_after_it_follow_without_a_gap(
    calendar: TradingCalendar,
) -> None:
    """Over weekends, through several short chunks; not over a session nobody covers."""
    months = covered(_2024M01="01-01 01-31", _2024M02="02-01 02-29", _2024M03="03-04 03-29")
    assert known_until(months, calendar) == {
        "2024M01": day("02-29"),
        "2024M02": day("02-29"),
        "2024M03": day("03-29"),
    }
    months["2024M03"] = day("03-01"), day("03-15")
    assert set(known_until(months, calendar).values()) == {day("03-15")}
    assert known_until({}, calendar) == {}


def test_the_sessions_of_labels_end_with_what_is_known(calendar: TradingCalendar) -> None:
    """At most 21 sessions after the last row, and ten for a market that stands still."""
    rows = pa.table({"Date": pa.array([day("03-01"), day("03-04")], pa.date32())})
    some = sessions_of(rows, day("03-07"), calendar)
    assert some.tolist() == [day(f"03-0{i}") for i in (1, 4, 5, 6, 7)]
    assert sessions_of(rows, day("12-30"), calendar).size == 2 + 21 + 10
    end = pa.table({"Date": pa.array([day("12-27")], pa.date32())})
    assert sessions_of(end, day("12-31"), calendar).size == 3


PART: dict[str, Any] = {
    "chunk_id": "2024Q1",
    "build_id": "a",
    "settled": False,
    "known_to": "2024-04-12",
    "parquet_bytes": 10,
}


@pytest.mark.parametrize(
    ("build", "known", "size", "settled", "due"),
    [
        ("a", "04-12", 10, False, False),
        ("a", "04-15", 10, False, True),
        ("a", "04-15", 10, True, False),
        ("a", "04-11", 10, False, False),
        ("b", "04-12", 10, True, True),
        ("a", "04-12", None, True, True),
    ],
    ids=["same", "grown", "settled", "shrunk", "rebuilt", "missing"],
)
def test_only_labels_that_can_change_are_due(
    build: str, known: str, size: int | None, settled: bool, due: bool
) -> None:
    """Another build, a file that is gone, or sessions that were still to come."""
    part = PART | {"settled": settled}
    assert is_label_part_due(part, build, day(known), size) is due
    document = {"definition_hash": "x", "parts": [part]}
    why = why_labels_due(document, {"2024Q1": build}, {"2024Q1": day(known)}, "x")
    assert (why is not None) is (due and size is not None)


def test_the_reason_is_told() -> None:
    """Formulas, chunks, sessions."""
    document = {"definition_hash": "x", "parts": [PART]}
    known = {"2024Q1": day("04-15")}
    assert why_labels_due(document, {"2024Q1": "a"}, known, "y") == "made by other formulas"
    assert why_labels_due(document, {"2024Q2": "a"}, known, "x") == (
        "made without 2024Q2; made with others too: 2024Q1"
    )
    assert why_labels_due(document, {"2024Q1": "a"}, known, "x") == (
        "sessions have come since for 2024Q1"
    )
