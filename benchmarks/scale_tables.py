"""From unit costs to the tables: what a build of many years takes, needs and costs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from scale_prediction import Prediction, Work
from scale_units import Units

from pipeline.api.catalogue.plans import PLAN_BUDGET, Plan, budgets
from pipeline.api.http.rate_limit import paced_s
from pipeline.features.engine.catalogue import warm_up_columns

GB = 1e9
SESSIONS_A_YEAR = 245
DATASETS_KEPT = 3

_UPLOAD_BYTES = 10 * 2**20  # one request of a large upload
_DOCUMENTS = 3  # of a chunk: metadata, status, the file itself
_PARTS = ("fetch", "compute", "last wave", "store", "scheduler", "merge", "labels")


@dataclass(frozen=True)
class Build:
    """What is to be built.

    Attributes:
        months: of one chunk.
        plan: whose rate limit holds.
    """

    stocks: int
    years: int
    months: int
    plan: Plan

    @property
    def chunks(self) -> int:
        return self.years * 12 // self.months

    @property
    def sessions(self) -> float:
        """Of one chunk."""
        return SESSIONS_A_YEAR * self.months / 12

    @property
    def days(self) -> float:
        """Sessions that are fetched: those of all chunks and the warm-up."""
        return SESSIONS_A_YEAR * self.years + warm_up_columns()

    @property
    def name(self) -> str:
        return {1: "monthly", 3: "quarterly"}.get(self.months, f"{self.months} months")


@dataclass(frozen=True)
class Calls:
    """The scheduler as it was measured.

    Attributes:
        of_chunk: calls of one chunk.
        call_s: one takes while nobody else calls.
        per_s: sustained with many clients.
        ping_s, pickup_s: as of ``Work``.
    """

    of_chunk: float
    call_s: float
    per_s: float
    ping_s: float
    pickup_s: float


@dataclass(frozen=True)
class Needs:
    """What hosts and store must have.

    Attributes:
        chunk_s: one chunk takes a host of two cores, without moving bytes.
        read_bytes: of snapshots, for one chunk.
        requests: to the store for the whole build, each part of a large upload counted.
    """

    build: Build
    rows: float
    chunk_s: float
    peak_bytes: float
    chunk_bytes: float
    read_bytes: float
    snapshot_bytes: float
    requests: float

    @property
    def dataset_bytes(self) -> float:
        return self.chunk_bytes * self.build.chunks

    @property
    def store_bytes(self) -> float:
        """Snapshots, chunks and the datasets that are kept."""
        return self.snapshot_bytes + self.dataset_bytes * (1 + DATASETS_KEPT)

    @property
    def host_bytes(self) -> float:
        """On the disk of a host whose output is elsewhere: what it reads and what it writes."""
        return self.read_bytes + self.chunk_bytes


def needs_of(units: Units, build: Build) -> Needs:
    """What a build needs, by the laws."""
    at = (build.stocks, build.sessions)
    chunk_bytes = units.law_of("bytes").at(*at)
    a_day = units.fetched_per_day("bytes", build.stocks)
    parts_a_day = units.fetched_per_day("parts", build.stocks)
    span = build.sessions + warm_up_columns()
    dataset_bytes = chunk_bytes * build.chunks
    snapshot_parts = parts_a_day * build.days
    requests = (
        # every part is written with its note; a chunk asks for footer and content of those it reads
        2 * snapshot_parts
        + build.chunks * (2 * parts_a_day * span + chunk_bytes / _UPLOAD_BYTES + _DOCUMENTS)
        # the merge reads and writes every byte
        + 2 * dataset_bytes / _UPLOAD_BYTES
    )
    return Needs(
        build=build,
        rows=units.law_of("rows").at(*at),
        chunk_s=units.law_of("wall_s").at(*at),
        peak_bytes=units.law_of("peak_bytes").at(*at),
        chunk_bytes=chunk_bytes,
        read_bytes=a_day * span,
        snapshot_bytes=a_day * build.days,
        requests=requests,
    )


def work_of(units: Units, build: Build, calls: Calls) -> Work:
    """The whole build in plain numbers."""
    needs = needs_of(units, build)
    cpu_s = units.law_of("cpu_s").at(build.stocks, build.sessions)
    # Two cores shared what one of them would have done alone.
    parallel_s = min(max(2 * (cpu_s - needs.chunk_s), 0.0), 2 * needs.chunk_s)
    rows = needs.rows * build.chunks

    def step_s(name: str) -> float:
        fixed, per_chunk, per_row = units.steps[name]
        return fixed + per_chunk * build.chunks + per_row * rows

    fixed, a_year = units.requests
    requests = round(fixed + a_year * build.years)
    return Work(
        chunks=build.chunks,
        serial_s=needs.chunk_s - parallel_s / 2,
        parallel_s=parallel_s,
        moved_bytes=needs.read_bytes + needs.chunk_bytes,
        peak_bytes=needs.peak_bytes,
        api_s=paced_s([(requests, (PLAN_BUDGET,))], budgets(build.plan)),
        fetch_s=units.ingest_s_a_day(build.stocks) * build.days,
        calls=calls.of_chunk,
        call_s=calls.call_s,
        calls_per_s=calls.per_s,
        ping_s=calls.ping_s,
        pickup_s=calls.pickup_s,
        merge_s=step_s("ValidateSchema") + step_s("MergeChunks"),
        dataset_bytes=needs.dataset_bytes,
        after_s=step_s("BuildLabels") + step_s("BuildReport"),
    )


def predicted(found: Iterable[tuple[Build, Prediction]]) -> Iterator[str]:
    """The table of predictions: hours and minutes, where they go, and the bottleneck."""
    rows = [["hosts", "chunks", "waves", "time", *_PARTS, "calls/s", "bottleneck"]]
    for build, one in found:
        numbers = [str(one.hosts), f"{build.chunks} {build.name}", str(one.waves)]
        spent = [_duration(seconds) for seconds in one.parts.values()]
        told = [_duration(one.seconds), *spent, f"{one.calls_per_s:.0f}", one.bottleneck]
        rows.append([*numbers, *told])
    return _aligned(rows)


def sizing(
    found: Sequence[Needs], price_gb_month: float, price_1000_requests: float
) -> Iterator[str]:
    """The table of what hosts and store must have, and what the store costs."""
    rows = [
        [
            *("chunks", "rows of one", "time", "memory", "size", "reads", "disk of a host"),
            *("in the store", "a month", "requests", "one build"),
        ]
    ]
    rows += [
        [
            f"{one.build.chunks} {one.build.name}",
            f"{one.rows:,.0f}",
            f"{one.chunk_s:.0f} s",
            f"{one.peak_bytes / 2**30:.1f} GiB",
            f"{one.chunk_bytes / GB:.2f} GB",
            f"{one.read_bytes / GB:.2f} GB",
            f"{one.host_bytes / GB:.1f} GB",
            f"{one.store_bytes / GB:,.0f} GB",
            f"${one.store_bytes / GB * price_gb_month:.2f}",
            f"{one.requests:,.0f}",
            f"${one.requests / 1000 * price_1000_requests:.2f}",
        ]
        for one in found
    ]
    return _aligned(rows)


def _duration(seconds: float) -> str:
    if seconds == float("inf"):
        return "for ever"
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02} min"


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(text.rjust(width) for text, width in zip(row, widths, strict=True))
