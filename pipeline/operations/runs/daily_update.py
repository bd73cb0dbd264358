"""The daily update: the chunks that are due, and the steps to build and publish them.

1. Find the last session whose data are published, by the trading calendar.
2. From it and the newest chunk on disk: the chunks that are due. Usually one; more when days were
   missed over the end of a chunk, which would otherwise stay short.
3. Run the steps, each a run of its own. The first that fails ends the update; the next update
   continues there. When nothing is due, each step finds that out within seconds.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline import configuration
from pipeline.configuration import Settings
from pipeline.dataset.chunk_store import ChunkStore
from pipeline.dataset.publication import Dataset, DatasetStore
from pipeline.errors import MissingData
from pipeline.exit_codes import ExitCode
from pipeline.market.calendar.periods import Period, periods_between
from pipeline.market.calendar.sessions import TradingCalendar
from pipeline.operations.fetching import account
from pipeline.operations.fetching.source_fetch import fetch_calendar, load_calendar
from pipeline.operations.planning import run_plan
from pipeline.operations.planning.waiting_corrections import waiting
from pipeline.operations.runs.luigi_command import Runner
from pipeline.run_state.output_root import check_output

_AGAIN_S = 15.0


@dataclass(frozen=True)
class Due:
    """A chunk to be brought up to date.

    Attributes:
        start, end: days a run is asked for.
        chunk_months: length of the chunk.
    """

    start: dt.date
    end: dt.date
    chunk_months: int


@dataclass(frozen=True)
class Step:
    """A part of the daily update: a task and its parameters."""

    name: str
    words: tuple[str, ...]


@dataclass(frozen=True)
class Outcome:
    """The result of a daily update.

    Attributes:
        code: exit code of the step that failed; 0 when none did.
        failed: that step; None when none did.
        published: the last session whose data are published.
        before, after: the published dataset.
    """

    code: int
    failed: str | None
    published: dt.date
    before: Dataset | None
    after: Dataset | None

    def __str__(self) -> str:
        """One line."""
        if self.failed is not None:
            busy = " (another run is writing)" if self.code == ExitCode.ALREADY_RUNNING else ""
            return f"daily {self.published}: {self.failed} ended with exit code {self.code}{busy}"
        facts = self.after.metadata if self.after else {}
        which = (
            f"{facts.get('dataset')}, {facts.get('rows', 0):,} rows to {facts.get('output_end')}"
        )
        if _name(self.before) == _name(self.after):
            return f"daily {self.published}: nothing to do; {which}"
        return f"daily {self.published}: done; {which}"


def run(settings: Settings, runner: Runner, months: int, wait_s: float) -> Outcome:
    """Run the steps.

    Args:
        months: length of the first chunk, if there is none yet.
        wait_s: how long a step waits for another run to end before it counts as failed.

    Raises:
        ApiError, SnapshotError, MissingData: no trading calendar is available, or the key is
            refused.
        UsageError: nothing is published yet, or a setting is wrong.
        StorageError: the output root cannot be read.
    """
    check_output(settings.data_output_dir)
    settings = account.settled(settings)
    calendar = calendar_of_today(settings)
    published = run_plan.last_published(settings, calendar)
    account.keep(settings)  # for the steps
    store = ChunkStore(settings.data_output_dir)
    datasets = DatasetStore(settings.data_output_dir)
    ids = store.ids()
    newest = Period.parse(ids[-1]) if ids else None
    status = store.status(ids[-1]) if ids else None
    before = datasets.latest()
    for step in steps(due(calendar, published, newest, status, months), _corrected(settings)):
        code = _run(runner, step, wait_s)
        if code:
            return Outcome(code, step.name, published, before, datasets.latest())
    return Outcome(0, None, published, before, datasets.latest())


def steps(chunks: Iterable[Due], corrected: Iterable[Due] = ()) -> Iterator[Step]:
    """The steps of a daily update, in order.

    Args:
        corrected: chunks to be rebuilt for corrections; read only after the steps before them
            have ended.
    """
    for chunk in chunks:
        yield Step(f"incremental run to {chunk.end}", _run_of(chunk))
    for chunk in corrected:
        yield Step(f"rebuild of corrected rows to {chunk.end}", _run_of(chunk))
    yield Step("merge, labels and report", ("BuildReport",))


def _run_of(chunk: Due) -> tuple[str, ...]:
    days = ("--start", str(chunk.start), "--end", str(chunk.end))
    return "BuildAll", *days, "--chunk-months", str(chunk.chunk_months)


def _corrected(settings: Settings) -> Iterator[Due]:
    """The chunks whose rows lack a correction, if these are to be rebuilt."""
    if settings.corrections != "rebuild":
        return
    store = ChunkStore(settings.data_output_dir)
    for chunk_id in waiting(settings.data_output_dir, settings.origin):
        status = store.read_status(chunk_id)
        first, last = (dt.date.fromisoformat(status[f"covered_{side}"]) for side in ("from", "to"))
        period = Period.parse(chunk_id)
        yield Due(first, last, period.last_month - period.first_month + 1)


def due(
    calendar: TradingCalendar,
    published: dt.date,
    newest: Period | None,
    status: Mapping[str, Any] | None,
    months: int,
) -> list[Due]:
    """The newest chunk, where sessions of it are missing, those after it, and always the last.

    Args:
        published: the last session whose data are published.
        newest: the newest chunk on disk; None without any.
        status: its status; None without a usable one.
        months: length of the first chunk, if there is none yet.
    """
    if newest is None or newest.first_day > published:
        return [newest_chunk(published, months)]
    length = newest.last_month - newest.first_month + 1
    found = []
    for period in periods_between(newest.first_day, published, length):
        sessions = calendar.between(
            np.datetime64(period.first_day), np.datetime64(min(period.last_day, published))
        )
        if not sessions.size:
            continue
        start, end = period.first_day, sessions[-1].astype(object)
        if period == newest and status is not None:
            start = max(start, dt.date.fromisoformat(status["covered_from"]))
            if status["covered_to"] >= str(end) and end < published:
                continue
        found.append(Due(start, end, length))
    return found


def newest_chunk(published: dt.date, months: int) -> Due:
    """The chunk that holds the last published session."""
    (period,) = periods_between(published, published, months)
    return Due(period.first_day, published, months)


def calendar_of_today(settings: Settings) -> TradingCalendar:
    """The trading calendar, from the cache, or fetched and not kept: a run keeps its own.

    Raises:
        MissingData: the cache has none that reaches far enough, and is read-only.
        ApiError, SnapshotError: it could not be fetched.
    """
    today = configuration.now().date()
    try:
        return load_calendar(settings, today)
    except MissingData:
        if settings.source_cache_mode == "read":
            raise
    return TradingCalendar.from_table(fetch_calendar(settings, today, noted=False))


def _run(runner: Runner, step: Step, wait_s: float) -> int:
    """Run one step, again while another run is in its way."""
    deadline = time.monotonic() + wait_s
    code = runner.run(step.words)
    while code == ExitCode.ALREADY_RUNNING and (left := deadline - time.monotonic()) > 0:
        time.sleep(min(_AGAIN_S, left))
        code = runner.run(step.words)
    return code


def _name(dataset: Dataset | None) -> str | None:
    return dataset.path.name if dataset else None
