"""FetchSource: one source of one run, from the API into the snapshot cache."""

from __future__ import annotations

import luigi

from pipeline import configuration
from pipeline.api.catalogue.endpoints import endpoint_of
from pipeline.api.http.concurrency import Lanes
from pipeline.cache.fetch_policy import ANY_AGE
from pipeline.operations.fetching import account
from pipeline.operations.fetching.closed_months import recheck_closed
from pipeline.operations.fetching.snapshot_range import SnapshotRange
from pipeline.operations.fetching.source_fetch import fetch_snapshot, is_fetched
from pipeline.operations.planning import run_plan
from pipeline.operations.runs.progress_report import Reporter
from pipeline.operations.runs.scheduler_messages import Orders, listening


class FetchSource(luigi.Task):
    """``cache/<source>/<source>_raw_<snapshot>.json`` and the parts it lists.

    One process at a time talks to the API (resource ``jquants_api``), with as many threads as
    configured. Complete means: the snapshot is there, of this origin, and was checked after
    ``fresh_after``, which the run decided before its first task. While it runs it obeys
    ``stop`` and ``concurrency=N``, sent from the page of luigid.
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
        settings = account.settled(configuration.settings())  # of a run: known since it began
        account.keep(settings)
        lanes = Lanes(settings.index_option_parallel_concurrency)
        orders = Orders(lanes)
        report = Reporter(self, self.source.replace("_", " "), "days")

        def progress(done: int, total: int) -> None:
            report(done, total)
            orders.check(done, total)

        wanted = SnapshotRange.parse(self.snapshot)
        messages = getattr(self, "scheduler_messages", None)  # a worker sets it for the run
        with listening(messages, orders.obey), account.explained(settings, self.source):
            recheck_closed(settings, lambda: orders.check(0, 1))
            fetch_snapshot(settings, self.source, wanted, self.fresh_after, progress, lanes)
