"""The log file: shared by processes, one run id in every line, never a key."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.process import log_setup

WRITERS, LINES = 4, 500
PROGRAM = """
import logging, sys
from pathlib import Path
from pipeline.process import log_setup
folder, log_format, who, lines = sys.argv[1:]
log_setup.ROTATE_BYTES = 50_000
log_setup.configure(Path(folder), log_format)
log = logging.getLogger("pipeline.writer")
for line in range(int(lines)):
    log.info("writer %s line %04d %s", who, line, "日本語 x" * 8)
"""
TROUBLE = """
import logging, os, sys
from pathlib import Path
from pipeline.process import log_setup
log_setup.configure(Path(sys.argv[1]), sys.argv[2])
key = os.environ["JQUANTS_API_KEY"]
log = logging.getLogger("pipeline.trouble")
log.warning("asked with %s\\nand again", key)
try:
    raise ValueError(f"refused {key}")
except ValueError:
    log.exception("it failed")
"""
KEY = "abcdefghij0123456789"
LINE = re.compile(r"\d{4}-\d\d-\d\dT\S+ [A-Z]+ run0000000a1 \S+\[\d+\] [\w.]+: .*")


def environment() -> dict[str, str]:
    """Of one run."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("G5_", "LUIGI_"))}
    return inherited | {"G5_RUN_ID": "run0000000a1", "JQUANTS_API_KEY": KEY}


def python(program: str, *words: str) -> subprocess.Popen[str]:
    """A process of its own."""
    command = [sys.executable, "-c", program, *words]
    return subprocess.Popen(command, env=environment(), text=True, stderr=subprocess.PIPE)


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_four_processes_rotate_one_file_and_lose_nothing(tmp_path: Path, log_format: str) -> None:
    """Past several rotations every line of every process is there once and whole."""
    words = [(str(tmp_path), log_format, str(who), str(LINES)) for who in range(WRITERS)]
    writers = [python(PROGRAM, *each) for each in words]
    for writer in writers:
        _, told = writer.communicate(timeout=120)
        assert writer.returncode == 0, told[-500:]
    files = sorted(tmp_path.glob("g5.log*"))
    assert 5 <= len(files) <= log_setup.KEEP_FILES  # none was let go
    written = [line for path in files for line in path.read_text("utf-8").splitlines()]
    if log_format == "json":
        events = [json.loads(line) for line in written]
        assert {event["run_id"] for event in events} == {"run0000000a1"}
        messages = [event["message"] for event in events]
    else:
        assert all(LINE.fullmatch(line) for line in written)
        messages = [line.partition("pipeline.writer: ")[2] for line in written]
    expected = [
        f"writer {who} line {line:04d} {'日本語 x' * 8}"
        for who in range(WRITERS)
        for line in range(LINES)
    ]
    assert sorted(messages) == expected


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_a_key_in_a_message_does_not_reach_console_or_file(tmp_path: Path, log_format: str) -> None:
    """Nor by way of a traceback, whose lines say whose they are."""
    process = python(TROUBLE, str(tmp_path), log_format)
    _, told = process.communicate(timeout=120)
    assert process.returncode == 0, told
    assert "refused ***" in told
    text = (tmp_path / "g5.log").read_text()
    assert KEY not in text + told
    assert "asked with ***" in text
    assert "ValueError: refused ***" in text
    lines = text.splitlines()
    if log_format == "text":
        assert len(lines) > 4
        assert all(LINE.fullmatch(line) for line in lines)
    else:
        first, second = (json.loads(line) for line in lines)
        assert first["message"].endswith("\nand again")
        assert second["trace"].startswith("Traceback")


def test_a_log_file_on_a_full_disk_is_told_in_one_line(tmp_path: Path) -> None:
    """The program goes on, and its words reach the console all the same."""
    (tmp_path / "g5.log").symlink_to("/dev/full")
    process = python(PROGRAM, str(tmp_path), "text", "0", "3")
    _, told = process.communicate(timeout=120)
    assert process.returncode == 0, told
    assert "Traceback" not in told
    assert told.count("g5.log: cannot be written: No space left on device") == 1
    assert [line for line in range(3) if f"writer 0 line {line:04d}" in told] == [0, 1, 2]
