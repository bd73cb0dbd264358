"""The merge of chunks against a copy of the same bytes, and against libraries that re-encode them.

    python benchmarks/merge.py [--work FOLDER] [--chunks 3] [--columns 2788] [--rows 60000]

1. Chunks are written by the chunk store: three months each, features of normal noise with nulls.
2. Each way in a process of its own: the clock runs around the work alone, the new file forced to
   disk, and the peak of memory counts everything. All read from the page cache: before each way
   the chunks are read once.
3. Medians; the order of the ways changes from round to round.

``merge`` is ``DatasetStore.merge`` as a whole: checks, copy, footer, metadata, hash and links.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import random
import shutil
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import common
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import manifest
from pipeline.cli.terminal.options import whole
from pipeline.dataset.chunk_store import BuildOrder, ChunkStore
from pipeline.dataset.parquet.splice import copy_range
from pipeline.dataset.publication import DatasetStore
from pipeline.market.calendar.periods import Period, periods_between

FIRST = dt.date(2020, 1, 1)
CODES = 1000
MOST_ROWS = 3 * 28 * CODES  # the sessions of a month are days of it
MIB = 2**20
LIBRARIES = ("pyarrow", "polars", "duckdb")


def main() -> int:
    args = options()
    if args.way:
        args.report.write_text(f"{timed(args.way, args.work)} {common.own_peak_bytes()}")
        return 0
    common.tell_machine()
    with common.work_folder(args.work) as work:
        root = work / f"merge-{args.chunks}-{args.columns}-{args.rows}"
        store = prepare(root, args.chunks, args.columns, args.rows)
        size = sum(path.stat().st_size for path in files(store))
        print(f"{args.chunks} chunks x {args.columns:,} columns, {size / 1e6:,.0f} MB", flush=True)
        seconds, peaks = rounds(root, args.runs)
    speed = {way: size / 1e6 / statistics.median(values) for way, values in seconds.items()}
    for way, values in seconds.items():
        spread = f"{size / 1e6 / max(values):,.0f} to {size / 1e6 / min(values):,.0f}"
        print(f"{way:8} {speed[way]:6,.0f} MB/s ({spread}), {peaks[way] / MIB:,.0f} MiB")
    best = max(speed[way] for way in LIBRARIES)
    met = [
        common.ratio("merge_vs_copy", speed["merge"] / speed["copy"], ">=", 0.6),
        common.ratio("merge_vs_best_library", speed["merge"] / best, ">=", 2),
        common.ratio("merge_peak_mib", peaks["merge"] / MIB, "<=", 300),
    ]
    return 0 if all(met) else 1


def options() -> argparse.Namespace:
    parser = common.parser("Time the merge of chunks.")
    parser.add_argument("--runs", type=whole(1, 1000), default=3, help="rounds (default 3)")
    parser.add_argument(
        "--chunks", type=whole(1, 400), default=3, help="number of quarters (default 3)"
    )
    parser.add_argument(
        "--columns", type=whole(1, 100_000), default=2788, help="features (default 2788)"
    )
    parser.add_argument(
        "--rows", type=whole(3, MOST_ROWS), default=60_000, help="of a chunk (default 60000)"
    )
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--report", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def rounds(root: Path, runs: int) -> tuple[dict[str, list[float]], dict[str, int]]:
    """Seconds of each run of each way, and the largest peak of memory."""
    seconds: dict[str, list[float]] = defaultdict(list)
    peaks: dict[str, int] = defaultdict(int)
    order = random.Random(0)
    report = root / "report.txt"
    for _ in range(runs):
        for way in order.sample(list(WAYS), len(WAYS)):
            for path in files(ChunkStore(root)):
                into_page_cache(path)
            command = [sys.executable, __file__, "--way", way, "--work", str(root)]
            common.measure([*command, "--report", str(report)], dict(os.environ))
            took, peak = report.read_text().split()
            seconds[way].append(float(took))
            peaks[way] = max(peaks[way], int(peak))
    return seconds, peaks


def timed(way: str, root: Path) -> float:
    """Seconds that one way takes; what it wrote is removed."""
    out = root / "out"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    work = WAYS[way](ChunkStore(root), out)
    began = time.perf_counter()
    work()
    took = time.perf_counter() - began
    shutil.rmtree(out)
    return took


def by_copy(store: ChunkStore, out: Path) -> Callable[[], None]:
    def work() -> None:
        with (out / "copy").open("wb") as target:
            at = 0
            for path in files(store):
                with path.open("rb") as source:
                    length, done = path.stat().st_size, 0
                    while done < length:
                        piece = min(64 * MIB, length - done)
                        done += copy_range(source.fileno(), target.fileno(), piece, done, at + done)
                at += length
        to_disk(out / "copy")

    return work


def by_merge(store: ChunkStore, out: Path) -> Callable[[], None]:
    return lambda: (DatasetStore(out).merge(store, store.ids()), None)[1]


def by_pyarrow(store: ChunkStore, out: Path) -> Callable[[], None]:
    def work() -> None:
        sources = files(store)
        target = out / "pyarrow.parquet"
        fast = {"compression": "zstd", "compression_level": 1, "use_dictionary": False}
        with pq.ParquetWriter(target, pq.read_schema(sources[0]), **fast) as writer:
            for path in sources:
                with pq.ParquetFile(path) as file:
                    for group in range(file.num_row_groups):
                        writer.write_table(file.read_row_group(group))
        to_disk(target)

    return work


def by_polars(store: ChunkStore, out: Path) -> Callable[[], None]:
    import polars as pl

    def work() -> None:
        target = out / "polars.parquet"
        frame = pl.scan_parquet(files(store))
        frame.sink_parquet(target, compression="zstd", compression_level=1)
        to_disk(target)

    return work


def by_duckdb(store: ChunkStore, out: Path) -> Callable[[], None]:
    import duckdb

    def work() -> None:
        target = out / "duckdb.parquet"
        paths = [str(path) for path in files(store)]
        with duckdb.connect() as connection:
            connection.execute(
                f"COPY (SELECT * FROM read_parquet({paths})) TO '{target}' "
                f"(FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)"
            )
        to_disk(target)

    return work


WAYS: dict[str, Callable[[ChunkStore, Path], Callable[[], None]]] = {
    "copy": by_copy,
    "merge": by_merge,
    "pyarrow": by_pyarrow,
    "polars": by_polars,
    "duckdb": by_duckdb,
}


def files(store: ChunkStore) -> list[Path]:
    return [store.parquet_path(chunk_id) for chunk_id in store.ids()]


def into_page_cache(path: Path) -> None:
    buffer = bytearray(MIB)
    with path.open("rb", buffering=0) as file:
        while file.readinto(buffer):
            pass


def to_disk(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def prepare(root: Path, chunks: int, columns: int, rows: int, codes: int = CODES) -> ChunkStore:
    """Write the chunks that are not there yet."""
    store = ChunkStore(root)
    last = FIRST.replace(year=FIRST.year + (chunks - 1) // 4, month=12, day=31)
    features = [manifest.Column(f"feature_{i}", "Float32") for i in range(columns)]
    keys = [
        manifest.Column("Date", "Date", role="key"),
        manifest.Column("Code", "String", role="key"),
    ]
    schema = manifest.arrow_schema([*keys, *features], "1.0.0")
    for period in periods_between(FIRST, last, 3)[:chunks]:
        if not store.parquet_path(period.chunk_id).exists():
            write(store, period, schema, rows // 3, codes)
    return store


def write(store: ChunkStore, period: Period, schema: pa.Schema, rows: int, codes: int) -> None:
    order = BuildOrder(
        chunk_id=period.chunk_id,
        origin="simulator",
        run_id="benchmark",
        code_version="benchmark",
        covered_from=period.first_day,
        covered_to=period.last_day,
        input_start=period.first_day,
        input_end=period.last_day,
        schema=schema,
        schema_version="1.0.0",
        inputs=(),
    )
    with store.build(order) as writer:
        for month in range(3):
            first = period.first_day.replace(month=period.first_day.month + month)
            writer.write(noise(first, schema, rows, codes))


def noise(first: dt.date, schema: pa.Schema, rows: int, codes: int) -> pa.Table:
    """Sessions of a month with the same codes on each; one value in ten is null."""
    random_numbers = np.random.default_rng(first.toordinal())
    at = np.arange(rows)
    days = np.datetime64(first) + (at // codes).astype("timedelta64[D]")
    names = [f"{1000 + i % codes}0" for i in range(rows)]
    columns: list[pa.Array] = [pa.array(days), pa.array(names)]
    for _ in range(len(schema) - 2):
        values = random_numbers.standard_normal(rows, dtype=np.float32)
        columns.append(pa.array(values, mask=random_numbers.random(rows) < 0.1))
    return pa.Table.from_arrays(columns, schema=schema)


if __name__ == "__main__":
    sys.exit(main())
