"""``g5 audit``: prove that no row of a built range knows anything it could not."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from pipeline import configuration
from pipeline.cli.terminal import options
from pipeline.exit_codes import ExitCode
from pipeline.filesystem import atomic
from pipeline.operations.inspection import audit_run


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``audit``."""
    parser.description = (
        "Rebuilds days of complete chunks from what was public then, in chunks of "
        "other lengths, day by day and with the records in another order. Exit code 0: no column "
        "differs in a bit; 1: findings; 2: cannot check."
    )
    parser.add_argument("--start", type=options.day, required=True, help="first day, YYYY-MM-DD")
    parser.add_argument("--end", type=options.day, required=True, help="last day, YYYY-MM-DD")
    parser.add_argument(
        "--columns", nargs="+", default=[], metavar="NAME", help="columns or families (default all)"
    )
    parser.add_argument(
        "--checks",
        nargs="+",
        default=list(audit_run.CHECKS),
        choices=audit_run.CHECKS,
        metavar="CHECK",
        help=f"some of {', '.join(audit_run.CHECKS)} (default all)",
    )  # fmt: skip
    parser.add_argument("--cuts", type=_count, default=3, help="days drawn at random (default 3)")
    parser.add_argument("--seed", type=int, default=0, help="of the draw (default 0)")
    parser.add_argument("--report", type=Path, help="write the findings to this file, as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print one line per finding; returns 0 without any, else 1.

    Raises:
        UsageError, MissingData: it cannot be checked.
    """
    request = audit_run.Request(
        args.start, args.end, tuple(args.columns), tuple(args.checks), args.cuts, args.seed
    )
    findings = []
    for finding in audit_run.run(configuration.settings(), request, _say):
        print(finding, flush=True)
        findings.append(finding)
    if args.report:
        document = [{**asdict(f), "largest": repr(f.largest)} for f in findings]
        atomic.write_json(args.report.absolute(), json.loads(json.dumps(document, default=str)))
    columns = len({finding.column for finding in findings})
    outcome = f"{columns} columns differ" if findings else "no column differs"
    print(f"audit {args.start} to {args.end}: {outcome}; checks: {', '.join(args.checks)}")
    return ExitCode.FINDINGS if findings else ExitCode.DONE


def _say(text: str) -> None:
    sys.stderr.write(f"g5 audit: {text}\n")


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number from 1")
    return int(text)
