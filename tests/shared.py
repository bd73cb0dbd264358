"""What is costly to make is made once per run of the tests, by whichever process asks first."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Callable
from pathlib import Path

_folders: list[Path] = []


def share_in(folder: Path) -> None:
    """The folder that the processes of this run have in common."""
    _folders[:] = [folder]


def once(name: str, make: Callable[[Path], None]) -> Path:
    """A folder with what ``make`` puts into it; the others wait for the first and do not write.

    A process that fails leaves it to the next one, whose tests then tell the same.
    """
    (shared,) = _folders
    folder, made = shared / name, shared / f"{name}.made"
    with (shared / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            made.touch()
    return folder
