"""The gate's judgement of chunks: each against the manifest and its own records, all together.

1. The status: there, readable, ``completed``.
2. The footer of the file: columns against the manifest, no label among them; rows, dates and size
   against the status.
3. The metadata: those of the build the status commits. Their warnings are passed on.
4. On request, page by page: order and uniqueness of the keys, dates on the trading calendar, and
   the checksum of the file.
5. On request: every session of the calendar, and on each the stocks of the listing records the
   chunk was built from (``coverage``).
6. The chunks against each other: one origin, one schema, no two that hold the same dates, no
   session between two of them.

Steps 1 to 3 read footers and small files only, so eighty chunks take seconds; steps 4 and 5 hold
the two key columns of a chunk in memory, a few megabytes.
"""

from __future__ import annotations

import datetime as dt
import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.checks.coverage import Coverage, sessions_between
from pipeline.dataset.chunk_status import covered_range
from pipeline.dataset.chunk_store import ChunkStore
from pipeline.dataset.parquet.layout import (
    CODE,
    DATE,
    KeyOrder,
    file_sha256,
    parquet_file,
    read_metadata,
)
from pipeline.errors import PipelineError, StorageError
from pipeline.filesystem.location import LOOK_AT_ONCE, is_remote
from pipeline.manifest import (
    KEYS,
    Column,
    Manifest,
    Violations,
    check,
    columns_of,
    labels_among,
    schema_hash,
)
from pipeline.market.calendar.sessions import TradingCalendar
from pipeline.market.panel.row_rules import some

_CODE = re.compile(r"[0-9A-Z]{5}")  # as market.codes.checked_code

#: What a receipt of ``coverage`` calls the things that could not be compared.
_SUBJECTS = {
    "sessions": "sessions",
    "rows": "stocks",
    "listing": "stocks by the listing records of the build",
}

OTHER_BYTES = "the Parquet file is not the one recorded: its sha256 differs"


@dataclass(frozen=True)
class Checks:
    """What is looked at beside footers and small files.

    Attributes:
        keys: read the key columns.
        calendar: trading days the dates must be among; None when they are not known.
        sha256: read the files whole.
        coverage: holds sessions and stocks against calendar and listing; None to leave them.
        years: of the sessions between two chunks, only those of these years count; None: all.
    """

    keys: bool = False
    calendar: TradingCalendar | None = None
    sha256: bool = False
    coverage: Coverage | None = None
    years: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Verdict:
    """What the gate found in one chunk.

    Attributes:
        chunk_id: the chunk.
        state: by its status; None without a usable one.
        origin: likewise.
        rows: rows of its file; None when it cannot be read.
        first, last: its dates by the footer; None when they are not known.
        schema_hash: of the columns found; None when the file cannot be read.
        violations: columns against the manifest.
        covered: first and last day it says it covers; None without a usable status.
        issues: what is wrong with the chunk itself, one readable line each, violations and holes
            aside.
        holes: sessions and stocks it lacks, or has too many.
        gaps: sessions between it and the chunk before, which are in neither.
        conflicts: what is wrong between it and other chunks; rebuilding it alone mends nothing.
        warnings: what was found in its content.
        coverage: what its sessions and stocks were held against; None when they were not.
    """

    chunk_id: str
    state: str | None = None
    origin: str | None = None
    rows: int | None = None
    first: dt.date | None = None
    last: dt.date | None = None
    schema_hash: str | None = None
    violations: Violations = field(default_factory=Violations)
    issues: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    covered: tuple[dt.date, dt.date] | None = None
    holes: tuple[str, ...] = ()
    gaps: tuple[str, ...] = ()
    coverage: Mapping[str, Any] | None = None

    @property
    def passed(self) -> bool:
        return not self.lines()

    @property
    def sound(self) -> bool:
        """True when nothing is wrong with the chunk itself; others may not fit it."""
        return not (self.violations or self.issues or self.holes)

    def lines(self) -> tuple[str, ...]:
        """Everything that fails the gate, one line each."""
        return (*self.violations.lines(), *self.issues, *self.holes, *self.conflicts, *self.gaps)

    def to_json(self) -> dict[str, Any]:
        """As an entry of the validation report."""
        return {
            "chunk_id": self.chunk_id,
            "passed": self.passed,
            "rows": self.rows,
            "schema_hash": self.schema_hash,
            "violations": self.violations.to_json(),
            "issues": list(self.lines()),
            "warnings": list(self.warnings),
            **({"coverage": dict(self.coverage)} if self.coverage is not None else {}),
        }


def judge_all(
    store: ChunkStore,
    chunk_ids: Sequence[str],
    manifest: Manifest | None,
    checks: Checks,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> list[Verdict]:
    """Judge chunks, each by itself and all together.

    Args:
        manifest: the agreed columns; None to leave the columns alone.
        progress: called with chunks done and chunks to judge.

    Raises:
        StorageError: a file that is there cannot be reached.
    """
    gate = Gate(store, manifest, checks)
    with ThreadPoolExecutor(LOOK_AT_ONCE if is_remote(store.folder) else os.cpu_count()) as pool:
        verdicts = []
        progress(0, len(chunk_ids))
        for verdict in pool.map(gate.judge, chunk_ids):
            verdicts.append(verdict)
            progress(len(verdicts), len(chunk_ids))
        return _without_gaps(compared(verdicts), checks)


class Gate:
    """Judges chunks, from any number of threads.

    Thousands of columns take a while to compare, so what was found of the last schema is kept:
    normally the next file has the very same.
    """

    def __init__(self, store: ChunkStore, manifest: Manifest | None, checks: Checks) -> None:
        self._store = store
        self._manifest = manifest
        self._checks = checks
        self._known: tuple[pq.FileMetaData, str, Violations, tuple[str, ...]] | None = None
        self._comparing = Lock()

    def judge(self, chunk_id: str) -> Verdict:
        """Everything that can be said of one chunk.

        Raises:
            StorageError: its folder cannot be reached.
        """
        verdict = Verdict(chunk_id)
        status: Mapping[str, Any] | None = None
        try:
            status = self._store.read_status(chunk_id)
        except PipelineError as error:
            verdict = replace(verdict, issues=(str(error),))
        else:
            issues = tuple(_state_issues(status))
            verdict = replace(
                verdict,
                state=status["state"],
                origin=status["origin"],
                covered=covered_range(status),
                issues=issues,
            )
        if status is None or self._store.parquet_bytes(chunk_id) is None:
            missing = () if verdict.issues else ("the Parquet file is missing",)
            return replace(verdict, issues=(*verdict.issues, *missing))
        return self._with_file(verdict, status)

    def _with_file(self, verdict: Verdict, status: Mapping[str, Any]) -> Verdict:
        path = self._store.parquet_file(verdict.chunk_id)
        try:
            footer = read_metadata(path)
            found, violations, labels = self._shape(footer)
        except (OSError, pa.ArrowException) as error:
            return replace(verdict, issues=(*verdict.issues, _unreadable(error)))
        first, last = _date_range(footer)
        verdict = replace(
            verdict,
            rows=footer.num_rows,
            first=first,
            last=last,
            schema_hash=found,
            violations=violations,
            issues=(*verdict.issues, *labels),
        )
        if verdict.state != "completed":
            return verdict
        issues = list(_against_status(verdict, status, path.stat().st_size))
        keys, disorder = self._keys(path, verdict)
        issues += disorder
        if self._checks.sha256 and file_sha256(path) != status["parquet_sha256"]:
            issues.append(OTHER_BYTES)
        metadata, problems = self._metadata(verdict.chunk_id, status)
        warnings = tuple(metadata["warnings"]) if metadata is not None else ()
        verdict = replace(verdict, issues=(*verdict.issues, *issues, *problems), warnings=warnings)
        if keys is None or self._checks.coverage is None:
            return verdict
        answer = self._checks.coverage.answer(status, metadata, keys)
        return replace(
            verdict,
            holes=answer.holes,
            warnings=(*warnings, *answer.warnings),
            coverage=answer.receipt,
        )

    def _shape(self, footer: pq.FileMetaData) -> tuple[str, Violations, tuple[str, ...]]:
        """Hash of the columns, how they differ from the manifest, and the labels among them."""
        with self._comparing:
            known = self._known
            if known is None or not _same_columns(footer, known[0]):
                columns: tuple[Column, ...] = columns_of(_schema_of(footer).to_arrow_schema())
                violations = check(columns, self._manifest) if self._manifest else Violations()
                labels = tuple(_label_issues(columns))
                known = self._known = footer, schema_hash(columns), violations, labels
            return known[1:]

    def _keys(self, path: Path, verdict: Verdict) -> tuple[pa.Table | None, list[str]]:
        """The key columns, and what is wrong with them, as far as they are asked for."""
        seen, checks = verdict.violations, self._checks
        wrong = {column.name for column in seen.missing} | {column.name for column in seen.retyped}
        if not (checks.keys or checks.coverage) or wrong & set(KEYS):
            return None, []
        try:
            groups = list(_keys(path))
        except (OSError, pa.ArrowException) as error:
            return None, [_unreadable(error)]
        issues = list(_key_issues(groups, checks.calendar)) if checks.keys else []
        schema = pa.schema([(DATE, pa.date32()), (CODE, pa.string())])
        if checks.coverage is None or any(group.schema.types != schema.types for group in groups):
            return None, issues
        plain = [group.replace_schema_metadata().cast(schema) for group in groups]
        return pa.concat_tables([schema.empty_table(), *plain]), issues

    def _metadata(
        self, chunk_id: str, status: Mapping[str, Any]
    ) -> tuple[Mapping[str, Any] | None, list[str]]:
        """The metadata of the build, or what is wrong with them."""
        try:
            metadata = self._store.metadata(chunk_id)
        except PipelineError as error:
            return None, [str(error)]
        if metadata["build_id"] != status["build_id"]:
            return None, ["metadata.json does not belong to the build that status.json commits"]
        return metadata, []


def unchecked(verdicts: Sequence[Verdict]) -> Iterator[str]:
    """What could not be compared with calendar and listing, and why, one line each."""
    chunks: dict[tuple[str, str], list[str]] = defaultdict(list)
    for verdict in verdicts:
        if verdict.coverage is not None:
            for what, why in verdict.coverage["unchecked"].items():
                chunks[_SUBJECTS[what], why].append(verdict.chunk_id)
    for (what, why), names in chunks.items():
        yield f"not checked: {what} of {some(names)}: {why}"


def compared(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """The verdicts with what is wrong between the chunks: origins, schemas, overlapping dates.

    Where most agree, those that do not are named.
    """
    conflicts: dict[str, list[str]] = {verdict.chunk_id: [] for verdict in verdicts}
    agreeing = [verdict for verdict in verdicts if not verdict.violations]
    for what, found in (
        ("origin", {v.chunk_id: v.origin for v in verdicts}),
        ("schema hash", {v.chunk_id: v.schema_hash for v in agreeing}),
    ):
        for chunk_id, line in _odd_ones(what, found):
            conflicts[chunk_id].append(line)
    for before, after in _overlaps(verdicts):
        conflicts[after.chunk_id].append(
            f"begins {after.first}, but chunk {before.chunk_id} ends {before.last}: they hold "
            "the same dates; move one of the two away"
        )
    return [replace(v, conflicts=tuple(conflicts[v.chunk_id])) for v in verdicts]


def _odd_ones(what: str, found: Mapping[str, str | None]) -> Iterator[tuple[str, str]]:
    """Chunks that differ from most others, as what is said about them."""
    counts = Counter(value for value in found.values() if value is not None)
    for usual, count in counts.most_common(1):
        for chunk_id, value in found.items():
            if value not in (None, usual):
                yield chunk_id, f"has {what} {value}, {count} of the others {usual}"


def _overlaps(verdicts: Sequence[Verdict]) -> Iterator[tuple[Verdict, Verdict]]:
    """Pairs of an earlier and a later chunk that share dates."""
    dated = [(v.first, v.last, v) for v in verdicts if v.first is not None and v.last is not None]
    furthest: tuple[dt.date, Verdict] | None = None
    for first, last, verdict in sorted(dated, key=lambda entry: entry[:2]):
        if furthest is not None and first <= furthest[0]:
            yield furthest[1], verdict
        if furthest is None or last > furthest[0]:
            furthest = last, verdict


def _without_gaps(verdicts: Sequence[Verdict], checks: Checks) -> list[Verdict]:
    """The verdicts with the sessions that lie between two chunks and in neither."""
    calendar = checks.coverage.calendar if checks.coverage is not None else None
    if calendar is None:
        return list(verdicts)
    found: dict[str, str] = {}
    ranges = sorted((v.covered, v.chunk_id) for v in verdicts if v.covered is not None)
    furthest: tuple[dt.date, str] | None = None
    for (first, last), chunk_id in ranges:
        if furthest is not None and (
            lost := sessions_between(furthest[0], first, calendar, checks.years)
        ):
            found[chunk_id] = (
                f"begins {first}, but chunk {furthest[1]} ends {furthest[0]}: {len(lost)} sessions "
                f"between them are in neither, {some(lost)}; build them with --start {lost[0]} "
                f"--end {lost[-1]}"
            )
        if furthest is None or last > furthest[0]:
            furthest = last, chunk_id
    return [replace(v, gaps=(found[v.chunk_id],)) if v.chunk_id in found else v for v in verdicts]


def _state_issues(status: Mapping[str, Any]) -> list[str]:
    """Why the chunk does not count as built, if it does not."""
    if status["state"] == "completed":
        return []
    if status["state"] == "building":
        return [f"unfinished build since {status['started_at']} (pid {status['pid']})"]
    return [f"{status['state']}: {status['error']['message']}"]


def _label_issues(columns: Sequence[Column]) -> Iterator[str]:
    """Labels know the future of their row: refused whatever a manifest says."""
    if names := labels_among(columns):
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        shown = ", ".join(map(repr, names[:5]))
        yield f"holds labels, which are never inputs: {shown}{more}"


def _against_status(verdict: Verdict, status: Mapping[str, Any], size: int) -> Iterator[str]:
    """The file must be the one the status speaks of."""
    if size != status["parquet_bytes"]:
        yield f"the Parquet file has {size} bytes, recorded {status['parquet_bytes']}"
    if verdict.schema_hash != status["schema_hash"] and not verdict.violations:
        yield f"schema hash {verdict.schema_hash} in the file, {status['schema_hash']} recorded"
    if verdict.rows != status["rows"]:
        yield f"{verdict.rows} rows in the file, {status['rows']} recorded"
    first, last = verdict.first, verdict.last
    recorded = (status["output_start"], status["output_end"])
    if status["rows"] and (str(first), str(last)) != recorded:
        yield f"dates {first} to {last} in the file, {recorded[0]} to {recorded[1]} recorded"
    covered = (status["covered_from"], status["covered_to"])
    if first is not None and not covered[0] <= str(first) <= str(last) <= covered[1]:
        yield f"dates {first} to {last}, outside the declared {covered[0]} to {covered[1]}"


def _same_columns(one: pq.FileMetaData, other: pq.FileMetaData) -> bool:
    """Whether two footers make one Arrow schema; making it takes longer than comparing them."""
    return bool(_schema_of(one).equals(_schema_of(other)) and one.metadata == other.metadata)


def _schema_of(footer: pq.FileMetaData) -> Any:
    """The schema of a footer, which does not hold on to it.

    ``footer.schema`` makes a circle of the two, and 15 MB of a footer wait for the collector.
    """
    return pq.ParquetSchema(footer)


def _date_range(footer: pq.FileMetaData) -> tuple[dt.date | None, dt.date | None]:
    """First and last Date by the row-group statistics; None where there are none."""
    schema = _schema_of(footer)
    places = range(footer.num_columns)
    place = next((at for at in places if schema.column(at).path == DATE), None)
    if place is None:
        return None, None
    groups = [footer.row_group(i).column(place) for i in range(footer.num_row_groups)]
    ranges: list[tuple[Any, Any]] = [
        (group.statistics.min, group.statistics.max)
        for group in groups
        if group.statistics is not None and group.statistics.has_min_max
    ]
    if not ranges or not all(isinstance(end, dt.date) for end in ranges[0]):
        return None, None
    return min(low for low, _ in ranges), max(high for _, high in ranges)


def _key_issues(groups: Sequence[pa.Table], calendar: TradingCalendar | None) -> Iterator[str]:
    """Order of the rows, form of the codes and dates on the calendar."""
    order = KeyOrder("its rows")
    codes: set[str] = set()
    days: set[dt.date] = set()
    try:
        for rows in groups:
            order.follow(rows)
            codes.update(pc.unique(rows[CODE]).to_pylist())
            days.update(pc.unique(rows[DATE]).to_pylist())
    except StorageError as error:
        yield str(error)
    if strange := sorted(code for code in codes if not _CODE.fullmatch(code)):
        yield f"{len(strange)} codes are no security codes, first {strange[0]!r}"
    open_days = set(calendar.sessions.tolist()) if calendar is not None else days
    if closed := sorted(days - open_days):
        yield f"{len(closed)} dates are no trading days, first {closed[0]}"


def _keys(path: Path) -> Iterator[pa.Table]:
    """The key columns of the row groups, one in memory at a time."""
    with parquet_file(path) as file:
        for group in range(file.num_row_groups):
            rows = file.read_row_group(group, columns=list(KEYS))
            if rows.num_rows:
                yield rows


def _unreadable(error: Exception) -> str:
    return f"the Parquet file cannot be read: {' '.join(str(error).split())}"
