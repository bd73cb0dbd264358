"""How a build grows: with the number of stocks, and with the number of quarters.

    python benchmarks/scaling.py [--work FOLDER]

1. A simulated market of every size is fetched and built, one quarter of each, four of the
   largest. With --work they are kept for the next time; the first time takes more than an hour.
2. ``BuildChunk`` of one quarter from warm snapshots, in turn for all sizes.
3. ``BuildAll --force`` of the newest quarters of the largest market: snapshots read, chunks
   built, checked and merged, a process for each step. Memory is that of the largest process.

An exponent is the slope of the fitted line of log(wall time, median) on log(size); 1 is linear.
"""

from __future__ import annotations

import statistics
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import common
import numpy as np

STOCKS = (1000, 2000, 4000)
# The first day of as many quarters, which all end with END.
STARTS = {1: "2024-04-01", 2: "2024-01-04", 4: "2023-07-03"}
CHUNK, END = "2024Q2", "2024-06-28"

Usages = Mapping[int, Sequence[common.Usage]]  # by number of stocks or of quarters


def main() -> int:
    options = common.parser("Time and memory by number of stocks and of quarters.")
    options.add_argument("--runs", type=int, default=2, help="measured, of each (default 2)")
    options.add_argument("--stocks", type=int, nargs="+", default=STOCKS, help="market sizes")
    args = options.parse_args()
    common.tell_machine()
    with common.work_folder(args.work) as work:
        roots = {size: work / f"scaling-{size}" for size in sorted(args.stocks)}
        largest = max(roots)
        for size, root in roots.items():
            quarters = max(STARTS) if size == largest else min(STARTS)
            common.simulated(root, stocks=size, start=STARTS[quarters], end=END)
        # The first build of a range writes down which of the days that are there belong to it.
        for quarters in sorted(STARTS, reverse=True):
            _build_all(roots[largest], quarters)
        by_stocks = _in_turn(roots, args.runs, lambda n: common.build_chunk(roots[n], CHUNK))
        by_quarters = _in_turn(STARTS, args.runs, lambda n: _build_all(roots[largest], n))
    _tell("one quarter, stocks", by_stocks)
    _tell(f"{largest} stocks, quarters", by_quarters)
    peaks = {n: max(usage.largest_bytes for usage in runs) for n, runs in by_quarters.items()}
    met = [
        common.ratio("time_exponent_stocks", _exponent(by_stocks), "<=", 1.05),
        common.ratio("time_exponent_quarters", _exponent(by_quarters), "<=", 1.05),
        common.ratio("peak_4_vs_1", peaks[4] / peaks[1], "<=", 1.1),
    ]
    return 0 if all(met) else 1


def _build_all(root: Path, quarters: int) -> common.Usage:
    command = common.task("BuildAll", start=STARTS[quarters], end=END)
    return common.measure([*command, "--force"], common.offline(root))


def _in_turn(
    sizes: Iterable[int], runs: int, measured: Callable[[int], common.Usage]
) -> dict[int, list[common.Usage]]:
    """All sizes, then all again: what else the machine does meets each of them alike."""
    usages: dict[int, list[common.Usage]] = defaultdict(list)
    for _ in range(runs):
        for size in sizes:
            usages[size].append(measured(size))
    return usages


def _exponent(usages: Usages) -> float:
    walls = [_wall_s(runs) for runs in usages.values()]
    return float(np.polyfit(np.log(list(usages)), np.log(walls), 1)[0])


def _wall_s(runs: Sequence[common.Usage]) -> float:
    return statistics.median(usage.wall_s for usage in runs)


def _tell(what: str, usages: Usages) -> None:
    for size, runs in usages.items():
        cpu_s = statistics.median(usage.cpu_s for usage in runs)
        largest = max(usage.largest_bytes for usage in runs)
        print(
            f"{what} {size}: {_wall_s(runs):.1f} s, {cpu_s:.1f} s of processor time, "
            f"largest process {largest / common.GIB:.2f} GiB",
            flush=True,
        )


if __name__ == "__main__":
    sys.exit(main())
