"""MergeChunks: the chunks that passed the gate, as one published dataset."""

from __future__ import annotations

import logging

from pipeline.storage.chunks import ChunkStore
from pipeline.storage.datasets import DatasetStore
from pipeline.tasks import config, standing
from pipeline.tasks.chunkset import OverChunks
from pipeline.tasks.progress import Reporter
from pipeline.tasks.validation import ValidateSchema

log = logging.getLogger(__name__)

_MB = 10**6


class MergeChunks(OverChunks):
    """``datasets/ml_dataset_..._full.parquet`` and the ``ml_dataset_latest_*`` names.

    Complete when the latest dataset was merged from the present builds of exactly these chunks.
    """

    def requires(self) -> ValidateSchema:
        return ValidateSchema(**self.param_kwargs)

    def complete(self) -> bool:
        if not self.requires().complete():
            return False
        root = config.settings().data_output_dir
        return standing.merge_due(root, self.builds(self.chunks())) is None

    def run(self) -> None:
        root = config.settings().data_output_dir
        report = Reporter(self, "merge", "MB")
        dataset = DatasetStore(root).merge(
            ChunkStore(root),
            list(self.builds(self.chunks())),
            progress=lambda done, total: report(-(-done // _MB), -(-total // _MB)),
        )
        log.info(
            "dataset: %s, %s rows x %s columns, %s to %s",
            *(dataset.path, f"{dataset.metadata['rows']:,}", len(dataset.metadata["columns"])),
            *(dataset.metadata["output_start"], dataset.metadata["output_end"]),
        )
