"""MergeChunks: the chunks that passed the gate, as one published dataset."""

from __future__ import annotations

import logging

from pipeline.errors import PipelineError
from pipeline.storage.chunks import ChunkStore
from pipeline.storage.datasets import DatasetStore
from pipeline.tasks import config
from pipeline.tasks.chunkset import OverChunks
from pipeline.tasks.validation import ValidateSchema

log = logging.getLogger(__name__)


class MergeChunks(OverChunks):
    """``datasets/ml_dataset_..._full.parquet`` and the ``ml_dataset_latest_*`` names.

    Complete when the latest dataset was merged from the present builds of exactly these chunks.
    """

    def requires(self) -> ValidateSchema:
        return ValidateSchema(**self.param_kwargs)

    def complete(self) -> bool:
        if not self.requires().complete():
            return False
        store = DatasetStore(config.settings().data_output_dir)
        try:
            latest = store.latest()
            if latest is None or not store.is_published(latest):
                return False
        except PipelineError:
            return False
        merged = {chunk["chunk_id"]: chunk["build_id"] for chunk in latest.metadata["chunks"]}
        return merged == self.builds(self.chunks())

    def run(self) -> None:
        root = config.settings().data_output_dir
        dataset = DatasetStore(root).merge(ChunkStore(root), list(self.builds(self.chunks())))
        log.info(
            "dataset: %s, %s rows x %s columns, %s to %s",
            *(dataset.path, f"{dataset.metadata['rows']:,}", len(dataset.metadata["columns"])),
            *(dataset.metadata["output_start"], dataset.metadata["output_end"]),
        )
