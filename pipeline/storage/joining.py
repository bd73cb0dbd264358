"""Parquet files joined into one: by their bytes, or row by row where the bytes do not allow it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pyarrow.parquet as pq

from pipeline.errors import StorageError
from pipeline.storage.footer import Unlike
from pipeline.storage.parquet import RowGroupWriter, layout_of, reading, row_groups
from pipeline.storage.splice import splice

Progress = Callable[[int, int], None]


def unseen(_done: int, _total: int) -> None:
    """Progress that nobody looks at."""


def copy_row_groups(
    chunk_files: Sequence[Path], target: Path, what: str, progress: Progress = unseen
) -> None:
    """Write the row groups of all files, in order, into one file of the same schema.

    Files that agree in all but their row groups are joined by their bytes, in little memory.
    Otherwise, such as after a field's metadata changed, the rows are written anew, under the
    metadata of the first file; memory then goes by the largest row group.

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
        splice(_counted(chunk_files, progress), target)
    except Unlike:
        rewrite(chunk_files, target, what, progress)
    except OverflowError as error:
        raise StorageError(f"{what}: {error}", "merge fewer or longer chunks") from error


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
        schema, layout = pq.read_schema(first), layout_of(first)
    with RowGroupWriter(target, schema, layout, what) as writer:
        for path in _counted(chunk_files, progress):
            for rows in row_groups(path):
                writer.write(rows)


def _counted(files: Sequence[Path], progress: Progress) -> Iterator[Path]:
    """The files one by one, with the progress told in between."""
    sizes = [path.stat().st_size for path in files]
    for at, path in enumerate(files):
        progress(sum(sizes[:at]), sum(sizes))
        yield path
    progress(sum(sizes), sum(sizes))
