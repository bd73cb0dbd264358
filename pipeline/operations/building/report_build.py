"""Makes the report page about the published dataset."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from pipeline.configuration import Settings
from pipeline.dataset.chunk_store import utc_now
from pipeline.dataset.publication import DatasetStore
from pipeline.errors import MissingData
from pipeline.operations.building.report_facts_reader import earlier_report, facts_of
from pipeline.process import log_setup
from pipeline.report.changes import changes_since
from pipeline.report.page import html
from pipeline.report.report_facts import kept
from pipeline.report.report_store import Report, ReportStore

log = logging.getLogger(__name__)


def build_report(settings: Settings, chunk_ids: Sequence[str], language: str = "auto") -> Report:
    """Gather the facts, make the page and publish it.

    Args:
        chunk_ids: the chunks of the dataset.
        language: the page opens in: en, ja, or auto for that of the browser.

    Raises:
        MissingData: nothing is merged yet.
        StorageError: the output root cannot be read or written.
    """
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
