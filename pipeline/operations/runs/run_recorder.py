"""Records a run in the run history, and logs which tasks begin and fail.

The main process of a ``luigi`` command begins the record when it locks the output root, and
completes it as its last act, however it ends. Its task processes note what they did; they know
their run from the environment. The log file has the traceback of a failure from Luigi itself.
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

#: Environment variable of a ``luigi`` command that g5 starts: the profile.
PROFILE = "G5_STARTED_AS"

_RECORD = "G5_RECORD"  # environment of the task processes: the root whose history they add to
_ERROR_CHARACTERS = 500  # of a message: a record stays readable with any exception

#: The first log line of each step.
_FIRST_LINES = {
    "FetchSource": "{which}: fetching",
    "BuildChunk": "chunk {which}: building",
    "ValidateSchema": "schema gate: checking",
    "MergeChunks": "dataset: merging",
    "BuildLabels": "labels: building",
}

log = logging.getLogger(__name__)

_requests: Counter[str] = Counter()  # sent by this process, by source
_began: dict[str, float] = {}  # tasks of this process
_errors: list[str] = []  # of the main process
_exit_code = 1  # of the main process, unless it ends as it should


def begin(root: Path) -> None:
    """Begin the record of this run, to be completed when the process ends.

    Only for a ``luigi`` command that runs something: other commands write little or no data.
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
    """Have the task processes of this one note what they do for a run begun elsewhere."""
    os.environ[_RECORD] = str(root)


def install() -> None:
    """Let Luigi call the functions below, each in the process where the event happens."""
    for event, handler in (
        (luigi.Event.START, _on_start),
        (luigi.Event.SUCCESS, _note),
        (luigi.Event.FAILURE, _on_failure),
        (luigi.Event.PROCESS_FAILURE, _on_death),
        (luigi.Event.TIMEOUT, _on_timeout),
        (luigi.Event.BROKEN_TASK, _on_broken),
        (luigi.Event.DEPENDENCY_MISSING, _on_missing),
    ):
        luigi.Task.event_handler(event)(handler)


def count_requests(source: str, number: int) -> None:
    """Add to the requests this process has sent for a source."""
    _requests[source] += number


def publish_progress(task: Any, what: str, unit: str, done: int, total: int, began: float) -> None:
    """Write the progress file of a task, for whoever watches the run.

    Args:
        began: seconds since the epoch.
    """
    root = os.environ.get(_RECORD)
    if root is None:
        return
    numbers = {"done": max(int(done), 0), "total": max(int(total), 0)}
    progress = Progress(
        log_setup.run_id(), name_of(task), what, unit, **numbers, began=began, told=time.time()
    )
    with suppress(PipelineError):  # not worth failing a task for
        ProgressBoard(place_of(root)).write(progress)


def clear_progress(root: Path) -> None:
    """Remove the progress files of tasks that no longer run."""
    with suppress(PipelineError):
        ProgressBoard(root).clear()


def note_error(error: str) -> None:
    """Note in the main process why the run cannot continue."""
    _errors.append(_line(error))


def name_of(task: Any) -> str:
    """Task family and which of its kind, such as ``BuildChunk 2024Q1``."""
    which = getattr(task, "chunk", None) or getattr(task, "source", None)
    return f"{task.task_family} {which}" if which else str(task.task_family)


def _on_start(task: luigi.Task) -> None:
    _began[task.task_id] = time.time()
    line = _FIRST_LINES.get(task.task_family)
    if line is not None:
        log.info("%s", line.format(which=name_of(task).partition(" ")[2]))


def _on_failure(task: luigi.Task, error: BaseException) -> None:
    log.error("%s: %s", name_of(task), _message_of(error))
    _note(task, _line(_message_of(error)), stopped=isinstance(error, Stopped))


def _on_death(task: luigi.Task, message: str) -> None:
    """In the main process: a task process ended without reporting."""
    log.error("%s: its process died (killed, or out of memory); run again", name_of(task))
    _on_timeout(task, message)


def _on_timeout(task: luigi.Task, _message: str) -> None:
    """In the main process."""
    largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    _note(task, "its process died", peak=largest)


def _on_broken(task: Any, error: BaseException) -> None:
    """In the main process: a task that could not be planned."""
    note_error(f"{name_of(task)}: {_message_of(error)}")


def _on_missing(task: Any) -> None:
    """In the main process: a chunk that a step takes as it is, and that is not there."""
    reason = task.why_not_complete() if hasattr(task, "why_not_complete") else "not there"
    error = f"{name_of(task)}: {reason} (run BuildAll first)"
    log.error("%s", error)
    note_error(error)


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
    """Functions registered with ``atexit`` do not learn the exit code: keep it in ``sys.exit``,
    by which Luigi and we leave."""
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
        error=next(iter(_errors), None),
        peak_rss_bytes=memory.peak_bytes(),
        requests=dict(_requests),
    )

    def complete() -> None:
        record = RunHistory(root).finish(log_setup.run_id(), end)
        write_bytes(on_host(root) / METRICS, prometheus_metrics.text(record, *_state(root)))

    clear_progress(root)
    _quietly(complete)


def _state(root: Path) -> tuple[dict[str, int], dict[str, Any] | None]:
    """Chunks by state, and the metadata of the published dataset."""
    store = ChunkStore(root)
    states = Counter(s["state"] if s else "unreadable" for s in store.statuses().values())
    latest = DatasetStore(root).latest()
    return dict(states), dict(latest.metadata) if latest else None


def _quietly(write: Callable[[], None]) -> bool:
    """Whether it was written; a run must not fail for its record."""
    try:
        write()
    except PipelineError as error:
        log.warning("run history: %s", error)
        return False
    return True


def _message_of(error: BaseException) -> str:
    text = str(error) if isinstance(error, PipelineError) else f"{type(error).__name__}: {error}"
    return " ".join(text.split())


def _line(text: str) -> str:
    return log_setup.without_secret(" ".join(text.split()))[:_ERROR_CHARACTERS] or "no message"
