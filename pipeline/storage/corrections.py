"""What the vendor changed after the fact, as far as the cache still holds both versions.

A day of a source that came once more with other content is another version of it: the cache keeps
it beside the first one (see ``snapshots``). Earlier versions live as long as a snapshot lists
them, so an empty list says that nothing is known of, not that nothing ever changed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from pipeline.storage.parts import Day, Part
from pipeline.storage.snapshots import SnapshotStore


@dataclass(frozen=True, order=True)
class Correction:
    """One version of a day that took the place of another.

    Attributes:
        source: where it happened.
        date: the day, ISO.
        replaced: when the version before was first seen, ISO, JST.
        arrived: when this one was first seen, ISO, JST.
        rows_before: number of rows of the version before.
        rows: number of rows of this one; the same number may hold other values.
    """

    source: str
    date: str
    replaced: str
    arrived: str
    rows_before: int
    rows: int


@dataclass(frozen=True)
class Superseded:
    """A day that came with other content after rows that used it were published.

    Attributes:
        date: the day, ISO.
        arrived: when the other content was first seen, ISO, JST.
    """

    source: str
    date: str
    arrived: str


def corrections_in(source: str, parts: Iterable[Part]) -> list[Correction]:
    """Every change of every day in some parts of one source, by day and arrival.

    Sources that are always fetched in one piece have no days, and no corrections.
    """
    versions: dict[str, dict[str, Day]] = defaultdict(dict)
    for part in parts:
        for day in part.days:
            versions[day.date][day.arrived] = day
    return [
        Correction(source, date, before.arrived, after.arrived, before.rows, after.rows)
        for date, found in sorted(versions.items())
        for before, after in pairwise(found[arrived] for arrived in sorted(found))
    ]


def corrections(
    store: SnapshotStore, sources: Iterable[str], first: str = "", last: str = "9"
) -> list[Correction]:
    """The corrections of some sources in the cache, of the days in [first, last].

    Args:
        first, last: days, ISO.
    """
    return [
        correction
        for source in sources
        for correction in corrections_in(source, store.parts(source))
        if first <= correction.date <= last
    ]


def arrived_between(
    found: Sequence[Correction], after: Mapping[str, str], until: Mapping[str, str]
) -> list[Correction]:
    """Those that one reading of the cache did not see yet and a later one does.

    Args:
        after, until: up to which moment each reading knew a source, ISO, JST; a source that a
            reading did not have is passed over.
    """
    return [
        correction
        for correction in found
        if correction.source in after
        and correction.source in until
        and after[correction.source] < correction.arrived <= until[correction.source]
    ]
