"""Luigi's worker as a run needs it once other hosts help: the leader.

Luigi's own leaves when there is nothing for it, although helpers build for it at that moment, and
takes what they did for not done. This one

1. stays as long as somebody works for it;
2. hands on what was lost with its worker: the central scheduler gives such a task to the next one
   that asks. What failed for a reason of its own stays failed, as in a run without helpers;
3. knows in the end what the helpers did, so that Luigi's summary and exit code are right.

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
from pipeline.operations.runs.run_recorder import name_of, tell
from pipeline.process import log_setup

#: How a helper reports a task that it was given and does not take.
HANDED_BACK = "handed back by a helper"

#: Luigi's words about a task process that is gone.
DIED = "died unexpectedly"

_LOSSES = 3  # of one task, before it counts as failed: what kills its host may do so again
_LOOK_EVERY_S = 3.0
_TRY_AGAIN_S, _TRIES = 3, 20  # a scheduler that does not answer

log = logging.getLogger(__name__)


class PatientScheduler(RemoteScheduler):
    """The central scheduler, asked again every few seconds for a minute where it does not answer.

    Luigi waits for half a minute after the first time; a worker that is not heard of for less
    counts as gone.
    """

    if TYPE_CHECKING:  # its methods are made at run time

        def get_work(self, **asked: Any) -> Any: ...
        def add_task(self, **told: Any) -> Any: ...
        def __getattr__(self, name: str) -> Callable[..., Any]: ...

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._rpc_retry_wait, self._rpc_retry_attempts = _TRY_AGAIN_S, _TRIES


class Leader(Worker):
    """The worker of a run on a central scheduler."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, wait_jitter=1.0)
        self._losses: Counter[str] = Counter()
        self._looked = 0.0

    def run(self) -> bool:
        done = bool(super().run())
        self._learn()
        return done

    def _generate_worker_info(self) -> list[tuple[str, Any]]:
        return [*super()._generate_worker_info(), (announcement.RUN, log_setup.run_id())]

    def _get_work(self) -> Any:
        self._look_after_lost()
        work = super()._get_work()
        if work.task_id is None and self._get_work_response_history:
            # One for every time it asked. Luigi's summary would call what ran elsewhere not done.
            self._get_work_response_history.pop()
        return work

    def _handle_next_task(self) -> None:
        super()._handle_next_task()
        self._look_after_lost()

    def _keep_alive(self, work: Any) -> bool:
        if self._stop_requesting_work:
            return False
        return bool(work.running_tasks) or self._hand_on() or bool(super()._keep_alive(work))

    def _look_after_lost(self) -> None:
        if time.monotonic() - self._looked >= _LOOK_EVERY_S:
            self._hand_on()

    def _hand_on(self) -> bool:
        """Whether something was lost and may be taken again now."""
        self._looked = time.monotonic()
        try:
            self._scheduler.prune()  # it sees only then who is gone
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
        """Tasks of this run that failed elsewhere, as the central scheduler has them."""
        listed = self._scheduler.task_list(status=FAILED, upstream_status="")
        return {
            task_id: facts
            for task_id, facts in listed.items()
            if task_id in self._scheduled_tasks and facts["worker_running"] != self._id
        }

    def _is_lost(self, task_id: str, facts: Mapping[str, Any]) -> bool:
        """Whether its worker or its process is gone, or it was refused: no fault of the task."""
        told = self._error(task_id)
        gone = facts["worker_running"] is None
        return gone or any(words in told for words in (DIED, HANDED_BACK, announcement.FOREIGN))

    def _error(self, task_id: str) -> str:
        return str(self._scheduler.fetch_error(task_id=task_id)["error"] or "")

    def _learn(self) -> None:
        """Enter what helpers did into the history that Luigi's summary is made from."""
        known = {t.task_id for t, status, _ in self._add_task_history if status != PENDING}
        own = {t: task for t, task in self._scheduled_tasks.items() if t not in known}
        if not own:
            return
        done = self._scheduler.task_list(status=DONE, upstream_status="")
        self._add_task_history += [(own[t], DONE, True) for t in done if t in own]
        for task_id, facts in self._failed().items():
            if task_id in own:
                self._add_task_history.append((own[task_id], FAILED, True))
                told = f"{name_of(own[task_id])}: {self._why_failed(task_id, facts)}"
                log.error("%s", told)
                tell(told)

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
    """Have the ``luigi`` command use this worker: it takes no factory from the outside."""
    interface._WorkerSchedulerFactory = _Factory  # type: ignore[misc]  # noqa: SLF001


def last_line(error: str) -> str:
    """What an error comes to, from the text the central scheduler has of it."""
    try:
        text = str(json.loads(error))
    except ValueError:
        text = error
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return log_setup.without_secret(lines[-1]) if lines else "no message"
