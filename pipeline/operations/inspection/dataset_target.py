"""Which dataset ``g5 check-dataset`` looks at: the file that a name stands for, and what is said
about it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline.configuration import Settings
from pipeline.dataset.publication import DatasetStore, metadata_path
from pipeline.errors import MissingData, StorageError, UsageError
from pipeline.filesystem.atomic import os_errors, pointed_at
from pipeline.filesystem.location import is_remote

MERGE = "merge again: g5 merge-chunks"
GIVE = "give the file of a merged dataset, or leave --dataset out: the published one"


@dataclass(frozen=True)
class Target:
    """A dataset to be looked at.

    Attributes:
        name: what was given, or the latest name.
        path: the file that stands under it.
        published: whether it is the one that the output root publishes.
    """

    name: Path
    path: Path
    published: bool

    @property
    def is_copy(self) -> bool:
        """Whether it is a file of its own under the latest name, where a link should be."""
        return self.path.name == self._beside.latest_path.name

    @property
    def metadata(self) -> Path:
        """What is said about it."""
        return self._beside.latest_metadata_path if self.is_copy else metadata_path(self.path)

    @property
    def _beside(self) -> DatasetStore:
        return DatasetStore(self.path.parent)


def target(settings: Settings, dataset: Path | None) -> Target:
    """The file that a name stands for, which need not be there.

    Args:
        dataset: what was given; None: the published one.

    Raises:
        StorageError: a latest name cannot be read.
    """
    store = DatasetStore(settings.data_output_dir)
    latest = _behind(store.latest_path)
    if dataset is None:
        return Target(store.latest_path, latest, True)
    path = _behind(dataset)
    if _same(path, latest):
        return Target(dataset, latest, True)
    return Target(dataset, path, False)


def require_file(target: Target) -> None:
    """See that there is a file to be read.

    Raises:
        MissingData: nothing was published.
        UsageError: what was given is none.
        StorageError: a latest name points at nothing.
    """
    name, path = target.name, target.path
    with os_errors(path, "cannot be read"):
        if path.is_file():
            return
        there = path.exists()
    if name != path:
        what = "is no file" if there else "is gone"
        raise StorageError(f"{name}: points at {path}, which {what}", MERGE)
    if target.published and not there:
        raise MissingData(
            f"{path}: there is no dataset", "run g5 run production, or give one with --dataset"
        )
    raise UsageError(f"dataset {path}: {'is no file' if there else 'does not exist'}", GIVE)


def _behind(path: Path) -> Path:
    """The file that a latest name points at; anything else, such as a copy under it, is itself."""
    if path.name != DatasetStore(path.parent).latest_path.name:
        return path
    with os_errors(path, "cannot be read"):
        shown = pointed_at(path)
    return path.parent / shown if shown else path


def _same(path: Path, other: Path) -> bool:
    """Whether two names are of one file, such as by a link of somebody's own."""
    if path == other or is_remote(path) or is_remote(other):
        return path == other
    try:
        return path.samefile(other)
    except OSError:
        return False
