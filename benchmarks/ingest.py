"""From bytes to checked parts of a snapshot on disk: JSON pages, and bulk files.

    python benchmarks/ingest.py

Index options of a simulated market: the pages of a month's days, and a year of monthly bulk
files. Every check of the API layer is made, and each part is written by the snapshot store and
forced to disk. Beside it, in turn and on the same bytes, the bare libraries without check, order
or disk: ``orjson.loads`` for the pages, ``pyarrow.csv.read_csv`` with its default options for the
files. Pages are read by one thread on both sides. Files are read as the pipeline does it, several
at a time while the main thread writes; the bare reader has threads of its own for each file. MB
are those of the unpacked text; medians.
"""

from __future__ import annotations

import datetime as dt
import gzip
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import common
import option_server
import orjson
import pyarrow as pa
import pyarrow.csv as pc_csv
from option_server import OPTIONS

from pipeline.api.bulk import download, list_files, read_csv
from pipeline.api.decode.page_decoder import Decoder
from pipeline.api.decode.row_checks import days_of, ordered
from pipeline.cache.parts import Day
from pipeline.cache.snapshots import SnapshotStore

START, END = dt.date(2024, 1, 4), dt.date(2024, 12, 30)
ONE_MONTH = dt.date(2024, 1, 31)
STOCKS = 4000  # strikes are as dense as on the real exchange
_FILES_AT_ONCE = os.cpu_count() or 1
_NOW = "2024-02-05T08:00:00+09:00"


def main() -> int:
    options = common.parser("MB/s from bytes into a checked snapshot part on disk.")
    options.add_argument("--runs", type=int, default=9, help="of each measurement (default 9)")
    args = options.parse_args()
    with common.work_folder(args.work) as work:
        pages, files = _material(work)
        page_mb = sum(map(len, pages)) / 1e6
        file_mb = sum(len(gzip.decompress(file.read_bytes())) for file in files) / 1e6
        print(f"{len(pages)} pages, {page_mb:.1f} MB; {len(files)} files, {file_mb:.1f} MB")
        json_s = _in_turn(
            args.runs,
            [
                lambda: _load(pages),
                lambda: _decode(pages),
                lambda: _store(_decode(pages), work, "requests"),
            ],
        )
        csv_s = _in_turn(
            args.runs,
            [
                lambda: [pc_csv.read_csv(file) for file in files],
                lambda: [read_csv(file, OPTIONS) for file in files],
                lambda: _ingest_files(files, work),
            ],
        )
    for kind, bare, size_mb, seconds in (
        ("JSON", "orjson.loads", page_mb, json_s),
        ("CSV.gz", "pyarrow.csv", file_mb, csv_s),
    ):
        rates = [f"{size_mb / value:.0f}" for value in seconds]
        print(f"{kind}: {bare} {rates[0]} MB/s; to tables {rates[1]}; to disk {rates[2]}")
    # Pages have no goal of their own: what counts is the whole fetch (fetch_options.py).
    met = common.ratio("ingest_bulk_vs_pyarrow_csv", csv_s[0] / csv_s[2], ">=", 0.6)
    return 0 if met else 1


def _material(work: Path) -> tuple[list[bytes], list[Path]]:
    """The pages of the first month, and the bulk files of all."""
    with option_server.serving(START, END, stocks=STOCKS) as url:
        days = option_server.sessions_of(url, START, ONE_MONTH)
        pages = [gzip.decompress(body) for body in option_server.bodies(url, days, 2)]
        option_server.render_files(url, START, END)
        with option_server.connected(url, 1) as session:
            listed = list_files(session, OPTIONS, START, END)
            files = [work / f"{file.period}.csv.gz" for file in listed]
            for file, path in zip(listed, files, strict=True):
                download(session, file, path)
    if not _decode(pages).equals(read_csv(files[0], OPTIONS)):
        raise SystemExit("pages and bulk file differ: nothing to compare")
    return pages, files


def _in_turn(runs: int, actions: Sequence[Callable[[], object]]) -> list[float]:
    """Median seconds of each action; all are run before any is run again."""
    seconds: list[list[float]] = [[] for _ in actions]
    for _ in range(runs + 1):
        for place, action in enumerate(actions):
            began = time.perf_counter()
            action()
            seconds[place].append(time.perf_counter() - began)
    return [statistics.median(values[1:]) for values in seconds]  # the first one warms up


def _load(pages: Sequence[bytes]) -> None:
    for page in pages:
        orjson.loads(page)


def _decode(pages: Sequence[bytes]) -> pa.Table:
    decoder = Decoder(OPTIONS)
    days = [ordered(decoder.table(decoder.parse(page)["data"], {}), OPTIONS) for page in pages]
    return ordered(pa.concat_tables(days), OPTIONS)


def _ingest_files(files: Sequence[Path], work: Path) -> None:
    with ThreadPoolExecutor(_FILES_AT_ONCE) as pool:
        for table in pool.map(lambda file: read_csv(file, OPTIONS), files):
            _store(table, work, "bulk")


def _store(table: pa.Table, work: Path, route: str) -> None:
    days = [
        Day(date=str(day), rows=rows.num_rows, arrived=_NOW, checked=_NOW)
        for day, rows in days_of(table, OPTIONS).items()
    ]
    with tempfile.TemporaryDirectory(dir=work) as folder:
        store = SnapshotStore(Path(folder), "simulator")
        store.add(OPTIONS.source, "2024-01", days, table, fetched_at=_NOW, route=route)


if __name__ == "__main__":
    sys.exit(main())
