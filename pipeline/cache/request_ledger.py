"""When requests were sent, across processes: an account has one window, whoever asks.

One line per request is appended to one file, ``<budget> <seconds since the epoch>``. The file is
read when a process begins to ask, and cut to what still matters when it has grown, so it stays
small for ever. A line that is cut off or unreadable is passed over. One process asks at a time
(the Luigi resource ``jquants_api``), so the file is not read again while this one does.
"""

from __future__ import annotations

import os
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from pathlib import Path

from pipeline.filesystem.atomic import os_errors

_KEPT_S = 120.0  # the window is a minute and a second
_LARGE_BYTES = 1 << 18


class SendLedger:
    """The send times in one file.

    Args:
        path: the file. While its folder does not exist nothing is written, because a run that
            is refused leaves no trace; ``flush`` makes the folder and catches up.
        now: wall clock, seconds since the epoch.
        writes: False for who only looks: the file is read and stays as it is.
    """

    def __init__(
        self, path: Path, now: Callable[[], float] = time.time, *, writes: bool = True
    ) -> None:
        self.path = path
        self._writes = writes
        self._now = now
        self._lock = threading.Lock()
        self._sent: deque[tuple[str, float]] | None = None
        self._unwritten: list[str] = []

    def recent(self, budget: str) -> list[float]:
        """Send times of a budget that may still matter."""
        with self._lock:
            return [moment for name, moment in self._known() if name == budget]

    def note(self, budget: str, wall_time: float) -> None:
        """Add one request.

        Raises:
            StorageError: the file system refused.
        """
        with self._lock:
            self._known().append((budget, wall_time))
            self._unwritten.append(_line(budget, wall_time))
            if self._writes and self.path.parent.is_dir():
                self._write()

    def flush(self) -> None:
        """Write what could not be written yet.

        Raises:
            StorageError: the file system refused.
        """
        with self._lock, os_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._write()

    def _known(self) -> deque[tuple[str, float]]:
        """What was sent lately, from the file at first."""
        if self._sent is None:
            self._sent = deque(self._read())
        while self._sent and self._sent[0][1] < self._now() - _KEPT_S:
            self._sent.popleft()
        return self._sent

    def _write(self) -> None:
        lines, self._unwritten = "".join(self._unwritten), []
        if not lines:
            return
        with os_errors(self.path):
            handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            try:
                os.write(handle, lines.encode())
                large = os.fstat(handle).st_size > _LARGE_BYTES
            finally:
                os.close(handle)
            if large:
                self._cut()

    def _cut(self) -> None:
        temporary = self.path.with_name(f".{self.path.name}.{uuid.uuid4().hex}.tmp")
        temporary.write_text("".join(_line(*sent) for sent in self._known()), "utf-8")
        temporary.replace(self.path)

    def _read(self) -> list[tuple[str, float]]:
        try:
            text = self.path.read_text("utf-8", errors="replace")
        except OSError:
            return []
        oldest, newest = self._now() - _KEPT_S, self._now() + _KEPT_S
        found = []
        for line in text.splitlines():
            name, _, moment = line.rpartition(" ")
            try:
                seconds = float(moment)
            except ValueError:
                continue
            if name and oldest <= seconds <= newest:
                found.append((name, seconds))
        return found


def _line(budget: str, wall_time: float) -> str:
    return f"{budget} {wall_time:.3f}\n"
