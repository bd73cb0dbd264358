"""Parquet files joined into one: by their bytes, or row by row where the bytes do not allow it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pyarrow.parquet as pq

from pipeline.dataset.parquet.footer import Unlike, integer
from pipeline.dataset.parquet.layout import RowGroupWriter, layout_of, reading, row_groups
from pipeline.dataset.parquet.splice import splice
from pipeline.dataset.parquet.thrift import Struct
from pipeline.errors import StorageError
from pipeline.filesystem.local_copies import local_copy, seekable

# ColumnMetaData
_TYPE, _ENCODINGS, _PATH, _CODEC, _DICTIONARY = 1, 2, 3, 4, 11
_BYTE_ARRAY, _UNCOMPRESSED = 6, 0
_SPLIT_BYTES = 9 << 1  # BYTE_STREAM_SPLIT as a zigzag number

Progress = Callable[[int, int], None]


def unseen(_done: int, _total: int) -> None:
    """Progress that nobody looks at."""


def copy_row_groups(
    chunk_files: Sequence[Path], target: Path, what: str, progress: Progress = unseen
) -> None:
    """Write the row groups of all files, in order, into one file of the same schema.

    Files that agree in all but their row groups are joined by their bytes, in little memory.
    Otherwise, such as after a field's metadata changed, or where bytes are encoded in ways that
    not everybody reads, the rows are written anew, under the metadata of the first file; memory
    then goes by the largest row group.

    Args:
        chunk_files: Parquet files of one schema, ascending in time.
        target: the file to write.
        what: its name, for messages.
        progress: called with bytes done and to be copied, before each file and at the end.

    Raises:
        SchemaMismatch: the files have different columns.
        StorageError: a file is damaged, or, where rows are written anew, they do not follow
            those before.
        OSError: the target cannot be written.
    """
    try:
        splice(_counted(chunk_files, progress), target, EveryReader())
    except Unlike:
        rewrite(chunk_files, target, what, progress)
    except OverflowError as error:
        raise StorageError(f"{what}: {error}", "merge fewer or longer chunks") from error


class EveryReader:
    """Refuses column chunks that, joined by their bytes, not all of pyarrow, Polars, DuckDB and
    fastparquet would read.

    fastparquet does not know BYTE_STREAM_SPLIT; it fails at a dictionary without an entry that is
    not compressed; and it loses text that has a dictionary in one row group and none in another.
    Chunks as they are written now are never so, older and foreign ones may be.
    """

    def __init__(self) -> None:
        self._coded: dict[bytes, bool] = {}

    def __call__(self, meta: Struct) -> None:
        """Take the ColumnMetaData of the next column chunk.

        Raises:
            Unlike: it had better be written anew.
        """
        coded = _DICTIONARY in meta and integer(meta, _DICTIONARY) > 0
        if coded and integer(meta, _CODEC) == _UNCOMPRESSED:
            raise Unlike("a dictionary that is not compressed")
        # Lists stay encoded: a byte of head, then one for each, as all numbers are small.
        if _SPLIT_BYTES in _encoded(meta, _ENCODINGS)[1:]:
            raise Unlike("bytes of floats apart")
        if integer(meta, _TYPE) == _BYTE_ARRAY and coded != self._coded.setdefault(
            _encoded(meta, _PATH), coded
        ):
            raise Unlike("text with a dictionary in some row groups only")


def _encoded(meta: Struct, field: int) -> bytes:
    """The bytes of a list; none of what should be one and is not."""
    _, value = meta.get(field, (0, b""))
    return value if isinstance(value, bytes) else b""


def rewrite(
    chunk_files: Sequence[Path], target: Path, what: str, progress: Progress = unseen
) -> None:
    """The same by decoding and encoding every value.

    Raises:
        SchemaMismatch: the files have different columns.
        StorageError: a file is damaged, or its rows do not follow those before.
    """
    first = chunk_files[0]
    with reading(first):
        schema, layout = pq.read_schema(seekable(first)), layout_of(first)
    with RowGroupWriter(target, schema, layout, what) as writer:
        for path in _counted(chunk_files, progress):
            for rows in row_groups(path):
                writer.write(rows)


def _counted(files: Sequence[Path], progress: Progress) -> Iterator[Path]:
    """The files one by one, with the progress told in between."""
    sizes = [path.stat().st_size for path in files]
    for at, path in enumerate(files):
        progress(sum(sizes[:at]), sum(sizes))
        yield local_copy(path)
    progress(sum(sizes), sum(sizes))
