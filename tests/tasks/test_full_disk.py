"""A run on a disk that is full, and again when there is room."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.tasks.commands import Home
from tests.tasks.conftest import RANGE

ROOM_KB = 256  # for locks, logs and small files, not for a dataset

# A small file system that only this script sees; it is gone when the script ends.
SCRIPT = """
mount -t tmpfs -o size=256m none "$1"
cp -a "$2" "$1/output"
free=$(df -k --output=avail "$1" | tail -1)
head -c $(( (free - {room}) * 1024 )) /dev/zero >"$1/filler"
cd "$1/output"
kept() {{ find cache chunks validation -type f -exec sha256sum {{}} + | sort; }}
kept >"$2/before"
code=0; {run} >"$2/full.out" 2>"$2/full.err" || code=$?
echo $code >"$2/full.code"
kept >"$2/after"
find . -type f -name '*tmp*' >"$2/left"
rm "$1/filler"
code=0; {run} >"$2/again.out" 2>"$2/again.err" || code=$?
echo $code >"$2/again.code"
sha256sum ml_dataset_latest_full.parquet >"$2/again.sha"
"""


@pytest.mark.slow
def test_a_run_on_a_full_disk_says_so_and_the_next_one_finishes(
    built: Home, tmp_path: Path
) -> None:
    """One line with what to do, nothing of what stands is touched, no half file stays; with room
    again the same command gives the bytes of the undisturbed run."""
    home = built.copy(tmp_path / "output", "cache", "chunks", "validation")
    mount = tmp_path / "disk"
    mount.mkdir()
    there = home.having(DATA_OUTPUT_DIR=str(mount / "output"))
    run = shlex.join(there.command("BuildAll", *RANGE))
    own = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--mount"]
    subprocess.run(
        [*own, "bash", "-euc", SCRIPT.format(run=run, room=ROOM_KB), "sh", str(mount), home.root],
        env=there._environment(), check=True, timeout=240,
    )  # fmt: skip

    def told(name: str) -> str:
        return (home.root / name).read_text()

    assert told("full.code").strip() == "30"
    (line,) = [line for line in told("full.err").splitlines() if " error: " in line]
    assert "MergeChunks: " in line
    assert "No space left on device (free some disk space and run again)" in line
    assert "Traceback" not in told("full.err") + told("full.out")
    assert told("after") == told("before")
    assert told("left") == ""
    assert told("again.code").strip() == "0", told("again.err")
    assert told("again.sha").split()[0] == built.dataset_sha()
