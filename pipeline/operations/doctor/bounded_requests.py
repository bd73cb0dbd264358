"""Jobs on a few threads that are waited for until a moment, and not one second longer.

A pool of the standard library waits for its threads when the process ends; a request that hangs
would hold the command. These threads are left behind instead.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

T = TypeVar("T")


class Ended(Generic[T]):
    """How a job ended: its result, or the exception it raised."""

    def __init__(self, result: T | None, error: Exception | None) -> None:
        self.result = result
        self.error = error


def within(
    jobs: Sequence[Callable[[], T]], threads: int, until: float, halt: threading.Event
) -> Iterator[tuple[int, Ended[T]]]:
    """Run jobs in their order, some at a time.

    Args:
        until: moment of ``time.monotonic`` at which nobody waits any more.
        halt: when set, no further job begins; it is set when the time is over.

    Yields:
        The number of a job and how it ended, as soon as it has.
    """
    waiting = deque(enumerate(jobs))
    ended: SimpleQueue[tuple[int, Ended[T]] | None] = SimpleQueue()

    def work() -> None:
        while not halt.is_set():
            try:
                number, job = waiting.popleft()
            except IndexError:
                break
            try:
                outcome = Ended(job(), None)
            except Exception as error:  # noqa: BLE001  (the caller's to judge)
                outcome = Ended(None, error)
            ended.put((number, outcome))
        ended.put(None)

    working = min(threads, len(jobs))
    for _ in range(working):
        threading.Thread(target=work, daemon=True).start()
    try:
        while working:
            news = ended.get(timeout=max(until - time.monotonic(), 0.001))
            if news is None:
                working -= 1
            else:
                yield news
    except Empty:
        halt.set()
