"""MergeChunks: the chunks that passed the gate, as one published dataset."""

from __future__ import annotations

import logging

import luigi

from pipeline import configuration
from pipeline.dataset.chunk_store import ChunkStore
from pipeline.dataset.publication import DatasetStore
from pipeline.dataset.views import ViewStore
from pipeline.operations.planning import output_state
from pipeline.operations.runs.progress_report import Reporter
from pipeline.tasks.chunk_selection import OverChunks
from pipeline.tasks.task_parameters import Switch
from pipeline.tasks.validate_schema import ValidateSchema

log = logging.getLogger(__name__)

_MB = 10**6


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
        names = {name for name, _ in ValidateSchema.get_params()}
        return ValidateSchema(**{k: v for k, v in self.param_kwargs.items() if k in names})

    def complete(self) -> bool:
        if not self.requires().complete():
            return False
        root = configuration.settings().data_output_dir
        builds = self.builds(self.chunks())
        if output_state.merge_due(root, builds) is not None:
            return False
        return not self.view or ViewStore(root).shows(ChunkStore(root), list(builds))

    def run(self) -> None:
        root = configuration.settings().data_output_dir
        chunks, chunk_ids = ChunkStore(root), list(self.builds(self.chunks()))
        report = Reporter(self, "merge", "MB")
        dataset = DatasetStore(root).merge(
            chunks,
            chunk_ids,
            progress=lambda done, total: report(-(-done // _MB), -(-total // _MB)),
        )
        log.info(
            "dataset: %s, %s rows x %s columns, %s to %s",
            *(dataset.path, f"{dataset.metadata['rows']:,}", len(dataset.metadata["columns"])),
            *(dataset.metadata["output_start"], dataset.metadata["output_end"]),
        )
        if self.view:
            log.info("view: %s", ViewStore(root).make(chunks, chunk_ids))
