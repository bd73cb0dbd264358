"""A folder of bulk files: which of them hold the rows of a period."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path

import pytest

from pipeline.api.catalogue.endpoints import endpoint_of
from pipeline.api.local_files import find_files

FIRST, LAST = dt.date(2024, 1, 10), dt.date(2024, 2, 2)
BARS = endpoint_of("daily_bars")


def put(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_files_lie_at_any_depth_and_come_in_order(tmp_path: Path) -> None:
    """The server's tree, a flat folder, or both."""
    put(
        tmp_path,
        "equities_bars_daily_20240202.csv.gz",
        "a/equities/bars/daily/historical/2024/equities_bars_daily_202401.csv.gz",
        "b/equities_bars_daily_20240201.csv",
        "equities_bars_daily_20240205.csv.gz",
        "equities_bars_daily_202312.csv.gz",
    )
    found = find_files(tmp_path, BARS, FIRST, LAST)
    assert list(found) == ["2024-01", "2024-02-01", "2024-02-02"]
    assert [path.name for path in found.values()] == [
        "equities_bars_daily_202401.csv.gz",
        "equities_bars_daily_20240201.csv",
        "equities_bars_daily_20240202.csv.gz",
    ]


@pytest.mark.parametrize(
    "name",
    [
        "equities_bars_daily_am_202401.csv.gz",
        "equities_bars_daily_202401.csv.gz.partial",
        "equities_bars_daily_202401.csv.bz2",
        "equities_bars_daily.csv.gz",
        "old_equities_bars_daily_202401.csv.gz",
        "equities_bars_minute_202401.csv.gz",
    ],
)
def test_other_files_are_left_alone(tmp_path: Path, name: str) -> None:
    """Other endpoints, unfinished downloads, names without a period."""
    put(tmp_path, name)
    assert find_files(tmp_path, BARS, FIRST, LAST) == {}


def test_endpoints_with_similar_names_do_not_mix(tmp_path: Path) -> None:
    """Indices and TOPIX begin alike."""
    put(tmp_path, "indices_bars_daily_202401.csv.gz", "indices_bars_daily_topix_202401.csv.gz")
    for source in ("indices", "topix"):
        endpoint = endpoint_of(source)
        (path,) = find_files(tmp_path, endpoint, FIRST, LAST).values()
        assert path.name == f"{endpoint.file_stem}_202401.csv.gz"


def test_of_two_copies_the_newer_counts(tmp_path: Path) -> None:
    """Corrections rewrite files; somebody fetched the month again."""
    put(tmp_path, "a/equities_bars_daily_202401.csv.gz", "b/equities_bars_daily_202401.csv.gz")
    os.utime(tmp_path / "b" / "equities_bars_daily_202401.csv.gz", (1.0, 1.0))
    (path,) = find_files(tmp_path, BARS, FIRST, LAST).values()
    assert path.parent.name == "a"


def test_days_of_a_closed_month_are_left_aside(tmp_path: Path) -> None:
    """No row comes twice."""
    put(tmp_path, "equities_bars_daily_202401.csv.gz", "equities_bars_daily_20240131.csv.gz")
    assert list(find_files(tmp_path, BARS, FIRST, LAST)) == ["2024-01"]


def test_of_calendars_the_newest_counts(tmp_path: Path) -> None:
    """Each holds everything; a date in its name is that of the edition."""
    calendar = endpoint_of("trading_calendar")
    put(tmp_path, "markets_calendar_20250101.csv.gz", "markets_calendar_20260101.csv.gz")
    found = find_files(tmp_path, calendar, FIRST, LAST)
    assert {period: path.name for period, path in found.items()} == {
        "all": "markets_calendar_20260101.csv.gz"
    }
