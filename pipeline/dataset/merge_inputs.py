"""What goes into a dataset: its chunks once they belong together, and what is said about them."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from pipeline.dataset.chunk_store import ChunkStore, Document
from pipeline.dataset.parquet.footer import read_footer
from pipeline.dataset.parquet.layout import REBUILD, reading
from pipeline.errors import MissingData, SchemaMismatch, StorageError
from pipeline.filesystem.local_copies import opened, seekable
from pipeline.filesystem.location import at_once
from pipeline.manifest import Column, columns_of, labels_among, schema_hash
from pipeline.market.calendar.periods import Period

_ENTRY = ("chunk_id", "build_id", "rows", "output_start", "output_end", "parquet_sha256")


@dataclass(frozen=True)
class Source:
    """A chunk to be merged."""

    path: Path
    status: Mapping[str, Any]

    @property
    def chunk_id(self) -> str:
        return str(self.status["chunk_id"])

    @property
    def entry(self) -> Document:
        """What the metadata of a dataset say about the chunk."""
        return {field: self.status[field] for field in _ENTRY}


class Summary:
    """Metadata of a dataset, added up from those of its chunks one at a time."""

    def __init__(self) -> None:
        self._head: Mapping[str, Any] = {}
        self._input_starts: list[str] = []
        self._input_ends: list[str] = []
        self._rows = 0
        self._nulls: dict[str, int] = {}
        self._used: dict[str, dict[str, Document]] = {}
        self._unavailable: set[str] = set()

    def add(self, source: Source, metadata: Mapping[str, Any]) -> None:
        """Take the next chunk.

        Raises:
            StorageError: metadata of another build than the status, of other columns than the
                chunks before, or without a null rate for each.
        """
        self._head = self._head or metadata
        if (
            metadata["build_id"] != source.status["build_id"]
            or metadata["columns"] != self._head["columns"]
            or metadata["null_rates"].keys() != set(metadata["columns"])
        ):
            raise StorageError(
                f"chunk {source.chunk_id}: metadata.json does not belong to the build that "
                f"status.json commits",
                REBUILD,
            )
        rows = source.status["rows"]
        self._rows += rows
        self._input_starts.append(metadata["input_start"])
        self._input_ends.append(metadata["input_end"])
        for name, rate in metadata["null_rates"].items():
            # The rate has digits enough to give the count exactly.
            self._nulls[name] = self._nulls.get(name, 0) + round(rate * rows)
        for name, snapshots in metadata["sources"].items():
            self._used.setdefault(name, {}).update({entry["key"]: entry for entry in snapshots})
        self._unavailable |= set(metadata["unavailable"])

    def document(
        self, name: str, sources: Sequence[Source], dataset_hash: str, now: dt.datetime
    ) -> Document:
        """The metadata of a dataset of this name."""
        head = self._head
        first, last = date_range(sources)
        return {
            "dataset": name,
            "origin": head["origin"],
            "input_start": min(self._input_starts),
            "input_end": max(self._input_ends),
            "output_start": first,
            "output_end": last,
            "rows": self._rows,
            "columns": head["columns"],
            "dtypes": head["dtypes"],
            "feature_schema_hash": head["feature_schema_hash"],
            "feature_schema_version": head["feature_schema_version"],
            "dataset_hash": dataset_hash,
            "generated_at": now.isoformat(timespec="seconds"),
            "null_rates": {name: nulls / max(self._rows, 1) for name, nulls in self._nulls.items()},
            "sources": {name: list(used.values()) for name, used in sorted(self._used.items())},
            "unavailable": sorted(self._unavailable),
            "chunks": [source.entry for source in sources],
        }


def gather(chunks: ChunkStore, chunk_ids: Iterable[str]) -> list[Source]:
    """The chunks in order of time, once they belong together.

    Raises:
        UsageError: a malformed chunk id.
        MissingData: no chunk, or one that is not complete.
        SchemaMismatch: different schemas.
        StorageError: different origins, overlapping dates, or a damaged file.
    """
    periods = sorted({Period.parse(chunk_id) for chunk_id in chunk_ids})
    if not periods:
        raise MissingData(f"merge: no chunk in {chunks.folder}", "build chunks first")
    ordered = [period.chunk_id for period in periods]
    # The status first: if the file is another one by then, so is the status ``refuse_if_rebuilt``
    # finds.
    statuses = chunks.statuses(ordered)
    _refuse_incomplete(chunks, statuses)
    files = at_once(chunks.folder, chunks.parquet_file, ordered)
    sources = [
        Source(file, status)
        for file, status in zip(files, statuses.values(), strict=True)
        if status is not None  # as just seen
    ]
    _refuse_mixed(sources)
    _refuse_overlap(sources)
    return sources


def summary_of(chunks: ChunkStore, sources: Iterable[Source]) -> Summary:
    """What the metadata of all chunks add up to.

    Raises:
        MissingData: a chunk has none.
        StorageError: damaged ones, or those of another build.
    """
    summary = Summary()
    sources = list(sources)
    found = at_once(chunks.folder, chunks.metadata, (source.chunk_id for source in sources))
    for source, metadata in zip(sources, found, strict=True):
        summary.add(source, metadata)
    return summary


def date_range(sources: Iterable[Source]) -> tuple[str | None, str | None]:
    """First and last session over all chunks, ISO; None without rows."""
    filled = [source.status for source in sources if source.status["rows"]]
    if not filled:
        return None, None
    return filled[0]["output_start"], filled[-1]["output_end"]


def dataset_hash(parquet: Path, sources: Iterable[Source]) -> str:
    """What a dataset holds, in 64 hex digits, without reading its rows again.

    sha256 over the sha256 of every chunk file, 32 bytes each in order of time, and the footer of
    the merged file, which says where their bytes lie in it. So it is the same whenever and
    wherever the same chunks are merged, and another one as soon as a value of a chunk is built
    differently. A byte that changes on the disk later shows in the checksum of its page.

    Raises:
        ThriftError: the file has no footer.
        OSError: it cannot be read.
    """
    digest = hashlib.sha256()
    for source in sources:
        digest.update(bytes.fromhex(source.status["parquet_sha256"]))
    with opened(parquet) as file:
        digest.update(read_footer(file).data)
    return digest.hexdigest()


def refuse_if_rebuilt(chunks: ChunkStore, sources: Iterable[Source]) -> None:
    """Hold the status of the chunks against what it was.

    Raises:
        StorageError: a chunk was built again meanwhile.
    """
    sources = list(sources)
    ids = [source.chunk_id for source in sources]
    files = at_once(chunks.folder, chunks.parquet_file, ids)
    present = chunks.statuses(ids)
    for source, file in zip(sources, files, strict=True):
        now = present[source.chunk_id]
        same = now is not None and now["build_id"] == source.status["build_id"]
        if not same or file != source.path:
            raise StorageError(
                f"merge: chunk {source.chunk_id} was rebuilt while it was read", "merge again"
            )


def _refuse_incomplete(chunks: ChunkStore, statuses: Mapping[str, Document | None]) -> None:
    problems = []
    sizes = at_once(chunks.folder, chunks.parquet_bytes, statuses)
    for (chunk_id, status), size in zip(statuses.items(), sizes, strict=True):
        if status is None:
            problems.append(chunks.status_problem(chunk_id) or f"{chunk_id}: no status")
        elif status["state"] != "completed":
            problems.append(f"{chunk_id} is {status['state']}")
        elif size != status["parquet_bytes"]:
            problems.append(f"{chunk_id}: the Parquet file is missing or of another size")
    if problems:
        more = f"; and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise MissingData(
            f"merge: {len(problems)} of {len(statuses)} chunks are not complete: "
            f"{'; '.join(problems[:5])}{more}",
            "build them first or leave them out",
        )


def _refuse_mixed(sources: Sequence[Source]) -> None:
    """One origin, and one schema both by status and by what the files themselves say, without a
    label."""
    origins = {source.status["origin"] for source in sources}
    if len(origins) > 1:
        raise StorageError(
            f"merge: chunks of different origin: {', '.join(sorted(origins))}",
            "synthetic and real data are never merged; use one output root for each",
        )
    expected = sources[0].status["schema_hash"]
    columns = {source.chunk_id: _columns_in_file(source) for source in sources}
    labels = [
        f"{chunk_id}: {', '.join(names[:5])}"
        for chunk_id, found_there in columns.items()
        if (names := labels_among(found_there))
    ]
    if labels:
        raise SchemaMismatch(
            "merge: labels among the features, which know the future of their row",
            labels,
            "rebuild these chunks: g5 rebuild; labels have a table of their own",
        )
    found = {chunk_id: schema_hash(found_there) for chunk_id, found_there in columns.items()}
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


def _columns_in_file(source: Source) -> tuple[Column, ...]:
    """The file's own columns.

    Raises:
        StorageError: it is damaged, or has another number of rows than the status says.
    """
    with reading(source.path):
        footer = pq.read_metadata(seekable(source.path))
        found = columns_of(footer.schema.to_arrow_schema())
    if footer.num_rows != source.status["rows"]:
        raise StorageError(
            f"Parquet file {source.path}: has {footer.num_rows} rows, its status says "
            f"{source.status['rows']}",
            REBUILD,
        )
    return found


def _refuse_overlap(sources: Sequence[Source]) -> None:
    filled = [source for source in sources if source.status["rows"]]
    for before, after in pairwise(filled):
        if after.status["output_start"] <= before.status["output_end"]:
            raise StorageError(
                f"merge: chunk {after.chunk_id} begins {after.status['output_start']}, but "
                f"{before.chunk_id} ends {before.status['output_end']}",
                "chunks of different lengths overlap; merge those of one length",
            )
