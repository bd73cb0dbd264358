"""Datasets: chunks merged into one Parquet file, the published product.

A merge (1) gathers the chunks and refuses what does not belong together; (2) ends here when the
published dataset holds just these builds; (3) copies the row groups into a file under a temporary
name; (4) renames it into ``datasets/`` and writes its metadata beside it; (5) points
``ml_dataset_latest_full.parquet`` at it; (6) removes all but the newest datasets, and files that
a merge killed within (4) left without metadata. Whoever has an older file open keeps reading it.
Killed between the two latest names, (2) of the next merge puts them right.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.dataset.chunk_store import ChunkStore, Clock, utc_now
from pipeline.dataset.merge_inputs import (
    Source,
    dataset_hash,
    gather,
    refuse_if_rebuilt,
    summary_of,
)
from pipeline.dataset.parquet.join import Progress, copy_row_groups, unseen
from pipeline.dataset.parquet.thrift import ThriftError
from pipeline.dataset.retention import KEPT, bereft, new_path, outdated
from pipeline.errors import MissingData, PipelineError, StorageError
from pipeline.filesystem import documents
from pipeline.filesystem.atomic import (
    os_errors,
    point_at,
    pointed_at,
    remove_file,
    replacing,
    write_bytes,
)
from pipeline.filesystem.location import read_bytes, relative

_ENDING = "full.parquet"
_BESIDE = "full_metadata.json"


@dataclass(frozen=True)
class Dataset:
    """A merged dataset on disk with its metadata."""

    path: Path
    metadata: Mapping[str, Any]


class DatasetStore:
    """The merged datasets of an output root and the names that point at the newest one."""

    def __init__(self, root: Path, clock: Clock = utc_now) -> None:
        self.root = root
        self.folder = root / "datasets"
        self.latest_path = root / "ml_dataset_latest_full.parquet"
        self.latest_metadata_path = root / "ml_dataset_latest_metadata.json"
        self._clock = clock

    def merge(
        self,
        chunks: ChunkStore,
        chunk_ids: Sequence[str],
        keep: int = KEPT,
        progress: Progress = unseen,
        *,
        anew: bool = False,
    ) -> Dataset:
        """Merge chunks and publish the result as the latest dataset.

        Nothing is written when the latest dataset was merged from just these builds and is
        whole.

        Args:
            chunks: where the chunks are.
            chunk_ids: any order; merged in order of time.
            keep: how many datasets remain, the new one included.
            progress: called with bytes of chunks copied and to be copied.
            anew: write also when nothing changed, because the dataset is damaged.

        Raises:
            MissingData: no chunk, one that is not complete, or no rows at all.
            SchemaMismatch: chunks with different schemas.
            StorageError: chunks of different origin or overlapping, a damaged file, a chunk
                rebuilt meanwhile, or the file system refused.
        """
        sources = gather(chunks, chunk_ids)
        there = None if anew else self._already_merged(sources)
        dataset = there or self._write(chunks, sources, progress)
        self._publish(dataset)
        self.prune(keep)
        return dataset

    def latest(self) -> Dataset | None:
        """The newest published dataset; None when nothing was merged yet.

        The metadata are those beside the file, so the two always belong together.

        Raises:
            StorageError: the link points nowhere, or the metadata are damaged or foreign.
            MissingData: the metadata are missing.
        """
        path = self.latest_file()
        return None if path is None else self.opened(path)

    def latest_file(self) -> Path | None:
        """The file that the latest name points at; None when nothing was merged yet.

        Raises:
            StorageError: the link points nowhere.
        """
        with os_errors(self.latest_path, "cannot be read"):
            target = pointed_at(self.latest_path)
        if target is None:
            return None
        path = self.root / target
        if not path.is_file():
            raise StorageError(
                f"{self.latest_path}: points at {path}, which is gone", "merge again"
            )
        return path

    def kept_file(self, name: str) -> Path:
        """A dataset by its name, with or without its ending.

        Raises:
            MissingData: there is none of this name; those that are there are named.
        """
        there = {path.name: path for path in sorted(self.folder.glob(f"*_{_ENDING}"))}
        found = there.get(name) or there.get(f"{name}.parquet")
        if found is None:
            names = ", ".join(there) or "none"
            raise MissingData(f"dataset {name!r}: not in {self.folder}", f"there are: {names}")
        return found

    def opened(self, path: Path) -> Dataset:
        """A dataset with its metadata.

        Raises:
            StorageError: the metadata are damaged or foreign.
            MissingData: they are missing.
        """
        metadata = documents.read_document(metadata_path(path), "dataset_metadata")
        if metadata["dataset"] != path.name:
            raise StorageError(
                f"{metadata_path(path)}: describes {metadata['dataset']}, not {path.name}",
                "merge again",
            )
        return Dataset(path, metadata)

    def is_published(self, dataset: Dataset) -> bool:
        """Whether both latest names show this dataset. A killed merge may leave them apart.

        Raises:
            StorageError: the file system refused.
        """
        link = relative(dataset.path, self.root)
        with os_errors(self.latest_metadata_path, "cannot be read"):
            if pointed_at(self.latest_path) != link:
                return False
            beside = read_bytes(metadata_path(dataset.path))
            with suppress(FileNotFoundError):
                return read_bytes(self.latest_metadata_path) == beside
        return False

    def prune(self, keep: int = KEPT) -> list[Path]:
        """Remove all but the newest ``keep`` datasets; the published one always stays.

        A file without metadata of its own is no dataset and does not count. Metadata whose file
        was deleted by hand go too.

        Raises:
            StorageError: the file system refused.
        """
        removed = outdated(self.folder, _ENDING, keep, self.latest_path, self._clock, _has_metadata)
        for path in removed:
            _remove(path)
        alone = bereft(self.folder, _ENDING, _BESIDE, self.latest_path, self._clock, _has_metadata)
        for path in alone:
            with os_errors(path, "cannot be deleted"):
                remove_file(path)
        return removed + alone

    def _write(self, chunks: ChunkStore, sources: Sequence[Source], progress: Progress) -> Dataset:
        """Write the file and its metadata, not yet under the latest names."""
        path = new_path(self.folder, sources, _ENDING, self._clock, "merge")
        beside = metadata_path(path)
        summary = summary_of(chunks, sources)
        with replacing(path) as parquet:
            copy_row_groups([source.path for source in sources], parquet, path.name, progress)
            digest = dataset_hash(parquet, sources)
            document = summary.document(path.name, sources, digest, self._clock())
            content = documents.encode_document(beside, "dataset_metadata", document)
            refuse_if_rebuilt(chunks, sources)
        try:
            write_bytes(beside, content)
        except BaseException:
            with suppress(StorageError):
                _remove(path)
            raise
        return Dataset(path, document)

    def _already_merged(self, sources: Sequence[Source]) -> Dataset | None:
        """The latest dataset if it was merged from these builds and is what it was."""
        with suppress(PipelineError, ThriftError, OSError):
            latest = self.latest()
            if (
                latest is not None
                and latest.metadata["chunks"] == [source.entry for source in sources]
                and latest.metadata["dataset_hash"] == dataset_hash(latest.path, sources)
            ):
                return latest
        return None

    def _publish(self, dataset: Dataset) -> None:
        if self.is_published(dataset):
            return
        with os_errors(metadata_path(dataset.path), "cannot be read"):
            content = read_bytes(metadata_path(dataset.path))
        point_at(self.latest_path, relative(dataset.path, self.root))
        write_bytes(self.latest_metadata_path, content)


def metadata_path(dataset: Path) -> Path:
    """The document beside a dataset."""
    return dataset.with_name(f"{dataset.stem}_metadata.json")


def _has_metadata(dataset: Path) -> bool:
    """Whether the document beside a file describes it.

    Not held against its schema: what an earlier version wrote is a dataset too.

    Raises:
        OSError: it is there and cannot be read.
    """
    try:
        document = json.loads(read_bytes(metadata_path(dataset)))
    except (FileNotFoundError, ValueError):
        return False
    return isinstance(document, dict) and document.get("dataset") == dataset.name


def _remove(dataset: Path) -> None:
    """Remove a dataset, the data last: killed in between, what is left is found the next time.

    Raises:
        StorageError: the file system refused.
    """
    with os_errors(dataset, "cannot be deleted"):
        remove_file(metadata_path(dataset))
        remove_file(dataset)
