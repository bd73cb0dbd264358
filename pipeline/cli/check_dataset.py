"""``g5 check-dataset``: whether a merged dataset is what it says, and what changed in it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from pipeline.cli import options
from pipeline.cli.text import count, plural, table
from pipeline.market.quality import Finding
from pipeline.storage import documents
from pipeline.storage.place import place_of
from pipeline.tasks import config, quality
from pipeline.tasks.quality import Report

_NAMED = 20  # findings of one check that are printed; the report has all


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``check-dataset`` to the commands of g5."""
    parser = subparsers.add_parser(
        "check-dataset",
        help="keys, days, columns and drift of the merged dataset",
        description="Reads the whole file and writes validation/dataset_quality.json. Exit code "
        "0: nothing to say, 1: findings, 2: cannot check. What changed between chunks is a "
        "warning.",
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
        help="default: validation/dataset_quality.json of the output root",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print the report instead")
    options.add_settings(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Check, print and write the report; returns 0 without findings, else 1.

    Raises:
        UsageError: it cannot be checked: no dataset, a damaged file, an unknown column.
    """
    with options.checking():
        settings = options.settings_of(args)
        dataset = args.dataset
        report = quality.examine(settings, dataset, args.columns)
        document = report.to_json(config.stamp())
        path = args.report or settings.data_output_dir / "validation" / "dataset_quality.json"
        documents.write_document(path, "dataset_quality", document)
    if args.json:
        print(json.dumps(document, ensure_ascii=False))
    else:
        print("\n".join(lines(report, path)))
    return 1 if report.findings or (args.fail_on_warning and report.warnings) else 0


def lines(report: Report, path: Path) -> Iterator[str]:
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
