"""``g5 worker``: this host builds chunks for the runs of a central scheduler."""

from __future__ import annotations

import argparse
import logging
import socket

from pipeline import configuration
from pipeline.cli.terminal import options
from pipeline.errors import UsageError
from pipeline.exit_codes import ExitCode
from pipeline.filesystem.atomic import os_errors
from pipeline.filesystem.location import on_host
from pipeline.operations.cluster import announcement, host_capacity
from pipeline.operations.planning import run_plan
from pipeline.operations.runs.luigi_command import configured_scheduler
from pipeline.process import log_setup
from pipeline.run_state.output_root import check_output
from pipeline.tasks.worker import remote_worker

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``worker``."""
    parser.description = (
        "Joins luigid and builds chunks of its runs, into the output root that all "
        "hosts share, until it is asked to leave (SIGTERM, Ctrl-C): it finishes its builds; a "
        "second signal ends it at once. It needs no API key. Exit code 2: this host has other "
        "code, another manifest or another output root than the run."
    )
    parser.add_argument("--scheduler-url", metavar="URL", help="of luigid (default: as configured)")
    parser.add_argument(
        "--workers", type=options.whole(1, 64),
        help="chunk builds at a time (default: what memory and cores hold)",
    )  # fmt: skip
    options.add_settings(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Help until asked to leave; returns 0.

    Raises:
        UsageError: a setting, or this host may not help.
        SchemaMismatch: the catalogue and the manifest disagree.
        PipelineError: luigid does not answer.
    """
    configuration.override(options.flags_of(args))
    settings = configuration.settings()
    url = args.scheduler_url or configured_scheduler()
    if url is None:
        raise UsageError("--scheduler-url: expected the URL of the luigid to help", "see g5 luigid")
    root = settings.data_output_dir
    check_output(root)
    run_plan.check_manifest()
    fits = host_capacity.of_host(settings.compute_threads)
    host = remote_worker.Host(
        root=root,
        identity=announcement.identity(run_plan.load_manifest()),
        options=configuration.given() | {"data_output_dir": str(root)},
        builds=args.workers or fits.builds,
    )
    scheduler = remote_worker.join(url, host)
    folder = on_host(root) / "logs"
    with os_errors(folder):
        # A file of its own: lines that several hosts write to one file may be lost.
        log_setup.configure(folder / f"worker-{socket.gethostname()}", settings.log_format)
    asked = "as asked; " if args.workers else ""
    log.info("joined %s: %d chunk builds at a time (%s%s)", url, host.builds, asked, fits.why)
    built = remote_worker.work(scheduler, host)
    log.info("left %s: %d chunks built", url, built)
    return ExitCode.DONE
