"""ValidateSchema: the gate between the chunks and the dataset."""

from __future__ import annotations

import logging
from pathlib import Path

from pipeline.errors import PipelineError, SchemaMismatch
from pipeline.storage import documents
from pipeline.storage.chunks import ChunkStore
from pipeline.storage.gate import judge
from pipeline.tasks import config, logs, planning
from pipeline.tasks.chunks import BuildChunk
from pipeline.tasks.chunkset import OverChunks

log = logging.getLogger(__name__)


class ValidateSchema(OverChunks):
    """``validation/schema_validation.json``: every chunk against the manifest, or no merge.

    Complete when the report passed and judged the present builds of exactly these chunks. A
    chunk that fails is marked ``failed_schema_mismatch``, so the next run builds it again.
    """

    def requires(self) -> list[BuildChunk]:
        return self.chunks()

    def report_path(self) -> Path:
        return config.settings().data_output_dir / "validation" / "schema_validation.json"

    def complete(self) -> bool:
        chunks = self.chunks()
        if not all(chunk.complete() for chunk in chunks):
            return False
        try:
            report = documents.read_document(self.report_path(), "validation")
        except PipelineError:
            return False
        manifest = planning.load_manifest()
        return bool(
            report["passed"]
            and report["inputs"] == self.builds(chunks)
            and report["schema_hash"] == manifest.schema_hash
        )

    def run(self) -> None:
        store = ChunkStore(config.settings().data_output_dir)
        manifest = planning.load_manifest()
        builds = self.builds(self.chunks())
        verdicts = [judge(store, chunk, manifest) for chunk in builds]
        report = {
            "run_id": logs.run_id(),
            "generated_at": config.stamp(),
            "manifest_version": manifest.version,
            "schema_hash": manifest.schema_hash,
            "passed": all(verdict.passed for verdict in verdicts),
            "inputs": builds,
            "chunks": [verdict.to_json() for verdict in verdicts],
        }
        documents.write_document(self.report_path(), "validation", report)
        failed = [verdict for verdict in verdicts if not verdict.passed]
        for verdict in failed:
            store.mark_schema_mismatch(verdict.chunk_id, "; ".join(verdict.issues))
        if failed:
            raise SchemaMismatch(
                f"schema gate, chunks {', '.join(verdict.chunk_id for verdict in failed)}",
                [f"{v.chunk_id}: {issue}" for v in failed for issue in v.issues],
                f"the next run builds them again; all details are in {self.report_path()}",
            )
        log.info("schema gate: %d chunks agree with manifest %s", len(verdicts), manifest.version)
