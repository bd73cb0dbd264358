"""What a run has to do, decided before its first task.

1. Settings, dates, output folder and manifest are checked: nothing has been asked or written yet.
2. The plan of the account is found out, where it is not known (two requests), and the trading
   calendar is read from the cache, or fetched (one request).
3. The range is cut into chunks, ending with the last session whose data are published.
4. The run takes hold of the output folder; from here on it writes, the fetched calendar first.
5. The sessions of the chunks that are not complete, plus warm-up, are the range of the sources.

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
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from luigi.interface import core

from pipeline import configuration
from pipeline.api.catalogue.plans import window
from pipeline.cache.fetch_policy import ANY_AGE
from pipeline.cache.recheck_ledger import CheckBook
from pipeline.configuration import Settings
from pipeline.dataset.chunk_status import covered_range
from pipeline.dataset.chunk_store import ChunkStore
from pipeline.errors import (
    AlreadyRunning,
    MissingData,
    PipelineError,
    StorageError,
    UsageError,
)
from pipeline.filesystem import documents
from pipeline.filesystem.atomic import os_errors, sweep_leftovers, unreachable
from pipeline.filesystem.local_copies import forget_unused
from pipeline.filesystem.location import host_folder, is_remote, on_host
from pipeline.manifest import Manifest, check, columns_of, from_json
from pipeline.market.calendar.as_of import last_published_session
from pipeline.market.calendar.periods import ChunkRange, chunk_ranges, require_order
from pipeline.market.calendar.sessions import TradingCalendar
from pipeline.operations.cluster import announcement
from pipeline.operations.fetching.snapshot_range import SnapshotRange
from pipeline.operations.runs import run_recorder
from pipeline.process import log_setup, task_process
from pipeline.run_state import output_lock
from pipeline.run_state.output_root import check_output

# The catalogue and the client are loaded where they are needed: the commands that look at chunks
# want the manifest only.
if TYPE_CHECKING:
    from pipeline.api.catalogue.endpoints import Endpoint


def check_request(start: dt.date, end: dt.date, given: Settings | None = None) -> Settings:
    """Everything that can be wrong before the first request.

    Args:
        given: settings to check instead of those of this process.

    Raises:
        UsageError: a setting, a date, the API key or address, the output folder.
        SchemaMismatch: the catalogue and the manifest disagree.
    """
    from pipeline.operations.fetching.source_fetch import open_session

    settings = given or configuration.settings()
    require_order(start, end)
    today = configuration.now().date()
    if end > today:
        raise UsageError(
            f"--end {end} lies in the future; today is {today}", f"use --end {today} or earlier"
        )
    check_output(settings.data_output_dir)
    check_manifest()
    if settings.source_cache_mode != "read" and settings.source_route != "files":
        open_session(settings).close()
    return settings


def begin(settings: Settings, start: dt.date, end: dt.date, months: int) -> list[ChunkRange]:
    """Chunks of a run, which holds the output folder from here on.

    A plan that had to be found out and a calendar that had to be fetched are written last: a run
    that is refused leaves no trace.

    Raises:
        MissingData: the cache has no calendar that reaches far enough, and is read-only.
        ApiError: the calendar could not be fetched, or the key is refused.
        AlreadyRunning: another run writes to the output folder.
        UsageError: as ``plan_chunks``.
    """
    from pipeline.operations.fetching import account
    from pipeline.operations.fetching.source_fetch import (
        fetch_calendar,
        keep_calendar,
        load_calendar,
    )

    settings = account.settled(settings)
    fetched = None
    try:
        calendar = load_calendar(settings, end)
    except MissingData:
        if settings.source_cache_mode == "read":
            raise
        fetched = fetch_calendar(settings, end)
        calendar = TradingCalendar.from_table(fetched)
    chunks = plan_chunks(settings, calendar, start, end, months)
    hold_output(settings.data_output_dir)
    account.keep(settings)
    if fetched is not None:
        keep_calendar(settings, fetched)
    return chunks


def settings_of_step() -> Settings:
    """The settings of one step; started alone, it holds the output folder like a whole run.

    Raises:
        UsageError, SchemaMismatch, AlreadyRunning: as for a whole run.
    """
    settings = configuration.settings()
    if _lock is None and task_process.is_command():
        check_output(settings.data_output_dir)
        check_manifest()
        hold_output(settings.data_output_dir)
    return settings


def check_manifest() -> None:
    """The catalogue in code and the agreed manifest must name the same columns.

    Raises:
        SchemaMismatch: they do not; nothing has been fetched.
    """
    from pipeline.features.engine import catalogue

    check(columns_of(catalogue.column_schema()), load_manifest()).raise_for(
        "the feature catalogue against schema/feature_schema_manifest.json",
        "regenerate the manifest if the change is meant",
    )


def manifest_path() -> Path:
    """Where the project's own manifest is."""
    return documents.schema_folder() / "feature_schema_manifest.json"


def load_manifest(path: Path | None = None) -> Manifest:
    """The agreed columns, of the project's own manifest unless a path is given.

    Raises:
        MissingData, StorageError: no manifest, or a damaged one.
        UsageError: it contradicts itself.
    """
    path = path or manifest_path()
    document = documents.read_document(path, "manifest")
    try:
        return from_json(document)
    except UsageError as error:
        raise UsageError(f"{path}: {error.message}", error.hint) from error


def plan_chunks(
    settings: Settings, calendar: TradingCalendar, start: dt.date, end: dt.date, months: int
) -> list[ChunkRange]:
    """Chunks of the published sessions of [start, end].

    Raises:
        UsageError: no published session in the range, or it begins before the data do.
    """
    published = last_published(settings, calendar)
    last = min(end, published)
    ranges = chunk_ranges(calendar, start, last, months) if start <= last else []
    if not ranges:
        raise UsageError(
            f"--start {start} --end {end}: no session with published data in this range; "
            f"the last published session is {published}",
            "choose a range with a trading day",
        )
    first_known = calendar.sessions[0].astype(object)
    missed = max(
        first_known - _LONGEST_CLOSURE, window(settings.plan, configuration.now().date())[0]
    )
    if ranges[0].first == first_known and start < min(missed, first_known):
        raise UsageError(
            f"--start {start}: the data of plan {settings.plan!r} begin on {first_known}",
            f"use --start {first_known} or later, or a larger plan",
        )
    return ranges


def last_published(
    settings: Settings, calendar: TradingCalendar, ago: dt.timedelta = dt.timedelta(0)
) -> dt.date:
    """The last session for which every source of the plan was public at the moment of the run.

    ``ago`` asks for an earlier moment.
    The last session of the calendar is never one: a row is decided on the session after it.
    Matters where the plan's window cuts the calendar off in the past; one that the server sends
    whole is cut here, so that both end on the same day.
    """
    from pipeline.operations.fetching.source_fetch import sources_of

    now = np.datetime64(configuration.now() - ago, "m")
    published = [
        last_published_session(endpoint.publication, now, calendar)
        for endpoint in sources_of(settings)
        if endpoint.every_session
    ]
    shown = calendar.sessions
    if settings.source_route != "files":
        shown = shown[shown <= np.datetime64(window(settings.plan, configuration.now().date())[1])]
    published.append(shown[-2] if shown.size > 1 else None)
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
    first, last = covered_range(status)
    return replace(chunk, first=min(chunk.first, first), last=max(chunk.last, last))


def source_range(
    settings: Settings, calendar: TradingCalendar, chunks: Sequence[ChunkRange]
) -> SnapshotRange:
    """What the daily sources must cover to build the chunks that are not complete.

    Their sessions and the warm-up in front of them; of all chunks when each is complete.
    ``fetching.range_of`` says where the other sources begin.
    """
    reasons = ChunkStore(settings.data_output_dir).reasons(chunks, settings.origin)
    due = [chunk for chunk, reason in zip(chunks, reasons, strict=True) if reason]
    return range_over(settings, calendar, due or chunks)


def range_over(
    settings: Settings, calendar: TradingCalendar, chunks: Sequence[ChunkRange]
) -> SnapshotRange:
    """The sessions of these chunks and the warm-up in front of them."""
    from pipeline.features.engine import catalogue

    first = min(chunk.first for chunk in chunks)
    last = max(chunk.last for chunk in chunks)
    warm = calendar.back(np.datetime64(first), catalogue.warm_up_columns()).astype(object)
    return SnapshotRange(warm, last, settings.source_cache_asof, settings.source_cache_tag)


def fresh_after(settings: Settings, endpoint: Endpoint, *, refresh_listed: bool) -> str:
    """The moment after which a snapshot of this source must have been checked, or "" for any.

    Decided once per run; ``complete()`` of the fetch task compares it and never reads a clock.
    """
    if settings.source_cache_mode == "read":
        return ANY_AGE
    refresh = settings.source_cache_force_refresh or settings.source_cache_mode == "off"
    if refresh or (refresh_listed and endpoint.source == "listed"):
        return configuration.stamp()
    days = settings.source_cache_ttl_override_days
    if days is None and endpoint.source == "index_option":
        days = settings.index_option_cache_ttl_days
    if days is not None:
        return configuration.stamp(dt.timedelta(days=days))
    return _corrected_at(settings, endpoint.source)


def _corrected_at(settings: Settings, source: str) -> str:
    """When the last correction of a closed month was found: an earlier snapshot lacks it.

    What this run itself finds does not count, or its tasks would change while it goes on.
    """
    if settings.source_cache_asof is not None:
        return ANY_AGE
    found = CheckBook(settings.data_output_dir, settings.origin).read().found.values()
    before = [one.arrived for one in found if one.source == source]
    return max((at for at in before if at < configuration.stamp()), default=ANY_AGE)


_LONGEST_CLOSURE = dt.timedelta(days=14)  # New Year, Golden Week and the like

_LEFTOVER_S = 3600.0  # temporary files of killed runs: the lock says that nobody writes them

_lock: IO[str] | None = None


def hold_output(root: Path) -> None:
    """One run at a time per output root; held until this process ends.

    Raises:
        AlreadyRunning: another process holds it.
        StorageError: the file system refused.
    """
    global _lock  # noqa: PLW0603  (a lock lives as long as its process)
    if _lock is not None or not task_process.is_main_process():
        return
    here = on_host(root)
    path = here / output_lock.LOCK
    with os_errors(path):
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
    try:
        with os_errors(path):
            os.ftruncate(handle.fileno(), 0)
            # Not by the file's buffer: what a full disk refuses would be tried again at the end.
            os.write(handle.fileno(), f"pid {os.getpid()}".encode())
    except StorageError:
        handle.close()
        raise
    _lock = handle
    with os_errors(here / "logs"):
        log_setup.configure(here / "logs", configuration.settings().log_format)
    # What goes to an object store is written in the folder of this machine first, which the runs
    # of all roots share: a sweep leaves them what they hold.
    sweep_leftovers(host_folder() if is_remote(root) else root, _LEFTOVER_S, time.time())
    if is_remote(root):
        forget_unused(time.time())
    run_recorder.clear_progress(root)  # what a killed run left
    run_recorder.begin(root)
    if task_process.is_command("luigi") and core().workers and not core().local_scheduler:
        announcement.announce(root, load_manifest())


@contextmanager
def reported() -> Iterator[None]:
    """For the command line: an error of ours is one line and an exit code, not a traceback."""
    try:
        yield
    except Exception as raised:
        error = raised if isinstance(raised, PipelineError) else unreachable(raised)
        if error is None or not task_process.is_command():
            raise
        print(f"error: {error}", file=sys.stderr)
        run_recorder.note_error(str(error))
        sys.exit(error.exit_code)
