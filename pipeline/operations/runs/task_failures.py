"""Tasks that begin or fail, told in one line each; what they came to they tell themselves.

The log file has the traceback of a failure from Luigi itself.
"""

from __future__ import annotations

import logging
from typing import Any

import luigi

from pipeline.operations.runs.run_recorder import name_of, tell, words_of

log = logging.getLogger(__name__)

#: How the lines of a step open, here and at its end, and what it does.
_BEGINNING = {
    "FetchSource": "{which}: fetching",
    "BuildChunk": "chunk {which}: building",
    "ValidateSchema": "schema gate: checking",
    "MergeChunks": "dataset: merging",
    "BuildLabels": "labels: building",
}


def install() -> None:
    """Let Luigi call the functions below."""
    event = luigi.Event
    luigi.Task.event_handler(event.START)(tell_start)
    luigi.Task.event_handler(event.FAILURE)(tell_failure)
    luigi.Task.event_handler(event.PROCESS_FAILURE)(tell_death)
    luigi.Task.event_handler(event.DEPENDENCY_MISSING)(tell_missing)


def tell_start(task: luigi.Task) -> None:
    """Called in the process of the task."""
    line = _BEGINNING.get(task.task_family)
    if line is not None:
        log.info("%s", line.format(which=name_of(task).partition(" ")[2]))


def tell_failure(task: luigi.Task, error: BaseException) -> None:
    """Called in the process of the task."""
    log.error("%s: %s", name_of(task), words_of(error))


def tell_death(task: luigi.Task, _message: str) -> None:
    """Called in the main process when a task process ended without a word."""
    log.error("%s: its process died (killed, or out of memory); run again", name_of(task))


def tell_missing(task: Any) -> None:
    """Called in the main process for a chunk that a step takes as it is, and that is not there."""
    reason = task.why_not_complete() if hasattr(task, "why_not_complete") else "not there"
    told = f"{name_of(task)}: {reason} (run BuildAll first)"
    log.error("%s", told)
    tell(told)
