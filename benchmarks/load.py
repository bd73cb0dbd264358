"""``pipeline.load`` of 20 columns x 1 year against a hand-written read by pyarrow.dataset.

    python benchmarks/load.py [--work FOLDER] [--runs 7]

Two datasets of 20 quarters, by the real chunk store and merge, features of normal noise with nulls;
the whole market with all columns would take 18 GB.

wide: 3,538 feature columns, 100 codes: what a footer of 60 row groups x 3,540 columns costs.
tall: 60 feature columns, 4,000 codes, 5 million rows: what decoding and filtering costs.

Both reads run in turn in this process, files in the page cache, and are compared pair by pair; they
must return the same rows. The figure is the worse of the two medians.
"""

from __future__ import annotations

import argparse
import datetime as dt
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import common
import merge
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

import pipeline
from pipeline.dataset.publication import DatasetStore

CHUNKS = 20
FIRST, LAST = dt.date(2023, 1, 1), dt.date(2023, 12, 31)
COLUMNS = [f"feature_{3 * i}" for i in range(20)]


@dataclass(frozen=True)
class Shape:
    """A dataset: feature columns, and codes on each of 21 days a month."""

    name: str
    columns: int
    codes: int

    @property
    def rows(self) -> int:
        """Of a chunk."""
        return self.codes * 21 * 3


SHAPES = (Shape("wide", 3538, 100), Shape("tall", 60, 4000))


def main() -> int:
    options = common.parser("Time pipeline.load against a hand-written read.")
    options.add_argument("--runs", type=int, default=7, help="pairs (default 7)")
    options.add_argument("--shapes", nargs="+", default=[shape.name for shape in SHAPES])
    args = options.parse_args()
    common.tell_machine()
    with common.work_folder(args.work) as work:
        worst = max(
            measured(work / f"load-{shape.name}", shape, args)
            for shape in SHAPES
            if shape.name in args.shapes
        )
    return 0 if common.ratio("load_vs_pyarrow", worst, "<=", 1.3) else 1


def measured(root: Path, shape: Shape, args: argparse.Namespace) -> float:
    """Median ratio of load to the hand-written read."""
    store = merge.prepare(root, CHUNKS, shape.columns, shape.rows, shape.codes)
    path = DatasetStore(root).merge(store, store.ids()).path
    merge.into_page_cache(path)

    def ours() -> pa.Table:
        table: pa.Table = pipeline.load(FIRST, LAST, columns=COLUMNS, root=root, format="arrow")
        return table

    def by_hand() -> pa.Table:
        days = (pc.field("Date") >= FIRST) & (pc.field("Date") <= LAST)
        return ds.dataset(path).to_table(columns=["Date", "Code", *COLUMNS], filter=days)

    def ours_in_pandas() -> object:
        return pipeline.load(FIRST, LAST, columns=COLUMNS, root=root)

    def by_hand_in_pandas() -> object:
        return by_hand().to_pandas()

    table = ours()
    same = table.replace_schema_metadata().equals(by_hand().replace_schema_metadata())
    if not same or not table.num_rows:
        raise SystemExit(f"{shape.name}: the two reads differ")
    print(
        f"{shape.name}: {CHUNKS * shape.rows:,} rows x {shape.columns + 2:,} columns, "
        f"{path.stat().st_size / 1e9:.1f} GB; {table.num_rows:,} rows x {table.num_columns} read"
    )
    result = paired("Arrow", ours, by_hand, args.runs)
    paired("pandas", ours_in_pandas, by_hand_in_pandas, args.runs)
    return result


def paired(what: str, ours: Callable[[], object], other: Callable[[], object], runs: int) -> float:
    """Median ratio of two ways that take turns, each first every other time."""
    times: dict[Callable[[], object], list[float]] = {ours: [], other: []}
    for run in range(runs):
        for way in (ours, other) if run % 2 else (other, ours):
            began = time.perf_counter()
            way()
            times[way].append(time.perf_counter() - began)
    ratios = [a / b for a, b in zip(times[ours], times[other], strict=True)]
    median = statistics.median(ratios)
    print(
        f"  {what}: load {statistics.median(times[ours]):.3f} s, by hand "
        f"{statistics.median(times[other]):.3f} s, ratio {median:.2f} "
        f"({min(ratios):.2f} to {max(ratios):.2f})",
        flush=True,
    )
    return median


if __name__ == "__main__":
    sys.exit(main())
