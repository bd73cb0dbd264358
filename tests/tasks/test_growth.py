"""The running quarter grows, a wider request is built, and nothing is ever lost by it."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from tests.tasks.commands import EVERYTHING, Home, dates_of, sha


def since_march(path: Path) -> pa.Table:
    """The rows from March 2024 on."""
    table = pq.read_table(path)
    return table.filter(pc.greater_equal(table["Date"].cast("string"), "2024-03-01"))


@pytest.mark.slow
def test_the_running_quarter_grows_and_the_finished_one_stays(built: Home, tmp_path: Path) -> None:
    """A month later only the last chunk is built again, with the bytes of a build from nothing."""
    home = built.copy(tmp_path / "grown", *EVERYTHING)
    before = home.facts()
    # The morning of 13 May: its own data are not out yet. The start is later than it was.
    grown = home.having(G5_NOW="2024-05-13T08:00")
    newer = ("--start", "2024-04-08", "--end", "2024-05-13")
    assert grown.run("BuildAll", *newer, "--latest-only").code == 0
    after = home.facts()
    untouched = [name for name in before if name.startswith("chunks/2024Q1/")]
    assert untouched
    assert all(after[name] == before[name] for name in untouched)
    status = home.chunks.read_status("2024Q2")
    assert (status["covered_from"], status["covered_to"]) == ("2024-04-01", "2024-05-10")
    dataset = home.dataset()
    assert dataset is not None
    days = dates_of(dataset.path)
    assert (days[0], days[-1]) == (
        "2024-03-01",
        "2024-05-10",
    )  # the older chunk was merged as found

    fresh = built.copy(tmp_path / "fresh", "cache/trading_calendar")
    ended = fresh.run(
        *("BuildChunk", "--chunk", "2024Q2", "--first", "2024-04-01", "--last", "2024-05-10"),
        *("--snapshot", "2024-01-04_2024-05-10"),
    )
    assert ended.code == 0, ended.told
    assert sha(fresh.chunks.parquet_path("2024Q2")) == sha(home.chunks.parquet_path("2024Q2"))


@pytest.mark.slow
def test_a_wider_start_is_built_and_force_builds_once(built: Home, tmp_path: Path) -> None:
    """The chunk keeps the sessions it had beyond the asked end; the rows it had do not change."""
    home = built.copy(tmp_path / "wider", *EVERYTHING)
    before = home.builds()
    wider = ("--start", "2024-02-26", "--end", "2024-03-15")
    assert home.run("BuildAll", *wider, "--force").code == 0
    days = dates_of(home.chunks.parquet_path("2024Q1"))
    assert (days[0], days[-1]) == ("2024-02-26", "2024-03-29")
    paths = [each.chunks.parquet_path("2024Q1") for each in (home, built)]
    assert since_march(paths[0]).equals(since_march(paths[1]))
    after = home.builds()
    assert after["2024Q1"] != before["2024Q1"]
    assert after["2024Q2"] == before["2024Q2"]
    assert home.log().count("running   BuildChunk") == 1
    dataset = home.dataset()
    assert dataset is not None
    assert [chunk["chunk_id"] for chunk in dataset.metadata["chunks"]] == ["2024Q1"]
    assert home.run("BuildAll", *wider).told[-1].endswith("is complete")
