"""What real runs leave in the run history."""

from __future__ import annotations

import json
from pathlib import Path

from pipeline.run_state.history import RunHistory
from tests.tasks.commands import EVERYTHING, Ended, Home
from tests.tasks.conftest import RANGE


def test_a_build_tells_what_it_did(first_run: tuple[Home, Ended]) -> None:
    """Parameters, chunks, steps in order, inputs, outputs, memory and requests."""
    home, ended = first_run
    assert ended.code == 0
    record = RunHistory(home.root).records()[-1]
    assert record["outcome"] == "done"
    assert record["exit_code"] == 0
    assert record["error"] is None
    assert record["profile"] is None
    assert record["task"] == "BuildAll"
    assert record["parameters"]["start"] == RANGE[1]
    assert record["settings"]["requests_per_minute"] == "0"
    assert record["origin"] == "simulator"
    statuses = home.statuses()
    assert {c["chunk_id"]: c["rows"] for c in record["chunks"]} == {
        chunk: status["rows"] for chunk, status in statuses.items()
    }
    names = [step["name"] for step in record["steps"]]
    last = ["ValidateSchema", "MergeChunks", "BuildLabels", "BuildReport", "BuildAll"]
    assert names[-5:] == last
    assert {"FetchSource listed", "BuildChunk 2024Q1", "BuildChunk 2024Q2"} < set(names)
    assert record["inputs"] == sorted({k for s in statuses.values() for k in s["inputs"]})
    assert record["outputs"]["dataset"] == home.dataset_path().name
    assert record["outputs"]["labels"] == "labels/labels.json"
    assert 2**27 < record["peak_rss_bytes"] < 2**34
    assert record["requests"]["trading_calendar"] == 1
    assert record["requests"]["daily_bars"] >= 1
    assert not list((home.root / "run" / "history").glob("*.notes"))
    metrics = (home.root / "run/metrics/g5.prom").read_text()
    assert 'g5_chunks{state="completed"} 2' in metrics


def test_a_run_without_work_and_one_that_fails(built: Home, tmp_path: Path) -> None:
    """Nothing to do is an outcome of its own; an error is told in one line; a plan leaves none."""
    home = built.copy(tmp_path / "output", *EVERYTHING)
    runs = RunHistory(home.root)
    assert home.run("BuildAll", *RANGE, "--workers", "0").code in (0, 25)
    assert runs.records() == []
    assert home.run("MergeChunks").code == 0
    (first,) = runs.records()
    assert first["outcome"] == "nothing"
    assert first["steps"] == []
    assert first["outputs"]["dataset"] is None
    ended = home.run("MergeChunks", "--start", "2024-02-01", "--end", "2024-09-30")
    assert ended.code == 20
    newest = next(r for r in runs.records() if r["run_id"] != first["run_id"])
    assert newest["outcome"] == "failed"
    assert newest["exit_code"] == 20
    assert newest["error"].startswith("BuildChunk 2024Q3: ")
    assert newest["error"] in ended.told[0]
    shown = home.g5("runs", "--json", "--output", str(home.root))
    assert len(json.loads(shown.out)) == 2
