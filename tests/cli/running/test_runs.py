"""``g5 runs``: the list and one record, from files on disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.cli import main
from pipeline.run_state.history import RunHistory
from tests.dataset.builders import documents

DONE = {
    "outcome": "done",
    "exit_code": 0,
    "error": None,
    "finished_at": "2024-06-03T08:02:05+09:00",
    "peak_rss_bytes": 1_300_000_000,
    "chunks": [
        {"chunk_id": "2020Q1", "state": "completed", "rows": 1234, "seconds": 61.0, "bytes": 5000},
        {"chunk_id": "2020Q2", "state": "building", "rows": None, "seconds": None, "bytes": None},
    ],
    "outputs": {"dataset": "ml_dataset_x.parquet", "dataset_hash": "ab12", "labels": None},
    "requests": {"daily_bars": 1000, "listed": 7},
}


def keep(root: Path, run_id: str, **changes: Any) -> None:
    RunHistory(root)._write({**documents()["run"], "run_id": run_id, **changes})


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two runs: one that failed, and a later one that did not."""
    keep(tmp_path, "a1b2", profile=None, finished_at="2024-06-03T08:00:09+09:00")
    keep(tmp_path, "c3d4", **DONE, started_at="2024-06-03T08:01:00+09:00")
    return tmp_path


def told(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    assert main(["runs", *words]) == 0
    return capsys.readouterr().out.splitlines()


def test_the_newest_run_stands_first(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What it was, how it ended, how long it took and what it cost."""
    head, new, old = told(capsys, "--output", str(root))
    assert head.split()[:2] == ["RUN", "AGO"]
    assert new.startswith("c3d4 ")
    assert "production 2020-01-01" in new
    for fact in ("done", "1 min 05 s", "1,234", "1,007", "1.3 GB"):
        assert fact in new
    assert "BuildAll 2020-01-01" in old
    assert "failed" in old
    assert len(told(capsys, "--last", "1", "--output", str(root))) == 2


def test_one_run_is_told_in_full(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By the beginning of its id."""
    text = "\n".join(told(capsys, "show", "a1", "--output", str(root)))
    assert "outcome    failed, exit code 30" in text
    assert "error      BuildChunk 2020Q1: no room" in text
    assert "parameters start=2020-01-01 force=False" in text
    assert "settings   plan=light" in text
    assert "daily_bars_raw_2019-01-04_2020-03-31" in text
    text = "\n".join(told(capsys, "show", "c3", "--output", str(root)))
    assert "requests   daily_bars 1,000, listed 7" in text
    assert "dataset    ml_dataset_x.parquet" in text
    assert "2020Q1  completed  1,234  1 min 01 s" in text


def test_the_same_as_json(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Records as they are on disk."""
    (line,) = told(capsys, "--json", "--output", str(root))
    assert [record["run_id"] for record in json.loads(line)] == ["c3d4", "a1b2"]
    (line,) = told(capsys, "show", "a1b2", "--json", "--output", str(root))
    assert json.loads(line)["exit_code"] == 30


def test_what_is_not_there_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No history is no error, an unknown run is one; show needs an id."""
    (line,) = told(capsys, "--output", str(tmp_path))
    assert line.startswith("no run is recorded in ")
    assert main(["runs", "show", "x", "--output", str(tmp_path)]) == 20
    assert "run x: not in" in capsys.readouterr().err
    for words in (["show"], ["list", "a1"]):
        with pytest.raises(SystemExit, match="2"):
            main(["runs", *words])
