"""MergeChunks: the chunks that passed the gate, as one published dataset."""

from __future__ import annotations

import luigi

from pipeline import configuration
from pipeline.dataset.chunk_store import ChunkStore
from pipeline.dataset.views import ViewStore
from pipeline.operations.building.dataset_merge import merge_chunks
from pipeline.operations.planning import output_state
from pipeline.operations.runs.progress_report import Reporter
from pipeline.tasks.chunk_selection import OverChunks
from pipeline.tasks.task_parameters import Switch
from pipeline.tasks.validate_schema import ValidateSchema


class MergeChunks(OverChunks):
    """``datasets/ml_dataset_..._full.parquet`` and the ``ml_dataset_latest_*`` names.

    Complete when the latest dataset was merged from the present builds of exactly these chunks,
    and the view, if it is wanted, shows just these.
    """

    view: luigi.Parameter[bool] = Switch(
        default=False,
        description="also publish ml_dataset_latest_view: links to the chunks under one footer",
    )

    def requires(self) -> ValidateSchema:
        task: ValidateSchema = self.clone(ValidateSchema)
        return task

    def complete(self) -> bool:
        if not self.requires().complete():
            return False
        root = configuration.settings().data_output_dir
        builds = self.builds(self.chunks())
        if output_state.merge_due(root, builds) is not None:
            return False
        return not self.view or ViewStore(root).shows(ChunkStore(root), list(builds))

    def run(self) -> None:
        merge_chunks(
            configuration.settings().data_output_dir,
            list(self.builds(self.chunks())),
            Reporter(self, "merge", "MB"),
            view=self.view,
        )
