"""``g5 sim serve``: a synthetic J-Quants v2 server on the loopback address.

The accepted API key comes from the environment variable G5_SIM_API_KEY (default "simulator"),
never from the command line, where every user of the machine could read it.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from datetime import date, datetime
from threading import Event, Thread
from time import monotonic
from typing import TYPE_CHECKING

from pipeline.errors import UsageError
from pipeline.simulator import AppOptions, Market, MarketSpec, SimulatorServer
from pipeline.simulator.app import DEFAULT_API_KEY, PAGE_BYTES
from pipeline.simulator.plans import PLANS
from pipeline.simulator.publication import JST
from pipeline.simulator.server import DEFAULT_THREADS

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

API_KEY_VARIABLE = "G5_SIM_API_KEY"
_POLL_S = 0.3


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``sim serve`` to the commands of g5."""
    sim = subparsers.add_parser("sim", help="synthetic J-Quants v2 server")
    actions = sim.add_subparsers(dest="action", required=True)
    serve = actions.add_parser("serve", help="serve a synthetic market until stopped")
    serve.add_argument("--port", type=int, default=0, help="0: any free one (default)")
    serve.add_argument("--stocks", type=int, default=200, help="ordinary shares at the start")
    serve.add_argument("--start", type=date.fromisoformat, required=True, help="first date")
    serve.add_argument("--end", type=date.fromisoformat, required=True, help="last date")
    serve.add_argument("--seed", type=int, default=7, help="makes the market (default 7)")
    serve.add_argument("--plan", choices=list(PLANS), default="premium")
    serve.add_argument(
        "--now",
        type=parse_now,
        help="what the clock says, ISO 8601, Tokyo unless it has an offset"
        " (default: 08:00 on the day after --end)",
    )
    serve.add_argument("--latency-ms", type=float, default=0.0, help="wait before each answer")
    serve.add_argument("--page-bytes", type=int, default=PAGE_BYTES, help="size of a page")
    serve.add_argument("--threads", type=int, default=DEFAULT_THREADS, help="answers at once")
    serve.add_argument(
        "--exit-with-parent", action="store_true", help="stop when the parent process is gone"
    )
    serve.add_argument("--max-seconds", type=float, help="stop after this time")
    serve.set_defaults(run=run)


def parse_now(text: str) -> datetime:
    """An instant; Tokyo time when no offset is given."""
    now = datetime.fromisoformat(text)
    return now if now.tzinfo else now.replace(tzinfo=JST)


def run(args: argparse.Namespace) -> int:
    """Serve until a signal, the time limit or the end of the parent; returns 0.

    Raises:
        UsageError: a value is out of its range, or the port is taken.
    """
    market = Market(MarketSpec(args.seed, args.stocks, args.start, args.end))
    server = SimulatorServer(market, _options(args), port=args.port, threads=args.threads)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stopper(server))
    ended = Event()
    Thread(target=_watch, args=(server, args, ended), daemon=True).start()
    sys.stdout.write(server.base_url + "\n")
    sys.stdout.flush()
    server.run()
    ended.set()
    return 0


def _options(args: argparse.Namespace) -> AppOptions:
    for name, least in (("threads", 1), ("page_bytes", 1), ("latency_ms", 0)):
        value = getattr(args, name)
        if value < least:
            option = name.replace("_", "-")
            raise UsageError(f"--{option}: expected {least} or more, got {value}")
    return AppOptions(
        plan=args.plan,
        now=args.now,
        latency_ms=args.latency_ms,
        page_bytes=args.page_bytes,
        api_key=os.environ.get(API_KEY_VARIABLE) or DEFAULT_API_KEY,
    )


def _stopper(server: SimulatorServer) -> Callable[[int, FrameType | None], None]:
    def stop(_number: int, _frame: FrameType | None) -> None:
        server.stop()

    return stop


def _watch(server: SimulatorServer, args: argparse.Namespace, ended: Event) -> None:
    """Stop the server when its time is over or its parent is gone."""
    parent = os.getppid()
    limit = monotonic() + args.max_seconds if args.max_seconds is not None else float("inf")
    while not ended.wait(_POLL_S):
        orphaned = args.exit_with_parent and os.getppid() != parent
        if orphaned or monotonic() >= limit:
            server.stop()
            return
