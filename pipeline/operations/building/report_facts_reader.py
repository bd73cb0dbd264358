"""Gathering what a report tells: from documents, footers and a few columns, never whole files.

What a chunk holds is measured once per build; the facts of the report before carry it on. So a
daily update measures one chunk, however many there are.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import configuration
from pipeline.cache.corrections import Correction, corrections
from pipeline.cache.snapshots import SnapshotStore, quarantine_of
from pipeline.configuration import JST
from pipeline.dataset.chunk_store import ChunkStore
from pipeline.dataset.label_store import LabelStore
from pipeline.dataset.publication import Dataset
from pipeline.errors import PipelineError
from pipeline.market.calendar.sessions import TradingCalendar
from pipeline.market.derivatives.option_quotes import COLUMNS as OPTION_COLUMNS
from pipeline.market.panel.universe import members_by_tier
from pipeline.operations.building.report_profile import profile_of
from pipeline.operations.fetching.source_fetch import CALENDAR
from pipeline.operations.planning import output_state
from pipeline.operations.planning.output_state import ChunkState
from pipeline.operations.planning.staleness import why_merge_due
from pipeline.operations.planning.waiting_corrections import waiting
from pipeline.quarantine import to_json
from pipeline.report.chunk_profile import Profile
from pipeline.report.option_surface import surface_of
from pipeline.report.report_facts import (
    ChunkFacts,
    CorrectionFacts,
    DatasetFacts,
    Earlier,
    Facts,
    KeptChunk,
    QuarantineFacts,
    RunFacts,
    SourceFacts,
    Surface,
    earlier_of,
)
from pipeline.report.report_store import ReportStore
from pipeline.run_state.history import RunHistory
from pipeline.version import code_version

log = logging.getLogger(__name__)

_MEMBER_COLUMNS = ("Date", "Code", "Mkt", "S33")
_CORRECTIONS_SHOWN = 50
_QUARANTINE_SHOWN = 50
_RUNS_SHOWN = 30


def facts_of(
    root: Path,
    dataset: Dataset,
    chunk_ids: Sequence[str],
    earlier: Earlier | None,
    *,
    now: str,
    run_id: str,
) -> Facts:
    """Everything the report of these chunks tells.

    Args:
        dataset: the published one.
        chunk_ids: the chunks the report is about.
        earlier: the report before; chunks that it measured are not measured again.
        now: ISO, UTC: when the report is made.

    Raises:
        StorageError: the output root cannot be read.
    """
    store = ChunkStore(root)
    snapshots = SnapshotStore(root, str(dataset.metadata["origin"]))
    gathering = _Chunks(store, snapshots, earlier)
    chunks = [
        gathering.facts(state, included=state.chunk_id in chunk_ids)
        for state in output_state.chunk_states(store)
    ]
    included = [chunk for chunk in chunks if chunk.included and chunk.build_id is not None]
    builds = output_state.builds(store, list(chunk_ids))
    inputs = _inputs(store, included[-1].chunk_id) if included else {}
    changed = corrections(snapshots, sorted(inputs))
    return Facts(
        generated_at=now,
        run_id=run_id,
        origin=snapshots.origin,
        schema_version=dataset.metadata["feature_schema_version"],
        schema_hash=dataset.metadata["feature_schema_hash"],
        code_version=code_version(),
        dataset=_dataset(root, dataset),
        chunks=tuple(chunks),
        gate=output_state.gate_due(root, builds),
        merge=why_merge_due(dataset.metadata, builds),
        sources=tuple(_sources(snapshots, inputs, included[-1].unavailable if included else ())),
        runs=tuple(map(_run, RunHistory(root).records()[:_RUNS_SHOWN])),
        corrections=tuple(_summed(changed)),
        corrected=len(changed),
        surface=_surface(snapshots, inputs, dataset.metadata["output_end"]),
        quarantine=tuple(_quarantine(snapshots, inputs)),
        lacking={
            chunk: len(found)
            for chunk, found in waiting(root, snapshots.origin, list(chunk_ids)).items()
        },
    )


def earlier_report(store: ReportStore, origin: str) -> Earlier | None:
    """What the report before this one told; None without one."""
    document = store.earlier(origin)
    return None if document is None else earlier_of(document)


class _Chunks:
    """Gathers the facts of chunks, one at a time."""

    def __init__(
        self,
        store: ChunkStore,
        snapshots: SnapshotStore,
        earlier: Earlier | None,
    ) -> None:
        self._store = store
        self._snapshots = snapshots
        known = snapshots.newest(CALENDAR)
        self._calendar = TradingCalendar.from_table(snapshots.read(known)) if known else None
        self._earlier = earlier

    def facts(self, state: ChunkState, *, included: bool) -> ChunkFacts:
        """The facts of a chunk; measured only when it is included."""
        status = self._store.status(state.chunk_id)
        known = self._known(status, included=included) if status is not None else None
        return ChunkFacts(
            chunk_id=state.chunk_id,
            included=included,
            build_id=status["build_id"] if status else None,
            state=state.state,
            reason=state.reason,
            rows=state.rows,
            first=state.first,
            last=state.last,
            built=state.built.isoformat() if state.built else None,
            schema_hash=state.schema_hash,
            schema_version=status["schema_version"] if status else None,
            bytes=state.bytes,
            warnings=known.warnings if known else (),
            unavailable=known.unavailable if known else (),
            profile=known.profile if known else None,
        )

    def _known(self, status: Mapping[str, Any], *, included: bool) -> KeptChunk | None:
        """What the report before measured of the same build, else what is measured now."""
        chunk_id, build = status["chunk_id"], status["build_id"]
        kept = self._earlier.chunks.get(chunk_id) if self._earlier else None
        if kept is not None and kept.build_id == build and kept.profile is not None:
            return kept
        try:
            metadata = self._store.metadata(chunk_id)
        except PipelineError:
            return None  # the chunk's own state says what is wrong
        profile = self._profile(status, metadata) if included else None
        warnings, unavailable = tuple(metadata["warnings"]), tuple(metadata["unavailable"])
        return KeptChunk(build, warnings, unavailable, profile)

    def _profile(self, status: Mapping[str, Any], metadata: Mapping[str, Any]) -> Profile | None:
        try:
            path = self._store.parquet_copy(status["chunk_id"])
            return profile_of(path, metadata["null_rates"], self._members(status))
        except PipelineError as error:
            log.warning("report: chunk %s is not measured: %s", status["chunk_id"], error)
            return None

    def _members(self, status: Mapping[str, Any]) -> dict[str, dict[int, int]] | None:
        """Who is listed on each session, by tier, from the snapshot the chunk was built of."""
        snapshot = _snapshot(self._snapshots, status["inputs"], "listed")
        if snapshot is None or self._calendar is None:
            return None
        first, last = (dt.date.fromisoformat(status[f"covered_{side}"]) for side in ("from", "to"))
        sessions = self._calendar.between(np.datetime64(first), np.datetime64(last))
        try:
            listed = self._snapshots.read(snapshot, _MEMBER_COLUMNS, first, last)
        except PipelineError as error:
            log.warning("report: members of %s are not counted: %s", status["chunk_id"], error)
            return None
        by_day = members_by_tier(listed, sessions)
        return {str(day): tiers for day, tiers in by_day.items()}


def _inputs(store: ChunkStore, chunk_id: str) -> Mapping[str, str]:
    """Snapshot keys of a chunk by source."""
    status = store.status(chunk_id)
    return {key.partition("_raw_")[0]: key for key in status["inputs"]} if status else {}


def _snapshot(store: SnapshotStore, keys: Collection[str], source: str) -> Mapping[str, Any] | None:
    """The snapshot of a source among some keys; None when there is none, or it is gone."""
    key = next((key for key in keys if key.partition("_raw_")[0] == source), None)
    return None if key is None else store.find(source, key)


def _dataset(root: Path, dataset: Dataset) -> DatasetFacts:
    facts = dataset.metadata
    labels = LabelStore(root).document()
    return DatasetFacts(
        name=dataset.path.name,
        rows=facts["rows"],
        columns=len(facts["columns"]),
        first=facts["output_start"],
        last=facts["output_end"],
        merged_at=facts["generated_at"],
        bytes=dataset.path.stat().st_size,
        label_rows=labels["rows"] if labels else None,
        label_columns=len(labels["columns"]) - 2 if labels else None,
        null_rates=facts["null_rates"],
    )


def _sources(
    store: SnapshotStore, inputs: Mapping[str, str], unavailable: Sequence[str]
) -> list[SourceFacts]:
    """What the newest chunk was built from, and without."""
    found = []
    for source, key in sorted(inputs.items()):
        snapshot = store.find(source, key)
        if snapshot is None:  # pruned since: the chunk stands without it
            found.append(SourceFacts(source, present=True))
            continue
        checked = dt.datetime.fromisoformat(snapshot["checked_at"])
        age = configuration.now().replace(tzinfo=JST) - checked
        found.append(
            SourceFacts(
                source=source,
                present=True,
                first=snapshot["start"],
                last=snapshot["end"],
                rows=snapshot["rows"],
                route=snapshot["route"],
                fetched_at=snapshot["fetched_at"],
                checked_at=snapshot["checked_at"],
                age_days=round(max(age.total_seconds(), 0.0) / 86400, 2),
            )
        )
    return found + [SourceFacts(source, present=False) for source in sorted(unavailable)]


def _quarantine(store: SnapshotStore, inputs: Mapping[str, str]) -> list[QuarantineFacts]:
    """What of the newest chunk's sources could not be taken as it came, the most first."""
    found = [
        QuarantineFacts(source=source, **entry)
        for source, key in sorted(inputs.items())
        if (snapshot := store.find(source, key)) is not None
        for entry in to_json(quarantine_of(snapshot))
    ]
    return sorted(found, key=lambda one: -one.count)[:_QUARANTINE_SHOWN]


def _run(record: Mapping[str, Any]) -> RunFacts:
    began, ended = record["started_at"], record["finished_at"]
    seconds = None
    if ended:
        took = dt.datetime.fromisoformat(ended) - dt.datetime.fromisoformat(began)
        seconds = took.total_seconds()
    return RunFacts(
        run_id=record["run_id"],
        task=record["task"],
        profile=record["profile"],
        started_at=began,
        seconds=seconds,
        outcome=record["outcome"],
        error=record["error"],
        chunks=len(record["chunks"]),
        requests=sum(record["requests"].values()),
        peak_bytes=record["peak_rss_bytes"],
    )


def _summed(found: Sequence[Correction]) -> list[CorrectionFacts]:
    """By source and the day they were seen, the newest first."""
    groups: dict[tuple[str, str], list[Correction]] = defaultdict(list)
    for one in found:
        groups[one.arrived[:10], one.source].append(one)
    summed = [
        CorrectionFacts(
            source=source,
            seen=seen,
            days=len(group),
            first=min(one.date for one in group),
            last=max(one.date for one in group),
            rows_before=sum(one.rows_before for one in group),
            rows=sum(one.rows for one in group),
        )
        for (seen, source), group in sorted(groups.items(), reverse=True)
    ]
    return summed[:_CORRECTIONS_SHOWN]


def _surface(store: SnapshotStore, inputs: Mapping[str, str], last: str) -> Surface | None:
    snapshot = _snapshot(store, list(inputs.values()), "index_option")
    if snapshot is None:
        return None
    day = dt.date.fromisoformat(last)
    try:
        return surface_of(store.read(snapshot, OPTION_COLUMNS, day, day), last)
    except PipelineError as error:
        log.warning("report: no option surface: %s", error)
        return None
