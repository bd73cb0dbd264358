"""g5 check-chunks over eighty chunks with every column of the catalogue.

    python benchmarks/check_chunks.py [--work FOLDER]

1. Twenty years of quarters are written by the chunk store itself, three row groups each. They
   have a few rows only: a check reads footers, whose size goes by columns and row groups.
2. The command in a fresh interpreter, with all its imports; the median.
"""

from __future__ import annotations

import datetime as dt
import statistics
import sys

import common
import pyarrow as pa

from pipeline.dataset.chunk_store import BuildOrder, ChunkStore
from pipeline.features.engine import catalogue
from pipeline.market.calendar.periods import Period, periods_between
from pipeline.operations.planning import run_plan

FIRST, LAST = dt.date(2005, 1, 1), dt.date(2024, 12, 31)
ROWS = 4  # of each month


def main() -> int:
    options = common.parser("Time g5 check-chunks over eighty chunks.")
    options.add_argument("--runs", type=int, default=5, help="measured runs (default 5)")
    args = options.parse_args()
    common.tell_machine()
    with common.work_folder(args.work) as work:
        store = ChunkStore(work / "check")
        periods = periods_between(FIRST, LAST, 3)
        prepare(store, periods)
        command = [
            *(sys.executable, "-m", "pipeline.cli", "check-chunks", "--validate-schema"),
            *("--chunks-dir", str(store.folder)),
        ]
        environment = common.offline(work / "check")
        usages = [common.measure(command, environment) for _ in range(args.runs + 1)][1:]
    seconds = [usage.wall_s for usage in usages]
    median = statistics.median(seconds)
    processor = statistics.median(usage.cpu_s for usage in usages)
    columns = len(catalogue.column_schema())
    print(
        f"{len(periods)} chunks x {columns:,} columns: {median:.2f} s "
        f"({min(seconds):.2f} to {max(seconds):.2f}), {processor:.2f} s of processor time"
    )
    return 0 if common.ratio("check_chunks_s", median, "<=", 5) else 1


def prepare(store: ChunkStore, periods: list[Period]) -> None:
    """Write the chunks that are not there yet."""
    version = run_plan.load_manifest().version
    for period in periods:
        if store.parquet_path(period.chunk_id).exists():
            continue
        order = BuildOrder(
            chunk_id=period.chunk_id,
            origin="simulator",
            run_id="benchmark",
            code_version="benchmark",
            covered_from=period.first_day,
            covered_to=period.last_day,
            input_start=period.first_day,
            input_end=period.last_day,
            schema=catalogue.column_schema(),
            schema_version=version,
            inputs=(),
        )
        with store.build(order) as writer:
            for month in range(3):
                writer.write(rows(period.first_day.replace(month=period.first_day.month + month)))


def rows(day: dt.date) -> pa.Table:
    """A few rows of one day; what is in the features does not matter."""
    schema = catalogue.column_schema()
    keys = [pa.array([day] * ROWS), pa.array([f"{1301 + i}0" for i in range(ROWS)])]
    values = [pa.array([1] * ROWS).cast(field.type) for field in list(schema)[2:]]
    return pa.Table.from_arrays([*keys, *values], schema=schema)


if __name__ == "__main__":
    sys.exit(main())
