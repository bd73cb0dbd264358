"""What a run leaves for the run history, from whichever of its processes.

The main process of a ``luigi`` command begins the record when it takes hold of the output root,
and completes it as its very last act, however it ends. Its task processes note what they did.
Which run they belong to they have from the environment, as they have its settings.
"""

from __future__ import annotations

import atexit
import logging
import os
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import luigi
from luigi.cmdline_parser import CmdlineParser
from luigi.interface import core

from pipeline import configuration
from pipeline.dataset.chunk_store import ChunkStore
from pipeline.dataset.publication import DatasetStore
from pipeline.errors import PipelineError, Stopped
from pipeline.filesystem.atomic import write_bytes
from pipeline.filesystem.location import on_host, place_of
from pipeline.process import log_setup, memory, task_process
from pipeline.report import prometheus_metrics
from pipeline.run_state.history import End, Note, RunHistory
from pipeline.run_state.task_progress import Progress, ProgressBoard
from pipeline.version import code_version

METRICS = Path("run", "metrics", "g5.prom")

#: Environment of a ``luigi`` command that g5 starts: by which profile.
PROFILE = "G5_STARTED_AS"

_RECORD = "G5_RECORD"  # environment of the task processes: the root whose history they add to
_ERROR_CHARACTERS = 500  # of a message: a record stays readable whatever an exception says

log = logging.getLogger(__name__)

_requests: Counter[str] = Counter()  # sent by this process, by source
_began: dict[str, float] = {}  # tasks of this process
_told: list[str] = []  # errors of the main process
_exit_code = 1  # of the main process, unless it ends as it should


def begin(root: Path) -> None:
    """Begin the record of this run, and see to it that it is completed.

    Only for a ``luigi`` command that runs something: other commands write no data, or very little.
    """
    asked = CmdlineParser.get_instance()
    if asked is None or not task_process.is_command("luigi") or not core().workers:
        return
    task, settings = asked.get_task_obj(), configuration.settings()
    run = {
        "run_id": log_setup.run_id(),
        "task": task.task_family,
        "parameters": {k: log_setup.without_secret(v) for k, v in task.to_str_params().items()},
        "settings": {k: log_setup.without_secret(v) for k, v in configuration.changed().items()},
        "profile": os.environ.get(PROFILE),
        "code_version": code_version(),
        "origin": settings.origin,
    }
    if _quietly(lambda: RunHistory(root).begin(run)):
        os.environ[_RECORD] = str(root)
        _keep_exit_code()
        atexit.register(_finish, root)


def add_to(root: Path) -> None:
    """What the task processes of this one do is noted for a run of this root that others began."""
    os.environ[_RECORD] = str(root)


def install() -> None:
    """Let Luigi call the functions below, each in the process where the event happens."""
    for event, handler in (
        (luigi.Event.START, _note_start),
        (luigi.Event.SUCCESS, _note_success),
        (luigi.Event.FAILURE, _note_failure),
        (luigi.Event.PROCESS_FAILURE, _note_death),
        (luigi.Event.TIMEOUT, _note_death),
        (luigi.Event.BROKEN_TASK, _note_broken),
    ):
        luigi.Task.event_handler(event)(handler)


def count_requests(source: str, number: int) -> None:
    """Requests this process has sent for a source."""
    _requests[source] += number


def show(task: Any, what: str, unit: str, done: int, total: int, began: float) -> None:
    """Tell whoever watches the run how far a task is.

    Args:
        began: seconds since the epoch.
    """
    root = os.environ.get(_RECORD)
    if root is None:
        return
    numbers = {"done": max(int(done), 0), "total": max(int(total), 0)}
    told = Progress(
        log_setup.run_id(), name_of(task), what, unit, **numbers, began=began, told=time.time()
    )
    with suppress(PipelineError):  # nobody needs it so much that the task should fail or complain
        ProgressBoard(place_of(root)).tell(told)


def show_nothing(root: Path) -> None:
    """Remove what tasks have told of how far they are: they run no more."""
    with suppress(PipelineError):
        ProgressBoard(root).clear()


def tell(error: str) -> None:
    """What keeps the run from going on, said by the main process."""
    _told.append(_line(error))


def words_of(error: BaseException) -> str:
    """An exception in one line."""
    told = str(error) if isinstance(error, PipelineError) else f"{type(error).__name__}: {error}"
    return " ".join(told.split())


def name_of(task: Any) -> str:
    """The task, and which of its kind."""
    which = getattr(task, "chunk", None) or getattr(task, "source", None)
    return f"{task.task_family} {which}" if which else str(task.task_family)


def _note_start(task: luigi.Task) -> None:
    _began[task.task_id] = time.time()


def _note_success(task: luigi.Task) -> None:
    _note(task)


def _note_failure(task: luigi.Task, error: BaseException) -> None:
    _note(task, _line(words_of(error)), stopped=isinstance(error, Stopped))


def _note_death(task: luigi.Task, _message: str) -> None:
    """In the main process: the task's own can say nothing any more."""
    largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    _note(task, "its process died", peak=largest)


def _note_broken(task: Any, error: BaseException) -> None:
    """In the main process: a task that could not be planned."""
    tell(f"{name_of(task)}: {words_of(error)}")


def _note(
    task: luigi.Task, error: str | None = None, *, stopped: bool = False, peak: int | None = None
) -> None:
    root = os.environ.get(_RECORD)
    if root is None:
        return
    now = time.time()
    began = _began.pop(task.task_id, now)
    sent, own = dict(_requests), not task_process.is_main_process()
    note = Note(
        name=name_of(task),
        began=began,
        seconds=now - began,
        error=error,
        stopped=stopped,
        peak_rss_bytes=peak if peak is not None else memory.peak_bytes() if own else 0,
        requests=sent if own else {},
    )
    _quietly(lambda: RunHistory(place_of(root)).note(log_setup.run_id(), note))
    if own:
        _requests.clear()


def _keep_exit_code() -> None:
    """What is registered with ``atexit`` does not learn how the process ends: Luigi and we leave
    by ``sys.exit``, and so the code is kept there."""
    leave = sys.exit

    def leaving(code: Any = None) -> NoReturn:
        global _exit_code  # noqa: PLW0603  (there is one per process)
        _exit_code = int(code) if isinstance(code, int) else int(code is not None)
        leave(code)

    sys.exit = leaving


def _finish(root: Path) -> None:
    """The last act of the main process."""
    end = End(
        exit_code=_exit_code,
        error=next(iter(_told), None),
        peak_rss_bytes=memory.peak_bytes(),
        requests=dict(_requests),
    )

    def complete() -> None:
        record = RunHistory(root).finish(log_setup.run_id(), end)
        write_bytes(on_host(root) / METRICS, prometheus_metrics.text(record, *_standing(root)))

    show_nothing(root)
    _quietly(complete)


def _standing(root: Path) -> tuple[dict[str, int], dict[str, Any] | None]:
    """Chunks by state, and the metadata of the published dataset."""
    store = ChunkStore(root)
    states = Counter(s["state"] if s else "unreadable" for s in store.statuses().values())
    latest = DatasetStore(root).latest()
    return dict(states), dict(latest.metadata) if latest else None


def _quietly(write: Callable[[], None]) -> bool:
    """Whether it was written: a record that cannot be must not fail the run it is about."""
    try:
        write()
    except PipelineError as error:
        log.warning("run history: %s", error)
        return False
    return True


def _line(text: str) -> str:
    return log_setup.without_secret(" ".join(text.split()))[:_ERROR_CHARACTERS] or "no message"
