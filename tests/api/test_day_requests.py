"""Whole periods through the thread pool: same result for any order, and an end to every fault."""

from __future__ import annotations

import datetime as dt
import itertools
import logging
import random
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.api.catalogue.endpoints import endpoint_of
from pipeline.api.day_requests import Progress, Readable, collect_dates, fetch_dates, fetch_range
from pipeline.api.http.client import ApiSession
from pipeline.api.http.concurrency import Lanes
from pipeline.api.http.rate_limit import RateLimiter
from pipeline.api.http.retry import RetryPolicy
from pipeline.errors import ApiError, BadResponse, SnapshotError, UsageError
from tests.api.fakes import KEY, FakeServer, Reply, Request, session_to

INDICES = endpoint_of("indices")
CALENDAR = endpoint_of("trading_calendar")
TOPIX = endpoint_of("topix")
DAYS = [dt.date(2024, 1, day) for day in (4, 5, 9, 10, 11, 12)]
CODES = ["0000", "0028", "002A", "0040", "812C"]


def rows_of(day: str) -> list[dict[str, Any]]:
    """A handful of index rows whose values depend on day and code."""
    value = float(day[-2:])
    return [
        {"Date": day, "Code": code, "O": value, "H": None, "L": 0.0, "C": value + at}
        for at, code in enumerate(CODES)
    ]


def paged(pages_of_day: dict[str, list[list[dict[str, Any]]]], request: Request) -> Reply:
    """The page a request asks for; keys are numbers in disguise."""
    day = request.query["date"]
    parts = pages_of_day[day]
    at = 0 if request.page_key is None else int(request.page_key.split(".")[1])
    body: dict[str, Any] = {"data": parts[at]}
    if at + 1 < len(parts):
        body["pagination_key"] = f"{day}.{at + 1}."
    return Reply(body)


def expected(days: list[dt.date] = DAYS) -> list[dict[str, Any]]:
    return [{**row, "Date": day} for day in sorted(days) for row in rows_of(day.isoformat())]


def serve_days(server: FakeServer) -> None:
    server.script = lambda request: Reply({"data": rows_of(request.query["date"])})


@given(st.randoms(use_true_random=False), st.integers(1, 4), st.integers(1, 8))
@settings(max_examples=15, deadline=None)
def test_pages_and_threads_in_any_order_give_the_same_table(
    module_server: FakeServer, rng: random.Random, n_pages: int, concurrency: int
) -> None:
    """Rows shuffled over pages of any number, days asked in any order by any number of threads."""
    pages_of_day = {}
    for day in DAYS:
        rows = rows_of(day.isoformat())
        rng.shuffle(rows)
        cuts = sorted(rng.sample(range(len(rows) + 1), n_pages - 1))
        edges = itertools.pairwise([0, *cuts, len(rows)])
        pages_of_day[day.isoformat()] = [rows[start:stop] for start, stop in edges]
    module_server.script = lambda request: paged(pages_of_day, request)
    with session_to(module_server.url) as session:
        table = collect_dates(session, INDICES, rng.sample(DAYS, len(DAYS)), concurrency)
        assert session.requests_sent == n_pages * len(DAYS)
    assert table.schema == INDICES.schema
    assert table.to_pylist() == expected()


def test_the_number_of_requests_at_a_time_changes_meanwhile(server: FakeServer) -> None:
    """From one to four while days come; never more than that, and none is lost."""
    lanes, count = Lanes(1), threading.Lock()
    under_way, most = 0, Counter[int]()

    def script(request: Request) -> Reply:
        nonlocal under_way
        with count:
            under_way += 1
            most[lanes.number] = max(most[lanes.number], under_way)
        time.sleep(0.03)
        with count:
            under_way -= 1
        return Reply({"data": rows_of(request.query["date"])})

    server.script = script
    days = [dt.date(2024, 1, 4) + dt.timedelta(at) for at in range(40)]
    with session_to(server.url) as session:
        for done, _ in enumerate(fetch_dates(session, INDICES, days, lanes), 1):
            if done == 5:
                assert most[1] == 1
                lanes.resize(4)
    assert done == len(days)
    assert most[4] == 4


FAULTS = [
    Reply({"message": "busy"}, 429),
    Reply({"message": "fault"}, 500),
    Reply({"message": "gone"}, 502),
    Reply({"data": []}, cut=3),
    Reply(b'{"data": [{"Date":'),
    Reply(b"null"),
    Reply({"rows": []}),
    Reply({"data": [{"Date": "2024-01-04"}]}),
    Reply({"data": [{**rows_of("2024-01-04")[0], "Date": "2024-1-4"}]}),
    Reply({"data": [{**rows_of("2024-01-04")[0], "C": close} for close in (1.0, 2.0)]}),
    Reply({"data": rows_of("2023-12-29")}),
    Reply({"data": [], "pagination_key": 1}),
]


@given(st.lists(st.sampled_from(range(len(FAULTS))), max_size=2), st.integers(1, 4))
@settings(max_examples=40, deadline=None)
def test_faults_that_end_leave_no_trace(
    module_server: FakeServer, faults: list[int], concurrency: int
) -> None:
    """For faults of any kind before a day's good answer, the table is the fault-free one."""
    left = {day.isoformat(): [FAULTS[fault] for fault in faults] for day in DAYS}

    def script(request: Request) -> Reply:
        queue = left[request.query["date"]]
        return queue.pop() if queue else Reply({"data": rows_of(request.query["date"])})

    module_server.script = script
    with session_to(module_server.url) as session:
        assert collect_dates(session, INDICES, DAYS, concurrency).to_pylist() == expected()


@pytest.mark.parametrize("fault", range(len(FAULTS)))
def test_faults_that_do_not_end_stop_the_fetch(server: FakeServer, fault: int) -> None:
    """In a bounded number of requests, with an error of ours."""
    server.replies(FAULTS[fault])
    with session_to(server.url) as session, pytest.raises((ApiError, SnapshotError)):
        list(fetch_dates(session, INDICES, [DAYS[1]], 1))
    assert len(server.requests) <= 6 * 3


def test_days_are_handed_over_as_they_complete(server: FakeServer) -> None:
    """A slow first day does not hold back the others; nothing is lost or doubled."""
    slow = DAYS[0].isoformat()

    def script(request: Request) -> Reply:
        day = request.query["date"]
        return Reply({"data": rows_of(day)}, delay_s=0.3 if day == slow else 0.0)

    server.script = script
    seen: list[Progress] = []
    with session_to(server.url) as session:
        found = list(fetch_dates(session, INDICES, DAYS, 3, seen.append))
    assert found[-1][0] == DAYS[0]
    assert sorted(day for day, _ in found) == DAYS
    assert [(item.done, item.expected) for item in seen] == [(n, 6) for n in range(1, 7)]
    assert seen[-1].rows == 6 * len(CODES)
    assert seen[-1].requests == 6


def test_each_day_is_asked_once(server: FakeServer) -> None:
    """Doubled dates cost no request."""
    serve_days(server)
    with session_to(server.url) as session:
        collect_dates(session, INDICES, DAYS + DAYS, 4)
    assert Counter(request.query["date"] for request in server.requests) == Counter(
        day.isoformat() for day in DAYS
    )


def test_at_most_the_given_number_of_requests_is_under_way(server: FakeServer) -> None:
    """Concurrency is what was configured, and it is used."""
    running, peak, lock = [0], [0], threading.Lock()

    def script(request: Request) -> Reply:
        with lock:
            running[0] += 1
            peak[0] = max(peak[0], running[0])
        time.sleep(0.05)
        with lock:
            running[0] -= 1
        return Reply({"data": rows_of(request.query["date"])})

    server.script = script
    with session_to(server.url) as session:
        collect_dates(session, INDICES, DAYS, 3)
    assert peak[0] == 3


def test_the_first_final_error_cancels_the_rest(server: FakeServer) -> None:
    """A refusal on one of 500 days: the error is raised, and hardly any other day is asked."""
    days = [dt.date(2022, 1, 1) + dt.timedelta(days=n) for n in range(500)]

    def script(request: Request) -> Reply:
        if request.query["date"] == "2022-01-04":
            return Reply({"message": "This API is not available on your subscription"}, 403)
        return Reply({"data": rows_of(request.query["date"])})

    server.script = script
    with session_to(server.url) as session, pytest.raises(ApiError, match="HTTP 403") as caught:
        list(fetch_dates(session, INDICES, days, 4))
    assert caught.value.params == {"date": "2022-01-04"}
    assert len(server.requests) < 40


def test_a_final_error_ends_the_pauses_of_other_threads(server: FakeServer) -> None:
    """On the real clock: a thread that would wait half a minute leaves at once."""

    def script(request: Request) -> Reply:
        if request.query["date"] == DAYS[0].isoformat():
            return Reply({}, 503)
        return Reply({"message": "no"}, 403, delay_s=0.2)

    server.script = script
    began = time.monotonic()
    with (
        ApiSession(
            server.url,
            KEY,
            origin="api",
            limiter=RateLimiter({}),
            policy=RetryPolicy(base_s=30.0),
        ) as session,
        pytest.raises(ApiError, match="HTTP 403"),
    ):
        list(fetch_dates(session, INDICES, DAYS[:2], 2))
    assert time.monotonic() - began < 5.0


def test_a_caller_that_stops_listening_stops_the_fetch(server: FakeServer) -> None:
    """Closing the iterator cancels what has not begun and leaves no thread behind."""
    serve_days(server)
    days = [dt.date(2022, 1, 1) + dt.timedelta(days=n) for n in range(500)]
    with session_to(server.url) as session:
        tables = fetch_dates(session, INDICES, days, 2)
        next(tables)
        tables.close()
    assert len(server.requests) < 20
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("fetch")]


def test_a_session_without_promised_rows_stops_the_fetch(server: FakeServer) -> None:
    """After the others have been handed over; the error names the days."""

    def script(request: Request) -> Reply:
        day = request.query["date"]
        return Reply({"data": [] if day == "2024-01-09" else rows_of(day)})

    server.script = script
    found: list[dt.date] = []
    with session_to(server.url) as session:
        tables = fetch_dates(session, INDICES, DAYS, 2)
        with pytest.raises(SnapshotError, match="indices: no rows for 1 of 6 sessions: 2024-01-09"):
            found.extend(day for day, _ in tables)
    assert sorted(found) == [day for day in DAYS if day.day != 9]


def test_events_may_have_days_without_rows(server: FakeServer) -> None:
    """No disclosure on a day is an answer: an empty table with all columns."""
    summary = endpoint_of("fin_summary")
    with session_to(server.url) as session:
        ((day, table),) = fetch_dates(session, summary, DAYS[:1], 1)
        assert collect_dates(session, summary, [], 1).schema == summary.schema
    assert (day, table.num_rows, table.schema) == (DAYS[0], 0, summary.schema)


def test_a_ranged_source_is_one_request(server: FakeServer) -> None:
    """Rows come sorted, and outside the range there are none."""
    rows = [{"Date": f"2024-01-0{day}", "HolDiv": "1"} for day in (5, 4, 6)]
    server.replies(Reply({"data": rows}))
    with session_to(server.url) as session:
        table = fetch_range(session, CALENDAR, dt.date(2024, 1, 4), dt.date(2024, 1, 6))
        assert fetch_range(session, CALENDAR).equals(table)
        with pytest.raises(BadResponse, match="Date: expected 2024-01-05 to the end"):
            fetch_range(session, CALENDAR, dt.date(2024, 1, 5))
    assert [day.day for day in table["Date"].to_pylist()] == [4, 5, 6]
    assert server.requests[0].query == {"from": "2024-01-04", "to": "2024-01-06"}
    assert server.requests[1].query == {}


def test_a_range_must_hold_its_sessions(server: FakeServer) -> None:
    """When the caller knows the trading days, a hole between them is an error."""
    rows = [{"Date": day.isoformat(), "O": 1.0, "H": 1.0, "L": 1.0, "C": 1.0} for day in DAYS]
    server.replies(Reply({"data": rows[:3] + rows[4:]}))
    with session_to(server.url) as session:
        assert fetch_range(session, TOPIX, DAYS[0], DAYS[-1]).num_rows == 5
        with pytest.raises(SnapshotError, match="topix: no rows for 1 of 6 sessions: 2024-01-10"):
            fetch_range(session, TOPIX, DAYS[0], DAYS[-1], DAYS)


def test_sources_are_asked_the_way_their_row_says(server: FakeServer) -> None:
    """A wrong use is told before the first request."""
    with session_to(server.url, pool_size=4) as session:
        with pytest.raises(UsageError, match="topix: asked by range"):
            next(fetch_dates(session, TOPIX, DAYS, 2))
        with pytest.raises(UsageError, match="indices: asked day by day"):
            fetch_range(session, INDICES)
        for concurrency in (0, 5):
            with pytest.raises(UsageError, match="expected 1 to 4, the size of the pool"):
                next(fetch_dates(session, INDICES, DAYS, concurrency))
    assert server.requests == []


def test_summaries_draw_from_their_own_budget_too(server: FakeServer) -> None:
    """Sixty a minute, whatever the plan."""
    with session_to(server.url, limits={"plan": 500, "fins/summary": 60}) as session:
        days = [dt.date(2024, 1, 1) + dt.timedelta(days=n) for n in range(60)]
        list(fetch_dates(session, endpoint_of("fin_summary"), days, 1))
        assert session.clock.now() - 1000.0 == pytest.approx(61.0)


def test_an_added_field_is_reported_once_for_all_days(
    server: FakeServer, caplog: pytest.LogCaptureFixture
) -> None:
    """However many threads see it."""
    server.script = lambda request: Reply(
        {"data": [{**row, "New": 1} for row in rows_of(request.query["date"])]}
    )
    with caplog.at_level(logging.WARNING), session_to(server.url) as session:
        table = collect_dates(session, INDICES, DAYS, 4)
    assert isinstance(table, pa.Table)
    assert table.to_pylist() == expected()
    assert len([record for record in caplog.records if "unknown field" in record.message]) == 1


SUMMARY = endpoint_of("fin_summary")  # asked for calendar days, without promised rows
ALERT = endpoint_of("margin_alert")  # asked for sessions, without promised rows
SUNDAY = dt.date(2024, 1, 7)
OUTSIDE = (
    "Your subscription covers the following dates: {}. If you want more data, please check other "
    "plans"
)


def refusing(days: set[str], message: str, found: dict[str, Any] | None = None) -> Any:
    """A server that refuses some days and has rows, or none, for the others."""

    def script(request: Request) -> Reply:
        if request.query["date"] in days:
            return Reply({"message": message}, 400)
        rows = rows_of(request.query["date"]) if found is None else []
        return Reply({"data": rows})

    return script


@pytest.mark.parametrize(
    ("window", "inside"),
    [
        ("2024-01-09 ~ 2024-01-11", DAYS[2:5]),
        ("2024-01-10 ~ ", DAYS[3:]),
        ("2025-01-10 ~ ", []),
    ],
)
def test_days_outside_the_window_that_the_server_names_are_left_out(
    server: FakeServer, window: str, inside: list[dt.date], caplog: pytest.LogCaptureFixture
) -> None:
    """Those inside come; the window is logged once and outlives the call."""
    refused = {str(day) for day in DAYS if day not in inside}
    server.script = refusing(refused, OUTSIDE.format(window))
    readable = Readable()
    with session_to(server.url) as session:
        found = dict(fetch_dates(session, INDICES, DAYS, 1, readable=readable))
        asked = len(server.requests)
        again = dict(fetch_dates(session, INDICES, DAYS, 1, readable=readable))
    assert sorted(found) == sorted(again) == inside
    assert [day for day in DAYS if readable.holds(day)] == inside
    # The first day of each side told; days that were under way already may add one.
    assert asked < len(DAYS) + (not inside)
    assert len(server.requests) == asked + len(inside)
    assert caplog.text.count("days outside are left out") == 1


def test_a_window_that_holds_the_refused_day_is_no_answer(server: FakeServer) -> None:
    """The server contradicts itself: its words are in the error."""
    server.script = refusing({"2024-01-09"}, OUTSIDE.format("2024-01-01 ~ 2024-12-31"))
    with session_to(server.url) as session, pytest.raises(ApiError, match="covers the following"):
        list(fetch_dates(session, INDICES, DAYS, 1))


@pytest.mark.parametrize("message", ["The date is not a business day", "no", ""])
def test_a_refused_closed_day_is_one_without_rows(server: FakeServer, message: str) -> None:
    """Whatever the text: the calendar says that the exchange was closed."""
    server.script = refusing({str(SUNDAY)}, message, {})
    days = [dt.date(2024, 1, 5), SUNDAY]
    with session_to(server.url) as session:
        found = dict(fetch_dates(session, SUMMARY, days, 1, closed=[SUNDAY]))
        assert [found[day].num_rows for day in days] == [0, 0]
        assert found[SUNDAY].schema == SUMMARY.schema
        with pytest.raises(ApiError, match="HTTP 400"):  # where the calendar says nothing
            list(fetch_dates(session, INDICES, [SUNDAY], 1))


def test_an_open_day_that_is_called_closed_is_empty_only_without_promised_rows(
    server: FakeServer,
) -> None:
    """An empty list would be as good there; a promised session is an error with the words."""
    server.script = refusing({"2024-01-09"}, "The date is not a business day", {})
    with session_to(server.url) as session:
        ((day, table),) = fetch_dates(session, ALERT, [dt.date(2024, 1, 9)], 1)
        assert (day, table.num_rows) == (dt.date(2024, 1, 9), 0)
        with pytest.raises(ApiError, match="not a business day"):
            list(fetch_dates(session, INDICES, [dt.date(2024, 1, 9)], 1))


def test_a_range_is_cut_to_the_window(server: FakeServer, caplog: pytest.LogCaptureFixture) -> None:
    """One refusal, one more request, none for a range that lies outside."""
    rows = [{"Date": str(day), "O": 1.0, "H": 1.0, "L": 1.0, "C": 1.0} for day in DAYS]

    def script(request: Request) -> Reply:
        if request.query["from"] < "2024-01-09":
            return Reply({"message": OUTSIDE.format("2024-01-09 ~ ")}, 400)
        return Reply({"data": [row for row in rows if row["Date"] >= request.query["from"]]})

    server.script = script
    readable = Readable()
    with session_to(server.url) as session:
        table = fetch_range(session, TOPIX, DAYS[0], DAYS[-1], DAYS, readable=readable)
        assert table["Date"].to_pylist() == DAYS[2:]
        assert [r.query["from"] for r in server.requests] == ["2024-01-04", "2024-01-09"]
        assert not fetch_range(session, TOPIX, DAYS[0], DAYS[1], readable=readable).num_rows
        assert not fetch_range(session, TOPIX, DAYS[0], DAYS[1]).num_rows
    assert len(server.requests) == 3
    assert readable.window.first == dt.date(2024, 1, 9)


def test_a_range_that_stays_refused_is_an_error(server: FakeServer) -> None:
    """The window holds all of it."""
    server.replies(Reply({"message": OUTSIDE.format("2020-01-01 ~ ")}, 400))
    with session_to(server.url) as session, pytest.raises(ApiError, match="covers the following"):
        fetch_range(session, TOPIX, DAYS[0], DAYS[-1], DAYS)
    assert len(server.requests) == 1


ANSWERS = orjson.loads((Path(__file__).parents[1] / "data" / "answers.json").read_bytes())


@pytest.mark.parametrize("answer", [a for a in ANSWERS if a["status"] in (200, 400)])
def test_answers_that_were_seen(server: FakeServer, answer: dict[str, Any]) -> None:
    """For a Sunday before any window: left out, or a day without rows, as they mean."""
    sunday = dt.date(2020, 1, 5)
    server.replies(Reply(answer["body"], answer["status"]))
    readable = Readable()
    with session_to(server.url) as session:
        found = dict(fetch_dates(session, SUMMARY, [sunday], 1, closed=[sunday], readable=readable))
    if "covers" in answer["body"].get("message", ""):
        assert found == {}
        assert not readable.holds(sunday)
    else:
        assert [table.num_rows for table in found.values()] == [0]
        assert readable.holds(sunday)
