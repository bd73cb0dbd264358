"""Read-only view of a run from outside its processes.

The facts come from files (the record of the run with the notes of its tasks, progress files, status
of the chunks), from the system (memory of the processes), and from the central scheduler, if the
run has one (number of waiting tasks).
"""

from __future__ import annotations

import datetime as dt
import json
import time
import urllib.parse
import urllib.request
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import psutil

from pipeline.configuration import Settings
from pipeline.dataset.chunk_store import ChunkStore
from pipeline.errors import PipelineError
from pipeline.filesystem.document_types import RunDocument, RunStep
from pipeline.market.calendar.periods import ChunkRange, Period
from pipeline.operations.fetching.source_fetch import load_calendar
from pipeline.operations.planning import run_plan
from pipeline.operations.planning.run_request import Request
from pipeline.run_state.history import RunHistory, chunk_of
from pipeline.run_state.task_progress import Progress, ProgressBoard

WAITING, COMPLETE = "waiting", "complete"  # states of a chunk that this run has not begun

_ASK_EVERY_S = 5.0
_ANSWER_S = 1.0


@dataclass(frozen=True)
class ChunkFact:
    """A chunk of the run.

    Attributes:
        state: as in its status, or ``waiting``, or ``complete``: built before the run.
        seconds: of its build, so far.
        done, total: steps of a running build.
    """

    chunk_id: str
    state: str
    rows: int | None = None
    seconds: float | None = None
    bytes: int | None = None
    done: int = 0
    total: int = 0


@dataclass(frozen=True)
class StepFact:
    """A task that is no chunk build.

    Attributes:
        name: such as ``FetchSource index_option``.
        seconds: so far.
        error: in one line; None if it runs or succeeded.
        running: with ``done`` of ``total``, in ``unit``.
    """

    name: str
    seconds: float
    error: str | None = None
    running: bool = False
    done: int = 0
    total: int = 0
    unit: str = ""


@dataclass(frozen=True)
class RunFacts:
    """A run at a moment.

    Attributes:
        title: what was started, such as ``run production``.
        run_id: None before the run has a record.
        seconds: since it was started.
        steps: in the order in which they ended, then the running ones.
        memory: bytes its processes hold now; None if unknown.
        left_s: estimated until the end; None if unknown.
        waiting: waiting tasks, by the central scheduler; None without one.
        page: of that scheduler.
        warnings: of the run, so far.
        last_line: the latest line of its output.
    """

    title: str
    run_id: str | None
    seconds: float
    chunks: tuple[ChunkFact, ...] = ()
    steps: tuple[StepFact, ...] = ()
    memory: int | None = None
    left_s: float | None = None
    waiting: int | None = None
    page: str | None = None
    warnings: tuple[str, ...] = ()
    last_line: str = ""


@dataclass
class Watcher:
    """Reads the facts of one run repeatedly.

    Args:
        began: when it was started, seconds since the epoch.
        request: of the run; None: waiting chunks are not known.
        scheduler_url: of luigid, if the run has one.
    """

    settings: Settings
    title: str
    run_id: str
    began: float
    request: Request | None = None
    workers: int = 1
    scheduler_url: str | None = None
    _asked: tuple[ChunkRange, ...] | None = field(default=None, init=False)
    _typical: float | None = field(default=None, init=False)
    _waiting: tuple[float, int | None] = field(default=(0.0, None), init=False)

    def look(self, pid: int | None, now: float) -> RunFacts:
        """The facts of this moment.

        Args:
            pid: of the main process of the run.
            now: seconds since the epoch.
        """
        root = self.settings.data_output_dir
        record = self.record()
        progress = ProgressBoard(root).of_run(self.run_id)
        chunks = self._chunks(record, progress, now)
        steps = steps_of(record, progress, now)
        return RunFacts(
            title=self.title,
            run_id=self.run_id if record else None,
            seconds=now - self.began,
            chunks=tuple(chunks),
            steps=tuple(steps),
            memory=memory_of(pid) if pid else None,
            left_s=left_s(chunks, steps, self._seconds_of_a_chunk(), self.workers),
            waiting=self._tasks_waiting(now),
            page=self.scheduler_url,
        )

    def record(self) -> RunDocument | None:
        """The record so far; None without a readable one."""
        try:
            return RunHistory(self.settings.data_output_dir).so_far(self.run_id)
        except PipelineError:
            return None

    def _chunks(
        self, record: RunDocument | None, progress: Sequence[Progress], now: float
    ) -> list[ChunkFact]:
        store = ChunkStore(self.settings.data_output_dir)
        due = self._due()
        reasons = store.reasons(due, self.settings.origin)
        done = [chunk.chunk_id for chunk, why in zip(due, reasons, strict=True) if why is None]
        facts = {chunk.chunk_id: ChunkFact(chunk.chunk_id, WAITING) for chunk in due}
        for chunk_id, status in store.statuses(done).items():
            if status is not None:
                facts[chunk_id] = ChunkFact(
                    chunk_id, COMPLETE, status["rows"], bytes=status["parquet_bytes"]
                )
        built = {c["chunk_id"]: c for c in record["chunks"]} if record else {}
        running = {
            p.task.partition(" ")[2]: p for p in progress if p.task.startswith("BuildChunk ")
        }
        for chunk_id, chunk in built.items():
            at = running.get(chunk_id) if chunk["state"] == "building" else None
            facts[chunk_id] = ChunkFact(**chunk)
            if at is not None:
                facts[chunk_id] = replace(
                    facts[chunk_id], seconds=now - at.began, done=at.done, total=at.total
                )
        return sorted(facts.values(), key=lambda fact: Period.parse(fact.chunk_id))

    def _due(self) -> tuple[ChunkRange, ...]:
        """The requested chunks; none until there is a calendar."""
        request = self.request
        if self._asked is None and request is not None and request.start and request.end:
            try:
                calendar = load_calendar(self.settings, request.end)
                chunks = run_plan.plan_chunks(
                    self.settings, calendar, request.start, request.end, request.chunk_months
                )
            except PipelineError:
                return ()
            self._asked = tuple(chunks[-1:] if request.latest_only else chunks)
        return self._asked or ()

    def _seconds_of_a_chunk(self) -> float | None:
        """Mean of the chunks on disk when the run began."""
        if self._typical is None:
            store = ChunkStore(self.settings.data_output_dir)
            chunks = [chunk_of(status) for status in store.statuses().values() if status]
            done = (chunk["seconds"] for chunk in chunks if chunk["state"] == "completed")
            times = [seconds for seconds in done if seconds is not None]
            self._typical = sum(times) / len(times) if times else 0.0
        return self._typical or None

    def _tasks_waiting(self, now: float) -> int | None:
        if self.scheduler_url is None:
            return None
        asked, waiting = self._waiting
        if now - asked >= _ASK_EVERY_S:
            waiting = tasks_waiting(self.scheduler_url)
            self._waiting = (time.time(), waiting)
        return waiting


def steps_of(
    record: RunDocument | None, progress: Iterable[Progress], now: float
) -> list[StepFact]:
    """The tasks that ended, and those with newer progress."""
    ended = record["steps"] if record else []
    last = {step["name"]: _end_of(step) for step in ended}
    steps = [
        StepFact(step["name"], step["seconds"], step["error"])
        for step in ended
        if step["name"] != "BuildAll" and (step["error"] or not _is_chunk(step["name"]))
    ]
    steps += [
        StepFact(at.task, now - at.began, None, True, at.done, at.total, at.unit)
        for at in progress
        if not _is_chunk(at.task) and at.told > last.get(at.task, 0.0)
    ]
    return steps


def left_s(
    chunks: Iterable[ChunkFact], steps: Iterable[StepFact], typical: float | None, workers: int
) -> float | None:
    """Estimated seconds until the end, by running fetches and chunks to be built.

    Args:
        typical: seconds per chunk before this run, used until one is built in it.
    """
    chunks = list(chunks)
    took = [c.seconds for c in chunks if c.state == "completed" and c.seconds is not None]
    each = sum(took) / len(took) if took else typical
    fetching = [
        s.seconds * (s.total - s.done) / s.done for s in steps if s.running and 0 < s.done < s.total
    ]
    todo = 0.0
    for chunk in chunks:
        if chunk.state == WAITING:
            todo += 1.0
        elif chunk.state == "building":
            todo += 1.0 - chunk.done / chunk.total if chunk.total else 1.0
    if todo and each is None:
        return None
    if not todo and not fetching:
        return None
    at_a_time = max(min(workers, len(chunks)), 1)
    return max(fetching, default=0.0) + (todo * (each or 0.0)) / at_a_time


def memory_of(pid: int) -> int | None:
    """Resident bytes of a process and its descendants; None when it is gone."""
    try:
        main = psutil.Process(pid)
        processes = [main, *main.children(recursive=True)]
    except psutil.Error:
        return None
    total = 0
    for process in processes:
        try:
            total += process.memory_info().rss
        except psutil.Error:
            continue
    return total


def tasks_waiting(url: str) -> int | None:
    """Number of waiting tasks of a central scheduler; None if it does not answer."""
    query = urllib.parse.urlencode(
        {"data": json.dumps({"status": "PENDING", "upstream_status": ""})}
    )
    try:
        with urllib.request.urlopen(  # noqa: S310  (as configured)
            f"{url.rstrip('/')}/api/task_list?{query}", timeout=_ANSWER_S
        ) as answer:
            response = json.load(answer)["response"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return int(response["num_tasks"]) if "num_tasks" in response else len(response)


def _is_chunk(name: str) -> bool:
    return name.startswith("BuildChunk ")


def _end_of(step: RunStep) -> float:
    return dt.datetime.fromisoformat(step["started_at"]).timestamp() + float(step["seconds"])
