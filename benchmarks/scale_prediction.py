"""How long a build of many chunks takes on many hosts, and what holds it up. Pure arithmetic.

The steps follow one another, as the tasks do: the sources are fetched, the chunks built, then come
gate and merge, labels and report. Chunks go out in waves, as many at a time as there are hosts to
hold them; the last wave takes as long as a full one. Nothing overlaps: bytes move before and after
the computing, not meanwhile, so what is predicted is rather too long than too short.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

COMPUTE = "compute"
LAST_WAVE = "last wave of chunks"
STORE = "store bandwidth"
API = "API limit"
FETCH = "reading what is fetched"
SCHEDULER = "scheduler"
MERGE = "gate and merge"
AFTER = "labels and report"

_MUCH = 0.25
_THREADS = 2  # of one chunk build, here and by default


@dataclass(frozen=True)
class Work:
    """What a whole build takes.

    Attributes:
        serial_s, parallel_s: processor time of one chunk that one core has to do, and that cores
            can share.
        moved_bytes: read from the store and written to it for one chunk.
        peak_bytes: memory of one chunk build.
        api_s: the rate limit needs for all requests.
        fetch_s: one host needs to read and store what is fetched.
        calls: to the scheduler for one chunk.
        call_s: one of them takes.
        calls_per_s: the scheduler sustains.
        ping_s: every host calls once in.
        pickup_s: until a host that waits for work asks again.
        merge_s: gate and merge when the store is no limit.
        dataset_bytes: of the merged file.
        after_s: labels and report.
    """

    chunks: int
    serial_s: float
    parallel_s: float
    moved_bytes: float
    peak_bytes: float
    api_s: float
    fetch_s: float
    calls: float
    call_s: float
    calls_per_s: float
    ping_s: float
    pickup_s: float
    merge_s: float
    dataset_bytes: float
    after_s: float


@dataclass(frozen=True)
class Cluster:
    """Who builds.

    Attributes:
        cores, memory_bytes: of one host.
        store_bytes_s: the store gives and takes, all hosts together.
        host_bytes_s: one host at most.
    """

    hosts: int
    cores: int
    memory_bytes: float
    store_bytes_s: float
    host_bytes_s: float


@dataclass(frozen=True)
class Prediction:
    """How long it takes.

    Attributes:
        slots: chunks at a time on one host.
        waves: of chunks.
        parts: seconds by what they are spent on; they add up to the whole.
        calls_per_s: the scheduler has to answer while chunks are built.
    """

    hosts: int
    slots: int
    waves: int
    parts: Mapping[str, float]
    calls_per_s: float

    @property
    def seconds(self) -> float:
        """From nothing to the report."""
        return sum(self.parts.values())

    @property
    def bottleneck(self) -> str:
        """What takes the most time; of the building, the last wave if much of it is lost there."""
        built_s = self.parts[COMPUTE] + self.parts[LAST_WAVE]
        others = {part: s for part, s in self.parts.items() if part not in (COMPUTE, LAST_WAVE)}
        longest = max(others, key=lambda part: others[part])
        if others[longest] >= built_s:
            return longest
        return LAST_WAVE if self.parts[LAST_WAVE] > _MUCH * built_s else COMPUTE


def slots_of(cluster: Cluster, peak_bytes: float) -> int:
    """Chunks a host builds at a time: two cores each, and as many as memory holds.

    Raises:
        ValueError: it cannot hold a single one.
    """
    fit = int(cluster.memory_bytes // peak_bytes)
    if not fit:
        raise ValueError(
            f"a chunk build needs {peak_bytes / 2**30:.1f} GiB and a host has "
            f"{cluster.memory_bytes / 2**30:.1f}: shorter chunks, or larger hosts"
        )
    return max(1, min(cluster.cores // _THREADS, fit))


def predict(work: Work, cluster: Cluster) -> Prediction:
    """The time of a build on a cluster.

    Raises:
        ValueError: a host cannot hold a chunk.
    """
    slots = slots_of(cluster, work.peak_bytes)
    places = cluster.hosts * slots
    waves = math.ceil(work.chunks / places)
    busy = min(places, work.chunks)
    chunk_s = work.serial_s + work.parallel_s / min(_THREADS, cluster.cores)
    bytes_s = min(cluster.host_bytes_s / slots, cluster.store_bytes_s / busy)
    move_s = work.moved_bytes / bytes_s
    alone_bytes_s = min(cluster.host_bytes_s, cluster.store_bytes_s)
    limit = API if work.api_s >= work.fetch_s else FETCH
    built_s = waves * (chunk_s + move_s)
    parts = {
        limit: max(work.api_s, work.fetch_s),
        COMPUTE: work.chunks / places * chunk_s,
        LAST_WAVE: (waves - work.chunks / places) * chunk_s,
        STORE: waves * move_s,
        SCHEDULER: _scheduling_s(work, cluster.hosts, waves),
        # Every byte is read and written once.
        MERGE: max(work.merge_s, 2 * work.dataset_bytes / alone_bytes_s),
        AFTER: work.after_s,
    }
    needed = cluster.hosts / work.ping_s + work.chunks * work.calls / built_s
    return Prediction(cluster.hosts, slots, waves, parts, needed)


def _scheduling_s(work: Work, hosts: int, waves: int) -> float:
    """Each chunk waits for its own calls; all of them go through one thread, beside the pings."""
    spare = work.calls_per_s - hosts / work.ping_s
    if spare <= 0:
        return math.inf
    return work.pickup_s + max(waves * work.calls * work.call_s, work.chunks * work.calls / spare)


@dataclass(frozen=True)
class Law:
    """A cost of one chunk: ``fixed + per_stock * stocks + per_row * stocks * sessions``.

    The warm-up in front of a chunk is of the same length for all, so what it costs is per stock.
    """

    fixed: float
    per_stock: float
    per_row: float

    def at(self, stocks: float, sessions: float) -> float:
        """The cost of a chunk of so many stocks and sessions."""
        return self.fixed + self.per_stock * stocks + self.per_row * stocks * sessions


def law(points: Sequence[tuple[float, float, float]]) -> Law:
    """The law that fits measured chunks best, by relative error.

    Args:
        points: stocks, sessions, cost; two market sizes at least, or no law can be told.
    """
    terms = [(1.0, stocks, stocks * sessions) for stocks, sessions, _ in points]
    return Law(*fit(terms, [cost for *_, cost in points]))


def fit(terms: Sequence[Sequence[float]], values: Sequence[float]) -> list[float]:
    """Coefficients that are not negative, of least squared relative error.

    All sets of terms are tried: there are few. Of sets that fit alike the smallest counts.
    """
    matrix = np.asarray(terms, float) / np.asarray(values, float)[:, None]
    count = matrix.shape[1]
    best, least = [0.0] * count, math.inf
    for size in range(1, count + 1):
        for kept in combinations(range(count), size):
            columns = matrix[:, kept]
            found = np.linalg.lstsq(columns, np.ones(len(values)), rcond=None)[0]
            error = float(np.sum((columns @ found - 1.0) ** 2))
            if (found >= 0).all() and error < least * 0.999 - 1e-12:
                least = error
                best = [0.0] * count
                for place, value in zip(kept, found, strict=True):
                    best[place] = float(value)
    return best
