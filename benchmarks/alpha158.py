"""qlib's Alpha158 set on identical bars: pyqlib against our columns, seconds and values.

    python benchmarks/alpha158.py [--work FOLDER]

1. pyqlib is installed into an environment of its own, ``.venv-qlib`` of the repository: 1.4 GB
   and some minutes, once.
2. Bars of 400 stocks over 460 days, without gaps, are written in qlib's format and as Parquet,
   float32 in both.
3. In turn, several times: qlib with its own expressions, engine and files, on 2 processes and on
   one; ours from the Parquet file to the same 158 columns, with 2 threads and with one. Neither
   is charged for imports or compilation. Medians count.
4. Values are compared from the day on which every window is full; before it qlib makes values of
   shorter windows where we say null. The other two differences stay in: the 1e-12 that qlib adds
   to denominators, and the 1 under the logarithm of CORR, are too small to matter here. qlib
   computes its parts in float32, so values count as equal within 1e-4 relative, or 1e-5 absolute
   for those that are differences of nearly equal numbers.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import common
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from alpha158_ours import RECIPES, WINDOWS, alpha158

STOCKS, DAYS = 400, 460
REQUIREMENT = "pyqlib == 0.9.7"
ENVIRONMENT = Path(__file__).parents[1] / ".venv-qlib"
WORKERS = (2, 1)  # qlib's processes, our threads
RELATIVE, ABSOLUTE = 1e-4, 1e-5
LEAST_AGREEMENT = 0.9999
SHOWN = 6  # columns, the farthest apart first

Bars = dict[str, np.ndarray]


@dataclass(frozen=True)
class Run:
    """Seconds of one pass, with the values: (columns, codes, days)."""

    wall_s: float
    cpu_s: float
    values: np.ndarray


def main() -> int:
    options = common.parser("Alpha158 with pyqlib and with our columns, on identical bars.")
    options.add_argument("--runs", type=int, default=3, help="of each (default 3)")
    options.add_argument("--stocks", type=int, default=STOCKS, help=f"(default {STOCKS})")
    args = options.parse_args()
    python = _qlib_python()
    common.tell_machine()
    with common.work_folder(args.work) as work:
        folder = work / "alpha158"
        days, bars = _random_bars(args.stocks)
        _write_for_qlib(folder / "qlib", days, bars)
        _write_for_us(folder / "bars.parquet", days, bars)
        alpha158(folder / "bars.parquet", WORKERS[0])  # compiles the kernels
        runs: dict[tuple[str, int], list[Run]] = defaultdict(list)
        for _ in range(args.runs):
            for workers in WORKERS:
                runs["qlib", workers].append(_theirs(python, folder, workers))
                runs["ours", workers].append(_ours(folder / "bars.parquet", workers))
    ratios = [_tell_speed(runs["qlib", n], runs["ours", n], n) for n in WORKERS]
    agreement = _tell_values(runs["qlib", 2][-1].values, runs["ours", 2][-1].values)
    met = [
        common.ratio("alpha158_vs_qlib", ratios[0], ">=", 25),
        common.ratio("alpha158_vs_qlib_one_thread", ratios[1], ">=", 25),
        common.ratio("alpha158_equal_values_percent", 100 * agreement, ">=", 100 * LEAST_AGREEMENT),
    ]
    return 0 if all(met) else 1


def _qlib_python() -> Path:
    """The interpreter of qlib's environment, made the first time.

    Raises:
        SystemExit: it could not be installed; there is no comparison without it.
    """
    python, made = ENVIRONMENT / "bin/python", ENVIRONMENT / "made.txt"
    wanted = f"{REQUIREMENT}, Python {sys.version}"
    if made.exists() and made.read_text() == wanted:
        return python
    print(f"installing {REQUIREMENT} into {ENVIRONMENT} ...", flush=True)
    pip = [python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    try:
        subprocess.run([sys.executable, "-m", "venv", "--clear", ENVIRONMENT], check=True)
        subprocess.run([*pip, REQUIREMENT], check=True)
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"{REQUIREMENT} could not be installed: no comparison") from error
    made.write_text(wanted)
    return python


def _random_bars(stocks: int) -> tuple[np.ndarray, Bars]:
    """Weekdays, and random walks on a tick of 1 yen: (stocks, days), exact in float32."""
    rng = np.random.default_rng(158)
    shape = (stocks, DAYS)
    weekdays = np.arange("2022-01-03", "2026-01-01", dtype="datetime64[D]")
    close = np.exp(np.log(1500.0) + np.cumsum(rng.normal(0.0, 0.02, shape), axis=1))
    opened = close * np.exp(rng.normal(0.0, 0.01, shape))
    high = np.maximum(opened, close) * np.exp(np.abs(rng.normal(0.0, 0.008, shape)))
    low = np.minimum(opened, close) * np.exp(-np.abs(rng.normal(0.0, 0.008, shape)))
    prices = {"open": opened, "high": high, "low": low, "close": close}
    bars = {name: np.maximum(np.round(x), 1.0) for name, x in prices.items()}
    bars["volume"] = 100.0 * np.round(rng.lognormal(8.0, 0.8, shape) + 10.0)
    bars["vwap"] = (bars["high"] + bars["low"] + bars["close"]) / 3.0
    exact = {name: x.astype(np.float32) for name, x in bars.items()}
    return weekdays[np.is_busday(weekdays)][:DAYS], exact


def _codes(bars: Bars) -> list[str]:
    return [f"{1000 + i}0" for i in range(bars["close"].shape[0])]


def _write_for_qlib(store: Path, days: np.ndarray, bars: Bars) -> None:
    """A folder as qlib keeps it: calendar, instruments, a file per instrument and field.

    A field's file holds the position of its first day in the calendar, then the values.
    """
    for folder in ("calendars", "instruments"):
        (store / folder).mkdir(parents=True, exist_ok=True)
    (store / "calendars/day.txt").write_text("".join(f"{day}\n" for day in days))
    spans = [f"{code}\t{days[0]}\t{days[-1]}\n" for code in _codes(bars)]
    (store / "instruments/all.txt").write_text("".join(spans))
    for i, code in enumerate(_codes(bars)):
        folder = store / "features" / code
        folder.mkdir(parents=True, exist_ok=True)
        for name, values in bars.items():
            np.append(np.float32(0), values[i]).astype("<f4").tofile(folder / f"{name}.day.bin")


def _write_for_us(path: Path, days: np.ndarray, bars: Bars) -> None:
    keys = {
        "code": np.repeat(_codes(bars), days.size),
        "date": np.tile(days, len(_codes(bars))),
    }
    pq.write_table(pa.table(keys | {name: x.ravel() for name, x in bars.items()}), path)


def _theirs(python: Path, folder: Path, processes: int) -> Run:
    script = Path(__file__).with_name("alpha158_qlib.py")
    values = folder / "qlib_values.npy"
    done = subprocess.run(
        [python, script, folder / "qlib", str(processes), values],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    report = json.loads(done.stdout.splitlines()[-1])
    versions = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
    print(f"{versions}: {processes} processes, {report['wall_s']:.1f} s", flush=True)
    order = [report["names"].index(name) for name in RECIPES]
    assert len(order) == len(report["names"])
    return Run(report["wall_s"], report["cpu_s"], np.moveaxis(np.load(values), 2, 0)[order])


def _ours(bars: Path, threads: int) -> Run:
    cpu_s, began = time.process_time(), time.perf_counter()
    values = alpha158(bars, threads)
    wall_s = time.perf_counter() - began
    print(f"ours: {threads} threads, {wall_s:.2f} s", flush=True)
    return Run(wall_s, time.process_time() - cpu_s, values)


def _tell_speed(theirs: list[Run], ours: list[Run], workers: int) -> float:
    """Print the medians; returns how many times faster ours is by the clock."""
    qlib_s, our_s = (statistics.median(run.wall_s for run in runs) for runs in (theirs, ours))
    qlib_cpu_s, our_cpu_s = (
        statistics.median(run.cpu_s for run in runs) for runs in (theirs, ours)
    )
    shape = ours[0].values.shape
    print(
        f"{shape[0]} columns, {shape[1]} stocks x {shape[2]} days, {workers} at a time: "
        f"qlib {qlib_s:.1f} s ({qlib_cpu_s:.1f} s of processor time), "
        f"ours {our_s:.2f} s ({our_cpu_s:.2f} s): {qlib_s / our_s:.0f} times faster, "
        f"{qlib_cpu_s / our_cpu_s:.0f} times by processor time"
    )
    return qlib_s / our_s


def _tell_values(theirs: np.ndarray, ours: np.ndarray) -> float:
    """Print how far the values are apart; returns the share that is equal."""
    full = np.s_[:, :, max(WINDOWS) :]
    theirs, ours = theirs[full], ours[full]
    both = ~np.isnan(theirs) & ~np.isnan(ours)
    error = np.where(both, np.abs(ours - theirs), 0.0)
    size = np.where(both, np.abs(theirs), 0.0)
    equal = both & (error <= RELATIVE * size + ABSOLUTE)
    agreement = float(equal.sum() / both.sum())
    print(
        f"values: {both.sum():,} of {both.size:,} defined in both, "
        f"{np.isnan(ours).sum():,} null in ours, {np.isnan(theirs).sum():,} in qlib; "
        f"{100 * agreement:.4f} % equal within {RELATIVE:g} relative or {ABSOLUTE:g}, "
        f"all but {(both & ~equal).sum():,}"
    )
    share = (error / (RELATIVE * size + ABSOLUTE)).max(axis=(1, 2))
    for i in np.argsort(-share)[:SHOWN]:
        name, largest = list(RECIPES)[i], error[i].max()
        print(f"  {name:<8} largest difference {largest:.1e}, {share[i]:.2f} of what is allowed")
    return agreement


if __name__ == "__main__":
    sys.exit(main())
