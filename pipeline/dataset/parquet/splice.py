"""Parquet files joined without decoding a value.

1. Each file but its footer is copied as it is, to a position in the target that is a multiple of
   4096, so that file systems which can share blocks between files copy nothing at all. A thread
   does it; meanwhile
2. the footer passes by, column chunk by column chunk, and every position in it moves along;
3. the offset indexes hold positions too: they are written anew behind the copied bytes, and the
   old ones, one ten-thousandth of the file, lie there unused;
4. at the end comes one footer for all.
"""

from __future__ import annotations

import errno
import os
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, Self

from pipeline.dataset.parquet.footer import MAGIC, FooterWriter, integer, member, read_footer
from pipeline.dataset.parquet.layout import REBUILD
from pipeline.dataset.parquet.thrift import I64, Struct, ThriftError
from pipeline.dataset.parquet.thrift_writer import shift_in_list
from pipeline.errors import StorageError
from pipeline.filesystem.atomic import os_errors

_BLOCK = 4096
_SLICE = 1 << 26  # copied in one call: short enough to stop in good time
_BUFFER = 1 << 20

# ColumnChunk
_FILE_PATH, _CHUNK_OFFSET, _META = 1, 2, 3
_OFFSET_INDEX, _OFFSET_INDEX_LENGTH, _COLUMN_INDEX, _COLUMN_INDEX_LENGTH = 4, 5, 6, 7
_ENCRYPTED_COLUMN = frozenset({8, 9})
# ColumnMetaData
_COMPRESSED_SIZE, _DATA, _INDEX, _DICTIONARY, _BLOOM, _BLOOM_LENGTH = 7, 9, 10, 11, 14, 15
# OffsetIndex and PageLocation
_LOCATIONS, _PAGE_OFFSET = 1, 1

# What the system says where this way of copying is not to be had.
_NOT_HERE = {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM, errno.EBADF}


Check = Callable[[Struct], None]


def splice(sources: Iterable[Path], target: Path, check: Check | None = None) -> None:
    """Write the row groups of all files, in order, into one, by copying their bytes.

    Args:
        sources: Parquet files of one schema.
        target: the file to write.
        check: looks at each ColumnMetaData, and raises where it does not want it.

    Raises:
        Unlike: the files differ beyond their row groups, in the schema or in key-value metadata.
        StorageError: a file is damaged, encrypted or keeps its data in other files.
        OSError: a file cannot be read or written.
        OverflowError: the footer is longer than the format can tell.
    """
    with (
        target.open("wb") as out,
        tempfile.TemporaryFile(dir=target.parent) as spool,
        ExitStack() as opened,
        _Copier(out.fileno()) as copier,
    ):
        footer = FooterWriter(spool)
        end = 0
        for path in sources:
            with os_errors(path, "cannot be read"):
                source = opened.enter_context(path.open("rb"))
            end = _add(path, source, footer, copier, end, check)
        copier.wait()
        if not end:
            out.write(MAGIC)
        out.seek(0, os.SEEK_END)
        footer.write(out)


def _add(
    path: Path,
    source: IO[bytes],
    footer: FooterWriter,
    copier: _Copier,
    end: int,
    check: Check | None,
) -> int:
    """Copy a file behind what ends at ``end``; where it ends itself. One without row
    groups adds nothing."""
    with damaged(path):
        parts = read_footer(source)
        start = -(-end // _BLOCK) * _BLOCK
        shift = Shift(start, source.fileno(), parts.start, check)
        copied = parts.start > len(MAGIC)
        if copied:
            copier.copy(path, source.fileno(), parts.start, start)
        footer.add(parts, shift)
    if not copied:
        return end
    indexes = bytes(shift.indexes)
    copier.write(indexes, start + parts.start)
    return start + parts.start + len(indexes)


@contextmanager
def damaged(path: Path) -> Iterator[None]:
    """Say which file it was that made no sense.

    Raises:
        StorageError: in place of ``ThriftError``.
    """
    try:
        yield
    except ThriftError as error:
        raise StorageError(
            f"Parquet file {path}: cannot be read: {error}",
            REBUILD,
        ) from error


class Shift:
    """Moves the positions in a footer by as much as the file was moved.

    Args:
        by: how far.
        source: handle of the file, for its offset indexes.
        end: where its footer begins: no position may lie behind.
        check: looks at each ColumnMetaData before it is moved.

    Attributes:
        indexes: the offset indexes written anew, to be put behind the moved bytes.
    """

    def __init__(self, by: int, source: int, end: int, check: Check | None = None) -> None:
        self.indexes = bytearray()
        self._by = by
        self._source = source
        self._end = end
        self._check = check

    def group_offset(self, offset: int) -> int:
        """Nought stands for not known."""
        return offset + self._by if offset else 0

    def column(self, chunk: Struct) -> Struct:
        """Move a ColumnChunk in place.

        Raises:
            ThriftError: a position outside the file, encryption, or data in another file.
        """
        if chunk.keys() & _ENCRYPTED_COLUMN:
            raise ThriftError("a column is encrypted")
        if _FILE_PATH in chunk:
            raise ThriftError("its data are in other files")
        meta = member(chunk, _META)
        if self._check is not None:
            self._check(meta)
        self._check_pages(meta)
        self._move(chunk, _CHUNK_OFFSET)
        for field in (_DATA, _INDEX, _DICTIONARY):
            self._move(meta, field)
        self._move(meta, _BLOOM, _BLOOM_LENGTH)
        self._move(chunk, _COLUMN_INDEX, _COLUMN_INDEX_LENGTH)
        if _OFFSET_INDEX in chunk:
            self._renew_index(chunk)
        return chunk

    def _check_pages(self, meta: Struct) -> None:
        """The pages lie inside the file, from the dictionary, if there is one, onwards."""
        begins = [integer(meta, field) for field in (_DATA, _DICTIONARY) if field in meta]
        first = min((offset for offset in begins if offset), default=0)
        last = first + integer(meta, _COMPRESSED_SIZE)
        if first < len(MAGIC) or last > self._end:
            raise ThriftError(
                f"pages of a column from {first} to {last}; expected {len(MAGIC)} to {self._end}"
            )

    def _move(self, struct: Struct, field: int, length: int | None = None) -> None:
        """Move a position that may be there; some writers put nought for none."""
        if field not in struct:
            return
        offset = integer(struct, field)
        taken = integer(struct, length) if length is not None and length in struct else 0
        if offset + taken > self._end:
            raise ThriftError(f"field {field} points to {offset + taken}, behind {self._end}")
        if offset:
            struct[field] = (I64, offset + self._by)

    def _renew_index(self, chunk: Struct) -> None:
        """Write the OffsetIndex with moved pages to its new place."""
        offset, length = integer(chunk, _OFFSET_INDEX), integer(chunk, _OFFSET_INDEX_LENGTH)
        if not len(MAGIC) <= offset <= offset + length <= self._end:
            raise ThriftError(f"an offset index at {offset}; expected before {self._end}")
        index = os.pread(self._source, length, offset)
        content = shift_in_list(index, _LOCATIONS, _PAGE_OFFSET, self._by)
        chunk[_OFFSET_INDEX] = (I64, self._by + self._end + len(self.indexes))
        chunk[_OFFSET_INDEX_LENGTH] = (chunk[_OFFSET_INDEX_LENGTH][0], len(content))
        self.indexes += content


class _Copier:
    """Copies ranges into a file on a thread of its own; a context manager."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._pool = ThreadPoolExecutor(1)
        self._stopped = threading.Event()
        self._jobs: list[Future[None]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._pool.shutdown(cancel_futures=True)

    def copy(self, path: Path, source: int, length: int, at: int) -> None:
        """Copy the first bytes of a file to a position, some time before :meth:`wait` ends.

        Raises:
            OSError, StorageError: an earlier copy failed.
        """
        for job in self._jobs:
            if job.done():
                job.result()
        self._jobs.append(self._pool.submit(self._copy, path, source, length, at))

    def write(self, content: bytes, at: int) -> None:
        """Write some bytes to a position, now."""
        while content:
            written = os.pwrite(self._target, content, at)
            content, at = content[written:], at + written

    def wait(self) -> None:
        """Wait for all copies.

        Raises:
            OSError, StorageError: one of them failed.
        """
        for job in self._jobs:
            job.result()

    def _copy(self, path: Path, source: int, length: int, at: int) -> None:
        done = 0
        while done < length and not self._stopped.is_set():
            count = copy_range(source, self._target, min(_SLICE, length - done), done, at + done)
            if not count:
                raise StorageError(f"Parquet file {path}: cut off while it was read", "run again")
            done += count
        # Waiting for the disk here, while the next footer passes, leaves little to wait for later.
        os.fsync(self._target)


def copy_range(source: int, target: int, length: int, begin: int, at: int) -> int:
    """Copy bytes from file to file, inside the kernel where that can be had.

    Returns:
        How many were copied; 0 at the end of the source.

    Raises:
        OSError: reading or writing failed.
    """
    kernel: Any = getattr(os, "copy_file_range", None)  # Linux has it
    if kernel is not None:
        try:
            # Nought may be the end, or a file system that does not know how: reading tells.
            if count := int(kernel(source, target, length, begin, at)):
                return count
        except OSError as error:
            if error.errno not in _NOT_HERE:
                raise
    return os.pwrite(target, os.pread(source, min(length, _BUFFER), begin), at)
