"""One more session on a full-market quarter: from warm snapshots to a merged, labelled dataset.

    python benchmarks/daily.py [--work FOLDER]

1. A simulated market is fetched over HTTP and its quarter built, once: the snapshots are complete
   and the kernels compiled. With --work they are kept for the next time.
2. The quarter is built, merged and labelled up to the day before, and put aside.
3. From there ``luigi --module pipeline BuildAll`` of ``g5 run incremental`` adds the last session,
   several times; the median counts. Nothing is fetched. The clock runs from the start of the
   command, a process for each step, until the labels of the merged dataset are published; after
   that comes the report, told apart. Memory is that of all its processes.
4. The chunk is built as a whole, and must have the same bytes.
"""

from __future__ import annotations

import os
import shutil
import statistics
import sys
import time
from pathlib import Path

import common

from pipeline.dataset.chunk_store import ChunkStore

STOCKS = 4000
CHUNK, START, YESTERDAY, END = "2024Q2", "2024-04-01", "2024-06-27", "2024-06-28"

_PRODUCTS = ("chunks", "datasets", "labels", "validation")
_LATEST = ("ml_dataset_latest_full.parquet", "ml_dataset_latest_metadata.json")


def main() -> int:
    options = common.parser("Add one session to a quarter of a 4,000-stock market.")
    options.add_argument("--runs", type=int, default=3, help="measured runs (default 3)")
    options.add_argument("--stocks", type=int, default=STOCKS, help="market size (default 4000)")
    args = options.parse_args()
    common.tell_machine()
    with common.work_folder(args.work) as work:
        root, aside = work / f"daily-{args.stocks}", work / f"daily-{args.stocks}-yesterday"
        common.simulated(root, stocks=args.stocks, start=START, end=END)
        _build_until_yesterday(root)
        _copy(root, aside)
        runs = [_one_more_session(aside, root) for _ in range(args.runs)]
        added = ChunkStore(root).read_status(CHUNK)
        whole = common.build_chunk(root, CHUNK)
        print(f"the quarter as a whole: {_told(whole)}", flush=True)
        if ChunkStore(root).read_status(CHUNK)["parquet_sha256"] != added["parquet_sha256"]:
            raise SystemExit("the chunk that grew is another one than the one built as a whole")
    labelled_s = statistics.median(labelled for _, labelled in runs)
    peak = max(usage.peak_bytes for usage, _ in runs)
    print(f"{added['rows']:,} rows, {added['parquet_bytes'] / 2**20:,.0f} MiB, same bytes")
    met = [
        common.ratio("daily_s", labelled_s, "<=", 30),
        common.ratio("daily_peak_gib", peak / common.GIB, "<=", 4),
    ]
    return 0 if all(met) else 1


def _build_until_yesterday(root: Path) -> None:
    """The quarter without its last session, and nothing else: chunk, dataset, labels."""
    _remove(root)
    usage = common.measure(common.task("BuildAll", start=START, end=YESTERDAY), _cached(root))
    print(f"up to {YESTERDAY}: {_told(usage)}", flush=True)


def _one_more_session(aside: Path, root: Path) -> tuple[common.Usage, float]:
    """What the whole run took, and the seconds until the dataset was there with its labels."""
    _remove(root)
    _copy(aside, root)
    os.sync()  # what was written before is not this run's
    command = [*common.task("BuildAll", start=START, end=END), "--latest-only"]
    began = time.time()
    usage = common.measure(command, _cached(root))
    labelled_s = (root / "labels" / "labels.json").stat().st_mtime - began
    print(f"one more session: labelled after {labelled_s:.1f} s; {_told(usage)}", flush=True)
    return usage, labelled_s


def _cached(root: Path) -> dict[str, str]:
    return common.offline(root) | {"SOURCE_CACHE_MODE": "read"}


def _told(usage: common.Usage) -> str:
    return (
        f"{usage.wall_s:.1f} s, {usage.cpu_s:.1f} s of processor time, "
        f"{usage.peak_bytes / common.GIB:.2f} GiB, {usage.largest_bytes / common.GIB:.2f} GiB in "
        "the largest process"
    )


def _remove(root: Path) -> None:
    for name in _PRODUCTS:
        shutil.rmtree(root / name, ignore_errors=True)
    for name in _LATEST:
        (root / name).unlink(missing_ok=True)


def _copy(source: Path, target: Path) -> None:
    """The products. Files are shared, not copied: nothing writes into one that is there."""
    target.mkdir(exist_ok=True)
    _remove(target)
    for name in _PRODUCTS:
        shutil.copytree(source / name, target / name, symlinks=True, copy_function=os.link)
    for name in _LATEST:
        shutil.copy2(source / name, target / name, follow_symlinks=False)


if __name__ == "__main__":
    sys.exit(main())
