"""Datasets: chunks merged into one Parquet file, the published product.

A merge (1) gathers status and metadata of every chunk and refuses what does not belong together;
(2) copies the row groups into a file under a temporary name; (3) renames it and its metadata
into ``datasets/``; (4) points ``ml_dataset_latest_full.parquet`` at it; (5) removes all but the
newest datasets. Whoever has an older file open keeps reading it.
"""

from __future__ import annotations

import datetime as dt
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import MissingData, SchemaMismatch, StorageError
from pipeline.manifest import columns_of, schema_hash
from pipeline.market.periods import Period
from pipeline.storage import documents
from pipeline.storage.atomic import os_errors, replace_symlink, replacing
from pipeline.storage.chunks import ChunkStore, Clock, Document, utc_now
from pipeline.storage.parquet import RowGroupWriter, file_sha256, layout_of

KEPT = 3

_NAME = re.compile(r"ml_dataset_[0-9]{8}_[0-9]{8}_([0-9]{8}T[0-9]{6}Z)_full\.parquet")
_STAMP = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True)
class Dataset:
    """A merged dataset on disk with its metadata."""

    path: Path
    metadata: Mapping[str, Any]


@dataclass(frozen=True)
class _Source:
    """A chunk to be merged."""

    path: Path
    status: Mapping[str, Any]
    metadata: Mapping[str, Any]

    @property
    def chunk_id(self) -> str:
        return str(self.status["chunk_id"])


class DatasetStore:
    """The merged datasets of an output root and the names that point at the newest one."""

    def __init__(self, root: Path, clock: Clock = utc_now) -> None:
        self.root = root
        self.folder = root / "datasets"
        self.latest_path = root / "ml_dataset_latest_full.parquet"
        self.latest_metadata_path = root / "ml_dataset_latest_metadata.json"
        self._clock = clock

    def merge(self, chunks: ChunkStore, chunk_ids: Sequence[str], keep: int = KEPT) -> Dataset:
        """Merge chunks and publish the result as the latest dataset.

        Args:
            chunks: where the chunks are.
            chunk_ids: any order; merged in order of time.
            keep: how many datasets remain, the new one included.

        Raises:
            MissingData: no chunk, one that is not complete, or no rows at all.
            SchemaMismatch: chunks with different schemas.
            StorageError: chunks of different origin or overlapping, a damaged file, a chunk
                rebuilt meanwhile, or the file system refused.
        """
        sources = _gather(chunks, chunk_ids)
        path = self._new_path(sources)
        metadata_path = _metadata_path(path)
        with replacing(metadata_path) as metadata, replacing(path) as parquet:
            copy_row_groups([source.path for source in sources], parquet, path.name)
            document = _merged_metadata(path.name, sources, parquet, self._clock())
            content = documents.encode_document(metadata_path, "dataset_metadata", document)
            metadata.write_bytes(content)
            _refuse_if_rebuilt(chunks, sources)
        replace_symlink(self.latest_path, os.path.relpath(path, self.root))
        documents.write_document(self.latest_metadata_path, "dataset_metadata", document)
        self.prune(keep)
        return Dataset(path, document)

    def latest(self) -> Dataset | None:
        """The newest published dataset; None when nothing was merged yet.

        The metadata are those beside the file, so the two always belong together.

        Raises:
            StorageError: the link points nowhere, or the metadata are damaged or foreign.
            MissingData: the metadata are missing.
        """
        if not self.latest_path.is_symlink():
            return None
        path = self.root / self.latest_path.readlink()
        if not path.is_file():
            raise StorageError(
                f"{self.latest_path}: points at {path}, which is gone", "merge again"
            )
        metadata = documents.read_document(_metadata_path(path), "dataset_metadata")
        if metadata["dataset"] != path.name:
            raise StorageError(
                f"{_metadata_path(path)}: describes {metadata['dataset']}, not {path.name}",
                "merge again",
            )
        return Dataset(path, metadata)

    def prune(self, keep: int = KEPT) -> list[Path]:
        """Remove all but the newest ``keep`` datasets; the published one always stays.

        Raises:
            StorageError: the file system refused.
        """
        published = self.latest_path.readlink().name if self.latest_path.is_symlink() else None
        with os_errors(self.folder):
            paths = list(self.folder.iterdir()) if self.folder.is_dir() else []
            stamped = sorted((m[1], path) for path in paths if (m := _NAME.fullmatch(path.name)))
            old = [path for _, path in stamped[: max(len(stamped) - keep, 0)]]
            removed = [path for path in old if path.name != published]
            for path in removed:
                # The data last: killed in between, what is left is found again the next time.
                _metadata_path(path).unlink(missing_ok=True)
                path.unlink(missing_ok=True)
        return removed

    def _new_path(self, sources: Sequence[_Source]) -> Path:
        """A name not yet taken: range of the rows and time of the merge in UTC."""
        first, last = _range(sources)
        if first is None or last is None:
            raise MissingData("merge: the chunks hold no rows at all", "build more chunks first")
        moment = self._clock().astimezone(dt.UTC)
        while True:
            name = f"ml_dataset_{first}_{last}_{moment:{_STAMP}}_full.parquet"
            path = self.folder / name.replace("-", "")
            if not path.exists():
                return path
            moment += dt.timedelta(seconds=1)


def copy_row_groups(chunk_files: Sequence[Path], target: Path, what: str) -> None:
    """Write the row groups of all files, in order, into one file of the same schema.

    Memory is bounded by one row group.

    Args:
        chunk_files: Parquet files of one schema, ascending in time.
        target: the file to write.
        what: its name, for messages.

    Raises:
        StorageError: a file is damaged, or its rows do not follow those before.
    """
    first = chunk_files[0]
    with RowGroupWriter(target, _schema_of(first), layout_of(first), what) as writer:
        for path in chunk_files:
            for rows in _row_groups(path):
                writer.write(rows)


def _gather(chunks: ChunkStore, chunk_ids: Sequence[str]) -> list[_Source]:
    """Everything known about the chunks, in order of time, once they belong together."""
    ordered = sorted({Period.parse(chunk_id) for chunk_id in chunk_ids})
    if not ordered:
        raise MissingData(f"merge: no chunk in {chunks.folder}", "build chunks first")
    _refuse_incomplete(chunks, [period.chunk_id for period in ordered])
    sources = [
        _Source(
            path=chunks.parquet_path(period.chunk_id),
            status=chunks.read_status(period.chunk_id),
            metadata=chunks.metadata(period.chunk_id),
        )
        for period in ordered
    ]
    _refuse_torn(sources)
    _refuse_mixed(sources)
    _refuse_overlap(sources)
    return sources


def _refuse_incomplete(chunks: ChunkStore, chunk_ids: Sequence[str]) -> None:
    problems = []
    for chunk_id in chunk_ids:
        status = chunks.status(chunk_id)
        if status is None:
            problems.append(chunks.status_problem(chunk_id) or f"{chunk_id}: no status")
        elif status["state"] != "completed":
            problems.append(f"{chunk_id} is {status['state']}")
        elif chunks.parquet_bytes(chunk_id) != status["parquet_bytes"]:
            problems.append(f"{chunk_id}: the Parquet file is missing or of another size")
    if problems:
        more = f"; and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise MissingData(
            f"merge: {len(problems)} of {len(chunk_ids)} chunks are not complete: "
            f"{'; '.join(problems[:5])}{more}",
            "build them first or leave them out",
        )


def _refuse_torn(sources: Sequence[_Source]) -> None:
    """Metadata of another build than the status, or without a null rate for each column."""
    for source in sources:
        metadata = source.metadata
        same_build = metadata["build_id"] == source.status["build_id"]
        if not same_build or metadata["null_rates"].keys() != set(metadata["columns"]):
            raise StorageError(
                f"chunk {source.chunk_id}: metadata.json does not belong to the build that "
                f"status.json commits",
                "request a rebuild of the chunk: g5 rebuild",
            )


def _refuse_mixed(sources: Sequence[_Source]) -> None:
    """One origin, and one schema both by status and by what the files themselves say."""
    origins = {source.status["origin"] for source in sources}
    if len(origins) > 1:
        raise StorageError(
            f"merge: chunks of different origin: {', '.join(sorted(origins))}",
            "synthetic and real data are never merged; use one output root for each",
        )
    expected = sources[0].status["schema_hash"]
    found = {s.chunk_id: schema_hash(columns_of(_schema_of(s.path))) for s in sources}
    lines = [
        f"{s.chunk_id}: status says {s.status['schema_hash']}, file {found[s.chunk_id]}"
        for s in sources
        if {s.status["schema_hash"], found[s.chunk_id]} != {expected}
    ]
    if lines:
        raise SchemaMismatch(
            f"merge: expected schema {expected} of {sources[0].chunk_id} in every chunk",
            lines,
            "rebuild the chunks that differ: g5 rebuild",
        )


def _refuse_overlap(sources: Sequence[_Source]) -> None:
    filled = [source for source in sources if source.status["rows"]]
    for before, after in pairwise(filled):
        if after.status["output_start"] <= before.status["output_end"]:
            raise StorageError(
                f"merge: chunk {after.chunk_id} begins {after.status['output_start']}, but "
                f"{before.chunk_id} ends {before.status['output_end']}",
                "chunks of different lengths overlap; merge those of one length",
            )


def _refuse_if_rebuilt(chunks: ChunkStore, sources: Sequence[_Source]) -> None:
    for source in sources:
        now = chunks.status(source.chunk_id)
        if now is None or now["build_id"] != source.status["build_id"]:
            raise StorageError(
                f"merge: chunk {source.chunk_id} was rebuilt while it was read", "merge again"
            )


def _range(sources: Sequence[_Source]) -> tuple[str | None, str | None]:
    """First and last session over all chunks, ISO; None without rows."""
    filled = [source.status for source in sources if source.status["rows"]]
    if not filled:
        return None, None
    return filled[0]["output_start"], filled[-1]["output_end"]


def _merged_metadata(
    name: str, sources: Sequence[_Source], parquet: Path, now: dt.datetime
) -> Document:
    """Metadata of the dataset, worked out from those of its chunks."""
    head = sources[0].metadata
    first, last = _range(sources)
    rows = sum(source.status["rows"] for source in sources)
    return {
        "dataset": name,
        "origin": head["origin"],
        "input_start": min(source.metadata["input_start"] for source in sources),
        "input_end": max(source.metadata["input_end"] for source in sources),
        "output_start": first,
        "output_end": last,
        "rows": rows,
        "columns": head["columns"],
        "dtypes": head["dtypes"],
        "feature_schema_hash": head["feature_schema_hash"],
        "feature_schema_version": head["feature_schema_version"],
        "dataset_hash": file_sha256(parquet),
        "generated_at": now.isoformat(timespec="seconds"),
        "null_rates": _null_rates(sources, rows),
        "sources": _used(sources),
        "unavailable": sorted({name for s in sources for name in s.metadata["unavailable"]}),
        "chunks": [
            {
                field: source.status[field]
                for field in (
                    "chunk_id",
                    "build_id",
                    "rows",
                    "output_start",
                    "output_end",
                    "parquet_sha256",
                )
            }
            for source in sources
        ],
    }


def _null_rates(sources: Sequence[_Source], rows: int) -> dict[str, float]:
    """Null rates over all chunks: their nulls, which the rates give exactly, by all rows."""
    return {
        name: sum(
            round(source.metadata["null_rates"][name] * source.status["rows"]) for source in sources
        )
        / max(rows, 1)
        for name in sources[0].metadata["columns"]
    }


def _used(sources: Sequence[_Source]) -> dict[str, list[Document]]:
    """Snapshots behind the dataset, each once, by source."""
    used: dict[str, dict[str, Document]] = {}
    for source in sources:
        for name, snapshots in source.metadata["sources"].items():
            used.setdefault(name, {}).update({entry["key"]: entry for entry in snapshots})
    return {name: list(entries.values()) for name, entries in sorted(used.items())}


def _metadata_path(dataset: Path) -> Path:
    return dataset.with_name(f"{dataset.stem}_metadata.json")


def _schema_of(path: Path) -> pa.Schema:
    with _reading(path), pq.ParquetFile(path) as file:
        schema: pa.Schema = file.schema_arrow
        return schema


def _row_groups(path: Path) -> Iterator[pa.Table]:
    """The row groups of a file, one in memory at a time."""
    with _reading(path), pq.ParquetFile(path) as file:
        count = file.num_row_groups
        for group in range(count):
            yield file.read_row_group(group)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise StorageError(
            f"Parquet file {path}: cannot be read: {error}",
            "request a rebuild of the chunk: g5 rebuild",
        ) from error
