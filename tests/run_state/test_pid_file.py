"""Pid files name a process of ours, or nobody."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeline.errors import AlreadyRunning, StorageError
from pipeline.run_state.pid_file import PidFile, pid_files


@contextmanager
def sleeper(*words: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process with these words in its command line."""
    command = [sys.executable, "-c", "import sys; sys.stdin.read()", *words]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


def test_a_process_started_with_the_path_is_the_one(tmp_path: Path) -> None:
    """It is found while it lives, and nobody else may claim the file meanwhile."""
    file = PidFile(tmp_path / "run/production.pid")
    with sleeper("--pid-file", str(file.path)) as process:
        file.path.parent.mkdir()
        file.path.write_text(f"{process.pid}\n")
        found = file.process()
        assert found is not None
        assert found.pid == process.pid
        with pytest.raises(AlreadyRunning, match=f"pid {process.pid}.*g5 stop production"):
            file.claim()
    assert file.process() is None
    file.claim()
    assert file.number() == os.getpid()


def test_the_number_of_another_program_means_nobody(tmp_path: Path) -> None:
    """A recycled number is not the process the file was written by."""
    file = PidFile(tmp_path / "production.pid")
    with sleeper("--pid-file", str(tmp_path / "other.pid")) as process:
        file.path.write_text(str(process.pid))
        assert file.process() is None
        assert process.poll() is None


@pytest.mark.parametrize("content", ["", "soon", "-1", "0", "12 34", "9" * 30, "4194305"])
def test_what_is_no_number_of_a_process_means_nobody(tmp_path: Path, content: str) -> None:
    """Whatever the file holds; claiming it puts it right."""
    file = PidFile(tmp_path / "production.pid")
    file.path.write_text(content)
    assert file.process() is None
    file.claim()
    assert file.number() == os.getpid()
    assert [each.name for each in pid_files(tmp_path)] == ["production"]


def test_it_is_released_by_its_owner_alone(tmp_path: Path) -> None:
    """A file that names another process by now stays."""
    file = PidFile(tmp_path / "production.pid")
    file.claim()
    file.release(1)
    assert file.exists()
    file.release(os.getpid())
    assert not file.exists()
    file.release(os.getpid())


def test_a_folder_in_its_place_is_one_line(tmp_path: Path) -> None:
    """The path and what to do about it."""
    (tmp_path / "production.pid").mkdir()
    with pytest.raises(StorageError, match=r"production\.pid: .*folder"):
        PidFile(tmp_path / "production.pid").claim()
