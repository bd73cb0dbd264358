"""The process that writes to an output root; reading it never disturbs a run."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path

from pipeline.filesystem.location import on_host
from pipeline.run_state.pid_file import lives

LOCK = Path("run", "build.lock")

_HOLDER = re.compile(r"pid ([0-9]{1,9})")


def holder(root: Path) -> int | None:
    """Process id of the run that holds ``root``; None when nobody does.

    The lock's file names its last holder, who holds it as long as it lives. A process that
    started after the name was written is another one with the same number.
    """
    path = on_host(root) / LOCK
    try:
        noted = dt.datetime.fromtimestamp(path.stat().st_mtime, dt.UTC)
        found = _HOLDER.fullmatch(path.read_text("utf-8", errors="replace").strip())
    except OSError:
        return None
    if found is None or not lives(int(found[1]), noted):
        return None
    return int(found[1])
