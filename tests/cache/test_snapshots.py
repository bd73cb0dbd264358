"""Parts and snapshots: immutable, shared, and per day what was known at a given time."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.cache.parts import Day, Part, Selection, select
from pipeline.cache.snapshots import WHOLE, SnapshotStore, quarantine_of, snapshot_key
from pipeline.errors import MissingData, StorageError
from pipeline.quarantine import Entry, merged, noted, to_json

SOURCE = "daily_bars"
FIRST, LAST = dt.date(2024, 5, 1), dt.date(2024, 6, 30)


def at(day: str) -> str:
    return f"{day}T08:00:00+09:00"


def rows(values: Mapping[str, float], codes: Sequence[str] = ("13010", "1301A")) -> pa.Table:
    """Every code on every day, with the day's value."""
    dates = [dt.date.fromisoformat(date) for date in values for _ in codes]
    return pa.table(
        {
            "Date": pa.array(dates, pa.date32()),
            "Code": [code for _ in values for code in codes],
            "C": [value for value in values.values() for _ in codes],
        }
    )


def put(
    store: SnapshotStore, period: str, values: Mapping[str, float], arrived: str, **options: Any
) -> Part:
    days = [Day(date, 2, at(arrived), at(arrived)) for date in values]
    return store.add(SOURCE, period, days, rows(values), fetched_at=at(arrived), **options)


def commit(
    store: SnapshotStore, selections: Sequence[Selection], **changes: Any
) -> Mapping[str, Any]:
    fields = {"asof": None, "tag": None, "checked_at": at("2024-07-01")} | changes
    key = snapshot_key(SOURCE, FIRST, LAST, fields["asof"], fields["tag"])
    return store.commit(
        SOURCE, key, selections,
        date_field="Date", start=FIRST, end=LAST, client_version="0.1.0", **fields,
    )  # fmt: skip


def values(table: pa.Table) -> dict[str, float]:
    """Value by day; each day's rows must be there exactly once."""
    assert table.group_by(["Date", "Code"]).aggregate([([], "count_all")]).num_rows == len(table)
    found = {}
    for row in table.to_pylist():
        assert found.setdefault(str(row["Date"]), row["C"]) == row["C"]
    return found


@pytest.fixture
def store(tmp_path: Path) -> SnapshotStore:
    return SnapshotStore(tmp_path, "api")


def test_the_key_is_the_one_users_know() -> None:
    """Source, range, as-of day and tag."""
    key = snapshot_key(
        "index_option",
        dt.date(2020, 1, 1),
        dt.date(2024, 12, 31),
        dt.date(2024, 11, 11),
        "v1.0.0",
    )
    assert key == "index_option_raw_2020-01-01_2024-12-31_asof-2024-11-11_v1.0.0"


def test_a_part_comes_back_with_its_provenance(store: SnapshotStore) -> None:
    """The note says what the part answers for, day by day."""
    part = put(store, "2024-05", {"2024-05-01": 1.0, "2024-05-02": 2.0}, "2024-06-01", route="bulk")
    assert store.parts(SOURCE) == [part]
    assert [day.date for day in part.days] == ["2024-05-01", "2024-05-02"]
    assert (part.rows, part.route, part.fetched_at) == (4, "bulk", at("2024-06-01"))


def test_equal_rows_are_equal_bytes(store: SnapshotStore, tmp_path: Path) -> None:
    """So two machines that fetched the same have the same hashes."""
    other = SnapshotStore(tmp_path / "other", "api")
    ours = put(store, "2024-05", {"2024-05-01": 1.0}, "2024-06-01")
    theirs = put(other, "2024-05", {"2024-05-01": 1.0}, "2024-06-20")
    assert ours.sha256 == theirs.sha256


def test_a_part_without_its_note_does_not_count(store: SnapshotStore) -> None:
    """The note is written last: a killed run leaves nothing that is half there."""
    part = put(store, "2024-05", {"2024-05-01": 1.0}, "2024-06-01")
    folder = store.root / SOURCE / "parts"
    (folder / part.file).with_suffix(".json").unlink()
    assert store.parts(SOURCE) == []


def test_a_part_of_another_size_or_origin_does_not_count(store: SnapshotStore) -> None:
    """A truncated file, and synthetic data beside real ones."""
    part = put(store, "2024-05", {"2024-05-01": 1.0}, "2024-06-01")
    assert SnapshotStore(store.root.parent, "simulator").parts(SOURCE) == []
    path = store.root / SOURCE / "parts" / part.file
    path.write_bytes(path.read_bytes()[:-1])
    assert store.parts(SOURCE) == []


def test_a_piece_that_did_not_change_is_kept_as_first_seen(store: SnapshotStore) -> None:
    """The trading calendar is fetched again and again and seldom changes."""
    first = store.add("trading_calendar", WHOLE, [], rows({"2024-05-01": 1.0}), fetched_at=at("2024-06-01"))  # fmt: skip
    again = store.add("trading_calendar", WHOLE, [], rows({"2024-05-01": 1.0}), fetched_at=at("2024-06-02"))  # fmt: skip
    other = store.add("trading_calendar", WHOLE, [], rows({"2024-05-01": 2.0}), fetched_at=at("2024-06-03"))  # fmt: skip
    back = store.add("trading_calendar", WHOLE, [], rows({"2024-05-01": 1.0}), fetched_at=at("2024-06-04"))  # fmt: skip
    assert again == first
    assert len({first.file, other.file, back.file}) == 3


def test_a_correction_wins_and_the_first_version_stays(store: SnapshotStore) -> None:
    """As first seen: the same snapshot as of an earlier day has what was known then."""
    put(store, "2024-05", {"2024-05-01": 1.0, "2024-05-02": 2.0}, "2024-06-01")
    put(store, "2024-05", {"2024-05-02": 2.5}, "2024-06-10")
    dates = ["2024-05-01", "2024-05-02"]
    now, missing = select(store.parts(SOURCE), dates)
    assert missing == []
    assert values(store.read(commit(store, now))) == {"2024-05-01": 1.0, "2024-05-02": 2.5}
    then, missing = select(store.parts(SOURCE), dates, "2024-06-09")
    assert missing == []
    earlier = commit(store, then, asof=dt.date(2024, 6, 9))
    assert values(store.read(earlier)) == {"2024-05-01": 1.0, "2024-05-02": 2.0}
    assert select(store.parts(SOURCE), dates, "2024-05-31") == ([], dates)


def test_a_value_that_went_back_is_a_new_version(store: SnapshotStore) -> None:
    """A, then B, then A again: the third arrival counts, although its bytes are the first's."""
    for value, day in ((1.0, "2024-06-01"), (2.0, "2024-06-02"), (1.0, "2024-06-03")):
        put(store, "2024-05-01", {"2024-05-01": value}, day)
    parts = store.parts(SOURCE)
    assert len(parts) == 3
    read = {}
    for asof in ("2024-06-01", "2024-06-02", "2024-06-03"):
        snapshot = commit(store, select(parts, ["2024-05-01"], asof)[0], asof=dt.date.fromisoformat(asof))  # fmt: skip
        read[asof] = values(store.read(snapshot))["2024-05-01"]
    assert list(read.values()) == [1.0, 2.0, 1.0]


def test_an_unchanged_day_keeps_its_arrival(store: SnapshotStore) -> None:
    """Only the note changes, and only in the moment of the last check."""
    part = put(store, "2024-05", {"2024-05-01": 1.0, "2024-05-02": 2.0}, "2024-06-01")
    store.note_unchanged(SOURCE, part, ["2024-05-02"], at("2024-06-20"))
    (noted,) = store.parts(SOURCE)
    assert [day.arrived for day in noted.days] == [at("2024-06-01")] * 2
    assert [day.checked for day in noted.days] == [at("2024-06-01"), at("2024-06-20")]
    assert noted.sha256 == part.sha256


def test_read_gives_columns_and_days_asked_for(store: SnapshotStore) -> None:
    """Both ends of the range included; parts outside are not opened."""
    put(store, "2024-05", {"2024-05-01": 1.0, "2024-05-02": 2.0}, "2024-06-01")
    other = put(store, "2024-06-03", {"2024-06-03": 3.0}, "2024-06-04")
    dates = ["2024-05-01", "2024-05-02", "2024-06-03"]
    snapshot = commit(store, select(store.parts(SOURCE), dates)[0])
    path = store.root / SOURCE / "parts" / other.file
    path.write_bytes(b"x" * other.bytes)
    table = store.read(snapshot, ["Code", "C"], dt.date(2024, 5, 2), dt.date(2024, 5, 2))
    assert table.column_names == ["Code", "C"]
    assert table["C"].to_pylist() == [2.0, 2.0]
    with pytest.raises(StorageError, match="cannot be read"):
        store.read(snapshot)


def test_a_snapshot_with_a_missing_part_is_not_there(store: SnapshotStore) -> None:
    """``find`` says None, ``get`` says what to do; nothing is served in part."""
    part = put(store, "2024-05", {"2024-05-01": 1.0}, "2024-06-01")
    snapshot = commit(store, [Selection(part, part.days)])
    assert store.find(SOURCE, snapshot["key"]) == snapshot
    (store.root / SOURCE / "parts" / part.file).unlink()
    assert store.find(SOURCE, snapshot["key"]) is None
    with pytest.raises(MissingData, match="run again"):
        store.get(SOURCE, snapshot["key"])


def test_a_snapshot_is_seen_by_its_origin_only(store: SnapshotStore) -> None:
    """Synthetic snapshots never answer for real ones."""
    part = put(store, "2024-05", {"2024-05-01": 1.0}, "2024-06-01")
    snapshot = commit(store, [Selection(part, part.days)])
    assert SnapshotStore(store.root.parent, "simulator").find(SOURCE, snapshot["key"]) is None


def test_the_newest_snapshot_is_the_one_checked_last(store: SnapshotStore) -> None:
    """By the moment of the check, not by name."""
    part = put(store, "2024-05", {"2024-05-01": 1.0}, "2024-06-01")
    whole = [Selection(part, part.days)]
    commit(store, whole, tag="b", checked_at=at("2024-06-02"))
    commit(store, whole, tag="a", checked_at=at("2024-06-03"))
    newest = store.newest(SOURCE)
    assert newest is not None
    assert newest["tag"] == "a"
    assert store.newest("listed") is None


def test_the_hash_of_a_snapshot_is_that_of_its_content(store: SnapshotStore) -> None:
    """Days left out of a part show in it; the route does not."""
    part = put(store, "2024-05", {"2024-05-01": 1.0, "2024-05-02": 2.0}, "2024-06-01")
    whole = commit(store, [Selection(part, part.days)])
    some = commit(store, [Selection(part, part.days[:1])])
    assert whole["sha256"] != some["sha256"]
    assert (whole["rows"], some["rows"]) == (4, 2)


days = st.integers(1, 6).map(lambda day: f"2024-05-{day:02d}")
arrivals = st.integers(1, 9).map(lambda day: f"2024-06-{day:02d}")
history = st.lists(
    st.tuples(st.sets(days, min_size=1).map(sorted), arrivals), min_size=1, max_size=6
)


@given(history, st.one_of(st.none(), arrivals))
def test_every_wanted_day_is_read_once_and_in_its_newest_version(
    pieces: list[tuple[list[str], str]], asof: str | None
) -> None:
    """However the parts overlap; ``select`` against the plain definition."""
    parts = [
        Part(
            period="2024-05",
            file=f"{number}.parquet",
            sha256="",
            rows=len(dates),
            bytes=1,
            days=tuple(Day(date, 1, at(arrived), at(arrived)) for date in dates),
            origin="api",
            route="requests",
            fetched_at=at(arrived),
        )
        for number, (dates, arrived) in enumerate(pieces)
    ]
    wanted = [f"2024-05-{day:02d}" for day in range(1, 7)]
    newest = {
        date: max(found)
        for date in wanted
        if (
            found := [
                at(arrived)
                for dates, arrived in pieces
                if date in dates and (asof is None or arrived <= asof)
            ]
        )
    }
    selections, missing = select(parts, wanted, asof)
    taken = [day for selection in selections for day in selection.days]
    assert sorted(day.date for day in taken) == sorted(newest)
    assert {day.date: day.arrived for day in taken} == newest
    assert missing == [date for date in wanted if date not in newest]
    assert len({selection.part.file for selection in selections}) == len(selections)


def test_parts_are_compressed(store: SnapshotStore) -> None:
    """A year of the whole market has to fit on a laptop."""
    part = put(store, "2024-05", {"2024-05-01": 1.0}, "2024-06-01")
    group = pq.read_metadata(store.root / SOURCE / "parts" / part.file).row_group(0)
    assert group.column(0).compression == "ZSTD"


def test_what_could_not_be_read_is_in_note_and_snapshot_and_not_in_the_rows(
    tmp_path: Path,
) -> None:
    """Of the days a snapshot takes; the same rows are the same bytes, with it or without."""
    entries = [
        Entry("value", "C", "N/A", count, day, day, f"Code {count}")
        for day, count in (("2024-05-01", 1), ("2024-05-02", 2))
    ]
    days = {"2024-05-01": 1.0, "2024-05-02": 2.0}
    plain = put(SnapshotStore(tmp_path / "plain", "api"), "2024-05", days, "2024-06-01")
    store = SnapshotStore(tmp_path / "noted", "api")
    noted_days = [Day(date, 2, at("2024-06-01"), at("2024-06-01")) for date in days]
    part = store.add(
        SOURCE,
        "2024-05",
        noted_days,
        noted(rows(days), entries),
        fetched_at=at("2024-06-01"),
        quarantine=to_json(entries),
    )
    assert (part.sha256, part.quarantine) == (plain.sha256, tuple(to_json(entries)))
    assert store.parts(SOURCE) == [part]
    both = commit(store, [Selection(part, part.days)])
    assert quarantine_of(both) == merged(entries)
    assert quarantine_of(both, "2024-05-02") == (entries[1],)
    assert quarantine_of(commit(store, [Selection(part, part.days[:1])])) == (entries[0],)


def test_a_note_of_an_older_version_has_none(tmp_path: Path) -> None:
    """It is read as before."""
    store = SnapshotStore(tmp_path, "api")
    part = put(store, "2024-05", {"2024-05-01": 1.0}, "2024-06-01")
    (path,) = (store.root / SOURCE / "parts").glob("*.json")
    note = json.loads(path.read_text())
    del note["quarantine"]
    path.write_text(json.dumps(note))
    assert store.parts(SOURCE) == [part]
