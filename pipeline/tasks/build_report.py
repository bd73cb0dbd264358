"""BuildReport: the dataset as a page that people read, after every build."""

from __future__ import annotations

from pipeline import configuration
from pipeline.operations.planning.staleness import difference
from pipeline.report.report_store import ReportStore
from pipeline.tasks.build_labels import BuildLabels
from pipeline.tasks.chunk_selection import OverChunks


class BuildReport(OverChunks):
    """``reports/report_<time>.html``, and ``reports/latest.html``, which shows the newest one.

    Complete when the latest report is of the present builds of exactly these chunks.
    """

    def requires(self) -> BuildLabels:
        task: BuildLabels = self.clone(BuildLabels)
        return task

    def complete(self) -> bool:
        if not self.requires().complete():
            return False
        settings = configuration.settings()
        latest = ReportStore(settings.data_output_dir).latest()
        if latest is None or latest.receipt["origin"] != settings.origin:
            return False
        return difference(latest.receipt["inputs"], self.builds(self.chunks())) is None

    def run(self) -> None:
        # Only this step of a run loads what makes the page.
        from pipeline.operations.building.report_build import build_report

        build_report(configuration.settings(), [task.chunk for task in self.chunks()])
