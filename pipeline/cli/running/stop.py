"""``g5 stop``: end a run in the background."""

from __future__ import annotations

import argparse

from pipeline.cli.terminal import options
from pipeline.errors import MissingData
from pipeline.exit_codes import ExitCode
from pipeline.operations.runs import background_run

_PATIENCE_S = 30.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``stop``."""
    parser.description = (
        "Asks the run to end, and kills it if it does not. Finished chunks and fetched "
        "days are kept; the next run continues from there. Exit code 20: there is no such run."
    )
    parser.add_argument("profile", nargs="?", help="as started (default: every one)")
    parser.add_argument(
        "--patience", type=options.number(0, 3600), default=_PATIENCE_S, metavar="SECONDS",
        help=f"between asking and killing (default {_PATIENCE_S:g})",
    )  # fmt: skip
    options.add_settings(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Stop and say so; returns 0.

    Raises:
        MissingData: there is nothing to stop.
    """
    root = options.settings_of(args).data_output_dir
    names = [args.profile] if args.profile else background_run.names(root)
    if not names:
        raise MissingData(f"no run in the background of {root}", "g5 status shows what is there")
    for name in names:
        stopped = background_run.stop(root, name, args.patience)
        how = "killed, it did not end in time" if stopped.killed else "stopped"
        print(f"{stopped.name}: {how} (pid {stopped.pid}); the next run continues from there")
    return ExitCode.DONE
