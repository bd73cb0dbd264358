"""Who holds an output root: told from the outside, without touching the lock."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from pipeline.run_state.output_lock import LOCK, holder


def lock(root: Path, content: str) -> Path:
    path = root / LOCK
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def test_a_living_process_that_wrote_its_name_holds_it(tmp_path: Path) -> None:
    """Until it is gone; a process not yet collected is gone too."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        lock(tmp_path, f"pid {process.pid}")
        assert holder(tmp_path) == process.pid
        process.kill()
        psutil.wait_procs([psutil.Process(process.pid)], 10)
        assert holder(tmp_path) is None


def test_another_process_with_the_same_number_does_not_hold_it(tmp_path: Path) -> None:
    """It started after the name was written."""
    long_ago = psutil.Process().create_time() - 3600
    os.utime(lock(tmp_path, f"pid {os.getpid()}"), (long_ago, long_ago))
    assert holder(tmp_path) is None


@pytest.mark.parametrize("content", ["", "pid", "pid x", "pid 999999999", "pid -1", "\0\0"])
def test_what_names_nobody_is_held_by_nobody(tmp_path: Path, content: str) -> None:
    """A lock file that is empty, cut off or foreign; and none at all."""
    assert holder(tmp_path) is None
    lock(tmp_path, content)
    assert holder(tmp_path) is None
