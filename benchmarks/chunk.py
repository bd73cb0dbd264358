"""One quarter of a 4,000-stock market from warm snapshots: wall time and memory of its build.

    python benchmarks/chunk.py [--work FOLDER]

1. A simulated market is fetched over HTTP and the chunk built once: afterwards the snapshots
   are complete and the kernels compiled. With --work the snapshots are kept for the next time.
2. ``luigi --module pipeline BuildChunk`` builds it again, several times; the median counts.
   Wall time is that of the whole command, memory that of all its processes.
3. Once more in this process with stopwatches: where the time goes.
4. The newest month's rows as the build encodes them, and with pyarrow's ``write_table``.
5. The 105 columns of alpha158_rolling for this quarter, ours and in pandas, one thread each.
"""

from __future__ import annotations

import datetime as dt
import os
import statistics
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import common

from pipeline.dataset.chunk_store import ChunkStore

if TYPE_CHECKING:
    from pipeline.tasks import BuildChunk

STOCKS = 4000
CHUNK, START, END = "2024Q2", "2024-04-01", "2024-06-28"
SAMPLE = 200
LEAST_AGREEMENT = 0.999


def main() -> int:
    options = common.parser("Build one quarter of a 4,000-stock market from warm snapshots.")
    options.add_argument("--runs", type=int, default=3, help="measured builds (default 3)")
    args = options.parse_args()
    common.tell_machine()
    with common.work_folder(args.work) as work:
        root = work / "chunk"
        store = ChunkStore(root)
        store.request_rebuild([CHUNK], "benchmark: the kernels must be compiled")
        common.simulated(root, stocks=STOCKS, start=START, end=END)
        usages = [_build(root) for _ in range(args.runs)]
        wall_s = statistics.median(usage.wall_s for usage in usages)
        peak = max(usage.peak_bytes for usage in usages)
        _tell_size(store, wall_s)
        speed_up, encoding = _inside(root, store)
    met = [
        common.ratio("chunk_wall_s", wall_s, "<=", 90),
        common.ratio("chunk_peak_gib", peak / common.GIB, "<=", 4),
        common.ratio("chunk_vs_pandas", speed_up, ">=", 20),
        common.ratio("encode_vs_bare_pyarrow", encoding, "<=", 1),
    ]
    return 0 if all(met) else 1


def _build(root: Path) -> common.Usage:
    usage = common.build_chunk(root, CHUNK)
    print(
        f"build: {usage.wall_s:.1f} s, {usage.cpu_s:.1f} s of processor time, "
        f"{usage.peak_bytes / common.GIB:.2f} GiB, {usage.largest_bytes / common.GIB:.2f} GiB in "
        "the largest process",
        flush=True,
    )
    return usage


def _tell_size(store: ChunkStore, wall_s: float) -> None:
    metadata = store.metadata(CHUNK)
    columns = len(metadata["columns"]) - 2  # without the keys
    cells = metadata["rows"] * columns
    print(
        f"{metadata['rows']:,} rows x {columns:,} feature columns, "
        f"{store.read_status(CHUNK)['parquet_bytes'] / 2**20:,.0f} MiB: "
        f"{1e9 * wall_s / cells:.0f} ns per cell"
    )


def _inside(root: Path, store: ChunkStore) -> tuple[float, float]:
    """Print where the time goes.

    Returns:
        How many times faster than pandas the family is, and seconds of our encoding for one of
        bare pyarrow.
    """
    os.environ |= common.offline(root)
    import chunk_stages  # the settings must stand before the tasks are imported
    import versus_pandas
    import versus_pyarrow

    stages = chunk_stages.run(_task(store))
    print("\n".join(["stages of one build:", *stages.lines]), flush=True)
    encoding = versus_pyarrow.compare(stages.rows, root)
    print(encoding.line(), flush=True)
    result = versus_pandas.compare(stages.market, SAMPLE)
    print("\n".join(result.lines()), flush=True)
    if result.agreement < LEAST_AGREEMENT:
        raise SystemExit("the two do not compute the same columns: no comparison")
    return result.speed_up, encoding.ratio


def _task(store: ChunkStore) -> BuildChunk:
    from pipeline.tasks import BuildChunk

    texts = common.chunk_parameters(store, CHUNK)
    return BuildChunk(
        chunk=texts["chunk"],
        first=dt.date.fromisoformat(texts["first"]),
        last=dt.date.fromisoformat(texts["last"]),
        snapshot=texts["snapshot"],
    )


if __name__ == "__main__":
    sys.exit(main())
