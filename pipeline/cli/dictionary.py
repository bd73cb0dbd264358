"""``g5 dictionary``: the data dictionary as Markdown."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pipeline.report.dictionary import markdown
from pipeline.storage import atomic


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``dictionary`` to the commands of g5."""
    parser = subparsers.add_parser("dictionary", help="print or write the data dictionary")
    parser.add_argument("--output", type=Path, help="a file; default: standard output")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print or write; returns 0.

    Raises:
        StorageError: the file cannot be written.
    """
    if args.output is None:
        sys.stdout.write(markdown())
    else:
        atomic.write_bytes(args.output, markdown().encode())
    return 0
