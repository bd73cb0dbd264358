"""The label table: ``labels/<chunk_id>.parquet`` per chunk, and ``labels/labels.json``.

Each file holds the labels of exactly the rows of one chunk and says in its own footer up to which
bar it knew, so what is settled in it can be told without any other file. It replaces its
previous version as a whole. The document comes last: it names the files of the table and is the
receipt of the chunk builds they are for.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.dataset.parquet.layout import Layout, RowGroupWriter, file_sha256, reading
from pipeline.errors import DamagedFile, MissingData
from pipeline.filesystem import documents
from pipeline.filesystem.atomic import (
    current,
    is_content,
    os_errors,
    remove_file,
    renewing,
    shown_bytes,
)
from pipeline.filesystem.local_copies import local_copy
from pipeline.filesystem.location import sizes_in
from pipeline.manifest import columns_of

Document = dict[str, Any]

_DEFINITION = b"g5.label_definition_hash"
_LAST_BAR = b"g5.last_bar"
_ORIGIN = b"g5.origin"


@dataclass(frozen=True)
class PartOrder:
    """What a label file is for.

    Attributes:
        chunk_id: its chunk.
        build_id: the build of the chunk whose rows it is for.
        rebuild: the rebuild request the chunk answered; None without one.
        origin: api, files or simulator.
        schema: the two keys and the labels.
        definition_hash: of the formulas.
        known_to: last session whose data were there.
        last_bar: last session with a bar that was looked at; None without one.
        settled: no label of it is still to come.
    """

    chunk_id: str
    build_id: str
    rebuild: str | None
    origin: str
    schema: pa.Schema
    definition_hash: str
    known_to: dt.date
    last_bar: dt.date | None
    settled: bool


@dataclass(frozen=True)
class EarlierPart:
    """A label file as it was published.

    Attributes:
        last_bar: last session with a bar that it knew.
    """

    path: Path
    last_bar: dt.date

    def rows(self, first: dt.date, last: dt.date) -> pa.Table:
        """Its rows dated in [first, last].

        Raises:
            StorageError: it is damaged.
        """
        dates = [("Date", ">=", first), ("Date", "<=", last)]
        with reading(self.path):
            table: pa.Table = pq.read_table(self.path, filters=dates, partitioning=None)
            return table


class LabelStore:
    """The ``labels/`` folder of an output root."""

    def __init__(self, root: Path) -> None:
        self.folder = root / "labels"
        self.document_path = self.folder / "labels.json"

    def part_path(self, chunk_id: str) -> Path:
        return self.folder / f"{chunk_id}.parquet"

    def part_file(self, chunk_id: str) -> Path:
        """What to read of it: a file of this machine.

        Raises:
            StorageError: an object store refused.
        """
        path = self.part_path(chunk_id)
        with os_errors(path, "cannot be read"):
            return local_copy(current(path))

    def document(self) -> Document | None:
        """What the table says about itself; None when there is none, or a damaged one.

        Raises:
            StorageError: it cannot be read.
        """
        try:
            return self.read_document()
        except (MissingData, DamagedFile):
            return None

    def read_document(self) -> Document:
        """What the table says about itself.

        Raises:
            MissingData: there is no table.
            StorageError: the document is damaged.
        """
        return documents.read_document(self.document_path, "labels")

    def part_bytes(self, chunk_id: str) -> int | None:
        """Size of a file on disk; None without one.

        Raises:
            StorageError: it cannot be reached.
        """
        return shown_bytes(self.part_path(chunk_id))

    def earlier(
        self, chunk_id: str, rebuild: str | None, origin: str, definition_hash: str
    ) -> EarlierPart | None:
        """The file that stands where one is to be written, if what is settled in it shall stand.

        It does not after a rebuild on request, under other formulas, or of another origin. A file
        newer than the document, left by a run that died, counts as much as one that it names; one
        that knows no more than the document says and has other bytes is damaged.

        Args:
            rebuild: the rebuild request that the chunk answered; None without one.
            origin, definition_hash: of the labels to be written.

        Raises:
            StorageError: it cannot be read: what is settled is not given up for that.
        """
        entry = self.entries().get(chunk_id)
        if entry is None or entry["rebuild"] != rebuild or self.part_bytes(chunk_id) is None:
            return None
        path = self.part_file(chunk_id)
        try:
            with reading(path):
                said = pq.read_schema(path).metadata or {}
                sha256 = file_sha256(path)
        except DamagedFile:
            return None
        own = (said.get(_DEFINITION), said.get(_ORIGIN))
        last_bar = said.get(_LAST_BAR, b"").decode()
        if own != (definition_hash.encode(), origin.encode()) or not last_bar:
            return None
        newer = last_bar > (entry["last_bar"] or "")
        if not newer and sha256 != entry["parquet_sha256"]:
            return None
        return EarlierPart(path, dt.date.fromisoformat(last_bar))

    def write(self, order: PartOrder, row_groups: Iterable[pa.Table]) -> Document:
        """Write the label file of a chunk; its entry for the document.

        The same rows and facts give the same bytes.

        Args:
            row_groups: rows of one month each, in order.

        Raises:
            SchemaMismatch: they do not fit the schema.
            StorageError: they are out of order, or the file system refused.
        """
        own = {
            _DEFINITION: order.definition_hash.encode(),
            _ORIGIN: order.origin.encode(),
            _LAST_BAR: str(order.last_bar or "").encode(),
        }
        schema = order.schema.with_metadata(own)
        with renewing(self.part_path(order.chunk_id)) as path:
            what = f"labels of {order.chunk_id}"
            with RowGroupWriter(path, schema, Layout(), what) as writer:
                for rows in row_groups:
                    writer.write(rows)
            contents = writer.contents()
            return {
                "chunk_id": order.chunk_id,
                "build_id": order.build_id,
                "rebuild": order.rebuild,
                "rows": contents.rows,
                "output_start": str(contents.first) if contents.first else None,
                "output_end": str(contents.last) if contents.last else None,
                "known_to": str(order.known_to),
                "last_bar": str(order.last_bar) if order.last_bar else None,
                "settled": order.settled,
                "parquet_bytes": path.stat().st_size,
                "parquet_sha256": file_sha256(path),
                "null_rates": dict(contents.null_rates),
            }

    def entries(self) -> dict[str, Document]:
        """What is known of every label file, in the table or not, by chunk."""
        document = self.document()
        if document is None:
            return {}
        return {part["chunk_id"]: part for part in (*document["parts"], *document["others"])}

    def commit(
        self,
        parts: Sequence[Document],
        others: Sequence[Document],
        *,
        schema: pa.Schema,
        definition_hash: str,
        origin: str,
        run_id: str,
        now: str,
    ) -> Document:
        """Publish the table.

        Args:
            parts: entries of the files it consists of, in order of time.
            others: entries of files that stay, for other chunks.

        Raises:
            StorageError: the document breaks its schema, or the file system refused.
        """
        columns = columns_of(schema)
        filled = [part for part in parts if part["rows"]]
        document = {
            "run_id": run_id,
            "generated_at": now,
            "origin": origin,
            "definition_hash": definition_hash,
            "columns": [column.name for column in columns],
            "dtypes": {column.name: column.dtype for column in columns},
            "rows": sum(part["rows"] for part in parts),
            "output_start": filled[0]["output_start"] if filled else None,
            "output_end": filled[-1]["output_end"] if filled else None,
            "parts": list(parts),
            "others": list(others),
        }
        documents.write_document(self.document_path, "labels", document)
        return document

    def remove_others(self, chunk_ids: Iterable[str]) -> list[Path]:
        """Remove the files of chunks that are no more.

        Args:
            chunk_ids: the chunks there are, in the table or not.

        Raises:
            StorageError: the file system refused.
        """
        kept = {self.part_path(chunk_id).name for chunk_id in chunk_ids}
        with os_errors(self.folder, "cannot be read"):
            names = sorted(name for name in sizes_in(self.folder) if name.endswith(".parquet"))
        # What was pointed at goes with g5 cache prune: somebody may be reading it.
        others = [self.folder / name for name in names if name not in kept and not is_content(name)]
        for path in others:
            with os_errors(path, "cannot be deleted"):
                remove_file(path)
        return others


def members_of(chunk_file: Path, *columns: str) -> pa.Table:
    """The keys of a chunk's rows, and some of its columns.

    Raises:
        StorageError: it is damaged, or has no such column.
    """
    with reading(chunk_file):
        table: pa.Table = pq.read_table(
            chunk_file, columns=["Date", "Code", *columns], partitioning=None
        )
        return table
