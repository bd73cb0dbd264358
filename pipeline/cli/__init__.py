"""The ``g5`` command: one module per subcommand, each with ``add_arguments`` and ``run``.

Only the module of the command asked for is loaded, so that frequent checks do not wait for the
simulator.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from pipeline.errors import PipelineError
from pipeline.exit_codes import ExitCode
from pipeline.filesystem.atomic import unreachable

# Command -> module and help, in the order of the help.
_COMMANDS = {
    "sim": ("maintenance.sim", "synthetic J-Quants v2 server"),
    "demo": ("running.demo", "build a dataset from the simulator, without a key"),
    "regenerate-manifest": (
        "maintenance.regenerate_manifest",
        "write the schema manifest from the catalogue or a chunk",
    ),
    "dictionary": ("inspection.dictionary", "print or write the data dictionary"),
    "report": (
        "inspection.report",
        "write the report about the published dataset anew and print its path",
    ),
    "cache": (
        "maintenance.cache",
        "list, show or prune the source cache; what was corrected in it",
    ),
    "doctor": (
        "inspection.doctor",
        "check key, plan, every endpoint, limits and machine within a minute",
    ),
    "audit": ("inspection.audit", "rebuild days from less than all data and compare every column"),
    "plan": ("inspection.plan", "what a run would do and why, with nothing written"),
    "status": ("inspection.status", "chunks, gate, dataset, labels and latest run as they stand"),
    "rebuild": ("maintenance.rebuild", "ask that chunks be built once more"),
    "check-chunks": (
        "inspection.check_chunks",
        "states of all chunks, and their columns against the manifest",
    ),
    "merge-chunks": ("maintenance.merge_chunks", "merge the chunks that are there, without a run"),
    "check-dataset": (
        "inspection.check_dataset",
        "keys, days, columns and drift of the merged dataset",
    ),
    "run": ("running.run", "start a run: production, incremental, merge or custom"),
    "stop": ("running.stop", "end a run in the background"),
    "daily": ("running.daily", "bring the dataset up to the last published session"),
    "health": (
        "inspection.health",
        "check chunks, dataset, runs, disk and scheduler; quiet when all is well",
    ),
    "runs": ("running.runs", "past runs and what each of them did"),
    "worker": ("running.worker", "help the runs of a central scheduler: build chunks on this host"),
    "notify": ("running.notify", "where alerts go, and whether they arrive"),
    "luigid": ("running.luigid", "the central scheduler: watch runs in a browser"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand; a known error is one line on stderr and an exit code."""
    parser = argparse.ArgumentParser(
        prog="g5", description="Point-in-time dataset pipeline for Tokyo stocks"
    )
    subparsers = parser.add_subparsers(dest="command", required=True)
    words = sys.argv[1:] if argv is None else list(argv)
    asked = words[0] if words else ""
    for command, (module, text) in _COMMANDS.items():
        subparser = subparsers.add_parser(command, help=text)
        if command == asked:
            import_module(f"pipeline.cli.{module}").add_arguments(subparser)
    args = parser.parse_args(words)
    args.words = words
    try:
        code: int = args.run(args)
    except PipelineError as error:
        sys.stderr.write(f"g5 {args.command}: error: {error}\n")
        return error.exit_code
    except Exception as error:
        known = unreachable(error)
        if known is None:
            raise
        sys.stderr.write(f"g5 {args.command}: error: {known}\n")
        return known.exit_code
    except KeyboardInterrupt:
        sys.stderr.write(f"g5 {args.command}: interrupted\n")
        return ExitCode.INTERRUPTED
    return code
