"""What the cache holds, and what of it nobody needs any more.

A snapshot goes when it is old, unless it has a tag or an as-of day, which pin it, or is the newest
of its source. A part goes when it is old, no remaining snapshot lists it, and newer ones hold all
its days: what the cache knows of a day is never lost, to be asked for again. So earlier versions
of corrected days live as long as a snapshot that lists them: to keep what was known on a day for
good, make a snapshot with ``source_cache_asof`` or a tag.
"""

from __future__ import annotations

import datetime as dt
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import MissingData, StorageError, UsageError
from pipeline.storage import documents
from pipeline.storage.atomic import is_content, os_errors, pointed_at, remove_file
from pipeline.storage.parts import Part, newest_days, notes_in
from pipeline.storage.place import folders_in, is_remote, on_host, sizes_in, written_at
from pipeline.storage.spool import entries

_KEY = re.compile(
    r"[a-z0-9_]+_raw_\d{4}-\d\d-\d\d_\d{4}-\d\d-\d\d(_asof-\d{4}-\d\d-\d\d)?"
    r"(_[A-Za-z0-9][A-Za-z0-9._-]*)?"
)


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


def sources(cache: Path) -> list[str]:
    """Sources that have a folder, sorted."""
    return sorted(folder.name for folder in cache.glob("*") if folder.is_dir())


def snapshots(cache: Path) -> list[Mapping[str, Any]]:
    """Every readable snapshot of every origin, by source and key."""
    found = [_document(path) for path in sorted(cache.glob("*/*.json"))]
    return [document for document in found if document is not None]


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
    """Size of all parts of a source on disk."""
    return sum(_size(path) for path in (cache / source / "parts").glob("*.parquet"))


def removable(cache: Path, cutoff: str) -> list[Removable]:
    """Files nobody needs any more. On a disk only to be asked while no run holds the output folder.

    Args:
        cutoff: ISO moment, JST; what was checked, received or used since then stays, in an object
            store also what was written since.
    """
    return [item for source in sources(cache) for item in _of_source(cache / source, cutoff)]


def superseded(root: Path, cutoff: str) -> list[Removable]:
    """What in an object store nothing points at any more: earlier builds and uploads cut short.

    Args:
        cutoff: ISO moment, JST; what was written since then stays, somebody may be reading it.
    """
    if not is_remote(root):
        return []
    oldest = dt.datetime.fromisoformat(cutoff)
    folders = [root, root / "labels", *(root / "chunks" / n for n in folders_in(root / "chunks"))]
    found = []
    for folder in folders:
        names = sizes_in(folder)
        shown = {pointed_at(folder / name) for name in names if name.endswith(".parquet")
                 and not is_content(name)}  # fmt: skip
        for name in sorted(names):
            path = folder / name
            if is_content(name) and name not in shown and written_at(path) < oldest:
                found.append(Removable("superseded", path, names[name]))
    return found


def remove(items: Iterable[Removable]) -> None:
    """Delete these files.

    Raises:
        StorageError: the file system refused.
    """
    for item in items:
        with os_errors(item.path, "cannot be deleted"):
            remove_file(item.path)


def _of_source(folder: Path, cutoff: str) -> Iterator[Removable]:
    kept, dropped = _snapshots(folder, cutoff)
    for path in dropped:
        yield Removable("snapshot", path, _size(path))
    listed = {part["file"] for document in kept for part in document["parts"]}
    notes = notes_in(folder / "parts")
    committed = {part.file for part in notes.values() if part is not None}
    listed |= _in_force([part for part in notes.values() if part is not None])
    for path, part in notes.items():
        if part is None and not _under_way(path, cutoff):
            yield Removable("part", path, _size(path))
        elif part is not None and part.file not in listed and _last_heard(part) < cutoff:
            # the note first: without it the part does not count
            yield Removable("part", path, _size(path))
            yield Removable("part", path.with_name(part.file), part.bytes)
    for path in sorted((folder / "parts").glob("*.parquet")):
        if path.name not in committed and not _under_way(path, cutoff):
            yield Removable("fragment", path, _size(path))
    yield from _spool(on_host(folder.parents[1]) / "cache" / folder.name / "spool", cutoff)


def _snapshots(folder: Path, cutoff: str) -> tuple[list[Mapping[str, Any]], list[Path]]:
    """The snapshots that stay, and the files of those that go."""
    found = {path: _document(path) for path in sorted(folder.glob("*.json"))}
    newest: dict[str, str] = defaultdict(str)
    for document in found.values():
        if document is not None:
            origin = document["origin"]
            newest[origin] = max(newest[origin], document["checked_at"])
    kept, dropped = [], []
    for path, document in found.items():
        if document is not None and (
            document["tag"] is not None
            or document["asof"] is not None
            or document["checked_at"] >= cutoff
            or document["checked_at"] == newest[document["origin"]]
        ):
            kept.append(document)
        else:
            dropped.append(path)
    return kept, dropped


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


def _under_way(path: Path, cutoff: str) -> bool:
    """Whether another host may be committing it: an object store is not held by one run alone."""
    with os_errors(path, "cannot be read"):
        return is_remote(path) and written_at(path) >= dt.datetime.fromisoformat(cutoff)


def _last_heard(part: Part) -> str:
    return max((max(day.arrived, day.checked) for day in part.days), default=part.fetched_at)


def _document(path: Path) -> Mapping[str, Any] | None:
    try:
        return documents.read_document(path, "snapshot")
    except StorageError:
        return None


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
