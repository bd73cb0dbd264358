"""ValidateSchema: the gate between the chunks and the dataset."""

from __future__ import annotations

from collections.abc import Sequence

import luigi

from pipeline import configuration
from pipeline.dataset.chunk_store import ChunkStore
from pipeline.market.calendar.periods import ChunkRange
from pipeline.operations.building.chunk_validation import is_validation_due, validate_chunks
from pipeline.operations.planning import run_plan
from pipeline.operations.runs.progress_report import Reporter
from pipeline.tasks.build_chunk import BuildChunk
from pipeline.tasks.chunk_selection import OverChunks
from pipeline.tasks.task_parameters import Switch


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

    def complete(self) -> bool:
        chunks = self.chunks()
        with run_plan.reported():
            if not _all_complete(chunks):
                return False
        return not is_validation_due(
            configuration.settings(),
            self.builds(chunks),
            verify_sha256=self.verify_sha256,
            fail_on_warning=self.fail_on_warning,
        )

    def run(self) -> None:
        validate_chunks(
            configuration.settings(),
            self.builds(self.chunks()),
            Reporter(self, "schema gate", "chunks"),
            years=self.filter_by_year,
            verify_sha256=self.verify_sha256,
            fail_on_warning=self.fail_on_warning,
        )


def _all_complete(chunks: Sequence[BuildChunk]) -> bool:
    """As ``complete()`` of each, but read together."""
    settings = run_plan.settings_of_step()
    asked = [ChunkRange(chunk.chunk, chunk.first, chunk.last) for chunk in chunks]
    reasons = ChunkStore(settings.data_output_dir).reasons(asked, settings.origin)
    return all(reason is None for reason in reasons)
