"""BuildLabels: the outcome of every row of the dataset, as a table of its own."""

from __future__ import annotations

import luigi

from pipeline import configuration
from pipeline.operations.building.label_build import are_labels_due, build_labels
from pipeline.operations.planning import run_plan
from pipeline.operations.runs.progress_report import Reporter
from pipeline.tasks.chunk_selection import OverChunks
from pipeline.tasks.merge_dataset import MergeChunks
from pipeline.tasks.task_parameters import Switch


class BuildLabels(OverChunks):
    """``labels/<chunk>.parquet`` for exactly the rows of the dataset, and ``labels/labels.json``.

    Complete when the table is for the present builds of exactly these chunks, and no label is
    unknown in it that the chunks on disk could tell by now.
    """

    joined_view: luigi.Parameter[bool] = Switch(
        default=False,
        description="also write ml_dataset_latest_with_labels.parquet, for training",
    )

    def requires(self) -> MergeChunks:
        task: MergeChunks = self.clone(MergeChunks)
        return task

    def complete(self) -> bool:
        if not self.requires().complete():
            return False
        builds = self.builds(self.chunks())
        with run_plan.reported():
            return not are_labels_due(
                configuration.settings(), builds, joined_view=self.joined_view
            )

    def run(self) -> None:
        build_labels(
            configuration.settings(),
            self.builds(self.chunks()),
            Reporter(self, "labels", "chunks"),
            joined_view=self.joined_view,
        )
