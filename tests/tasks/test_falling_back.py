"""A way that disappoints is left for another; what only the vendor knows is taken from its words."""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import io
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline.api.bulk import BulkFile
from pipeline.api.catalogue.endpoints import endpoint_of
from pipeline.errors import ApiError, MissingData, SnapshotError, StorageError
from pipeline.operations.fetching import fetch_strategies, source_fetch
from pipeline.operations.planning import run_plan
from tests.api.fakes import FakeServer, Reply, Request
from tests.operations.fetching.test_source_fetch import (
    MONTHS,
    SESSIONS,
    START,
    asked_days,
    calendar_file,
)
from tests.tasks import vendor as v
from tests.tasks.vendor import Desk, Vendor, vendor_running

END = dt.date(2024, 6, 12)
RATIO = endpoint_of("short_ratio")
LATER = "2024-12-20T08:00:00+09:00"  # nine months of the calendar are over
NINE = tuple(f"2024-{month:02d}" for month in range(3, 12))
Rows = list[dict[str, Any]]
Change = Callable[[Request, Reply], Reply]


@pytest.fixture(scope="module")
def server() -> Iterator[FakeServer]:
    with vendor_running() as running:
        yield running


@pytest.fixture
def desk(server: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setenv("JQUANTS_API_KEY", "k")
    monkeypatch.setenv("JQUANTS_API_BASE", server.url)
    desk = Desk(Vendor(server), tmp_path / "spoiled", monkeypatch)
    desk.vendor.months = MONTHS
    desk.calendar()
    return desk


def spoil(desk: Desk, change: Change) -> None:
    """From now on answers pass through ``change``."""
    whole = desk.vendor.answer
    desk.vendor.server.script = lambda request: change(request, whole(request))


def refuse(path: str, reply: Reply, **query: str) -> Change:
    """Requests of a path, with these parameters, get this reply."""

    def change(request: Request, whole: Reply) -> Reply:
        hit = request.path.startswith(path) and query.items() <= request.query.items()
        return reply if hit else whole

    return change


def rewrite(desk: Desk, change: Callable[[Rows], object], months: tuple[str, ...] = NINE) -> None:
    """Bulk files of these months hold changed rows; the list has their true sizes."""

    def file(endpoint: Any, month: str) -> bytes:
        first = dt.date.fromisoformat(f"{month}-01")
        last = (first + dt.timedelta(days=31)).replace(day=1) - dt.timedelta(days=1)
        rows = desk.vendor.rows(endpoint, first, last)
        if month in months:
            change(rows)
        return packed(rows)

    desk.vendor._file = file  # type: ignore[method-assign]


def packed(rows: Rows) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return gzip.compress(text.getvalue().encode(), mtime=0)


def calm(desk: Desk, source: str, start: dt.date, end: dt.date) -> Any:
    """The rows by request, from a vendor without faults, in a folder of their own."""
    folder, script = desk.folder, desk.vendor.server.script
    desk.folder = folder.with_name("calm")
    desk.vendor.server.script = desk.vendor.answer
    rows = desk.store().read(desk.run(source, start, end))
    desk.folder, desk.vendor.server.script = folder, script
    return rows


def gets(desk: Desk) -> list[str]:
    """Keys of the files that a URL was asked for."""
    requests = desk.vendor.server.requests
    return list(dict.fromkeys(r.query["key"] for r in requests if r.path == "/bulk/get"))


def warned(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Warnings that a route was left."""
    texts = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    return [text for text in texts if "instead" in text]


def no_column(rows: Rows) -> None:
    for row in rows:
        del row["SellExShortVa"]


STRAY = "2024-01-04"
LISTS = {
    "refused": Reply({"message": "Forbidden"}, 403),
    "not found": Reply({"message": "Not Found"}, 404),
    "down": Reply({"message": "down"}, 503),
    "no list": Reply({"message": "ok"}),
    "nothing known in it": Reply({"data": [{"Key": "x/y.csv.gz", "Size": 7}]}),
}
URLS = {
    "no url": Reply({"message": "ok"}),
    "no file": Reply({"message": "Not Found"}, 404),
    "no permission": Reply({"message": "Forbidden"}, 403),
    "down": Reply({"message": "down"}, 500),
}
CONTENTS: dict[str, Callable[[Rows], object]] = {
    "a row outside its month": lambda rows: rows[0].update(Date=STRAY),
    "a row twice, with other values": lambda rows: rows.append(rows[0] | {"SellExShortVa": -1.0}),
    # One such value would be null; more than a hundredth of the month is too much.
    "a type": lambda rows: [row.update(SellExShortVa="many") for row in rows[:8]],
    "a column": no_column,
}


def check_by_request(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    """``auto`` has the rows of requests, and says once why; ``bulk`` names the way out."""
    expected = calm(desk, "short_ratio", START, END)
    with pytest.raises((ApiError, SnapshotError)) as caught:
        desk.run("short_ratio", START, END, source_route="bulk")
    assert "source_route auto or requests" in caught.value.hint
    caplog.clear()
    snapshot = desk.run("short_ratio", START, END, source_route="auto")
    assert desk.store().read(snapshot).equals(expected)
    assert set(asked_days(desk)) == {str(day) for day in SESSIONS}
    (warning,) = warned(caplog)
    assert "short_ratio" in warning
    assert "by request instead" in warning
    assert not list(desk.store().spool_folder("short_ratio").glob("*"))


@pytest.mark.parametrize("kind", LISTS)
def test_without_a_list_days_come_by_request(
    desk: Desk, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever the list is instead."""
    spoil(desk, refuse("/bulk/list", LISTS[kind]))
    check_by_request(desk, caplog)


@pytest.mark.parametrize("kind", URLS)
def test_without_a_url_days_come_by_request(
    desk: Desk, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever comes in its place."""
    spoil(desk, refuse("/bulk/get", URLS[kind]))
    check_by_request(desk, caplog)


@pytest.mark.parametrize(
    "reply", [Reply(b"<html>", 200), Reply(b"", 403), Reply(b"x" * 100, cut=50), Reply(b"", 500)]
)
def test_without_a_whole_file_days_come_by_request(
    desk: Desk, reply: Reply, caplog: pytest.LogCaptureFixture
) -> None:
    """What came of it is thrown away, so that no later run trips over it."""
    spoil(desk, refuse("/files/", reply))
    check_by_request(desk, caplog)


@pytest.mark.parametrize("kind", CONTENTS)
def test_a_file_of_other_content_is_replaced_by_requests(
    desk: Desk, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """One file or all of them."""
    rewrite(desk, CONTENTS[kind])
    check_by_request(desk, caplog)


@pytest.mark.parametrize(("month", "to"), [("2024-05", "2024-04-17"), ("2024-04", "2024-05-15")])
def test_rows_in_the_file_of_another_month_are_missed_in_their_own(
    desk: Desk, month: str, to: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The other file looks whole, and is not: neither is used, whichever is read first."""
    expected = calm(desk, "earnings_date", START, END)
    whole = desk.vendor.rows(endpoint_of("earnings_date"), v.FIRST, dt.date(2024, 5, 31))
    moved = [row | {"PubDate": to} for row in whole[:1]]
    rewrite(desk, lambda rows: rows.extend(moved), (month,))
    snapshot = desk.run("earnings_date", START, END, source_route="auto")
    assert desk.store().read(snapshot).equals(expected)
    assert {day[:7] for day in asked_days(desk)} == {"2024-04", "2024-05", "2024-06"}
    assert len(warned(caplog)) == 1


def test_rows_far_from_their_month_end_the_fetch(desk: Desk) -> None:
    """What was kept of March may lack them; the error says how to get it whole. Run again, it
    does not pass for whole either."""
    start = dt.date(2024, 3, 4)
    whole = desk.vendor.rows(endpoint_of("earnings_date"), v.FIRST, dt.date(2024, 5, 31))
    moved = [row | {"PubDate": "2024-03-05"} for row in whole[:1]]
    rewrite(desk, lambda rows: rows.extend(moved), ("2024-05",))
    with pytest.raises(SnapshotError, match="rows of 2024-03 are in the file") as caught:
        desk.run("earnings_date", start, END, source_route="auto")
    assert "source_cache_mode off" in caught.value.hint
    assert not asked_days(desk)
    with pytest.raises(SnapshotError, match="rows of 2024-03 are in the file"):
        desk.run("earnings_date", start, END, source_route="auto")
    expected = calm(desk, "earnings_date", start, END)
    desk.run("earnings_date", start, END, source_route="requests", source_cache_mode="off")
    assert desk.store().read(desk.run("earnings_date", start, END)).equals(expected)


def test_a_thin_day_of_a_file_is_asked_for(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    """The same file would be as thin tomorrow."""
    rewrite(desk, lambda rows: rows.__delitem__(slice(1, len(v.SECTORS))), ("2024-05",))
    expected = calm(desk, "short_ratio", START, END)
    snapshot = desk.run("short_ratio", START, END, source_route="auto")
    assert desk.store().read(snapshot).equals(expected)
    assert asked_days(desk)[0] == "2024-05-01"
    assert asked_days(desk)[1] >= "2024-06-01"
    assert len(warned(caplog)) == 1


def nine_months(desk: Desk, bad: tuple[str, ...]) -> None:
    """As many files on offer, those of some months without a column."""
    desk.at(LATER)
    desk.vendor.months = NINE
    desk.calendar()
    rewrite(desk, CONTENTS["a column"], bad)
    entries = [e | {"LastModified": LATER} for e in desk.vendor._list(RATIO.path)]
    desk.vendor.listing = Reply({"data": entries})


def test_one_bad_file_costs_its_own_month_only(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    """The other eight are used."""
    nine_months(desk, ("2024-06",))
    desk.run("short_ratio", dt.date(2024, 3, 1), dt.date(2024, 11, 29), source_route="auto")
    assert len(gets(desk)) == len(NINE)
    assert {day[:7] for day in asked_days(desk)} == {"2024-06"}
    (warning,) = warned(caplog)
    assert "2024-06.csv.gz" in warning


def test_after_two_bad_files_the_others_are_left_alone(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    """A run does not fail nine times the same way."""
    nine_months(desk, NINE)
    desk.run("short_ratio", dt.date(2024, 3, 1), dt.date(2024, 11, 29), source_route="auto")
    assert len(gets(desk)) <= 3
    assert {day[:7] for day in asked_days(desk)} == set(NINE)
    (warning,) = warned(caplog)
    assert "no other file is tried" in warning


def under_way(
    desk: Desk, source: str, ask: list[str], *, premium: bool = False
) -> fetch_strategies.Fetching:
    """A fetch of these days, as the tasks begin it."""
    endpoint = endpoint_of(source)
    rules = source_fetch.rules_of(desk.settings(), source_fetch.SnapshotRange(START, END), "any")
    receiver = source_fetch.Receiver(desk.store(), endpoint, rules, ask, [])
    return fetch_strategies.Fetching(
        endpoint,
        rules,
        ask,
        receiver,
        lambda _first, _last: [],
        lambda _done, _total: None,
        premium=premium,
    )


def filings(*days_and_numbers: tuple[str, str]) -> pa.Table:
    """Statements with nothing but day and filing number."""
    schema = endpoint_of("fin_summary").schema
    rows = [
        {"DiscDate": dt.date.fromisoformat(day), "DiscNo": number}
        for day, number in days_and_numbers
    ]
    return pa.Table.from_pylist(rows, schema)


def test_a_month_that_contradicts_itself_is_asked_for_as_a_whole(desk: Desk) -> None:
    """One filing on two days: which of them is wrong is not known, so both come again."""
    days = ["2024-05-08", "2024-05-09"]
    fetch = under_way(desk, "fin_summary", days)
    fetch.keep(days[:1], filings((days[0], "1")), "requests")
    assert fetch.missing == days[1:]
    with pytest.raises(SnapshotError, match="several days"):
        fetch.keep(days[1:], filings((days[1], "1")), "bulk")
    assert fetch.missing == days
    fetch.keep(days[1:], filings((days[1], "2")), "requests")
    assert not desk.store().parts("fin_summary")  # the other day is not what it was
    fetch.keep(days[:1], filings((days[0], "1")), "requests")
    (part,) = desk.store().parts("fin_summary")
    assert [(day.date, day.rows) for day in part.days] == [(day, 1) for day in days]
    assert fetch.missing == []


def test_a_month_is_whole_without_days_that_cannot_be_had(desk: Desk) -> None:
    """They may be the last that it waits for."""
    days = ["2024-05-08", "2024-05-09"]
    fetch = under_way(desk, "fin_summary", days)
    fetch.keep(days[1:], filings((days[1], "1")), "requests")
    said = "Your subscription covers the following dates: 2024-05-09 ~ ."
    assert fetch.readable.learn(ApiError("/x", {}, status=400, server_message=said))
    fetch.leave_out()
    (part,) = desk.store().parts("fin_summary")
    assert [day.date for day in part.days] == days[1:]
    assert (fetch.missing, fetch.beyond) == ([], {days[0]})


@pytest.mark.parametrize("path", ["/bulk/list", "/bulk/get"])
def test_a_refused_key_ends_the_fetch(desk: Desk, path: str) -> None:
    """No other way would help."""
    spoil(desk, refuse(path, Reply({"message": "The incoming token is invalid"}, 401)))
    with pytest.raises(ApiError, match="HTTP 401"):
        desk.run("short_ratio", START, END, source_route="auto")
    assert not asked_days(desk)


def test_a_full_disk_ends_the_fetch(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no fault of the file."""

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="No space left"):
        desk.run("short_ratio", START, END, source_route="auto")
    assert not asked_days(desk)


# The other way round.


def test_a_closed_day_that_requests_do_not_give_comes_as_a_file(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    """One day of May is cheaper by request, until the server fails."""
    start = dt.date(2024, 5, 31)
    expected = calm(desk, "short_ratio", start, END)
    spoil(desk, refuse(RATIO.path, Reply({"message": "down"}, 500), date=str(start)))
    with pytest.raises(ApiError, match="HTTP 500"):
        desk.run("short_ratio", start, END, source_route="requests")
    snapshot = desk.run("short_ratio", start, END, source_route="auto")
    assert desk.store().read(snapshot).equals(expected)
    assert gets(desk) == ["markets/short-ratio/2024-05.csv.gz"]
    (warning,) = warned(caplog)
    assert "1 months by bulk file instead" in warning


def test_a_range_that_requests_do_not_give_comes_as_files(desk: Desk) -> None:
    """Its open month by request."""
    path = endpoint_of("topix").path
    expected = calm(desk, "topix", START, END)
    spoil(desk, refuse(path, Reply({"message": "down"}, 500), **{"from": str(START)}))
    snapshot = desk.run("topix", START, END, source_route="auto")
    assert desk.store().read(snapshot).equals(expected)
    assert len(gets(desk)) == 2


def test_a_day_that_neither_way_gives_ends_the_fetch(desk: Desk) -> None:
    """With the words of the request; nothing is tried for ever."""
    spoil(desk, refuse(RATIO.path, Reply({"message": "down"}, 500), date="2024-06-03"))
    with pytest.raises(ApiError, match="date=2024-06-03: HTTP 500: down"):
        desk.run("short_ratio", START, END, source_route="auto")
    assert (
        desk.vendor.asked["/bulk/list?endpoint=/markets/short-ratio&from=2024-04&to=2024-05"] == 1
    )


# Lists of other shapes.


def test_a_month_that_is_still_day_files_comes_by_request(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    """In the first days of a month those of the month before are; nothing is wrong with that."""
    live = "markets/short-ratio/live/markets_short-ratio_2024053{}.csv.gz"
    entries = [
        *desk.vendor._list(RATIO.path)[:2],
        *({"Key": live.format(d), "Size": 9} for d in "01"),
    ]
    desk.vendor.listing = Reply({"data": entries})
    snapshot = desk.run("short_ratio", START, END, source_route="auto")
    assert gets(desk) == ["markets/short-ratio/2024-04.csv.gz"]
    assert asked_days(desk) == [str(day) for day in SESSIONS if day.month > 4]
    assert snapshot["rows"] == len(SESSIONS) * len(v.SECTORS)
    assert not warned(caplog)


def test_a_file_of_unknown_age_is_used_when_its_month_is_long_over(desk: Desk) -> None:
    """April ended 44 days ago, May 13: its file may be older than its last records."""
    entries = [e | {"LastModified": None} for e in desk.vendor._list(RATIO.path)]
    desk.vendor.listing = Reply({"data": entries})
    desk.run("short_ratio", START, END, source_route="auto")
    assert gets(desk) == ["markets/short-ratio/2024-04.csv.gz"]
    assert asked_days(desk) == [str(day) for day in SESSIONS if day.month > 4]


def test_a_file_of_several_months_is_downloaded_once(desk: Desk) -> None:
    """And gives each of them."""
    key = "markets/short-ratio/historical/markets_short-ratio_202403-202405.csv.gz"
    rows = desk.vendor.rows(RATIO, dt.date(2024, 3, 1), dt.date(2024, 5, 31))
    expected = calm(desk, "short_ratio", START, END)
    desk.vendor.listing = Reply(
        {"data": [{"Key": key, "Size": float(len(packed(rows))), "LastModified": v.NOW}]}
    )
    desk.vendor.server.script = lambda request: (
        Reply(packed(rows)) if request.path.startswith("/files/") else desk.vendor.answer(request)
    )
    snapshot = desk.run("short_ratio", START, END, source_route="auto")
    assert gets(desk) == [key]
    assert desk.store().read(snapshot).equals(expected)
    assert asked_days(desk) == [str(day) for day in SESSIONS if day.month == 6]


@pytest.mark.parametrize(
    ("key", "premium", "values", "refused"),
    [
        ("x/historical/a.csv.gz", True, [None, None], True),
        ("x/historical/a.csv.gz", True, [None, 1.0], False),
        ("x/historical/a.csv.gz", False, [None, None], False),
        ("x/premium/historical/a.csv.gz", True, [None, None], False),
        ("x/historical/a.csv.gz", True, [], False),
    ],
)
def test_a_plain_file_without_the_columns_of_the_plan_is_not_used(
    desk: Desk, key: str, premium: bool, values: list[float | None], refused: bool
) -> None:
    """Requests would have given values there; nulls would pass for what the market did."""
    bars = endpoint_of("daily_bars")
    table = pa.table(
        {f.name: pa.array(values if f.name == "MC" else [None] * len(values), f.type)
         for f in bars.schema}
    )  # fmt: skip
    fetch = under_way(desk, "daily_bars", [], premium=premium)
    file = BulkFile(key, "2024-05", 7, v.NOW)
    with pytest.raises(SnapshotError, match="no values of MC, AC") if refused else nullcontext():
        fetch_strategies._require_premium_columns(fetch, file, table)


# Folders.


def late_files(desk: Desk, folder: Path, months: tuple[str, ...]) -> dict[str, Any]:
    """A folder whose files are grouped by the day before that of the rows; settings for it."""
    folder.mkdir()
    for month in months:
        first = dt.date.fromisoformat(f"{month}-01")
        last = (first + dt.timedelta(days=31)).replace(day=1)
        rows = desk.vendor.rows(RATIO, first + dt.timedelta(days=1), last)
        (folder / f"{RATIO.file_stem}_{month.replace('-', '')}.csv.gz").write_bytes(packed(rows))
    (folder / "markets_calendar.csv.gz").write_bytes(calendar_file(desk.vendor))
    return {"source_route": "files", "bulk_folder": folder}


def test_a_folder_grouped_by_another_date_is_read_by_the_rows_own(
    desk: Desk, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """1 April and 1 May lie in the files of the months before."""
    files = late_files(desk, tmp_path / "files", MONTHS)
    april, may = dt.date(2024, 4, 1), dt.date(2024, 5, 31)
    expected = calm(desk, "short_ratio", april, may)
    desk.folder = tmp_path / "by files"
    snapshot = desk.run("short_ratio", april, may, **files)
    assert desk.store(**files).read(snapshot).equals(expected)
    assert caplog.text.count("rows dated outside their months") == 1


def test_a_folder_that_may_lack_rows_of_a_month_is_refused(desk: Desk, tmp_path: Path) -> None:
    """The file before the first one may hold rows of its month."""
    files = late_files(desk, tmp_path / "files", MONTHS[1:])
    desk.folder = tmp_path / "by files"
    with pytest.raises(SnapshotError, match=r"no rows for 22 days: 2024-04-01") as caught:
        desk.run("short_ratio", dt.date(2024, 4, 1), dt.date(2024, 5, 31), **files)
    assert "put the files of these days there" in caught.value.hint


# Windows, closed days and the calendar.


def outside(first: str, last: str) -> Change:
    """Days outside are refused as the service does."""
    said = f"Your subscription covers the following dates: {first} ~ {last}. If you want more data"

    def change(request: Request, whole: Reply) -> Reply:
        ends = [request.query[name] for name in ("date", "from", "to") if name in request.query]
        bulk = request.path.startswith(("/bulk", "/files"))
        if bulk or all(first <= day <= (last or "9") for day in ends):
            return whole
        return Reply({"message": said}, 400)

    return change


@pytest.mark.parametrize("source", ["short_ratio", "topix", "earnings_date"])
def test_the_window_of_the_server_counts(
    desk: Desk, source: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The snapshot begins later, as for days before the computed one; said once."""
    expected = calm(desk, source, dt.date(2024, 5, 8), END)
    spoil(desk, outside("2024-05-08", ""))
    snapshot = desk.run(source, START, END)
    assert desk.store().read(snapshot).equals(expected)
    assert snapshot["parts"][0]["dates"][0] == "2024-05-08"
    assert caplog.text.count("days outside are left out") == 1
    desk.run(source, START, END)  # the cache has all that can be had
    assert not [r for r in desk.vendor.server.requests if r.query.get("date", "9") >= "2024-05-08"
                and "from" not in r.query]  # fmt: skip


def test_a_window_that_ends_before_the_range_is_an_error(desk: Desk) -> None:
    """Sessions at the end are never missed in silence; what is inside is kept."""
    spoil(desk, outside("2024-01-01", "2024-06-05"))
    with pytest.raises(SnapshotError, match="reads until 2024-06-05; 5 days") as caught:
        desk.run("short_ratio", START, END)
    assert caught.value.hint == "use --end 2024-06-05 or earlier"
    desk.run("short_ratio", START, dt.date(2024, 6, 5))
    assert not asked_days(desk)


def test_refused_closed_days_are_days_without_rows(desk: Desk) -> None:
    """Of a source that is asked for each calendar day; a refused session is an error."""
    expected = calm(desk, "earnings_date", START, END)
    closed = {str(day) for day in v.days(START, END) if not v.is_session(day)}

    def change(request: Request, whole: Reply) -> Reply:
        empty = whole.body == {"data": []}
        refused = request.query.get("date") in closed and empty
        return Reply({"message": "Bad Request"}, 400) if refused else whole

    spoil(desk, change)
    expected_dates = [str(day) for day in v.days(START, END)]
    snapshot = desk.run("earnings_date", START, END)
    assert desk.store().read(snapshot).equals(expected)
    assert [day for part in snapshot["parts"] for day in part["dates"]] == expected_dates
    desk.folder = desk.folder.with_name("open")
    spoil(desk, refuse(endpoint_of("earnings_date").path, Reply({"message": "Bad Request"}, 400)))
    with pytest.raises(ApiError, match="HTTP 400: Bad Request"):
        desk.run("earnings_date", START, END)


def free_calendar(desk: Desk, last: str) -> Any:
    """Settings of a Free account whose calendar ends on a day; the window ends on 2024-09-27."""
    desk.at(LATER)

    def change(request: Request, whole: Reply) -> Reply:
        if request.path != endpoint_of("trading_calendar").path:
            return whole
        return Reply({"data": [row for row in whole.body["data"] if row["Date"] <= last]})

    spoil(desk, change)
    desk.folder = desk.folder.with_name("free")
    return desk.settings(plan="free")


@pytest.mark.parametrize("short", [0, 1, 2, 3])
def test_a_calendar_that_ends_a_little_early_ends_the_run(
    desk: Desk, short: int, caplog: pytest.LogCaptureFixture
) -> None:
    """The vendor's day may turn later than ours; every process of the day takes it."""
    last = dt.date(2024, 9, 27) - dt.timedelta(days=short)
    settings, end = free_calendar(desk, str(last)), dt.date(2024, 12, 19)
    source_fetch.keep_calendar(settings, source_fetch.fetch_calendar(settings, end))
    assert ("this run ends with the calendar" in caplog.text) == bool(short)
    calendar = source_fetch.load_calendar(settings, end)
    (chunk,) = run_plan.plan_chunks(settings, calendar, dt.date(2024, 9, 2), end, 3)
    assert chunk.last == last - dt.timedelta(days=1)
    desk.at("2024-12-21T08:00:00+09:00")  # by then the server has more
    with pytest.raises(MissingData, match="reaches 2024-09-28"):
        source_fetch.load_calendar(settings, end)


def test_a_calendar_that_ends_much_too_early_is_refused(desk: Desk) -> None:
    """It is not the turn of the day then."""
    settings = free_calendar(desk, "2024-09-23")
    with pytest.raises(SnapshotError, match="expected it to reach 2024-09-27"):
        source_fetch.fetch_calendar(settings, dt.date(2024, 12, 19))


def test_a_calendar_beyond_the_window_does_not_lengthen_the_run(desk: Desk) -> None:
    """Whether Free accounts get it whole is not known."""
    settings = free_calendar(desk, "2024-12-31")
    table = source_fetch.fetch_calendar(settings, dt.date(2024, 12, 19))
    calendar = source_fetch.TradingCalendar.from_table(table)
    assert run_plan.last_published(settings, calendar) == dt.date(2024, 9, 26)
