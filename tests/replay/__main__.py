"""``python -m tests.replay``: mornings against a bulk build; exit code 1 when they do not agree."""

from __future__ import annotations

import argparse
import datetime as dt
import signal
import sys
import tempfile
import time
from pathlib import Path

from pipeline.cli.terminal.options import day, number, whole
from pipeline.simulator.market_spec import MAX_STOCKS
from tests.arguments import folder
from tests.replay.mornings import SOURCES, Exchange, replay
from tests.replay.verdict import judge


def main() -> int:
    """Replay, build, compare; the exit code."""
    args = _parser().parse_args()
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # and clean up
    exchange = Exchange(
        args.stocks,
        args.first - dt.timedelta(days=args.history_days),
        args.seed,
        args.corrections,
        {} if args.all_sources else dict(SOURCES),
    )
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="g5-replay-", dir=args.work) as work:
        replayed = replay(exchange, args.first, args.mornings, Path(work), _tell)
        seconds = (time.monotonic() - began) / args.mornings
        verdict = judge(exchange, replayed, Path(work))
    print("\n".join(verdict.lines()))
    print(f"{args.mornings} mornings, {args.first} to {replayed.last}, {seconds:.1f} s each: "
          f"{'agree' if verdict.good else 'DO NOT AGREE'}")  # fmt: skip
    return 0 if verdict.good else 1


def _tell(line: str) -> None:
    print(line, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.replay", description=__doc__)
    parser.add_argument("--mornings", type=whole(1, 10_000), default=120, metavar="N")
    # A week before a quarter ends, so that even a few mornings go over its end.
    parser.add_argument("--first", type=day, default=dt.date(2024, 3, 26),
                        metavar="DAY", help="the first morning (default %(default)s)")  # fmt: skip
    parser.add_argument("--stocks", type=whole(4, MAX_STOCKS), default=8)
    parser.add_argument("--history-days", type=whole(1, 10_000), default=150,
                        help="of the market before the first morning")  # fmt: skip
    parser.add_argument("--corrections", type=number(0, 1), default=0.01, metavar="RATE",
                        help="share of records the vendor corrects later; 0: both must be the "
                        "same in every bit")  # fmt: skip
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--all-sources", action="store_true", help="not only the few that make "
                        "a build quick")  # fmt: skip
    parser.add_argument("--work", type=folder, help="where the roots are made (default: /tmp)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
