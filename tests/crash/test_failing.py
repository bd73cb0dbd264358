"""The calls that fail on purpose fail where they are told to, in whichever process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.crash.scenes import STRIKES

PROGRAM = """
import sys
from pathlib import Path
from pipeline.errors import StorageError
from pipeline.filesystem import atomic
for name in sys.argv[2:]:
    try:
        atomic.write_bytes(Path(sys.argv[1], name), b"x" * 100_000)
    except StorageError as error:
        print(error)
"""


def write(root: Path, fault: str, *names: str) -> subprocess.CompletedProcess[str]:
    """Write files in a process that is struck."""
    environment = os.environ | {
        "PYTHONPATH": str(STRIKES),
        "CRASH_ROOT": str(root),
        "CRASH_COUNT": str(root.parent / "calls"),
        "CRASH_FAULT": fault,
    }
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, str(root), *names],
        env=environment,
        text=True,
        capture_output=True,
        check=False,
        start_new_session=True,
        timeout=120,
    )


@pytest.mark.parametrize(
    ("fault", "reason", "there"),
    [
        ("", "", ["a", "b", "c"]),
        ("rename:2:EIO:once", "Input/output error", ["a", "c"]),
        ("rename:2:ENOSPC:always", "No space left on device", ["a"]),
        ("fsync:3:EIO:once", "Input/output error", ["a", "b"]),
        ("create:1:ENOSPC:once", "No space left on device", ["b", "c"]),
        ("write:5:5000:once", "File too large", ["a", "b"]),
    ],
)
def test_one_call_fails(tmp_path: Path, fault: str, reason: str, there: list[str]) -> None:
    """Calls are counted over processes: c is written by a second one."""
    root = tmp_path / "root"
    root.mkdir()
    told = [write(root, fault, *names).stdout for names in (["a", "b"], ["c"])]
    assert sorted(path.name for path in root.iterdir()) == there
    assert (reason in "".join(told)) if reason else told == ["", ""]


def test_a_process_group_dies_at_a_call(tmp_path: Path) -> None:
    """Before the second rename: the first file is there, of the second what was written of it."""
    root = tmp_path / "root"
    root.mkdir()
    assert write(root, "kill:6:0:once", "a", "b").returncode == -signal.SIGKILL
    first, second = sorted((path.name for path in root.iterdir()), reverse=True)
    assert first == "a"
    assert second.startswith(".b.")
