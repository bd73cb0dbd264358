"""``g5 luigid``: the central scheduler, with a page on which runs can be watched."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pipeline.cli.terminal import options
from pipeline.exit_codes import ExitCode
from pipeline.operations.runs.luigid_server import PORT, LuigidServer

_PATIENCE_S = 30.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``luigid``."""
    parser.description = (
        "Starts Luigi's scheduler for this output root, on this machine only; runs use "
        "it by --scheduler-url. Does nothing if it already runs. Exit code 20 of --stop: there is "
        "none."
    )
    parser.add_argument(
        "--port", type=options.whole(1, 65535), default=PORT, help=f"(default {PORT})"
    )
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--background", action="store_true", help="detach; end it with --stop")
    how.add_argument("--stop", action="store_true", help="save its state and end it")
    options.add_output(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Start, or stop; returns 0. In the foreground this process becomes luigid.

    Raises:
        UsageError: the port is taken.
        MissingData: there is none to stop.
        StorageError, PipelineError: it cannot be started.
    """
    server = LuigidServer(options.settings_of(args).data_output_dir)
    if args.stop:
        pid, killed = server.stop(_PATIENCE_S)
        how = "killed, it did not end in time" if killed else "stopped, its state is saved"
        print(f"luigid: {how} (pid {pid})")
        return ExitCode.DONE
    found = server.running()
    if found is not None:
        print(f"luigid: already running, pid {found.pid}")
        _print_addresses(found.url, server.log)
        return ExitCode.DONE
    if args.background:
        started = server.start(args.port)
        print(f"luigid: running in the background, pid {started.pid}")
        _print_addresses(started.url, server.log)
        return ExitCode.DONE
    print(f"luigid: http://127.0.0.1:{args.port}, until interrupted; log {server.log}")
    sys.stdout.flush()
    server.become(args.port)
    return ExitCode.DONE


def _print_addresses(url: str, log: Path) -> None:
    print(f"page {url}")
    print(f"log  {log}")
    print(f"use  g5 run production --scheduler-url {url}")
