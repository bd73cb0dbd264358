"""Runs the ``luigi`` command as a child process, for ``g5 run`` and ``g5 daily``.

The child has the settings of this process: it inherits profile and environment, and the flags are
repeated. It never outlives this process, and a signal to either ends both.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from luigi.configuration import get_config

from pipeline.operations.runs import run_recorder
from pipeline.process import log_setup, task_process

_SCHEDULER = ("scheduler_url", "default_scheduler_url", "default_scheduler_host")
_BY_ITSELF_S = 1.0  # after a signal to the group or from the terminal
_GRACE_S = 20.0  # a run ends its task processes and itself well within it


#: Shows a run, whose output is one pipe, until it has ended.
Watch = Callable[[subprocess.Popen[str]], None]


@dataclass(frozen=True)
class Runner:
    """How runs are started.

    Attributes:
        workers: task processes at a time; None leaves it to the configuration.
        scheduler_url: of luigid; None: the one the configuration names, or none at all.
        flags: settings given on the command line.
        profile: name for the run history.
        local: use the local scheduler, even if a central one is configured.
        watch: shows each run; None: its output is that of this process.
    """

    workers: int | None = None
    scheduler_url: str | None = None
    flags: Mapping[str, str] = field(default_factory=dict)
    profile: str | None = None
    watch: Watch | None = None
    local: bool = False

    def command(self, words: Sequence[str]) -> list[str]:
        """The command line of a task and its parameters."""
        luigi = Path(sys.executable).with_name("luigi")
        workers = [] if self.workers is None else ["--workers", str(self.workers)]
        settings = [
            word
            for name, value in sorted(self.flags.items())
            for word in (f"--g5-{name.replace('_', '-')}", value)
        ]
        return [str(luigi), "--module", "pipeline", *words, *workers, *self._scheduler(), *settings]

    def run(self, words: Sequence[str]) -> int:
        """Run a task to its end; its exit code.

        All runs of a runner have one run id. A signal to this process also ends the child.
        """
        log_setup.run_id()
        environment = os.environ | {task_process.RUNNER: str(os.getpid())}
        environment.pop(log_setup.WEBHOOK, None)  # this process sends the alerts
        if self.profile is not None:
            environment[run_recorder.PROFILE] = self.profile
        watched = self.watch is not None
        with subprocess.Popen(  # noqa: S603  (our own command)
            self.command(words),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if watched else None,
            stderr=subprocess.STDOUT if watched else None,
            encoding="utf-8",
            errors="replace",
        ) as child:
            try:
                if self.watch is not None:
                    self.watch(child)
                return child.wait()
            except BaseException:
                _end(child)
                raise

    def _scheduler(self) -> list[str]:
        if self.scheduler_url:
            return ["--scheduler-url", self.scheduler_url]
        use_configured = configured_scheduler() is not None and not self.local
        return [] if use_configured else ["--local-scheduler"]


def configured_scheduler() -> str | None:
    """URL of the luigid that a configuration file names; None when none does."""
    config = get_config()
    named = {name: config.get("core", name, None) for name in _SCHEDULER}
    host = named["default_scheduler_host"]
    port = config.get("core", "default_scheduler_port", "8082")
    by_host = f"http://{host}:{port}" if host else None
    return named["scheduler_url"] or named["default_scheduler_url"] or by_host


def _end(child: subprocess.Popen[str]) -> None:
    """End a child: wait for the signal that reached it too, then SIGTERM, then SIGKILL."""
    for ask, patience_s in ((None, _BY_ITSELF_S), (child.terminate, _GRACE_S), (child.kill, None)):
        if ask is not None:
            ask()
        with suppress(subprocess.TimeoutExpired):
            child.wait(patience_s)
            return
