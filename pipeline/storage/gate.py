"""The gate's judgement of a chunk: its file against the manifest and against its own status.

Reads footers only, so judging eighty chunks takes seconds.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.manifest import Manifest, Violations, check, columns_of, schema_hash
from pipeline.storage.chunks import ChunkStore
from pipeline.storage.parquet import DATE


@dataclass(frozen=True)
class Verdict:
    """What the gate found in one chunk.

    Attributes:
        chunk_id: the chunk.
        rows: rows of its file; None when it cannot be read.
        schema_hash: of the columns found; None when the file cannot be read.
        violations: columns against the manifest.
        issues: what fails the gate, one readable line each, violations included.
    """

    chunk_id: str
    rows: int | None
    schema_hash: str | None
    violations: Violations
    issues: tuple[str, ...]

    @property
    def passed(self) -> bool:
        return not self.issues

    def to_json(self) -> dict[str, Any]:
        """As an entry of the validation report."""
        return {
            "chunk_id": self.chunk_id,
            "passed": self.passed,
            "rows": self.rows,
            "schema_hash": self.schema_hash,
            "violations": self.violations.to_json(),
            "issues": list(self.issues),
            "warnings": [],
        }


def judge(store: ChunkStore, chunk_id: str, manifest: Manifest) -> Verdict:
    """Hold one completed chunk against the manifest and against what its status recorded."""
    path = store.parquet_path(chunk_id)
    try:
        file = pq.ParquetFile(path)
    except (OSError, pa.ArrowException) as error:
        issue = f"{path}: cannot be read as Parquet: {error}"
        return Verdict(chunk_id, None, None, Violations(), (issue,))
    with file:
        columns = columns_of(file.schema_arrow)
        violations = check(columns, manifest)
        issues = [*violations.lines(), *_against_status(file, store.read_status(chunk_id))]
        return Verdict(
            chunk_id, file.metadata.num_rows, schema_hash(columns), violations, tuple(issues)
        )


def _against_status(file: pq.ParquetFile, status: Mapping[str, Any]) -> list[str]:
    """The file must be the one the status speaks of."""
    issues = []
    if file.metadata.num_rows != status["rows"]:
        issues.append(f"{file.metadata.num_rows} rows in the file, {status['rows']} recorded")
    first, last = _date_range(file)
    recorded = (status["output_start"], status["output_end"])
    if (str(first), str(last)) != recorded and status["rows"]:
        issues.append(
            f"dates {first} to {last} in the file, {recorded[0]} to {recorded[1]} recorded"
        )
    if (
        first is not None
        and not status["covered_from"] <= str(first) <= str(last) <= status["covered_to"]
    ):
        issues.append(f"dates {first} to {last} outside the covered range")
    return issues


def _date_range(file: pq.ParquetFile) -> tuple[dt.date | None, dt.date | None]:
    """First and last Date by the row-group statistics; None where there are none."""
    if DATE not in file.schema_arrow.names:
        return None, None
    place = file.schema_arrow.names.index(DATE)
    groups = [file.metadata.row_group(i).column(place) for i in range(file.num_row_groups)]
    ranges: list[tuple[Any, Any]] = [
        (group.statistics.min, group.statistics.max)
        for group in groups
        if group.statistics is not None and group.statistics.has_min_max
    ]
    if not ranges:
        return None, None
    return min(low for low, _ in ranges), max(high for _, high in ranges)
