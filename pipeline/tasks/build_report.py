"""BuildReport: the dataset as a page that people read, after every build."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from pipeline import configuration
from pipeline.configuration import Settings
from pipeline.dataset.chunk_store import utc_now
from pipeline.dataset.publication import DatasetStore
from pipeline.errors import MissingData
from pipeline.operations.planning.staleness import difference
from pipeline.process import log_setup
from pipeline.report.report_store import Report, ReportStore
from pipeline.tasks.build_labels import BuildLabels
from pipeline.tasks.chunk_selection import OverChunks

log = logging.getLogger(__name__)

LANGUAGES = ("auto", "en", "ja")  # the page opens in


class BuildReport(OverChunks):
    """``reports/report_<time>.html``, and ``reports/latest.html``, which shows the newest one.

    Complete when the latest report is of the present builds of exactly these chunks.
    """

    def requires(self) -> BuildLabels:
        return BuildLabels(**self.param_kwargs)

    def complete(self) -> bool:
        if not self.requires().complete():
            return False
        settings = configuration.settings()
        latest = ReportStore(settings.data_output_dir).latest()
        if latest is None or latest.receipt["origin"] != settings.origin:
            return False
        return difference(latest.receipt["inputs"], self.builds(self.chunks())) is None

    def run(self) -> None:
        make_report(configuration.settings(), [task.chunk for task in self.chunks()])


def make_report(settings: Settings, chunk_ids: Sequence[str], language: str = "auto") -> Report:
    """Gather the facts, make the page and publish it.

    Args:
        chunk_ids: the chunks of the dataset.
        language: the page opens in: en, ja, or auto for that of the browser.

    Raises:
        MissingData: nothing is merged yet.
        StorageError: the output root cannot be read or written.
    """
    # Of no use to the other steps of a run.
    from pipeline.operations.building.report_facts_reader import earlier_report, facts_of
    from pipeline.report.changes import changes_since
    from pipeline.report.page import html
    from pipeline.report.report_facts import kept

    root = settings.data_output_dir
    dataset = DatasetStore(root).latest()
    if dataset is None:
        raise MissingData(f"no dataset in {root}", "run BuildAll first")
    store = ReportStore(root)
    earlier = earlier_report(store, dataset.metadata["origin"])
    now = utc_now().isoformat(timespec="seconds")
    facts = facts_of(root, dataset, chunk_ids, earlier, now=now, run_id=log_setup.run_id())
    changes = changes_since(earlier, facts) if earlier else None
    report = store.write(html(facts, changes, language), kept(facts))
    log.info("report: %s, %.1f MB", report.path, report.receipt["bytes"] / 1e6)
    return report
