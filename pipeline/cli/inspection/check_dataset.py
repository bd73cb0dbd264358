"""``g5 check-dataset``: whether a merged dataset is what it says, and what changed in it."""

from __future__ import annotations

import argparse
import errno
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryFile

from pipeline import configuration
from pipeline.cli.terminal import options
from pipeline.cli.terminal.text_tables import count, plural, table
from pipeline.configuration import Settings
from pipeline.errors import UsageError
from pipeline.exit_codes import ExitCode
from pipeline.filesystem import documents
from pipeline.filesystem.location import is_remote, place_of
from pipeline.market.panel.row_rules import Finding
from pipeline.operations.inspection import dataset_check
from pipeline.operations.inspection.dataset_check import Report
from pipeline.operations.inspection.dataset_target import Target, target

_NAMED = 20  # findings of one check that are printed; the report has all


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``check-dataset``."""
    parser.description = (
        "Reads the whole file and writes validation/dataset_quality.json, also when "
        "the file cannot be read. Exit code 0: nothing to say, 1: findings, 2: cannot check. What "
        "changed between chunks is a warning."
    )
    parser.add_argument(
        "--dataset", type=place_of, metavar="FILE", help="default: the published one"
    )
    parser.add_argument(
        "--columns", nargs="+", default=[], metavar="NAME",
        help="columns, patterns such as 'ret_*' or families to compare between chunks "
        "(default all)",
    )  # fmt: skip
    parser.add_argument(
        "--fail-on-warning", action="store_true", help="count warnings as findings too"
    )
    parser.add_argument(
        "--report", type=Path, metavar="FILE",
        help="default: for the published dataset validation/dataset_quality.json of the output "
        "root, for another one none",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print the report instead")
    options.add_settings(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Check, print and write the report; returns 0 without findings, else 1.

    Raises:
        UsageError: it cannot be checked: no dataset, a damaged file, an unknown column; or the
            report cannot be written.
    """
    with options.checking():
        settings = options.settings_of(args)
        dataset = target(settings, args.dataset)
        path = _report_path(args.report, settings, dataset)
        report = dataset_check.examine(settings, dataset, args.columns)
        document = report.to_json(configuration.stamp())
        if path is not None:
            documents.write_document(path, "dataset_quality", document)
        if report.cut_short is not None:
            raise report.cut_short
    if args.json:
        print(json.dumps(document, ensure_ascii=False))
    else:
        print("\n".join(lines(report, path)))
    found = report.findings or (args.fail_on_warning and report.warnings)
    return ExitCode.FINDINGS if found else ExitCode.DONE


def _report_path(given: Path | None, settings: Settings, target: Target) -> Path | None:
    """Where the report goes, seen to before hours of reading; None: nowhere.

    The report in the output root is on the published dataset: another one does not replace it.

    Raises:
        UsageError: nothing can be written there.
    """
    own = settings.data_output_dir / "validation" / "dataset_quality.json"
    path = given or (own if target.published else None)
    if path is not None and not is_remote(path):
        _require_writable(path)
    return path


def _require_writable(path: Path) -> None:
    """Try it with a file without a name, in the folder or where that would be made: rights alone
    do not tell, such as of a read-only file system.

    Raises:
        UsageError: it cannot be written.
    """
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        folder = next(folder for folder in path.parents if folder.exists())
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UsageError(
            f"report {path}: cannot be written: {error.strerror}", "give another file with --report"
        ) from error


def lines(report: Report, path: Path | None) -> Iterator[str]:
    """The report for people."""
    yield f"dataset  {report.path}"
    yield f"rows     {report.rows:,} x {report.columns:,} columns, {report.compared:,} compared"
    yield f"sessions {report.first} to {report.last}"
    yield ""
    rows = [["CHUNK", "ROWS", "SESSIONS", "FIRST", "LAST"]]
    for chunk in report.chunks:
        numbers = [count(chunk["rows"]), count(chunk["sessions"])]
        days = [chunk["output_start"] or "-", chunk["output_end"] or "-"]
        rows.append([chunk["chunk_id"], *numbers, *days])
    yield from table(rows, right={1, 2})
    yield ""
    yield from (f"not checked: {check}: {why}" for check, why in report.unchecked.items())
    yield from _told(report.findings, "")
    yield from _told(report.warnings, "warning: ")
    if path is not None:
        yield f"report   {path}"
    mark = "[FAIL]" if report.findings else "[WARN]" if report.warnings else "[OK]"
    yield (
        f"{mark} {plural(len(report.findings), 'finding')}, "
        f"{plural(len(report.warnings), 'warning')}"
    )


def _told(found: Sequence[Finding], before: str) -> Iterator[str]:
    for check in dict.fromkeys(finding.check for finding in found):
        own = [finding for finding in found if finding.check == check]
        yield from (f"{before}{finding}" for finding in own[:_NAMED])
        if len(own) > _NAMED:
            yield f"{before}{check}: and {len(own) - _NAMED} more"
