"""Who writes to an output root right now. Only looks: a run is never disturbed by the question."""

from __future__ import annotations

import re
from pathlib import Path

import psutil

from pipeline.filesystem.location import on_host

LOCK = Path("run", "build.lock")

_HOLDER = re.compile(r"pid ([0-9]{1,9})")
_CLOCK_S = 60.0  # a process's start is told from the boot and may drift from the time of day


def holder(root: Path) -> int | None:
    """Process id of the run that holds ``root``; None when nobody does.

    The lock's file names its last holder, who holds it as long as it lives. A process that
    started after the name was written is another one with the same number.
    """
    path = on_host(root) / LOCK
    try:
        noted = path.stat().st_mtime
        found = _HOLDER.fullmatch(path.read_text("utf-8", errors="replace").strip())
    except OSError:
        return None
    if found is None:
        return None
    try:
        process = psutil.Process(int(found[1]))
        alive = process.status() != psutil.STATUS_ZOMBIE
        return process.pid if alive and process.create_time() <= noted + _CLOCK_S else None
    except psutil.Error:
        return None
