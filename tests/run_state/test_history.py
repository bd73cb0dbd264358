"""The records of runs."""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.dataset.chunk_store import ChunkStore
from pipeline.errors import MissingData, StorageError, UsageError
from pipeline.run_state import history
from pipeline.run_state.history import End, Note, RunHistory, peak_of
from tests.dataset.builders import build, january, rows

SECOND = {"covered_from": dt.date(2020, 4, 1), "covered_to": dt.date(2020, 6, 30)}
FETCH = Note("FetchSource index_option", 1_700_000_000.0, 12.5, requests={"index_option": 59})


def begun(root: Path, run_id: str = "a1b2", **changes: Any) -> RunHistory:
    runs = RunHistory(root)
    runs.begin(
        {
            "run_id": run_id,
            "task": "BuildAll",
            "parameters": {"start": "2024-01-04"},
            "settings": {"plan": "light"},
            "profile": None,
            "code_version": "0.1.0+12345678",
            "origin": "simulator",
        }
        | changes
    )
    return runs


def only(runs: RunHistory) -> dict[str, Any]:
    (record,) = runs.records()
    return record


def edit(runs: RunHistory, run_id: str, **changes: Any) -> None:
    """Change a record on disk, as another process or another day would have written it."""
    runs._write({**runs.find(run_id), **changes})


def dead_pid() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


def test_a_run_is_running_until_it_ends(tmp_path: Path) -> None:
    """Then it says what its tasks did and asked for, and the notes are gone."""
    runs = begun(tmp_path)
    assert only(runs)["outcome"] == "running"
    assert only(runs)["pid"] == os.getpid()
    runs.note("a1b2", FETCH)
    record = runs.finish("a1b2", End(0, requests={"trading_calendar": 1, "index_option": 1}))
    assert record == only(runs)
    assert record["outcome"] == "done"
    assert record["requests"] == {"index_option": 60, "trading_calendar": 1}
    (step,) = record["steps"]
    assert step["name"] == "FetchSource index_option"
    assert step["seconds"] == 12.5
    assert step["started_at"].startswith("2023-11-14T22:13:20")
    assert dt.datetime.fromisoformat(record["finished_at"]).tzinfo is not None
    assert [path.name for path in runs.folder.iterdir()] == ["a1b2.json"]


@pytest.mark.parametrize(
    ("code", "notes", "outcome", "error"),
    [
        (0, [], "nothing", None),
        (0, [Note("X", 0, 1)], "done", None),
        (30, [Note("X", 0, 1), Note("Y", 1, 1, "HTTP 403")], "failed", "Y: HTTP 403"),
        (30, [Note("X", 0, 1, "stopped on request", stopped=True)], "stopped", "X: stopped on r"),
        (143, [Note("X", 0, 1)], "stopped", None),
        (20, [], "failed", None),
    ],
)
def test_the_outcome_follows_from_code_and_steps(
    tmp_path: Path, code: int, notes: list[Note], outcome: str, error: str | None
) -> None:
    """Done, nothing to do, failed, or stopped by a signal or a request."""
    runs = begun(tmp_path)
    for note in notes:
        runs.note("a1b2", note)
    record = runs.finish("a1b2", End(code))
    assert record["outcome"] == outcome
    assert record["exit_code"] == code
    assert (record["error"] or "").startswith(error or "")
    assert bool(record["error"]) == bool(error)


def test_a_killed_run_is_told_by_who_reads_and_written_down_by_the_next(tmp_path: Path) -> None:
    """What its finished tasks noted is kept; a line that was cut off is passed over."""
    runs = begun(tmp_path)
    runs.note("a1b2", FETCH)
    with (runs.folder / "a1b2.notes").open("a") as notes:
        notes.write('{"name": "FetchSou')
    edit(runs, "a1b2", pid=dead_pid())
    killed = only(runs)
    assert killed["outcome"] == "killed"
    assert killed["finished_at"] is None
    assert killed["requests"] == {"index_option": 59}
    begun(tmp_path, "c3d4")
    assert not (runs.folder / "a1b2.notes").exists()
    assert runs.find("a1b2") == killed


def test_a_run_on_another_host_is_taken_at_its_word(tmp_path: Path) -> None:
    """Its process cannot be looked for."""
    runs = begun(tmp_path)
    edit(runs, "a1b2", pid=dead_pid(), host="elsewhere")
    assert only(runs)["outcome"] == "running"


def test_the_commands_of_one_run_share_a_record(tmp_path: Path) -> None:
    """As in the daily update: steps and requests add up, the last outcome stands."""
    runs = begun(tmp_path)
    runs.note("a1b2", FETCH)
    first = runs.finish("a1b2", End(0))
    begun(tmp_path, task="BuildLabels")
    assert only(runs)["outcome"] == "running"
    second = runs.finish("a1b2", End(0))
    assert second["task"] == "BuildAll"
    assert second["outcome"] == "done"
    assert second["started_at"] == first["started_at"]
    assert second["requests"] == {"index_option": 59}
    assert len(second["steps"]) == 1


def test_a_run_lists_the_chunks_it_built(tmp_path: Path) -> None:
    """From their status: rows, bytes and the snapshots; those of other runs are not its own."""
    store = ChunkStore(tmp_path)
    build(store, "2020Q1", rows(january(6, 7)), run_id="a1b2")
    build(store, "2020Q2", run_id="other", **SECOND)
    runs = begun(tmp_path)
    record = runs.finish("a1b2", End(0))
    (chunk,) = record["chunks"]
    status = store.read_status("2020Q1")
    assert chunk["chunk_id"] == "2020Q1"
    assert chunk["state"] == "completed"
    assert chunk["rows"] == status["rows"]
    assert chunk["bytes"] == status["parquet_bytes"]
    assert record["inputs"] == sorted(status["inputs"])


def test_a_run_is_found_by_the_beginning_of_its_id(tmp_path: Path) -> None:
    """Nothing and several are told apart."""
    runs = begun(tmp_path, "a1b2")
    begun(tmp_path, "a1c3")
    assert runs.find("a1b")["run_id"] == "a1b2"
    with pytest.raises(MissingData, match="run x: not in"):
        runs.find("x")
    with pytest.raises(UsageError, match="2 runs begin so"):
        runs.find("a1")


def test_the_newest_records_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And told in that order; a damaged one is passed over."""
    monkeypatch.setattr(history, "KEPT", 3)
    for number in range(5):
        runs = begun(tmp_path, f"run{number}")
        runs.note(f"run{number}", FETCH)
        edit(runs, f"run{number}", outcome="done", started_at=f"2024-06-0{number + 1}T08:00:00Z")
    damaged = runs.folder / "damaged.json"
    damaged.write_text("{")
    os.utime(damaged, (0, 0))
    assert [record["run_id"] for record in runs.records()] == ["run4", "run3", "run2"]
    assert [record["run_id"] for record in runs.records(1)] == ["run4"]
    assert sorted(path.stem for path in runs.folder.glob("*.notes")) == ["run2", "run3", "run4"]


def test_a_run_id_never_leaves_the_folder(tmp_path: Path) -> None:
    """It may come from the environment."""
    runs = begun(tmp_path, "../../x")
    assert [path.parent for path in tmp_path.rglob("*.json")] == [runs.folder]
    assert runs.find("../../x")["run_id"] == "../../x"


def test_a_record_that_breaks_the_schema_is_not_written(tmp_path: Path) -> None:
    """As for every document."""
    with pytest.raises(StorageError, match="origin"):
        begun(tmp_path, origin="moon")
    assert not list((tmp_path / "run" / "history").glob("*.json"))


def test_memory_counts_for_as_long_as_a_task_runs() -> None:
    """Two at a time add up, one after the other do not."""
    one, other = (Note("X", 0, 10, peak_rss_bytes=5), Note("Y", 5, 10, peak_rss_bytes=7))
    later = Note("Z", 15, 1, peak_rss_bytes=11)
    assert peak_of([one, other, later]) == 12
    assert peak_of([one, later]) == 11
    assert peak_of([]) == 0
