"""Durable rebuild requests: what ``--force`` and ``--resume false`` leave on disk."""

from __future__ import annotations

import os
from collections.abc import Sequence

from pipeline.storage.chunks import ChunkStore
from pipeline.tasks import config, logs


def request_once(chunk_ids: Sequence[str]) -> None:
    """Ask for a rebuild of these chunks, once per run.

    ``requires()`` runs in every process of a run; the mark of the run's id decides who was
    first. A run that dies leaves its requests behind, so a plain run finishes what it began.
    """
    settings = config.settings()
    mark = settings.data_output_dir / "run" / f"{logs.run_id()}.rebuild"
    mark.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.close(os.open(mark, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    except FileExistsError:
        return
    ChunkStore(settings.data_output_dir).request_rebuild(chunk_ids, reason=f"run {logs.run_id()}")
