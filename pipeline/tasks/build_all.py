"""BuildAll: from the API to the published dataset, its labels and its report."""

from __future__ import annotations

import datetime as dt
import logging

import luigi

from pipeline import configuration
from pipeline.market.calendar.periods import ChunkRange
from pipeline.operations.planning import run_plan
from pipeline.operations.planning.forced_rebuild import request_once
from pipeline.operations.planning.waiting_corrections import request_rebuilds
from pipeline.process import task_process
from pipeline.tasks.build_report import BuildReport
from pipeline.tasks.task_parameters import Count, Day, Switch

log = logging.getLogger(__name__)


class BuildAll(luigi.WrapperTask):
    """Fetch, build, validate, merge and label the sessions of [start, end] that are published,
    and report on them.

    Complete when dataset, labels and report are of the present builds of exactly these chunks.
    ``--force`` and ``--resume false`` rebuild all chunks; with ``--latest-only`` only the newest
    chunk is checked and built, the others are merged as found.
    """

    start: luigi.Parameter[dt.date] = Day(description="first day, YYYY-MM-DD")
    end: luigi.Parameter[dt.date] = Day(description="last day, YYYY-MM-DD")
    chunk_months: luigi.Parameter[int] = Count(default=3)
    resume: luigi.Parameter[bool] = Switch(default=True)
    force: luigi.Parameter[bool] = Switch(default=False)
    latest_only: luigi.Parameter[bool] = Switch(default=False)
    refresh_listed: luigi.Parameter[bool] = Switch(default=False)

    def complete(self) -> bool:
        done = bool(super().complete())
        if done and task_process.is_main_process():
            log.info("nothing to do: %s to %s is complete", self.start, self.end)
        return done

    def requires(self) -> BuildReport:
        with run_plan.reported():
            chunks = self._chunks()
            if self.force or not self.resume:
                request_once([chunk.chunk_id for chunk in chunks])
            else:
                request_rebuilds(configuration.settings(), [chunk.chunk_id for chunk in chunks])
            return BuildReport(
                start=chunks[0].first,
                end=chunks[-1].last,
                chunk_months=self.chunk_months,
                build=True,
                all_chunks=self.latest_only,
                refresh_listed=self.refresh_listed,
            )

    def _chunks(self) -> list[ChunkRange]:
        settings = run_plan.check_request(self.start, self.end)
        chunks = run_plan.begin(settings, self.start, self.end, self.chunk_months)
        return chunks[-1:] if self.latest_only else chunks
