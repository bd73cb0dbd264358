"""Bulk files: what is listed, what arrives, and what never leaves."""

from __future__ import annotations

import datetime as dt
import logging
import random
from pathlib import Path
from typing import Any

import orjson
import pytest

from pipeline.api.bulk import (
    BulkFile,
    download,
    is_of,
    list_files,
    made_at,
    months_of,
    period_of,
    span,
    wanted,
)
from pipeline.api.catalogue.endpoints import endpoint_of
from pipeline.api.http.retry import RetryPolicy
from pipeline.errors import ApiError, BadResponse, StorageError
from tests.api.bulk_server import BulkServer, as_csv, packed, wire_row
from tests.api.fakes import KEY, FakeClock, FakeServer, Reply, session_to

BARS = endpoint_of("daily_bars")
FOLDER = "equities/bars/daily"
MONTH = f"{FOLDER}/historical/2024/equities_bars_daily_202401.csv.gz"
FIRST, LAST = dt.date(2024, 1, 10), dt.date(2024, 2, 2)
_PRICES = random.Random(7)
ROWS = [wire_row(BARS, Code=f"{code}0", O=_PRICES.random()) for code in range(1300, 1900)]
CONTENT = packed(as_csv(BARS, ROWS))
FILE = BulkFile(MONTH, "2024-01", len(CONTENT), "2024-02-01T20:48:51.295000+00:00")


@pytest.fixture
def bulk(server: FakeServer) -> BulkServer:
    return BulkServer(server, {MONTH: CONTENT})


def fetch(bulk: BulkServer, path: Path, file: BulkFile = FILE, **options) -> FakeClock:
    clock = FakeClock()
    with session_to(bulk.server.url, clock=clock, **options) as session:
        download(session, file, path)
    return clock


@pytest.mark.parametrize(
    ("name", "period"),
    [
        ("equities_bars_daily_202501.csv.gz", "2025-01"),
        ("equities_bars_daily_20250106.csv.gz", "2025-01-06"),
        ("derivatives_bars_daily_options_225_202501.csv.gz", "2025-01"),
        ("any/where/bars_daily_2026-03-01.csv.gz", "2026-03-01"),
        ("x_2025-01.csv", "2025-01"),
        ("x-202512", "2025-12"),
        ("markets_calendar.csv.gz", "all"),
        ("derivatives_bars_daily_options_225.csv.gz", "all"),
        ("x_202513.csv.gz", "all"),
        ("x_20250231.csv.gz", "all"),
        ("x_1202501.csv.gz", "all"),
        ("202501/x.csv.gz", "all"),
    ],
)
def test_the_period_stands_at_the_end_of_the_key(name: str, period: str) -> None:
    """Month or day, with or without dashes; keys are otherwise opaque."""
    assert period_of(name) == period


def test_periods_have_a_first_and_a_last_day() -> None:
    """Months of any length, single days, and everything."""
    assert span("2024-02") == (dt.date(2024, 2, 1), dt.date(2024, 2, 29))
    assert span("2024-12") == (dt.date(2024, 12, 1), dt.date(2024, 12, 31))
    assert span("2024-12-30") == (dt.date(2024, 12, 30),) * 2
    assert span("all") == (dt.date.min, dt.date.max)


def test_a_list_is_one_request_for_whole_months(bulk: BulkServer) -> None:
    """Only files that touch the days come back, oldest first."""
    bulk.files = {
        f"{FOLDER}/historical/2023/equities_bars_daily_202312.csv.gz": b"",
        MONTH: CONTENT,
        f"{FOLDER}/live/2024/02/equities_bars_daily_20240202.csv.gz": b"",
        f"{FOLDER}/live/2024/02/equities_bars_daily_20240201.csv.gz": b"",
        f"{FOLDER}/live/2024/02/equities_bars_daily_20240205.csv.gz": b"",
    }
    with session_to(bulk.server.url) as session:
        files = list_files(session, BARS, FIRST, LAST)
    assert [file.period for file in files] == ["2024-01", "2024-02-01", "2024-02-02"]
    assert files[0] == FILE
    (request,) = bulk.server.requests
    assert (request.path, request.query) == (
        "/bulk/list",
        {"endpoint": "/equities/bars/daily", "from": "2024-01", "to": "2024-02"},
    )


def test_days_of_a_month_that_was_just_closed_count_once(bulk: BulkServer) -> None:
    """The month's file holds them."""
    bulk.files[f"{FOLDER}/live/equities_bars_daily_20240131.csv.gz"] = b""
    with session_to(bulk.server.url) as session:
        assert list_files(session, BARS, FIRST, LAST) == [FILE]


def test_the_calendar_is_one_file_whatever_its_name(bulk: BulkServer) -> None:
    """Its date is that of the edition, not of the rows."""
    bulk.files = {f"markets/calendar/markets_calendar_2026{n}.csv.gz": b"" for n in ("0101", "03")}
    with session_to(bulk.server.url) as session:
        (file,) = list_files(session, endpoint_of("trading_calendar"), FIRST, LAST)
    assert (file.period, file.key[-13:-7]) == ("all", "202603")


@pytest.mark.parametrize(
    "entries",
    [
        None,
        {},
        [{"Key": MONTH, "LastModified": "x"}],
        [{"Key": MONTH, "LastModified": "x", "Size": None}],
        [{"Key": 7, "LastModified": "x", "Size": 7}],
        ["a"],
        [{"Key": "equities_bars_daily.csv.gz", "LastModified": "x", "Size": 7}],
    ],
)
def test_an_unexpected_list_is_refused(server: FakeServer, entries: object) -> None:
    """It is not an empty one."""
    server.replies(Reply({"data": entries}))
    with session_to(server.url) as session, pytest.raises(BadResponse, match="expected"):
        list_files(session, BARS, FIRST, LAST)


def test_a_file_takes_two_requests_and_appears_whole(bulk: BulkServer, tmp_path: Path) -> None:
    """One for the URL, one for the file; nothing else is left in the folder."""
    path = tmp_path / "new" / "january.csv.gz"
    fetch(bulk, path)
    assert path.read_bytes() == CONTENT
    assert list(path.parent.iterdir()) == [path]
    assert [request.path for request in bulk.server.requests] == ["/bulk/get", f"/store/{MONTH}"]


def test_the_key_is_not_sent_to_the_store(bulk: BulkServer, tmp_path: Path) -> None:
    """Neither as a header nor in any other way; compression is not negotiated twice."""
    fetch(bulk, tmp_path / "x.csv.gz")
    ask, get = bulk.server.requests
    assert ask.headers["x-api-key"] == KEY
    assert "x-api-key" not in get.headers
    assert "authorization" not in get.headers
    assert KEY not in str(get)
    assert get.headers["accept-encoding"] == "identity"


def test_signatures_and_key_stay_out_of_logs_and_errors(
    bulk: BulkServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """At every level and of every library, through a break, a spent URL and the final failure."""
    bulk.cuts = [20] * 20
    with caplog.at_level(logging.DEBUG), pytest.raises(ApiError) as caught:
        fetch(bulk, tmp_path / "x.csv.gz")
    told = caplog.text + "".join(str(record.args) for record in caplog.records)
    assert "urllib3" in told
    for secret in (KEY, "token", "X-Amz"):
        assert secret not in told
        assert secret not in repr(caught.value) + str(caught.value) + str(vars(caught.value))


def test_a_broken_download_goes_on_where_it_broke(bulk: BulkServer, tmp_path: Path) -> None:
    """Under the same URL while it is good: the bytes come once, and nothing more is counted."""
    bulk.cuts, bulk.uses = [2000, 500], 3
    fetch(bulk, tmp_path / "x.csv.gz")
    assert (tmp_path / "x.csv.gz").read_bytes() == CONTENT
    assert [request.headers.get("range") for request in bulk.downloads] == [
        None,
        "bytes=2000-",
        "bytes=2500-",
    ]
    assert bulk.downloads[1].headers["if-range"] == '"v1"'
    assert bulk.count("/bulk/get") == 1


def test_a_spent_url_is_replaced_at_once(bulk: BulkServer, tmp_path: Path) -> None:
    """The store answers XML and 403; the download continues under a new URL."""
    bulk.cuts = [2000]
    clock = fetch(bulk, tmp_path / "x.csv.gz")
    assert (tmp_path / "x.csv.gz").read_bytes() == CONTENT
    assert bulk.count("/bulk/get") == 2
    ranges = [request.headers.get("range") for request in bulk.downloads]
    assert ranges == [None, "bytes=2000-", "bytes=2000-"]
    assert len(clock.waits) == 1


def test_without_ranges_a_download_begins_again(bulk: BulkServer, tmp_path: Path) -> None:
    """The whole file replaces the part."""
    bulk.cuts, bulk.ranges = [2000], False
    fetch(bulk, tmp_path / "x.csv.gz")
    assert (tmp_path / "x.csv.gz").read_bytes() == CONTENT


def test_what_a_killed_process_left_is_continued(bulk: BulkServer, tmp_path: Path) -> None:
    """Or, when it was complete already, only put in its place."""
    partial = tmp_path / "x.csv.gz.partial"
    partial.write_bytes(CONTENT[:3000])
    fetch(bulk, tmp_path / "x.csv.gz")
    assert bulk.downloads[0].headers["range"] == "bytes=3000-"
    partial.write_bytes(CONTENT)
    bulk.server.requests.clear()
    fetch(bulk, tmp_path / "x.csv.gz")
    assert bulk.server.requests == []


@pytest.mark.parametrize("left", [b"x" * 3000, b"x" * (len(CONTENT) + 1), b"x" * len(CONTENT)])
def test_leftovers_of_another_version_do_no_harm(
    bulk: BulkServer, tmp_path: Path, left: bytes
) -> None:
    """Whatever does not unpack is thrown away and fetched again."""
    (tmp_path / "x.csv.gz.partial").write_bytes(left)
    fetch(bulk, tmp_path / "x.csv.gz")
    assert (tmp_path / "x.csv.gz").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (CONTENT[:-5], "expected a whole gzip file"),
        (CONTENT[:-8] + b"\0" * 8, "expected a whole gzip file"),
        (b"<html>" + CONTENT, "expected a whole gzip file"),
    ],
)
def test_a_damaged_file_never_appears(
    bulk: BulkServer, tmp_path: Path, content: bytes, told: str
) -> None:
    """Cut, changed on the way, or no gzip at all: a few tries, then an error."""
    bulk.files[MONTH] = content
    file = BulkFile(MONTH, "2024-01", len(content), "x")
    with pytest.raises(BadResponse, match=told) as caught:
        fetch(bulk, tmp_path / "x.csv.gz", file, policy=RetryPolicy(attempts=3))
    assert caught.value.params == {"key": MONTH}
    assert len(bulk.downloads) == 3
    assert list(tmp_path.iterdir()) == []


def test_the_size_is_the_listed_one(bulk: BulkServer, tmp_path: Path) -> None:
    """Another size is another version."""
    file = BulkFile(MONTH, "2024-01", len(CONTENT) + 7, "x")
    with pytest.raises(BadResponse, match=f"size: expected {file.size} bytes, got {len(CONTENT)}"):
        fetch(bulk, tmp_path / "x.csv.gz", file)
    assert not (tmp_path / "x.csv.gz").exists()


def test_a_damage_that_passes_is_repaired(bulk: BulkServer, tmp_path: Path) -> None:
    """The second attempt begins anew."""
    whole = bulk.server.script
    spoiled = Reply(b"x" * len(CONTENT))
    bulk.server.script = lambda request: spoiled if bulk.downloads == [request] else whole(request)
    fetch(bulk, tmp_path / "x.csv.gz")
    assert (tmp_path / "x.csv.gz").read_bytes() == CONTENT
    assert [request.headers.get("range") for request in bulk.downloads] == [None, None]


def test_a_store_that_is_down_is_asked_a_few_times(bulk: BulkServer, tmp_path: Path) -> None:
    """Then the error says so; nothing appears."""
    whole = bulk.server.script
    bulk.server.script = lambda request: (
        Reply(b"", 503) if request.path.startswith("/store") else whole(request)
    )
    with pytest.raises(ApiError, match="HTTP 503: server fault") as caught:
        fetch(bulk, tmp_path / "x.csv.gz")
    assert "gave up after 6 attempts" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("url", ["http://example.org/x", "ftp://example.org/x", "x"])
def test_a_url_that_others_could_answer_is_not_used(
    server: FakeServer, tmp_path: Path, url: str
) -> None:
    """Https, or this machine."""
    server.replies(Reply({"url": url}))
    with session_to(server.url) as session, pytest.raises(ApiError, match="expected https"):
        download(session, FILE, tmp_path / "x.csv.gz")


def test_an_answer_without_a_url_is_refused(server: FakeServer, tmp_path: Path) -> None:
    """The key of the file is named."""
    server.replies(Reply({"message": "no"}))
    with session_to(server.url) as session, pytest.raises(BadResponse, match="url: expected text"):
        download(session, FILE, tmp_path / "x.csv.gz")


def test_a_full_disk_is_not_taken_for_a_broken_line(
    bulk: BulkServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No further attempt."""

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StorageError, match="No space left on device"):
        fetch(bulk, tmp_path / "x.csv.gz")
    assert len(bulk.downloads) == 1


def test_list_and_url_count_against_the_plan_and_files_do_not(
    bulk: BulkServer, tmp_path: Path
) -> None:
    """Five a minute: list, two files, list, one more URL at 12.2 s each but for one."""
    clock = FakeClock()
    with session_to(bulk.server.url, clock=clock, limits={"plan": 5}) as session:
        for name in ("a", "b"):
            list_files(session, BARS, FIRST, LAST)
            download(session, FILE, tmp_path / name)
        assert len(bulk.server.requests) == 6
        assert sum(clock.waits) == pytest.approx(2 * 12.2)
        list_files(session, BARS, FIRST, LAST)
        download(session, FILE, tmp_path / "c")
    assert sum(clock.waits) == pytest.approx(61.0)


# Lists as they have been seen, or may look.

VARIANTS = orjson.loads(
    (Path(__file__).parents[1] / "data" / "bulk_list_variants.json").read_bytes()
)
NOW = dt.datetime(2026, 9, 4, 8, tzinfo=dt.timezone(dt.timedelta(hours=9)))
PREMIUM = f"{FOLDER}/premium/historical/2024/equities_bars_daily_202401.csv.gz"


def listed(server: FakeServer, *pages: dict[str, Any], first: dt.date = FIRST) -> list[BulkFile]:
    """The files that a list of these pages has to offer, the last page repeated."""
    server.replies(*(Reply(page) for page in pages))
    with session_to(server.url) as session:
        return list_files(session, BARS, first, dt.date(2026, 9, 4))


def entry(key: str, **changed: Any) -> dict[str, Any]:
    return {"Key": key, "LastModified": "2024-02-01T20:48:51+00:00", "Size": 7} | changed


def test_every_shape_that_was_seen_is_used(
    server: FakeServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Premium before plain, both kinds of ``live/``, all pages; the rest with one warning."""
    more = f"{FOLDER}/historical/2021/equities_bars_daily_202102.csv.gz"
    last = {"data": [entry(more, Size="88.0"), entry("x/readme.txt")]}
    files = listed(server, VARIANTS, last, first=dt.date(2021, 1, 1))
    assert [(file.period, file.size) for file in files] == [
        ("2021-01", 3651234),
        ("2021-02", 88),
        ("2026-08-31", 130123),
        ("2026-09-01", 130123),
    ]
    assert "/premium/" in files[0].key
    assert [request.page_key for request in server.requests] == [None, "next"]
    (record,) = caplog.records
    assert "2 entries" in record.getMessage()
    assert "'equities/bars/daily/historical/'" in record.getMessage()
    made = [made_at(file, NOW) for file in files]
    assert [moment and moment.isoformat() for moment in made] == [
        "2021-03-08T00:00:00+09:00",  # 35 days after its month
        "2024-02-02T05:48:51+09:00",
        "2026-09-01T03:00:00+09:00",
        None,  # a day of unknown age
    ]


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2024-02-01T20:48:51.295000+00:00", "2024-02-02T05:48:51.295000+09:00"),
        ("2024-02-01T20:48:51Z", "2024-02-02T05:48:51+09:00"),
        ("Thu, 01 Feb 2024 20:48:51 GMT", "2024-02-02T05:48:51+09:00"),
        ("2024-02-02 05:48:51", "2024-02-02T05:48:51+09:00"),
        ("2030-01-01T00:00:00Z", NOW.isoformat()),
        ("", "2024-03-07T00:00:00+09:00"),
        ("yesterday", "2024-03-07T00:00:00+09:00"),
        ("9999-12-31T23:59:59-12:00", "2024-03-07T00:00:00+09:00"),
    ],
)
def test_the_age_of_a_monthly_file(text: str, moment: str) -> None:
    """By the list where it can be read, never later than now, else a while after the month."""
    made = made_at(BulkFile(MONTH, "2024-01", 7, text), NOW)
    assert made is not None
    assert made.isoformat() == moment


def test_a_month_that_ended_lately_needs_a_known_age() -> None:
    """Its file may have been made before all of it was published."""
    file = BulkFile("x", "2026-08", 7, "")
    assert made_at(file, NOW) is None
    assert made_at(file, NOW + dt.timedelta(days=32)) is not None
    assert made_at(BulkFile("x", "2026-08-03", 7, ""), NOW + dt.timedelta(days=400)) is None


@pytest.mark.parametrize(
    "changed",
    [
        {"Key": f"{FOLDER}/historical/"},
        {"Key": "equities_bars_daily.csv.gz"},
        {"Key": f"{FOLDER}/historical/2024/equities_bars_daily_am_202401.csv.gz"},
        {"Key": f"{FOLDER}/historical/2024/bars_202401.csv.gz"},
        {"Key": f"{FOLDER}/historical/2024/202401.csv.gz"},
        {"Key": None},
        {"Size": None},
        {"Size": True},
        {"Size": 1.5},
        {"Size": -1},
        {"Size": "seven"},
        {"Size": "nan"},
    ],
)
def test_an_entry_that_cannot_be_used_does_not_cost_the_others(
    server: FakeServer, changed: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """It is passed over, with a warning."""
    february = entry(f"{FOLDER}/historical/2024/equities_bars_daily_202402.csv.gz")
    (file,) = listed(server, {"data": [entry(MONTH) | changed, february]})
    assert file.period == "2024-02"
    (record,) = caplog.records
    assert "1 entries" in record.getMessage()


def test_a_list_of_folders_is_an_empty_one(server: FakeServer) -> None:
    """Nothing else was expected there."""
    assert listed(server, {"data": [entry(f"{FOLDER}/historical/", Size=0)]}) == []


def test_of_two_files_of_a_month_one_counts(server: FakeServer) -> None:
    """That of Premium, in whatever order; of two of a kind the one changed last."""
    other = f"{FOLDER}/historical/equities_bars_daily_202401.csv.gz"
    old, new = ("2024-02-01T00:00:00Z", "Fri, 02 Feb 2024 00:00:00 GMT")
    premium, plain = entry(PREMIUM, LastModified=None), entry(MONTH)
    for entries, chosen in [
        ([premium, plain], PREMIUM),
        ([plain, premium], PREMIUM),
        ([entry(MONTH, LastModified=old), entry(other, LastModified=new)], other),
        ([entry(MONTH, LastModified=new), entry(other, LastModified=old)], MONTH),
        ([entry(MONTH), entry(other, LastModified=None)], MONTH),
        ([plain, plain], MONTH),
    ]:
        (file,) = listed(server, {"data": entries})
        assert file.key == chosen


@pytest.mark.parametrize("key", ["again", 7, ["x"]])
def test_pages_that_never_end_are_refused(server: FakeServer, key: object) -> None:
    """A key that comes twice, or is none."""
    with pytest.raises(BadResponse, match="pagination_key: expected a new text"):
        listed(server, {"data": [entry(MONTH)], "pagination_key": key})
    assert len(server.requests) <= 2


def test_a_server_that_invents_keys_comes_to_an_end(server: FakeServer) -> None:
    """After as many pages as no list of ours has."""
    server.script = lambda _: Reply({"data": [], "pagination_key": str(len(server.requests))})
    with session_to(server.url) as session, pytest.raises(BadResponse, match="more than 100 pages"):
        list_files(session, BARS, FIRST, LAST)
    assert len(server.requests) == 100


def test_a_list_outside_the_window_is_asked_for_by_day(server: FakeServer) -> None:
    """The first month of the plan begins before its window does."""
    said = "Your subscription covers the following dates: 2024-01-16 ~ . If you want more data"
    server.replies(Reply({"message": said}, 400), Reply({"data": [entry(MONTH)]}))
    with session_to(server.url) as session:
        (file,) = list_files(session, BARS, FIRST, LAST)
        assert file.key == MONTH
        server.replies(Reply({"message": said.replace("2024", "2025")}, 400))
        with pytest.raises(ApiError, match="covers the following"):
            list_files(session, BARS, FIRST, LAST)
    assert [request.query["from"] for request in server.requests] == [
        "2024-01", "2024-01-16", "2024-01",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "period", "months"),
    [
        ("equities_bars_daily_202101-202112.csv.gz", "2021-01/2021-12", 12),
        ("equities_bars_daily_202111_202202.csv.gz", "2021-11/2022-02", 4),
        ("equities_bars_daily_2021-01_to_2021-03.csv.gz", "2021-01/2021-03", 3),
        ("equities_bars_daily_2021.csv.gz", "2021", 12),
        ("equities_bars_daily_202112-202101.csv.gz", "all", 0),
        ("equities_bars_daily_202101.csv.gz", "2021-01", 1),
        ("equities_bars_daily_20210104.csv.gz", "2021-01-04", 0),
    ],
)
def test_files_of_several_months_are_known_by_name(name: str, period: str, months: int) -> None:
    """The vendor says there are some; their names are a guess, others are passed over."""
    assert period_of(name) == period
    assert len(months_of(period)) == months
    assert is_of(BARS, name) == (period != "all")


@pytest.mark.parametrize(
    "name", ["equities_bars_daily_20210104-20211230.csv.gz", "equities_bars_daily_2021-2022.csv.gz"]
)
def test_ranges_of_other_kinds_are_not_taken_for_their_end(name: str) -> None:
    """The file of a year is not that of its last day."""
    assert not is_of(BARS, name)


def test_a_month_of_its_own_counts_before_one_of_several() -> None:
    """Longer files are wanted for what is left; of days, those in neither."""
    first, last = dt.date(2021, 1, 1), dt.date(2021, 6, 30)
    months = [f"2021-0{n}" for n in range(1, 7)]
    quarter, year, day = "2021-04/2021-06", "2021", "2021-06-01"

    def chosen(*periods: str) -> list[str]:
        return wanted(dict.fromkeys(periods), first, last, BARS)

    assert chosen(year, day) == [year]
    assert chosen(*months, year) == months
    assert chosen(*months[:3], quarter, year, day) == [*months[:3], quarter]
    assert chosen(*months[:2], quarter, year) == [months[0], year, months[1], quarter]
    assert chosen(*months[:2], day, "2021-03-01") == [*months[:2], "2021-03-01", day]


def test_a_file_that_stays_defective_is_given_up_soon(bulk: BulkServer, tmp_path: Path) -> None:
    """Three times the wrong size is enough; nothing of it is left for the next run."""
    file = BulkFile(MONTH, "2024-01", len(CONTENT) + 7, "x")
    with pytest.raises(BadResponse, match="source_route auto or requests"):
        fetch(bulk, tmp_path / "x.csv.gz", file)
    assert len(bulk.downloads) == 3
    assert list(tmp_path.iterdir()) == []
