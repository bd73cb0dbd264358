"""The ``g5`` command: one module per subcommand, each with ``add_parser`` and ``run``.

Only the module of the command asked for is loaded: those that check every few minutes should not
wait for the simulator.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from pipeline.errors import PipelineError

# Command -> module, in the order of the help.
_COMMANDS = {
    "sim": "sim",
    "demo": "demo",
    "regenerate-manifest": "manifest",
    "dictionary": "dictionary",
    "cache": "cache",
    "audit": "audit",
    "plan": "plan",
    "status": "status",
    "rebuild": "rebuild",
    "check-chunks": "check_chunks",
    "merge-chunks": "merge_chunks",
    "check-dataset": "check_dataset",
    "run": "run",
    "stop": "stop",
    "daily": "daily",
    "health": "health",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand; an error of ours is one line on stderr and an exit code."""
    parser = argparse.ArgumentParser(
        prog="g5", description="Point-in-time dataset pipeline for Tokyo stocks"
    )
    subparsers = parser.add_subparsers(dest="command", required=True)
    words = sys.argv[1:] if argv is None else list(argv)
    asked = words[0] if words else ""
    for module in [_COMMANDS[asked]] if asked in _COMMANDS else _COMMANDS.values():
        import_module(f"pipeline.cli.{module}").add_parser(subparsers)
    args = parser.parse_args(words)
    try:
        code: int = args.run(args)
    except PipelineError as error:
        sys.stderr.write(f"g5 {args.command}: error: {error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write(f"g5 {args.command}: interrupted\n")
        return 130
    return code
