"""The leader: Luigi's worker for a run with helpers on other hosts.

Luigi's own worker leaves when it has nothing to do itself, although helpers still build for it, and
counts what they did as not done. The leader

1. stays as long as a helper works for it;
2. releases tasks that were lost with their worker, so that the central scheduler gives them to the
   next one that asks. A task that failed for its own reasons stays failed;
3. learns in the end what the helpers did, so that Luigi's summary and exit code are right.

With the local scheduler a run has Luigi's own worker.
"""

from __future__ import annotations

import json
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from luigi import interface
from luigi.rpc import RemoteScheduler, RPCError
from luigi.task_status import DONE, FAILED, PENDING
from luigi.worker import Worker

from pipeline.operations.cluster import announcement
from pipeline.operations.runs.run_recorder import name_of, note_error
from pipeline.process import log_setup

#: The failure by which a helper returns a task that it does not take.
HANDED_BACK = "handed back by a helper"

#: Part of Luigi's message about a task process that is gone.
DIED = "died unexpectedly"

_LOSSES = 3  # of one task, before it counts as failed: it may kill every host
_CHECK_EVERY_S = 3.0
_TRY_AGAIN_S, _TRIES = 3, 20  # a scheduler that does not answer

log = logging.getLogger(__name__)


class PatientScheduler(RemoteScheduler):
    """The central scheduler, with retries every few seconds for a minute.

    Luigi waits half a minute before it retries; by then the scheduler counts the worker as gone.
    """

    if TYPE_CHECKING:  # its methods are created at run time

        def get_work(self, **asked: Any) -> Any: ...
        def add_task(self, **report: Any) -> Any: ...
        def __getattr__(self, name: str) -> Callable[..., Any]: ...

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._rpc_retry_wait, self._rpc_retry_attempts = _TRY_AGAIN_S, _TRIES


class Leader(Worker):
    """The worker of a run on a central scheduler."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, wait_jitter=1.0)
        self._losses: Counter[str] = Counter()
        self._checked = 0.0

    def run(self) -> bool:
        done = bool(super().run())
        self._learn()
        return done

    def _generate_worker_info(self) -> list[tuple[str, Any]]:
        return [*super()._generate_worker_info(), (announcement.RUN, log_setup.run_id())]

    def _get_work(self) -> Any:
        self._release_in_time()
        work = super()._get_work()
        if work.task_id is None and self._get_work_response_history:
            # Luigi's summary would list what ran elsewhere as not done.
            self._get_work_response_history.pop()
        return work

    def _handle_next_task(self) -> None:
        super()._handle_next_task()
        self._release_in_time()

    def _keep_alive(self, work: Any) -> bool:
        if self._stop_requesting_work:
            return False
        return bool(work.running_tasks) or self._release_lost() or bool(super()._keep_alive(work))

    def _release_in_time(self) -> None:
        if time.monotonic() - self._checked >= _CHECK_EVERY_S:
            self._release_lost()

    def _release_lost(self) -> bool:
        """Release lost tasks; whether there were any."""
        self._checked = time.monotonic()
        try:
            self._scheduler.prune()  # only this notices workers that are gone
            failed = self._failed()
            lost = [t for t, facts in failed.items() if self._is_lost(t, facts)]
        except RPCError as error:
            log.warning("the central scheduler does not answer: %s", error)
            return False
        again = [task_id for task_id in lost if self._losses[task_id] < _LOSSES]
        for task_id in again:
            self._losses[task_id] += 1
            name = name_of(self._scheduled_tasks[task_id])
            log.warning("%s: lost with its worker; another one gets it", name)
            self._scheduler.forgive_failures(task_id=task_id)
        return bool(again)

    def _failed(self) -> dict[str, Mapping[str, Any]]:
        """Tasks of this run that failed on other hosts, by the central scheduler."""
        listed = self._scheduler.task_list(status=FAILED, upstream_status="")
        return {
            task_id: facts
            for task_id, facts in listed.items()
            if task_id in self._scheduled_tasks and facts["worker_running"] != self._id
        }

    def _is_lost(self, task_id: str, facts: Mapping[str, Any]) -> bool:
        """Whether its worker or process is gone, or a helper refused it: no fault of the task."""
        error = self._error(task_id)
        gone = facts["worker_running"] is None
        return gone or any(words in error for words in (DIED, HANDED_BACK, announcement.FOREIGN))

    def _error(self, task_id: str) -> str:
        return str(self._scheduler.fetch_error(task_id=task_id)["error"] or "")

    def _learn(self) -> None:
        """Add what helpers did to the history that Luigi summarises."""
        known = {t.task_id for t, status, _ in self._add_task_history if status != PENDING}
        own = {t: task for t, task in self._scheduled_tasks.items() if t not in known}
        if not own:
            return
        done = self._scheduler.task_list(status=DONE, upstream_status="")
        self._add_task_history += [(own[t], DONE, True) for t in done if t in own]
        for task_id, facts in self._failed().items():
            if task_id in own:
                self._add_task_history.append((own[task_id], FAILED, True))
                error = f"{name_of(own[task_id])}: {self._why_failed(task_id, facts)}"
                log.error("%s", error)
                note_error(error)

    def _why_failed(self, task_id: str, facts: Mapping[str, Any]) -> str:
        if self._is_lost(task_id, facts):
            return f"lost with its worker {_LOSSES + 1} times (killed, or out of memory)"
        return f"failed on {facts['worker_running']}: {last_line(self._error(task_id))}"


class _Factory(interface._WorkerSchedulerFactory):  # noqa: SLF001
    def create_remote_scheduler(self, url: str) -> RemoteScheduler:
        return PatientScheduler(url)

    def create_worker(
        self,
        scheduler: Any,
        worker_processes: int,
        assistant: bool = False,
    ) -> Worker:
        leads = isinstance(scheduler, RemoteScheduler) and not assistant
        kind = Leader if leads else Worker
        return kind(scheduler=scheduler, worker_processes=worker_processes, assistant=assistant)


def install() -> None:
    """Make the ``luigi`` command use this worker; it offers no hook for that."""
    interface._WorkerSchedulerFactory = _Factory  # type: ignore[misc]  # noqa: SLF001


def last_line(error: str) -> str:
    """The last line of an error as the central scheduler stores it."""
    try:
        text = str(json.loads(error))
    except ValueError:
        text = error
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return log_setup.without_secret(lines[-1]) if lines else "no message"
