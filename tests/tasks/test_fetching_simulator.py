"""Fetching from the simulator: three routes into one snapshot, and the plans."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from pipeline.api.bulk import download, list_files
from pipeline.api.catalogue.endpoints import ENDPOINTS, endpoint_of
from pipeline.api.catalogue.plans import window
from pipeline.cache.snapshots import SnapshotStore, snapshot_key
from pipeline.configuration import Settings
from pipeline.errors import MissingData, SnapshotError, UsageError
from pipeline.operations.fetching import source_fetch
from pipeline.operations.fetching.snapshot_range import SnapshotRange
from pipeline.operations.planning import run_plan
from pipeline.simulator import AppOptions, Market, MarketSpec, serving
from pipeline.simulator.server.app import DEFAULT_API_KEY
from tests.tasks.vendor import settings_at

START, END = dt.date(2024, 2, 1), dt.date(2024, 3, 31)  # whole months, as files are
NOW = "2024-04-12T08:00:00+09:00"
SOURCES = tuple(e.source for e in ENDPOINTS if e.source != "trading_calendar")


@pytest.fixture(scope="module")
def market() -> Market:
    return Market(
        MarketSpec(seed=7, stocks=60, start=dt.date(2024, 1, 4), end=dt.date(2024, 4, 11))
    )


def fetch(settings: Settings) -> dict[str, Any]:
    """Every source; the snapshots."""
    calendar = source_fetch.fetch_calendar(settings, END)
    source_fetch.keep_calendar(settings, calendar)
    store = SnapshotStore(settings.data_output_dir, settings.origin)
    found = {}
    for source in SOURCES:
        wanted = SnapshotRange(START, END)
        source_fetch.fetch_snapshot(settings, source, wanted, "any", lambda _done, _total: None)
        found[source] = store.get(source, snapshot_key(source, START, END, None, None))
    return found


def keep_files(settings: Settings, folder: Path) -> None:
    """Download by hand what a folder of files has to hold."""
    with source_fetch.open_session(settings) as session:
        for source in (*SOURCES, "trading_calendar"):
            for file in list_files(session, endpoint_of(source), START, END):
                download(session, file, folder / Path(file.key).name)


def test_three_routes_one_snapshot(
    market: Market, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Requests, bulk files and a local folder of them: the same parts, bit for bit."""
    monkeypatch.setenv("JQUANTS_API_KEY", DEFAULT_API_KEY)
    monkeypatch.setenv("G5_NOW", NOW)
    folder = tmp_path / "files"
    with serving(market, AppOptions()) as url:
        monkeypatch.setenv("JQUANTS_API_BASE", url)
        bulk = settings_at(tmp_path / "2", source_route="bulk")
        by_request = fetch(settings_at(tmp_path / "1"))
        by_bulk = fetch(bulk)
        keep_files(bulk, folder)
    files = settings_at(tmp_path / "3", source_route="files", bulk_folder=folder)
    by_files = fetch(files)  # nobody to ask any more
    for source in SOURCES:
        assert by_request[source]["rows"] > 0
        assert by_request[source]["route"] == "requests"
        for other, route in ((by_bulk, "bulk"), (by_files, "files")):
            assert other[source]["route"] == route
            assert other[source]["sha256"] == by_request[source]["sha256"], (source, route)
            assert [part["dates"] for part in other[source]["parts"]] == [
                part["dates"] for part in by_request[source]["parts"]
            ]


def test_the_free_plan_ends_twelve_weeks_ago(
    market: Market, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calendar and data end there; the last row is one whose next session is known."""
    monkeypatch.setenv("JQUANTS_API_KEY", DEFAULT_API_KEY)
    monkeypatch.setenv("G5_NOW", NOW)
    first, last = window("free", dt.date(2024, 4, 12))
    assert (first, last) == (dt.date(2022, 1, 19), dt.date(2024, 1, 19))
    settings = settings_at(tmp_path, plan="free")
    now = dt.datetime.fromisoformat(NOW)
    with serving(market, AppOptions(plan="free", now=now)) as url:
        monkeypatch.setenv("JQUANTS_API_BASE", url)
        source_fetch.keep_calendar(settings, source_fetch.fetch_calendar(settings, END))
        calendar = source_fetch.load_calendar(settings, END)
        assert calendar.sessions[-1].astype(object) == last
        assert run_plan.last_published(settings, calendar) == dt.date(2024, 1, 18)
        chunks = run_plan.plan_chunks(settings, calendar, dt.date(2024, 1, 4), END, 3)
        assert [(chunk.first, chunk.last) for chunk in chunks] == [
            (dt.date(2024, 1, 4), dt.date(2024, 1, 18))
        ]
        with pytest.raises(UsageError, match="the data of plan 'free' begin on 2024-01-04"):
            run_plan.plan_chunks(settings, calendar, dt.date(2021, 1, 4), END, 3)


def test_a_calendar_that_ends_too_early_is_refused(
    market: Market, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a plan with an open end; the cache says that it has none."""
    monkeypatch.setenv("JQUANTS_API_KEY", DEFAULT_API_KEY)
    monkeypatch.setenv("G5_NOW", NOW)
    with pytest.raises(MissingData, match="no trading calendar"):
        source_fetch.load_calendar(settings_at(tmp_path), END)
    with serving(market, AppOptions()) as url:
        monkeypatch.setenv("JQUANTS_API_BASE", url)
        with pytest.raises(SnapshotError, match="expected it to reach 2030-01-31"):
            source_fetch.fetch_calendar(settings_at(tmp_path), dt.date(2030, 1, 1))
    assert list(tmp_path.iterdir()) == []
