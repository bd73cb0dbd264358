"""``g5 check-chunks``: the state of every chunk, and whether its columns are the agreed ones."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import configuration
from pipeline.checks.schema_gate import Checks, Verdict, judge_all
from pipeline.cli.terminal import options
from pipeline.cli.terminal.text_tables import plural, table
from pipeline.dataset.chunk_store import ChunkStore
from pipeline.errors import MissingData
from pipeline.exit_codes import ExitCode
from pipeline.filesystem.location import place_of
from pipeline.manifest import HASH_STRATEGY, Manifest, Retyped
from pipeline.operations.planning import run_plan

_NAMED = 20  # columns or chunks named in one line
_CELL = 60  # characters of one issue in the table


@dataclass(frozen=True)
class _Report:
    """What was found, and what of it counts."""

    folder: Path
    manifest_path: Path
    manifest: Manifest | None
    verdicts: Sequence[Verdict]
    strays: Sequence[str]
    fail_on_schema: bool
    fail_on_warning: bool

    @property
    def failed(self) -> list[str]:
        """Ids of the chunks whose findings count."""
        return [v.chunk_id for v in self.verdicts if self._counts(v)]

    @property
    def passed(self) -> bool:
        return not (self.failed or (self.fail_on_warning and self.strays))

    def _counts(self, verdict: Verdict) -> bool:
        return bool(
            verdict.issues
            or verdict.conflicts
            or (verdict.violations and self.fail_on_schema)
            or (verdict.warnings and self.fail_on_warning)
        )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``check-chunks``."""
    parser.description = (
        "Reads status files and Parquet footers only. Exit code 0: nothing to say; "
        "1: findings; 2: cannot check."
    )
    parser.add_argument("--chunks-dir", type=place_of, help="default: chunks/ of data_output_dir")
    parser.add_argument(
        "--validate-schema", action="store_true", help="compare the columns with the manifest"
    )
    parser.add_argument(
        "--fail-on-schema", action=argparse.BooleanOptionalAction, default=None,
        help="count a mismatch as a finding (default); implies --validate-schema",
    )  # fmt: skip
    parser.add_argument(
        "--fail-on-warning", action="store_true", help="count warnings as findings too"
    )
    parser.add_argument(
        "--schema-manifest", type=Path, help="default: the project's own; implies --validate-schema"
    )
    parser.add_argument(
        "--verify-sha256", action="store_true", help="read every file whole, for its checksum"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document instead")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the table and the findings; returns 0 without any, else 1.

    Raises:
        UsageError: it cannot be checked: no chunks, an unusable manifest.
    """
    with options.checking():
        report = _check(args)
    if args.json:
        print(json.dumps(_document(report), ensure_ascii=False, indent=2))
    else:
        for line in _lines(report):
            print(line)
    return ExitCode.DONE if report.passed else ExitCode.FINDINGS


def _check(args: argparse.Namespace) -> _Report:
    folder = args.chunks_dir or configuration.settings().data_output_dir / "chunks"
    manifest_path = args.schema_manifest or run_plan.manifest_path()
    wanted = args.validate_schema or args.fail_on_schema or args.schema_manifest
    if not folder.is_dir():
        raise MissingData(f"{folder}: there is no such folder", "give it with --chunks-dir")
    store = ChunkStore.at(folder)
    ids = store.ids()
    if not ids:
        raise MissingData(f"no chunk in {folder}", "build chunks first, or give --chunks-dir")
    manifest = run_plan.load_manifest(manifest_path) if wanted else None
    return _Report(
        folder=folder,
        manifest_path=manifest_path,
        manifest=manifest,
        verdicts=judge_all(store, ids, manifest, Checks(sha256=args.verify_sha256)),
        strays=_strays(folder, ids),
        fail_on_schema=args.fail_on_schema is not False,
        fail_on_warning=args.fail_on_warning,
    )


def findings(verdict: Verdict) -> list[str]:
    """What is wrong with a chunk: columns by kind, then everything else."""
    seen = verdict.violations
    kinds = {
        "missing columns": [f"{c.name} ({c.dtype})" for c in seen.missing],
        "extra columns": [f"{c.name} ({c.dtype})" for c in seen.extra],
        "type mismatches": [_retyped(entry) for entry in seen.retyped],
        "role mismatches": [_retyped(entry) for entry in seen.roles],
        "columns out of order": list(seen.order),
    }
    lines = []
    for kind, names in kinds.items():
        if names:
            lines.append(f"{kind} ({len(names)}): {_some(names)}")
    return [*lines, *verdict.issues, *verdict.holes, *verdict.conflicts, *verdict.gaps]


def _lines(report: _Report) -> Iterator[str]:
    """The whole report for people."""
    if report.manifest is None:
        yield "Schema manifest: not compared, see --validate-schema"
    else:
        yield f"Schema manifest: {report.manifest_path} (version {report.manifest.version})"
        yield f"Expected schema hash: {report.manifest.schema_hash}"
    yield ""
    tick, cross = _marks()
    rows = [["Chunk", "Rows", "State", "Schema", "Issues"]]
    for verdict in report.verdicts:
        mark = "" if report.manifest is None else cross if verdict.violations else tick
        shape = f"{mark} {verdict.schema_hash[:8]}".strip() if verdict.schema_hash else "-"
        rows.append(
            [
                verdict.chunk_id,
                "-" if verdict.rows is None else str(verdict.rows),
                verdict.state or "-",
                shape,
                _summary(verdict),
            ]
        )
    yield from table(rows, right={1})
    yield ""
    for verdict in report.verdicts:
        lines = [*findings(verdict), *(f"warning: {line}" for line in verdict.warnings)]
        if lines:
            yield f"{verdict.chunk_id}:"
            yield from (f"  {line}" for line in lines)
    if report.strays:
        yield f"warning: passed over in {report.folder}, no chunks: {', '.join(report.strays)}"
    yield _closing(report)


def _closing(report: _Report) -> str:
    total = len(report.verdicts)
    if not report.passed:
        named = _some(report.failed) if report.failed else "warnings count"
        return f"[FAIL] {len(report.failed)} of {total} chunks have findings: {named}"
    mismatched = [v.chunk_id for v in report.verdicts if v.violations]
    if mismatched:
        return (
            f"[WARN] {len(mismatched)} of {total} chunks differ from the manifest, which does "
            f"not count (--no-fail-on-schema): {_some(mismatched)}"
        )
    if report.manifest is None:
        return f"[OK] All {total} chunks are complete; schema not validated"
    return f"[OK] All {total} chunks validated successfully"


def _summary(verdict: Verdict) -> str:
    """The findings of a chunk in a cell."""
    seen = verdict.violations
    counts = {
        "missing": len(seen.missing),
        "extra": len(seen.extra),
        "retyped": len(seen.retyped),
        "other role": len(seen.roles),
        "out of order": len(seen.order),
    }
    parts = [f"{count} {what}" for what, count in counts.items() if count]
    others = [*verdict.issues, *verdict.conflicts]
    if others:
        first = others[0]
        parts.append(first if len(first) <= _CELL else f"{first[: _CELL - 3]}...")
    if len(others) > 1:
        parts.append(f"{len(others) - 1} more")
    if verdict.warnings:
        parts.append(plural(len(verdict.warnings), "warning"))
    return "; ".join(parts)


def _document(report: _Report) -> dict[str, Any]:
    """The whole report for programs."""
    manifest = report.manifest and {
        "path": str(report.manifest_path),
        "version": report.manifest.version,
        "hash_strategy": HASH_STRATEGY,
        "schema_hash": report.manifest.schema_hash,
    }
    return {
        "chunks_dir": str(report.folder),
        "manifest": manifest,
        "passed": report.passed,
        "failed": report.failed,
        "passed_over": list(report.strays),
        "chunks": [
            {"state": verdict.state, "origin": verdict.origin, **verdict.to_json()}
            for verdict in report.verdicts
        ],
    }


def _strays(folder: Path, ids: Sequence[str]) -> list[str]:
    names = (entry.name for entry in folder.iterdir())
    return sorted(name for name in names if name not in ids and not name.startswith("."))


def _retyped(entry: Retyped) -> str:
    return f"{entry.name}: expected {entry.expected}, found {entry.found}"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{', '.join(names[:_NAMED])}{more}"


def _marks() -> tuple[str, str]:
    """Tick and cross, or words where the terminal has no such letters."""
    try:
        "✓✗".encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return "ok", "NG"
    return "✓", "✗"
