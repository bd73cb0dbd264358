"""FetchSource: one source of one run, from the API into the snapshot cache."""

from __future__ import annotations

import luigi

from pipeline import configuration
from pipeline.api.catalogue.endpoints import endpoint_of
from pipeline.cache.fetch_policy import ANY_AGE
from pipeline.operations.fetching.snapshot_range import SnapshotRange
from pipeline.operations.fetching.source_fetch import is_fetched
from pipeline.operations.planning import run_plan
from pipeline.operations.runs.fetch_run import fetch_source
from pipeline.operations.runs.progress_report import Reporter


class FetchSource(luigi.Task):
    """``cache/<source>/<source>_raw_<snapshot>.json`` and the parts it lists.

    One process at a time talks to the API (resource ``jquants_api``), with as many threads as
    configured. Complete when there is a snapshot of this origin that was checked after
    ``fresh_after``, which the run set before its first task. A running fetch follows the messages
    ``stop`` and ``concurrency=N`` from the page of luigid.
    """

    source: luigi.Parameter[str] = luigi.Parameter()
    snapshot: luigi.Parameter[str] = luigi.Parameter(description="START_END[_asof-DATE][_TAG]")
    fresh_after: luigi.Parameter[str] = luigi.Parameter(default=ANY_AGE)

    resources = {"jquants_api": 1}
    priority = 100
    accepts_messages = True

    def complete(self) -> bool:
        with run_plan.reported():
            wanted = SnapshotRange.parse(self.snapshot)
            source = endpoint_of(self.source).source
            settings = run_plan.settings_of_step()
        return is_fetched(settings, source, wanted, self.fresh_after)

    def run(self) -> None:
        fetch_source(
            configuration.settings(),
            self.source,
            SnapshotRange.parse(self.snapshot),
            self.fresh_after,
            Reporter(self, self.source.replace("_", " "), "days"),
            getattr(self, "scheduler_messages", None),  # set by a worker
        )
