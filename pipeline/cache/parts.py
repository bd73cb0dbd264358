"""Parts: the pieces in which a source is kept, and which of them count.

A part is a Parquet file with a JSON note of its provenance beside it, which commits it. It says of
each day it answers for when that content was first seen; per day the newest one counts, or the
newest that had arrived by an as-of day.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.filesystem.atomic import os_errors
from pipeline.filesystem.location import contents_of, sizes_in


@dataclass(frozen=True)
class Day:
    """What a part holds of one day.

    Attributes:
        date: the day, ISO.
        rows: their number; 0 where the source had nothing to say.
        arrived: when this content was first seen, ISO, JST.
        checked: when the server last gave the same, ISO, JST.
    """

    date: str
    rows: int
    arrived: str
    checked: str


@dataclass(frozen=True)
class Part:
    """One immutable piece of a source.

    Attributes:
        period: ``YYYY-MM``, ``YYYY-MM-DD`` or ``all``.
        file: name inside ``parts/``.
        sha256: of the file.
        rows, bytes: size.
        days: days the part answers for, ascending; empty for period ``all``.
        origin: api, files or simulator.
        route: how it came: requests, bulk or files, several joined by ``+``.
        fetched_at: when its newest content was first seen, ISO, JST.
        quarantine: entries of ``pipeline.quarantine`` as documents, of one day each.
    """

    period: str
    file: str
    sha256: str
    rows: int
    bytes: int
    days: tuple[Day, ...]
    origin: str
    route: str
    fetched_at: str
    quarantine: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class Selection:
    """Days taken from one part.

    Attributes:
        days: those that count, ascending; the part may hold others.
    """

    part: Part
    days: tuple[Day, ...]

    @property
    def whole(self) -> bool:
        """True when nothing of the part is left aside."""
        return len(self.days) == len(self.part.days)


def newest_days(parts: Iterable[Part], asof: str | None = None) -> dict[str, tuple[Part, Day]]:
    """Per day the version that counts, and the part that holds it.

    That is the newest one, or the newest that had arrived by the end of ``asof``. Where several
    parts hold it, the largest one, so that few files are read.
    """
    best: dict[str, tuple[Part, Day]] = {}
    for part in parts:
        for day in part.days:
            late = asof is not None and day.arrived[:10] > asof
            if late or (day.date in best and _rank(part, day) <= _rank(*best[day.date])):
                continue
            best[day.date] = part, day
    return best


def select(
    parts: Iterable[Part], wanted: Sequence[str], asof: str | None = None
) -> tuple[list[Selection], list[str]]:
    """The parts that together answer for the wanted days, each day exactly once.

    Args:
        asof: only what had arrived by the end of this day counts.

    Returns:
        What is taken from each part, in order of their days, and the wanted days nobody has.
    """
    best = newest_days(parts, asof)
    taken: dict[str, list[Day]] = defaultdict(list)
    by_file: dict[str, Part] = {}
    for date in sorted(set(wanted) & best.keys()):
        part, day = best[date]
        by_file[part.file] = part
        taken[part.file].append(day)
    selections = [Selection(by_file[file], tuple(days)) for file, days in taken.items()]
    return selections, [date for date in wanted if date not in best]


def _rank(part: Part, day: Day) -> tuple[str, int, str]:
    return day.arrived, len(part.days), part.file


def notes_in(folder: Path) -> dict[Path, Part | None]:
    """The notes of a folder of parts, by path; None for what is no note, or of a part that is not
    whole.

    Raises:
        StorageError: the folder or a note cannot be read.
    """
    return parts_in(folder)[1]


def parts_in(folder: Path) -> tuple[dict[str, int], dict[Path, Part | None]]:
    """Name and size of every file of a folder of parts and, of the same listing, its notes.

    Raises:
        StorageError: the folder or a note cannot be read.
    """
    with os_errors(folder, "cannot be read"):
        sizes = sizes_in(folder)
        notes = contents_of([folder / name for name in sorted(sizes) if name.endswith(".json")])
    return sizes, {path: _part(content, sizes) for path, content in notes.items()}


def _part(content: bytes, sizes: Mapping[str, int]) -> Part | None:
    try:
        note = json.loads(content)
        part = Part(
            **{
                **note,
                "days": tuple(Day(**day) for day in note["days"]),
                "quarantine": tuple(note.get("quarantine", ())),  # older notes have none
            }
        )
    except (ValueError, TypeError, KeyError):
        return None
    return part if sizes.get(part.file) == part.bytes else None
