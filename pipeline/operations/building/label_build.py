"""Builds the labels: the outcome of every row of the dataset, as a table of its own.

1. Which chunks' labels are due: those of another build of the chunk, and those with labels that
   were still unknown when they were written, once there are more sessions.
2. Chunk by chunk: its rows, the bars from its first day to 21 sessions after its last one, and the
   labels month by month. Settled labels are kept as published; only a rebuild on request computes
   all labels of a chunk again.
3. The document, which commits; on request the dataset with labels beside the features.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline import configuration
from pipeline.configuration import Settings
from pipeline.dataset.chunk_status import covered_range
from pipeline.dataset.chunk_store import ChunkStore
from pipeline.dataset.label_store import EarlierPart, LabelStore, PartOrder, members_of
from pipeline.dataset.publication import Dataset, DatasetStore
from pipeline.dataset.training_set import TrainingSet
from pipeline.errors import PipelineError
from pipeline.features.engine.chunk_features import months_of
from pipeline.features.labels import label_rows
from pipeline.features.labels.label_values import AHEAD, VOLATILITY, definition_hash, label_schema
from pipeline.market.calendar.sessions import TradingCalendar
from pipeline.market.panel.outcomes import Outcomes
from pipeline.operations.building.label_inputs import LabelInputs, sessions_of
from pipeline.operations.fetching.source_fetch import load_calendar
from pipeline.operations.planning import label_staleness
from pipeline.operations.planning.staleness import Builds, is_label_part_due
from pipeline.process import log_setup, memory

log = logging.getLogger(__name__)


def are_labels_due(settings: Settings, builds: Builds, *, joined_view: bool) -> bool:
    """Whether the table, or the wanted dataset with labels, is not that of these builds.

    Raises:
        MissingData: there is no trading calendar.
    """
    root = settings.data_output_dir
    known, _ = _known(settings)
    if label_staleness.labels_due(root, builds, known) is not None:
        return True
    if not joined_view:
        return False
    try:
        document = LabelStore(root).read_document()
        return TrainingSet(root).why_due(_latest(settings), document) is not None
    except PipelineError:
        return True


def build_labels(
    settings: Settings,
    builds: Builds,
    report: Callable[[int, int], None],
    *,
    joined_view: bool,
) -> None:
    """Write the label files that are due, and the document.

    Args:
        builds: the present build of each chunk.
        report: receives the chunks done and all chunks.
        joined_view: also write the dataset with labels.

    Raises:
        MissingData: the cache lacks days.
        StorageError: something is damaged, or the file system refused.
    """
    store, chunks = LabelStore(settings.data_output_dir), ChunkStore(settings.data_output_dir)
    known, calendar = _known(settings)
    builder = _PartBuilder(settings, store, chunks, calendar)
    entries = store.entries() if _same_definition(store) else {}
    report(0, len(builds))
    parts = []
    for done, (chunk_id, build) in enumerate(builds.items(), 1):
        entry = entries.get(chunk_id)
        size = store.part_bytes(chunk_id)
        if entry is None or is_label_part_due(entry, build, known.get(chunk_id), size):
            entry = builder.part(chunk_id, known[chunk_id])
            memory.give_back()
        parts.append(entry)
        report(done, len(builds))
    on_disk = chunks.ids()
    document = store.commit(
        parts,
        [entry for chunk, entry in entries.items() if chunk in on_disk and chunk not in builds],
        schema=label_schema(),
        definition_hash=definition_hash(),
        origin=settings.origin,
        run_id=log_setup.run_id(),
        now=configuration.stamp(),
    )
    store.remove_others(on_disk)
    log.info(
        "labels: %s, %s rows x %d labels, %s to %s",
        *(store.folder, f"{document['rows']:,}", len(document["columns"]) - 2),
        *(document["output_start"], document["output_end"]),
    )
    if joined_view:
        joined = TrainingSet(settings.data_output_dir)
        written = joined.write(_latest(settings), document, configuration.stamp())
        log.info("dataset with labels: %s, %s rows", joined.path, f"{written['rows']:,}")


class _PartBuilder:
    """Writes the label file of one chunk at a time."""

    def __init__(
        self, settings: Settings, store: LabelStore, chunks: ChunkStore, calendar: TradingCalendar
    ) -> None:
        self._settings = settings
        self._store = store
        self._chunks = chunks
        self._calendar = calendar
        self._inputs = LabelInputs(settings)

    def part(self, chunk_id: str, known_to: dt.date) -> dict[str, Any]:
        """Write the file of a chunk; returns its entry in the document.

        Raises:
            MissingData: the cache lacks days.
            StorageError: something is damaged, or the file system refused.
        """
        status = self._chunks.read_status(chunk_id)
        members = members_of(self._chunks.parquet_copy(chunk_id), VOLATILITY)
        earlier = self._store.earlier(
            chunk_id, status["rebuild"], self._settings.origin, definition_hash()
        )
        outcomes = None
        if members.num_rows:
            sessions = sessions_of(members, known_to, self._calendar)
            outcomes = self._inputs.outcomes(members, sessions)
        last_bar = _last_bar(outcomes, earlier)
        order = PartOrder(
            chunk_id=chunk_id,
            build_id=status["build_id"],
            rebuild=status["rebuild"],
            origin=self._settings.origin,
            schema=label_schema(),
            definition_hash=definition_hash(),
            known_to=known_to,
            last_bar=last_bar,
            settled=outcomes is None or self._settled(outcomes, last_bar),
        )
        months = self._months(chunk_id, outcomes, earlier) if outcomes else iter(())
        return self._store.write(order, months)

    def _settled(self, outcomes: Outcomes, last_bar: dt.date | None) -> bool:
        """Whether a bar came at or after the last exit of the last day."""
        if last_bar is None:
            return False
        last_day = self._calendar.index(outcomes.sessions[outcomes.days - 1])
        return self._calendar.index(np.datetime64(last_bar)) >= last_day + AHEAD

    def _months(
        self, chunk_id: str, outcomes: Outcomes, earlier: EarlierPart | None
    ) -> Iterator[pa.Table]:
        """The rows month by month, settled labels as published."""
        differing, example = 0, ""
        for start, stop in months_of(outcomes.sessions[: outcomes.days]):
            rows = label_rows.rows(outcomes, start, stop)
            if earlier is not None:
                first, last = (_day(outcomes.sessions[at]) for at in (start, stop - 1))
                published = earlier.rows(first, last)
                last_bar = np.datetime64(earlier.last_bar)
                kept = label_rows.keep_settled(rows, published, last_bar, self._calendar)
                rows, differing = kept.rows, differing + kept.differing
                example = example or kept.example
            yield rows
        if differing:
            log.warning(
                "labels of %s: %d settled values are kept although the present bars give others, "
                "such as %s; g5 rebuild takes the present ones",
                *(chunk_id, differing, example),
            )


def _known(settings: Settings) -> tuple[dict[str, dt.date], TradingCalendar]:
    """How far ahead the labels of each complete chunk can look, and the calendar."""
    store = ChunkStore(settings.data_output_dir)
    ends = [covered_range(status)[1] for status in store.statuses().values() if status]
    calendar = load_calendar(settings, max(ends, default=configuration.now().date()))
    return label_staleness.known_ahead(store, settings.origin, calendar), calendar


def _same_definition(store: LabelStore) -> bool:
    document = store.document()
    return document is not None and document["definition_hash"] == definition_hash()


def _latest(settings: Settings) -> Dataset:
    dataset = DatasetStore(settings.data_output_dir).latest()
    assert dataset is not None  # MergeChunks is complete
    return dataset


def _last_bar(outcomes: Outcomes | None, earlier: EarlierPart | None) -> dt.date | None:
    """The last bar known to the values of a file, including those it keeps."""
    own = _day(outcomes.last_bar_session) if outcomes else None
    known = [day for day in (own, earlier.last_bar if earlier else None) if day is not None]
    return max(known, default=None)


def _day(session: np.datetime64 | None) -> Any:
    return None if session is None else session.astype("datetime64[D]").astype(object)
