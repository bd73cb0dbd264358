"""BuildAll over five complete years that has nothing to do: what it costs to find that out.

    python benchmarks/noop.py [--work FOLDER]

1. A small simulated market is built for real, 20 quarters. With --work it is kept for the next
   time. The size of the market does not matter: a run that has nothing to do reads small files.
2. ``luigi --module pipeline BuildAll`` against ``import luigi`` in a fresh interpreter, in turn;
   medians. The figure is the difference of the two.
"""

from __future__ import annotations

import statistics
import sys

import common

STOCKS = 30
START, END = "2020-01-01", "2024-12-31"


def main() -> int:
    options = common.parser("Time a BuildAll over five complete years.")
    options.add_argument("--runs", type=int, default=7, help="of each command (default 7)")
    args = options.parse_args()
    common.tell_machine()
    with common.work_folder(args.work) as work:
        root = work / "noop"
        common.simulated(root, stocks=STOCKS, start=START, end=END)
        environment = common.offline(root)
        commands = {
            "import luigi": [sys.executable, "-c", "import luigi"],
            "luigi --help": common.luigi("--help"),
            "BuildAll": common.task("BuildAll", start=START, end=END),
        }
        before = common.products(root)
        seconds: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(args.runs + 1):
            for name, command in commands.items():
                seconds[name].append(common.measure(command, environment).wall_s)
        if common.products(root) != before:
            raise SystemExit(f"{root}: a run that had nothing to do changed chunks or datasets")
    medians = {name: statistics.median(times[1:]) for name, times in seconds.items()}
    for name, median in medians.items():
        print(f"{name:<16}{median:6.2f} s  ({min(seconds[name]):.2f} to {max(seconds[name]):.2f})")
    extra = medians["BuildAll"] - medians["import luigi"]
    return 0 if common.ratio("noop_extra_s", extra, "<=", 3) else 1


if __name__ == "__main__":
    sys.exit(main())
