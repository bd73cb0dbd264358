"""The central scheduler of an output root: luigid, with its page to watch runs on.

Its files are in ``run/luigid/``, which only this user can open: luigid has no login, and its state
is a pickle, which runs code when it is loaded. It listens on the loopback address only.

The process is luigid itself. The path of the pid file is one of its arguments, so that a stale pid
file never means another program.
"""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from pipeline.errors import MissingData, PipelineError, StorageError, UsageError
from pipeline.filesystem.atomic import make_folder, os_errors, write_bytes
from pipeline.filesystem.location import on_host
from pipeline.operations.runs.background_run import gone
from pipeline.run_state.pid_file import PidFile

ADDRESS = "127.0.0.1"
PORT = 8082

_START_S = 60.0
_POLL_S = 0.1
_ANSWER_S = 3.0
_OURS_ALONE = 0o077  # umask

_CONFIG = """\
# Written at every start of g5 luigid.
[core]
logging_conf_file = {folder}/logging.cfg
[scheduler]
state_path = {folder}/state.pickle
# A task may run again as soon as it is due again.
stable_done_cooldown_secs = 0
# A worker silent for so long is gone, and its tasks have failed.
worker_disconnect_delay = 20
prune_on_get_work = true
# A failed task stays failed for the rest of its run; the next run tries it again at once. (A
# retry_count would disable it for a day.) The run releases tasks lost with their worker:
# pipeline/tasks/worker/leader.py
retry_delay = 86400
send_messages = true
metrics_collector = prometheus
[resources]
# One process at a time talks to the API.
jquants_api = 1
"""
_LOGGING = """\
# Written at every start of g5 luigid. Each request would be a line: warnings only.
[loggers]
keys = root, luigi, access
[handlers]
keys = file
[formatters]
keys = line
[logger_root]
level = INFO
handlers = file
[logger_luigi]
level = INFO
handlers =
qualname = luigi
[logger_access]
level = WARNING
handlers =
qualname = tornado.access
[handler_file]
class = logging.handlers.RotatingFileHandler
formatter = line
args = ({log!r}, "a", 5000000, 3, "utf-8")
[formatter_line]
format = %(asctime)s %(levelname)s %(name)s: %(message)s
"""


@dataclass(frozen=True)
class RunningLuigid:
    """A running luigid.

    Attributes:
        url: of its page, and for ``--scheduler-url``.
    """

    pid: int
    url: str


class LuigidServer:
    """The luigid of an output root.

    Attributes:
        folder: its files.
    """

    def __init__(self, root: Path) -> None:
        self.folder = on_host(root) / "run" / "luigid"
        self.log = self.folder / "luigid.log"
        self._state = self.folder / "state.pickle"
        self._config = self.folder / "luigid.cfg"
        self._url = self.folder / "url"
        self._pid = PidFile(self.folder / "luigid.pid")

    def running(self) -> RunningLuigid | None:
        """The running luigid; None without one."""
        process = self._pid.process()
        if process is None:
            return None
        with os_errors(self._url, "cannot be read"):
            return RunningLuigid(process.pid, self._url.read_text("utf-8").strip())

    def start(self, port: int) -> RunningLuigid:
        """Start it in the background and wait until it answers.

        Raises:
            UsageError: the port is taken.
            StorageError: its folder cannot be written, or others can write its state.
            PipelineError: it ended, or did not answer in time and was stopped.
        """
        self._prepare(port)
        with os_errors(self.log), self.log.open("ab") as output:
            process = subprocess.Popen(  # noqa: S603  (our own command)
                self._command(port),
                umask=_OURS_ALONE,
                cwd=self.folder,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._pid.claim(process.pid)
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline and process.poll() is None:
            if answers(_url(port)):
                return RunningLuigid(process.pid, _url(port))
            time.sleep(_POLL_S)
        process.kill()
        process.wait()
        self._pid.release(process.pid)
        raise PipelineError(f"luigid: did not start on port {port}", f"see {self.log}")

    def become(self, port: int) -> None:
        """Turn this process into luigid; does not return.

        Raises:
            UsageError, StorageError: as ``start``.
        """
        self._prepare(port)
        self._pid.claim()
        command = self._command(port)
        os.umask(_OURS_ALONE)
        os.chdir(self.folder)
        os.execve(command[0], command, self._environment())  # noqa: S606  (our own command)

    def stop(self, patience_s: float) -> tuple[int, bool]:
        """Ask it to end, which saves its state, and kill it if it does not.

        Returns:
            Its process id, and whether it had to be killed.

        Raises:
            MissingData: it does not run.
        """
        process = self._pid.process()
        if process is None:
            raise MissingData(f"luigid of {self.folder.parents[1]}: not running")
        with suppress(psutil.NoSuchProcess):
            process.terminate()
        killed = not gone([process], patience_s)
        if killed:
            with suppress(psutil.NoSuchProcess):
                process.kill()
            gone([process], patience_s)
        self._pid.release(process.pid)
        return process.pid, killed

    def _prepare(self, port: int) -> None:
        with os_errors(self.folder):
            make_folder(self.folder)
            self.folder.chmod(0o700)
            self._refuse_foreign_state()
        _refuse_taken(port)
        folder, log = str(self.folder), str(self.log)
        write_bytes(self._config, _CONFIG.format(folder=folder.replace("%", "%%")).encode())
        logging = _LOGGING.replace("{log!r}", repr(log.replace("%", "%%")))
        write_bytes(self.folder / "logging.cfg", logging.encode())
        write_bytes(self._url, f"{_url(port)}\n".encode())

    def _refuse_foreign_state(self) -> None:
        """Loading the state runs code from it."""
        try:
            found = self._state.lstat()
        except FileNotFoundError:
            return
        ours = stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid()
        if not ours or found.st_mode & 0o022:
            raise StorageError(
                f"luigid state {self._state}: others could have written it", "delete it"
            )

    def _command(self, port: int) -> list[str]:
        return [
            *(sys.executable, str(Path(sys.executable).with_name("luigid"))),
            *("--address", ADDRESS, "--port", str(port), "--pidfile", str(self._pid.path)),
        ]

    def _environment(self) -> dict[str, str]:
        """Names its own configuration; without the API key, for which it has no use."""
        inherited = {k: v for k, v in os.environ.items() if k != "JQUANTS_API_KEY"}
        return inherited | {"LUIGI_CONFIG_PATH": str(self._config)}


def answers(url: str) -> bool:
    """Whether a server answers there."""
    request = urllib.request.Request(url, method="HEAD")  # noqa: S310  (http, as configured)
    try:
        with urllib.request.urlopen(request, timeout=_ANSWER_S):  # noqa: S310
            return True
    except urllib.error.HTTPError as error:
        error.close()
        return True
    except (OSError, ValueError):
        return False


def _refuse_taken(port: int) -> None:
    with socket.socket() as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            free.bind((ADDRESS, port))
        except OSError as error:
            raise UsageError(
                f"--port {port}: cannot listen on {ADDRESS}: {os.strerror(error.errno or 0)}",
                "use another one; or, if it is a luigid, use it in runs by --scheduler-url",
            ) from None


def _url(port: int) -> str:
    return f"http://{ADDRESS}:{port}"
