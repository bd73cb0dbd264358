"""What fetching costs: requests by the planner, and the work of taking bulk files in.

The fetch is one task after the other on one host, whatever the size of the cluster. Under the plan
with the highest limit it waits less for the API than it works.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import option_server

from pipeline.api.bulk import download, list_files, read_csv
from pipeline.api.catalogue.endpoints import ENDPOINTS, Endpoint
from pipeline.api.decode.row_checks import days_of
from pipeline.cache.parts import Day
from pipeline.cache.snapshots import SnapshotStore

# What the planner is asked for; requests grow by the year, and the warm-up comes on top.
_PLANNED = (("2023-01-04", "2023-12-29", 1), ("2014-01-06", "2023-12-29", 10))
_SIMULATED = ("2008-05-07", "2024-12-30")
_NOW = "2024-12-31T09:00"

_START, _END = dt.date(2024, 4, 1), dt.date(2024, 6, 28)
_FILES_AT_ONCE = os.cpu_count() or 1


def requests(scratch: Path) -> tuple[float, float]:
    """Requests by ``g5 plan`` with an empty cache: those of any build, and those of a year."""
    counts = []
    with _calendar() as url:
        environment = os.environ | {
            "JQUANTS_API_BASE": url,
            "JQUANTS_API_KEY": "simulator",
            "G5_NOW": _NOW,
        }
        for start, end, _ in _PLANNED:
            flags = ["--start", start, "--end", end, "--json", "--output", str(scratch / "planned")]
            planned = subprocess.run(
                [sys.executable, "-m", "pipeline.cli", "plan", *flags],
                env=environment,
                stdout=subprocess.PIPE,
                check=False,  # 3: there is work to do
            )
            counts.append(json.loads(planned.stdout)["requests"])
    years = [number for *_, number in _PLANNED]
    a_year = (counts[1] - counts[0]) / (years[1] - years[0])
    return counts[0] - a_year * years[0], a_year


def ingest_s_a_day(stocks: int, scratch: Path) -> float:
    """Seconds from the monthly files of all sources on disk to checked parts, for one session."""
    seconds = 0.0
    with (
        tempfile.TemporaryDirectory(dir=scratch) as folder,
        option_server.serving(_START, _END, stocks=stocks) as url,
    ):
        days = len(option_server.sessions_of(url, _START, _END))
        for endpoint in ENDPOINTS:
            if endpoint.has_files("premium") and not endpoint.one_file:
                files = _files(url, endpoint, Path(folder))
                began = time.perf_counter()
                _take_in(files, endpoint, Path(folder))
                seconds += time.perf_counter() - began
    return seconds / days


def _files(url: str, endpoint: Endpoint, folder: Path) -> list[Path]:
    """The monthly files of a source, downloaded."""
    with option_server.connected(url, 1) as session:
        session.timeouts = type(session.timeouts)(read_s=600.0, total_s=600.0)  # it makes them now
        listed = list_files(session, endpoint, _START, _END)
        paths = [folder / f"{endpoint.source}-{file.period}.csv.gz" for file in listed]
        for file, path in zip(listed, paths, strict=True):
            download(session, file, path)
    return paths


def _take_in(files: list[Path], endpoint: Endpoint, folder: Path) -> None:
    """Several files are read at a time while this thread writes, as the pipeline does it."""
    store, now = SnapshotStore(folder, "simulator"), "2024-07-05T08:00:00+09:00"
    with ThreadPoolExecutor(_FILES_AT_ONCE) as pool:
        tables = pool.map(lambda file: read_csv(file, endpoint), files)
        for file, table in zip(files, tables, strict=True):
            days = [
                Day(date=str(day), rows=rows.num_rows, arrived=now, checked=now)
                for day, rows in days_of(table, endpoint).items()
            ]
            period = file.name.removesuffix(".csv.gz")[-len("YYYY-MM") :]
            store.add(endpoint.source, period, days, table, fetched_at=now, route="bulk")


@contextmanager
def _calendar() -> Iterator[str]:
    """The URL of a small simulated exchange: the planner needs its calendar."""
    start, end = _SIMULATED
    command = [
        *(sys.executable, "-m", "pipeline.cli", "sim", "serve", "--exit-with-parent"),
        *("--stocks", "4", "--start", start, "--end", end),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.terminate()
