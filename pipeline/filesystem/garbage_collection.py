"""What in an object store nothing points at any more: earlier builds, and uploads cut short."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from pipeline.filesystem.atomic import is_content, os_errors, pointed_at
from pipeline.filesystem.location import sizes_in, written_at


def replaced_in(folder: Path, limit: str) -> dict[Path, int]:
    """Path and size of what in a folder of an object store nothing points at any more.

    Args:
        limit: ISO moment; what was written or replaced since then stays.

    Raises:
        StorageError: something cannot be read, so that nobody knows what is pointed at.
    """
    with os_errors(folder, "cannot be read"):
        sizes = sizes_in(folder)
    contents: dict[Path, list[Path]] = defaultdict(list)
    for path in (folder / name for name in sorted(sizes) if is_content(name)):
        contents[_shown_under(path)].append(path)
    found = []
    for pointer, ours in contents.items():
        with os_errors(pointer, "cannot be read"):
            found += _replaced(pointer, ours, dt.datetime.fromisoformat(limit))
    return {path: sizes[path.name] for path in found}


def _replaced(pointer: Path, contents: Iterable[Path], limit: dt.datetime) -> list[Path]:
    """Those that were written and replaced before the limit.

    A file is replaced when the pointer is written once more. The pointer only tells the last time,
    which for one that turns every day is never long ago, so the next upload under the name counts
    as well; one that was cut short before the pointer turned dates the replacement too early.
    Where there is no pointer, only the age of a file is known.

    Raises:
        OSError: something cannot be read.
    """
    shown = pointed_at(pointer)
    turned = moment_of(pointer)
    if shown is None and turned is not None:
        return []  # it names nothing, so nobody knows what it is to show
    written = {path: moment_of(path) for path in contents if path.name != shown}
    moments = [moment for moment in (*written.values(), turned) if moment is not None]
    return [
        path
        for path, moment in written.items()
        if moment is not None
        and min((later for later in moments if later > moment), default=moment) < limit
    ]


def moment_of(path: Path) -> dt.datetime | None:
    """When it was written; None when it is not there.

    Raises:
        OSError: it cannot be told.
    """
    try:
        return written_at(path)
    except FileNotFoundError:
        return None


def _shown_under(content: Path) -> Path:
    """The pointer that shows, or showed, a file written by ``atomic.renewing``."""
    return content.with_name(f"{content.stem[:-33]}{content.suffix}")  # without -<32 hex digits>
