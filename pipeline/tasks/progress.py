"""Progress a person can read, in the visualizer and in the log, at most once a second."""

from __future__ import annotations

import html
import logging
import time
from typing import Any

log = logging.getLogger(__name__)

_EVERY_S = 1.0
_LOG_EVERY_S = 10.0


class Reporter:
    """Tells how far a task is.

    Args:
        task: the running task.
        text: what is being done, with ``{done}`` and ``{total}``.
    """

    def __init__(self, task: Any, text: str) -> None:
        self._task = task
        self._text = text
        self._began = self._told = self._logged = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if done < total and now - self._told < _EVERY_S:
            return
        self._told = now
        rate = done / max(now - self._began, 1e-9)
        left = (total - done) / rate if rate else 0.0
        message = f"{self._text.format(done=done, total=total)}, {rate:.1f}/s, {left:.0f} s left"
        if done == total or now - self._logged >= _LOG_EVERY_S:
            self._logged = now
            log.info("%s", message)
        # Both are None outside a worker; the page shows the message as HTML.
        if self._task.set_progress_percentage is not None:
            self._task.set_progress_percentage(int(100 * done / total))
        if self._task.set_status_message is not None:
            self._task.set_status_message(html.escape(message))
