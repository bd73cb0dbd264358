"""``g5 report``: the page about the published dataset, made anew."""

from __future__ import annotations

import argparse

from pipeline.cli.terminal import options
from pipeline.dataset.publication import DatasetStore
from pipeline.errors import MissingData
from pipeline.exit_codes import ExitCode
from pipeline.operations.building.report_build import build_report


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``report``."""
    parser.description = (
        "Every run of BuildAll ends with a report. This one knows of that run too, "
        "and of what has happened since. reports/latest.html shows the newest."
    )
    parser.add_argument(
        "--lang", choices=("auto", "en", "ja"), default="auto",
        help="language it opens in; both are inside (default auto: that of the browser)",
    )  # fmt: skip
    options.add_settings(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the report; returns 0.

    Raises:
        MissingData: nothing is merged yet.
        UsageError: a setting is malformed.
        StorageError: the output root cannot be read or written.
    """
    settings = options.settings_of(args)
    dataset = DatasetStore(settings.data_output_dir).latest()
    if dataset is None:
        raise MissingData(f"no dataset in {settings.data_output_dir}", "run BuildAll first")
    chunk_ids = [chunk["chunk_id"] for chunk in dataset.metadata["chunks"]]
    print(build_report(settings, chunk_ids, args.lang).path)
    return ExitCode.DONE
