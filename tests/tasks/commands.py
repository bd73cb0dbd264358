"""Starting the real ``luigi`` command, and looking at what it leaves behind."""

from __future__ import annotations

import hashlib
import inspect
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
import requests

from pipeline.dataset.chunk_store import ChunkStore
from pipeline.dataset.publication import Dataset, DatasetStore
from pipeline.simulator.server.app import DEFAULT_API_KEY

PROJECT = Path(__file__).parents[2]
LUIGI = Path(sys.executable).with_name("luigi")
LOCAL = ("--local-scheduler",)
EVERYTHING = (
    *("cache", "chunks", "validation", "datasets", "labels", "reports"),
    *("ml_dataset_latest_full.parquet", "ml_dataset_latest_metadata.json"),
)
#: Where only the order of steps matters, builds go without most sources: a third of the time.
FEW_SOURCES = {
    "UNAVAILABLE_SOURCES": "indices,investor_types,dividend,earnings_date,margin_interest,"
    "margin_alert,short_ratio,short_sale,breakdown,futures,index_option"
}
#: Where it matters what tasks do and not in which process, runs of one worker do them in their own.
ONE_PROCESS = {"LUIGI_CONFIG_PATH": str(Path(__file__).with_name("one_process.cfg"))}
NOBODY = "http://127.0.0.1:9/v2"  # a base URL of this machine where nobody answers
NOW = "2024-06-29T09:00"

#: Settings of whoever runs the tests are none of theirs.
_OUR_NAMES = (
    *("G5_", "JQUANTS_", "LUIGI_", "SOURCE_", "INDEX_OPTION_", "DATA_OUTPUT_", "REQUESTS_"),
    *("PLAN", "ORIGIN"),
)
#: Only for what hangs: many times what any command needs on a quiet machine.
PATIENCE_S = 600.0


@dataclass(frozen=True)
class Ended:
    """A command that has ended.

    Attributes:
        told: lines on standard error that are not blank.
    """

    code: int
    out: str
    told: list[str]


@dataclass(frozen=True)
class Home:
    """An output root, and how runs on it are started.

    Attributes:
        url: of the API.
        folder: working directory of the runs.
        environment: changes; None takes a name away.
    """

    root: Path
    url: str
    folder: Path
    environment: dict[str, str | None] = field(default_factory=dict)

    def having(self, **changes: str | None) -> Home:
        """The same root under a changed environment."""
        return replace(self, environment=self.environment | changes)

    def copy(self, root: Path, *parts: str) -> Home:
        """Another root with these parts of the tree. Files are shared: nothing writes in place.

        The kernels are compiled by now; the marks that say so go along.
        """
        marks = [f"run/{mark.name}" for mark in (self.root / "run").glob("kernels-*")]
        for part in (*parts, *marks):
            if (self.root / part).is_dir():
                shutil.copytree(self.root / part, root / part, symlinks=True, copy_function=os.link)
            else:
                (root / part).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(self.root / part, root / part, follow_symlinks=False)
        return replace(self, root=root, folder=root.parent)

    @property
    def chunks(self) -> ChunkStore:
        return ChunkStore(self.root)

    def statuses(self) -> dict[str, dict[str, Any]]:
        return {chunk: self.chunks.read_status(chunk) for chunk in self.chunks.ids()}

    def builds(self) -> dict[str, str]:
        return {chunk: status["build_id"] for chunk, status in self.statuses().items()}

    def building(self) -> list[str]:
        """Chunks whose status says so; cheap, because tests ask it again and again."""
        paths = sorted(self.chunks.folder.glob("*/status.json"))
        return [path.parent.name for path in paths if '"state": "building"' in path.read_text()]

    def dataset(self) -> Dataset | None:
        return DatasetStore(self.root).latest()

    def dataset_path(self) -> Path:
        dataset = self.dataset()
        assert dataset is not None
        return dataset.path

    def dataset_sha(self) -> str:
        return sha(self.dataset_path())

    def log(self) -> str:
        path = self.root / "logs" / "g5.log"
        return path.read_text() if path.exists() else ""

    def facts(self) -> dict[str, tuple[str, int]]:
        """Content and time of every file of the tree, logs and locks aside."""
        return {
            str(path.relative_to(self.root)): (sha(path), path.lstat().st_mtime_ns)
            for path in sorted(self.root.rglob("*"))
            if path.is_file() and path.relative_to(self.root).parts[0] not in ("logs", "run")
        }

    def command(self, *words: str, scheduler: Iterable[str] = LOCAL) -> list[str]:
        return [str(LUIGI), "--module", "pipeline", *words, *scheduler]

    def run(
        self, *words: str, scheduler: Iterable[str] = LOCAL, patience_s: float = PATIENCE_S
    ) -> Ended:
        """Run a task to its end."""
        with self.start(*words, scheduler=scheduler) as process:
            out, err = process.communicate(timeout=patience_s)
        return Ended(process.returncode, out, [line for line in err.splitlines() if line.strip()])

    def g5(self, *words: str, patience_s: float = PATIENCE_S) -> Ended:
        """Run a subcommand of g5 to its end."""
        return self._ended([str(LUIGI.with_name("g5")), *words], patience_s)

    def python(self, program: str, *words: str) -> Ended:
        """Run a Python program, given as text, to its end."""
        return self._ended([sys.executable, "-c", program, *words])

    def _ended(self, command: list[str], patience_s: float = PATIENCE_S) -> Ended:
        ended = subprocess.run(
            command,
            env=self._environment(),
            cwd=self.folder,
            text=True,
            capture_output=True,
            timeout=patience_s,
            check=False,
        )
        told = [line for line in ended.stderr.splitlines() if line.strip()]
        return Ended(ended.returncode, ended.stdout, told)

    @contextmanager
    def start(
        self, *words: str, scheduler: Iterable[str] = LOCAL
    ) -> Iterator[subprocess.Popen[str]]:
        """A run in a process group of its own, which ends with the block at the latest."""
        with subprocess.Popen(
            self.command(*words, scheduler=scheduler),
            env=self._environment(),
            cwd=self.folder,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        ) as process:
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.kill()

    def _environment(self) -> dict[str, str]:
        changes = {
            "JQUANTS_API_BASE": self.url,
            "JQUANTS_API_KEY": DEFAULT_API_KEY,
            "DATA_OUTPUT_DIR": str(self.root),
            "REQUESTS_PER_MINUTE": "0",
            "PLAN": "premium",  # where it is found out, the tests say so: many count requests
            "G5_NOW": NOW,
        } | self.environment
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(_OUR_NAMES)}
        return inherited | {name: value for name, value in changes.items() if value is not None}


@contextmanager
def simulator(*options: str) -> Iterator[str]:
    """A simulator in a process of its own; its base URL."""
    command = [sys.executable, "-m", "pipeline.cli", "sim", "serve", "--exit-with-parent", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


@contextmanager
def luigid(folder: Path) -> Iterator[str]:
    """A central scheduler on the loopback address; its URL."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    command = [
        *(str(LUIGI.with_name("luigid")), "--address", "127.0.0.1", "--port", str(port)),
        *("--state-path", str(folder / "luigid.pickle"), "--logdir", str(folder)),
    ]
    folder.mkdir(parents=True, exist_ok=True)
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            until(lambda: _answers(url))
            yield url
        finally:
            process.terminate()


def asked(url: str) -> dict[str, int]:
    """Requests a simulator has answered, by path."""
    stats = requests.get(f"{url.removesuffix('/v2')}/_sim/stats", timeout=30).json()
    paths: dict[str, int] = stats["paths"]
    return paths


def until(condition: Callable[[], object], patience_s: float = PATIENCE_S) -> None:
    """Wait for something that happens soon.

    Raises:
        AssertionError: it has not; names the condition.
    """
    deadline = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() >= deadline:
            named = condition.__name__ != "<lambda>"
            what = condition.__qualname__ if named else inspect.getsource(condition).strip()
            raise AssertionError(f"not within {patience_s:.0f} s: {what}")
        time.sleep(0.05)


def family(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """A run's main process and everything it started."""
    main = psutil.Process(process.pid)
    return [main, *main.children(recursive=True)]


def assert_gone(processes: Iterable[psutil.Process], within_s: float = 5.0) -> None:
    """None of them lives on; a process that is dead but not yet collected does not."""
    _, alive = psutil.wait_procs(
        [p for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE], within_s
    )
    assert [p for p in alive if p.status() != psutil.STATUS_ZOMBIE] == []


def assert_still(home: Home, seconds: float) -> None:
    """Nothing in the tree changes any more."""
    before = home.facts()
    time.sleep(seconds)
    assert home.facts() == before


def sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def dates_of(path: Path) -> list[str]:
    """Distinct dates of a Parquet file, ascending."""
    return sorted({str(day) for day in pq.read_table(path, columns=["Date"])["Date"].to_pylist()})


def rewrite(path: Path, content: bytes) -> None:
    """New content for a file that may be shared with another root."""
    path.unlink()
    path.write_bytes(content)


def _answers(url: str) -> bool:
    try:
        return requests.head(url, timeout=1).status_code < 500
    except requests.ConnectionError:
        return False
