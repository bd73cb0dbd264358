"""What stands where: every chunk on disk, gate, dataset, labels, the latest run. Only looks.

Nothing is asked of the API, and no date range is needed: a chunk is held against what it says it
covers. Whether sessions are missing that were published since is what a plan tells.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.dataset.chunk_status import builds_of, covered_range
from pipeline.dataset.chunk_store import ChunkStore
from pipeline.dataset.publication import Dataset, DatasetStore
from pipeline.errors import MissingData, PipelineError
from pipeline.exit_codes import ExitCode
from pipeline.filesystem import documents
from pipeline.filesystem.location import at_once
from pipeline.market.calendar.periods import ChunkRange, Period
from pipeline.operations.planning import label_staleness, run_plan, waiting_corrections
from pipeline.operations.planning.staleness import Builds, why_gate_due, why_merge_due
from pipeline.run_state import output_lock

UNREADABLE = "unreadable"  # state of a chunk without a usable status


@dataclass(frozen=True)
class ChunkState:
    """One chunk on disk.

    Attributes:
        state: as in its status, or ``unreadable``.
        rows, first, last: what its Parquet file holds; None when that is not known.
        built: when its build ended; None when it has not.
        schema_hash: of its columns; None when that is not known.
        bytes: of the Parquet file on disk; None without one.
        reason: why it is not complete; None when it is.
    """

    chunk_id: str
    state: str
    origin: str | None
    rows: int | None
    first: str | None
    last: str | None
    built: dt.datetime | None
    schema_hash: str | None
    bytes: int | None
    reason: str | None


@dataclass(frozen=True)
class Run:
    """The run that began to build last.

    Attributes:
        run_id: as in the logs.
        began: when it began its first chunk of those that stand.
        chunks: how many of its chunks are in which state.
    """

    run_id: str
    began: dt.datetime
    chunks: Mapping[str, int]


@dataclass(frozen=True)
class Standing:
    """The state of an output root.

    Attributes:
        chunks: in order of time.
        gate, merge, labels: why these steps are due; None when they are not.
        dataset: the one that is published; None without one.
        run: the latest; None when no build is known.
        pid: of the process that is writing now; None when nobody is.
        corrected: chunks whose rows lack a correction found in a closed month.
    """

    root: Path
    chunks: tuple[ChunkState, ...]
    gate: str | None
    merge: str | None
    labels: str | None
    dataset: Dataset | None
    run: Run | None
    pid: int | None
    corrected: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """0: nothing to do, 3: work to do."""
        steps = self.gate or self.merge or self.labels
        work = steps or any(chunk.reason for chunk in self.chunks)
        return ExitCode.WORK_TO_DO if work else ExitCode.DONE


def standing_of(root: Path) -> Standing:
    """Look at an output root.

    Raises:
        MissingData: it has no chunks, or there is no manifest.
        StorageError: it cannot be read.
    """
    store = ChunkStore(root)
    statuses = store.statuses()
    if not statuses:
        raise MissingData(
            f"no chunk in {store.folder}", "run BuildAll first, or give the root with --output"
        )
    now = builds_of(statuses)
    return Standing(
        root=root,
        chunks=tuple(_chunks(store, statuses)),
        gate=gate_due(root, now),
        merge=merge_due(root, now),
        labels=_labels_due(store, statuses, now),
        dataset=_dataset(root),
        run=latest_run(statuses.values()),
        pid=output_lock.holder(root),
        corrected=tuple(waiting_corrections.waiting(root, main_origin(statuses.values()))),
    )


def chunk_states(store: ChunkStore) -> list[ChunkState]:
    """Every chunk on disk, in order of time.

    Raises:
        StorageError: the folder cannot be read.
    """
    return list(_chunks(store, store.statuses()))


def builds(store: ChunkStore, chunk_ids: Sequence[str]) -> dict[str, str | None]:
    """The present build of each chunk; None for one without a usable status."""
    return builds_of(store.statuses(chunk_ids))


def gate_report(root: Path) -> Path:
    """Where the schema gate leaves its report."""
    return root / "validation" / "schema_validation.json"


def gate_due(root: Path, present: Builds) -> str | None:
    """Why the schema gate has to run; None when its report stands.

    Raises:
        MissingData, StorageError: there is no usable manifest.
    """
    try:
        report = documents.read_document(gate_report(root), "validation")
    except MissingData:
        return "never run"
    except PipelineError as error:
        return error.message
    return why_gate_due(report, present, run_plan.load_manifest().schema_hash)


def merge_due(root: Path, present: Builds) -> str | None:
    """Why the chunks have to be merged; None when the dataset holds just these builds and both
    latest names show it."""
    store = DatasetStore(root)
    try:
        latest = store.latest()
        if latest is None:
            return "nothing is merged yet"
        if not store.is_published(latest):
            return "a merge ended between the two latest names"
    except PipelineError as error:
        return error.message
    return why_merge_due(latest.metadata, present)


def as_found(chunk_id: str, status: Mapping[str, Any] | None) -> ChunkRange:
    """A chunk, asked for no more than it says it covers."""
    if status is None:
        period = Period.parse(chunk_id)
        return ChunkRange(chunk_id, period.first_day, period.last_day)
    return ChunkRange(chunk_id, *covered_range(status))


def latest_run(statuses: Iterable[Mapping[str, Any] | None]) -> Run | None:
    """The run of the build that began last; None when no build is known."""
    known = [status for status in statuses if status is not None]
    if not known:
        return None
    run_id = max(known, key=_began)["run_id"]
    own = [status for status in known if status["run_id"] == run_id]
    states = Counter(status["state"] for status in own)
    return Run(run_id, min(_began(status) for status in own), dict(states))


def main_origin(statuses: Iterable[Mapping[str, Any] | None]) -> str:
    """Where the chunks come from: that of the build that began last."""
    known = [status for status in statuses if status is not None]
    return str(max(known, key=_began)["origin"]) if known else "api"


def _chunks(
    store: ChunkStore, statuses: Mapping[str, Mapping[str, Any] | None]
) -> Iterable[ChunkState]:
    origin = main_origin(statuses.values())
    found = [as_found(chunk_id, status) for chunk_id, status in statuses.items()]
    for (chunk_id, status), reason, size in zip(
        statuses.items(),
        store.reasons(found, origin),
        at_once(store.folder, store.parquet_bytes, statuses),
        strict=True,
    ):
        if status is None:
            yield ChunkState(chunk_id, UNREADABLE, None, None, None, None, None, None, size, reason)
            continue
        ended = status["finished_at"]
        yield ChunkState(
            chunk_id=chunk_id,
            state=status["state"],
            origin=status["origin"],
            rows=status["rows"],
            first=status["output_start"],
            last=status["output_end"],
            built=dt.datetime.fromisoformat(ended) if ended else None,
            schema_hash=status["schema_hash"],
            bytes=size,
            reason=reason,
        )


def _labels_due(
    store: ChunkStore, statuses: Mapping[str, Mapping[str, Any] | None], now: Builds
) -> str | None:
    root, origin = store.folder.parent, main_origin(statuses.values())
    known = label_staleness.known_ahead(
        store, origin, label_staleness.cached_calendar(root, origin)
    )
    return label_staleness.labels_due(root, now, known)


def _dataset(root: Path) -> Dataset | None:
    try:
        return DatasetStore(root).latest()
    except PipelineError:
        return None  # merge_due says what is wrong with it


def _began(status: Mapping[str, Any]) -> dt.datetime:
    return dt.datetime.fromisoformat(status["started_at"])
