"""The ``g5`` command: one module per subcommand, each with ``add_parser`` and ``run``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from pipeline.cli import (
    audit,
    cache,
    check_chunks,
    daily,
    demo,
    dictionary,
    health,
    manifest,
    merge_chunks,
    plan,
    rebuild,
    run,
    sim,
    status,
    stop,
)
from pipeline.errors import PipelineError

_COMMANDS = (
    sim,
    demo,
    manifest,
    dictionary,
    cache,
    audit,
    plan,
    status,
    rebuild,
    check_chunks,
    merge_chunks,
    run,
    stop,
    daily,
    health,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand; an error of ours is one line on stderr and an exit code."""
    parser = argparse.ArgumentParser(
        prog="g5", description="Point-in-time dataset pipeline for Tokyo stocks"
    )
    subparsers = parser.add_subparsers(dest="command", required=True)
    for command in _COMMANDS:
        command.add_parser(subparsers)
    args = parser.parse_args(argv)
    try:
        code: int = args.run(args)
    except PipelineError as error:
        sys.stderr.write(f"g5 {args.command}: error: {error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write(f"g5 {args.command}: interrupted\n")
        return 130
    return code
