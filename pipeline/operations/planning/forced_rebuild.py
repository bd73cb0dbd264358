"""Durable rebuild requests: what ``--force`` and ``--resume false`` leave on disk."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Sequence

from pipeline import configuration
from pipeline.dataset.chunk_store import ChunkStore
from pipeline.errors import MissingData
from pipeline.filesystem.atomic import os_errors
from pipeline.filesystem.location import on_host
from pipeline.market.calendar.periods import Period
from pipeline.process import log_setup


def request_once(chunk_ids: Sequence[str]) -> None:
    """Ask for a rebuild of these chunks, once per run.

    ``requires()`` runs in every process of a run; the mark of the run's id decides who was
    first. A run that dies leaves its requests behind, so a plain run finishes what it began.

    Raises:
        StorageError: the file system refused.
    """
    settings = configuration.settings()
    mark = on_host(settings.data_output_dir) / "run" / f"{log_setup.run_id()}.rebuild"
    with os_errors(mark):
        mark.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.close(os.open(mark, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        except FileExistsError:
            return
    ChunkStore(settings.data_output_dir).request_rebuild(
        chunk_ids, reason=f"run {log_setup.run_id()}"
    )


def chosen(
    store: ChunkStore,
    chunk_ids: Sequence[str],
    *,
    days: tuple[dt.date, dt.date] | None = None,
    latest_only: bool = False,
) -> list[str]:
    """The chunks on disk that are meant, in order of time.

    Args:
        chunk_ids: by name; none of these three: every chunk.
        days: those that touch these days, both ends included.
        latest_only: the newest one.

    Raises:
        UsageError: a malformed chunk id.
        MissingData: there is no such chunk, or none at all.
    """
    there = store.ids()
    named = [Period.parse(chunk_id).chunk_id for chunk_id in chunk_ids]
    absent = [chunk_id for chunk_id in named if chunk_id not in there]
    if absent:
        raise MissingData(
            f"chunk {absent[0]}: not in {store.folder}",
            "a run builds what is missing by itself; g5 status shows what is there",
        )
    found = [chunk_id for chunk_id in there if not named or chunk_id in named]
    if days is not None:
        found = [chunk_id for chunk_id in found if _touches(Period.parse(chunk_id), *days)]
    if not found:
        between = f" between {days[0]} and {days[1]}" if days else ""
        raise MissingData(f"no chunk{between} in {store.folder}", "run BuildAll first")
    return found[-1:] if latest_only else found


def _touches(period: Period, first: dt.date, last: dt.date) -> bool:
    return period.first_day <= last and period.last_day >= first
