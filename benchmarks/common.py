"""What the benchmarks share: a synthetic market on disk, runs as child processes, figures.

Data come from the simulator through the real API layer, once per work folder. Measured runs point
at a port where nobody listens, so a build that asked for anything would fail.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from pipeline.dataset.chunk_store import ChunkStore

GIB = 2**30

_NOBODY = "http://127.0.0.1:9/v2"
_SAMPLE_S = 0.02


@dataclass(frozen=True)
class Usage:
    """What a command took.

    Attributes:
        wall_s: from its start to its end.
        cpu_s: processor time of the process and all its children.
        peak_bytes: most resident memory of the process and all its children together.
        largest_bytes: most resident memory of any one of them.
    """

    wall_s: float
    cpu_s: float
    peak_bytes: int
    largest_bytes: int


class _Memory(threading.Thread):
    """Samples the resident memory of a process and its descendants, added up.

    Pages they share count once for each, so the sum is an upper bound.
    """

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.peak = 0
        self._process = psutil.Process(pid)
        self._ended = threading.Event()

    def run(self) -> None:
        while not self._ended.wait(_SAMPLE_S):
            with suppress(psutil.Error):
                family = [self._process, *self._process.children(recursive=True)]
                self.peak = max(self.peak, sum(_resident(member) for member in family))

    def stop(self) -> int:
        self._ended.set()
        self.join()
        return self.peak


def measure(command: Sequence[str], environment: Mapping[str, str]) -> Usage:
    """Run a command to its end.

    Raises:
        SystemExit: it failed; its output is shown.
    """
    began = time.perf_counter()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
        memory = _Memory(process.pid)
        memory.start()
        # The kernel's own mark of the largest single process, which no sample can miss.
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        sampled = memory.stop()
        if process.returncode:
            output.seek(0)
            sys.stderr.write(output.read().decode(errors="replace"))
            raise SystemExit(f"{' '.join(command)}: exit code {process.returncode}")
    largest = usage.ru_maxrss * 1024
    return Usage(
        wall_s=wall_s,
        cpu_s=usage.ru_utime + usage.ru_stime,
        peak_bytes=max(sampled, largest),
        largest_bytes=largest,
    )


def own_peak_bytes() -> int:
    """The most resident memory of this process.

    Not ``getrusage``: that one counts what the parent held when it started this process.
    """
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    (peak,) = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
    return int(peak) * 1024


def tell_machine() -> None:
    """Print what the figures depend on: wall times mean little while others use the processors."""
    cores, load = os.cpu_count(), os.getloadavg()[0]
    print(f"{cores} cores, {load:.1f} of them busy in the last minute", flush=True)


def ratio(name: str, value: float, operator: str, bound: float) -> bool:
    """Print a figure with its goal; True when it is met."""
    met = value <= bound if operator == "<=" else value >= bound
    print(f"RATIO {name} {value:.2f} goal {operator} {bound:g}", flush=True)
    return met


def simulated(root: Path, *, stocks: int, start: str, end: str) -> None:
    """An output root with every chunk of [start, end], built from the simulator over HTTP.

    A second call with the same folder finds all there.
    """
    command = [
        *(sys.executable, "-m", "pipeline.cli", "demo", "--output", str(root)),
        *("--stocks", str(stocks), "--start", start, "--end", end),
    ]
    print(f"preparing {root} ({stocks} stocks, {start} to {end}) ...", flush=True)
    usage = measure(command, os.environ)
    print(f"prepared in {usage.wall_s:.0f} s", flush=True)


def offline(root: Path) -> dict[str, str]:
    """Environment of a measured run: origin simulator, nothing to ask, this output root."""
    return os.environ | {
        "DATA_OUTPUT_DIR": str(root),
        "JQUANTS_API_BASE": _NOBODY,
        "JQUANTS_API_KEY": "none",
    }


def luigi(*arguments: str) -> list[str]:
    """The ``luigi`` command of this environment."""
    return [str(Path(sys.executable).with_name("luigi")), *arguments]


def task(name: str, **parameters: str) -> list[str]:
    """The command that runs a task of ours as an operator would."""
    flags = [text for key, value in parameters.items() for text in (f"--{key}", value)]
    return luigi("--module", "pipeline", name, *flags, "--local-scheduler")


def build_chunk(root: Path, chunk: str) -> Usage:
    """``BuildChunk`` of a chunk that was built before, anew, from the same snapshots."""
    store = ChunkStore(root)
    store.request_rebuild([chunk], "benchmark")
    return measure(task("BuildChunk", **chunk_parameters(store, chunk)), offline(root))


def chunk_parameters(store: ChunkStore, chunk: str) -> dict[str, str]:
    """Of the task that made a chunk; the key of the bars holds the range of its snapshots."""
    status = store.read_status(chunk)
    key = next(key for key in status["inputs"] if key.startswith("daily_bars"))
    return {
        "chunk": chunk,
        "first": status["covered_from"],
        "last": status["covered_to"],
        "snapshot": key.partition("_raw_")[2],
    }


def products(root: Path) -> dict[Path, int]:
    """Everything below an output root but logs and locks, with the time of its last change."""
    return {
        path: path.lstat().st_mtime_ns
        for folder in ("cache", "chunks", "datasets", "validation")
        for path in (root / folder).rglob("*")
    }


def parser(description: str) -> argparse.ArgumentParser:
    """Options of every benchmark."""
    options = argparse.ArgumentParser(description=description)
    options.add_argument(
        "--work", type=Path, help="folder for the market, kept for the next time (default: none)"
    )
    return options


@contextmanager
def work_folder(given: Path | None) -> Iterator[Path]:
    """The given folder, or one that is removed at the end.

    Raises:
        SystemExit: the given one cannot be made.
    """
    if given is not None:
        try:
            given.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            print(f"--work {given}: {os.strerror(error.errno or 0)}", file=sys.stderr)
            raise SystemExit(2) from None
        yield given.absolute()
        return
    with tempfile.TemporaryDirectory(prefix="g5-bench-") as folder:
        yield Path(folder)


def _resident(process: psutil.Process) -> int:
    with suppress(psutil.Error):
        return int(process.memory_info().rss)
    return 0
