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
    """A monotonic clock, the time of day, and the only way to wait."""

    def now(self) -> float:
        """Seconds since some fixed moment; never set back."""

    def wall(self) -> float:
        """Seconds since the epoch, the same for all processes; may be corrected at any time."""

    def wait(self, seconds: float, stop: threading.Event | None = None) -> None:
        """Returns after ``seconds``.

        Raises:
            FetchCancelled: ``stop`` was or became set.
        """


class SystemClock:
    """The machine's clocks."""

    def now(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.time()

    def wait(self, seconds: float, stop: threading.Event | None = None) -> None:
        if stop is None:
            time.sleep(max(seconds, 0.0))
        else:
            stop.wait(max(seconds, 0.0))
            check(stop)
