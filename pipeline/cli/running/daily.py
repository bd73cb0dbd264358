"""``g5 daily``: the daily update, for cron."""

from __future__ import annotations

import argparse
import sys

from pipeline import tasks
from pipeline.cli.terminal import options
from pipeline.cli.terminal.screen import screen_of
from pipeline.errors import PipelineError
from pipeline.operations.planning import run_profiles
from pipeline.operations.runs import alert_sender, daily_update


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``daily``."""
    parser.description = (
        "For cron; may be started every hour. One line says what came of it. Exit "
        "code 0: done, or nothing to do; 10: another run is writing; else that of the step that "
        "failed."
    )
    parser.add_argument(
        "--wait", type=options.number(0, 24 * 60), default=0, metavar="MINUTES",
        help="for a run in progress to end (default: do not wait)",
    )  # fmt: skip
    options.add_running(parser)
    options.add_settings(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the steps and print the outcome; returns the exit code.

    Raises:
        UsageError, MissingData, ApiError, StorageError: nothing was started.
    """
    run_profiles.use(run_profiles.shipped("incremental"), tasks.all_tasks())
    settings = options.settings_of(args)
    months = run_profiles.request(tasks.BuildAll).chunk_months
    screen = screen_of(args, settings, "daily")
    root = settings.data_output_dir
    try:
        outcome = daily_update.run(
            settings, options.runner_of(args, screen.watch), months, args.wait * 60
        )
    except PipelineError as error:
        alert_sender.run_ended(root, "daily", error.exit_code, str(error))
        raise
    screen.close(outcome.code, str(outcome) if outcome.code else None, line=False)
    if not args.json:
        print(outcome, file=sys.stderr if outcome.code else sys.stdout)
    alert_sender.run_ended(root, "daily", outcome.code)
    return outcome.code
