"""A cluster on one machine: a real luigid, real Luigi workers, chunks that sleep on a scaled clock.

Every sleep of the real cluster is divided by the scale: the work of a chunk, and how long a worker
without work waits before it asks again. What luigid does is real and is not divided: calls that
take 5 ms look ``scale`` times as long, and come ``scale`` times as often, as on many hosts. So
the efficiency that is measured is a lower bound. Only pings are sent as in reality, every second.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from pipeline.operations.runs.luigid_server import answers
from pipeline.process.task_process import RUNNER

#: Luigi's own, which the product leaves as they are.
PING_S, WAIT_S, JITTER_S = 1.0, 1.0, 5.0

_PATIENCE_S = 120.0
_POLL_S = 0.05


@dataclass(frozen=True)
class Luigid:
    """The scheduler under test.

    Attributes:
        process: for its processor time.
    """

    url: str
    process: psutil.Process

    def cpu_s(self) -> float:
        """Processor time so far."""
        times = self.process.cpu_times()
        return float(times.user + times.system)


@dataclass(frozen=True)
class Run:
    """What a simulated run gave.

    Attributes:
        seconds: from the moment the leader began to schedule until the task that waits for all
            chunks had run.
        ideal_s: the sleeps of all chunks shared out evenly.
        scale: of the clock.
        by_worker: chunks each worker process built.
        calls: seconds of every call to luigid, by name.
        luigid_cpu_s: processor time luigid used.
    """

    workers: int
    chunks: int
    scale: float
    seconds: float
    ideal_s: float
    by_worker: Mapping[int, int]
    calls: Mapping[str, Sequence[float]]
    luigid_cpu_s: float

    @property
    def efficiency(self) -> float:
        """Ideal time for measured time."""
        return self.ideal_s / self.seconds

    @property
    def waves_s(self) -> float:
        """Ideal time when a chunk cannot be shared: full waves of chunks."""
        return self.ideal_s * self.workers * -(-self.chunks // self.workers) / self.chunks


def calls_of_chunk(steps: int) -> int:
    """Calls to luigid for one chunk, pings aside: it is added, given out and reported done; its
    progress and its message are told at the begin and after each step."""
    return 3 + 2 * (1 + steps)


@contextmanager
def luigid(folder: Path) -> Iterator[Luigid]:
    """``g5 luigid`` of an output root on a free port; ends with the block, or with this process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [*(sys.executable, "-m", "pipeline.cli", "luigid", "--port", str(port))]
    environment = _without_settings() | {RUNNER: str(os.getpid())}
    with (folder / "luigid.txt").open("ab") as output:
        process = subprocess.Popen(
            [*command, "--output", str(folder)],
            env=environment,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        _until(lambda: process.poll() is not None or answers(url), "luigid to answer")
        if process.poll() is not None:
            raise SystemExit(f"luigid ended: {_last_words(folder / 'luigid.txt')}")
        yield Luigid(url, psutil.Process(process.pid))
    finally:
        process.terminate()
        try:
            process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def simulate(
    folder: Path, workers: int, chunks: int, chunk_s: float, scale: float, sources: int, steps: int
) -> Run:
    """Build ``chunks`` chunks of ``chunk_s`` real seconds each by so many workers.

    Args:
        folder: an empty one for the run.
        sources: fetched before; each chunk depends on all of them.
        steps: of a chunk that are told to luigid.

    Raises:
        SystemExit: a worker failed.
    """
    outputs = folder / "outputs"
    outputs.mkdir(parents=True)
    seconds = chunk_s / scale
    with luigid(folder) as central, ExitStack() as helpers:
        common = {
            "url": central.url,
            "folder": str(outputs),
            "ping_s": PING_S,
            "wait_s": WAIT_S / scale,
            "jitter_s": JITTER_S / scale,
        }
        started = [
            helpers.enter_context(_worker(folder, f"helper-{number}", common | {"job": None}))
            for number in range(workers - 1)
        ]
        _until(lambda: _workers(central.url) >= workers - 1, "the workers to join")
        cpu_s = central.cpu_s()
        job = {"chunks": chunks, "seconds": seconds, "sources": sources, "steps": steps}
        with _worker(folder, "leader", common | {"job": job}) as leader:
            leader.wait(_PATIENCE_S + 10 * chunks * seconds / workers)
        spent_s = central.cpu_s() - cpu_s
        for helper in started:
            helper.send_signal(signal.SIGUSR1)  # finish and leave
        for process in [leader, *started]:
            if process.wait(_PATIENCE_S):
                said = [_last_words(path) for path in sorted(folder.glob("*.txt"))]
                raise SystemExit("\n".join(["a worker failed:", *filter(None, said)]))
    return _result(folder, workers, chunks, scale, seconds, spent_s)


def _result(
    folder: Path, workers: int, chunks: int, scale: float, seconds: float, luigid_cpu_s: float
) -> Run:
    leader = json.loads((folder / "leader.json").read_text())
    files = [folder / "outputs" / f"chunk-{number}.json" for number in range(chunks)]
    calls: dict[str, list[float]] = defaultdict(list)
    for report in folder.glob("*.json"):
        for name, times in json.loads(report.read_text())["calls"].items():
            calls[name] += times
    ended = json.loads((folder / "outputs" / "dataset.json").read_text())["ended"]
    return Run(
        workers=workers,
        chunks=chunks,
        scale=scale,
        seconds=ended - leader["began"],
        ideal_s=chunks * seconds / workers,
        by_worker=Counter(json.loads(file.read_text())["pid"] for file in files),
        calls=calls,
        luigid_cpu_s=luigid_cpu_s,
    )


@contextmanager
def _worker(folder: Path, name: str, given: dict[str, Any]) -> Iterator[subprocess.Popen[bytes]]:
    """A worker process; killed if it still runs at the end of the block."""
    words = json.dumps(given | {"name": name, "report": str(folder / f"{name}.json")})
    script = Path(__file__).with_name("scale_worker.py")
    with (folder / f"{name}.txt").open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, str(script), words],
            env=_without_settings(),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _last_words(path: Path) -> str:
    return path.read_text(errors="replace")[-1000:]


def _without_settings() -> dict[str, str]:
    """The environment without a Luigi configuration of somebody else."""
    return {name: value for name, value in os.environ.items() if not name.startswith("LUIGI_")}


def _workers(url: str) -> int:
    with urllib.request.urlopen(f"{url}/api/worker_list?data={{}}", timeout=30) as answer:
        return len(json.load(answer)["response"])


def _until(condition: Any, what: str) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"waited {_PATIENCE_S:.0f} s for {what}")
        time.sleep(_POLL_S)
