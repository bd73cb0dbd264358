"""``g5 demo``: a complete build on synthetic data, without an API key.

It starts a simulator on a free port of this machine, runs ``luigi --module pipeline BuildAll``
against it, and prints what was built. Everything goes to its own output root, with
``origin: simulator``.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.dataset.publication import DatasetStore
from pipeline.errors import PipelineError
from pipeline.exit_codes import ExitCode
from pipeline.filesystem.location import place_of
from pipeline.market.calendar.periods import require_order
from pipeline.operations.runs.luigi_command import Runner
from pipeline.simulator.market_spec import FIRST_DATE

_KEY = "simulator"  # not a secret: the simulator's own
# The panel reaches 600 sessions back, and the statement book three years and a half further.
_HISTORY = dt.timedelta(days=2200)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``demo``."""
    parser.add_argument("--start", type=dt.date.fromisoformat, default=dt.date(2024, 1, 4))
    parser.add_argument("--end", type=dt.date.fromisoformat, default=dt.date(2024, 6, 28))
    parser.add_argument("--stocks", type=int, default=300, help="size of the market")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--output", type=place_of, default=place_of("output-demo"))
    parser.add_argument("--workers", type=int, default=2, help="task processes at a time")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Build, print where the dataset is, return Luigi's exit code.

    Raises:
        UsageError: ``--end`` before ``--start``.
        PipelineError: the simulator did not start, or no dataset was made.
    """
    require_order(args.start, args.end)
    with _simulator(args) as base_url:
        code = _build(args, base_url)
    if code:
        return code
    latest = DatasetStore(args.output).latest()
    if latest is None:
        raise PipelineError(f"demo: no dataset in {args.output}", "see its logs/g5.log")
    facts = latest.metadata
    print(f"dataset  {latest.path}")
    print(f"latest   {args.output / 'ml_dataset_latest_full.parquet'}")
    print(f"rows     {facts['rows']:,}")
    print(f"columns  {len(facts['columns']):,}")
    print(f"sessions {facts['output_start']} to {facts['output_end']}")
    print(f"chunks   {', '.join(chunk['chunk_id'] for chunk in facts['chunks'])}")
    print(f"origin   {facts['origin']} (synthetic data)")
    return ExitCode.DONE


@contextmanager
def _simulator(args: argparse.Namespace) -> Iterator[str]:
    """A simulator of the right market in a process of its own; yields its base URL."""
    first = max(args.start - _HISTORY, FIRST_DATE)
    command = [
        *(sys.executable, "-m", "pipeline.cli", "sim", "serve", "--exit-with-parent"),
        *("--start", str(first), "--end", str(args.end)),
        *("--stocks", str(args.stocks), "--seed", str(args.seed)),
    ]
    environment = os.environ | {"G5_SIM_API_KEY": _KEY}
    with subprocess.Popen(  # noqa: S603  (our own command)
        command, stdout=subprocess.PIPE, text=True, env=environment
    ) as server:
        try:
            base_url = server.stdout.readline().strip() if server.stdout else ""
            if not base_url:
                raise PipelineError("demo: the simulator did not start", "see its error above")
            yield base_url
        finally:
            server.terminate()


def _build(args: argparse.Namespace, base_url: str) -> int:
    os.environ |= {
        "JQUANTS_API_BASE": base_url,
        "JQUANTS_API_KEY": _KEY,
        "REQUESTS_PER_MINUTE": "0",  # nobody else uses the simulator
        "ORIGIN": "simulator",  # whatever the user's own account is
        "PLAN": "auto",
        "DATA_OUTPUT_DIR": str(args.output),
    }
    days = ("--start", str(args.start), "--end", str(args.end))
    return Runner(args.workers, local=True).run(["BuildAll", *days])
