"""Runs in the background: started in their own session, found by a pid file, stopped.

The background process is the same command in the foreground with the path of its pid file as an
argument. It writes the file once its checks have passed, so that its starter sees a refusal at
once, and removes it when it ends.
"""

from __future__ import annotations

import datetime as dt
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from pipeline import configuration
from pipeline.errors import MissingData, PipelineError
from pipeline.filesystem.atomic import os_errors
from pipeline.filesystem.location import on_host
from pipeline.run_state import output_lock
from pipeline.run_state.pid_file import PidFile, pid_files

_START_S = 60.0
_POLL_S = 0.1


@dataclass(frozen=True)
class Started:
    """A run in the background.

    Attributes:
        code: exit code if it ended before it was under way; else None.
        log: its output.
    """

    pid: int
    code: int | None
    log: Path


@dataclass(frozen=True)
class Stopped:
    """A run that was stopped.

    Attributes:
        killed: it did not end in time and was killed.
    """

    name: str
    pid: int
    killed: bool


def pid_file(root: Path, name: str) -> PidFile:
    """The pid file of a run of this name."""
    return PidFile(on_host(root) / "run" / f"{name}.pid")


def start(root: Path, name: str, words: Sequence[str]) -> Started:
    """Start a g5 command in the background and wait until it is under way, or refused.

    Args:
        words: the command, to which the path of the pid file is added as ``--pid-file``.

    Raises:
        StorageError: the log cannot be written.
        PipelineError: it neither began nor ended in time, and was stopped; or it exited without
            reporting.
    """
    file = pid_file(root, name)
    moment = dt.datetime.now(configuration.JST)
    log = on_host(root) / "logs" / f"{name}_{moment:%Y%m%d_%H%M%S}.log"
    command = [sys.executable, "-m", "pipeline.cli", *words, "--pid-file", str(file.path)]
    with os_errors(log):
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            process = subprocess.Popen(  # noqa: S603  (our own command)
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        code = process.poll()
        if code and not log.stat().st_size:
            raise PipelineError(
                f"{name}: ended with exit code {code}, and its log {log} is empty",
                "free some disk space if the disk is full; without --background it shows more",
            )
        if code is not None or file.number() == process.pid:
            return Started(process.pid, code, log)
        time.sleep(_POLL_S)
    os.killpg(process.pid, signal.SIGKILL)
    raise PipelineError(f"{name}: did not begin within {_START_S:.0f} s; stopped", f"see {log}")


def stop(root: Path, name: str, patience_s: float) -> Stopped:
    """Ask a run in the background to end, and kill it if it does not.

    Args:
        patience_s: from asking (SIGTERM) to ending (SIGKILL).

    Raises:
        MissingData: no such run; a pid file without its process was removed.
        StorageError: the pid file cannot be read or removed.
    """
    file = pid_file(root, name)
    process = file.process()
    if process is None:
        raise _not_running(root, file)
    members = _signal(process.pid, signal.SIGTERM)
    _signal(process.pid, signal.SIGCONT)  # for a suspended run
    killed = not gone(members, patience_s)
    if killed:
        gone(_signal(process.pid, signal.SIGKILL), patience_s)
    file.release(process.pid)
    return Stopped(name, process.pid, killed)


def names(root: Path) -> list[str]:
    """Names of the pid files of a root, stale ones included."""
    return [file.name for file in pid_files(on_host(root) / "run")]


def _not_running(root: Path, file: PidFile) -> MissingData:
    """What is there instead; removes a pid file without its process."""
    holder = output_lock.holder(root)
    other = (
        f"; pid {holder} runs in the foreground and is ended with Ctrl-C or kill {holder}"
        if holder
        else ""
    )
    if not file.exists():
        return MissingData(f"{file.name}: not running in the background{other}")
    number = file.number()
    if number is None:
        what = "holds no process id"
    elif psutil.pid_exists(number):
        what = f"names process {number}, which is another program and was left alone"
    else:
        what = f"names process {number}, which is gone"
    file.release(number or 0)
    return MissingData(
        f"{file.name}: not running; {file.path} {what}; the file is removed{other}",
        "the next run continues where that one ended",
    )


def _signal(group: int, number: signal.Signals) -> list[psutil.Process]:
    """Send a signal to a process group; returns its members before that."""
    members = _members(group)
    with suppress(ProcessLookupError):  # it has just ended
        os.killpg(group, number)
    return members


def _members(group: int) -> list[psutil.Process]:
    """The living processes of a group."""
    members = []
    for process in psutil.process_iter():
        try:
            if os.getpgid(process.pid) == group:
                members.append(process)
        except (ProcessLookupError, PermissionError):
            continue
    return members


def gone(processes: Sequence[psutil.Process], within_s: float) -> bool:
    """Wait for their end; True when all have ended. Zombies count as ended."""
    deadline = time.monotonic() + within_s
    while any(_alive(process) for process in processes):
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True


def _alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
