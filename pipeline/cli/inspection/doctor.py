"""``g5 doctor``: whether key, service and machine are what a run needs."""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

from pipeline.cli.terminal import options
from pipeline.cli.terminal.text_tables import count, size, table
from pipeline.errors import UsageError
from pipeline.filesystem import atomic
from pipeline.operations.doctor import questions
from pipeline.operations.doctor.diagnosis import Asked, Report

_WIDTH = 100
_MARK = 9  # "problem" and two blanks
_ABOUT = 16


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``doctor``."""
    parser.description = (
        "Asks each source of the plan at most twice, on your own key, and holds every "
        "field against what g5 expects. Builds nothing. Exit code 0: all is well; 1: findings, "
        "each with what to do; 2: cannot check."
    )
    parser.add_argument("--json", action="store_true", help="one JSON document")
    parser.add_argument(
        "--record", type=Path, metavar="FILE",
        help="also write a report for a bug report: names, types, shapes and counts, no values of "
        "the data, no key",
    )  # fmt: skip
    options.add_settings(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print what was found; 0 when all is well, 1 with findings, 2 when nothing could be checked.

    Raises:
        UsageError: no key, a setting that does not do, or another origin than expected.
    """
    if args.record is not None and (args.record.is_dir() or not args.record.parent.is_dir()):
        raise UsageError(f"--record {args.record}: expected a file in a folder that exists")
    with options.checking():
        report = questions.examine_account(options.settings_of(args), _say)
        if args.record is not None:
            atomic.write_json(args.record, report.to_json(redacted=True))
    if args.json:
        print(json.dumps(report.to_json(redacted=False), ensure_ascii=False, indent=2))
    else:
        print("\n".join(lines(report)))
    if args.record is not None:
        sys.stderr.write(
            f"g5 doctor: {args.record}: names, types, shapes and counts of what was found; no "
            "values of the data, no key, no server's words\n"
        )
    return report.exit_code


def lines(report: Report) -> Iterator[str]:
    """The report for people, at most 100 characters wide."""
    plan = report.plan or "unknown"
    yield (
        f"g5 doctor {report.checked_at:%Y-%m-%d %H:%M} JST: origin {report.origin}, plan {plan}, "
        f"{report.requests} requests in {report.seconds:.0f} s"
    )
    yield ""
    if report.asked:
        yield from _answers(report)
        yield ""
    for check in report.checks:
        yield from _wrapped(f"{check.level:<{_MARK}}{check.about:<{_ABOUT}} ", check.text)
        if check.next:
            yield from _wrapped(" " * (_MARK + _ABOUT + 1), f"next: {check.next}")
    if report.not_asked:
        names = ", ".join(f"{source} ({part})" for source, part, _ in report.not_asked)
        yield from _wrapped(f"{'left out':<{_MARK}}{'':<{_ABOUT}} ", names)
        whys = ", ".join(dict.fromkeys(why for _, _, why in report.not_asked))
        yield from _wrapped(" " * (_MARK + _ABOUT + 1), f"why: {whys}")
    yield ""
    yield _closing(report)


def _answers(report: Report) -> Iterator[str]:
    rows = [["SOURCE", "DAY", "HTTP", "ROWS", "SIZE", "TIME", "FIELDS"]]
    for asked in report.asked:
        number = asked.found.rows if asked.found else asked.files.entries if asked.files else None
        rows.append(
            [
                asked.source,
                asked.days if asked.part != "files" else "files",
                str(asked.status or "-"),
                count(number) + ("+" if asked.pages else ""),
                size(asked.bytes),
                f"{asked.seconds:.2f} s",
                _fields(asked),
            ]
        )
    for line in table(rows, right={2, 3, 4, 5}):
        yield line[:_WIDTH]


def _fields(asked: Asked) -> str:
    if asked.part == "plan" and asked.status in (401, 403):
        return "not in plan"
    if asked.reads is None:
        return "-"
    if not asked.reads:
        return "unreadable"
    if asked.found is None:
        return ""
    if not asked.found.rows:
        return "none seen"
    return f"{len(asked.found.findings)} differ" if asked.found.findings else "ok"


def _wrapped(head: str, text: str) -> list[str]:
    return textwrap.wrap(
        text or "-", _WIDTH, initial_indent=head, subsequent_indent=" " * len(head)
    )


def _closing(report: Report) -> str:
    if not report.can_check:
        return "cannot check: no answer could be looked at"
    levels = [check.level for check in report.checks]
    problems, warnings = levels.count("problem"), levels.count("warning")
    if not problems + warnings:
        left = len(report.not_asked)
        return f"what was asked is well, {left} requests were left out" if left else "all is well"
    return f"problems {problems}, warnings {warnings}"


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
