"""Parquet files joined into one: by their bytes, or row by row where the bytes do not allow it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq

from pipeline.errors import StorageError
from pipeline.storage.footer import Unlike
from pipeline.storage.parquet import RowGroupWriter, layout_of, reading, row_groups
from pipeline.storage.splice import splice


def copy_row_groups(chunk_files: Sequence[Path], target: Path, what: str) -> None:
    """Write the row groups of all files, in order, into one file of the same schema.

    Files that agree in all but their row groups are joined by their bytes, in little memory.
    Otherwise, such as after a field's metadata changed, the rows are written anew, under the
    metadata of the first file; memory then goes by the largest row group.

    Args:
        chunk_files: Parquet files of one schema, ascending in time.
        target: the file to write.
        what: its name, for messages.

    Raises:
        SchemaMismatch: the files have different columns.
        StorageError: a file is damaged, or, where rows are written anew, they do not follow
            those before.
        OSError: the target cannot be written.
    """
    try:
        splice(chunk_files, target)
    except Unlike:
        rewrite(chunk_files, target, what)
    except OverflowError as error:
        raise StorageError(f"{what}: {error}", "merge fewer or longer chunks") from error


def rewrite(chunk_files: Sequence[Path], target: Path, what: str) -> None:
    """The same by decoding and encoding every value.

    Raises:
        SchemaMismatch: the files have different columns.
        StorageError: a file is damaged, or its rows do not follow those before.
    """
    first = chunk_files[0]
    with reading(first):
        schema, layout = pq.read_schema(first), layout_of(first)
    with RowGroupWriter(target, schema, layout, what) as writer:
        for path in chunk_files:
            for rows in row_groups(path):
                writer.write(rows)
