"""BuildChunk: the rows of one period, from snapshots to a committed chunk.

1. Read the snapshots over the chunk's sessions and the warm-up in front of them, and drop what
   was not public at the decision time of the last session.
2. Assemble arrays and compute the base columns (``features.chunk``).
3. Month by month: add the transforms and write a row group.
4. Commit: Parquet, metadata, then status.
"""

from __future__ import annotations

import datetime as dt
import logging
import time
from typing import TYPE_CHECKING

import luigi

from pipeline.market.periods import Period
from pipeline.storage.chunks import BuildOrder, ChunkStore
from pipeline.storage.parquet import Layout
from pipeline.storage.scratch import array_store
from pipeline.tasks import config, logs, memory, planning
from pipeline.tasks.fetching import range_of, sources_of, unavailable
from pipeline.tasks.kernels import compiled_once
from pipeline.tasks.parameters import Day, Switch
from pipeline.tasks.plan import SnapshotRange
from pipeline.tasks.progress import Reporter
from pipeline.tasks.snapshots import FetchSource
from pipeline.version import code_version

# What computes is loaded by the process that builds; all others only ask what there is to do.
if TYPE_CHECKING:
    from pipeline.market.axis import Source
    from pipeline.storage.content import ChunkWriter
    from pipeline.tasks.inputs import ChunkInputs

log = logging.getLogger(__name__)


class BuildChunk(luigi.Task):
    """``chunks/<chunk>/``: ml_dataset.parquet, metadata.json, and status.json, which commits.

    Complete when the chunk covers [first, last], has the origin of the run and answers the
    latest rebuild request. The snapshots it would be built from do not matter for that.
    """

    chunk: luigi.Parameter[str] = luigi.Parameter(description="chunk id, such as 2020Q1")
    first: luigi.Parameter[dt.date] = Day(description="first session")
    last: luigi.Parameter[dt.date] = Day(description="last session")
    snapshot: luigi.Parameter[str] = luigi.Parameter(description="range of the daily sources")
    refresh_listed: luigi.Parameter[bool] = Switch(default=False)

    @property
    def priority(self) -> int:  # type: ignore[override]  # Luigi takes a property here
        """The newest chunk first: it is what people wait for."""
        return Period.parse(self.chunk).first_month - 2000 * 12

    def requires(self) -> list[FetchSource]:
        settings = config.settings()
        wanted = SnapshotRange.parse(self.snapshot)
        return [
            FetchSource(
                source=endpoint.source,
                snapshot=str(range_of(endpoint, wanted)),
                fresh_after=planning.fresh_after(
                    settings, endpoint, refresh_listed=self.refresh_listed
                ),
            )
            for endpoint in sources_of(settings)
        ]

    def complete(self) -> bool:
        with planning.reported():
            planning.settings_of_step()
            return self.why_not_complete() is None

    def why_not_complete(self) -> str | None:
        """The reason in words, for people; None when the chunk is complete."""
        settings = config.settings()
        return ChunkStore(settings.data_output_dir).why_not_complete(
            self.chunk, origin=settings.origin, first=self.first, last=self.last
        )

    def run(self) -> None:
        from pipeline.features import catalog
        from pipeline.features.chunk import build, months_of
        from pipeline.tasks.inputs import ChunkInputs, snapshots_of_range

        began = time.monotonic()
        settings = config.settings()
        store = ChunkStore(settings.data_output_dir)
        snapshots = snapshots_of_range(settings, SnapshotRange.parse(self.snapshot))
        inputs = ChunkInputs(settings, snapshots, self.first, self.last)
        order = BuildOrder(
            chunk_id=self.chunk,
            origin=settings.origin,
            run_id=logs.run_id(),
            code_version=code_version(),
            covered_from=self.first,
            covered_to=self.last,
            input_start=inputs.columns[0].astype(object),
            input_end=self.last,
            schema=catalog.column_schema(),
            schema_version=planning.load_manifest().version,
            inputs=inputs.used,
            unavailable=unavailable(settings),
            ranges=catalog.value_ranges(),
        )
        threads = settings.compute_threads
        months = list(months_of(inputs.sessions))
        report = Reporter(self, f"chunk {self.chunk}: {{done}} of {{total}} steps")
        with (
            store.build(order, Layout(repeating=catalog.repeating_columns())) as writer,
            array_store(store.folder, settings.columns_in_memory_mb << 20) as columns,
        ):
            with compiled_once(settings.data_output_dir):
                chunk = build(
                    _read(inputs, writer),
                    inputs.calendar,
                    inputs.sessions[0],
                    inputs.sessions[-1],
                    threads=threads,
                    unavailable=inputs.absent,
                    columns=columns,
                )
            report(1, 1 + len(months))
            for step, (start, stop) in enumerate(months, 2):
                memory.give_back()
                writer.write(chunk.rows(start, stop, threads))
                report(step, 1 + len(months))
        status = store.read_status(self.chunk)
        log.info(
            "chunk %s: %s to %s, %s rows x %s columns in %.1f s",
            *(self.chunk, status["output_start"], status["output_end"], f"{status['rows']:,}"),
            *(len(order.schema), time.monotonic() - began),
        )


def _read(inputs: ChunkInputs, writer: ChunkWriter) -> dict[str, Source]:
    """The sources; the writer is told how many rows the listing records give."""
    from pipeline.market.universe import members_by_session

    sources = inputs.sources()
    writer.expect_rows(members_by_session(sources["listed"].table, inputs.sessions))
    return sources
