"""How task processes start and end.

Luigi starts one process per task and has no setting for the start method. A forked child may
hang for ever on a lock of some thread pool of its parent, so the start method is ``spawn``.
A child must never outlive its run: a run that was killed must not publish anything later.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, NoReturn

#: Environment variable of the task processes of a helper.
HELPER = "G5_HELPER"

#: Environment variable of a run started by ``g5``: the process it must not outlive.
RUNNER = "G5_RUNNER"

_PR_SET_PDEATHSIG = 1  # prctl: signal this process gets when its parent dies


def is_main_process() -> bool:
    """True in the process a person started, False in a task process."""
    return multiprocessing.parent_process() is None


def is_parent(pid: int) -> bool:
    """True for the process that started this one as a task process, while it lives."""
    parent = multiprocessing.parent_process()
    return parent is not None and parent.pid == pid


def catches(pid: int, number: signal.Signals) -> bool:
    """True when a process has a handler for a signal; False as well when that cannot be seen."""
    try:
        status = Path(f"/proc/{pid}/status").read_text("ascii", errors="replace")
    except OSError:
        return False
    caught = next((line for line in status.splitlines() if line.startswith("SigCgt:")), ":0")
    return bool(int(caught.partition(":")[2], 16) >> (number - 1) & 1)


def is_command(*names: str) -> bool:
    """True when a person or cron started this process as ``luigi`` or ``g5``, or one of them."""
    program = Path(sys.argv[0])
    as_module = {"luigi": "luigi", "cli": "g5"} if program.name == "__main__.py" else {}
    name = as_module.get(program.parent.name, program.name)
    return is_main_process() and name in (names or ("luigi", "g5"))


def prepare_main_process() -> None:
    """Set the start method and turn SIGTERM and SIGINT into an orderly end, without a traceback.

    Called on import of the tasks. Only a process that was started as ``luigi`` or ``g5`` gets the
    signal handler: a program that merely imports the package keeps its own.
    """
    multiprocessing.set_start_method("spawn", force=True)
    if not is_command():
        return
    main = os.getpid()

    def on_signal(signum: int, frame: FrameType | None) -> None:
        if os.getpid() == main:
            end_at_once(signum, frame)
        os._exit(128 + signum)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    if os.environ.get(RUNNER) == str(os.getppid()):
        _end_with_parent(signal.SIGTERM)


def end_at_once(signum: int, _frame: FrameType | None) -> NoReturn:
    """Signal handler of a main process: end it and its task processes."""
    # A second one would only break into the orderly end that the first began.
    for again in (signal.SIGTERM, signal.SIGINT):
        signal.signal(again, signal.SIG_IGN)
    # Luigi's worker would do it too, but first it waits for its scheduler's answer.
    for task_process in multiprocessing.active_children():
        task_process.kill()
    sys.exit(128 + signum)


class TaskProcessSetup:
    """``[worker] task_process_context``: entered in the task's own process, before run()."""

    def __init__(self, task_process: Any) -> None:
        self.own_process = bool(task_process.use_multiprocessing)

    def __enter__(self) -> None:
        if not self.own_process:
            return
        # Native code that hangs never runs a Python signal handler: take the default, death.
        # An interrupt from the terminal reaches every process of the run, this one included.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        if HELPER in os.environ:  # which finishes what it has: an interrupt is meant for it alone
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        parent = multiprocessing.parent_process()
        _end_with_parent(signal.SIGKILL)
        if parent is not None and parent.pid != os.getppid():
            os._exit(1)  # the parent died before the request was in force

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None


def _end_with_parent(number: signal.Signals) -> None:
    """Have the system send this signal when the parent dies, however it dies."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number)
