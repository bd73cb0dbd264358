"""The running quarter grows; the finished ones stay as they are."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.tasks.commands import EVERYTHING, ONE_PROCESS, Home, dates_of, sha


@pytest.fixture(scope="module")
def built(built: Home) -> Home:
    """Tasks share the process of their run: here it matters what they do."""
    return built.having(**ONE_PROCESS)


@pytest.mark.slow
def test_the_running_quarter_grows_and_the_finished_one_stays(built: Home, tmp_path: Path) -> None:
    """A month later only the last chunk is built again, with the bytes of a build from nothing."""
    # The morning of 13 May: its own data are not out yet. The start is later than it was.
    home = built.copy(tmp_path / "grown", *EVERYTHING).having(G5_NOW="2024-05-13T08:00")
    # Statements reach five years back: more than a thousand days, none of which is the matter here.
    fresh = built.copy(tmp_path / "fresh", "cache/trading_calendar", "cache/fin_summary")
    before = home.facts()
    with ThreadPoolExecutor(2) as pool:
        growing = pool.submit(
            *(home.run, "BuildAll", "--start", "2024-04-08", "--end", "2024-05-13"),
            "--latest-only",
        )
        building = pool.submit(
            *(fresh.run, "BuildChunk", "--chunk", "2024Q2", "--first", "2024-04-01"),
            *("--last", "2024-05-10", "--snapshot", "2024-01-04_2024-05-10"),
        )
    assert growing.result().code == 0, growing.result().told
    assert building.result().code == 0, building.result().told

    after = home.facts()
    finished = [name for name in before if name.startswith("chunks/2024Q1/")]
    assert finished
    assert all(after[name] == before[name] for name in finished)
    status = home.chunks.read_status("2024Q2")
    assert (status["covered_from"], status["covered_to"]) == ("2024-04-01", "2024-05-10")
    assert sha(home.chunks.parquet_path("2024Q2")) == sha(fresh.chunks.parquet_path("2024Q2"))
    days = dates_of(home.dataset_path())
    # --latest-only looks at the newest chunk and merges the older one as found.
    assert (days[0], days[-1]) == ("2024-03-01", "2024-05-10")
