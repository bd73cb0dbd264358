"""Whether gate and dataset were made from the chunks that stand now: pure comparisons."""

from __future__ import annotations

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
    if report["schema_hash"] != schema_hash:
        return f"made with manifest {report['schema_hash'][:8]}, now it is {schema_hash[:8]}"
    return difference(report["inputs"], builds)


def why_merge_due(metadata: Mapping[str, Any], builds: Builds) -> str | None:
    """Why the chunks have to be merged again; None when the dataset holds just these."""
    merged = {chunk["chunk_id"]: chunk["build_id"] for chunk in metadata["chunks"]}
    return difference(merged, builds)


def _some(chunks: Sequence[str]) -> str:
    more = f" and {len(chunks) - _SHOWN} more" if len(chunks) > _SHOWN else ""
    return ", ".join(chunks[:_SHOWN]) + more
