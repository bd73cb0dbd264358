"""What the cache holds, and what of it nobody needs any more.

A snapshot goes when it is old, unless it has a tag or an as-of day, which pin it, or is the newest
of its source. A part goes when it is old, no remaining snapshot lists it, and newer ones hold all
its days: what the cache knows of a day is never lost, to be asked for again. So earlier versions
of corrected days live as long as a snapshot that lists them: to keep what was known on a day for
good, make a snapshot with ``source_cache_asof`` or a tag.

Nothing goes for want of an answer: what cannot be read ends the look with an error. A damaged
snapshot goes, for it serves nobody, unless its name pins it: that one stays, and as nobody knows
what it lists, so do all parts of its source.
"""

from __future__ import annotations

import datetime as dt
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from pipeline.cache.parts import Part, newest_days, parts_in
from pipeline.cache.spool import entries
from pipeline.errors import DamagedFile, MissingData, UsageError
from pipeline.filesystem import documents
from pipeline.filesystem.atomic import os_errors, remove_file
from pipeline.filesystem.garbage_collection import moment_of, replaced_in
from pipeline.filesystem.location import (
    at_once,
    contents_of,
    folders_in,
    is_remote,
    on_host,
    sizes_in,
)

_KEY = re.compile(
    r"[a-z0-9_]+_raw_\d{4}-\d\d-\d\d_\d{4}-\d\d-\d\d(_asof-\d{4}-\d\d-\d\d)?"
    r"(_[A-Za-z0-9][A-Za-z0-9._-]*)?"
)
# Something follows the range: an as-of day or a tag.
_PINNED = re.compile(r".+_raw_\d{4}-\d\d-\d\d_\d{4}-\d\d-\d\d_.+")
_GRACE = dt.timedelta(days=1)  # more than a host takes from a part to the snapshot that lists it


@dataclass(frozen=True)
class Removable:
    """A file that can go.

    Attributes:
        kind: snapshot, part, spool, fragment (of a part that was never committed) or superseded.
        bytes: size.
    """

    kind: str
    path: Path
    bytes: int


Look: TypeAlias = Callable[[], list[Removable]]


def sources(cache: Path) -> list[str]:
    """Sources that have a folder, sorted.

    Raises:
        StorageError: the cache cannot be read.
    """
    with os_errors(cache, "cannot be read"):
        return sorted(folders_in(cache))


def snapshots(cache: Path) -> list[Mapping[str, Any]]:
    """Every snapshot of every origin that is not damaged, by source and key.

    Raises:
        StorageError: one cannot be read.
    """
    return [document for document in _all(cache).values() if document is not None]


def damaged(cache: Path) -> list[Path]:
    """Snapshots that are damaged and stay all the same, for the as-of day or tag in their name.

    Raises:
        StorageError: one cannot be read.
    """
    return [
        path
        for path, document in _all(cache).items()
        if document is None and _PINNED.fullmatch(path.stem)
    ]


def find(cache: Path, key: str) -> Mapping[str, Any]:
    """The snapshot of a key, whatever its origin.

    Raises:
        UsageError: the key is malformed.
        MissingData: there is none.
        StorageError: it is damaged.
    """
    if not _KEY.fullmatch(key):
        raise UsageError(
            f"snapshot key {key!r}: expected SOURCE_raw_START_END[_asof-DATE][_TAG]",
            "list them with g5 cache list",
        )
    path = cache / key.split("_raw_", maxsplit=1)[0] / f"{key}.json"
    if not path.exists():
        raise MissingData(f"snapshot {key}: not in {cache}", "list them with g5 cache list")
    return documents.read_document(path, "snapshot")


def parts_bytes(cache: Path, source: str) -> int:
    """Size of all parts of a source on disk.

    Raises:
        StorageError: their folder cannot be read.
    """
    folder = cache / source / "parts"
    with os_errors(folder, "cannot be read"):
        sizes = sizes_in(folder)
    return sum(size for name, size in sizes.items() if name.endswith(".parquet"))


def removable(cache: Path, cutoff: str) -> list[Removable]:
    """Files nobody needs any more. On a disk only to be asked while no run holds the output folder.

    Args:
        cutoff: ISO moment, JST; what was checked, received or used since then stays, in an object
            store also what was written since then or within the last day.

    Raises:
        StorageError: something cannot be read, so that nobody knows what is needed.
    """
    return [item for found in _seen(cache, _looks_at_sources(cache, cutoff)) for item in found]


def superseded(root: Path, cutoff: str) -> list[Removable]:
    """What in an object store nothing points at any more: earlier builds and uploads cut short.

    Args:
        cutoff: ISO moment, JST; what was written or replaced since then or within the last day
            stays, somebody may be reading it.

    Raises:
        StorageError: something cannot be read, so that nobody knows what is pointed at.
    """
    return [item for found in _seen(root, _looks_at_builds(root, cutoff)) for item in found]


def prune(root: Path, cutoff: str) -> list[Removable]:
    """Delete what :func:`removable` and :func:`superseded` tell of an output root.

    All is looked at before anything is deleted, so that what cannot be read ends this early. Then
    folder by folder is looked at once more, and what both looks found goes at once.

    On a disk the lock of the output root keeps others away. In an object store nothing does, and a
    window remains, from the second look at a source to its last deletion, mostly some seconds. Of
    what another host commits within it, a snapshot under the key of one that goes is deleted, and
    one that lists a part that goes is not whole. The next run finds that and lists or fetches anew,
    but an earlier version of a corrected day that only such a part held is gone. Prune when no
    other host makes as-of snapshots of the past.

    Args:
        cutoff: as there.

    Returns:
        What was deleted.

    Raises:
        StorageError: something cannot be read, or the file system refused to delete.
    """
    looks = [*_looks_at_sources(root / "cache", cutoff), *_looks_at_builds(root, cutoff)]
    removed: list[Removable] = []
    for look, before in zip(looks, _seen(root, looks), strict=True):
        if before:
            still = [item for item in look() if item in before]
            remove(still)
            removed += still
    return removed


def remove(items: Iterable[Removable]) -> None:
    """Delete these files.

    Raises:
        StorageError: the file system refused.
    """
    for item in items:
        with os_errors(item.path, "cannot be deleted"):
            remove_file(item.path)


def _seen(folder: Path, looks: Sequence[Look]) -> list[list[Removable]]:
    return at_once(folder, lambda look: look(), looks)


def _looks_at_sources(cache: Path, cutoff: str) -> list[Look]:
    limit = _limit(cache, cutoff)
    return [partial(_of_source, cache / source, limit) for source in sources(cache)]


def _looks_at_builds(root: Path, cutoff: str) -> list[Look]:
    if not is_remote(root):
        return []
    chunks = root / "chunks"
    with os_errors(chunks, "cannot be read"):
        folders = [root, root / "labels", *(chunks / name for name in folders_in(chunks))]
    return [partial(_of_builds, folder, _limit(root, cutoff)) for folder in folders]


def _limit(folder: Path, cutoff: str) -> str:
    """From when on things stay, ISO, JST.

    In an object store no later than a day ago: what another host is about to commit lies there
    without what will need it, and no lock tells.
    """
    if not is_remote(folder):
        return cutoff
    zone = dt.datetime.fromisoformat(cutoff).tzinfo
    return min(cutoff, (_now() - _GRACE).astimezone(zone).isoformat(timespec="seconds"))


def _now() -> dt.datetime:
    """The moment by the clock, as the store dates what is written; not that of the run."""
    return dt.datetime.now(dt.UTC)


def _of_source(folder: Path, limit: str) -> list[Removable]:
    """What of a source can go.

    Its parts are listed before its snapshots are read: one that is committed in between and lists
    a part is heeded.
    """
    sizes, notes = parts_in(folder / "parts")
    contents = _snapshot_files(folder)
    found = _documents(contents)
    gone = _old(folder, _unneeded(found, limit), limit)
    staying = [document for path, document in found.items() if path not in gone]
    groups: list[list[Removable]] = []
    if None not in staying:
        listed = {part["file"] for document in staying if document for part in document["parts"]}
        groups = list(_of_parts(folder / "parts", sizes, notes, listed, limit))
    old = _old(folder, [group[0].path for group in groups], limit)
    return [
        *(Removable("snapshot", path, len(contents[path])) for path in contents if path in gone),
        *(item for group in groups if group[0].path in old for item in group),
        *_spool(on_host(folder.parents[1]) / "cache" / folder.name / "spool", limit),
    ]


def _unneeded(found: Mapping[Path, Mapping[str, Any] | None], limit: str) -> list[Path]:
    """The snapshots that can go, if they were not written lately."""
    newest: dict[str, str] = defaultdict(str)
    for document in found.values():
        if document is not None:
            origin = document["origin"]
            newest[origin] = max(newest[origin], document["checked_at"])
    return [
        path
        for path, document in found.items()
        if not _PINNED.fullmatch(path.stem)
        and (document is None or not _stays(document, limit, newest[document["origin"]]))
    ]


def _stays(document: Mapping[str, Any], limit: str, newest: str) -> bool:
    return (
        document["tag"] is not None
        or document["asof"] is not None
        or document["checked_at"] >= limit
        or document["checked_at"] == newest
    )


def _of_parts(
    folder: Path,
    sizes: Mapping[str, int],
    notes: Mapping[Path, Part | None],
    listed: set[str],
    limit: str,
) -> Iterator[list[Removable]]:
    """Parts and what is left of some; what belongs together goes or stays together.

    Args:
        listed: files that a remaining snapshot lists; they stay, with a note or without.
    """
    whole = [part for part in notes.values() if part is not None]
    needed = listed | _in_force(whole)
    for path, part in notes.items():
        note = Removable("part", path, sizes[path.name])
        if part is None and path.with_suffix(".parquet").name not in listed:
            yield [note]
        elif part is not None and part.file not in needed and _last_heard(part) < limit:
            # the note first: without it the part does not count
            yield [note, Removable("part", path.with_name(part.file), part.bytes)]
    committed = {part.file for part in whole}
    for name in sorted(sizes):
        if name.endswith(".parquet") and name not in committed | listed:
            yield [Removable("fragment", folder / name, sizes[name])]


def _of_builds(folder: Path, limit: str) -> list[Removable]:
    found = replaced_in(folder, limit)
    return [Removable("superseded", path, size) for path, size in found.items()]


def _in_force(parts: Sequence[Part]) -> set[str]:
    """Files that hold the newest version of some day, or of the whole source, of their origin."""
    files = set()
    for origin in {part.origin for part in parts}:
        ours = [part for part in parts if part.origin == origin]
        files |= {part.file for part, _ in newest_days(ours).values()}
        pieces = [part for part in ours if not part.days]
        if pieces:
            files.add(max(pieces, key=lambda part: (part.fetched_at, part.file)).file)
    return files


def _spool(folder: Path, cutoff: str) -> Iterator[Removable]:
    """Days and downloads of runs that ended early and were never taken up."""
    arrived = {entry.path: entry.arrived for entry in entries(folder)}
    oldest = dt.datetime.fromisoformat(cutoff).timestamp()
    for path in sorted(path for path in folder.glob("*") if path.is_file()):
        old = arrived[path] < cutoff if path in arrived else path.stat().st_mtime < oldest
        if old:
            yield Removable("spool", path, _size(path))


def _old(folder: Path, paths: Sequence[Path], limit: str) -> set[Path]:
    """Those of some files that are there and were last written before the limit; all of them on a
    disk, where a lock keeps others away.

    Raises:
        StorageError: of one it cannot be told.
    """
    if not is_remote(folder):
        return set(paths)
    with os_errors(folder, "cannot be read"):
        moments = at_once(folder, moment_of, paths)
    oldest = dt.datetime.fromisoformat(limit)
    return {
        path
        for path, moment in zip(paths, moments, strict=True)
        if moment is not None and moment < oldest
    }


def _last_heard(part: Part) -> str:
    return max((max(day.arrived, day.checked) for day in part.days), default=part.fetched_at)


def _all(cache: Path) -> dict[Path, Mapping[str, Any] | None]:
    """Every snapshot, by source and key; None for a damaged one.

    Raises:
        StorageError: one cannot be read.
    """
    found: dict[Path, Mapping[str, Any] | None] = {}
    for source in sources(cache):
        found |= _documents(_snapshot_files(cache / source))
    return found


def _snapshot_files(folder: Path) -> dict[Path, bytes]:
    """The content of every snapshot of a source, by name.

    Raises:
        StorageError: one cannot be read.
    """
    with os_errors(folder, "cannot be read"):
        names = sorted(name for name in sizes_in(folder) if name.endswith(".json"))
        return contents_of([folder / name for name in names])


def _documents(contents: Mapping[Path, bytes]) -> dict[Path, Mapping[str, Any] | None]:
    """The snapshots in these files; None for a damaged one."""
    return {path: _document(path, content) for path, content in contents.items()}


def _document(path: Path, content: bytes) -> Mapping[str, Any] | None:
    try:
        return documents.parse_document(content, path, "snapshot")
    except DamagedFile:
        return None


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
