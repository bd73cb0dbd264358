"""Exit codes of ``g5`` and ``luigi``; docs/reference/exit-codes.md is generated from them."""

from __future__ import annotations

from enum import IntEnum
from typing import Self


class ExitCode(IntEnum):
    """How a command ended, and what that means in one line."""

    meaning: str

    def __new__(cls, code: int, meaning: str) -> Self:
        member = int.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        return member

    DONE = 0, "done, or nothing to do"
    FINDINGS = 1, "findings; from `luigi`: no such task"
    USAGE = 2, "wrong use: parameter, setting, key; or it cannot be checked"
    WORK_TO_DO = 3, "work to do: `plan`, `status`, `run --dry-run`"
    ALREADY_RUNNING = 10, "another run holds the output root"
    MISSING_DATA = 20, "something that should be there is missing"
    NOT_RUN = 25, "a task could not be started"
    TASK_FAILED = 30, "a task failed; the others ran"
    SCHEDULING_ERROR = 35, "planning a task failed"
    UNHANDLED_EXCEPTION = 40, "unexpected error"
    INTERRUPTED = 130, "stopped by Ctrl-C"
    TERMINATED = 143, "stopped by SIGTERM"

    @classmethod
    def of_luigi(cls) -> dict[str, int]:
        """The section ``[retcode]`` of Luigi, whose own default is 0 for all of them."""
        return {code.name.lower(): int(code) for code in cls if 10 <= code < 128}


def is_signal(code: int) -> bool:
    """Whether a command with this exit code was ended by a signal."""
    return code > 128
