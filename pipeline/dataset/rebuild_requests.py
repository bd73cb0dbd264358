"""Rebuild requests that wait for their answer, and how they are taken back."""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.dataset.chunk_store import ChunkStore
from pipeline.filesystem.atomic import os_errors, remove_file


def pending(store: ChunkStore, chunk_ids: Iterable[str]) -> list[str]:
    """Those of the chunks whose latest request no build has answered.

    Raises:
        StorageError: a request cannot be read.
    """
    return [chunk_id for chunk_id in chunk_ids if _is_pending(store, chunk_id)]


def withdraw(store: ChunkStore, chunk_ids: Iterable[str]) -> list[str]:
    """Take back the requests that no build has answered; the chunk counts as it did before.

    Only to be called while no run holds the output root: a build under way answers the request
    that stood when it began.

    Returns:
        The chunks whose request was taken back.

    Raises:
        StorageError: the file system refused.
    """
    waiting = pending(store, chunk_ids)
    for chunk_id in waiting:
        path = store.rebuild_path(chunk_id)
        with os_errors(path, "cannot be deleted"):
            remove_file(path)
    return waiting


def _is_pending(store: ChunkStore, chunk_id: str) -> bool:
    wanted = store.wanted(chunk_id)
    if wanted is None:
        return False
    status = store.status(chunk_id)
    answered = status is not None and status["state"] == "completed" and status["rebuild"] == wanted
    return not answered
