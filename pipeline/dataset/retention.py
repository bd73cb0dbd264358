"""What is made anew under a name of its own each time, and of which the newest few are kept.

Datasets and views are named ``ml_dataset_<first>_<last>_<UTC time>_<ending>``. The times of one
ending ascend in the order in which the names were given: after a clock that was ahead they run on
from there.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from pipeline.dataset.chunk_store import Clock
from pipeline.dataset.merge_inputs import Source, date_range
from pipeline.errors import MissingData
from pipeline.filesystem.atomic import os_errors, pointed_at
from pipeline.filesystem.location import is_remote, written_at

KEPT = 3

_STAMP = "%Y%m%dT%H%M%SZ"
_LONGEST_MERGE = dt.timedelta(days=1)


def new_path(folder: Path, sources: Sequence[Source], ending: str, clock: Clock, what: str) -> Path:
    """A name not yet taken: range of the rows and time in UTC, later than that of all others.

    Args:
        sources: the chunks it is made of, in order of time.
        what: is being made, for the message.

    Raises:
        MissingData: the chunks hold no rows.
        StorageError: the folder cannot be read.
    """
    first, last = date_range(sources)
    if first is None or last is None:
        raise MissingData(f"{what}: the chunks hold no rows at all", "build more chunks first")
    moment = clock().astimezone(dt.UTC)
    with os_errors(folder, "cannot be read"):
        taken = _present(folder, ending)
    if taken:
        newest, _ = taken[-1]
        moment = max(moment, newest + dt.timedelta(seconds=1))
    name = f"ml_dataset_{first}_{last}_{moment:{_STAMP}}_{ending}".replace("-", "")
    return folder / name


def outdated(
    folder: Path,
    ending: str,
    keep: int,
    latest: Path,
    clock: Clock,
    is_whole: Callable[[Path], bool],
) -> list[Path]:
    """What the newest ``keep`` whole ones make superfluous: older ones, whole or not.

    What the link ``latest`` shows never goes. What is not whole goes once a whole one is newer:
    on a disk nobody is about to complete it, because its maker holds the output root; in an
    object store when it is old besides.

    Args:
        keep: at least one.
        is_whole: whether it can be used; may raise ``OSError`` or StorageError.

    Raises:
        StorageError: the folder, or what is in it, cannot be read.
    """
    with os_errors(folder, "cannot be read"):
        published = (pointed_at(latest) or "").rpartition("/")[2]
        paths = [path for _, path in _present(folder, ending)]
        whole = [path for path in paths if is_whole(path)]
        older = paths[: paths.index(whole[-1])] if whole else []
        kept = {published, *(path.name for path in whole[-keep:])}
        return [
            path
            for path in older
            if path.name not in kept and (path in whole or _abandoned(path, clock))
        ]


def bereft(
    folder: Path,
    ending: str,
    beside: str,
    latest: Path,
    clock: Clock,
    is_whole: Callable[[Path], bool],
) -> list[Path]:
    """Documents whose thing was deleted by hand, once a whole one is newer.

    Nobody deletes them otherwise: who looks for what is superfluous goes by the things. That of
    the name that ``latest`` shows stays, for whoever puts the thing back.

    Args:
        ending: of the things.
        beside: of their documents, which are named alike up to there.
        is_whole: as for :func:`outdated`.

    Raises:
        StorageError: the folder, or what is in it, cannot be read.
    """
    with os_errors(folder, "cannot be read"):
        # The documents first: a thing that comes meanwhile has none among them.
        documents = _present(folder, beside)
        things = _present(folder, ending)
        kept = {path.name for _, path in things}
        if all(_renamed(path, beside, ending) in kept for _, path in documents):
            return []  # as nearly always: nothing is read
        newest = next((moment for moment, path in reversed(things) if is_whole(path)), None)
        kept.add((pointed_at(latest) or "").rpartition("/")[2])
        return [
            path
            for moment, path in documents
            if newest is not None
            and moment < newest
            and _renamed(path, beside, ending) not in kept
            and _abandoned(path, clock)
        ]


def _renamed(path: Path, ending: str, other: str) -> str:
    return path.name.removesuffix(ending) + other


def _present(folder: Path, ending: str) -> list[tuple[dt.datetime, Path]]:
    """All of this ending by the time in their names.

    Raises:
        OSError: the folder cannot be read.
    """
    name = re.compile(
        rf"ml_dataset_[0-9]{{8}}_[0-9]{{8}}_([0-9]{{8}}T[0-9]{{6}}Z)_{re.escape(ending)}"
    )
    found = []
    for path in folder.iterdir() if folder.is_dir() else []:
        if stamped := name.fullmatch(path.name):
            with suppress(ValueError):  # digits that are no time: not a name of ours
                moment = dt.datetime.strptime(stamped[1], _STAMP).replace(tzinfo=dt.UTC)
                found.append((moment, path))
    return sorted(found, key=lambda entry: (entry[0], entry[1].name))


def _abandoned(path: Path, clock: Clock) -> bool:
    """Whether nobody can still be writing what belongs to it: other hosts do not hold a store."""
    if not is_remote(path):
        return True
    try:
        return written_at(path) < clock() - _LONGEST_MERGE
    except FileNotFoundError:  # another host was quicker
        return False
