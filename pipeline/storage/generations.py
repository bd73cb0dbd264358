"""What is made anew under a name of its own each time, and of which the newest few are kept.

Datasets and views are named ``ml_dataset_<first>_<last>_<UTC time>_<ending>``.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from pathlib import Path

from pipeline.errors import MissingData
from pipeline.storage.atomic import os_errors, pointed_at
from pipeline.storage.chunks import Clock
from pipeline.storage.merged import Source, date_range

KEPT = 3

_STAMP = "%Y%m%dT%H%M%SZ"


def new_path(folder: Path, sources: Sequence[Source], ending: str, clock: Clock, what: str) -> Path:
    """A name not yet taken: range of the rows and time in UTC.

    Args:
        sources: the chunks it is made of, in order of time.
        what: is being made, for the message.

    Raises:
        MissingData: the chunks hold no rows.
    """
    first, last = date_range(sources)
    if first is None or last is None:
        raise MissingData(f"{what}: the chunks hold no rows at all", "build more chunks first")
    moment = clock().astimezone(dt.UTC)
    while True:
        path = folder / f"ml_dataset_{first}_{last}_{moment:{_STAMP}}_{ending}".replace("-", "")
        if not path.exists():
            return path
        moment += dt.timedelta(seconds=1)


def outdated(folder: Path, ending: str, keep: int, latest: Path) -> list[Path]:
    """All but the newest ``keep``; the one that the link ``latest`` shows is never among them.

    Raises:
        StorageError: the folder cannot be read.
    """
    name = re.compile(
        rf"ml_dataset_[0-9]{{8}}_[0-9]{{8}}_([0-9]{{8}}T[0-9]{{6}}Z)_{re.escape(ending)}"
    )
    with os_errors(folder):
        published = (pointed_at(latest) or "").rpartition("/")[2]
        paths = list(folder.iterdir()) if folder.is_dir() else []
    stamped = sorted((m[1], path) for path in paths if (m := name.fullmatch(path.name)))
    old = [path for _, path in stamped[: max(len(stamped) - keep, 0)]]
    return [path for path in old if path.name != published]
