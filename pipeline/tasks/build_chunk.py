"""BuildChunk: the rows of one period, from snapshots to a committed chunk.

1. Decide whether the chunk on disk can grow: then only the sessions behind its final rows are
   made, and the rows that stand stay as they were published (``storage.growth``).
2. Read the snapshots over the sessions to be made and the warm-up in front of them, and drop what
   was not public at the decision time of the last session.
3. Assemble arrays and compute the base columns (``features.chunk``).
4. Month by month: add the transforms and write a row group.
5. Commit: Parquet, metadata, then status.
"""

from __future__ import annotations

import datetime as dt
import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import luigi
import numpy as np

from pipeline import configuration
from pipeline.configuration import Settings
from pipeline.dataset.build_request import BuildOrder
from pipeline.dataset.chunk_store import ChunkStore
from pipeline.dataset.parquet.layout import Layout
from pipeline.filesystem.location import on_host
from pipeline.filesystem.scratch import array_store
from pipeline.market.calendar.periods import Period
from pipeline.market.calendar.sessions import TradingCalendar
from pipeline.operations.cluster import announcement
from pipeline.operations.fetching.snapshot_range import SnapshotRange
from pipeline.operations.fetching.source_fetch import range_of, sources_of, unavailable
from pipeline.operations.planning import run_plan
from pipeline.operations.runs.progress_report import Reporter
from pipeline.process import log_setup, memory
from pipeline.process.kernel_cache import compiled_once
from pipeline.tasks.fetch_source import FetchSource
from pipeline.tasks.task_parameters import Day, Switch
from pipeline.version import code_version

# What computes is loaded by the process that builds; all others only ask what there is to do.
if TYPE_CHECKING:
    from pipeline.dataset.chunk_growth import Growth
    from pipeline.operations.building.chunk_inputs import ChunkInputs

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
        settings = configuration.settings()
        wanted = SnapshotRange.parse(self.snapshot)
        return [
            FetchSource(
                source=endpoint.source,
                snapshot=str(range_of(endpoint, wanted)),
                fresh_after=run_plan.fresh_after(
                    settings, endpoint, refresh_listed=self.refresh_listed
                ),
            )
            for endpoint in sources_of(settings)
        ]

    def complete(self) -> bool:
        with run_plan.reported():
            run_plan.settings_of_step()
            return self.why_not_complete() is None

    def why_not_complete(self) -> str | None:
        """The reason in words, for people; None when the chunk is complete."""
        settings = configuration.settings()
        return ChunkStore(settings.data_output_dir).why_not_complete(
            self.chunk, origin=settings.origin, first=self.first, last=self.last
        )

    def run(self) -> None:
        from pipeline.features.engine import catalogue
        from pipeline.features.engine.chunk_features import build, months_of
        from pipeline.operations.building.chunk_inputs import ChunkInputs, snapshots_of_range

        began = time.monotonic()
        settings = configuration.settings()
        announcement.require_same_code(settings.data_output_dir, run_plan.load_manifest())
        store = ChunkStore(settings.data_output_dir)
        if found := store.recover(self.chunk):
            log.info("chunk %s %s", self.chunk, found)
            if self.why_not_complete() is None:
                return
        snapshots = snapshots_of_range(settings, SnapshotRange.parse(self.snapshot))
        inputs = ChunkInputs(settings, snapshots, self.first, self.last)
        order = self._order(settings, inputs)
        layout = Layout(repeating=catalogue.repeating_columns())
        growth = self._growth(store, order, layout, inputs.calendar)
        made = inputs
        if growth is not None:
            order = replace(order, corrections=inputs.corrections_since(growth))
            made = inputs.since(growth.first)
        threads = settings.compute_threads
        months = list(months_of(made.sessions))
        report = Reporter(self, f"chunk {self.chunk}", "steps")
        report(0, 1 + len(months))
        with (
            store.build(order, layout, growth) as writer,
            array_store(on_host(store.folder), settings.columns_in_memory_mb << 20) as columns,
        ):
            writer.expect_rows(inputs.listed_members())
            with compiled_once(settings.data_output_dir):
                chunk = build(
                    made.sources(),
                    made.calendar,
                    made.sessions[0],
                    made.sessions[-1],
                    threads=threads,
                    unavailable=made.absent,
                    columns=columns,
                    freed=memory.give_back,
                )
            writer.note(sorted(made.unknown))
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

    def _order(self, settings: Settings, inputs: ChunkInputs) -> BuildOrder:
        from pipeline.features.engine import catalogue

        return BuildOrder(
            chunk_id=self.chunk,
            origin=settings.origin,
            run_id=log_setup.run_id(),
            code_version=code_version(),
            covered_from=self.first,
            covered_to=self.last,
            input_start=inputs.columns[0].astype(object),
            input_end=self.last,
            schema=catalogue.column_schema(),
            schema_version=run_plan.load_manifest().version,
            inputs=inputs.used,
            unavailable=unavailable(settings),
            ranges=catalogue.value_ranges(),
            quarantine=inputs.quarantine,
        )

    def _growth(
        self, store: ChunkStore, order: BuildOrder, layout: Layout, calendar: TradingCalendar
    ) -> Growth | None:
        """How to go on from the chunk on disk; None to make all rows, and why, if not expected."""
        growth = store.growth(order, layout, calendar)
        if isinstance(growth, str):
            log.info("chunk %s cannot grow, all rows are made: it %s", self.chunk, growth)
            return None
        if growth is not None:
            standing = calendar.previous(np.datetime64(growth.first))
            log.info("chunk %s grows: rows to %s stand", self.chunk, standing)
        return growth
