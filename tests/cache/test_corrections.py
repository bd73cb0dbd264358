"""What the vendor changed after the fact, told from the versions of days in the cache."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from pipeline.cache.corrections import (
    Correction,
    arrived_between,
    corrections,
    corrections_in,
)
from pipeline.cache.parts import Day, Part
from pipeline.cache.snapshots import SnapshotStore

BARS, LISTED = "daily_bars", "listed"


def at(day: str) -> str:
    return f"2024-{day}T08:00:00+09:00"


def put(store: SnapshotStore, period: str, days: dict[str, int], arrived: str) -> Part:
    """A part in which each day has so many rows."""
    held = [Day(f"2024-{day}", rows, at(arrived), at(arrived)) for day, rows in days.items()]
    table = pa.table({"C": [float(len(arrived))] * sum(days.values())})
    return store.add(BARS, period, held, table, fetched_at=at(arrived))


def test_every_change_of_a_day_is_told_once(tmp_path: Path) -> None:
    """Three versions are two corrections, in order; a day seen once, or put together into the
    part of its month with its own arrival, is none."""
    store = SnapshotStore(tmp_path, "api")
    put(store, "2024-05-08", {"05-08": 3}, "05-09")
    put(store, "2024-05-09", {"05-09": 3}, "05-10")
    put(store, "2024-05-08", {"05-08": 2}, "05-13")
    put(store, "2024-05", {"05-08": 2}, "06-03")
    days = [Day("2024-05-09", 3, at("05-10"), at("06-03"))]
    store.add(BARS, "2024-05", days, pa.table({"C": [0.0] * 3}), fetched_at=at("05-10"))
    first = Correction(BARS, "2024-05-08", at("05-09"), at("05-13"), 3, 2)
    second = Correction(BARS, "2024-05-08", at("05-13"), at("06-03"), 2, 2)
    assert corrections_in(BARS, store.parts(BARS)) == [first, second]
    assert corrections(store, [LISTED, BARS]) == [first, second]
    assert corrections(store, [BARS], first="2024-05-09") == []
    assert corrections(store, [BARS], last="2024-05-08") == [first, second]


def test_data_of_another_origin_correct_nothing(tmp_path: Path) -> None:
    """The versions of a day are those of one origin."""
    put(SnapshotStore(tmp_path, "simulator"), "2024-05-08", {"05-08": 3}, "05-09")
    put(SnapshotStore(tmp_path, "api"), "2024-05-08", {"05-08": 4}, "05-10")
    assert corrections(SnapshotStore(tmp_path, "api"), [BARS]) == []


def test_a_correction_is_new_to_the_reading_after_its_arrival() -> None:
    """What arrived by the moment up to which the earlier reading knew was in it already."""
    found = [
        Correction(BARS, "2024-05-08", at("05-09"), at(day), 3, 3) for day in ("05-10", "05-13")
    ]
    known, later = {BARS: at("05-10"), LISTED: at("05-10")}, {BARS: at("05-13")}
    assert arrived_between(found, known, later) == found[1:]
    assert arrived_between(found, later, later) == []
    assert arrived_between(found, {}, later) == []
    assert arrived_between(found, known, known) == []
