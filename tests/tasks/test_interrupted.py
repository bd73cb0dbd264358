"""Stopped in any way at any time: no process lives on, nothing appears later, the next run ends it.

The dataset that comes out in the end has the bytes of the undisturbed one.
"""

from __future__ import annotations

import datetime as dt
import os
import shutil
import signal
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from pipeline.cache.snapshots import SnapshotStore
from pipeline.filesystem.documents import read_document
from tests.tasks.commands import (
    EVERYTHING,
    LOCAL,
    NOBODY,
    PATIENCE_S,
    Home,
    asked,
    assert_gone,
    assert_still,
    dates_of,
    family,
    luigid,
    sha,
    simulator,
    until,
)
from tests.tasks.conftest import MARKET, RANGE

TWO = ("--workers", "2")


def stop_while_building(
    home: Home, number: signal.Signals, *, group: bool, scheduler: Iterable[str] = LOCAL
) -> None:
    """Stop a run while both its chunks are being built."""
    shutil.rmtree(home.chunks.folder, ignore_errors=True)
    with home.start("BuildAll", *RANGE, *TWO, scheduler=scheduler) as run:
        until(lambda: len(home.building()) == 2)
        processes = family(run)
        assert len(processes) >= 3
        (os.killpg if group else os.kill)(run.pid, number)
        _, err = run.communicate(timeout=30)
    killed = number is signal.SIGKILL
    assert run.returncode == (-number if killed else 128 + number)
    assert killed or "Traceback" not in err
    assert_gone(processes)
    assert_still(home, 1.0)
    assert home.building() == ["2024Q1", "2024Q2"]
    assert home.dataset() is None


@pytest.mark.slow
def test_a_build_may_be_stopped_in_any_way(built: Home, tmp_path: Path) -> None:
    """SIGTERM, an interrupt from the terminal, kill -9; with and without a central scheduler."""
    home = built.copy(tmp_path / "output", "cache")
    stop_while_building(home, signal.SIGTERM, group=False)
    stop_while_building(home, signal.SIGINT, group=True)
    with luigid(tmp_path / "luigid") as url:
        central = ("--scheduler-url", url)
        stop_while_building(home, signal.SIGKILL, group=False, scheduler=central)
        with home.start("BuildAll", *RANGE, *TWO, scheduler=central) as run:
            until(lambda: f"pid {run.pid}" in (home.root / "run/build.lock").read_text())
            second = home.run("BuildAll", *RANGE)
            assert second.code == 10
            assert f"another run (pid {run.pid}) is writing" in second.told[0]
            run.communicate(timeout=PATIENCE_S)
        assert run.returncode == 0
    assert home.dataset_sha() == built.dataset_sha()


@pytest.mark.slow
def test_a_rebuild_survives_a_kill(built: Home, tmp_path: Path) -> None:
    """What ``--resume false`` and ``--force`` ask for stays asked for; the old data stay readable.

    The plain run that ends it asks for an earlier start and an earlier end: the rows there were
    are not lost and do not change.
    """
    home = built.copy(tmp_path / "output", *EVERYTHING)
    old = home.statuses()
    with home.start("BuildAll", *RANGE, "--resume", "false") as run:
        until(lambda: all(home.chunks.wanted(chunk) for chunk in old))
        run.send_signal(signal.SIGTERM)
        run.communicate(timeout=30)
    asked_first = {chunk: home.chunks.wanted(chunk) for chunk in old}
    with home.start("BuildAll", *RANGE, *TWO, "--force") as run:
        until(lambda: len(home.building()) == 2)
        for chunk, status in old.items():
            assert sha(home.chunks.parquet_path(chunk)) == status["parquet_sha256"]
        assert home.dataset_sha() == built.dataset_sha()
        processes = family(run)
        run.kill()
        run.communicate(timeout=30)
    assert_gone(processes)
    wanted = {chunk: home.chunks.wanted(chunk) for chunk in old}
    assert all(wanted[chunk] != asked_first[chunk] for chunk in old)

    begun = home.log().count("running   BuildChunk")
    wider = ("--start", "2024-02-26", "--end", "2024-04-05")  # and an earlier end
    assert home.run("BuildAll", *wider, "--workers", "1").code == 0
    assert home.log().count("running   BuildChunk") - begun == 2
    assert {chunk: s["rebuild"] for chunk, s in home.statuses().items()} == wanted
    days = dates_of(home.dataset_path())
    assert (days[0], days[-1]) == ("2024-02-26", "2024-04-12")
    assert since_march(home.dataset_path()).equals(since_march(built.dataset_path()))
    # One worker or two: the same bytes.
    assert home.statuses()["2024Q2"]["parquet_sha256"] == old["2024Q2"]["parquet_sha256"]


@pytest.mark.slow
def test_a_fetch_goes_on_where_it_was_killed(built: Home, tmp_path: Path) -> None:
    """FetchSource: not complete, killed, run again for the rest, complete, same rows."""
    home = built.copy(tmp_path / "output", "cache/trading_calendar")
    task = ("FetchSource", "--source", "listed", "--snapshot", "2024-01-04_2024-04-12", *TWO)
    path = "/equities/master"
    with simulator(*MARKET, "--latency-ms", "100") as url:
        slow = home.having(JQUANTS_API_BASE=url, SOURCE_ROUTE="requests")
        with slow.start(*task) as run:
            until(lambda: asked(url).get(path, 0) >= 40)
            processes = family(run)
            run.kill()
            run.communicate(timeout=30)
        assert_gone(processes)
        assert_still(home, 1.0)
        assert not list((home.root / "cache/listed").glob("*.json"))
        before = asked(url)[path]
        assert slow.run(*task).code == 0
        assert asked(url)[path] - before < 68  # sessions of the range
    assert _rows(home, "listed") == _rows(built, "listed")


@pytest.mark.slow
def test_gate_and_merge_may_be_killed(built: Home, tmp_path: Path) -> None:
    """Each is killed as soon as it runs; what it had to write is there whole or not at all.

    Settings given as flags reach the task processes; no key and no server is needed.
    """
    home = built.copy(tmp_path / "output", "chunks")
    alone = home.having(DATA_OUTPUT_DIR=None, JQUANTS_API_KEY=None, JQUANTS_API_BASE=NOBODY)
    merge = ("MergeChunks", "--g5-data-output-dir", str(home.root))
    for step in ("ValidateSchema", "MergeChunks"):
        with alone.start(*merge) as run:
            until(lambda step=step: f"running   {step}" in home.log())
            processes = family(run)
            run.kill()
            run.communicate(timeout=30)
        assert_gone(processes)
        assert home.dataset() is None
    assert alone.run(*merge, "--start", "2024-01-01", "--end", "2024-06-30").code == 0
    assert home.dataset_sha() == built.dataset_sha()
    assert home.builds() == built.builds()
    report = read_document(home.root / "validation/schema_validation.json", "validation")
    assert report["passed"]
    assert report["inputs"] == built.builds()


def since_march(path: Path) -> pa.Table:
    """The rows from March 2024 on."""
    table = pq.read_table(path)
    return table.filter(pc.greater_equal(table["Date"], pa.scalar(dt.date(2024, 3, 1))))


def _rows(home: Home, source: str) -> list[dict[str, object]]:
    """Rows of the newest snapshot."""
    store = SnapshotStore(home.root, "simulator")
    snapshot = store.newest(source)
    assert snapshot is not None
    rows: list[dict[str, object]] = store.read(snapshot).to_pylist()
    return rows
