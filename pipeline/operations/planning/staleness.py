"""Whether gate, dataset and labels were made from the chunks of now: pure comparisons."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

Builds = Mapping[str, str | None]

_SHOWN = 5


def difference(recorded: Builds, builds: Builds) -> str | None:
    """What differs between the builds of a receipt and those of now; None when nothing does."""
    anew = [chunk for chunk in builds if chunk in recorded and recorded[chunk] != builds[chunk]]
    lacking = [chunk for chunk in builds if chunk not in recorded]
    beyond = [chunk for chunk in recorded if chunk not in builds]
    told = [
        f"{what} {_some(chunks)}"
        for what, chunks in (
            ("made before the present build of", anew),
            ("made without", lacking),
            ("made with others too:", beyond),
        )
        if chunks
    ]
    return "; ".join(told) or None


def why_gate_due(report: Mapping[str, Any], builds: Builds, schema_hash: str) -> str | None:
    """Why the gate has to judge again; None when its report stands.

    Args:
        report: a valid validation report.
        builds: the present build of each chunk.
        schema_hash: of the manifest.
    """
    if not report["passed"]:
        failed = [entry["chunk_id"] for entry in report["chunks"] if not entry["passed"]]
        return f"failed for {_some(failed)}" if failed else "failed"
    if any("coverage" not in entry for entry in report["chunks"]):
        return "made before sessions and stocks were held against calendar and listing"
    if report["schema_hash"] != schema_hash:
        return f"made with manifest {report['schema_hash'][:8]}, now it is {schema_hash[:8]}"
    return difference(report["inputs"], builds)


def why_merge_due(metadata: Mapping[str, Any], builds: Builds) -> str | None:
    """Why the chunks have to be merged again; None when the dataset holds just these."""
    merged = {chunk["chunk_id"]: chunk["build_id"] for chunk in metadata["chunks"]}
    return difference(merged, builds)


def why_labels_due(
    document: Mapping[str, Any],
    builds: Builds,
    known_until: Mapping[str, dt.date],
    definition_hash: str,
) -> str | None:
    """Why labels have to be made; None when the table is for just these builds and up to date.

    Args:
        document: a valid document of the label table.
        builds: the present build of each chunk.
        known_until: the last session the labels of each chunk can look to.
        definition_hash: of the labels' formulas.
    """
    if document["definition_hash"] != definition_hash:
        return "made by other formulas"
    parts = {part["chunk_id"]: part for part in document["parts"]}
    made_for = {chunk: part["build_id"] for chunk, part in parts.items()}
    if (told := difference(made_for, builds)) is not None:
        return told
    more = [chunk for chunk in parts if _knows_more(parts[chunk], known_until.get(chunk))]
    return f"sessions have come since for {_some(more)}" if more else None


def is_label_part_due(
    part: Mapping[str, Any], build: str | None, known_until: dt.date | None, size: int | None
) -> bool:
    """Whether the labels of a chunk have to be made.

    Args:
        part: what is known of its file.
        build: the present build of the chunk.
        known_until: the last session its labels can look to.
        size: bytes of the file on disk; None without one.
    """
    return (
        part["build_id"] != build or part["parquet_bytes"] != size or _knows_more(part, known_until)
    )


def _knows_more(part: Mapping[str, Any], known_until: dt.date | None) -> bool:
    """Whether labels of a chunk were still to come, and there are sessions by now."""
    if part["settled"] or known_until is None:
        return False
    return dt.date.fromisoformat(part["known_to"]) < known_until


def _some(chunks: Sequence[str]) -> str:
    more = f" and {len(chunks) - _SHOWN} more" if len(chunks) > _SHOWN else ""
    return ", ".join(chunks[:_SHOWN]) + more
