"""What a run would do and why, worked out as the run itself does it, and nothing written.

1. Settings, dates and manifest are checked as before a run; the plan of the account is the one
   that is set or was found out before, and the calendar is read from the cache, or both are asked
   of the server and thrown away again.
2. Each chunk is skipped, built, rebuilt, or grown by newly published sessions.
3. For the chunks that are due: what each source lacks, by the cheapest way (``sourcing``).
4. From the requests follows the time under the rate limit; from what was built and fetched
   before, the room on disk.
"""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from pipeline.api.http.rate_limit import paced_s
from pipeline.configuration import Settings
from pipeline.dataset.chunk_store import ChunkStore
from pipeline.errors import ApiError, MissingData
from pipeline.exit_codes import ExitCode
from pipeline.filesystem.location import on_host
from pipeline.market.calendar.periods import ChunkRange
from pipeline.market.calendar.sessions import TradingCalendar
from pipeline.operations.fetching import account, closed_months
from pipeline.operations.fetching.fetch_strategies import months_on_offer
from pipeline.operations.fetching.source_fetch import (
    fetch_calendar,
    limits_of,
    load_calendar,
    open_session,
)
from pipeline.operations.planning import (
    label_staleness,
    output_state,
    request_estimate,
    run_plan,
    waiting_corrections,
)
from pipeline.operations.planning.disk_estimate import Built, Yardstick, yardstick
from pipeline.operations.planning.request_estimate import Offer, SourcePlan, every_closed_month
from pipeline.run_state import output_lock

#: skip: nothing to do. build: there are no rows yet. rebuild: there are, and they do not serve.
#: grow: they serve, sessions are missing at an end. blocked: not complete, and not of this run.
Action = Literal["skip", "build", "rebuild", "grow", "blocked"]
DUE: tuple[Action, ...] = ("build", "rebuild", "grow")


@dataclass(frozen=True)
class ChunkPlan:
    """What becomes of one chunk.

    Attributes:
        first, last: the sessions it has to hold.
        rows: expected; those it has when it is skipped.
        bytes: likewise, of its Parquet file.
    """

    chunk_id: str
    action: Action
    reason: str
    first: dt.date
    last: dt.date
    rows: int
    bytes: int


@dataclass(frozen=True)
class Plan:
    """What a run would do.

    Attributes:
        settings: of the run.
        start, end: asked days.
        chunks: in order of time.
        calendar_asked: the calendar is not in the cache: the run fetches it.
        sources: those with something to fetch, or that lack what cannot be had.
        gate, merge, labels: why these steps are due; None when they are not.
        requests: to the API, all together.
        seconds: the rate limit needs for them, at least; 0 without a limit.
        disk_bytes: to be written before anything old goes.
        disk_free: on the file system of the output root.
        basis: where the sizes come from, in words.
        problems: what will stop the run, one line each.
        recheck: within how many updates a correction of a closed month is found, in words.
        corrections: what was found and is not in rows yet, in words; "" when nothing is.
    """

    settings: Settings
    start: dt.date
    end: dt.date
    chunks: tuple[ChunkPlan, ...]
    calendar_asked: bool
    sources: tuple[SourcePlan, ...]
    gate: str | None
    merge: str | None
    labels: str | None
    requests: int
    seconds: float
    disk_bytes: int
    disk_free: int
    basis: str
    problems: tuple[str, ...]
    recheck: str = ""
    corrections: str = ""

    @property
    def due(self) -> tuple[ChunkPlan, ...]:
        """The chunks the run builds."""
        return tuple(chunk for chunk in self.chunks if chunk.action in DUE)

    @property
    def exit_code(self) -> int:
        """0: nothing to do, 3: work to do."""
        work = self.due or self.gate or self.merge or self.labels
        return ExitCode.WORK_TO_DO if work else ExitCode.DONE


def plan_of(
    settings: Settings,
    start: dt.date,
    end: dt.date,
    chunk_months: int = 3,
    resume: bool = True,
    force: bool = False,
    latest_only: bool = False,
    refresh_listed: bool = False,
    ask_files: bool = False,
    calendar: TradingCalendar | None = None,
) -> Plan:
    """What ``BuildAll`` with these parameters would do now. Writes nothing.

    Args:
        ask_files: ask the server which monthly files it has, a request for each source that
            may use them.
        calendar: of the server, for who has just asked for it.

    Raises:
        UsageError, SchemaMismatch: the run would be refused.
        MissingData: the cache has no calendar and is read-only.
        ApiError, SnapshotError: the calendar, or a list of files, could not be fetched; or the key
            is refused.
        StorageError: the output root cannot be read.
    """
    run_plan.check_request(start, end, settings)
    settings = _with_plan(settings)
    asked = False
    if calendar is None:
        calendar, asked = _calendar(settings, end)
    ranges = run_plan.plan_chunks(settings, calendar, start, end, chunk_months)
    store = ChunkStore(settings.data_output_dir)
    of_run = ranges[-1:] if latest_only else ranges
    scale = _yardstick(store, calendar, settings.origin)
    built = [
        _chunk(store, settings, calendar, chunk, scale, anew=force or not resume)
        for chunk in of_run
    ]
    found = _as_found(store, settings, {chunk.chunk_id for chunk in built}) if latest_only else []
    chunks = sorted([*built, *found], key=lambda chunk: (chunk.first, chunk.last))
    due = [chunk for chunk in built if chunk.action in DUE]
    lacking = [ChunkRange(chunk.chunk_id, chunk.first, chunk.last) for chunk in due]
    with _offer(settings, asking=ask_files) as offer:
        sources = request_estimate.lacking(
            settings, calendar, lacking, refresh_listed=refresh_listed, offer=offer
        )
    steps = [chunk.chunk_id for chunk in chunks]
    gate, merge, labels = _steps(store, steps, settings.origin, calendar, building=bool(due))
    batches = list(request_estimate.batches(sources, calendar_asked=asked))
    disk_bytes = _disk_bytes(chunks, sources, merged=merge is not None)
    disk_free = shutil.disk_usage(_existing(on_host(settings.data_output_dir))).free
    return Plan(
        settings=settings,
        start=start,
        end=end,
        chunks=tuple(chunks),
        calendar_asked=asked,
        sources=tuple(sources),
        gate=gate,
        merge=merge,
        labels=labels,
        requests=sum(count for count, _ in batches),
        seconds=paced_s(batches, limits_of(settings)),
        disk_bytes=disk_bytes,
        disk_free=disk_free,
        basis=scale.basis,
        problems=tuple(_problems(settings, chunks, sources, disk_bytes, disk_free)),
        recheck=str(closed_months.outlook(settings)),
        corrections=waiting_corrections.summary(
            settings, waiting_corrections.waiting(settings.data_output_dir, settings.origin)
        ),
    )


def action_of(reason: str | None, *, has_rows: bool, only_short: bool) -> Action:
    """What a run does about a chunk.

    Args:
        reason: why it is not complete, None when it is.
        has_rows: its Parquet file is there, of whatever build.
        only_short: it would be complete if less were asked.
    """
    if reason is None:
        return "skip"
    if not has_rows:
        return "build"
    return "grow" if only_short else "rebuild"


def _with_plan(settings: Settings) -> Settings:
    """With the plan of the account; while the server does not say it, the one that is assumed."""
    try:
        return account.settled(settings, noted=False)
    except ApiError as error:
        if error.status in (401, 403):
            raise
        return settings


def _calendar(settings: Settings, end: dt.date) -> tuple[TradingCalendar, bool]:
    """The calendar, and whether a run would have to ask the API for it."""
    try:
        return load_calendar(settings, end), False
    except MissingData:
        if settings.source_cache_mode == "read":
            raise
    table = fetch_calendar(settings, end, noted=False)
    return TradingCalendar.from_table(table), settings.source_route != "files"


@contextmanager
def _offer(settings: Settings, *, asking: bool) -> Iterator[Offer]:
    """Which months come as files: guessed, or asked."""
    way = settings.source_route
    if not asking or way == "files" or settings.source_cache_mode == "read":
        yield every_closed_month
        return
    with open_session(settings, noted=False) as session:
        yield lambda endpoint, rules, ask: months_on_offer(session, endpoint, rules, ask, way)


def _yardstick(store: ChunkStore, calendar: TradingCalendar, origin: str) -> Yardstick:
    """By the chunks of this origin that were finished with the columns of now."""
    manifest = run_plan.load_manifest()
    built = []
    for status in store.statuses().values():
        if (
            status is not None
            and status["rows"]
            and status["origin"] == origin
            and status["schema_hash"] == manifest.schema_hash
        ):
            days = [np.datetime64(status[f"output_{edge}"]) for edge in ("start", "end")]
            sessions = calendar.between(*days).size
            built.append(Built(status["rows"], status["parquet_bytes"], sessions))
    return yardstick(built, len(manifest.columns))


def _chunk(
    store: ChunkStore,
    settings: Settings,
    calendar: TradingCalendar,
    asked: ChunkRange,
    scale: Yardstick,
    *,
    anew: bool,
) -> ChunkPlan:
    """What the run does about one of its chunks."""
    status = store.status(asked.chunk_id)
    chunk = run_plan.with_what_is_there(asked, status, settings.origin)
    reason = "asked for anew" if anew else _why(store, settings, chunk)
    if not store.status_path(asked.chunk_id).exists():
        reason = "not built yet"
    if reason is None and status is not None:
        return _plan(chunk, "skip", "complete", status["rows"], status["parquet_bytes"])
    covered = output_state.as_found(asked.chunk_id, status)
    action = action_of(
        reason,
        has_rows=store.parquet_bytes(asked.chunk_id) is not None,
        only_short=not anew and _why(store, settings, covered) is None,
    )
    sessions = calendar.between(np.datetime64(chunk.first), np.datetime64(chunk.last)).size
    return _plan(chunk, action, reason or "", scale.rows(sessions), scale.bytes(sessions))


def _as_found(store: ChunkStore, settings: Settings, others: set[str]) -> list[ChunkPlan]:
    """The chunks that a run of the latest one merges as they are."""
    plans = []
    for chunk_id in store.ids():
        if chunk_id in others:
            continue
        status = store.status(chunk_id)
        chunk = output_state.as_found(chunk_id, status)
        reason = _why(store, settings, chunk)
        rows = status["rows"] or 0 if status else 0
        size = store.parquet_bytes(chunk_id) or 0
        action: Action = "blocked" if reason else "skip"
        plans.append(_plan(chunk, action, reason or "merged as found", rows, size))
    return plans


def _plan(chunk: ChunkRange, action: Action, reason: str, rows: int, size: int) -> ChunkPlan:
    return ChunkPlan(chunk.chunk_id, action, reason, chunk.first, chunk.last, rows, size)


def _why(store: ChunkStore, settings: Settings, chunk: ChunkRange) -> str | None:
    return store.why_not_complete(
        chunk.chunk_id, origin=settings.origin, first=chunk.first, last=chunk.last
    )


def _steps(
    store: ChunkStore,
    chunk_ids: Sequence[str],
    origin: str,
    calendar: TradingCalendar,
    *,
    building: bool,
) -> tuple[str | None, str | None, str | None]:
    """Why gate, merge and labels are due; None for one that is not."""
    if building:
        return ("chunks are built",) * 3
    root = store.folder.parent
    builds = output_state.builds(store, chunk_ids)
    gate = output_state.gate_due(root, builds)
    merge = output_state.merge_due(root, builds) or (gate and "the gate is due")
    known = label_staleness.known_ahead(store, origin, calendar)
    return gate, merge, label_staleness.labels_due(root, builds, known)


def _disk_bytes(chunks: Sequence[ChunkPlan], sources: Sequence[SourcePlan], *, merged: bool) -> int:
    """Old chunks and datasets go only when the new ones are whole."""
    built = sum(chunk.bytes for chunk in chunks if chunk.action in DUE)
    dataset = sum(chunk.bytes for chunk in chunks) if merged else 0
    return sum(source.bytes for source in sources) + built + dataset


def _problems(
    settings: Settings,
    chunks: Sequence[ChunkPlan],
    sources: Sequence[SourcePlan],
    disk_bytes: int,
    disk_free: int,
) -> Iterator[str]:
    """What will stop the run."""
    pid = output_lock.holder(settings.data_output_dir)
    if pid is not None:
        yield f"another run (pid {pid}) is writing: this plan is of a moment"
    for chunk in chunks:
        if chunk.action == "blocked":
            yield f"chunk {chunk.chunk_id} is not complete, and a run of the latest leaves it so"
    for source in sources:
        if source.lost:
            yield f"{source.source}: {len(source.lost)} days cannot be had, from {source.lost[0]}"
    if disk_bytes > disk_free:
        yield f"disk: {disk_bytes:,} bytes needed, {disk_free:,} free"


def _existing(path: Path) -> Path:
    """The path, or the nearest folder above it that exists."""
    while not path.exists():
        path = path.parent
    return path
