"""When requests were sent, across processes: an account has one window, whoever asks.

One line per request is appended to one file, ``<budget> <seconds since the epoch>``. The file is
read when a process begins to ask and cut to what still matters when it has grown, so it stays
small for ever. A line that is cut off or unreadable is passed over.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from pipeline.storage.atomic import os_errors

_KEPT_S = 600.0  # longer than any window or pause of the limiter
_LARGE_BYTES = 1 << 20


class SendLedger:
    """The send times in one file.

    Args:
        path: the file; made with the first line.
        now: wall clock, seconds since the epoch.
    """

    def __init__(self, path: Path, now: Callable[[], float] = time.time) -> None:
        self.path = path
        self._now = now
        self._lock = threading.Lock()
        self._handle: int | None = None

    def recent(self, budget: str) -> list[float]:
        """Send times of a budget that may still matter, ascending."""
        with self._lock:
            return sorted(moment for name, moment in self._lines() if name == budget)

    def note(self, budget: str, wall_time: float) -> None:
        """Add one request.

        Raises:
            StorageError: the file system refused.
        """
        line = f"{budget} {wall_time:.3f}\n".encode()
        with self._lock, os_errors(self.path):
            if self._handle is None:
                self._open()
            assert self._handle is not None
            os.write(self._handle, line)
            if os.fstat(self._handle).st_size > _LARGE_BYTES:
                self._open()

    def close(self) -> None:
        """Close the file; the next ``note`` opens it again."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def _open(self) -> None:
        """Cut the file to what still matters and open it for more.

        Only the process that holds the API's resource asks, so nobody else writes meanwhile.
        """
        self._close()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        kept = "".join(f"{name} {moment:.3f}\n" for name, moment in self._lines())
        temporary = self.path.with_name(f".{self.path.name}.{os.getpid():032x}.tmp")
        temporary.write_text(kept, "utf-8")
        temporary.replace(self.path)
        self._handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def _lines(self) -> list[tuple[str, float]]:
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
