"""``g5 dictionary``: the data dictionary as Markdown, as a page, or as Parquet."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import UsageError
from pipeline.exit_codes import ExitCode
from pipeline.filesystem import atomic
from pipeline.report import data_dictionary

_FORMS = (".md", ".html", ".parquet")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``dictionary``."""
    parser.add_argument(
        "--output",
        type=Path,
        help="a file named .md (base columns), .html or .parquet (all); default: print Markdown",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print or write; returns 0.

    Raises:
        UsageError: the file's name ends otherwise.
        StorageError: the file cannot be written.
    """
    if args.output is None:
        sys.stdout.write(data_dictionary.markdown())
        return ExitCode.DONE
    form = args.output.suffix
    if form not in _FORMS:
        raise UsageError(f"--output {args.output}: expected a name ending in {', '.join(_FORMS)}")
    atomic.write_bytes(args.output, _content(form))
    return ExitCode.DONE


def _content(form: str) -> bytes:
    if form == ".parquet":
        sink = pa.BufferOutputStream()
        pq.write_table(data_dictionary.table(), sink, compression="zstd")
        content: bytes = sink.getvalue().to_pybytes()
        return content
    return (data_dictionary.html() if form == ".html" else data_dictionary.markdown()).encode()
