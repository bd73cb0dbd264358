"""BuildLabels: what became of every row of the dataset, as a table of its own.

1. Which chunks' labels are due: those of another build of the chunk, and those some of whose
   labels were still to come when they were made, once there are more sessions.
2. Chunk by chunk: its rows, the bars from its first day to 21 sessions beyond its last one, and the
   labels month by month. What was settled before stands as it was published; only a rebuild on
   request makes a chunk's labels wholly anew.
3. The document, which commits; on request the dataset with labels beside the features.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Iterator, Mapping
from typing import Any

import luigi
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
from pipeline.operations.planning import label_staleness, run_plan
from pipeline.operations.planning.staleness import is_label_part_due
from pipeline.operations.runs.progress_report import Reporter
from pipeline.process import log_setup, memory
from pipeline.tasks.chunk_selection import OverChunks
from pipeline.tasks.merge_dataset import MergeChunks
from pipeline.tasks.task_parameters import Switch

log = logging.getLogger(__name__)


class BuildLabels(OverChunks):
    """``labels/<chunk>.parquet`` for exactly the rows of the dataset, and ``labels/labels.json``.

    Complete when the table is for the present builds of exactly these chunks, and no label of it
    is still to come of which the chunks on disk know more by now.
    """

    joined_view: luigi.Parameter[bool] = Switch(
        default=False,
        description="also write ml_dataset_latest_with_labels.parquet, for training",
    )

    def requires(self) -> MergeChunks:
        names = {name for name, _ in MergeChunks.get_params()}
        return MergeChunks(**{k: v for k, v in self.param_kwargs.items() if k in names})

    def complete(self) -> bool:
        if not self.requires().complete():
            return False
        settings = configuration.settings()
        with run_plan.reported():
            known, _ = _known(settings)
        root = settings.data_output_dir
        if label_staleness.labels_due(root, self.builds(self.chunks()), known) is not None:
            return False
        return not (self.joined_view and self._view_due(LabelStore(root).read_document()))

    def run(self) -> None:
        settings = configuration.settings()
        store, chunks = LabelStore(settings.data_output_dir), ChunkStore(settings.data_output_dir)
        known, calendar = _known(settings)
        makes = _Maker(settings, store, chunks, calendar)
        wanted = self.builds(self.chunks())
        entries = store.entries() if _same_definition(store) else {}
        report = Reporter(self, "labels", "chunks")
        report(0, len(wanted))
        parts = []
        for done, (chunk_id, build) in enumerate(wanted.items(), 1):
            entry = entries.get(chunk_id)
            size = store.part_bytes(chunk_id)
            if entry is None or is_label_part_due(entry, build, known.get(chunk_id), size):
                entry = makes.part(chunk_id, known[chunk_id])
                memory.give_back()
            parts.append(entry)
            report(done, len(wanted))
        there = chunks.ids()
        document = store.commit(
            parts,
            [entry for chunk, entry in entries.items() if chunk in there and chunk not in wanted],
            schema=label_schema(),
            definition_hash=definition_hash(),
            origin=settings.origin,
            run_id=log_setup.run_id(),
            now=configuration.stamp(),
        )
        store.remove_others(there)
        log.info(
            "labels: %s, %s rows x %d labels, %s to %s",
            *(store.folder, f"{document['rows']:,}", len(document["columns"]) - 2),
            *(document["output_start"], document["output_end"]),
        )
        if self.joined_view:
            joined = TrainingSet(settings.data_output_dir)
            told = joined.write(_latest(settings), document, configuration.stamp())
            log.info("dataset with labels: %s, %s rows", joined.path, f"{told['rows']:,}")

    def _view_due(self, document: Mapping[str, Any]) -> bool:
        settings = configuration.settings()
        joined = TrainingSet(settings.data_output_dir)
        try:
            return joined.why_due(_latest(settings), document) is not None
        except PipelineError:
            return True


class _Maker:
    """Makes the label files of chunks, one at a time."""

    def __init__(
        self, settings: Settings, store: LabelStore, chunks: ChunkStore, calendar: TradingCalendar
    ) -> None:
        self._settings = settings
        self._store = store
        self._chunks = chunks
        self._calendar = calendar
        self._inputs = LabelInputs(settings)

    def part(self, chunk_id: str, known_to: dt.date) -> dict[str, Any]:
        """Write the file of a chunk; its entry.

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
        """The rows month by month, with what was settled as it was."""
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
                "labels of %s: %d settled values stand although the bars of now give others, such "
                "as %s; g5 rebuild takes the present ones",
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
    """The last bar that the values of a file know, those it keeps included."""
    own = _day(outcomes.last_bar_session) if outcomes else None
    known = [day for day in (own, earlier.last_bar if earlier else None) if day is not None]
    return max(known, default=None)


def _day(session: np.datetime64 | None) -> Any:
    return None if session is None else session.astype("datetime64[D]").astype(object)
