"""What one chunk and the steps around it cost on this machine.

Markets are output roots that a build has filled (``common.simulated``). They are only read: the
cache of each is copied, and a quarter and its three months are built from the copy, so that the
cost can be told by stocks and by sessions; after each come gate, merge, labels and report, so that
theirs can be told by chunks and by rows.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import common
import numpy as np
import pyarrow.parquet as pq
import scale_fetch
from scale_prediction import Law, fit, law

from pipeline.dataset.chunk_store import ChunkStore

CHUNK, START, END = "2024Q2", "2024-04-01", "2024-06-28"
STEPS = ("ValidateSchema", "MergeChunks", "BuildLabels", "BuildReport")

_IMPORTS = (
    "import pipeline.tasks, pipeline.operations.building.chunk_inputs, "
    "pipeline.features.engine.chunk_features"
)
_INGESTED = (500, 2000)  # market sizes
_PROBE_BYTES = 512 * 2**20


@dataclass(frozen=True)
class Chunk:
    """A chunk build that was measured.

    Attributes:
        wall_s: of the command, less the start of the command itself.
        peak_bytes: of all processes of the command.
        bytes: of the Parquet file.
    """

    stocks: int
    sessions: int
    rows: int
    wall_s: float
    cpu_s: float
    peak_bytes: int
    bytes: int


@dataclass(frozen=True)
class Fetched:
    """What the cache of a market holds for one quarter and its warm-up.

    Attributes:
        days: sessions of the daily sources.
        parts: files.
    """

    stocks: int
    days: int
    parts: int
    bytes: int


@dataclass(frozen=True)
class Units:
    """Unit costs of this machine.

    Attributes:
        steps: seconds of gate, merge, labels and report: of the command, a chunk, and a row.
        merge_bytes_s: of the merge of the largest market, its command included.
        ingested: stocks, and seconds of work that taking in one session of all sources is.
        requests: asked of the API whatever the length of a build, and for every year of it.
        start_s: of a command, with its imports; a worker has it once.
        task_start_s: of a task process, with its imports; it is in every chunk.
        disk_bytes_s: of this machine, written to the disk and read back.
    """

    chunks: list[Chunk]
    fetched: list[Fetched]
    steps: Mapping[str, tuple[float, float, float]]
    merge_bytes_s: float
    ingested: list[tuple[int, float]]
    requests: tuple[float, float]
    start_s: float
    task_start_s: float
    disk_bytes_s: float

    def law_of(self, what: str) -> Law:
        """How an attribute of a chunk grows with stocks and sessions."""
        return law([(c.stocks, c.sessions, float(getattr(c, what))) for c in self.chunks])

    def misfit(self, what: str) -> float:
        """The largest share by which a law misses what was measured."""
        found = self.law_of(what)
        return max(
            abs(found.at(c.stocks, c.sessions) / float(getattr(c, what)) - 1) for c in self.chunks
        )

    def fetched_per_day(self, what: str, stocks: int) -> float:
        """Bytes or parts of one session of all sources."""
        return _line([(f.stocks, getattr(f, what) / f.days) for f in self.fetched], stocks)

    def ingest_s_a_day(self, stocks: int) -> float:
        """Seconds of work that taking in one session of all sources is."""
        return _line(self.ingested, stocks)

    @property
    def stocks(self) -> list[int]:
        """Market sizes that were measured."""
        return sorted({chunk.stocks for chunk in self.chunks})

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> Units:
        document = json.loads(text)
        chunks = [Chunk(**chunk) for chunk in document.pop("chunks")]
        fetched = [Fetched(**market) for market in document.pop("fetched")]
        return cls(chunks=chunks, fetched=fetched, **document)


def markets_in(folder: Path) -> dict[int, Path]:
    """Prepared markets by number of stocks: those whose build has come to its end."""
    found = {}
    for root in folder.glob("scaling-*"):
        size = root.name.rpartition("-")[2]
        if size.isdigit() and (root / "reports" / "latest.html").exists():
            found[int(size)] = root
    return found


def measure(markets: Mapping[int, Path], scratch: Path, runs: int) -> Units:
    """Measure everything: about five builds of a quarter for each market."""
    start_s = _quickest(common.luigi("--module", "pipeline", "BuildChunk", "--help"))
    task_start_s = _quickest([sys.executable, "-c", _IMPORTS])
    chunks: list[Chunk] = []
    terms: list[tuple[float, float, float]] = []
    seconds: dict[str, list[float]] = {step: [] for step in STEPS}
    for stocks, source in sorted(markets.items()):
        root = scratch / f"market-{stocks}"
        shutil.copytree(source / "cache", root / "cache")
        if not chunks:  # the first one compiles the kernels
            _build(source, root, stocks, [CHUNK], 1, start_s)
        for names in ([CHUNK], list(_MONTHS)):
            built = _build(source, root, stocks, names, runs, start_s)
            terms.append((1.0, len(built), sum(chunk.rows for chunk in built)))
            for step in STEPS:
                seconds[step].append(_step_s(root, stocks, step, len(built)))
            chunks += built
            _remove_products(root)
        shutil.rmtree(root)
    laws = {step: fit(terms, values) for step, values in seconds.items()}
    return Units(
        chunks=chunks,
        fetched=[_fetched(root, stocks) for stocks, root in sorted(markets.items())],
        steps={step: (fixed, chunk, row) for step, (fixed, chunk, row) in laws.items()},
        merge_bytes_s=sum(chunk.bytes for chunk in built) / seconds["MergeChunks"][-1],
        ingested=[(n, scale_fetch.ingest_s_a_day(n, scratch)) for n in _INGESTED],
        requests=scale_fetch.requests(scratch),
        start_s=start_s,
        task_start_s=task_start_s,
        disk_bytes_s=disk_bytes_s(scratch),
    )


def _step_s(root: Path, stocks: int, step: str, chunks: int) -> float:
    """Seconds of the command that does one step over all chunks there are."""
    usage = common.measure(common.task(step), _offline(root))
    print(f"{stocks} stocks, {step} over {chunks}: {usage.wall_s:.1f} s", flush=True)
    return usage.wall_s


def _remove_products(root: Path) -> None:
    """Everything but the cache."""
    for path in root.iterdir():
        if path.is_symlink() or path.is_file():
            path.unlink()
        elif path.name != "cache":
            shutil.rmtree(path)


def disk_bytes_s(folder: Path) -> float:
    """Bytes a second that are written and forced to disk, then read back from it."""
    path = folder / "probe"
    block = np.random.default_rng(0).bytes(2**24)
    began = time.perf_counter()
    with path.open("wb", buffering=0) as file:
        for _ in range(_PROBE_BYTES // len(block)):
            file.write(block)
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)  # not from memory
    with path.open("rb", buffering=0) as file:
        while file.read(len(block)):
            pass
    took = time.perf_counter() - began
    path.unlink()
    return 2 * _PROBE_BYTES / took


_MONTHS = {"2024M04": "2024-04", "2024M05": "2024-05", "2024M06": "2024-06"}


def _build(
    source: Path, root: Path, stocks: int, names: Sequence[str], runs: int, start_s: float
) -> list[Chunk]:
    """Build the quarter, or months of it, from the copied cache; of each the quickest counts."""
    given = common.chunk_parameters(ChunkStore(source), CHUNK)
    quarter = ChunkStore(source).parquet_path(CHUNK)
    days = sorted(
        {str(day) for day in pq.read_table(quarter, columns=["Date"])["Date"].to_pylist()}
    )
    built = []
    for name in names:
        own = [day for day in days if day.startswith(_MONTHS.get(name, ""))]
        parameters = given | {"chunk": name, "first": own[0], "last": own[-1]}
        usages = []
        for _ in range(runs):
            shutil.rmtree(root / "chunks" / name, ignore_errors=True)
            usages.append(common.measure(common.task("BuildChunk", **parameters), _offline(root)))
        best = min(usages, key=lambda usage: usage.wall_s)
        status = ChunkStore(root).read_status(name)
        chunk = Chunk(
            stocks=stocks,
            sessions=len(own),
            rows=status["rows"],
            wall_s=best.wall_s - start_s,
            cpu_s=best.cpu_s,
            peak_bytes=max(usage.peak_bytes for usage in usages),
            bytes=status["parquet_bytes"],
        )
        print(
            f"{stocks} stocks, {name}: {chunk.sessions} sessions, {chunk.rows:,} rows, "
            f"{chunk.wall_s:.1f} s, {chunk.cpu_s:.1f} s of processor time, "
            f"{chunk.peak_bytes / common.GIB:.2f} GiB, {chunk.bytes / 1e6:,.0f} MB",
            flush=True,
        )
        built.append(chunk)
    return built


def _offline(root: Path) -> dict[str, str]:
    return common.offline(root) | {"SOURCE_CACHE_MODE": "read"}


def _fetched(root: Path, stocks: int) -> Fetched:
    """By the snapshots of the quarter's chunk."""
    keys = ChunkStore(root).read_status(CHUNK)["inputs"]
    snapshots = {
        key.partition("_raw_")[0]: json.loads(
            (root / "cache" / key.partition("_raw_")[0] / f"{key}.json").read_text()
        )
        for key in keys
    }
    parts = [part for snapshot in snapshots.values() for part in snapshot["parts"]]
    days = {day for part in snapshots["daily_bars"]["parts"] for day in part["dates"]}
    return Fetched(
        stocks=stocks,
        days=len(days),
        parts=len(parts),
        bytes=sum(part["bytes"] for part in parts),
    )


def _line(points: Sequence[tuple[int, float]], stocks: int) -> float:
    fixed, per_stock = fit([(1.0, n) for n, _ in points], [value for _, value in points])
    return fixed + per_stock * stocks


def _quickest(command: Sequence[str]) -> float:
    return min(common.measure(command, os.environ).wall_s for _ in range(3))


def prepare(folder: Path, stocks: Sequence[int]) -> dict[int, Path]:
    """Make small markets, which stand in for large ones."""
    roots = {size: folder / f"scaling-{size}" for size in stocks}
    for size, root in roots.items():
        common.simulated(root, stocks=size, start=START, end=END)
    return roots
