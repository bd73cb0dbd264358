"""A real terminal for tests of what people look at: tmux, without a window."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

_ENVIRONMENT = {"TERM": "xterm-256color", "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}
_ANSWER_S = 30.0


class Terminal:
    """What is on the screen, and above it.

    Args:
        socket: of its tmux server.
    """

    def __init__(self, socket: Path) -> None:
        self.tmux = ["tmux", "-S", str(socket), "-f", os.devnull]

    def shown(self) -> str:
        command = [*self.tmux, "capture-pane", "-p", "-S", "-200"]
        ended = subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=_ANSWER_S
        )
        return ended.stdout.rstrip() + "\n"


@contextmanager
def terminal(
    command: str, folder: Path, environment: Mapping[str, str], socket: Path
) -> Iterator[Terminal]:
    """A terminal of 90 columns in which a command runs, closed with the block.

    Its last line, when the command has ended, is ``ended with CODE``.
    """
    assert shutil.which("tmux"), "no tmux on this machine: bin/test.sh installs it"
    found = Terminal(socket)
    script = f"{command}; echo ended with $?; exec sleep 600"
    subprocess.run(
        [*found.tmux, "new-session", "-d", "-x", "90", "-y", "30", script],
        env={**environment, **_ENVIRONMENT},
        cwd=folder,
        check=True,
        timeout=_ANSWER_S,
    )
    try:
        yield found
    finally:
        subprocess.run([*found.tmux, "kill-server"], check=False, timeout=_ANSWER_S)
