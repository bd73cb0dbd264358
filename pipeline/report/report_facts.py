"""Everything a report tells, as plain values: the page is made of this and of nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.report.chunk_profile import VERSION, Profile, from_json, to_json


@dataclass(frozen=True)
class ChunkFacts:
    """One chunk of the report.

    Attributes:
        included: it is of the dataset the report is about; the others are there besides.
        state: as in its status, or ``unreadable``.
        reason: why it is not complete; None when it is.
        warnings: what was found in its values while it was built.
        unavailable: sources it was built without.
        profile: None where its file cannot be read.
    """

    chunk_id: str
    included: bool
    build_id: str | None
    state: str
    reason: str | None
    rows: int | None
    first: str | None
    last: str | None
    built: str | None
    schema_hash: str | None
    schema_version: str | None
    bytes: int | None
    warnings: tuple[str, ...]
    unavailable: tuple[str, ...]
    profile: Profile | None


@dataclass(frozen=True)
class DatasetFacts:
    """The published dataset.

    Attributes:
        null_rates: by column.
    """

    name: str
    rows: int
    columns: int
    first: str
    last: str
    merged_at: str
    bytes: int
    label_rows: int | None
    label_columns: int | None
    null_rates: Mapping[str, float]


@dataclass(frozen=True)
class SourceFacts:
    """What the newest chunk was built from.

    Attributes:
        present: False for a source it was built without.
        age_days: since the server was last asked, at the moment of the report.
        the others: None without a snapshot.
    """

    source: str
    present: bool
    first: str | None = None
    last: str | None = None
    rows: int | None = None
    route: str | None = None
    fetched_at: str | None = None
    checked_at: str | None = None
    age_days: float | None = None


@dataclass(frozen=True)
class RunFacts:
    """One run that has ended."""

    run_id: str
    task: str
    profile: str | None
    started_at: str
    seconds: float | None
    outcome: str
    error: str | None
    chunks: int | None
    requests: int | None
    peak_bytes: int | None


@dataclass(frozen=True)
class CorrectionFacts:
    """Days of a source that the vendor gave again with another content, seen on one day.

    Attributes:
        seen: the day, ISO.
        days: their number; ``first`` and ``last`` of them.
        rows_before, rows: of these days together.
    """

    source: str
    seen: str
    days: int
    first: str
    last: str
    rows_before: int
    rows: int


@dataclass(frozen=True)
class QuarantineFacts:
    """Values of a source that could not be read, or rows that came twice.

    Attributes:
        kind: ``value`` or ``repeated row``.
        field, spelling: of values; empty for rows.
        first, last: days of the rows, ISO.
        record: the first of them.
    """

    source: str
    kind: str
    field: str
    spelling: str
    count: int
    first: str
    last: str
    record: str


@dataclass(frozen=True)
class Surface:
    """Implied volatility of the index options on one day, aggregated.

    Attributes:
        days: to each expiry, ascending.
        moneyness: middle of each band of strike / index.
        iv: [expiry][band] median of the out-of-the-money quotes, fraction; None without one.
        quotes: number of quotes behind it.
    """

    session: str
    days: tuple[int, ...]
    moneyness: tuple[float, ...]
    iv: tuple[tuple[float | None, ...], ...]
    quotes: int


@dataclass(frozen=True)
class Facts:
    """All of one report.

    Attributes:
        generated_at: ISO, UTC.
        origin: api, files or simulator.
        schema_version, schema_hash: of the dataset.
        code_version: of the code that made the report.
        chunks: in order of time.
        gate, merge: why these steps are due; None when they are not.
        runs: newest first.
        corrections: newest first.
        corrected: days of sources, in all, that were given again with another content.
        quarantine: of the sources of the newest chunk.
        lacking: chunks whose rows lack corrections of closed months, and of how many days.
    """

    generated_at: str
    run_id: str
    origin: str
    schema_version: str
    schema_hash: str
    code_version: str
    dataset: DatasetFacts
    chunks: tuple[ChunkFacts, ...]
    gate: str | None
    merge: str | None
    sources: tuple[SourceFacts, ...]
    runs: tuple[RunFacts, ...]
    corrections: tuple[CorrectionFacts, ...]
    corrected: int
    surface: Surface | None
    quarantine: tuple[QuarantineFacts, ...] = ()
    lacking: Mapping[str, int] = field(default_factory=dict)

    @property
    def profiles(self) -> list[Profile]:
        """Of the chunks that have one."""
        return [chunk.profile for chunk in self.chunks if chunk.profile is not None]


@dataclass(frozen=True)
class KeptChunk:
    """What a report measured of one build of a chunk.

    Attributes:
        profile: None when it was measured otherwise than today.
    """

    build_id: str
    warnings: tuple[str, ...]
    unavailable: tuple[str, ...]
    profile: Profile | None


@dataclass(frozen=True)
class Earlier:
    """What is kept of a report for the next one.

    Attributes:
        corrections: days given again that it told of.
    """

    generated_at: str
    rows: int
    schema_hash: str
    chunks: Mapping[str, KeptChunk]
    corrections: int

    @property
    def profiles(self) -> list[Profile]:
        """Of the chunks that have one."""
        return [chunk.profile for chunk in self.chunks.values() if chunk.profile is not None]


def kept(facts: Facts) -> dict[str, Any]:
    """The document beside a report, for the next one."""
    return {
        "generated_at": facts.generated_at,
        "run_id": facts.run_id,
        "origin": facts.origin,
        "dataset": facts.dataset.name,
        "rows": facts.dataset.rows,
        "schema_hash": facts.schema_hash,
        "profile_version": VERSION,
        "corrections": facts.corrected,
        "inputs": {one.chunk_id: one.build_id for one in facts.chunks if one.included},
        "chunks": {
            chunk.chunk_id: {
                "build_id": chunk.build_id,
                "warnings": list(chunk.warnings),
                "unavailable": list(chunk.unavailable),
                "profile": to_json(chunk.profile),
            }
            for chunk in facts.chunks
            if chunk.included and chunk.build_id is not None and chunk.profile is not None
        },
    }


def earlier_of(document: Mapping[str, Any]) -> Earlier:
    """What a valid document of an earlier report says."""
    chunks: Mapping[str, Any] = document["chunks"]
    same = document["profile_version"] == VERSION
    return Earlier(
        generated_at=document["generated_at"],
        rows=document["rows"],
        schema_hash=document["schema_hash"],
        chunks={
            chunk: KeptChunk(
                one["build_id"],
                tuple(one["warnings"]),
                tuple(one["unavailable"]),
                from_json(one["profile"]) if same else None,
            )
            for chunk, one in chunks.items()
        },
        corrections=document["corrections"],
    )


def sessions_short(chunks: Sequence[ChunkFacts]) -> list[tuple[str, int, int]]:
    """Sessions whose rows are not those of the listing records: date, rows, members."""
    return [
        (day, one.total, one.expected)
        for chunk in chunks
        if chunk.profile is not None
        for day, one in chunk.profile.sessions.items()
        if one.expected is not None and one.total != one.expected
    ]
