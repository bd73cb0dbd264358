"""A Parquet file made of the first row groups of another one and new ones behind them.

The result has the bytes that one writer would have given, had it written all row groups itself:

1. What stands in front of the new row groups is copied as it is, to the same positions; inside
   the kernel, and on file systems that can share blocks not at all.
2. pyarrow writes the new row groups right behind it, as a file of its own without the magic in
   front; the positions it notes are moved afterwards.
3. Behind the row groups lie all column indexes, all offset indexes and the footer. These are laid
   anew, together with what the old file has for the row groups that were kept.

The copy is made, forced to disk and hashed on a thread of its own, while the new rows are still
being computed.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pyarrow as pa

from pipeline.dataset.parquet.footer import (
    MAGIC,
    Footer,
    FooterWriter,
    integer,
    member,
    read_footer,
)
from pipeline.dataset.parquet.splice import copy_range, damaged
from pipeline.dataset.parquet.thrift import I64, Cursor, Struct, ThriftError
from pipeline.dataset.parquet.thrift_writer import shift_in_list
from pipeline.errors import StorageError
from pipeline.filesystem.atomic import os_errors

_BLOCK = 1 << 22
_SLICE = 1 << 26  # copied in one call: short enough to stop in good time

# FileMetaData, RowGroup, ColumnChunk, ColumnMetaData
_ROW_GROUPS, _COLUMNS, _META = 4, 1, 3
_COLUMN_INDEX, _OFFSET_INDEX = (6, 7), (4, 5)  # position and length of each
_COMPRESSED_SIZE, _DATA, _DICTIONARY = 7, 9, 11
# OffsetIndex and PageLocation
_LOCATIONS, _PAGE_OFFSET = 1, 1


@dataclass(frozen=True)
class Kept:
    """What is kept of a file.

    Attributes:
        path: the file.
        groups: its row groups that are kept, from the first on; may be none.
        sha256: of the file as it was written, in hex.
    """

    path: Path
    groups: int
    sha256: str


class TailFile:
    """A file that begins as another one does; a context manager.

    Args:
        kept: what it begins with.
        path: the file to write.
    """

    def __init__(self, kept: Kept, path: Path) -> None:
        self._kept = kept
        self._path = path
        self._stopped = False

    def __enter__(self) -> Self:
        """Begin to copy.

        Raises:
            StorageError: the old file is damaged.
            OSError: the new one cannot be written.
        """
        with ExitStack() as opened:
            with os_errors(self._kept.path, "cannot be read"), damaged(self._kept.path):
                self._old = opened.enter_context(self._kept.path.open("rb"))
                self._old_footer = read_footer(self._old)
                self._end = _Survey(self._old_footer, self._kept.groups).end
            self._out = opened.enter_context(self._path.open("w+b"))
            pool = opened.enter_context(ThreadPoolExecutor(1))
            self._copied: Future[Any] = pool.submit(self._copy)
            opened.callback(setattr, self, "_stopped", True)
            self._opened = opened.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def sink(self) -> pa.NativeFile:
        """Where a Parquet writer puts the new row groups."""
        return pa.PythonFile(_Behind(self._out.fileno(), self._end), mode="w")

    def finish(self) -> str:
        """Put both footers into one, once the writer is closed; sha256 of the file, in hex.

        Raises:
            Unlike: the files differ in schema or key-value metadata.
            StorageError: the old file is not the one that was written, or a footer makes no
                sense.
            OSError: the file system refused.
        """
        digest = self._copied.result()
        out = self._out.fileno()
        moved = self._end - len(MAGIC)
        with damaged(self._path):
            written = read_footer(self._out)
            surveys = [_Survey(self._old_footer, self._kept.groups), _Survey(written, None)]
            end = surveys[1].end + moved
            indexes = _Indexes(end, sum(survey.column_indexes for survey in surveys))
            footer = FooterWriter(io.BytesIO())
            indexes.of(self._old.fileno(), 0)
            footer.add(self._old_footer, indexes, self._kept.groups)
            indexes.of(out, moved)
            footer.add(written, indexes)
        self._out.seek(end)
        self._out.write(indexes.content())
        footer.write(self._out)
        self._out.truncate()
        self._out.flush()
        for block in _blocks(out, self._end, self._out.tell()):
            digest.update(block)
        return str(digest.hexdigest())

    def _copy(self) -> Any:
        """Copy what is kept; its hash, to be gone on with.

        Raises:
            StorageError: the old file is cut off, or not the one that was written.
            OSError: reading or writing failed.
        """
        old, out = self._old.fileno(), self._out.fileno()
        done = 0
        while done < self._end and not self._stopped:
            count = copy_range(old, out, min(_SLICE, self._end - done), done, done)
            if not count:
                raise self._changed()
            done += count
        # Waiting for the disk here leaves little to wait for later.
        os.fsync(out)
        digest = hashlib.sha256()
        for block in _blocks(old, 0, self._end):
            digest.update(block)
            if self._stopped:
                return digest
        # A flaw in the old file must not be sealed with a new checksum.
        whole = digest.copy()
        for block in _blocks(old, self._end, os.fstat(old).st_size):
            whole.update(block)
        if whole.hexdigest() != self._kept.sha256:
            raise self._changed()
        return digest

    def _changed(self) -> StorageError:
        return StorageError(
            f"Parquet file {self._kept.path}: is not the one that was written",
            "run again: the chunk is built as a whole",
        )


class _Survey:
    """How much the first row groups of a file take.

    Attributes:
        end: position behind their last page.
        column_indexes: bytes of their column indexes.

    Raises:
        ThriftError: the footer is damaged.
    """

    def __init__(self, footer: Footer, groups: int | None) -> None:
        self.end = len(MAGIC)
        self.column_indexes = 0
        self._last = footer.start
        cursor = Cursor(footer.data)
        for field, kind in cursor.fields():
            if field != _ROW_GROUPS:
                cursor.value(kind, levels=0)
                continue
            _, count = cursor.list_start(kind)
            for at in range(count):
                self._group(cursor, counts=groups is None or at < groups)

    def _group(self, cursor: Cursor, *, counts: bool) -> None:
        for field, kind in cursor.fields():
            if field != _COLUMNS or not counts:
                cursor.value(kind, levels=0)
                continue
            inner, count = cursor.list_start(kind)
            for _ in range(count):
                self._column(cursor.value(inner, levels=2))

    def _column(self, chunk: Struct) -> None:
        meta = member(chunk, _META)
        begins = [integer(meta, field) for field in (_DATA, _DICTIONARY) if field in meta]
        end = min(at for at in begins if at) + integer(meta, _COMPRESSED_SIZE)
        if end > self._last:
            raise ThriftError(f"pages of a column end at {end}, behind {self._last}")
        self.end = max(self.end, end)
        position, length = _COLUMN_INDEX
        if position in chunk:
            self.column_indexes += integer(chunk, length)


class _Behind:
    """A stream for pyarrow that begins with what precedes ``begin`` and leaves out its magic."""

    def __init__(self, file: int, begin: int) -> None:
        self._file = file
        self._begin = begin
        self._at = begin - len(MAGIC)
        self.closed = False

    def write(self, content: bytes) -> int:
        count = len(content)
        rest = memoryview(content)[max(self._begin - self._at, 0) :]
        self._at += count - len(rest)
        while rest:
            written = os.pwrite(self._file, rest, self._at)
            rest, self._at = rest[written:], self._at + written
        return count

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        self.closed = True


class _Indexes:
    """Lays the page indexes of row groups behind each other: all of columns, then all of offsets.

    Args:
        begin: where the first one will be.
        column_bytes: how much all column indexes will take.
    """

    def __init__(self, begin: int, column_bytes: int) -> None:
        self._source = -1
        self._by = 0
        self._begin = begin, begin + column_bytes
        self._content = bytearray(), bytearray()

    def of(self, source: int, by: int) -> None:
        """Say whose row groups come next: handle of the file, how far behind what they say they
        are."""
        self._source, self._by = source, by

    def content(self) -> bytes:
        """Everything, to be written at its beginning."""
        return bytes(self._content[0] + self._content[1])

    def group_offset(self, offset: int) -> int:
        return offset + self._by if offset else 0

    def column(self, chunk: Struct) -> Struct:
        """Take the indexes of a ColumnChunk, and say in it where they and its pages will be.

        Raises:
            ThriftError: an index lies outside the file.
        """
        meta = member(chunk, _META)
        for field in (_DATA, _DICTIONARY):
            if field in meta and self._by:
                meta[field] = (I64, integer(meta, field) + self._by)
        if (index := self._read(chunk, *_COLUMN_INDEX)) is not None:
            self._put(chunk, 0, *_COLUMN_INDEX, index)
        if (index := self._read(chunk, *_OFFSET_INDEX)) is not None:
            moved = shift_in_list(index, _LOCATIONS, _PAGE_OFFSET, self._by)
            self._put(chunk, 1, *_OFFSET_INDEX, moved)
        return chunk

    def _read(self, chunk: Struct, position: int, length: int) -> bytes | None:
        if position not in chunk:
            return None
        wanted = integer(chunk, length)
        index = os.pread(self._source, wanted, integer(chunk, position) + self._by)
        if len(index) < wanted:
            raise ThriftError(f"a page index of {wanted} bytes is cut off")
        return index

    def _put(self, chunk: Struct, which: int, position: int, length: int, index: bytes) -> None:
        content = self._content[which]
        chunk[position] = (I64, self._begin[which] + len(content))
        chunk[length] = (chunk[length][0], len(index))
        content.extend(index)


def _blocks(file: int, begin: int, end: int) -> Iterator[bytes]:
    """The bytes [begin, end) of a file, piece by piece; fewer where it ends."""
    while begin < end and (block := os.pread(file, min(_BLOCK, end - begin), begin)):
        yield block
        begin += len(block)
