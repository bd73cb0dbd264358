"""Whether the label table is that of the chunks of now. Only looks."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from pathlib import Path

from pipeline.cache.snapshots import SnapshotStore
from pipeline.dataset.chunk_status import covered_range
from pipeline.dataset.chunk_store import ChunkStore
from pipeline.dataset.label_store import LabelStore
from pipeline.errors import MissingData, PipelineError
from pipeline.market.calendar.sessions import TradingCalendar
from pipeline.operations.planning.staleness import Builds, why_labels_due


def labels_due(root: Path, builds: Builds, known: Mapping[str, dt.date]) -> str | None:
    """Why labels have to be made; None when the table is for just these builds and whole.

    Args:
        builds: the present build of each chunk.
        known: the last session the labels of each chunk can look to; what is not in it is not
            asked.
    """
    # The formulas are loaded where there is something to hold against them.
    from pipeline.features.labels.label_values import definition_hash

    store = LabelStore(root)
    try:
        document = store.read_document()
    except MissingData:
        return "never made"
    except PipelineError as error:
        return error.message
    if (told := why_labels_due(document, builds, known, definition_hash())) is not None:
        return told
    for part in document["parts"]:
        if store.part_bytes(part["chunk_id"]) != part["parquet_bytes"]:
            return f"the file of {part['chunk_id']} is missing or of another size"
    return None


def known_ahead(
    store: ChunkStore, origin: str, calendar: TradingCalendar | None
) -> dict[str, dt.date]:
    """How far ahead the labels of each complete chunk can look; nothing without a calendar."""
    from pipeline.operations.building.label_inputs import known_until

    if calendar is None:
        return {}
    covered = {
        chunk_id: covered_range(status)
        for chunk_id, status in store.statuses().items()
        if status and status["state"] == "completed" and status["origin"] == origin
    }
    return known_until(covered, calendar)


def cached_calendar(root: Path, origin: str) -> TradingCalendar | None:
    """The trading calendar in the cache, however far it reaches; None without a usable one."""
    from pipeline.operations.fetching.source_fetch import CALENDAR

    store = SnapshotStore(root, origin)
    try:
        snapshot = store.newest(CALENDAR)
        return TradingCalendar.from_table(store.read(snapshot)) if snapshot else None
    except PipelineError:
        return None
