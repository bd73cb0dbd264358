"""Messages to a running fetch from the page of luigid: ``stop``, ``concurrency=N``."""

from __future__ import annotations

import html
import logging
import queue
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pipeline.api.http.concurrency import Lanes
from pipeline.configuration import MOST_THREADS
from pipeline.errors import Stopped

log = logging.getLogger(__name__)

_LOOK_S = 0.2  # between reads of the queue: short enough for people
_CONCURRENCY = re.compile(r"concurrency\s*=\s*([0-9]{1,9})")


class FetchControl:
    """Follows the messages to one fetch.

    Args:
        lanes: of the fetch; resized on request.
    """

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes
        self._stop = threading.Event()

    def follow(self, text: str) -> str:
        """Follow a message; returns the answer."""
        words = text.strip().lower()
        if words == "stop":
            self._stop.set()
            return "stopping; fetched days are kept, the next run fetches the others"
        asked = _CONCURRENCY.fullmatch(words)
        number = int(asked[1]) if asked else 0
        if 1 <= number <= MOST_THREADS:
            before = self._lanes.number
            self._lanes.resize(number)
            return f"up to {number} requests at a time from now on, before it was {before}"
        wanted = f"stop, or concurrency=N with N from 1 to {MOST_THREADS}"
        return f"{text.strip()[:40]!r}: expected {wanted}"

    def check(self, done: int, total: int) -> None:
        """Called at points where the fetch may end.

        Args:
            done, total: days.

        Raises:
            Stopped: a message asked for it, and there are days left.
        """
        if self._stop.is_set() and done < total:
            raise Stopped(
                f"stopped on request after {done:,} of {total:,} days",
                "they are kept; the next run fetches the others",
            )


@contextmanager
def listening(messages: Any, follow: Callable[[str], str]) -> Iterator[None]:
    """Answer the messages of a task while the block runs.

    Args:
        messages: ``scheduler_messages`` of the task; None outside a worker.
    """
    if messages is None:
        yield
        return
    over = threading.Event()
    thread = threading.Thread(
        target=_listen, args=(messages, follow, over), name="messages", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _listen(messages: Any, follow: Callable[[str], str], over: threading.Event) -> None:
    while not over.wait(_LOOK_S):
        try:
            message = messages.get(False)
        except queue.Empty:
            continue
        answer = follow(str(message))
        log.info("message %r: %s", str(message), answer)
        try:
            message.respond(html.escape(answer))  # the page shows it as HTML
        except Exception as error:  # noqa: BLE001  (the fetch does not depend on the answer)
            log.warning("message %r: the answer did not reach luigid: %s", str(message), error)
