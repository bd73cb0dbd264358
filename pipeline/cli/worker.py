"""``g5 worker``: this host builds chunks for the runs of a central scheduler."""

from __future__ import annotations

import argparse
import logging
import socket

from pipeline.cli import options
from pipeline.errors import UsageError
from pipeline.storage.atomic import os_errors
from pipeline.storage.place import on_host
from pipeline.tasks import capacity, cluster, config, helping, logs, planning
from pipeline.tasks.runner import configured_scheduler

log = logging.getLogger(__name__)


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``worker`` to the commands of g5."""
    parser = subparsers.add_parser(
        "worker",
        help="help the runs of a central scheduler: build chunks on this host",
        description="Joins luigid and builds chunks of its runs, into the output root that all "
        "hosts share, until it is told to leave (SIGTERM, Ctrl-C): it finishes what it has; a "
        "second signal ends it at once. It needs no API key. Exit code 2: this host has other "
        "code, another manifest or another output root than the run.",
    )
    parser.add_argument("--scheduler-url", metavar="URL", help="of luigid (default: as configured)")
    parser.add_argument(
        "--workers", type=options.whole(1, 64),
        help="chunk builds at a time (default: what memory and cores hold)",
    )  # fmt: skip
    options.add_settings(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Help until told to leave; returns 0.

    Raises:
        UsageError: a setting, or this host may not help.
        SchemaMismatch: the catalogue and the manifest disagree.
        PipelineError: luigid does not answer.
    """
    config.override(options.flags_of(args))
    settings = config.settings()
    url = args.scheduler_url or configured_scheduler()
    if url is None:
        raise UsageError("--scheduler-url: which luigid to help?", "see g5 luigid")
    root = settings.data_output_dir
    planning.check_output(root)
    planning.check_manifest()
    fits = capacity.of_host(settings.compute_threads)
    host = helping.Host(
        root=root,
        identity=cluster.identity(planning.load_manifest()),
        options=config.given() | {"data_output_dir": str(root)},
        builds=args.workers or fits.builds,
    )
    scheduler = helping.join(url, host)
    folder = on_host(root) / "logs"
    with os_errors(folder):
        # A file of its own: what several hosts write into one at a time may be lost.
        logs.configure(folder / f"worker-{socket.gethostname()}", settings.log_format)
    asked = "as asked; " if args.workers else ""
    log.info("joined %s: %d chunk builds at a time (%s%s)", url, host.builds, asked, fits.why)
    built = helping.work(scheduler, host)
    log.info("left %s: %d chunks built", url, built)
    return 0
