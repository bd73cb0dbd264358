"""kill -9 in the middle of a long fetch: what was received is never asked for again."""

from __future__ import annotations

import datetime as dt
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson
import pytest
import requests

from pipeline.cache.snapshots import SnapshotStore
from pipeline.cache.spool import entries
from pipeline.simulator.server.app import DEFAULT_API_KEY

FIRST, LAST = dt.date(2022, 1, 4), dt.date(2024, 5, 31)
SESSIONS = 590
THREADS = 8
PATH = "/equities/master"
SOURCE = "listed"

_FETCH = f"""
import datetime as dt
from pipeline import configuration
from pipeline.operations.fetching import source_fetch
from pipeline.operations.fetching.snapshot_range import SnapshotRange
settings, end = configuration.settings(), dt.date({LAST.year}, {LAST.month}, {LAST.day})
try:
    source_fetch.load_calendar(settings, end)
except Exception:
    source_fetch.keep_calendar(settings, source_fetch.fetch_calendar(settings, end))
wanted = SnapshotRange(dt.date({FIRST.year}, {FIRST.month}, {FIRST.day}), end)
source_fetch.fetch_snapshot(settings, "{SOURCE}", wanted, "any", lambda done, total: None)
"""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """A simulator in a process of its own, slow enough to be caught in the act."""
    command = [
        *(sys.executable, "-m", "pipeline.cli", "sim", "serve", "--exit-with-parent"),
        *("--stocks", "5", "--start", str(FIRST), "--end", "2024-06-28", "--latency-ms", "25"),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


@contextmanager
def fetching(server: str, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    environment = os.environ | {
        "JQUANTS_API_BASE": server,
        "JQUANTS_API_KEY": DEFAULT_API_KEY,
        "DATA_OUTPUT_DIR": str(folder),
        "REQUESTS_PER_MINUTE": "0",
        "SOURCE_ROUTE": "requests",
        "INDEX_OPTION_PARALLEL_CONCURRENCY": str(THREADS),
        "G5_NOW": "2024-06-29T08:00:00+09:00",
    }
    with subprocess.Popen([sys.executable, "-c", _FETCH], env=environment) as process:
        try:
            yield process
        finally:
            process.kill()


def served(server: str) -> Counter[str]:
    """Answers of the master list by day, counted at the server."""
    stats = orjson.loads(
        requests.get(f"{server.removesuffix('/v2')}/_sim/stats", timeout=10).content
    )
    return Counter(
        found[1]
        for request in stats["requests"]
        if request["path"] == PATH and (found := re.search(r"date=([\d-]+)", request["query"]))
    )


@pytest.mark.slow
def test_a_killed_fetch_goes_on_where_it_stopped(server: str, tmp_path: Path) -> None:
    """Twice killed, 590 days: only what was on its way at the moment of death comes twice."""
    for enough in (150, 400):
        with fetching(server, tmp_path) as process:
            while served(server).total() < enough:
                assert process.poll() is None
                time.sleep(0.02)
            process.send_signal(signal.SIGKILL)
            process.wait()
        assert SnapshotStore(tmp_path, "simulator").newest(SOURCE) is None
        assert served(server).total() < SESSIONS
    with fetching(server, tmp_path) as process:
        assert process.wait(timeout=120) == 0
    days = served(server)
    assert len(days) == SESSIONS
    # Under way or not yet put away, at each of the two deaths.
    assert days.total() - SESSIONS <= 2 * 2 * THREADS
    store = SnapshotStore(tmp_path, "simulator")
    snapshot = store.newest(SOURCE)
    assert snapshot is not None
    table = store.read(snapshot)
    assert len(table["Date"].unique()) == SESSIONS
    assert table.group_by(["Date", "Code"]).aggregate([([], "count_all")]).num_rows == len(table)
    assert entries(store.spool_folder(SOURCE)) == []
