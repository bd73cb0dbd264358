"""The daily update and what the vendor restates in closed months, by both settings."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipeline.operations.planning import waiting_corrections
from tests.tasks.commands import FEW_SOURCES, ONE_PROCESS, PROJECT, Home, simulator

MARKET = (
    *("--stocks", "6", "--seed", "7", "--start", "2024-01-04", "--end", "2024-06-28"),
    *("--corrections", "0.1"),
)


def daily(root: Path, morning: str, taking: str) -> Home:
    """One update at 08:00."""
    with simulator(*MARKET, "--now", f"{morning}T08:00") as url:
        changes = {"G5_NOW": f"{morning}T08:00", "CORRECTIONS": taking}
        home = Home(root, url, PROJECT, FEW_SOURCES | ONE_PROCESS | changes)
        ended = home.g5("daily", "--workers", "1", patience_s=600.0)
    assert ended.code == 0, (ended.out, ended.told[-5:])
    return home


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_user_chooses_when_rows_take_corrections_in(tmp_path: Path) -> None:
    """By default rows stay as they were and the corrections are named; with ``rebuild`` the chunks
    are built from them, an earlier chunk too, and nothing waits any more."""
    root = tmp_path / "output"
    home = daily(root, "2024-03-08", "new_rows")
    path = home.chunks.parquet_path("2024Q1")
    published = pq.read_table(path)

    home = daily(root, "2024-03-29", "new_rows")
    grown = pq.read_table(path)
    assert grown.num_rows > published.num_rows
    assert grown.slice(0, published.num_rows).equals(published)
    waiting = waiting_corrections.waiting(root, "simulator")
    assert list(waiting) == ["2024Q1"]
    named = {(c["source"], c["date"]) for c in home.chunks.metadata("2024Q1")["corrections"]}
    assert {(c.source, c.date) for c in waiting["2024Q1"]} <= named
    assert "the vendor corrected" in home.log()

    home = daily(root, "2024-04-10", "rebuild")
    rebuilt = pq.read_table(path)
    assert not rebuilt.slice(0, published.num_rows).equals(published)
    assert list(home.chunks.ids()) == ["2024Q1", "2024Q2"]
    assert waiting_corrections.waiting(root, "simulator") == {}
    dataset = home.dataset()
    assert dataset is not None
    merged = {chunk["chunk_id"]: chunk["build_id"] for chunk in dataset.metadata["chunks"]}
    assert merged == home.builds()
