"""``g5 check-dataset``: everything that can be said about a merged dataset by looking at it.

1. Its file against its metadata and the manifest: columns, roles, rows, hash.
2. Its keys: unique, in order, on the calendar, none after the last published session, no session
   left out, as many rows a day as shares were listed.
3. Its columns chunk by chunk: null rates and distributions against the chunk before.

1 and 2 are findings: the dataset is not what it says it is. 3 are warnings: markets do change.
What cannot be checked, such as without a calendar in the cache, is said and is no finding.
A file that cannot be read to its end is a finding too, and ends the check.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import configuration
from pipeline.cache.parts import select
from pipeline.cache.snapshots import SnapshotStore
from pipeline.checks.dataset_reader import DatasetFile, Extent, Keys
from pipeline.configuration import Settings
from pipeline.dataset.merge_inputs import Source, dataset_hash
from pipeline.dataset.parquet.thrift import ThriftError
from pipeline.dataset.publication import DatasetStore
from pipeline.errors import DamagedFile, PipelineError, StorageError, UsageError
from pipeline.features.engine import catalogue
from pipeline.filesystem import documents
from pipeline.filesystem.atomic import os_errors
from pipeline.filesystem.location import read_bytes
from pipeline.manifest import KEYS, Column, check, labels_among, schema_hash
from pipeline.market import drift
from pipeline.market.calendar.sessions import TradingCalendar
from pipeline.market.drift import ChunkProfile
from pipeline.market.panel import row_rules
from pipeline.market.panel.row_rules import Finding
from pipeline.market.panel.universe import members_by_session
from pipeline.operations.inspection.dataset_target import GIVE, MERGE, Target, require_file
from pipeline.operations.planning import label_staleness, run_plan

_LISTED, _MASTER_COLUMNS = "listed", ("Date", "Code", "Mkt", "S33")
_NONSENSE = (UnicodeDecodeError, OverflowError, IndexError)
_RATE = 1e-6  # by which a null rate may differ from the one in the metadata


@dataclass
class Report:
    """What was found.

    Attributes:
        path: the dataset.
        findings: what is wrong.
        warnings: what has changed between chunks.
        unchecked: what could not be looked at, and why, by check.
        chunks: of the dataset, with rows, days and columns looked at.
        cut_short: why the file could not be read to its end, which is among the findings too.
    """

    path: Path
    rows: int = 0
    columns: int = 0
    compared: int = 0
    first: str | None = None
    last: str | None = None
    dataset_hash: str | None = None
    findings: list[Finding] = field(default_factory=list)
    warnings: list[Finding] = field(default_factory=list)
    unchecked: dict[str, str] = field(default_factory=dict)
    chunks: list[dict[str, Any]] = field(default_factory=list)
    cut_short: StorageError | None = None

    def to_json(self, now: str) -> dict[str, Any]:
        """The document ``validation/dataset_quality.json``."""
        return {
            "generated_at": now,
            "dataset": str(self.path),
            "dataset_hash": self.dataset_hash,
            "rows": self.rows,
            "columns": self.columns,
            "columns_compared": self.compared,
            "output_start": self.first,
            "output_end": self.last,
            "passed": not self.findings,
            "findings": [asdict(finding) for finding in self.findings],
            "warnings": [asdict(warning) for warning in self.warnings],
            "unchecked": self.unchecked,
            "thresholds": {"null_rate": drift.NULL_RATE, "stability": drift.STABILITY},
            "chunks": self.chunks,
        }


def examine(settings: Settings, target: Target, wanted: Sequence[str]) -> Report:
    """Look at a dataset.

    Args:
        wanted: columns whose content is compared: names, patterns such as ``ret_*`` or families;
            nothing: all.

    Returns:
        What was found; of a file that cannot be read, until then (``cut_short``).

    Raises:
        MissingData: there is no dataset.
        UsageError: a name that no column has, or no file is there to be read.
        StorageError: something else than the dataset cannot be read.
    """
    report = Report(target.path)
    try:
        with _reading(target, report):
            require_file(target)
        _look(settings, target, wanted, report)
    except StorageError:
        if report.cut_short is None:
            raise
    return report


def _look(settings: Settings, target: Target, wanted: Sequence[str], report: Report) -> None:
    metadata = _metadata(settings, target, report)
    extents = [Extent(c["chunk_id"], c["rows"]) for c in metadata["chunks"]] if metadata else []
    with _reading(target, report):
        file = DatasetFile(target.path, extents)
    with file:
        with _reading(target, report):
            columns = file.columns
        names = _chosen(columns, wanted)
        report.rows, report.columns, report.compared = file.rows, len(columns), len(names)
        report.findings += _shape(columns)
        keys = Keys()
        if set(KEYS) <= {column.name for column in columns}:
            with _reading(target, report):
                keys = file.keys()
            report.findings += keys.findings
            _days(settings, metadata, keys, report)
            with _reading(target, report):
                _contents(file, names, keys, metadata, report)
        if metadata:
            report.findings += _against_metadata(target, file, keys, metadata)


@contextmanager
def _reading(target: Target, report: Report) -> Iterator[None]:
    """Take down that the dataset cannot be read: the last report would go on saying it is sound.

    Raises:
        StorageError: as it came; of a file that no merge replaces, with another hint. Also in place
            of what damaged bytes lead to: texts, dates and numbers of values that are none.
    """
    try:
        try:
            yield
        except _NONSENSE as error:
            raise DamagedFile(
                f"Parquet file {target.path}: cannot be read: {error}", f"{MERGE} --anew"
            ) from error
    except StorageError as error:
        told = error if target.published else StorageError(error.message, GIVE)
        report.findings.append(Finding("file", target.path.name, told.message))
        report.cut_short = told
        raise told from error


def _metadata(settings: Settings, target: Target, report: Report) -> Mapping[str, Any] | None:
    """What is said beside the file; None, with a finding, when nothing usable is."""
    path = target.path
    try:
        metadata = documents.read_document(target.metadata, "dataset_metadata")
    except PipelineError as error:
        told = str(error) if target.published else error.message
        report.findings.append(Finding("metadata", path.name, told))
        return None
    report.dataset_hash = metadata["dataset_hash"]
    report.findings += _published_metadata(settings, target)
    return metadata


def _published_metadata(settings: Settings, target: Target) -> Iterator[Finding]:
    """The metadata under the latest name against those beside the file that it points at."""
    latest = DatasetStore(settings.data_output_dir).latest_metadata_path
    if not target.published or latest == target.metadata:
        return
    with os_errors(latest, "cannot be read"):
        beside = read_bytes(target.metadata)
        try:
            shown = read_bytes(latest)
        except FileNotFoundError:
            yield Finding("metadata", latest.name, f"does not exist ({MERGE})")
            return
    if shown != beside:
        yield Finding(
            "metadata", latest.name, f"other than {target.metadata.name} beside the file ({MERGE})"
        )


def _chosen(columns: Sequence[Column], wanted: Sequence[str]) -> list[str]:
    """The columns to be compared; keys are looked at by other means.

    Raises:
        UsageError: a word that stands for none.
    """
    names = [column.name for column in columns if column.name not in KEYS]
    if not wanted:
        return names
    families = catalogue.columns_by_family()
    chosen: set[str] = set()
    for word in wanted:
        family = set(families.get(word, ()))
        found = {name for name in names if name in family or fnmatchcase(name, word)}
        if not found:
            raise UsageError(f"--columns {word}: no column or family of the dataset")
        chosen |= found
    return [name for name in names if name in chosen]


def _shape(columns: Sequence[Column]) -> Iterator[Finding]:
    """Columns and roles against the manifest, and no label among them."""
    violations = check(columns, run_plan.load_manifest())
    lines = violations.lines()
    if lines:
        yield Finding("schema", "columns", f"{len(lines)} violations: {row_rules.some(lines)}")
    if labels := labels_among(columns):
        yield Finding("schema", labels[0], f"labels among the features: {row_rules.some(labels)}")


def _days(
    settings: Settings, metadata: Mapping[str, Any] | None, keys: Keys, report: Report
) -> None:
    """The days of the rows against calendar, publication and listing records."""
    if not keys.days:
        return
    report.first, report.last = str(min(keys.days)), str(max(keys.days))
    root = settings.data_output_dir
    origin = str(metadata["origin"]) if metadata else settings.origin
    calendar = label_staleness.cached_calendar(root, origin)
    if calendar is None:
        nothing = "no trading calendar in the cache"
        report.unchecked |= dict.fromkeys(("calendar", "gaps"), nothing)
        report.findings += row_rules.in_the_future(keys.days, configuration.now().date())
    else:
        first, last = calendar.sessions[[0, -1]].astype("datetime64[D]").tolist()
        known = {day: rows for day, rows in keys.days.items() if first <= day <= last}
        if len(known) < len(keys.days):
            short = f"the trading calendar in the cache is of {first} to {last} only"
            report.unchecked |= dict.fromkeys(("calendar", "gaps"), short)
        report.findings += row_rules.off_calendar(known, calendar)
        report.findings += row_rules.in_the_future(keys.days, _published(settings, calendar))
        report.findings += row_rules.gaps(known, calendar, keys.spans)
    report.findings += _master(SnapshotStore(root, origin), settings, keys, report)


def _published(settings: Settings, calendar: TradingCalendar) -> dt.date:
    """The last session that can be known; with an old calendar simply today."""
    today = configuration.now().date()
    if np.datetime64(today) >= calendar.sessions[-1]:
        return today
    try:
        return run_plan.last_published(settings, calendar)
    except UsageError:
        return today


def _master(
    store: SnapshotStore, settings: Settings, keys: Keys, report: Report
) -> Iterator[Finding]:
    """Rows of each day against the shares listed on it, a part of the cache at a time."""
    asof = str(settings.source_cache_asof) if settings.source_cache_asof else None
    days = sorted(keys.days)
    selections, missing = select(store.parts(_LISTED), [str(day) for day in days], asof)
    if missing:
        report.unchecked["master"] = (
            f"no listing records of {len(missing)} of {len(days)} days in the cache"
        )
    members: dict[dt.date, int] = {}
    for selection in selections:
        table = store.read_part(_LISTED, selection.part.file, _MASTER_COLUMNS)
        sessions = np.array([day.date for day in selection.days], "datetime64[D]")
        members |= members_by_session(_cast(table), sessions)
    yield from row_rules.against_master(keys.days, members)


def _cast(listed: pa.Table) -> pa.Table:
    at = listed.schema.get_field_index("Date")
    return listed.set_column(at, "Date", pc.cast(listed["Date"], pa.date32()))


def _contents(
    file: DatasetFile,
    names: Sequence[str],
    keys: Keys,
    metadata: Mapping[str, Any] | None,
    report: Report,
) -> None:
    """Each chunk against the one before, and null rates against the metadata."""
    nulls = dict.fromkeys(names, 0.0)
    sessions = {
        span.chunk_id: sum(span.first <= day <= span.last for day in keys.days)
        for span in keys.spans
    }
    spans = {span.chunk_id: span for span in keys.spans}
    rows = {
        chunk_id: sum(keys.days[day] for day in keys.days if span.first <= day <= span.last)
        for chunk_id, span in spans.items()
    }
    before: ChunkProfile | None = None
    for after in file.profiles(names):
        for name, column in after.columns.items():
            nulls[name] += column.null_rate * rows.get(after.chunk_id, 0)
        if before is not None:
            report.warnings += drift.drifted(before, after)
        report.chunks.append(_chunk(after, spans, rows, sessions))
        before = after
    if metadata is None or not report.rows:
        return
    said = metadata["null_rates"]
    wrong = [n for n in names if n in said and abs(nulls[n] / report.rows - said[n]) > _RATE]
    if wrong:
        report.findings.append(
            Finding("metadata", wrong[0], f"null rates other than said: {row_rules.some(wrong)}")
        )


def _chunk(
    profile: ChunkProfile,
    spans: Mapping[str, row_rules.Span],
    rows: Mapping[str, int],
    sessions: Mapping[str, int],
) -> dict[str, Any]:
    span = spans.get(profile.chunk_id)
    return {
        "chunk_id": profile.chunk_id,
        "rows": rows.get(profile.chunk_id, 0),
        "sessions": sessions.get(profile.chunk_id, 0),
        "output_start": str(span.first) if span else None,
        "output_end": str(span.last) if span else None,
    }


def _against_metadata(
    target: Target, file: DatasetFile, keys: Keys, metadata: Mapping[str, Any]
) -> Iterator[Finding]:
    """What the metadata say and the file has."""
    columns = file.columns
    first, last = (min(keys.days), max(keys.days)) if keys.days else (None, None)
    facts: dict[str, tuple[object, object]] = {
        "rows": (metadata["rows"], file.rows),
        "rows of all chunks": (sum(chunk["rows"] for chunk in metadata["chunks"]), file.rows),
        "output_start": (metadata["output_start"], str(first)),
        "output_end": (metadata["output_end"], str(last)),
        "feature_schema_hash": (metadata["feature_schema_hash"], schema_hash(columns)),
        "columns": (metadata["columns"], [column.name for column in columns]),
        "dataset_hash": (metadata["dataset_hash"], _hash(target.path, metadata)),
    }
    if not target.is_copy:  # it has the metadata of the file it was copied from
        facts["dataset"] = (metadata["dataset"], target.path.name)
    for name, (said, found) in facts.items():
        if said != found:
            told = "" if isinstance(said, list) else f": {said}, the file has {found}"
            yield Finding("metadata", name, f"not that of the file{told}")
    for chunk, span in zip(_filled(metadata), keys.spans, strict=False):
        said = (chunk["chunk_id"], chunk["output_start"], chunk["output_end"])
        if said != (span.chunk_id, str(span.first), str(span.last)):
            yield Finding(
                "metadata", span.chunk_id, f"said to be {said[0]}, {said[1]} to {said[2]}; its "
                f"rows are of {span.first} to {span.last}",
            )  # fmt: skip


def _filled(metadata: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [chunk for chunk in metadata["chunks"] if chunk["rows"]]


def _hash(path: Path, metadata: Mapping[str, Any]) -> str:
    try:
        return dataset_hash(path, [Source(path, chunk) for chunk in metadata["chunks"]])
    except (ThriftError, OSError) as error:
        return str(error)
