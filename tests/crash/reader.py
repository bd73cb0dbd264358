"""Somebody who reads the output root all the time, and what he is promised.

1. Whatever stands under a published name is whole: a JSON document parses and fits its schema, a
   Parquet file opens and every row of it can be read. A name that was there once never vanishes.
2. A chunk is replaced file by file, and its status is the commit. So he reads the status, the
   files, and the status again: when both say ``completed`` for the same build, the Parquet file
   and the metadata are those of that build, byte for byte.
3. ``ml_dataset_latest_full.parquet`` names a file whose metadata lie beside it and fit it: rows,
   columns and the hash of the content. ``ml_dataset_latest_metadata.json`` follows in a second
   step; it is the copy of such metadata, of this dataset or of the one before.
4. A label file stands for itself. The document that names it comes after it, so the file may be
   newer than the document says, never older.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.dataset.chunk_store import ChunkStore
from pipeline.dataset.label_store import LabelStore
from pipeline.dataset.merge_inputs import Source, dataset_hash
from pipeline.dataset.publication import DatasetStore
from pipeline.errors import PipelineError
from pipeline.filesystem.documents import Kind, parse_document

_PAUSE_S = 0.004  # between two looks: the build needs the processor too
_KNOWN_GOOD: dict[str, int] = {}  # rows by sha256: the same bytes need not be decoded again


class Reader:
    """Looks at an output root until it is stopped.

    Attributes:
        found: what was not as promised, each once, in order.
        looks: how often the whole root was looked at.
    """

    def __init__(self, root: Path) -> None:
        self.found: dict[str, None] = {}
        self.looks = 0
        self._chunks, self._labels = ChunkStore(root), LabelStore(root)
        self._datasets = DatasetStore(root)
        self._root = root
        self._seen: set[Path] = set()
        self._stop = threading.Event()

    @contextmanager
    def reading(self) -> Iterator[Reader]:
        """Read in a thread while the block runs."""
        thread = threading.Thread(target=self._read, name="reader", daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            thread.join()

    def look(self) -> None:
        """Look at everything once."""
        for status in sorted(self._chunks.folder.glob("*/status.json")):
            self._chunk(status.parent.name)
        self._dataset()
        self._label_table()
        self._document(self._root / "validation/schema_validation.json", "validation")
        self.looks += 1

    def _read(self) -> None:
        while not self._stop.is_set():
            try:
                self.look()
            except Exception as error:  # noqa: BLE001  (a reader that dies finds nothing)
                self._note(f"the reader failed: {type(error).__name__}: {error}")
            time.sleep(_PAUSE_S)

    def _chunk(self, chunk: str) -> None:
        before = self._document(self._chunks.status_path(chunk), "status")
        content = self._content(self._chunks.parquet_path(chunk))
        rows = None if content is None else self._rows(self._chunks.parquet_path(chunk), content)
        metadata = self._document(self._chunks.metadata_path(chunk), "metadata")
        after = self._document(self._chunks.status_path(chunk), "status")
        if before is None or before != after or before["state"] != "completed":
            return
        if content is None or metadata is None:
            self._note(f"chunk {chunk}: completed, but a file is missing")
        elif hashlib.sha256(content).hexdigest() != before["parquet_sha256"]:
            self._note(f"chunk {chunk}: completed, but the Parquet file is another")
        elif (rows, metadata["build_id"]) != (before["rows"], before["build_id"]):
            self._note(f"chunk {chunk}: completed, but rows or metadata are another build's")

    def _dataset(self) -> None:
        latest = self._datasets.latest_path
        self._document(self._datasets.latest_metadata_path, "dataset_metadata")
        if not latest.is_symlink():
            if latest in self._seen:
                self._note(f"{latest.name}: vanished")
            return
        self._seen.add(latest)
        path = self._root / latest.readlink()
        content = self._content(path)
        beside = self._document(path.with_name(f"{path.stem}_metadata.json"), "dataset_metadata")
        if content is None or beside is None:
            self._note(f"{latest.name}: names {path.name}, which is not there with its metadata")
            return
        rows = self._rows(path, content)
        sources = [Source(path, entry) for entry in beside["chunks"]]
        if (rows, beside["dataset"]) != (beside["rows"], path.name):
            self._note(f"{path.name}: {rows} rows, its metadata say {beside['rows']}")
        if dataset_hash(path, sources) != beside["dataset_hash"]:
            self._note(f"{path.name}: its content has not the hash of its metadata")

    def _label_table(self) -> None:
        document = self._document(self._labels.document_path, "labels")
        for part in document["parts"] if document else ():
            path = self._labels.part_path(part["chunk_id"])
            content = self._content(path)
            if content is None:
                self._note(f"{path.name}: the label document names it and it is not there")
                continue
            self._rows(path, content)
            if hashlib.sha256(content).hexdigest() == part["parquet_sha256"]:
                continue
            said = pq.read_schema(pa.BufferReader(content)).metadata or {}
            if said.get(b"g5.last_bar", b"").decode() < (part["last_bar"] or ""):
                self._note(f"{path.name}: knows less than the label document says")

    def _rows(self, path: Path, content: bytes) -> int | None:
        """Rows of a Parquet file, all of them read."""
        digest = hashlib.sha256(content).hexdigest()
        if digest not in _KNOWN_GOOD:
            try:
                _KNOWN_GOOD[digest] = pq.read_table(pa.BufferReader(content)).num_rows
            except (OSError, pa.ArrowException) as error:
                self._note(f"half a file: {path.relative_to(self._root)}: {error}")
                return None
        return _KNOWN_GOOD[digest]

    def _document(self, path: Path, kind: Kind) -> dict[str, Any] | None:
        content = self._content(path)
        if content is None:
            return None
        try:
            return parse_document(content, path, kind)
        except PipelineError as error:
            self._note(f"half a document: {error.message}")
            return None

    def _content(self, path: Path) -> bytes | None:
        """What a file holds; None where there is none and never was."""
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            if path in self._seen:
                self._note(f"{path.relative_to(self._root)}: vanished")
            return None
        self._seen.add(path)
        return content

    def _note(self, text: str) -> None:
        self.found.setdefault(text)
