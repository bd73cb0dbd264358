"""A helper: a Luigi assistant that builds chunks of any run of the central scheduler.

The scheduler gives an assistant any task. A helper takes only chunk builds and returns everything
else at once: the run itself fetches, so that one host needs the key and one ledger counts requests;
and it merges, once. A helper builds with the settings and the moment of the run
(``operations.cluster.announcement``), and refuses when its code, manifest or output root differ.

The number of builds at a time is its own (``operations.cluster.host_capacity``): Luigi's resources
are limits over all hosts together.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import luigi
from luigi.rpc import RPCError
from luigi.scheduler import WORKER_STATE_DISABLED
from luigi.task_status import DONE, FAILED, RUNNING
from luigi.worker import Worker

from pipeline.errors import PipelineError, StorageError, UsageError
from pipeline.filesystem.document_types import AnnouncementDocument
from pipeline.operations.cluster import announcement
from pipeline.operations.cluster.announcement import Identity
from pipeline.operations.runs.luigid_server import answers
from pipeline.process import task_process
from pipeline.tasks.worker.leader import DIED, HANDED_BACK, PatientScheduler, last_line

_TAKES = "BuildChunk"
_DEATHS = 2
_CHECK_EVERY_S = 5.0  # of the announcement, while idle
_WAIT_JITTER_S = 2.0  # so that helpers do not all ask at once

log = logging.getLogger(__name__)


class Idle(luigi.WrapperTask):
    """The root task of an assistant, which has nothing to do itself."""


@dataclass(frozen=True)
class Host:
    """This host, as it joins.

    Attributes:
        root: the output root it writes to.
        identity: its code and manifest.
        options: its settings, as text.
        builds: chunk builds at a time.
    """

    root: Path
    identity: Identity
    options: Mapping[str, str]
    builds: int


@dataclass
class _Taken:
    """Chunks this helper was given, and when; the number finished, and of consecutive builds that
    exited without reporting."""

    began: dict[str, tuple[str, float]] = field(default_factory=dict)
    finished: int = 0
    died: int = 0


class _Scheduler(PatientScheduler):
    """The central scheduler, reduced to chunk builds that this host may do."""

    def __init__(self, url: str, host: Host) -> None:
        super().__init__(url)
        self.refusal: str | None = None
        self.taken = _Taken()
        self._host = host
        self._checked = time.monotonic()

    def get_work(self, **asked: Any) -> Any:
        """A chunk to build, or nothing; Luigi's worker leaves when it is disabled."""
        if time.monotonic() - self._checked >= _CHECK_EVERY_S:
            self._check()
        if self.refusal is not None:
            return _leave()
        reply = super().get_work(**asked)
        if reply["task_id"] is None or self._may_take(reply):
            return reply
        self._hand_back(reply["task_id"], asked["worker"])
        return _leave() if self.refusal is not None else reply | {"task_id": None}

    def add_task(self, **report: Any) -> Any:
        """Pass on what became of a task, and log it."""
        answer = super().add_task(**report)
        if report.get("status") in (DONE, FAILED) and report["task_id"] in self.taken.began:
            chunk, began = self.taken.began.pop(report["task_id"])
            seconds = time.monotonic() - began
            if report["status"] == DONE:
                self.taken.finished += 1
                self.taken.died = 0
                log.info("finished chunk %s in %.1f s", chunk, seconds)
            else:
                error = report.get("expl") or ""
                log.error("chunk %s failed after %.1f s: %s", chunk, seconds, last_line(error))
                self._learn_from(error)
        return answer

    def _learn_from(self, error: str) -> None:
        """Leave when this host cannot build, before it has failed every chunk of the run."""
        if announcement.FOREIGN in error:
            self.refusal = last_line(error)
        if DIED in error:
            self.taken.died += 1
        if self.taken.died >= _DEATHS:
            died = f"{self.taken.died} builds in a row died on this host"
            self.refusal = f"{died} (killed, or out of memory: see the log, or fewer --workers)"

    def why_not(self) -> str | None:
        """Why this host may not help the latest run; None when it may, or there is none."""
        return self._relation()[0]

    def _check(self) -> AnnouncementDocument | None:
        """Check again whether this host may help; returns the run it may build for."""
        self._checked = time.monotonic()
        try:
            refusal, run, runs = self._relation()
        except StorageError as error:  # no reason to drop what is being built
            log.warning("%s", error)
            return None
        self.refusal = self.refusal or refusal
        known = run is not None and run["run_id"] in runs
        return run if known and self.refusal is None else None

    def _relation(self) -> tuple[str | None, AnnouncementDocument | None, list[str]]:
        # In this order: a run is announced before the scheduler knows it.
        runs = announcement.runs_of(self.worker_list(include_running=False))
        run = announcement.announced(self._host.root)
        elsewhere = announcement.why_elsewhere(self._host.root, run, runs)
        if elsewhere is not None:
            return f"{elsewhere} ({_SAME_ROOT})", run, runs
        foreign = announcement.why_foreign(run, self._host.identity) if run is not None else None
        return (f"{foreign} ({_SAME_CODE})" if foreign else None), run, runs

    def _may_take(self, reply: Mapping[str, Any]) -> bool:
        """Whether this is a chunk of a run that this host may help; if so, adopt its settings."""
        if reply["task_family"] != _TAKES:
            return False
        task_id = reply["task_id"]
        run = self._check()
        if run is None:
            return False
        announcement.adopt(self._host.root, run, self._host.options)
        if task_id not in self.taken.began:
            chunk = reply["task_params"]["chunk"]
            self.taken.began[task_id] = chunk, time.monotonic()
            log.info("took chunk %s of run %s", chunk, run["run_id"])
        return True

    def _hand_back(self, task_id: str, worker: str) -> None:
        """Return a task to the scheduler for other workers.

        The scheduler takes a running task back only as failed, and forgives that when asked.
        Should this process die between the two, the leader asks.
        """
        running = self.task_list(status=RUNNING, upstream_status="").get(task_id, {})
        super().add_task(
            worker=worker,
            task_id=task_id,
            status=FAILED,
            expl=json.dumps(HANDED_BACK),
            runnable=False,
            assistant=True,
            # Left out, these would be reset.
            resources=running.get("resources"),
            accepts_messages=running.get("accepts_messages"),
        )
        self.forgive_failures(task_id=task_id)


_SAME_ROOT = "give --output the root of that run; a folder must be the same one on every host"
_SAME_CODE = "install the version of that run here, or begin a run with this one first"


def join(url: str, host: Host) -> _Scheduler:
    """Connect to the central scheduler, after checking that this host may help its runs.

    Raises:
        PipelineError: it does not answer.
        UsageError: this host has other code, another manifest or another output root.
    """
    if not answers(url):
        raise PipelineError(f"luigid {url}: does not answer", "start it, or the tunnel to it")
    scheduler = _Scheduler(url, host)
    refusal = scheduler.why_not()
    if refusal is not None:
        raise UsageError(refusal)
    return scheduler


def work(scheduler: _Scheduler, host: Host) -> int:
    """Build chunks until asked to leave; returns their number.

    SIGTERM or SIGINT lets it finish the current builds; a second one ends it at once.

    Raises:
        UsageError: a run began that this host may not help.
        PipelineError: the central scheduler does not answer any more.
    """
    os.environ[task_process.HELPER] = str(os.getpid())
    assistant = Worker(
        scheduler=scheduler,
        worker_id=f"g5-worker@{socket.gethostname()}:{os.getpid()}",
        worker_processes=host.builds,
        assistant=True,
        keep_alive=True,
        wait_jitter=_WAIT_JITTER_S,
    )
    _leave_on_signals()
    try:
        with assistant:
            assistant.add(Idle())
            assistant.run()
    except RPCError as error:
        raise PipelineError(
            f"luigid {scheduler._url}: does not answer any more",  # noqa: SLF001
            "start it again; chunks that were finished are kept",
        ) from error
    if scheduler.refusal is not None:
        raise UsageError(f"left: {scheduler.refusal}")
    return scheduler.taken.finished


def _leave() -> dict[str, Any]:
    """The answer that makes Luigi's worker finish its tasks and leave."""
    counts = dict.fromkeys(("n_pending_tasks", "n_unique_pending", "n_pending_last_scheduled"), 0)
    return {
        **counts,
        "task_id": None,
        "running_tasks": [],
        "worker_state": WORKER_STATE_DISABLED,
    }


def _leave_on_signals() -> None:
    """The first signal is Luigi's SIGUSR1: ask for no more and finish; the second ends at once."""

    def finish(_signum: int, _frame: FrameType | None) -> None:
        for again in (signal.SIGTERM, signal.SIGINT):
            signal.signal(again, task_process.end_at_once)
        # Not by the log, whose lock may be held when the signal comes.
        os.write(2, b"leaving: what is being built is finished first; once more ends it at once\n")
        signal.raise_signal(signal.SIGUSR1)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, finish)
