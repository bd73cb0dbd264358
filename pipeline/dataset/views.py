"""Views: the chunks of a moment as one table of many files, without a copy of a single byte.

``datasets/ml_dataset_<first>_<last>_<UTC time>_view/`` holds a hard link to each chunk file and
``_metadata``, the footers of all of them in one, so that a reader opens one file to plan and then
only the files with row groups it needs. A link holds the file as it was: a chunk built anew
replaces its own name and nothing in the view.

Read ``ml_dataset_latest_view`` with pyarrow.dataset.parquet_dataset or fastparquet (``_metadata``),
with Polars and DuckDB (``*.parquet``).
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.dataset.chunk_store import ChunkStore, Clock, utc_now
from pipeline.dataset.merge_inputs import Source, gather, refuse_if_rebuilt
from pipeline.dataset.parquet.footer import MAGIC, FooterWriter, Unlike, extent, read_footer, text
from pipeline.dataset.parquet.splice import damaged
from pipeline.dataset.parquet.thrift import Struct, ThriftError
from pipeline.dataset.retention import KEPT, new_path, outdated
from pipeline.errors import SchemaMismatch, StorageError, UsageError
from pipeline.filesystem.atomic import make_folder, os_errors, point_at, replacing
from pipeline.filesystem.location import is_remote

INDEX = "_metadata"

_ENDING = "view"
_FILE_PATH = 1  # of a ColumnChunk


class ViewStore:
    """The views of an output root and the link to the newest one."""

    def __init__(self, root: Path, clock: Clock = utc_now) -> None:
        self.root = root
        self.folder = root / "datasets"
        self.latest_path = root / "ml_dataset_latest_view"
        self._clock = clock

    def make(self, chunks: ChunkStore, chunk_ids: Sequence[str], keep: int = KEPT) -> Path:
        """Link chunks into a view and publish it; nothing is written when it is there already.

        Args:
            chunks: where the chunks are, on the file system of the root.
            chunk_ids: any order.
            keep: how many views remain, the new one included.

        Returns:
            The folder of the view.

        Raises:
            UsageError: the root is in an object store.
            MissingData: no chunk, one that is not complete, or no rows at all.
            SchemaMismatch: chunks with different schemas.
            StorageError: chunks of different origin or overlapping or on another file system, a
                damaged file, a chunk rebuilt meanwhile, or the file system refused.
        """
        if is_remote(self.root):
            raise UsageError(
                f"--view: {self.root} is an object store, which has no links",
                "read the dataset, or the chunks in place",
            )
        sources = gather(chunks, chunk_ids)
        view = self.latest()
        if view is None or not self.shows(chunks, chunk_ids):
            view = self._write(chunks, sources)
            point_at(self.latest_path, os.path.relpath(view, self.root))
        self.prune(keep)
        return view

    def latest(self) -> Path | None:
        """The folder of the published view; None without one."""
        if not self.latest_path.is_symlink():
            return None
        view = self.root / self.latest_path.readlink()
        return view if _has_index(view) else None

    def shows(self, chunks: ChunkStore, chunk_ids: Sequence[str]) -> bool:
        """Whether the published view links to just these chunks as they are now, and its index
        is one of them.

        Raises:
            StorageError: the file system refused.
        """
        view = self.latest()
        if view is None:
            return False
        wanted = {_file_name(chunk_id): chunks.parquet_path(chunk_id) for chunk_id in chunk_ids}
        with os_errors(view, "cannot be read"):
            there = {path.name for path in view.iterdir()} - {INDEX}
            return (
                there == wanted.keys()
                and all(
                    path.exists() and path.samefile(view / name) for name, path in wanted.items()
                )
                and _indexes(view / INDEX, wanted.values())
            )

    def prune(self, keep: int = KEPT) -> list[Path]:
        """Remove all but the newest ``keep`` views; the published one always stays.

        A folder without an index is no view and does not count.

        Raises:
            StorageError: the file system refused.
        """
        removed = outdated(self.folder, _ENDING, keep, self.latest_path, self._clock, _has_index)
        with os_errors(self.folder):
            for path in removed:
                # The index first: killed in between, what is left is no view.
                (path / INDEX).unlink(missing_ok=True)
                shutil.rmtree(path)
        return removed

    def _write(self, chunks: ChunkStore, sources: Sequence[Source]) -> Path:
        """A new folder with links and index. Killed half-way it is not published and goes with
        the old ones."""
        view = new_path(self.folder, sources, _ENDING, self._clock, "view")
        try:
            with os_errors(view):
                make_folder(view)
            for source in sources:
                _link(source.path, view / _file_name(source.chunk_id))
            with replacing(view / INDEX) as index:
                _write_index(view, sources, index)
            refuse_if_rebuilt(chunks, sources)
        except BaseException:
            shutil.rmtree(view, ignore_errors=True)
            raise
        return view


@dataclass(frozen=True)
class _InFile:
    """Says of each column chunk in which file it lies; positions stay as they are."""

    name: str

    def group_offset(self, offset: int) -> int:
        return offset

    def column(self, chunk: Struct) -> Struct:
        if _FILE_PATH in chunk:
            raise ThriftError("its data are in other files")
        return {_FILE_PATH: text(self.name), **chunk}


def _has_index(view: Path) -> bool:
    return (view / INDEX).is_file()


def _indexes(index: Path, files: Iterable[Path]) -> bool:
    """Whether an index has as many row groups, and rows, as the files together.

    Raises:
        OSError: one of them cannot be read.
    """
    try:
        extents = [_extent(file) for file in files]
        together = sum(groups for groups, _ in extents), sum(rows for _, rows in extents)
        return _extent(index) == together
    except ThriftError:  # a damaged chunk is named when the view is made again
        return False


def _extent(path: Path) -> tuple[int, int]:
    with path.open("rb") as file:
        return extent(read_footer(file))


def _file_name(chunk_id: str) -> str:
    return f"{chunk_id}.parquet"


def _link(chunk: Path, link: Path) -> None:
    try:
        link.hardlink_to(chunk)
    except OSError as error:
        raise StorageError(
            f"view: {chunk} cannot be linked as {link}: {os.strerror(error.errno or 0)}",
            "a view needs the chunks on the same file system, and one that has hard links",
        ) from error


def _write_index(view: Path, sources: Sequence[Source], index: Path) -> None:
    with index.open("wb") as out, tempfile.TemporaryFile(dir=view) as spool:
        footer = FooterWriter(spool)
        for source in sources:
            name = _file_name(source.chunk_id)
            with damaged(source.path), (view / name).open("rb") as file:
                try:
                    footer.add(read_footer(file), _InFile(name))
                except Unlike as error:
                    raise SchemaMismatch(
                        "view: files that cannot share one footer",
                        [f"{source.chunk_id} differs from {sources[0].chunk_id} in its metadata"],
                        "rebuild the chunk: g5 rebuild, or use the merged dataset",
                    ) from error
        out.write(MAGIC)
        footer.write(out)
