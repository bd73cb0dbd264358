"""How many requests are under way at once: a number that may change meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Lanes:
    """As many lanes as requests may be under way; threads that find none wait.

    Args:
        number: at least 1.
    """

    def __init__(self, number: int) -> None:
        self._number = number
        self._taken = 0
        self._changed = threading.Condition()

    @property
    def number(self) -> int:
        return self._number

    def resize(self, number: int) -> None:
        """From now on so many. With fewer than before, those under way come to their end."""
        with self._changed:
            self._number = number
            self._changed.notify_all()

    @contextmanager
    def one(self) -> Iterator[None]:
        """Hold a lane for the block."""
        with self._changed:
            self._changed.wait_for(lambda: self._taken < self._number)
            self._taken += 1
        try:
            yield
        finally:
            with self._changed:
                self._taken -= 1
                self._changed.notify()
