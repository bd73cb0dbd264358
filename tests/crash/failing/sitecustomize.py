"""A file system that fails, or a process that dies, at the n-th call: for tests only.

Python imports this module by itself in every process that has its folder on PYTHONPATH. It counts
what a run does to the files below one folder, over all processes of the run, and strikes as the
environment says:

``CRASH_ROOT``     the folder; what happens elsewhere is not counted, nor is what a run only tells of
                   itself, in ``logs/`` and parts of ``run/``: a failure there must not end it
``CRASH_COUNT``    a file that grows by one byte per call: ``r`` rename, link or symlink, ``f``
                   fsync, ``c`` a file opened for writing
``CRASH_FAULT``    ``KIND:N:ERRNO:HOW``; nothing without it

KIND is ``rename``, ``fsync`` or ``create`` (the N-th such call fails, with HOW ``always`` all later
ones too), ``write`` (from the N-th call on no file grows beyond ERRNO bytes) or ``kill`` (the process
group dies at the N-th call, before it does anything).
"""

from __future__ import annotations

import errno
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any

_LETTERS = {"rename": b"r", "fsync": b"f", "create": b"c"}
_WRITES = os.O_WRONLY | os.O_RDWR
_TOLD = ("logs/", "run/progress/", "run/history/", "run/metrics/")


class _Strike:
    """Counts calls and fails the chosen one."""

    def __init__(self, root: str, count: str, fault: str) -> None:
        self._root = root.rstrip("/") + "/"
        self._told = tuple(self._root + folder for folder in _TOLD)
        self._count = count
        self._kind, number, self._what, self._how = (fault or "none:0:0:once").split(":")
        self._number = int(number)

    def here(self, path: Any) -> bool:
        text = os.fsdecode(path) if isinstance(path, str | bytes | os.PathLike) else ""
        return text.startswith(self._root) and not text.startswith(self._told)

    def call(self, kind: str, path: Any) -> None:
        """Count one call; raises or dies if it is the one."""
        if not self.here(path):
            return
        letter = _LETTERS[kind]
        handle = os.open(self._count, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            os.write(handle, letter)
            number = os.lseek(handle, 0, os.SEEK_CUR)  # where this very write ended
        finally:
            os.close(handle)
        if self._kind in _LETTERS:
            number = Path(self._count).read_bytes()[:number].count(_LETTERS[self._kind])
            always = self._how == "always" and number > self._number
            if kind == self._kind and (number == self._number or always):
                code = getattr(errno, self._what)
                raise OSError(code, os.strerror(code), os.fsdecode(path))
        elif self._kind == "kill" and number == self._number:
            os.killpg(0, signal.SIGKILL)
        elif self._kind == "write" and number >= self._number:
            hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
            resource.setrlimit(resource.RLIMIT_FSIZE, (int(self._what), hard))


def _install(strike: _Strike) -> None:
    fsync = os.fsync

    def counted(handle: Any) -> None:
        number = handle if isinstance(handle, int) else handle.fileno()
        strike.call("fsync", Path(f"/proc/self/fd/{number}").readlink())
        fsync(handle)

    os.fsync = counted

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event in ("os.rename", "os.link", "os.symlink"):
            strike.call("rename", arguments[1])
        elif event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITES:
            strike.call("create", arguments[0])

    sys.addaudithook(hook)


if "CRASH_ROOT" in os.environ:
    _install(
        _Strike(
            os.environ["CRASH_ROOT"], os.environ["CRASH_COUNT"], os.environ.get("CRASH_FAULT", "")
        )
    )
