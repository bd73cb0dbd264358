"""What the documents of a chunk say about a build when it begins and when it is finished."""

from __future__ import annotations

import os
import socket
import uuid
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipeline.dataset.build_request import BuildOrder
from pipeline.dataset.content_checks import ChunkWriter, good_build, null_rate_warnings
from pipeline.dataset.parquet.layout import Contents
from pipeline.manifest import columns_of, schema_hash
from pipeline.market.calendar.periods import Period

Document = dict[str, Any]


def begun(
    order: BuildOrder, rebuild: str | None, now: str, replaced: Mapping[str, Any] | None
) -> Document:
    """The status of a build that begins.

    Args:
        rebuild: the request it answers; None without one.
        replaced: the status so far; the complete build it speaks of stands until the new one is
            whole.
    """
    standing = replaced
    if replaced is not None and replaced["state"] != "completed":
        standing = replaced.get("previous")
    return {
        "chunk_id": Period.parse(order.chunk_id).chunk_id,
        "state": "building",
        "origin": order.origin,
        "build_id": uuid.uuid4().hex,
        "rebuild": rebuild,
        "run_id": order.run_id,
        "started_at": now,
        "finished_at": None,
        "covered_from": order.covered_from.isoformat(),
        "covered_to": order.covered_to.isoformat(),
        "output_start": None,
        "output_end": None,
        "rows": None,
        "schema_hash": schema_hash(columns_of(order.schema)),
        "schema_version": order.schema_version,
        "parquet_bytes": None,
        "parquet_sha256": None,
        "inputs": {entry.key: entry.sha256 for entry in order.inputs},
        "code_version": order.code_version,
        "error": None,
        **({"previous": dict(standing)} if standing is not None else {}),
        "host": socket.gethostname(),
        "pid": os.getpid(),
    }


def facts_of(parquet: Path, sha256: str, contents: Contents) -> Document:
    """What the status says about a finished file."""
    return {
        "output_start": contents.first.isoformat() if contents.first else None,
        "output_end": contents.last.isoformat() if contents.last else None,
        "rows": contents.rows,
        "parquet_bytes": parquet.stat().st_size,
        "parquet_sha256": sha256,
    }


def metadata_of(
    order: BuildOrder, status: Mapping[str, Any], contents: Contents, now: str
) -> Document:
    """Metadata of a finished build; nothing is said yet about its content."""
    columns = columns_of(order.schema)
    sources = defaultdict(list)
    for entry in order.inputs:
        sources[entry.source].append({"key": entry.key, "sha256": entry.sha256})
    return {
        "chunk_id": status["chunk_id"],
        "build_id": status["build_id"],
        "origin": status["origin"],
        "input_start": order.input_start.isoformat(),
        "input_end": order.input_end.isoformat(),
        "output_start": status["output_start"],
        "output_end": status["output_end"],
        "rows": status["rows"],
        "columns": [column.name for column in columns],
        "dtypes": {column.name: column.dtype for column in columns},
        "feature_schema_hash": status["schema_hash"],
        "feature_schema_version": status["schema_version"],
        "dataset_hash": status["parquet_sha256"],
        "generated_at": now,
        "null_rates": dict(contents.null_rates),
        "sources": dict(sources),
        "unavailable": list(order.unavailable),
        "checked": {entry.source: entry.checked_at for entry in order.inputs},
        "corrections": [asdict(correction) for correction in order.corrections],
        **({"quarantine": list(order.quarantine)} if order.quarantine else {}),
    }


def with_content(
    metadata: Document, writer: ChunkWriter, earlier: Mapping[str, Any] | None
) -> Document:
    """The metadata with what was found in the content.

    Args:
        metadata: of the present build.
        writer: that saw its values and rows.
        earlier: metadata of the build before it, if there is one.
    """
    good = good_build(earlier)
    rises = null_rate_warnings(metadata, good)
    fields = ("build_id", "rows", "null_rates")
    last_good = {field: good[field] for field in fields} if rises and good else None
    return {
        **metadata,
        "encoding": writer.encoding,
        "findings": [asdict(finding) for finding in writer.findings()],
        "warnings": [*writer.warnings(), *rises],
        "last_good": last_good,
    }
