"""What cannot be read: counted from the page to the snapshot, and a refusal when it is too much."""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.cache.snapshots import quarantine_of
from pipeline.dataset.chunk_store import ChunkStore
from pipeline.errors import ApiError, SnapshotError
from pipeline.operations.inspection import health_check
from pipeline.quarantine import forget_logged
from tests.api.fakes import FakeServer
from tests.dataset.builders import build, rows
from tests.tasks import vendor as v
from tests.tasks.vendor import Desk, Vendor, vendor_running

START, END = dt.date(2024, 5, 1), dt.date(2024, 6, 12)
spoiled = v.changed(lambda rows: rows[0].update(SellExShortVa="N/A"))


@pytest.fixture(scope="module")
def server() -> Iterator[FakeServer]:
    with vendor_running() as running:
        yield running


@pytest.fixture
def desk(server: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setenv("JQUANTS_API_KEY", "k")
    monkeypatch.setenv("JQUANTS_API_BASE", server.url)
    forget_logged()
    desk = Desk(Vendor(server), tmp_path, monkeypatch)
    desk.calendar()
    return desk


def test_one_value_of_a_month_is_null_counted_and_named(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    """In the note of the part and the snapshot, also after a second run; logged once."""
    desk.vendor.faults = [spoiled, spoiled]
    snapshot = desk.run("short_ratio", START, END, index_option_parallel_concurrency=1)
    (entry,) = quarantine_of(snapshot)
    assert (entry.field, entry.spelling, entry.count) == ("SellExShortVa", "N/A", 2)
    assert entry.record.endswith("S33 0050")
    assert desk.store().read(snapshot)["SellExShortVa"].null_count == 2
    assert quarantine_of(desk.run("short_ratio", START, END)) == (entry,)
    told = [r.getMessage() for r in caplog.records if "cannot be read" in r.getMessage()]
    (line,) = told
    assert line == (
        "short_ratio: field SellExShortVa: value 'N/A' cannot be read and becomes null; "
        f"first at {entry.record}"
    )


def test_the_count_survives_a_killed_run_and_the_end_of_the_month(desk: Desk) -> None:
    """Days wait for their month in the spool, and for its end as a part each."""
    desk.vendor.faults = [spoiled, *[v.status(403)] * 200]
    with pytest.raises(ApiError, match="HTTP 403"):
        desk.run("short_ratio", START, END, index_option_parallel_concurrency=1)
    desk.vendor.faults = []
    found = quarantine_of(desk.run("short_ratio", START, END))
    assert [entry.count for entry in found] == [1]
    desk.vendor.faults = [spoiled]
    desk.at("2024-06-18T08:00:00+09:00")
    desk.run("short_ratio", START, dt.date(2024, 6, 17))
    desk.at("2024-07-10T08:00:00+09:00")
    late = desk.run("short_ratio", START, dt.date(2024, 6, 28))
    assert [part["period"] for part in late["parts"]] == ["2024-05", "2024-06"]
    assert [entry.count for entry in quarantine_of(late)] == [2]


def test_more_than_one_per_cent_of_a_month_is_refused(desk: Desk) -> None:
    """By source, field, value, record, month and share; nothing of the month is kept."""
    desk.vendor.faults = [spoiled] * 12
    told = r"short_ratio, field SellExShortVa: \d+ of \d+ values of 2024-0[56] .*'N/A' at Date"
    with pytest.raises(SnapshotError, match=told):
        desk.run("short_ratio", START, END, index_option_parallel_concurrency=1)


def test_days_that_come_one_at_a_time_are_judged_by_their_month(desk: Desk) -> None:
    """Two or three values a day are never too much by themselves; seven of a month are."""

    def spoil(count: int) -> v.Fault:
        return v.changed(lambda rows: [row.update(SellExShortVa="N/A") for row in rows[:count]])

    start = dt.date(2024, 6, 3)
    desk.run("short_ratio", start, END)
    for day, count in ((13, 2), (14, 2)):
        desk.vendor.faults = [spoil(count)]
        desk.at(f"2024-06-{day + 1}T08:00:00+09:00")
        desk.run("short_ratio", start, dt.date(2024, 6, day))
    desk.vendor.faults = [spoil(3)]
    desk.at("2024-06-18T08:00:00+09:00")
    told = r"field SellExShortVa: 7 of 88 values of 2024-06 \(8.0%\) cannot be read"
    with pytest.raises(SnapshotError, match=told):
        desk.run("short_ratio", start, dt.date(2024, 6, 17))


def test_a_bad_day_of_a_good_month_is_kept(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The share is that of the month, also when the bad day comes by itself."""
    monkeypatch.setattr("pipeline.api.decode.row_checks.QUARANTINE_SHARE", 0.09)
    start = dt.date(2024, 6, 3)
    desk.run("short_ratio", start, END)
    desk.vendor.faults = [v.changed(lambda rows: [r.update(ShrtNoResVa="?") for r in rows[:6]])]
    desk.at("2024-06-14T08:00:00+09:00")
    found = quarantine_of(desk.run("short_ratio", start, dt.date(2024, 6, 13)))
    assert [(entry.field, entry.count) for entry in found] == [("ShrtNoResVa", 6)]


def test_repeated_rows_of_the_calendar_are_counted_too(desk: Desk) -> None:
    """It is kept as one part, whatever the range."""
    desk.vendor.faults = [v.duplicated_row]
    shutil.rmtree(desk.store().root / "trading_calendar")
    desk.calendar()
    snapshot = desk.store().newest("trading_calendar")
    assert snapshot is not None
    assert [(entry.kind, entry.count) for entry in quarantine_of(snapshot)] == [("repeated row", 1)]


def test_repeated_rows_are_dropped_and_counted(desk: Desk) -> None:
    """The rows are those of a vendor who sends each once."""
    desk.vendor.faults = [v.duplicated_row] * 3
    snapshot = desk.run("short_ratio", START, END)
    (entry,) = quarantine_of(snapshot)
    assert (entry.kind, entry.count) == ("repeated row", 3)
    sessions = [day for day in v.days(START, END) if v.is_session(day)]
    assert snapshot["rows"] == len(sessions) * len(v.SECTORS)


def test_health_tells_what_is_new(desk: Desk) -> None:
    """Unreadable values of the last weeks of the newest chunk; not older ones, nor repetitions."""
    entry = {
        "source": "fin_summary",
        "kind": "value",
        "field": "DEPS",
        "spelling": "N/A",
        "count": 2,
        "first": "2019-05-10",
        "last": "2020-01-07",
        "record": "DiscNo 7",
    }
    old = {**entry, "field": "EPS", "last": "2019-06-10"}
    again = {**entry, "kind": "repeated row", "field": "", "spelling": ""}
    store = ChunkStore(desk.folder)
    build(store, "2020Q1", rows([dt.date(2020, 1, 6)]), quarantine=(entry, old, again))
    assert store.metadata("2020Q1")["quarantine"] == [entry, old, again]
    (finding,) = health_check.quarantine(health_check.Question(desk.settings()))
    assert (finding.subject, finding.text[:40]) == (
        "fin_summary",
        "field DEPS: 2 values 'N/A' of 2019-05-10"[:40],
    )
    assert "DiscNo 7" in finding.text
