"""Merges the chunks that passed the gate into one published dataset."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from pipeline.dataset.chunk_store import ChunkStore
from pipeline.dataset.publication import DatasetStore
from pipeline.dataset.views import ViewStore

log = logging.getLogger(__name__)

_MB = 10**6


def merge_chunks(
    root: Path, chunk_ids: Sequence[str], report: Callable[[int, int], None], *, view: bool
) -> None:
    """Publish the dataset of these chunks.

    Args:
        report: receives the megabytes done and all megabytes.
        view: also publish the view that links to the chunks.

    Raises:
        StorageError: a chunk is damaged, or the file system refused.
    """
    chunks = ChunkStore(root)
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
    if view:
        log.info("view: %s", ViewStore(root).make(chunks, chunk_ids))
