"""The API layer against the simulator: the same tables whatever the page size and the route."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from pipeline.api.bulk import download, list_files, read_csv
from pipeline.api.catalogue.endpoints import ENDPOINTS, Endpoint, endpoint_of
from pipeline.api.day_requests import collect_dates, fetch_range
from pipeline.api.decode.page_decoder import Decoder
from pipeline.api.decode.row_checks import ordered
from pipeline.api.http.client import ApiSession
from pipeline.api.http.retry import RetryPolicy
from pipeline.api.local_files import find_files
from pipeline.errors import ApiError, UsageError
from pipeline.market.calendar.sessions import TradingCalendar
from pipeline.simulator import AppOptions, Fault, Market, MarketSpec, serving
from tests.api.fakes import KEY, session_to

FIRST, LAST = dt.date(2024, 1, 4), dt.date(2024, 1, 19)
PER_SESSION = ("listed", "daily_bars", "index_option")


@pytest.fixture(scope="module")
def market() -> Market:
    return Market(MarketSpec(seed=7, stocks=40, start=FIRST, end=LAST))


def fetch_all(market: Market, page_bytes: int) -> tuple[dict[str, pa.Table], int]:
    """Every source the simulator has, and the number of requests."""
    options = AppOptions(api_key=KEY, page_bytes=page_bytes)
    with serving(market, options) as url, session_to(url, origin="simulator") as session:
        calendar = fetch_range(session, endpoint_of("trading_calendar"))
        trading = TradingCalendar.from_table(calendar)
        days = trading.between(np.datetime64(FIRST), np.datetime64(LAST)).tolist()
        tables = {
            "trading_calendar": calendar,
            "topix": fetch_range(session, endpoint_of("topix"), FIRST, LAST, days),
        }
        for source in PER_SESSION:
            tables[source] = collect_dates(session, endpoint_of(source), days, 4)
        return tables, session.requests_sent


def test_small_pages_and_large_ones_give_the_same_tables(market: Market) -> None:
    """Paging is invisible in the result; only the number of requests differs."""
    whole, few = fetch_all(market, 5_000_000)
    paged, many = fetch_all(market, 20_000)
    assert few == 2 + 3 * 11  # the sessions of 2024-01-04 to 2024-01-19
    assert many > 3 * few
    for source, table in whole.items():
        assert table.num_rows > 0, source
        assert table.schema == endpoint_of(source).schema, source
        assert table.equals(paged[source]), source


def test_a_real_run_refuses_the_simulator(market: Market) -> None:
    """The guard works on what the simulator really sends."""
    with (
        serving(market, AppOptions(api_key=KEY)) as url,
        session_to(url, origin="api") as session,
        pytest.raises(UsageError, match="marked as synthetic"),
    ):
        fetch_range(session, endpoint_of("trading_calendar"))


def test_a_smaller_plan_is_told_so(market: Market) -> None:
    """The server's words reach the user, once, with the endpoint."""
    with (
        serving(market, AppOptions(api_key=KEY, plan="light")) as url,
        session_to(url, origin="simulator") as session,
    ):
        with pytest.raises(ApiError, match="not available on your subscription") as caught:
            collect_dates(session, endpoint_of("index_option"), [LAST], 1)
        assert caught.value.status == 403
        assert session.requests_sent == 1


MONTHS = dt.date(2026, 7, 28), dt.date(2026, 9, 8)  # three of them, the last one still open


@pytest.fixture(scope="module")
def recent() -> Market:
    return Market(MarketSpec(seed=7, stocks=40, start=MONTHS[0], end=MONTHS[1]))


@pytest.fixture(scope="module", params=["standard", "premium"])
def recent_url(recent: Market, request: pytest.FixtureRequest) -> Iterator[str]:
    with serving(recent, AppOptions(api_key=KEY, plan=request.param)) as url:
        yield url + "#" + request.param


def asked(session: ApiSession, endpoint: Endpoint) -> pa.Table:
    """All rows by requests."""
    if endpoint.one_file:
        return fetch_range(session, endpoint)
    if endpoint.query == "range":
        return fetch_range(session, endpoint, *MONTHS)
    days = [MONTHS[0] + dt.timedelta(n) for n in range((MONTHS[1] - MONTHS[0]).days + 1)]
    if endpoint.query == "session":
        calendar = fetch_range(session, endpoint_of("trading_calendar"))
        trading = TradingCalendar.from_table(calendar)
        days = trading.between(*(np.datetime64(day) for day in MONTHS)).tolist()
    return collect_dates(session, endpoint, days, 4)


def within(tables: Iterable[pa.Table], endpoint: Endpoint) -> pa.Table:
    """The rows of all files that are dated in the months."""
    table = ordered(pa.concat_tables(tables), endpoint)
    if endpoint.one_file:
        return table
    dates = table[endpoint.date_field]
    first, last = (pa.scalar(day) for day in MONTHS)
    return table.filter(pc.and_(pc.greater_equal(dates, first), pc.less_equal(dates, last)))


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda row: row.source)
def test_each_route_gives_the_same_table(
    recent_url: str, tmp_path: Path, endpoint: Endpoint
) -> None:
    """Closed months, the days of the open one, and fields that are younger than the files; and
    none where the plan has none."""
    url, _, plan = recent_url.partition("#")
    with session_to(url, origin="simulator") as session:
        if not endpoint.has_files(plan):  # type: ignore[arg-type]
            with pytest.raises(ApiError, match="HTTP 403"):
                list_files(session, endpoint, *MONTHS)
            return
        table = asked(session, endpoint)
        files = list_files(session, endpoint, *MONTHS)
        for file in files:
            download(session, file, tmp_path / file.key)
    assert table.num_rows > 0
    decoder = Decoder(endpoint)
    downloaded = [read_csv(tmp_path / file.key, endpoint, decoder) for file in files]
    assert within(downloaded, endpoint).equals(table)
    found = find_files(tmp_path, endpoint, *MONTHS)
    assert list(found.values()) == [tmp_path / file.key for file in files]


def test_a_broken_delivery_of_files_ends_well(recent: Market, tmp_path: Path) -> None:
    """Expired URLs, cut bodies and truncated files: a few more requests, the same file."""
    endpoint = endpoint_of("daily_bars")
    faults = tuple(
        Fault(kind, rate=0.2, path="/_files/*")
        for kind in ("expired-url", "truncated-gzip", "truncated-body", "reset", "503")
    )
    with (
        serving(recent, AppOptions(api_key=KEY, faults=faults)) as url,
        session_to(url, origin="simulator", policy=RetryPolicy(attempts=20)) as session,
    ):
        for file in list_files(session, endpoint, *MONTHS):
            path = tmp_path / file.key
            download(session, file, path)
            assert path.stat().st_size == file.size
            assert read_csv(path, endpoint).num_rows > 0
