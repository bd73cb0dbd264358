"""What of received rows could not be taken as it came: unreadable values and repeated rows.

An unreadable value is stored as null and a repeated row is dropped, but neither happens in silence:
both are counted per day and travel with the rows, from the page they came on to the report. On the
way they are schema metadata of the table, so that whatever keeps a table keeps them too; they are
taken off before rows become a Parquet part, whose bytes depend on the rows alone.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import pyarrow as pa

#: Kinds of entries.
VALUE: Final = "value"
REPEATED: Final = "repeated row"

#: Of the values of a field in a month: with more unreadable ones the month is refused.
QUARANTINE_SHARE: Final = 0.01
#: Unreadable values of a field that are never a refusal, however few values there are: with twenty
#: rows in a month one misspelled value is 5 %, and says nothing about the others.
QUARANTINE_FEWEST: Final = 5

OTHERS: Final = "(other spellings)"
_SPELLINGS = 20  # of a field that are told apart; the rest are counted together
_SPELLING_CHARS = 40
_RECORD_CHARS = 160
_KEY: Final = b"g5.quarantine"

_log = logging.getLogger(__name__)
_logged: set[tuple[str, str, str, str]] = set()
_lock = threading.Lock()


@dataclass(frozen=True)
class Entry:
    """Values of one field with one spelling, or repeated rows.

    Attributes:
        kind: ``value`` or ``repeated row``.
        field: name on the wire; empty for rows.
        spelling: as it came, shortened, control characters escaped; ``OTHERS`` for all beyond the
            first few; empty for rows.
        count: how many.
        first, last: days of the rows, ISO; the same one until entries are merged.
        record: day and key of the first of them.
    """

    kind: str
    field: str
    spelling: str
    count: int
    first: str
    last: str
    record: str


def shown(value: object) -> str:
    """A value for people: one line, printable, shortened."""
    text = value if isinstance(value, str) else str(value)
    cut = text[: _SPELLING_CHARS + 1]
    if len(cut) > _SPELLING_CHARS:
        cut = f"{cut[:_SPELLING_CHARS]}…"
    return _printable(cut)


def shown_record(row: Mapping[str, object]) -> str:
    """What identifies a row, for people: ``Date 2024-05-10, Code 13010``; shortened."""
    text = ", ".join(f"{name} {shown(value)}" for name, value in row.items() if value is not None)
    return text if len(text) <= _RECORD_CHARS else f"{text[:_RECORD_CHARS]}…"


def merged(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """One entry per kind, field and spelling, in this order; a bounded number of spellings."""
    found: dict[tuple[str, str, str], Entry] = {}
    spellings: dict[tuple[str, str], set[str]] = {}
    for entry in sorted(entries, key=lambda e: (e.first, e.kind, e.field, e.spelling, e.record)):
        known = spellings.setdefault((entry.kind, entry.field), set())
        if entry.spelling != OTHERS and len(known) < _SPELLINGS:
            known.add(entry.spelling)
        spelling = entry.spelling if entry.spelling in known else OTHERS
        key = entry.kind, entry.field, spelling
        before = found.get(key)
        found[key] = replace(entry, spelling=spelling) if before is None else _sum(before, entry)
    return tuple(found[key] for key in sorted(found))


def by_day(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """The same for each day by itself."""
    days: dict[str, list[Entry]] = {}
    for entry in entries:
        days.setdefault(entry.first, []).append(entry)
    return tuple(entry for day in sorted(days) for entry in merged(days[day]))


def of_days(entries: Iterable[Entry], days: Collection[str]) -> tuple[Entry, ...]:
    """Those of some days; entries of one day each."""
    wanted = set(days)
    return tuple(entry for entry in entries if entry.first in wanted)


def noted(table: pa.Table, entries: Iterable[Entry]) -> pa.Table:
    """The table with these entries, per day, in place of those it carries."""
    kept = by_day(entries)
    if not kept:
        return without_notes(table)
    text = json.dumps(to_json(kept), ensure_ascii=False)
    return table.replace_schema_metadata({_KEY: text.encode("utf-8", "replace")})


def without_notes(table: pa.Table) -> pa.Table:
    """The rows alone."""
    return table if table.schema.metadata is None else table.replace_schema_metadata(None)


def notes_of(table: pa.Table) -> tuple[Entry, ...]:
    """The entries that a table carries."""
    text = (table.schema.metadata or {}).get(_KEY)
    return () if text is None else from_json(json.loads(text))


def concatenated(tables: Sequence[pa.Table]) -> pa.Table:
    """The rows of all tables, and the entries of all of them."""
    entries = [entry for table in tables for entry in notes_of(table)]
    return noted(pa.concat_tables([without_notes(table) for table in tables]), entries)


def to_json(entries: Iterable[Entry]) -> list[dict[str, Any]]:
    """As documents hold them."""
    return [asdict(entry) for entry in entries]


def from_json(documents: Iterable[Mapping[str, Any]]) -> tuple[Entry, ...]:
    """From a document.

    Raises:
        TypeError: it holds something else.
    """
    return tuple(Entry(**document) for document in documents)


def say_once(source: str, entries: Iterable[Entry]) -> None:
    """Log each field and spelling of a source once in this process, with its first record."""
    for entry in entries:
        key = (source, entry.kind, entry.field, entry.spelling)
        with _lock:
            if key in _logged:
                continue
            _logged.add(key)
        if entry.kind == REPEATED:
            _log.warning("%s: identical repeated row dropped: %s", source, entry.record)
        else:
            _log.warning(
                "%s: field %s: value %r cannot be read and becomes null; first at %s",
                *(source, entry.field, entry.spelling, entry.record),
            )


def forget_logged() -> None:
    """Log everything again; for tests."""
    with _lock:
        _logged.clear()


def _sum(first: Entry, second: Entry) -> Entry:
    return replace(first, count=first.count + second.count, last=max(first.last, second.last))


def _printable(text: str) -> str:
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
        for char in text
    )
