"""The gate between the chunks and the dataset.

It compares the columns of every chunk with the manifest, its sessions with the trading calendar
and its stocks with the listing records it was built from. What cannot be compared, because the
cache is gone, is noted in its report and logged as a warning.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline import configuration
from pipeline.checks.coverage import Coverage
from pipeline.checks.schema_gate import Checks, Verdict, judge_all, unchecked
from pipeline.configuration import Settings
from pipeline.dataset.chunk_store import ChunkStore
from pipeline.errors import MissingData, PipelineError, SchemaMismatch, StorageError
from pipeline.filesystem import documents
from pipeline.market.calendar.sessions import TradingCalendar
from pipeline.operations.fetching.source_fetch import load_calendar
from pipeline.operations.planning import output_state, run_plan
from pipeline.operations.planning.staleness import Builds, why_gate_due
from pipeline.process import log_setup

log = logging.getLogger(__name__)


def is_validation_due(
    settings: Settings, builds: Builds, *, verify_sha256: bool, fail_on_warning: bool
) -> bool:
    """Whether the report did not pass, or is not of these builds, or asked for less."""
    try:
        report = _read(settings)
    except PipelineError:
        return True
    return bool(
        why_gate_due(report, builds, run_plan.load_manifest().schema_hash) is not None
        or (verify_sha256 and not report["sha256_verified"])
        or (fail_on_warning and any(chunk["warnings"] for chunk in report["chunks"]))
    )


def validate_chunks(
    settings: Settings,
    builds: Builds,
    report_progress: Callable[[int, int], None],
    *,
    years: tuple[int, ...] | None,
    verify_sha256: bool,
    fail_on_warning: bool,
) -> None:
    """Judge every chunk, write the report, and mark the chunks that have to be built again.

    Args:
        builds: the present build of each chunk.
        report_progress: receives the chunks done and all chunks.
        years: the chunks were chosen by; None for all.
        verify_sha256: also read every file whole and compare its checksum.
        fail_on_warning: also fail for what the content checks found.

    Raises:
        SchemaMismatch: chunks to be built again.
        StorageError: chunks that do not go together, or warnings that count.
    """
    store = ChunkStore(settings.data_output_dir)
    manifest = run_plan.load_manifest()
    calendar = _calendar(settings, store, builds)
    checks = Checks(
        keys=True,
        calendar=calendar,
        sha256=verify_sha256,
        coverage=Coverage(settings.data_output_dir, calendar, _last_coverage(settings)),
        years=years,
    )
    verdicts = judge_all(store, list(builds), manifest, checks, report_progress)
    report = {
        "run_id": log_setup.run_id(),
        "generated_at": configuration.stamp(),
        "manifest_version": manifest.version,
        "schema_hash": manifest.schema_hash,
        "passed": all(verdict.passed for verdict in verdicts),
        "sha256_verified": verify_sha256,
        "inputs": builds,
        "chunks": [verdict.to_json() for verdict in verdicts],
    }
    path = output_state.gate_report(settings.data_output_dir)
    documents.write_document(path, "validation", report)
    _act_on(store, verdicts, path, fail_on_warning=fail_on_warning)
    log.info("schema gate: %d chunks agree with manifest %s", len(verdicts), manifest.version)


def _read(settings: Settings) -> dict[str, Any]:
    return documents.read_document(output_state.gate_report(settings.data_output_dir), "validation")


def _last_coverage(settings: Settings) -> dict[str, Mapping[str, Any]]:
    """What the last report says about sessions and stocks, by chunk."""
    try:
        chunks = _read(settings)["chunks"]
    except PipelineError:
        return {}
    return {entry["chunk_id"]: entry["coverage"] for entry in chunks if "coverage" in entry}


def _act_on(
    store: ChunkStore, verdicts: Sequence[Verdict], path: Path, *, fail_on_warning: bool
) -> None:
    """Mark the chunks at fault, log the warnings, and raise where nothing may be merged."""
    for verdict in verdicts:
        if not verdict.sound:
            store.mark_schema_mismatch(verdict.chunk_id, "; ".join(verdict.lines()))
    failed = [verdict for verdict in verdicts if not verdict.sound]
    if failed:
        raise SchemaMismatch(
            f"schema gate, chunks {', '.join(verdict.chunk_id for verdict in failed)}",
            [f"{v.chunk_id}: {line}" for v in failed for line in v.lines()],
            f"the next run builds them again{_again(failed)}; all details are in {path}",
        )
    conflicts = [f"chunk {v.chunk_id} {line}" for v in verdicts for line in (*v.conflicts, *v.gaps)]
    if conflicts:
        raise StorageError(f"schema gate: {'; '.join(conflicts)}", "or give --start and --end")
    for line in unchecked(verdicts):
        log.warning("schema gate: %s", line)
    warnings = [f"chunk {v.chunk_id}: {line}" for v in verdicts for line in v.warnings]
    for line in warnings:
        log.warning("%s", line)
    if warnings and fail_on_warning:
        raise StorageError(
            f"schema gate: warnings about the content count ({len(warnings)}), first {warnings[0]}",
            f"all are in {path}; without fail_on_warning they do not",
        )


def _again(failed: Sequence[Verdict]) -> str:
    """What else to do where building again does not help."""
    if not any(verdict.holes for verdict in failed):
        return ""
    return "; if rows are missing then too, ask for the listing records again: --refresh-listed"


def _calendar(
    settings: Settings, store: ChunkStore, chunk_ids: Collection[str]
) -> TradingCalendar | None:
    """The trading days up to the end of the chunks; None when the cache has no such calendar."""
    ends = [s["covered_to"] for s in store.statuses(chunk_ids).values() if s is not None]
    last = max(map(dt.date.fromisoformat, ends), default=None)
    try:
        return load_calendar(settings, last) if last else None
    except MissingData:
        log.warning("schema gate: no trading calendar in the cache to compare the dates with")
        return None
