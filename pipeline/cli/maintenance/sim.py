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
from pipeline.exit_codes import ExitCode
from pipeline.simulator import (
    AppOptions,
    BulkOptions,
    LimitOptions,
    Market,
    MarketSpec,
    SimulatorServer,
)
from pipeline.simulator.delivery.fault_injection import KINDS, parse_fault
from pipeline.simulator.server.app import DEFAULT_API_KEY, PAGE_BYTES
from pipeline.simulator.server.dialect import PRESETS, parse_dialect, points
from pipeline.simulator.server.http_server import DEFAULT_THREADS
from pipeline.simulator.server.plan_access import PLANS
from pipeline.simulator.server.publication_clock import JST
from pipeline.simulator.server.request_limits import WINDOW_KINDS

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

API_KEY_VARIABLE = "G5_SIM_API_KEY"
_LIMITS, _FILES = LimitOptions(), BulkOptions()
_POLL_S = 0.3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``sim``."""
    actions = parser.add_subparsers(dest="action", required=True)
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
    serve.add_argument(
        "--corrections",
        type=float,
        default=0.0,
        metavar="RATE",
        help="share of bars, listings and margin balances that are wrong until they are corrected"
        " days later (default 0)",
    )
    serve.add_argument(
        "--dialect",
        action="append",
        default=[],
        metavar="NAME=VALUE[,...]",
        help=f"how open points of the real service are answered, repeatable: {_choices()};"
        f" or a preset: {', '.join(PRESETS)} (default: evidence, the first value of each)",
    )
    serve.add_argument("--latency-ms", type=float, default=0.0, help="wait before each answer")
    serve.add_argument("--page-bytes", type=int, default=PAGE_BYTES, help="size of a page")
    serve.add_argument("--threads", type=int, default=DEFAULT_THREADS, help="answers at once")
    serve.add_argument(
        "--exit-with-parent", action="store_true", help="stop when the parent process is gone"
    )
    serve.add_argument("--max-seconds", type=float, help="stop after this time")
    _add_limits(serve.add_argument_group("rate limits (none unless --rate-limit is given)"))
    _add_files(serve.add_argument_group("bulk files"))
    _add_faults(serve.add_argument_group("injected faults (see also POST /_sim/faults)"))
    serve.set_defaults(run=run)


def _choices() -> str:
    return "; ".join(f"{name}={'|'.join(choices)}" for name, choices in points().items())


def _add_limits(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--rate-limit",
        type=int,
        nargs="?",
        const=True,
        metavar="N",
        help="requests a minute; without a number those of the plan",
    )
    group.add_argument("--rate-window", choices=WINDOW_KINDS, default=_LIMITS.window)
    group.add_argument(
        "--rate-burst",
        type=int,
        metavar="N",
        help="requests that --rate-window bucket holds (default: as many as the limit)",
    )
    group.add_argument(
        "--rate-failed",
        choices=["count", "free"],
        default="count",
        help="whether requests that fail use up the limit (default count)",
    )
    group.add_argument(
        "--rate-fins",
        type=int,
        default=_LIMITS.fins_per_minute,
        metavar="N",
        help="requests a minute of /fins/summary and /fins/details, each (default %(default)s)",
    )
    group.add_argument(
        "--rate-fins-separate", action="store_true", help="they leave the plan's limit alone"
    )
    group.add_argument(
        "--rate-block-after",
        type=int,
        metavar="N",
        help="refusals a minute before access is cut for 5 minutes; 0: never"
        " (default: as many as the limit)",
    )
    group.add_argument(
        "--rate-block-status", type=int, default=_LIMITS.block_status, help="answered meanwhile"
    )
    group.add_argument("--retry-after", action="store_true", help="send Retry-After with 429")
    group.add_argument(
        "--clock-scale",
        type=float,
        default=1.0,
        metavar="K",
        help="limits and the expiry of URLs run K times as fast",
    )


def _add_files(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--bulk-roll-day",
        type=int,
        default=_FILES.roll_day,
        help="day of the next month on which day files become a month's (default %(default)s)",
    )
    group.add_argument("--bulk-url-seconds", type=float, default=_FILES.url_seconds)
    group.add_argument(
        "--bulk-url-reusable", action="store_true", help="a URL works more than once"
    )


def _add_faults(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="KIND:RATE",
        help=f"strike this share of the requests, repeatable; kinds: {', '.join(KINDS)}",
    )
    group.add_argument("--fault-seed", type=int, default=0, help="strikes other requests")


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
    return ExitCode.DONE


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
        limits=_limits(args),
        clock_scale=args.clock_scale,
        bulk=BulkOptions(
            roll_day=args.bulk_roll_day,
            url_seconds=args.bulk_url_seconds,
            single_use=not args.bulk_url_reusable,
        ),
        corrections=args.corrections,
        dialect=parse_dialect(args.dialect),
        faults=tuple(parse_fault(text, args.fault_seed) for text in args.fault),
    )


def _limits(args: argparse.Namespace) -> LimitOptions | None:
    if args.rate_limit is None:
        return None
    return LimitOptions(
        per_minute=None if args.rate_limit is True else args.rate_limit,
        window=args.rate_window,
        burst=args.rate_burst,
        count_failed=args.rate_failed == "count",
        fins_per_minute=args.rate_fins,
        fins_in_plan=not args.rate_fins_separate,
        block_after=args.rate_block_after,
        block_status=args.rate_block_status,
        retry_after=args.retry_after,
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
