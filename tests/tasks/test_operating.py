"""Runs as operators start and stop them: ``g5 run``, ``g5 stop``, ``g5 daily``, ``g5 health``.

Real processes on a simulated market.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from pipeline.operations.runs import background_run
from pipeline.run_state import output_lock
from pipeline.run_state.history import RunHistory
from pipeline.run_state.pid_file import PidFile
from tests.tasks.commands import (
    EVERYTHING,
    NOBODY,
    PATIENCE_S,
    Home,
    assert_gone,
    rewrite,
    until,
)
from tests.tasks.conftest import RANGE

FAR = ("--start", "2024-03-01", "--end", "2024-04-19")
NEXT_WEEK = "2024-04-20T09:00"
G5 = str(Path(sys.executable).with_name("g5"))


def patient(home: Home, *words: str) -> tuple[int, str, list[str]]:
    """A command that builds something: exit code, output, lines on standard error."""
    with subprocess.Popen(
        [G5, *words],
        env=home._environment(),
        cwd=home.folder,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        out, err = process.communicate(timeout=PATIENCE_S)
    return process.returncode, out, err.splitlines()


@contextmanager
def no_run_left(home: Home) -> Iterator[PidFile]:
    """The pid file of a production run, which is ended with the block at the latest."""
    file = background_run.pid_file(home.root, "production")
    try:
        yield file
    finally:
        process = file.process()
        if process is not None:
            os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.slow
def test_a_run_in_the_background_is_stopped_and_finished_later(built: Home, tmp_path: Path) -> None:
    """Nothing half-made is visible in between, and the next run goes on to the same bytes."""
    home = built.copy(tmp_path / "output", *EVERYTHING)
    shutil.rmtree(home.chunks.folder)
    before = home.dataset_sha()
    with no_run_left(home) as file:
        started = home.g5("run", "production", *RANGE, "--background", "--workers", "2")
        assert started.code == 0, started.told
        (log,) = (home.root / "logs").glob("production_*.log")
        assert str(log) in started.out
        process = file.process()
        assert process is not None
        assert os.getsid(process.pid) == process.pid
        until(lambda: len(home.building()) == 2)
        os.killpg(process.pid, signal.SIGSTOP)  # time to look around
        second = home.g5("run", "production", *RANGE, "--background")
        assert (second.code, len(second.told)) == (10, 1)
        assert "another run" in second.told[0]
        assert home.g5("health").out.count("building since") == 0
        processes = [process, *process.children(recursive=True)]
        stopped = home.g5("stop")
        assert stopped.code == 0, stopped.told
        assert f"production: stopped (pid {process.pid})" in stopped.out
        assert_gone(processes)
        assert not file.exists()
    assert "Traceback" not in log.read_text()
    assert home.building() == ["2024Q1", "2024Q2"]
    assert home.dataset_sha() == before
    ill = home.g5("health")
    assert ill.code == 1
    assert ill.out.count("which is gone; the next run builds it again") == 2
    code, out, told = patient(
        home, "run", "production", *RANGE, "--workers", "2", "--validate-schema"
    )
    assert code == 0, told
    assert "schema: 2 chunks agree" in out
    assert home.dataset_sha() == built.dataset_sha()


@pytest.mark.slow
def test_a_run_in_the_background_that_is_killed_takes_everything_along(
    built: Home, tmp_path: Path
) -> None:
    """No process lives on; the pid file it leaves is told by health and cleared by stop."""
    home = built.copy(tmp_path / "output", "cache")
    with no_run_left(home) as file:
        assert home.g5("run", "production", *RANGE, "--background").code == 0
        process = file.process()
        assert process is not None
        until(home.building)
        processes = [process, *process.children(recursive=True)]
        process.kill()
        assert_gone(processes)
        assert "production: " in home.g5("health").out
        refused = home.g5("stop", "production")
    assert refused.code == 20
    (line,) = refused.told
    assert f"names process {process.pid}, which is gone; the file is removed" in line
    assert not file.exists()


def test_a_run_that_does_not_end_when_asked_is_ended(tmp_path: Path) -> None:
    """After the patience of whoever asked."""
    file = background_run.pid_file(tmp_path, "custom")
    program = "import signal; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", program, "--pid-file", str(file.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as deaf:
        assert deaf.stdout is not None
        deaf.stdout.readline()
        file.path.parent.mkdir()
        file.path.write_text(f"{deaf.pid}\n")
        assert background_run.stop(tmp_path, "custom", 0.5) == background_run.Stopped(
            "custom", deaf.pid, killed=True
        )
        assert deaf.wait(10) == -signal.SIGKILL
    assert background_run.names(tmp_path) == []


def test_a_foreign_process_is_left_alone(tmp_path: Path) -> None:
    """A pid file may name a process that got the number later: it is not ours to end."""
    home = Home(tmp_path / "output", NOBODY, tmp_path)
    file = background_run.pid_file(home.root, "production")
    file.path.parent.mkdir(parents=True)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        file.path.write_text(f"{other.pid}\n")
        refused = home.g5("stop")
        assert other.poll() is None
        assert psutil.Process(other.pid).is_running()
        other.communicate(b"\n")
    assert refused.code == 20
    (line,) = refused.told
    assert "another program and was left alone" in line
    assert home.g5("stop").told == [
        f"g5 stop: error: no run in the background of {home.root} (g5 status shows what is there)"
    ]


@pytest.mark.slow
def test_the_daily_update_grows_the_newest_chunk_and_then_rests(
    built: Home, tmp_path: Path
) -> None:
    """One line each time. While another run is writing it refuses. The history tells all runs."""
    home = built.copy(tmp_path / "output", *EVERYTHING).having(G5_NOW=NEXT_WEEK)
    old = home.builds()
    late = home.g5("health")
    assert late.code == 1
    assert "ends on 2024-04-12, 2024-04-19 was published more than 12 h ago" in late.out
    with home.start("BuildAll", *FAR) as run:
        until(lambda: output_lock.holder(home.root) == run.pid)
        code, _, told = patient(home, "daily")
        assert code == 10
        assert told[-1].endswith("ended with exit code 10 (another run is writing)")
    code, out, told = patient(home, "daily", "--workers", "2", "--wait", "2")
    assert code == 0, told
    (line,) = out.splitlines()
    assert line.startswith("daily 2024-04-19: done; ml_dataset_20240301_20240419_")
    assert home.builds()["2024Q1"] == old["2024Q1"]
    code, out, told = patient(home, "daily")
    assert (code, len(out.splitlines())) == (0, 1)
    assert out.startswith("daily 2024-04-19: nothing to do; ")
    told = [(run["profile"], run["outcome"]) for run in RunHistory(home.root).records()]
    assert told == [("daily", "nothing"), ("daily", "done"), (None, "killed")]
    well = home.g5("health")
    assert (well.code, well.out, well.told) == (0, "", [])


def test_health_tells_what_is_not_well(built: Home, tmp_path: Path) -> None:
    """Each finding names its chunk; nothing is written by looking."""
    home = built.copy(tmp_path / "output", *EVERYTHING)
    path = home.chunks.parquet_path("2024Q1")
    rewrite(path, path.read_bytes()[:-100])
    rewrite(home.chunks.status_path("2024Q2"), b"{}")
    (home.root / "cache/trading_calendar").rename(tmp_path / "away")
    (home.root / "labels/labels.json").unlink()
    before = home.facts()
    ended = home.g5("health", "--json", "--scheduler-url", "http://127.0.0.1:9")
    assert ended.code == 1, ended.told
    document = json.loads(ended.out)
    assert document["ok"] is False
    told = {(f["check"], f["subject"]): f["text"] for f in document["findings"]}
    assert "the Parquet file cannot be read" in told["schema", "2024Q1"]
    assert "status" in told["runs", "2024Q2"]
    assert "no trading calendar" in told["freshness", "cannot be checked"]
    assert told["labels", home.dataset_path().name] == "never made; run g5 run merge"
    assert "does not answer" in told["luigid", "http://127.0.0.1:9"]
    assert home.facts() == before
    assert not (home.root / "logs").exists()
