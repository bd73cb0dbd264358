"""Corrections that are found and not yet in rows, and the chunks they are about.

A chunk is touched by a correction of a day it reads, its warm-up included, that arrived after the
chunk knew the source. Rows that stand keep what they were computed from, whatever is corrected
later: point in time. What becomes of them is the user's choice (setting ``corrections``).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline.cache.corrections import Found
from pipeline.cache.recheck_ledger import CheckBook
from pipeline.configuration import Settings
from pipeline.dataset.chunk_store import ChunkStore
from pipeline.errors import PipelineError
from pipeline.operations.fetching.snapshot_range import SnapshotRange
from pipeline.operations.planning.forced_rebuild import request_once
from pipeline.process import task_process


def found(root: Path, origin: str) -> list[Found]:
    """Every correction the ledger names, by source, day and arrival.

    Raises:
        StorageError: it cannot be read.
    """
    checks = CheckBook(root, origin).read()
    return [checks.found[key] for key in sorted(checks.found)]


def waiting(
    root: Path, origin: str, chunk_ids: Iterable[str] | None = None
) -> dict[str, list[Found]]:
    """The corrections that are not in the rows of each complete chunk; chunks with none are absent.

    Args:
        chunk_ids: chunks to look at; None for all.

    Raises:
        StorageError: a document cannot be read.
    """
    known = [correction for correction in found(root, origin) if not correction.accepted]
    if not known:
        return {}
    store = ChunkStore(root)
    touched = {}
    for chunk_id, status in store.statuses(chunk_ids).items():
        if status is None or status["state"] != "completed" or status["origin"] != origin:
            continue
        try:
            metadata = store.metadata(chunk_id)
        except PipelineError:
            continue  # the gate says what is wrong with it
        last = str(status["covered_to"])
        if open_ := [correction for correction in known if _is_open(correction, metadata, last)]:
            touched[chunk_id] = open_
    return touched


def distinct(touched: Mapping[str, Iterable[Found]]) -> list[Found]:
    """The corrections of all chunks, each once."""
    each = {correction.key: correction for some in touched.values() for correction in some}
    return [each[key] for key in sorted(each)]


def accept(root: Path, origin: str) -> int:
    """Leave existing rows as they are; returns how many corrections that is about.

    Only to be called while no run holds the output root.

    Raises:
        StorageError: the ledger cannot be read or written.
    """
    book = CheckBook(root, origin)
    checks = book.read()
    number = sum(not correction.accepted for correction in checks.found.values())
    checks.found = {key: replace(c, accepted=True) for key, c in checks.found.items()}
    if number:
        book.write(checks)
    return number


def request_rebuilds(settings: Settings, chunk_ids: Iterable[str]) -> None:
    """With ``corrections = rebuild``: ask for a rebuild of those of the chunks that are touched.

    Decided when a run begins, by its main process, and once: what the run itself finds is for the
    next one, because its chunks are built from what it found anyway.

    Raises:
        StorageError: a document cannot be read or written.
    """
    if settings.corrections != "rebuild" or not task_process.is_main_process():
        return
    touched = list(waiting(settings.data_output_dir, settings.origin, chunk_ids))
    if touched:
        request_once(touched)


def summary(settings: Settings, touched: Mapping[str, Iterable[Found]]) -> str:
    """One line on what waits; "" when nothing does."""
    if not touched:
        return ""
    days = distinct(touched)
    chunks = ", ".join(list(touched)[:3]) + (", ..." if len(touched) > 3 else "")
    then = (
        "the next run of these chunks takes them in"
        if settings.corrections == "rebuild"
        else "g5 rebuild --corrected takes them in, g5 cache corrections --accept leaves rows alone"
    )
    return f"{len(days)} corrected days are not in the rows of {chunks}; first {days[0]}; {then}"


def _is_open(correction: Found, metadata: Mapping[str, Any], last: str) -> bool:
    from pipeline.api.catalogue.endpoints import endpoint_of
    from pipeline.operations.fetching.source_fetch import range_of  # the catalogue: many modules

    checked = metadata["checked"].get(correction.source)
    if checked is None:
        return False
    begin = dt.date.fromisoformat(metadata["input_start"])
    own = range_of(endpoint_of(correction.source), SnapshotRange(begin, begin))
    if not str(own.start) <= correction.date <= last:
        return False
    kept = {(c["source"], c["date"], c["arrived"]) for c in metadata["corrections"]}
    return correction.arrived > checked or correction.key in kept
