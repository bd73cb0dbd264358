"""20 monthly chunks by one worker and by two: work that waits, and work that computes.

    python benchmarks/workers.py [--work FOLDER]

1. A small simulated market is fetched over HTTP, once; with --work it is kept for the next time.
2. Work that waits: the output root is in an object store behind a line on which every request
   waits. Each host begins with nothing of it, so it reads the snapshots over that line.
3. Work that computes: the same on a local root.

All is real: luigid of ``g5 luigid``, the run by ``luigi --module pipeline``, the processes of both.
The run builds as well, one chunk at a time: it is the first worker. The second is a host with
``g5 worker --workers 1``, joined before the run begins. Each build has one thread. Nothing is
fetched. The time of the chunks is that from the begin of the first one to the commit of the last
one, as run and chunks have recorded it. Then the run is stopped, since one host does the rest
alone, and finished without the line: gate and merge. All roots must come to the same dataset.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import common
import slow_store

from pipeline.dataset.chunk_store import ChunkStore
from pipeline.dataset.publication import DatasetStore
from pipeline.filesystem.location import file_system, place_of
from pipeline.operations.runs.luigid_server import answers
from pipeline.process.task_process import RUNNER

STOCKS = 24
LATENCY_MS = 100.0
START, END, CHUNKS = "2022-11-01", "2024-06-28", 20
#: Without most sources a build takes a third of the time: more of them would show nothing else.
_SETTINGS = {
    "UNAVAILABLE_SOURCES": "indices,investor_types,dividend,earnings_date,margin_interest,"
    "margin_alert,short_ratio,short_sale,breakdown,futures,index_option",
    "SOURCE_CACHE_MODE": "read",
    "COMPUTE_THREADS": "1",
}
_PATIENCE_S, _ENOUGH_S = 60.0, 3600.0
_POLL_S = 0.05


@dataclass(frozen=True)
class Run:
    """What a run took.

    Attributes:
        chunks_s: for the chunks alone.
        build_s: of one build on average, from the begin of its task to its end.
        cpu_s: processor time of all workers with their task processes, planning included.
        helped: chunks the second worker built.
        dataset: hash of what was made.
    """

    workers: int
    chunks_s: float
    build_s: float
    cpu_s: float
    helped: int
    dataset: str

    @property
    def between_s(self) -> float:
        """Time of a worker between two builds, the end of the last ones included: the start of the
        next process, the scheduler."""
        return self.workers * self.chunks_s / CHUNKS - self.build_s


def main() -> int:
    options = common.parser("Build 20 chunks by one worker and by two.")
    options.add_argument("--stocks", type=int, default=STOCKS, help="market size (default 24)")
    options.add_argument(
        "--latency-ms", type=float, default=LATENCY_MS, help="of each request (default 100)"
    )
    args = options.parse_args()
    common.tell_machine()
    with common.work_folder(args.work) as work:
        made = work / f"workers-{args.stocks}"
        _prepare(made, args.stocks)
        with tempfile.TemporaryDirectory(dir=work, prefix="runs-") as folder:
            waiting = _waiting(made, Path(folder), args.latency_ms / 1000)
            computing = _computing(made, Path(folder))
    if len({run.dataset for run in (*waiting, *computing)}) != 1:
        raise SystemExit("the runs came to different datasets")
    print(f"the same dataset each time, {waiting[0].dataset[:16]}")
    waited = 1 - computing[0].chunks_s / waiting[0].chunks_s
    print(f"behind the line, {100 * waited:.0f} % of the time of one worker goes to the line")
    by_one, by_two = computing
    print(
        f"a build on a local root takes {by_two.build_s / by_one.build_s:.2f} times as long beside "
        f"another one; between two of them {by_one.between_s:.1f} s, and {by_two.between_s:.1f} s"
    )
    print(f"RATIO workers_2_vs_1_computing {by_one.chunks_s / by_two.chunks_s:.2f} no goal")
    by_one, by_two = waiting
    met = common.ratio("workers_2_vs_1_waiting", by_one.chunks_s / by_two.chunks_s, ">=", 1.7)
    return 0 if met else 1


def _prepare(root: Path, stocks: int) -> None:
    """The snapshots, and compiled kernels."""
    os.environ["UNAVAILABLE_SOURCES"] = _SETTINGS["UNAVAILABLE_SOURCES"]
    common.simulated(root, stocks=stocks, start=START, end=END)


def _waiting(made: Path, folder: Path, latency_s: float) -> list[Run]:
    runs = []
    with slow_store.serving(latency_s) as store:
        # This process looks at the store without the line.
        os.environ |= {**store.environment(slow=False), "G5_HOST_DIR": str(folder / "here")}
        for workers in (1, 2):
            root = place_of(f"s3://market/{workers}-workers")
            system, key = file_system(root)
            if workers == 1:
                system.mkdir("market")
            system.put(str(made / "cache"), f"{key}/cache", recursive=True)
            before = store.requests()
            run = _run(root, folder / f"waiting-{workers}", workers, store.environment(slow=True))
            asked = store.requests() - before
            _tell(f"behind {1000 * latency_s:.0f} ms, {asked:,} requests", run)
            runs.append(run)
    return runs


def _computing(made: Path, folder: Path) -> list[Run]:
    runs = []
    for workers in (1, 2):
        hosts = folder / f"computing-{workers}"
        root = hosts / "output"
        # Files are shared, not copied: nothing writes into one that is there.
        shutil.copytree(made / "cache", root / "cache", copy_function=os.link)
        (root / "run").mkdir()
        for mark in (made / "run").glob("kernels-*"):
            shutil.copy2(mark, root / "run")
        os.sync()  # what was written before is not this run's
        runs.append(_run(root, hosts, workers, {}))
        _tell("on a local root", runs[-1])
    return runs


def _run(root: Path, hosts: Path, workers: int, more: Mapping[str, str]) -> Run:
    """BuildAll by so many workers, each a host with a folder of its own."""

    def environment(name: str) -> dict[str, str]:
        (hosts / name).mkdir(parents=True)
        own = {"G5_HOST_DIR": str(hosts / name), RUNNER: str(os.getpid())}
        return {**common.offline(root), **_SETTINGS, **more, **own}

    lead = environment("lead")
    with ExitStack() as stack:
        url = stack.enter_context(_luigid(lead, hosts / "lead"))
        helpers = [
            stack.enter_context(_helper(environment(name), hosts / name, url))
            for name in ("two",)[: workers - 1]
        ]
        command = [
            *common.luigi("--module", "pipeline", "ValidateSchema", "--build"),
            *("--start", START, "--end", END, "--chunk-months", "1"),
            *("--workers", "1", "--scheduler-url", url),
        ]
        leader = stack.enter_context(_started(command, lead, hosts / "lead"))
        _until(lambda: _built(hosts) == CHUNKS, leader, hosts / "lead", patience_s=_ENOUGH_S)
        leader.send_signal(signal.SIGTERM)
        cpu_s = _ended(leader, hosts / "lead", 128 + signal.SIGTERM)
        for helper in helpers:
            helper.send_signal(signal.SIGTERM)
            cpu_s += _ended(helper, hosts / "two", 0)
    chunks_s, build_s = _recorded(root, hosts)
    return Run(
        workers=workers,
        chunks_s=chunks_s,
        build_s=build_s,
        cpu_s=cpu_s,
        helped=_said(hosts / "two").count("finished chunk "),
        dataset=_merged(root),
    )


def _merged(root: Path) -> str:
    """Hash of the dataset, made by a host of its own right at the store."""
    common.measure(common.task("MergeChunks"), common.offline(root) | _SETTINGS)
    dataset = DatasetStore(root).latest()
    chunks = dataset.metadata["chunks"] if dataset else []
    if dataset is None or len(chunks) != CHUNKS:
        raise SystemExit(f"{root}: {len(chunks)} chunks in the dataset, not {CHUNKS}")
    return str(dataset.metadata["dataset_hash"])


def _recorded(root: Path, hosts: Path) -> tuple[float, float]:
    """Seconds from the begin of the first chunk to the commit of the last one; and of a build. In
    an object store only the builds of the run's own host are on record."""
    (record,) = hosts.rglob("run/history/*.json")
    steps = json.loads(record.read_text())["steps"]
    builds = [step for step in steps if step["name"].startswith("BuildChunk ")]
    store = ChunkStore(root)
    began = min(step["started_at"] for step in builds)
    ended = max(store.read_status(chunk)["finished_at"] for chunk in store.ids())
    chunks = dt.datetime.fromisoformat(ended) - dt.datetime.fromisoformat(began)
    return chunks.total_seconds(), statistics.mean(step["seconds"] for step in builds)


def _tell(where: str, run: Run) -> None:
    print(
        f"{where}, {run.workers} at work: {CHUNKS} chunks in {run.chunks_s:.1f} s, {run.helped} by "
        f"the second; {run.build_s:.1f} s a build; {run.cpu_s:.1f} s of processor time",
        flush=True,
    )


@contextmanager
def _luigid(environment: Mapping[str, str], folder: Path) -> Iterator[str]:
    """``g5 luigid``; its URL."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with _started(_g5("luigid", "--port", str(port)), environment, folder) as process:
        _until(lambda: answers(url), process, folder)
        yield url


@contextmanager
def _helper(
    environment: Mapping[str, str], folder: Path, url: str
) -> Iterator[subprocess.Popen[bytes]]:
    """``g5 worker`` that has joined."""
    command = _g5("worker", "--workers", "1", "--scheduler-url", url)
    with _started(command, environment, folder) as process:
        _until(lambda: "joined " in _said(folder), process, folder)
        yield process


@contextmanager
def _started(
    command: list[str], environment: Mapping[str, str], folder: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that ends with the block, and with this one; what it says is in its folder."""
    with (
        (folder / "said.txt").open("ab") as output,
        subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        ) as process,
    ):
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()


def _ended(process: subprocess.Popen[bytes], folder: Path, code: int) -> float:
    """Wait for its end; processor time of it and its children, in seconds.

    Raises:
        SystemExit: it had another exit code; its output is shown.
    """
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != code:
        sys.stderr.write(_said(folder))
        raise SystemExit(f"{process.args!r}: exit code {process.returncode}")
    return usage.ru_utime + usage.ru_stime


def _until(
    condition: Callable[[], bool],
    process: subprocess.Popen[bytes],
    folder: Path,
    patience_s: float = _PATIENCE_S,
) -> None:
    """Wait for something that happens while a process lives."""
    deadline = time.monotonic() + patience_s
    while not condition():
        if process.poll() is not None or time.monotonic() > deadline:
            sys.stderr.write(_said(folder))
            raise SystemExit(f"{process.args!r}: it did not come so far")
        time.sleep(_POLL_S)


def _built(hosts: Path) -> int:
    """Chunks that are committed: their builds have said so."""
    return sum(_said(folder).count(" rows x ") for folder in (hosts / "lead", hosts / "two"))


def _said(folder: Path) -> str:
    said = folder / "said.txt"
    return said.read_text(errors="replace") if said.exists() else ""


def _g5(*words: str) -> list[str]:
    return [sys.executable, "-m", "pipeline.cli", *words]


if __name__ == "__main__":
    sys.exit(main())
