"""What a run has to do, decided before its first task.

1. Settings, dates, output folder and manifest are checked: nothing has been asked or written yet.
2. The trading calendar is read from the cache, or fetched (one request).
3. The range is cut into chunks, ending with the last session whose data are published.
4. The sessions of the chunks that are not complete, plus warm-up, are the range of the sources.

Every process of a run repeats this and gets the same answer, because the moment it decides by is
fixed (``config.now``) and the calendar lies in the cache after the first time.
"""

from __future__ import annotations

import datetime as dt
import fcntl
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import numpy as np

from pipeline.api.endpoints import Endpoint
from pipeline.errors import AlreadyRunning, PipelineError, UsageError
from pipeline.features import catalog
from pipeline.manifest import Manifest, check, columns_of, from_json
from pipeline.market.asof import last_published_session
from pipeline.market.periods import ChunkRange, chunk_ranges
from pipeline.market.sessions import TradingCalendar
from pipeline.storage import documents
from pipeline.storage.atomic import sweep_leftovers
from pipeline.storage.chunks import ChunkStore
from pipeline.tasks import config, logs, runtime
from pipeline.tasks.config import Settings
from pipeline.tasks.fetching import ANY_AGE, endpoints_needed, load_calendar
from pipeline.tasks.plan import SnapshotRange


def check_request(start: dt.date, end: dt.date) -> Settings:
    """Everything that can be wrong before the first request.

    Raises:
        UsageError: a setting, a date, the output folder; or the catalogue and the manifest
            disagree.
    """
    settings = config.settings()
    if end < start:
        raise UsageError(f"--end {end} is before --start {start}", "exchange the two dates")
    today = config.now().date()
    if end > today:
        raise UsageError(
            f"--end {end} lies in the future; today is {today}", f"use --end {today} or earlier"
        )
    check_output(settings.data_output_dir)
    check_manifest()
    return settings


def check_output(root: Path) -> None:
    """Refuse an output folder that cannot be written, without writing anything.

    Raises:
        UsageError: it, or the nearest folder above it that exists, is no writable folder.
    """
    existing = root
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        what = "is not writable" if existing.is_dir() else "is not a folder"
        raise UsageError(
            f"data_output_dir {root}: {existing} {what}", "choose a folder you can write to"
        )


def check_manifest() -> None:
    """The catalogue in code and the agreed manifest must name the same columns.

    Raises:
        SchemaMismatch: they do not; nothing has been fetched.
    """
    check(columns_of(catalog.column_schema()), load_manifest()).raise_for(
        "the feature catalogue against schema/feature_schema_manifest.json",
        "regenerate the manifest if the change is meant",
    )


def load_manifest() -> Manifest:
    """The agreed columns.

    Raises:
        MissingData, StorageError: no manifest, or one that contradicts itself.
    """
    path = documents.schema_folder() / "feature_schema_manifest.json"
    return from_json(documents.read_document(path, "manifest"))


def plan_chunks(
    settings: Settings, start: dt.date, end: dt.date, months: int, *, fetch: bool
) -> list[ChunkRange]:
    """Chunks of the published sessions of [start, end].

    Args:
        fetch: ask the API when the cache has no calendar that reaches ``end``.

    Raises:
        UsageError: no published session in the range, or it begins before the data do.
    """
    calendar = load_calendar(settings, end, fetch=fetch)
    last = min(end, last_published(calendar))
    ranges = chunk_ranges(calendar, start, last, months) if start <= last else []
    if not ranges:
        raise UsageError(
            f"--start {start} --end {end}: no session with published data in this range; "
            f"the last published session is {last_published(calendar)}",
            "choose a range with a trading day",
        )
    first_known = calendar.sessions[0].astype(object)
    if ranges[0].first == first_known and start < first_known - dt.timedelta(days=14):
        raise UsageError(
            f"--start {start}: the data of plan {settings.plan!r} begin on {first_known}",
            f"use --start {first_known} or later, or a larger plan",
        )
    return ranges


def last_published(calendar: TradingCalendar) -> dt.date:
    """The last session for which every source is public at the moment of the run."""
    now = np.datetime64(config.now(), "m")
    published = [
        last_published_session(endpoint.publication, now, calendar)
        for endpoint in endpoints_needed()
        if endpoint.every_session
    ]
    known = [session for session in published if session is not None]
    if len(known) < len(published):
        raise UsageError(f"no session is published yet at {now} JST", "wait, or check G5_NOW")
    session: dt.date = min(known).astype(object)
    return session


def with_what_is_there(
    chunk: ChunkRange, status: Mapping[str, Any] | None, origin: str
) -> ChunkRange:
    """The asked range and what the chunk covers already: a rebuild never loses rows.

    An unfinished or failed build counts too: its status records what it was meant to cover.
    """
    if status is None or status["origin"] != origin:
        return chunk
    covered = [dt.date.fromisoformat(status[f"covered_{side}"]) for side in ("from", "to")]
    return replace(chunk, first=min(chunk.first, covered[0]), last=max(chunk.last, covered[1]))


def source_range(settings: Settings, chunks: Sequence[ChunkRange]) -> SnapshotRange:
    """What the sources must cover to build the chunks that are not complete.

    Their sessions and the warm-up in front of them; of all chunks when each is complete.
    """
    store = ChunkStore(settings.data_output_dir)
    due = [
        chunk
        for chunk in chunks
        if store.why_not_complete(
            chunk.chunk_id, origin=settings.origin, first=chunk.first, last=chunk.last
        )
    ] or chunks
    first = min(chunk.first for chunk in due)
    last = max(chunk.last for chunk in due)
    calendar = load_calendar(settings, last, fetch=False)
    warm = calendar.back(np.datetime64(first), catalog.warm_up_columns()).astype(object)
    return SnapshotRange(warm, last, settings.source_cache_asof, settings.source_cache_tag)


def fresh_after(settings: Settings, endpoint: Endpoint, *, refresh_listed: bool) -> str:
    """The moment after which a snapshot of this source must have been checked, or "" for any.

    Decided once per run; ``complete()`` of the fetch task compares it and never reads a clock.
    """
    if settings.source_cache_mode == "read":
        return ANY_AGE
    refresh = settings.source_cache_force_refresh or settings.source_cache_mode == "off"
    if refresh or (refresh_listed and endpoint.source == "listed"):
        return config.stamp()
    days = settings.source_cache_ttl_override_days
    if days is None and endpoint.source == "index_option":
        days = settings.index_option_cache_ttl_days
    return ANY_AGE if days is None else config.stamp(dt.timedelta(days=days))


_LEFTOVER_S = 3600.0  # temporary files of killed runs: the lock says that nobody writes them

_lock: IO[str] | None = None


def hold_output(root: Path) -> None:
    """One run at a time per output root; held until this process ends.

    Raises:
        AlreadyRunning: another process holds it.
    """
    global _lock  # noqa: PLW0603  (a lock lives as long as its process)
    if _lock is not None or not runtime.is_main_process():
        return
    path = root / "run" / "build.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = path.open("a+")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        handle.seek(0)
        holder = handle.read().strip() or "unknown"
        handle.close()
        raise AlreadyRunning(
            f"another run ({holder}) is writing to {root}", "wait for it, or stop it"
        ) from None
    handle.truncate(0)
    handle.write(f"pid {os.getpid()}")
    handle.flush()
    _lock = handle
    sweep_leftovers(root, _LEFTOVER_S, time.time())
    logs.configure(root / "logs")


@contextmanager
def reported() -> Iterator[None]:
    """For the command line: an error of ours is one line and an exit code, not a traceback."""
    try:
        yield
    except PipelineError as error:
        if not runtime.is_command():
            raise
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None
