"""What the status of a chunk says: whether it serves a run, what it covers, which build it is.

Pure functions of valid status documents.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from pipeline.errors import PipelineError, SchemaMismatch

_ERROR_CHARACTERS = 2000  # a status file stays readable whatever an exception says


def why_not_complete(
    status: Mapping[str, Any],
    parquet_bytes: int | None,
    *,
    origin: str,
    first: dt.date,
    last: dt.date,
    wanted: str | None,
) -> str | None:
    """Whether a chunk serves a run, as the reason why not; None means complete.

    Args:
        status: a valid status document.
        parquet_bytes: size of the Parquet file on disk, None without one.
        origin: that of the run.
        first, last: asked range, both ends included; ``last`` is the last session already
            published.
        wanted: id of the latest rebuild request, None when there is none.
    """
    if status["state"] == "building":
        return f"unfinished build since {status['started_at']} (pid {status['pid']})"
    if status["state"] != "completed":
        return f"{status['state']}: {status['error']['type']}: {status['error']['message']}"
    if status["origin"] != origin:
        return f"made from origin {status['origin']}, the run is {origin}"
    if wanted is not None and status["rebuild"] != wanted:
        return "a rebuild was requested"
    if parquet_bytes is None:
        return "the Parquet file is missing"
    if parquet_bytes != status["parquet_bytes"]:
        return f"the Parquet file has {parquet_bytes} bytes, recorded {status['parquet_bytes']}"
    start, end = covered_range(status)
    if start > first or end < last:
        return f"covers {start} to {end}, asked {first} to {last}"
    return None


def committed(
    status: Mapping[str, Any], metadata: Mapping[str, Any], parquet_bytes: int, now: str
) -> dict[str, Any]:
    """The status of a build that is whole, by that of its beginning and its metadata."""
    done = {field: metadata[field] for field in ("output_start", "output_end", "rows")}
    done |= {"parquet_sha256": metadata["dataset_hash"], "parquet_bytes": parquet_bytes}
    done |= {"state": "completed", "finished_at": now, "error": None}
    return {field: done.get(field, value) for field, value in status.items() if field != "previous"}


def failed_by(status: Mapping[str, Any], error: Exception, now: str) -> dict[str, Any]:
    """The status of a build that an error ended."""
    told = error if isinstance(error, PipelineError) else PipelineError(str(error))
    state = "failed_schema_mismatch" if isinstance(error, SchemaMismatch) else "failed"
    note = _note(type(error), told.message, told.hint)
    return {**status, "state": state, "finished_at": now, "error": note}


def refused(status: Mapping[str, Any], message: str) -> dict[str, Any]:
    """The status of a complete chunk that the gate does not let through."""
    note = _note(SchemaMismatch, message, "the next run builds this chunk again")
    return {**status, "state": "failed_schema_mismatch", "error": note}


def _note(kind: type[Exception], message: str, hint: str) -> dict[str, str]:
    return {"type": kind.__name__, "message": message[:_ERROR_CHARACTERS], "hint": hint}


def covered_range(status: Mapping[str, Any]) -> tuple[dt.date, dt.date]:
    """First and last day a chunk was asked for; its rows may cover less."""
    first, last = (dt.date.fromisoformat(status[f"covered_{side}"]) for side in ("from", "to"))
    return first, last


def builds_of(statuses: Mapping[str, Mapping[str, Any] | None]) -> dict[str, str | None]:
    """The present build of each chunk; None for one without a usable status."""
    return {chunk: status["build_id"] if status else None for chunk, status in statuses.items()}
