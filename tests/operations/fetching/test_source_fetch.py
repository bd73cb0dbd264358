"""Fetching: no request more than needed, nothing lost, nothing half visible."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.api.catalogue.endpoints import endpoint_of
from pipeline.cache.spool import entries
from pipeline.errors import ApiError, MissingData, PipelineError, SnapshotError
from pipeline.features.engine import catalogue
from pipeline.market.calendar.sessions import TradingCalendar
from pipeline.operations.fetching import source_fetch
from pipeline.operations.fetching.ingest import thin_days
from pipeline.operations.fetching.snapshot_range import SnapshotRange
from tests.api.fakes import FakeServer, Reply
from tests.tasks import vendor as v
from tests.tasks.vendor import Desk, Vendor, vendor_running

START, END = dt.date(2024, 4, 15), dt.date(2024, 6, 12)
SESSIONS = [day for day in v.days(START, END) if v.is_session(day)]


@pytest.fixture(scope="module")
def server() -> Iterator[FakeServer]:
    with vendor_running() as running:
        yield running


@pytest.fixture
def desk(server: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setenv("JQUANTS_API_KEY", "k")
    monkeypatch.setenv("JQUANTS_API_BASE", server.url)
    return Desk(Vendor(server), tmp_path, monkeypatch)


def asked_days(desk: Desk) -> list[str]:
    """Days asked for, each request once."""
    return sorted(r.query["date"] for r in desk.vendor.server.requests if "date" in r.query)


def value(desk: Desk, snapshot: dict[str, Any], day: str) -> float:
    table = desk.store().read(snapshot, None, *(2 * (dt.date.fromisoformat(day),)))
    (found,) = set(table["SellExShortVa"].to_pylist())
    return float(found)


def test_a_second_run_asks_for_nothing(desk: Desk) -> None:
    """One request per session the first time, none after that."""
    snapshot = desk.run("short_ratio", START, END)
    assert asked_days(desk) == [str(day) for day in SESSIONS]
    assert snapshot["rows"] == len(SESSIONS) * len(v.SECTORS)
    assert desk.run("short_ratio", START, END) == snapshot
    assert not desk.vendor.asked


def test_a_longer_range_asks_for_what_it_adds(desk: Desk) -> None:
    """At both ends, whatever the months."""
    desk.run("short_ratio", START, END)
    desk.run("short_ratio", dt.date(2024, 4, 11), dt.date(2024, 6, 13))
    assert asked_days(desk) == ["2024-04-11", "2024-04-12", "2024-06-13"]


def test_a_closed_month_is_one_part_and_an_open_day_is_one(desk: Desk) -> None:
    """What came in days is put together when its month is over, without a request."""
    snapshot = desk.run("short_ratio", START, END)
    periods = [part["period"] for part in snapshot["parts"]]
    assert periods == ["2024-04", "2024-05", *(str(d) for d in SESSIONS if d.month == 6)]
    desk.at("2024-07-01T08:00:00+09:00")
    later = desk.run("short_ratio", START, END, fresh_after="2024-07-01T08:00:00+09:00")
    assert [part["period"] for part in later["parts"]] == ["2024-04", "2024-05", "2024-06"]
    assert not desk.vendor.asked
    table, before = (desk.store().read(s) for s in (later, snapshot))
    assert table.equals(before)
    assert {part["fetched_at"] for part in later["parts"]} == {v.NOW}


def test_a_stale_day_is_checked_once(desk: Desk) -> None:
    """The TTL asks again for the open month; unchanged days keep their arrival and are fresh."""
    desk.run("short_ratio", START, END)
    desk.at("2024-06-28T08:00:00+09:00")
    ttl = "2024-06-20T08:00:00+09:00"
    snapshot = desk.run("short_ratio", START, END, fresh_after=ttl)
    assert asked_days(desk) == [str(day) for day in SESSIONS if day.month == 6]
    assert snapshot["fetched_at"] == v.NOW
    assert snapshot["checked_at"] == "2024-06-28T08:00:00+09:00"
    desk.run("short_ratio", START, END, fresh_after=ttl)
    assert not desk.vendor.asked


def test_a_correction_is_taken_and_the_first_version_kept(desk: Desk) -> None:
    """As first seen: as of the day before the correction arrived the old value is there."""
    first = desk.run("short_ratio", START, END)
    old = value(desk, first, "2024-06-05")
    desk.vendor.values["short_ratio", "2024-06-05"] = -1.0
    desk.at("2024-06-17T08:00:00+09:00")
    now = desk.run("short_ratio", START, END, fresh_after="2024-06-17T08:00:00+09:00")
    assert value(desk, now, "2024-06-05") == -1.0
    assert now["rows"] == first["rows"]
    desk.at("2024-08-01T08:00:00+09:00")
    desk.run("short_ratio", START, END)  # by now the month is one part
    for asof, expected in (("2024-06-14", old), ("2024-06-16", old), ("2024-06-17", -1.0)):
        then = desk.run("short_ratio", START, END, asof=dt.date.fromisoformat(asof))
        assert value(desk, then, "2024-06-05") == expected, asof
        assert then["rows"] == first["rows"]
        assert not desk.vendor.asked


def test_an_as_of_day_before_the_cache_is_refused(desk: Desk) -> None:
    """What had not arrived cannot be had by asking now: the error names the days."""
    desk.run("short_ratio", START, END)
    with pytest.raises(MissingData, match=r"43 days \(2024-04-15.*had not arrived by 2024-06-13"):
        desk.run("short_ratio", START, END, asof=dt.date(2024, 6, 13))
    assert not desk.vendor.asked


def test_mode_off_asks_for_everything_and_keeps_what_is_equal(desk: Desk) -> None:
    """For checking the data: closed months too, and only a difference makes a new version."""
    desk.run("short_ratio", START, END)
    desk.vendor.values["short_ratio", "2024-05-15"] = -1.0
    desk.at("2024-06-17T08:00:00+09:00")
    now = "2024-06-17T08:00:00+09:00"
    snapshot = desk.run("short_ratio", START, END, fresh_after=now, source_cache_mode="off")
    assert asked_days(desk) == [str(day) for day in SESSIONS]
    assert value(desk, snapshot, "2024-05-15") == -1.0
    arrived = {
        day.date: day.arrived for part in desk.store().parts("short_ratio") for day in part.days
    }
    assert [date for date, moment in arrived.items() if moment == now] == ["2024-05-15"]


def test_mode_read_asks_for_nothing(desk: Desk) -> None:
    """It says what is missing instead."""
    desk.run("short_ratio", START, END)
    desk.run("short_ratio", START, END, source_cache_mode="read")
    with pytest.raises(MissingData, match=r"1 days \(2024-06-13\) not in the cache"):
        desk.run("short_ratio", START, dt.date(2024, 6, 13), source_cache_mode="read")
    assert not desk.vendor.asked


def test_a_range_source_costs_one_request(desk: Desk) -> None:
    """The first time, and for the days that are new."""
    snapshot = desk.run("topix", START, END)
    assert desk.vendor.asked == {f"{endpoint_of('topix').path}?from={START}&to={END}": 1}
    assert snapshot["rows"] == len(SESSIONS)
    desk.run("topix", START, dt.date(2024, 6, 13))
    assert list(desk.vendor.asked) == [f"{endpoint_of('topix').path}?from=2024-06-13&to=2024-06-13"]


def test_an_event_source_is_asked_for_every_calendar_day(desk: Desk) -> None:
    """Records may be stamped on closed days; a day without any is an answer too."""
    snapshot = desk.run("earnings_date", START, END)
    # The rule says 10:05 on the next trading day: that of 12 June is out on the 13th.
    assert asked_days(desk) == [str(day) for day in v.days(START, END)]
    table = desk.store().read(snapshot)
    assert {str(day) for day in table["PubDate"].unique().to_pylist()} == {
        str(day) for day in v.days(START, END) if day.day % 4 == 0
    }
    desk.run("earnings_date", START, END)
    assert not desk.vendor.asked


def test_a_day_is_not_asked_for_before_its_records_are_out(desk: Desk) -> None:
    """Of a source without promised rows an early empty answer would pass for a final one."""
    desk.run("margin_interest", START, END)  # out two business days later at the latest
    assert asked_days(desk)[-1] == "2024-06-11"
    desk.at("2024-06-17T08:00:00+09:00")
    desk.run("margin_interest", START, dt.date(2024, 6, 14))
    assert asked_days(desk) == ["2024-06-12"]


def test_days_before_the_window_of_the_plan_are_left_out(desk: Desk) -> None:
    """The warm-up may begin before it; a 400 for each of these days helps nobody."""
    desk.at("2029-05-01T08:00:00+09:00")
    snapshot = desk.run("short_ratio", START, END, plan="light")
    assert asked_days(desk)[0] == "2024-05-01"
    assert snapshot["parts"][0]["dates"][0] == "2024-05-01"


def test_a_range_before_the_data_gives_a_table_without_rows(desk: Desk) -> None:
    """Its columns are there, so that features are null and nothing breaks."""
    snapshot = desk.run("margin_interest", dt.date(2012, 1, 4), dt.date(2012, 1, 6))
    table = desk.store().read(snapshot, ["Date", "Code"], dt.date(2012, 1, 4))
    assert (table.num_rows, table.column_names) == (0, ["Date", "Code"])
    assert not desk.vendor.asked


def test_a_thin_day_stops_the_snapshot_and_is_asked_for_again(desk: Desk) -> None:
    """The error names the day; the others are not asked for twice."""
    desk.vendor.thin = {"2024-05-15", "2024-06-05"}
    with pytest.raises(SnapshotError, match=r"2 days .*2024-05-15 \(1 rows, its neighbours 8\)"):
        desk.run("short_ratio", START, END)
    assert desk.store().newest("short_ratio") is None
    desk.vendor.thin = set()
    desk.run("short_ratio", START, END)
    assert asked_days(desk) == ["2024-05-15", "2024-06-05"]


def test_missing_sessions_are_named(desk: Desk) -> None:
    """An empty answer for an open market stops the snapshot; the rest is kept."""
    desk.calendar()
    desk.vendor.faults = [v.changed(list.clear)]
    with pytest.raises(SnapshotError, match="no rows for 1 of 43 sessions: 2024-"):
        desk.run("short_ratio", START, END)
    assert desk.store().newest("short_ratio") is None
    desk.run("short_ratio", START, END)
    assert len(asked_days(desk)) == 1


def test_what_a_dead_run_left_is_used(desk: Desk) -> None:
    """Days of a month that was not whole yet wait in the spool, which ends empty."""
    desk.vendor.faults = [lambda reply: reply] * 20 + [v.status(403)] * 40
    with pytest.raises(ApiError):
        desk.run("short_ratio", START, END)
    spool = desk.store().spool_folder("short_ratio")
    waiting = entries(spool)
    assert waiting
    entry = min(waiting, key=lambda entry: entry.date)
    entry.path.write_bytes(b"")  # damaged: this one is asked for again
    served = {day for part in desk.store().parts("short_ratio") for day in part.days}
    desk.vendor.faults = []
    desk.run("short_ratio", START, END)
    assert len(asked_days(desk)) == len(SESSIONS) - len(served) - len(waiting) + 1
    assert entry.date in asked_days(desk)
    assert not list(spool.glob("*"))


def test_days_that_were_put_away_already_are_forgotten(desk: Desk) -> None:
    """A run that died between writing the part of a month and forgetting its days."""
    desk.vendor.faults = [lambda reply: reply] * 20 + [v.status(403)] * 40
    with pytest.raises(ApiError):
        desk.run("short_ratio", START, END)
    spool = desk.store().spool_folder("short_ratio")
    waiting = {entry.path: entry.path.read_bytes() for entry in entries(spool)}
    assert waiting
    desk.vendor.faults = []
    desk.run("short_ratio", START, END)
    for path, content in waiting.items():
        path.write_bytes(content)
    desk.run("short_ratio", START - dt.timedelta(days=7), END)
    assert asked_days(desk)
    assert not list(spool.glob("*"))


def test_mode_off_does_not_trust_the_spool_either(desk: Desk) -> None:
    """What an earlier run received is older than this one."""
    desk.vendor.faults = [lambda reply: reply] * 10 + [v.status(403)] * 40
    with pytest.raises(ApiError):
        desk.run("short_ratio", START, END)
    assert entries(desk.store().spool_folder("short_ratio"))
    desk.vendor.faults = []
    desk.at("2024-06-17T08:00:00+09:00")
    now = "2024-06-17T08:00:00+09:00"
    desk.run("short_ratio", START, END, fresh_after=now, source_cache_mode="off")
    assert asked_days(desk) == [str(day) for day in SESSIONS]


MONTHS = ("2024-03", "2024-04", "2024-05")


@pytest.mark.parametrize("source", ["short_ratio", "earnings_date"])
def test_the_three_routes_give_the_same_snapshot(desk: Desk, tmp_path: Path, source: str) -> None:
    """Requests, bulk files of the server, bulk files in a folder: equal parts, bit for bit."""
    first, last = dt.date(2024, 4, 1), dt.date(2024, 5, 31)
    desk.vendor.months = MONTHS
    by_request = desk.run(source, first, last)
    desk.folder = tmp_path / "bulk"
    by_bulk = desk.run(source, first, last, source_route="auto")
    assert sum(desk.vendor.asked.values()) == 3  # the list and two files
    folder = tmp_path / "downloads"
    desk.vendor.write_files(folder, source, MONTHS)
    (folder / "markets_calendar.csv.gz").write_bytes(calendar_file(desk.vendor))
    desk.folder = tmp_path / "files"
    files = {"source_route": "files", "bulk_folder": folder}
    by_files = desk.run(source, first, last, **files)
    assert not desk.vendor.asked
    assert [by_request["origin"], by_bulk["route"], by_files["route"]] == [
        "simulator", "bulk", "files",
    ]  # fmt: skip
    assert by_files["origin"] == "files"
    for other in (by_bulk, by_files):
        assert other["sha256"] == by_request["sha256"]
        assert [p["dates"] for p in other["parts"]] == [p["dates"] for p in by_request["parts"]]


def calendar_file(vendor: Vendor) -> bytes:
    import gzip

    lines = [f"{r['Date']},{r['HolDiv']}" for r in vendor.rows(
        endpoint_of("trading_calendar"), v.FIRST, v.LAST)]  # fmt: skip
    return gzip.compress("\n".join(["Date,HolDiv", *lines]).encode())


def test_files_are_for_what_they_are_cheaper_for(desk: Desk) -> None:
    """Two closed months by file, the open month and a single day by request."""
    desk.vendor.months = (*MONTHS, "2024-06")
    desk.run("short_ratio", dt.date(2024, 3, 29), END, source_route="auto")
    kinds = [request.split("?")[0] for request in desk.vendor.asked]
    assert kinds.count("/bulk/list") == 1
    assert kinds.count("/bulk/get") == 2
    assert asked_days(desk) == ["2024-03-29", *(str(d) for d in SESSIONS if d.month == 6)]


def test_a_file_serves_the_rest_of_its_month_too(desk: Desk) -> None:
    """What came with it is never asked for."""
    desk.vendor.months = MONTHS
    desk.run("short_ratio", START, END, source_route="auto")
    desk.run("short_ratio", dt.date(2024, 4, 1), END, source_route="auto")
    assert not desk.vendor.asked


def test_a_month_that_is_not_on_offer_comes_by_request(desk: Desk) -> None:
    """So do days that the file lacks."""
    desk.vendor.months = ("2024-05",)
    desk.run("short_ratio", START, END, source_route="auto")
    assert asked_days(desk) == [str(day) for day in SESSIONS if day.month != 5]


def test_a_server_without_files_is_no_obstacle(desk: Desk) -> None:
    """``auto`` goes on by request, ``bulk`` says what the server said."""
    said = "This endpoint is not available for csv download"
    desk.vendor.listing = Reply({"message": said}, status=400)
    with pytest.raises(ApiError, match=said):
        desk.run("short_ratio", START, END, source_route="bulk")
    desk.run("short_ratio", START, END, source_route="auto")
    assert len(asked_days(desk)) == len(SESSIONS)


def test_a_folder_that_lacks_days_is_told(desk: Desk, tmp_path: Path) -> None:
    """Which days, and what to do; the API is not asked."""
    folder = tmp_path / "downloads"
    desk.vendor.write_files(folder, "short_ratio", ["2024-05"])
    (folder / "markets_calendar.csv.gz").write_bytes(calendar_file(desk.vendor))
    with pytest.raises(SnapshotError, match=r"have no rows for 12 days: 2024-04-15"):
        desk.run(
            "short_ratio", START, dt.date(2024, 5, 31), source_route="files", bulk_folder=folder
        )
    assert not desk.vendor.asked


FAULTS = (
    *(v.status(code) for code in (429, 500, 502, 503, 504, 403)),
    *(v.reset, v.cut, v.garbled, v.wrong_type, v.vanished_field, v.contradicting_row),
    *(v.other_day, v.duplicated_row, v.thinned, v.changed(list.clear)),
)
SHORT = dt.date(2024, 5, 24)  # a closed month and an open one


@pytest.mark.parametrize("source", ["short_ratio", "topix", "earnings_date"])
@settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    data=st.data(),
    route=st.sampled_from(["requests", "bulk", "auto"]),
)
def test_faults_that_end_leave_no_trace(
    desk: Desk, tmp_path_factory: pytest.TempPathFactory, source: str, data: Any, route: str
) -> None:
    """Whatever goes wrong and in whatever order: in the end the snapshot is the fault-free one.

    A run may give up; then no snapshot is visible, and the next run goes on where it stopped.
    """
    desk.vendor.months = MONTHS
    desk.vendor.faults = []
    end = dt.date(2024, 6, 12)
    # Rows that are lost in silence cannot be told where a source promises none.
    faults = FAULTS[:-2] if source == "earnings_date" else FAULTS
    desk.folder = tmp_path_factory.mktemp("calm")
    calm = desk.run(source, SHORT, end, source_route=route)
    calm_rows = desk.store().read(calm)
    wanted = [day for part in calm["parts"] for day in part["dates"]]
    desk.folder = tmp_path_factory.mktemp("storm")
    desk.calendar()
    schedule = data.draw(st.lists(st.sampled_from(faults), max_size=30))
    desk.vendor.faults = list(schedule)
    for _ in range(len(schedule) + 1):
        try:
            stormy = desk.run(source, SHORT, end, source_route=route)
            break
        except PipelineError:
            assert desk.store().newest(source) is None
    assert [day for part in stormy["parts"] for day in part["dates"]] == wanted
    assert desk.store().read(stormy).equals(calm_rows)
    if route == "requests":
        assert stormy["sha256"] == calm["sha256"]


@pytest.mark.parametrize("fault", FAULTS[:12])
def test_faults_without_end_end_the_run(desk: Desk, fault: v.Fault) -> None:
    """In a bounded number of requests, with a clear error and nothing visible."""
    desk.calendar()
    desk.vendor.faults = [fault] * 10_000
    with pytest.raises(PipelineError) as caught:
        desk.run("short_ratio", START, END)
    assert desk.store().newest("short_ratio") is None
    assert sum(desk.vendor.asked.values()) <= 18 * 8  # tries x reads of the requests under way
    assert caught.value.message


def plain(plan: str, *outages: str) -> Any:
    """As much of the settings as says which sources there are."""
    return SimpleNamespace(plan=plan, unavailable_sources=frozenset(outages))


def test_what_the_plan_lacks_is_named() -> None:
    """Sources of a plan and those it lacks together are what the catalogue reads."""
    needed = {endpoint.source for endpoint in source_fetch.endpoints_needed()} - {
        "trading_calendar"
    }
    for plan in ("free", "light", "standard", "premium"):
        has = {endpoint.source for endpoint in source_fetch.sources_of(plain(plan))}
        assert has | set(source_fetch.unavailable(plain(plan))) == needed
        assert not has & set(source_fetch.unavailable(plain(plan)))
    assert "index_option" in source_fetch.unavailable(plain("free"))
    assert source_fetch.unavailable(plain("premium")) == ()


def test_a_declared_outage_is_a_source_less() -> None:
    """What the operator goes without is not asked for, whatever the plan has."""
    account = plain("premium", "futures", "breakdown")
    needed = {endpoint.source for endpoint in source_fetch.endpoints_needed()}
    assert set(source_fetch.unavailable(account)) == {"futures", "breakdown"} & needed
    assert not {"futures", "breakdown"} & {e.source for e in source_fetch.sources_of(account)}


def test_the_statement_book_begins_earlier_than_the_bars() -> None:
    """Its records are read from 1,370 columns before a chunk; the daily sources from 600."""
    wanted = SnapshotRange(dt.date(2020, 1, 6), dt.date(2020, 12, 30), None, "v1")
    assert source_fetch.range_of(endpoint_of("daily_bars"), wanted) == wanted
    earlier = source_fetch.range_of(endpoint_of("fin_summary"), wanted)
    assert replace(earlier, start=wanted.start) == wanted
    assert (wanted.start - earlier.start).days * 243 / 365 > 1370 - catalogue.warm_up_columns()


def test_wanted_days_are_settled_by_the_rule_of_the_source() -> None:
    """Sessions for one kind of source, calendar days for the other."""
    week = np.arange("2024-06-03", "2024-06-15", dtype="datetime64[D]")
    calendar = TradingCalendar(week[np.is_busday(week)])
    first, last = dt.date(2024, 6, 6), dt.date(2024, 6, 10)
    now = "2024-06-30T08:00:00+09:00"
    options = source_fetch.days_wanted(endpoint_of("index_option"), calendar, first, last, now)
    assert [(day.date, day.settled) for day in options] == [
        ("2024-06-06", "2024-06-07T03:00:00+09:00"),
        ("2024-06-07", "2024-06-08T03:00:00+09:00"),
        ("2024-06-10", "2024-06-11T03:00:00+09:00"),
    ]
    summary = source_fetch.days_wanted(endpoint_of("fin_summary"), calendar, first, last, now)
    assert [day.date for day in summary] == [f"2024-06-{day:02d}" for day in range(6, 11)]
    assert summary[2].settled == "2024-06-11T00:30:00+09:00"  # of a Saturday: Monday's


def test_thin_days_are_judged_by_their_neighbours() -> None:
    """Half the usual rows are believed, fewer are not; a market may grow over the years."""
    days = [f"2024-05-{day:02d}" for day in range(1, 31)]
    counts = {date: 500 + 20 * n for n, date in enumerate(days)}
    assert thin_days(counts, days) == {}
    counts["2024-05-15"] = 370  # of a median of about 770
    counts["2024-05-16"] = 400
    assert list(thin_days(counts, days)) == ["2024-05-15"]
    assert thin_days({"2024-05-01": 1, "2024-05-02": 100, "2024-05-03": 100}, days[:1]) == {}
