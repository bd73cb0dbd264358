"""ValidateSchema: the gate between the chunks and the dataset.

It holds the columns of every chunk against the manifest, its sessions against the trading calendar
and its stocks against the listing records it was built from. What it could not compare, because
the cache is gone, stands in its report and is a warning.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import luigi

from pipeline import configuration
from pipeline.checks.coverage import Coverage
from pipeline.checks.schema_gate import Checks, Verdict, judge_all, unchecked
from pipeline.dataset.chunk_store import ChunkStore
from pipeline.errors import MissingData, PipelineError, SchemaMismatch, StorageError
from pipeline.filesystem import documents
from pipeline.market.calendar.periods import ChunkRange
from pipeline.market.calendar.sessions import TradingCalendar
from pipeline.operations.fetching.source_fetch import load_calendar
from pipeline.operations.planning import output_state, run_plan
from pipeline.operations.planning.staleness import why_gate_due
from pipeline.operations.runs.progress_report import Reporter
from pipeline.process import log_setup
from pipeline.tasks.build_chunk import BuildChunk
from pipeline.tasks.chunk_selection import OverChunks
from pipeline.tasks.task_parameters import Switch

log = logging.getLogger(__name__)


class ValidateSchema(OverChunks):
    """``validation/schema_validation.json``: every chunk against the manifest, or no merge.

    Complete when the report passed and judged the present builds of exactly these chunks. A
    chunk that fails is marked ``failed_schema_mismatch``, so the next run builds it again; two
    chunks that do not fit each other stay as they are, and the run fails.
    """

    verify_sha256: luigi.Parameter[bool] = Switch(
        default=False, description="also read every file whole and compare its checksum"
    )
    fail_on_warning: luigi.Parameter[bool] = Switch(
        default=False, description="also fail for what the content checks found"
    )

    def requires(self) -> list[BuildChunk]:
        return self.chunks()

    def report_path(self) -> Path:
        return output_state.gate_report(configuration.settings().data_output_dir)

    def complete(self) -> bool:
        chunks = self.chunks()
        with run_plan.reported():
            if not _all_complete(chunks):
                return False
        try:
            report = documents.read_document(self.report_path(), "validation")
        except PipelineError:
            return False
        schema_hash = run_plan.load_manifest().schema_hash
        return bool(
            why_gate_due(report, self.builds(chunks), schema_hash) is None
            and (report["sha256_verified"] or not self.verify_sha256)
            and not (self.fail_on_warning and any(c["warnings"] for c in report["chunks"]))
        )

    def run(self) -> None:
        store = ChunkStore(configuration.settings().data_output_dir)
        manifest = run_plan.load_manifest()
        builds = self.builds(self.chunks())
        calendar = _calendar(store, builds)
        checks = Checks(
            keys=True,
            calendar=calendar,
            sha256=self.verify_sha256,
            coverage=Coverage(configuration.settings().data_output_dir, calendar, self._answers()),
            years=self.filter_by_year,
        )
        report_progress = Reporter(self, "schema gate", "chunks")
        verdicts = judge_all(store, list(builds), manifest, checks, report_progress)
        report = {
            "run_id": log_setup.run_id(),
            "generated_at": configuration.stamp(),
            "manifest_version": manifest.version,
            "schema_hash": manifest.schema_hash,
            "passed": all(verdict.passed for verdict in verdicts),
            "sha256_verified": self.verify_sha256,
            "inputs": builds,
            "chunks": [verdict.to_json() for verdict in verdicts],
        }
        documents.write_document(self.report_path(), "validation", report)
        self._act_on(store, verdicts)
        log.info("schema gate: %d chunks agree with manifest %s", len(verdicts), manifest.version)

    def _answers(self) -> dict[str, Mapping[str, Any]]:
        """What the last report says about sessions and stocks, by chunk."""
        try:
            report = documents.read_document(self.report_path(), "validation")
        except PipelineError:
            return {}
        chunks = report["chunks"]
        return {entry["chunk_id"]: entry["coverage"] for entry in chunks if "coverage" in entry}

    def _act_on(self, store: ChunkStore, verdicts: Sequence[Verdict]) -> None:
        """Mark the chunks at fault, tell the warnings, and raise where the gate stays shut.

        Raises:
            SchemaMismatch: chunks to be built again.
            StorageError: chunks that do not go together; or warnings that are to count.
        """
        for verdict in verdicts:
            if not verdict.sound:
                store.mark_schema_mismatch(verdict.chunk_id, "; ".join(verdict.lines()))
        failed = [verdict for verdict in verdicts if not verdict.sound]
        if failed:
            raise SchemaMismatch(
                f"schema gate, chunks {', '.join(verdict.chunk_id for verdict in failed)}",
                [f"{v.chunk_id}: {line}" for v in failed for line in v.lines()],
                f"the next run builds them again{_again(failed)}; all details are in "
                f"{self.report_path()}",
            )
        conflicts = [
            f"chunk {v.chunk_id} {line}" for v in verdicts for line in (*v.conflicts, *v.gaps)
        ]
        if conflicts:
            raise StorageError(f"schema gate: {'; '.join(conflicts)}", "or give --start and --end")
        for line in unchecked(verdicts):
            log.warning("schema gate: %s", line)
        warnings = [f"chunk {v.chunk_id}: {line}" for v in verdicts for line in v.warnings]
        for line in warnings:
            log.warning("%s", line)
        if warnings and self.fail_on_warning:
            raise StorageError(
                f"schema gate: warnings about the content count ({len(warnings)}), "
                f"first {warnings[0]}",
                f"all are in {self.report_path()}; without fail_on_warning they do not",
            )


def _again(failed: Sequence[Verdict]) -> str:
    """What else to do where building again does not help."""
    if not any(verdict.holes for verdict in failed):
        return ""
    return "; if rows are missing then too, ask for the listing records again: --refresh-listed"


def _all_complete(chunks: Sequence[BuildChunk]) -> bool:
    """As ``complete()`` of each, but looked at together."""
    settings = run_plan.settings_of_step()
    asked = [ChunkRange(chunk.chunk, chunk.first, chunk.last) for chunk in chunks]
    reasons = ChunkStore(settings.data_output_dir).reasons(asked, settings.origin)
    return all(reason is None for reason in reasons)


def _calendar(store: ChunkStore, chunk_ids: Collection[str]) -> TradingCalendar | None:
    """The trading days up to the end of the chunks; None when the cache has no such calendar."""
    ends = [s["covered_to"] for s in store.statuses(chunk_ids).values() if s is not None]
    last = max(map(dt.date.fromisoformat, ends), default=None)
    try:
        return load_calendar(configuration.settings(), last) if last else None
    except MissingData:
        log.warning("schema gate: no trading calendar in the cache to compare the dates with")
        return None
