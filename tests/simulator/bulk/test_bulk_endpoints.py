"""Bulk files over real HTTP: the list, the URL, the download, and what is inside.

In the plain dialect; what others change is in ``test_dialect``.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
from datetime import datetime, timedelta
from time import sleep

import pytest
import requests

from pipeline.errors import UsageError
from pipeline.simulator import AppOptions, BulkOptions
from pipeline.simulator.bulk.bulk_files import BulkFile, FileCatalog
from pipeline.simulator.server.app import SimulatorApp
from pipeline.simulator.server.dialect import PLAIN
from pipeline.simulator.server.endpoint_table import ENDPOINTS
from pipeline.simulator.server.plan_access import plan_named
from pipeline.simulator.server.visible_rows import Viewer
from tests.simulator.clients import Client, at
from tests.simulator.clients import serve as serve_in_any_dialect

BARS, OPTIONS = "/equities/bars/daily", "/derivatives/bars/daily/options/225"
MASTER, TOPIX, CALENDAR = "/equities/master", "/indices/bars/daily/topix", "/markets/calendar"
WITHOUT_ADJUSTED = (
    "Date Code O H L C UL LL Vo Va AdjFactor MO MH ML MC MUL MLL MVo MVa AO AH AL AC AUL ALL AVo"
    " AVa"
).split()
LIST, GET = "/bulk/list", "/bulk/get"


@pytest.fixture(scope="module")
def client(market):
    with serve(market) as base_url:
        yield Client(base_url)


def serve(market, **options):
    return serve_in_any_dialect(market, dialect=PLAIN, **options)


def keys(client, **params):
    return [entry["Key"] for entry in client.rows(LIST, **params)]


def url(client, **params):
    answer = client.get(GET, **params)
    assert answer.status_code == 200, answer.text
    assert list(answer.json()) == ["url"]
    return answer.json()["url"]


def fetch(client, **params):
    """The bytes of a file, downloaded without the key."""
    answer = requests.get(url(client, **params), timeout=20)
    assert answer.status_code == 200, answer.text
    return answer.content


def records(packed):
    return list(csv.DictReader(io.StringIO(gzip.decompress(packed).decode())))


def cells(row):
    """A row of the API or of a file, as comparable texts."""
    return [_cell(value) for value in row.values()]


def _cell(value):
    if isinstance(value, dict):
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    try:
        return str(float(value))
    except (TypeError, ValueError):
        return value or ""


# -- which files there are ---------------------------------------------------------------------


def test_closed_months_are_one_file_and_open_ones_a_file_a_day(client):
    """At the end of June: months to May, then the sessions of June."""
    found = keys(client, endpoint=BARS)
    assert found[0] == "equities/bars/daily/historical/2020/equities_bars_daily_202007.csv.gz"
    historical = [key for key in found if "/historical/" in key]
    assert len(historical) == 23
    assert historical[-1].endswith("_202205.csv.gz")
    live = found[len(historical) :]
    assert live[0] == "equities/bars/daily/live/2022/06/equities_bars_daily_20220601.csv.gz"
    assert len(live) == 22
    assert live[-1].endswith("_20220630.csv.gz")


@pytest.mark.parametrize(
    ("now", "rolled"), [("2022-06-04T20:00", False), ("2022-06-05T20:00", True)]
)
def test_a_month_is_rolled_on_a_day_of_the_next(market, now, rolled):
    """Until then the days of both months are live."""
    with serve(market, now=at(now)) as base_url:
        found = keys(Client(base_url), endpoint=TOPIX, from_="202205")
    may = [key for key in found if "_202205" in key]
    assert len(may) == (1 if rolled else 19)
    assert [key for key in found if "_202206" in key] == found[len(may) :]


def test_a_day_file_appears_with_its_rows(market):
    """Bars at 16:30, options at 03:00, tomorrow's list at 17:30."""
    newest = {}
    for now in ("2021-06-01T12:00", "2021-06-01T18:00", "2021-06-02T03:30"):
        with serve(market, now=at(now)) as base_url:
            client = Client(base_url)
            newest[now[-8:]] = [
                keys(client, endpoint=path, from_="202105")[-1][-15:-7]
                for path in (BARS, OPTIONS, MASTER)
            ]
    assert newest == {
        "01T12:00": ["20210531", "20210531", "20210601"],
        "01T18:00": ["20210601", "20210531", "20210602"],
        "02T03:30": ["20210601", "20210601", "20210602"],
    }


def test_the_list_is_cut_by_dates_and_months(client):
    """A month file counts for each of its dates; both forms of dates and months."""
    for first, last in (
        ("202103", "202104"),
        ("2021-03", "2021-04"),
        ("20210331", "2021-04-01"),
    ):
        found = keys(client, endpoint=BARS, from_=first, to=last)
        assert [key[-13:-7] for key in found] == ["202103", "202104"]
    assert [key[-15:-7] for key in keys(client, endpoint=BARS, from_="20220629")] == [
        "20220629",
        "20220630",
    ]
    assert [key[-13:-7] for key in keys(client, endpoint=BARS, to="20200731")] == ["202007"]


def test_the_list_of_a_date_has_every_endpoint(client):
    """One file each; the calendar's is always among them."""
    names = {
        path: path.strip("/").replace("/", "_") for path in (BARS, OPTIONS, MASTER, TOPIX, CALENDAR)
    }
    for text, mark in (("202103", "202103"), ("20210310", "202103"), ("20220610", "20220610")):
        found = {key.rsplit("/", 1)[1] for key in keys(client, date=text)}
        for path, name in names.items():
            suffix = "" if path == CALENDAR else f"_{mark}"
            assert f"{name}{suffix}.csv.gz" in found


def test_the_calendar_is_one_file_whatever_is_asked(client):
    """The newest."""
    for params in ({}, {"from_": "202103", "to": "202103"}, {"from_": "20300101"}):
        assert keys(client, endpoint=CALENDAR, **params) == [
            "markets/calendar/markets_calendar.csv.gz"
        ]
    rows = records(fetch(client, endpoint=CALENDAR, date="202103"))
    assert rows == client.rows(CALENDAR)


def test_entries_tell_size_and_age(client):
    """The exact size; the time has microseconds and an offset, and lies in the past."""
    entries = client.rows(LIST, endpoint=BARS, from_="202205")
    for entry in entries:
        assert list(entry) == ["Key", "LastModified", "Size"]
        modified = datetime.fromisoformat(entry["LastModified"])
        assert modified.utcoffset() == timedelta(0)
        assert modified < at("2022-07-01T08:00")
        assert len(entry["LastModified"]) == len("2025-11-07T20:48:51.295000+00:00")
    assert len(fetch(client, key=entries[-1]["Key"])) == entries[-1]["Size"]


def test_a_list_makes_no_file_that_it_does_not_name(market):
    """Files are made when they are first asked for."""
    viewer = Viewer(market, plan_named("premium"), at("2022-07-01T08:00"))
    catalog = FileCatalog(viewer, roll_day=5, cache_bytes=1_000_000)
    made = []
    make = catalog._make
    catalog._make = lambda file: made.append(file.key) or make(file)
    key = "equities/bars/daily/historical/2021/equities_bars_daily_202103.csv.gz"
    file = catalog.find(ENDPOINTS[BARS], key)
    assert catalog.content(file) == catalog.content(file)
    assert made == [key]


def test_a_rewritten_file_has_another_size_or_time(market):
    """A month that began before the newest split is not touched by it: bars are raw."""
    facts = []
    for now in ("2021-06-20T08:00", "2022-07-01T08:00"):
        with serve(market, now=at(now)) as base_url:
            facts.append(Client(base_url).rows(LIST, endpoint=BARS, from_="202103", to="202103"))
    assert facts[0] == facts[1]
    viewer = Viewer(market, plan_named("premium"), at("2022-07-01T08:00"))
    catalog = FileCatalog(viewer, roll_day=5, cache_bytes=1_000_000)
    file = catalog.files(ENDPOINTS[TOPIX], at("2021-03-01T00:00").date(), viewer.today)[0]
    before = catalog.facts(file)
    other = FileCatalog(viewer, roll_day=5, cache_bytes=1_000_000)
    other._make = lambda _: b"rewritten"
    assert other.facts(file).modified != before.modified
    assert other.facts(file).etag != before.etag


# -- what is inside ----------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(set(ENDPOINTS) - {CALENDAR}))
def test_a_month_holds_the_rows_of_its_days(client, path):
    """The same values as the API's; a missing one is an empty cell."""
    by_range = path in (TOPIX, "/equities/investor-types")
    asked = "disc_date" if path == "/markets/short-sale-report" else "date"
    month = records(fetch(client, endpoint=path, date="202106"))
    field = next(name for name in ("Date", "PubDate", "DiscDate") if name in month[0])
    days = sorted({row[field] for row in month})
    for day in {days[0], days[len(days) // 2], days[-1]}:
        expected = client.rows(path, **({"from_": day, "to": day} if by_range else {asked: day}))
        found = [row for row in month if row[field] == day]
        names = WITHOUT_ADJUSTED if path == BARS else list(expected[0])
        assert list(found[0]) == names
        assert sorted(map(cells, found)) == sorted(
            cells({name: row[name] for name in names}) for row in expected
        )


def test_files_of_daily_bars_have_29_columns_or_fewer(market):
    """No adjusted ones; two since August 2026 only; below Premium no half days."""
    added = ["MktCap", "ExRT"]
    for plan, now, expected in (
        ("premium", "2026-08-10T08:00", WITHOUT_ADJUSTED + added),
        ("premium", "2026-07-10T08:00", WITHOUT_ADJUSTED),
        ("light", "2026-08-10T08:00", WITHOUT_ADJUSTED[:11] + added),
    ):
        with serve(market, plan=plan, now=at(now)) as base_url:
            packed = fetch(Client(base_url), endpoint=BARS, date="202205")
        assert gzip.decompress(packed).split(b"\n", 1)[0].decode().split(",") == expected
    assert len(WITHOUT_ADJUSTED + added) == 29


def test_texts_keep_their_zeros_and_rows_their_order(client):
    """Nothing is quoted without need; lines end with a line feed."""
    text = gzip.decompress(fetch(client, endpoint=MASTER, date="202106")).decode()
    lines = text.split("\n")
    assert lines[-1] == ""
    assert '"' not in text
    assert ",0050," in text
    assert lines[1:-1] == sorted(lines[1:-1])


def test_the_same_file_is_the_same_bytes_on_every_server(market, client):
    """Whatever else was asked before."""
    with serve(market) as base_url:
        other = fetch(Client(base_url), endpoint=OPTIONS, date="202103")
    assert other == fetch(client, endpoint=OPTIONS, date="202103")


def test_a_month_may_begin_before_the_plans_window(market):
    """The first listed month is the one in which the window begins, and it is whole."""
    with serve(market, plan="light", now=at("2026-02-15T08:00")) as base_url:
        client = Client(base_url)
        assert keys(client, endpoint=TOPIX)[0].endswith("_202102.csv.gz")
        days = [row["Date"] for row in records(fetch(client, endpoint=TOPIX, date="202102"))]
        assert days[0] == "2021-02-01"
        assert client.message(GET, endpoint=TOPIX, date="202101")[0] == 400


# -- refusals ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "params", "begins"),
    [
        (LIST, {}, "This API requires at least 1 parameter as follows; 'endpoint','date'."),
        (LIST, {"endpoint": BARS, "date": "202103"}, "This combination"),
        (LIST, {"date": "202103", "from_": "202101"}, "This combination"),
        (LIST, {"endpoint": BARS, "from_": "202104", "to": "202103"}, "The value of 'from'"),
        (LIST, {"endpoint": BARS, "from_": "202113"}, "The value of 'from'"),
        (LIST, {"date": "20210230"}, "The value of 'date'"),
        (LIST, {"endpoint": "/fins/none"}, "This endpoint is not available for csv download"),
        (LIST, {"endpoint": "/bulk/list"}, "This endpoint is not available for csv download"),
        (GET, {}, "This API requires at least 1 parameter"),
        (GET, {"endpoint": BARS}, "This combination"),
        (GET, {"endpoint": BARS, "date": "202103", "key": "x"}, "This combination"),
        (GET, {"key": "x"}, "The value of 'key'"),
        (GET, {"key": "equities/bars/daily/historical/1999/x.csv.gz"}, "The value of 'key'"),
        (GET, {"endpoint": BARS, "date": "199901"}, "There is not exactly one file"),
        (GET, {"endpoint": BARS, "date": "202206"}, "There is not exactly one file"),
    ],
)
def test_wrong_parameters_are_refused(client, path, params, begins):
    """Status 400."""
    status, message = client.message(path, **params)
    assert status == 400
    assert message.startswith(begins)


@pytest.mark.parametrize(
    ("plan", "opened"),
    [("free", {CALENDAR}), ("light", {CALENDAR, BARS, MASTER, TOPIX}), ("standard", None)],
)
def test_files_follow_the_plan(market, plan, opened):
    """None on Free but the calendar's; otherwise those of the endpoints of the plan."""
    with serve(market, plan=plan) as base_url:
        client = Client(base_url)
        for path in (CALENDAR, BARS, MASTER, TOPIX, OPTIONS):
            answer = client.get(LIST, endpoint=path, from_="202205")
            is_open = opened is None or path in opened
            assert answer.status_code == (200 if is_open else 403)
        if plan == "free":
            assert keys(client, date="202103") == ["markets/calendar/markets_calendar.csv.gz"]
            key = "equities/bars/daily/historical/2021/equities_bars_daily_202103.csv.gz"
            assert client.message(GET, key=key)[0] == 400


def test_a_key_is_needed_for_the_list_and_not_for_the_file(client):
    """The URL lies outside /v2."""
    link = url(client, endpoint=TOPIX, date="202103")
    assert link.startswith(client.root + "/_files/")
    assert requests.get(client.base_url + LIST, timeout=20).status_code == 403
    assert requests.get(link, timeout=20).status_code == 200


# -- URLs --------------------------------------------------------------------------------------


def test_a_url_works_once(client):
    """Then it answers as an object store does: 403 with XML."""
    link = url(client, endpoint=TOPIX, date="202103")
    assert requests.get(link, timeout=20).status_code == 200
    answer = requests.get(link, timeout=20)
    assert answer.status_code == 403
    assert answer.headers["Content-Type"] == "application/xml"
    assert "<Code>AccessDenied</Code>" in answer.text


def test_a_url_is_for_its_file_only(client):
    """Neither for another one nor without its ticket."""
    link = url(client, endpoint=TOPIX, date="202103")
    assert requests.get(link.replace("202103", "202104"), timeout=20).status_code == 403
    assert requests.get(link.split("?")[0], timeout=20).status_code == 403


def test_a_url_is_for_one_method(client):
    """Asking for the headers alone is refused, and does not use it up."""
    link = url(client, endpoint=TOPIX, date="202103")
    assert requests.head(link, timeout=20).status_code == 403
    assert requests.get(link, timeout=20).status_code == 200


def test_a_url_expires_by_the_simulators_clock(market):
    """Five minutes are 0.3 s at scale 1000; a reusable URL works until then."""
    bulk = BulkOptions(single_use=False)
    with serve(market, bulk=bulk, clock_scale=1000) as base_url:
        link = url(Client(base_url), endpoint=TOPIX, date="202103")
        sleep(0.31)
        assert requests.get(link, timeout=20).status_code == 403
    with serve(market, bulk=bulk) as base_url:
        link = url(Client(base_url), endpoint=TOPIX, date="202103")
        assert [requests.get(link, timeout=20).status_code for _ in range(2)] == [200, 200]


@pytest.mark.parametrize(
    ("asked", "status", "part"),
    [
        ("bytes=0-9", 206, slice(0, 10)),
        ("bytes=10-", 206, slice(10, None)),
        ("bytes=-7", 206, slice(-7, None)),
        ("bytes=5-99999999", 206, slice(5, None)),
        ("bytes=0-1,4-5", 200, slice(None)),
        ("lines=0-1", 200, slice(None)),
        ("bytes=-", 200, slice(None)),
        ("bytes=99999999-", 416, None),
    ],
)
def test_ranges_resume_a_download(client, asked, status, part):
    """One range of bytes; several at once give the whole file."""
    whole = fetch(client, endpoint=TOPIX, date="202103")
    link = url(client, endpoint=TOPIX, date="202103")
    answer = requests.get(link, headers={"Range": asked}, timeout=20)
    assert answer.status_code == status
    if part is None:
        assert answer.headers["Content-Range"] == f"bytes */{len(whole)}"
        return
    assert answer.content == whole[part]
    if status == 206:
        first, last, _ = part.indices(len(whole))
        assert answer.headers["Content-Range"] == f"bytes {first}-{last - 1}/{len(whole)}"


def test_a_range_of_a_file_that_changed_is_the_whole_file(client):
    """If-Range names the file one has the beginning of."""
    etag = requests.get(url(client, endpoint=TOPIX, date="202103"), timeout=20).headers["ETag"]
    for known, status in ((etag, 206), ('"other"', 200)):
        answer = requests.get(
            url(client, endpoint=TOPIX, date="202103"),
            headers={"Range": "bytes=4-", "If-Range": known},
            timeout=20,
        )
        assert answer.status_code == status
        assert answer.headers["X-Simulator"] == "g5"


def test_requests_count_and_downloads_do_not(market):
    """As toward the rate limit."""
    with serve(market) as base_url:
        client = Client(base_url)
        key = keys(client, endpoint=TOPIX, from_="202103", to="202103")[0]
        fetch(client, key=key)
        stats = client.stats()
    assert stats["total"] == 2
    assert stats["paths"] == {LIST: 1, GET: 1}
    assert stats["files"] == {key: 1}


def test_options_out_of_range_are_refused(market):
    """Before anything is served."""
    for bulk in ({"roll_day": 0}, {"roll_day": 29}, {"url_seconds": 0}):
        with pytest.raises(UsageError, match="simulator bulk"):
            SimulatorApp(market, AppOptions(bulk=BulkOptions(**bulk)))


def test_overlap_includes_both_ends():
    """Of a file and of what is asked."""
    day = at("2021-03-01T00:00").date()
    file = BulkFile(BARS, day, day + timedelta(days=30), live=False, written=at("2021-04-05T00:00"))
    assert file.overlaps(file.last, file.last + timedelta(days=5))
    assert file.overlaps(file.first - timedelta(days=5), file.first)
    assert not file.overlaps(file.last + timedelta(days=1), file.last + timedelta(days=5))
