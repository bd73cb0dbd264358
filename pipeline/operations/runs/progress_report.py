"""Progress of a task: on the page of luigid, in the log, and in a file for whoever watches the run,
at most once a second."""

from __future__ import annotations

import html
import logging
import time
from typing import Any

from pipeline.operations.runs import run_recorder
from pipeline.process import log_setup

log = logging.getLogger(__name__)

_EVERY_S = 1.0
_LOG_EVERY_S = 10.0
_PATIENT_S = 120.0  # beyond it the remaining time is in minutes


class Reporter:
    """Reports how far a task is.

    Args:
        task: the running task.
        what: is being done, such as ``index option``.
        unit: of the numbers, such as ``days``.
    """

    def __init__(self, task: Any, what: str, unit: str) -> None:
        self._task = task
        self._what = what
        self._unit = unit
        self._began = self._reported = self._logged = time.monotonic()
        self._began_at = time.time()

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if 0 < done < total and now - self._reported < _EVERY_S:
            return
        self._reported = now
        message = progress_line(self._what, self._unit, done, total, now - self._began)
        if done == total or now - self._logged >= _LOG_EVERY_S:
            self._logged = now
            log.info("%s", message)
        run_recorder.publish_progress(
            self._task, self._what, self._unit, done, total, self._began_at
        )
        # Both are None outside a worker; the page shows the message as HTML.
        if self._task.set_progress_percentage is not None:
            self._task.set_progress_percentage(int(100 * done / max(total, 1)))
        if self._task.set_status_message is not None:
            where = f"; log {log_setup.file()}" if log_setup.file() else ""
            self._task.set_status_message(html.escape(message + where))


def progress_line(what: str, unit: str, done: int, total: int, seconds: float) -> str:
    """One line: how much of it is done, how fast, and how long the rest takes at this pace."""
    message = f"{what}: {done:,} of {total:,} {unit}"
    if not done:
        return message
    if done >= total:
        return f"{message}, {seconds:.1f} s in all"
    rate = done / max(seconds, 1e-9)
    left = (total - done) / rate
    rest = f"{left:.0f} s" if left < _PATIENT_S else f"{left / 60:.0f} min"
    return f"{message}, {rate:.1f} {unit}/s, {rest} left"
