"""What the vendor changed after the fact, as far as the cache still holds both versions.

A day of a source that came once more with other content is another version of it: the cache keeps
it beside the first one (see ``snapshots``). Earlier versions live as long as a snapshot lists
them, so an empty list says that nothing is known of, not that nothing ever changed.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.cache.parts import Day, Part
from pipeline.cache.snapshots import SnapshotStore


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


@dataclass(frozen=True)
class Found:
    """A correction with what it changed.

    Attributes:
        source, date, replaced, arrived, rows_before, rows: as of a :class:`Correction`.
        added, removed: rows whose key only the later, or only the earlier version has; of a
            source without a key, rows that only one of them has.
        changed: rows with one key and other values.
        fields: how many rows have another value in each field that changed.
        example: the first changed row by its key, such as ``13010``, and the field; "" where
            nothing but rows came or went.
        accepted: the user leaves existing rows as they are, and wants to hear no more of it.
    """

    source: str
    date: str
    replaced: str
    arrived: str
    rows_before: int
    rows: int
    added: int
    removed: int
    changed: int
    fields: Mapping[str, int]
    example: str
    accepted: bool = False

    @property
    def key(self) -> tuple[str, str, str]:
        return self.source, self.date, self.arrived

    def __str__(self) -> str:
        """One line: which day of which source, and what is different."""
        what = [
            f"{number} {word}"
            for number, word in (
                (self.added, "rows added"), (self.removed, "rows removed"),
                (self.changed, "rows changed"),
            )
            if number
        ]  # fmt: skip
        fields = ", ".join(list(self.fields)[:3]) + (", ..." if len(self.fields) > 3 else "")
        where = f" in {fields}" if fields else ""
        example = f", first {self.example}" if self.example else ""
        return f"{self.source} {self.date}: {', '.join(what) or 'order of rows'}{where}{example}"


def compared(
    correction: Correction, before: pa.Table, after: pa.Table, key: Sequence[str]
) -> Found:
    """What a correction changed.

    Args:
        before, after: the rows of the day in both versions, with the same columns.
        key: columns that tell rows apart; empty where nothing does.
    """
    facts = {name: getattr(correction, name) for name in Correction.__dataclass_fields__}
    if not key:
        lines = [Counter(map(repr, table.to_pylist())) for table in (before, after)]
        removed, added = (lines[0] - lines[1]).total(), (lines[1] - lines[0]).total()
        return Found(**facts, added=added, removed=removed, changed=0, fields={}, example="")
    old, new = (
        {tuple(str(row[name]) for name in key): row for row in table.to_pylist()}
        for table in (before, after)
    )
    fields: Counter[str] = Counter()
    changed, example = 0, ""
    for which in sorted(old.keys() & new.keys()):
        other = [name for name, value in new[which].items() if value != old[which][name]]
        fields.update(other)
        changed += bool(other)
        if other and not example:
            example = f"{'/'.join(which)} {other[0]}"
    return Found(
        **facts,
        added=len(new.keys() - old.keys()),
        removed=len(old.keys() - new.keys()),
        changed=changed,
        fields=dict(sorted(fields.items())),
        example=example,
    )


def details_of(
    store: SnapshotStore,
    correction: Correction,
    parts: Sequence[Part],
    date_field: str,
    key: Sequence[str],
) -> Found:
    """What a correction changed, from the two versions of its day in the cache.

    Args:
        parts: of the source; those that hold the versions are among them.
        key: columns that tell rows apart; empty where nothing does.

    Raises:
        StorageError: a part is missing or damaged.
    """

    def version(arrived: str) -> pa.Table:
        part = next(
            part
            for part in parts
            if any(day.date == correction.date and day.arrived == arrived for day in part.days)
        )
        table = store.read_part(correction.source, part.file)
        day = pa.scalar(dt.date.fromisoformat(correction.date), pa.date32())
        return table.filter(pc.equal(table[date_field], day))

    return compared(correction, version(correction.replaced), version(correction.arrived), key)
