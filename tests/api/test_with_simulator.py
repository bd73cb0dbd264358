"""The API layer against the simulator: the same tables whatever the page size."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest

from pipeline.api.endpoints import endpoint_of
from pipeline.api.fetch import collect_dates, fetch_range
from pipeline.errors import ApiError, UsageError
from pipeline.market.sessions import TradingCalendar
from pipeline.simulator import AppOptions, Market, MarketSpec, serving
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
