"""Twenty years of 4,000 stocks on many hosts: how long, what holds it up, what it needs.

    python benchmarks/scale_model.py [--work FOLDER] [--units FILE] [--store-mb-s N]

1. Unit costs: a quarter and its months of prepared markets are built from warm snapshots, then
   gate, merge, labels and report; the planner counts requests; a probe file times the disk. With
   --work, the markets that ``benchmarks/scaling.py --work`` prepared in the same folder are used
   and only read. Without any, two small ones are made and the laws carried on to the size asked
   for, which is said. --units keeps what was measured, and reads it the next time.
2. luigid answers 1 to 64 clients.
3. Predicted time on 1, 4, 16 and 64 hosts, part by part, with the longest part named; then what a
   host and the store must have, and what the store costs.
4. A simulated cluster: real luigid, real workers, the chunks a sleep on a scaled clock. Its
   efficiency is the time of the sleeps, shared out evenly, for the time it took.

The output lies in one store that all hosts share, by default as fast as the disk of this machine;
--store-mb-s and --host-mb-s say what an object store gives to all of them and to one.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

import common
import scale_cluster
import scale_scheduler
import scale_tables
import scale_units
from scale_cluster import Run
from scale_prediction import Cluster, Prediction, predict
from scale_scheduler import Answers
from scale_tables import Build, Calls
from scale_units import Units

from pipeline.api.catalogue.plans import PLANS

STOCKS, YEARS = 4000, 20
MONTHS = (3, 1)
HOSTS = (1, 4, 16, 64)
SMALL = (300, 600)
SOURCES = 15

_QUICKEST_CHUNK_S = 1.0  # on the scaled clock: shorter, and calls would weigh as much as work
_SECONDS = 5.0  # of each number of clients
_MB = 1e6


def main() -> int:
    args = options()
    common.tell_machine()
    with common.work_folder(None) as scratch:
        units = _units(args, scratch)
        _tell(units, args.stocks)
        answers = [
            scale_scheduler.measure(
                scratch / f"clients-{clients}", clients, args.years * 12, SOURCES, _SECONDS
            )
            for clients in HOSTS
        ]
        print("\n".join(one.line() for one in answers), flush=True)
        builds = [Build(args.stocks, args.years, months, args.plan) for months in MONTHS]
        predictions = {
            build.months: [_predicted(args, units, build, answers, n) for n in HOSTS]
            for build in builds
        }
        _tell_tables(args, units, builds, predictions)
        chunk_s = scale_tables.needs_of(units, builds[-1]).chunk_s
        runs = (
            [] if args.no_cluster else [_run(args, builds[-1], n, chunk_s, scratch) for n in HOSTS]
        )
    needed = predictions[MONTHS[-1]][-1].calls_per_s
    met = [
        common.ratio("law_misfit", units.misfit("wall_s"), "<=", 0.15),
        common.ratio("scheduler_headroom_64", answers[-1].per_s / needed, ">=", 2),
        *(met for run in runs if run.workers == 16 for met in _judged(run)),
    ]
    return 0 if all(met) else 1


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Predict the time of a build on many hosts.")
    parser.add_argument("--work", type=Path, help="folder with scaling-N; they are only read")
    parser.add_argument("--units", type=Path, help="unit costs: read, or written if not there")
    parser.add_argument("--runs", type=int, default=1, help="builds of each chunk (default 1)")
    parser.add_argument("--stocks", type=int, default=STOCKS, help=f"(default {STOCKS})")
    parser.add_argument("--years", type=int, default=YEARS, help=f"(default {YEARS})")
    parser.add_argument("--plan", choices=PLANS, default="premium", help="(default premium)")
    parser.add_argument("--cores", type=int, default=2, help="of a host (default 2)")
    parser.add_argument("--memory-gib", type=float, default=8.0, help="of a host (default 8)")
    parser.add_argument("--store-mb-s", type=float, help="of the store, for all hosts together")
    parser.add_argument("--host-mb-s", type=float, help="one host gets at most (default: all)")
    parser.add_argument("--price-gb-month", type=float, default=0.023, help="$ (default 0.023)")
    parser.add_argument(
        "--price-1000-requests", type=float, default=0.005, help="$ (default 0.005)"
    )
    parser.add_argument(
        "--cluster-s", type=float, default=120.0, help="ideal time of a simulated run (default 120)"
    )
    parser.add_argument("--no-cluster", action="store_true", help="without the simulated cluster")
    return parser.parse_args()


def _units(args: argparse.Namespace, scratch: Path) -> Units:
    """Measured before, or now."""
    if args.units and args.units.exists():
        return Units.from_json(args.units.read_text())
    markets = scale_units.markets_in(args.work) if args.work else {}
    if len(markets) < 2:
        markets = scale_units.prepare(args.work or scratch, SMALL)
    units = scale_units.measure(markets, scratch, args.runs)
    if args.units:
        args.units.write_text(units.to_json())
    return units


def _tell(units: Units, stocks: int) -> None:
    largest = max(units.stocks)
    if largest < stocks:
        print(f"EXTRAPOLATED: measured on {units.stocks} stocks, carried on to {stocks:,}")
    print(f"{'a chunk':16}{'fixed':>14}{'a stock':>14}{'a row':>14}{'misfit':>8}")
    for what, unit in (
        ("wall_s", "s"),
        ("cpu_s", "s"),
        ("peak_bytes", "B"),
        ("bytes", "B"),
    ):
        law = units.law_of(what)
        terms = "".join(f"{term:14,.4g}" for term in (law.fixed, law.per_stock, law.per_row))
        print(f"{f'{what} ({unit})':16}{terms}{units.misfit(what):8.1%}")
    fixed, a_year = units.requests
    print(
        f"{fixed:.0f} requests and {a_year:.0f} for every year; merge "
        f"{units.merge_bytes_s / _MB:.0f} MB/s; start of a command {units.start_s:.2f} s, of a "
        f"task process {units.task_start_s:.2f} s; disk {units.disk_bytes_s / _MB:.0f} MB/s",
        flush=True,
    )


def _predicted(
    args: argparse.Namespace, units: Units, build: Build, answers: Sequence[Answers], hosts: int
) -> Prediction:
    store_bytes_s = args.store_mb_s * _MB if args.store_mb_s else units.disk_bytes_s
    cluster = Cluster(
        hosts=hosts,
        cores=args.cores,
        memory_bytes=args.memory_gib * common.GIB,
        store_bytes_s=store_bytes_s,
        host_bytes_s=args.host_mb_s * _MB if args.host_mb_s else store_bytes_s,
    )
    calls = Calls(
        of_chunk=scale_cluster.calls_of_chunk(_steps(build)),
        call_s=statistics.mean(answers[0].median_s.values()),
        per_s=answers[-1].per_s,
        ping_s=scale_cluster.PING_S,
        pickup_s=scale_cluster.WAIT_S + scale_cluster.JITTER_S / 2,
    )
    try:
        return predict(scale_tables.work_of(units, build, calls), cluster)
    except ValueError as error:
        raise SystemExit(str(error)) from None


def _steps(build: Build) -> int:
    """That a chunk tells luigid of: its base columns and its months."""
    return 1 + build.months


def _tell_tables(
    args: argparse.Namespace,
    units: Units,
    builds: Sequence[Build],
    predictions: dict[int, list[Prediction]],
) -> None:
    store = f"{args.store_mb_s or units.disk_bytes_s / _MB:,.0f} MB/s together"
    host = f", {args.host_mb_s:,.0f} MB/s one host" if args.host_mb_s else ""
    print(
        f"\n{args.years} years x {args.stocks:,} stocks; hosts of {args.cores} cores and "
        f"{args.memory_gib:g} GiB; store {store}{host}"
    )
    found = [(build, one) for build in builds for one in predictions[build.months]]
    print("\n".join(scale_tables.predicted(found)))
    needs = [scale_tables.needs_of(units, build) for build in builds]
    print(
        f"\nwhat it needs; the store holds snapshots, chunks and {scale_tables.DATASETS_KEPT} "
        f"datasets, at ${args.price_gb_month} a GB and month and ${args.price_1000_requests} for "
        "1,000 requests"
    )
    lines = scale_tables.sizing(needs, args.price_gb_month, args.price_1000_requests)
    print("\n".join(lines), flush=True)


def _run(
    args: argparse.Namespace, build: Build, workers: int, chunk_s: float, scratch: Path
) -> Run:
    """The simulated cluster with so many workers."""
    scale = min(
        chunk_s / _QUICKEST_CHUNK_S,
        max(1.0, build.chunks * chunk_s / workers / args.cluster_s),
    )
    folder = scratch / f"cluster-{workers}"
    run = scale_cluster.simulate(
        folder, workers, build.chunks, chunk_s, scale, SOURCES, _steps(build)
    )
    called = sum(len(times) for name, times in run.calls.items() if name != "ping")
    median_ms = 1000 * statistics.median(t for times in run.calls.values() for t in times)
    print(
        f"{workers} workers, {run.chunks} chunks of {chunk_s:.0f} s, clock {scale:.1f} times as "
        f"fast: {run.seconds:.1f} s, ideal {run.ideal_s:.1f} s, in full waves {run.waves_s:.1f} s; "
        f"efficiency {run.efficiency:.3f}; {called / run.chunks:.1f} calls a chunk, "
        f"{called / run.seconds:.0f} calls/s, median {median_ms:.1f} ms, "
        f"luigid busy {run.luigid_cpu_s / run.seconds:.0%}",
        flush=True,
    )
    return run


def _judged(run: Run) -> list[bool]:
    return [
        common.ratio("cluster_efficiency_16", run.efficiency, ">=", 0.9),
        common.ratio("cluster_vs_full_waves_16", run.seconds / run.waves_s, "<=", 1.1),
    ]


if __name__ == "__main__":
    sys.exit(main())
