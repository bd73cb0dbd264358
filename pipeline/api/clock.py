"""Time as the API layer sees it: one seam, so that no test ever waits."""

from __future__ import annotations

import threading
import time
from typing import Protocol

from pipeline.errors import PipelineError


class FetchCancelled(PipelineError):
    """Another request of the same fetch failed for good; this one is not worth finishing."""


def check(stop: threading.Event) -> None:
    """Returns while ``stop`` is not set.

    Raises:
        FetchCancelled: it is.
    """
    if stop.is_set():
        raise FetchCancelled("request given up: another one of the same fetch failed")


class Clock(Protocol):
    """A monotonic clock and the only way to wait."""

    def now(self) -> float:
        """Seconds since some fixed moment."""

    def wait(self, seconds: float, stop: threading.Event | None = None) -> None:
        """Returns after ``seconds``.

        Raises:
            FetchCancelled: ``stop`` was or became set.
        """


class SystemClock:
    """The machine's monotonic clock."""

    def now(self) -> float:
        return time.monotonic()

    def wait(self, seconds: float, stop: threading.Event | None = None) -> None:
        if stop is None:
            time.sleep(max(seconds, 0.0))
        else:
            stop.wait(max(seconds, 0.0))
            check(stop)
