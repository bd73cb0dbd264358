"""BuildChunk: the rows of one period, from snapshots to a committed chunk."""

from __future__ import annotations

import datetime as dt

import luigi

from pipeline import configuration
from pipeline.dataset.chunk_store import ChunkStore
from pipeline.market.calendar.periods import ChunkRange, Period
from pipeline.operations.fetching.snapshot_range import SnapshotRange
from pipeline.operations.fetching.source_fetch import range_of, sources_of
from pipeline.operations.planning import run_plan
from pipeline.operations.runs.progress_report import Reporter
from pipeline.tasks.fetch_source import FetchSource
from pipeline.tasks.task_parameters import Day, Switch


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
        # Only the process that builds loads what computes.
        from pipeline.operations.building.chunk_build import build_chunk

        build_chunk(
            configuration.settings(),
            ChunkRange(self.chunk, self.first, self.last),
            SnapshotRange.parse(self.snapshot),
            Reporter(self, f"chunk {self.chunk}", "steps"),
        )
