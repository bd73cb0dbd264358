"""Pid files: ``run/<name>.pid`` holds the number of a background process, and nothing else.

The process may be gone and its number given to another program. The process that a file means has
the file's path in its command line; any other one with that number is left alone.
"""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path

import psutil

from pipeline.errors import AlreadyRunning
from pipeline.filesystem.atomic import exclusive, os_errors, write_bytes

_CLOCK_S = 60.0  # a process's start counts from the boot and may drift from the time of day


class PidFile:
    """One pid file.

    Args:
        path: absolute; its process was started with this path as an argument.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def name(self) -> str:
        return self.path.stem

    def exists(self) -> bool:
        return self.path.is_file()

    def number(self) -> int | None:
        """The number in the file; None without a file, or when it holds no number."""
        with os_errors(self.path, "cannot be read"):
            try:
                text = self.path.read_text("utf-8", errors="replace").strip()
            except FileNotFoundError:
                return None
        return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None

    def process(self) -> psutil.Process | None:
        """The living process the file means; None when it is gone or another has its number."""
        number = self.number()
        if not number:
            return None
        try:
            process = psutil.Process(number)
            alive = process.status() != psutil.STATUS_ZOMBIE
            return process if alive and str(self.path) in process.cmdline() else None
        except psutil.Error:
            return None

    def claim(self, number: int | None = None) -> None:
        """Write the number of this process, or of one it has started.

        Raises:
            AlreadyRunning: the process the file means is alive.
            StorageError: the file system refused.
        """
        with exclusive(self.path.parent / "pid.lock"), os_errors(self.path):
            process = self.process()
            if process is not None and process.pid not in (number, os.getpid()):
                raise AlreadyRunning(
                    f"{self.name} is running in the background (pid {process.pid})",
                    f"wait for it, or stop it: g5 stop {self.name}",
                )
            write_bytes(self.path, f"{number or os.getpid()}\n".encode())

    def release(self, number: int) -> None:
        """Remove the file if it still names this process, or never named one.

        Raises:
            StorageError: the file system refused.
        """
        with exclusive(self.path.parent / "pid.lock"), os_errors(self.path):
            if self.number() in (number, None):
                self.path.unlink(missing_ok=True)


def pid_files(folder: Path) -> list[PidFile]:
    """All pid files of a ``run/`` folder, by name."""
    return [PidFile(path) for path in sorted(folder.glob("*.pid"))]


def lives(pid: int, began: dt.datetime) -> bool:
    """Whether the process that had this number at that moment still runs."""
    try:
        process = psutil.Process(pid)
        alive: bool = process.status() != psutil.STATUS_ZOMBIE
        return alive and process.create_time() <= began.timestamp() + _CLOCK_S
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:
        return True
