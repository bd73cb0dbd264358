"""``g5 health``: quiet when all is well."""

from __future__ import annotations

import argparse
import datetime as dt
import json

from pipeline import configuration
from pipeline.cli.terminal import options
from pipeline.exit_codes import ExitCode
from pipeline.operations.inspection import health_check
from pipeline.operations.inspection.health_check import LATE_AFTER, Question
from pipeline.operations.runs import alert_sender

_LATE_HOURS = LATE_AFTER / dt.timedelta(hours=1)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``health``."""
    parser.description = (
        "For cron, every five minutes; never disturbs a run. Exit code 0: all is well; "
        "1: findings, one line each; 2: cannot check."
    )
    parser.add_argument("--json", action="store_true", help="one JSON document, findings or not")
    parser.add_argument(
        "--late-after", type=options.number(0, 24 * 365), default=_LATE_HOURS, metavar="HOURS",
        help=f"a published session may be missing this long (default {_LATE_HOURS:g})",
    )  # fmt: skip
    parser.add_argument(
        "--scheduler-url", metavar="URL", help="of luigid (default: as configured, if at all)"
    )
    options.add_settings(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print what is not well; returns 0 when nothing is, else 1.

    Raises:
        UsageError: the settings do not do.
    """
    settings = options.settings_of(args)
    late_after = dt.timedelta(hours=args.late_after)
    found = health_check.findings(Question(settings, late_after, args.scheduler_url))
    alert_sender.health_checked(settings.data_output_dir, found)
    if args.json:
        document = {
            "checked_at": configuration.stamp(),
            "output": str(settings.data_output_dir),
            "ok": not found,
            "findings": [finding.to_json() for finding in found],
        }
        print(json.dumps(document, ensure_ascii=False, indent=2))
    else:
        for finding in found:
            print(finding)
    return ExitCode.FINDINGS if found else ExitCode.DONE
