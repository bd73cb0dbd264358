"""An answer as it came, held against the endpoint table: what is missing, new or spelt otherwise.

Decoding stops at what it cannot read; this counts everything, so that one look at an unknown
server tells all. Nothing of the data leaves this module: a text is repeated only when it is short
and says nothing (``-``, ``N/A``); any other is a shape such as ``A{2}9{1}-9{2}``.
"""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal, Protocol

from pipeline.api.catalogue.endpoints import Endpoint
from pipeline.api.catalogue.fields import Field, Kind

#: missing: a required key is not there. new: a key the table does not know. type: a JSON type the
#: field does not allow. spelling: a text that is none of what the field may hold. padding: a member
#: of a closed list without its leading zeros. member: not in the closed list at all.
Difference = Literal["missing", "new", "type", "spelling", "padding", "member"]

_JSON_TYPES: Mapping[type, str] = {
    str: "text",
    bool: "boolean",
    int: "integer",
    float: "number",
    list: "array",
    dict: "object",
    type(None): "null",
}
_ALLOWED: Mapping[Kind, frozenset[str]] = {
    "text": frozenset(("text", "null")),
    "flag": frozenset(("text", "integer", "null")),
    "date": frozenset(("text", "null")),
    "number": frozenset(("number", "integer", "text", "null")),
}
_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?", re.ASCII)
_FLAG = re.compile(r"[01]")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.]{0,39}")
_TOKEN = re.compile(r"[\W_]{0,3}|n/?a|nan|null|none|nil", re.IGNORECASE)  # says nothing
_MOST_SHAPE = 40  # characters
_ABSENT = object()


class ClosedList(Protocol):
    """A coded field and everything it may hold; see ``market.closed_lists``."""

    @property
    def field(self) -> str: ...

    def knows(self, text: str) -> bool:
        """True for a member, however it is padded, and for a blank where one is allowed."""

    def member(self, text: str) -> str:
        """The text with the padding of a member."""


@dataclass(frozen=True)
class FieldFinding:
    """One way in which a field differs from the table.

    Attributes:
        field: its name in the table, or as it was sent when it is new.
        seen: JSON type, token or shape that was met; "" for a key that is missing.
        rows: how many rows.
        value: the text itself where it is an unknown member of a closed list, for the eyes of
            the account's owner only; else "".
    """

    field: str
    difference: Difference
    seen: str
    rows: int
    value: str = ""


@dataclass(frozen=True)
class FieldFindings:
    """What an answer holds.

    Attributes:
        rows: objects in it.
        types: how often each JSON type was met, by field of the table; ``absent`` is one of them.
        findings: in the order of the table, new fields last.
        repeated: rows that equal an earlier one; always 0 where the vendor names no key.
        conflicting: rows with the key of an earlier one and other values.
        elsewhere: rows dated outside the days asked for.
    """

    rows: int
    types: Mapping[str, Mapping[str, int]]
    findings: tuple[FieldFinding, ...]
    repeated: int
    conflicting: int
    elsewhere: int


def examine(
    endpoint: Endpoint,
    rows: Sequence[Mapping[str, Any]],
    *,
    first: dt.date | None = None,
    last: dt.date | None = None,
    lists: Iterable[ClosedList] = (),
) -> FieldFindings:
    """Hold the rows of an answer against the endpoint table.

    Args:
        rows: JSON objects as they came.
        first, last: days asked for; None leaves that end open.
        lists: closed lists of the source.
    """
    members = {known.field: known for known in lists}
    types: dict[str, Mapping[str, int]] = {}
    findings: list[FieldFinding] = []
    for field in endpoint.fields:
        values = [_value(row, field) for row in rows]
        types[field.name] = Counter(_type(value) for value in values)
        findings += _of_field(endpoint, field, rows, values, members.get(field.name))
    findings += _new(endpoint, rows)
    repeated, conflicting = _doubles(endpoint, rows)
    return FieldFindings(
        rows=len(rows),
        types=types,
        findings=tuple(findings),
        repeated=repeated,
        conflicting=conflicting,
        elsewhere=_elsewhere(endpoint, rows, first, last),
    )


def spelled(text: str) -> str:
    """The text itself when it is short and says nothing, such as ``*`` or ``N/A``; else its shape.

    A shape names runs of digits, capital, small and other letters with their lengths, so that it
    equals no text it may stand for: ``9{4}-9{2}-9{2}`` for a date.
    """
    return text if _TOKEN.fullmatch(text) else shape(text)


def shape(text: str) -> str:
    """Runs of digits (9), capital (A), small (a) and other letters (L) with their lengths."""
    runs = [(kind, len(list(run))) for kind, run in groupby(text[: 4 * _MOST_SHAPE], _kind)]
    whole = "".join(f"{kind}{{{n}}}" if kind.isalnum() else kind * n for kind, n in runs)
    return whole if len(whole) <= _MOST_SHAPE else f"{whole[:_MOST_SHAPE]}..."


def name_of(key: object) -> str:
    """The name of a field as it may be shown: itself when it looks like one, else its shape."""
    text = str(key)
    return text if _NAME.fullmatch(text) else shape(text)


def type_of(value: object) -> str:
    """The JSON type of a value: text, integer, number, boolean, null, object or array."""
    return _JSON_TYPES.get(type(value), "other")


def _kind(letter: str) -> str:
    if letter.isdigit():
        return "9"
    if not letter.isalpha():
        return letter if letter.isascii() and letter.isprintable() else "?"
    if letter.isascii():
        return "A" if letter.isupper() else "a"
    return "L"


def _type(value: object) -> str:
    return "absent" if value is _ABSENT else type_of(value)


def _value(row: Mapping[str, Any], field: Field) -> object:
    """What a row holds of a field; a nested one is absent when its object is none."""
    if not field.inner:
        return row.get(field.name, _ABSENT)
    outer = row.get(field.outer)
    return outer.get(field.inner, _ABSENT) if isinstance(outer, dict) else _ABSENT


def _of_field(
    endpoint: Endpoint,
    field: Field,
    rows: Sequence[Mapping[str, Any]],
    values: Sequence[object],
    members: ClosedList | None,
) -> Iterable[FieldFinding]:
    gone = sum(
        value is _ABSENT and _is_due(endpoint, field, row)
        for row, value in zip(rows, values, strict=True)
    )
    if gone and field.required:
        yield FieldFinding(field.name, "missing", "", gone)
    met: Counter[tuple[Difference, str, str]] = Counter()
    for value in values:
        if value is _ABSENT:
            continue
        kind = type_of(value)
        if kind not in _ALLOWED[field.kind]:
            met["type", kind, ""] += 1
        elif isinstance(value, str):
            met.update(_of_text(field, value, members))
    for (difference, seen, value), count in sorted(met.items()):
        yield FieldFinding(field.name, difference, seen, count, value)


def _of_text(
    field: Field, text: str, members: ClosedList | None
) -> Iterable[tuple[Difference, str, str]]:
    if text in field.missing:
        return
    if not _reads(field, text):
        yield "spelling", spelled(text), ""
    elif members is not None and not members.knows(text):
        yield "member", spelled(text), text[:40]
    elif members is not None and text and members.member(text) != text:
        yield "padding", shape(text), ""


def _reads(field: Field, text: str) -> bool:
    """True when the text is a value of the field."""
    if field.kind == "number":
        return _NUMBER.fullmatch(text) is not None
    if field.kind == "flag":
        return _FLAG.fullmatch(text) is not None
    return field.kind == "text" or _date(text) is not None


def _date(text: object) -> dt.date | None:
    try:
        day = dt.date.fromisoformat(str(text))
    except ValueError:
        return None
    return day if day.isoformat() == text else None


def _is_due(endpoint: Endpoint, field: Field, row: Mapping[str, Any]) -> bool:
    """True when a row is dated late enough to need the field, and its object is not at fault."""
    if field.inner and field.outer in row and not isinstance(row[field.outer], dict):
        return False  # one finding, of the object
    return field.since is None or str(row.get(endpoint.date_field)) >= field.since.isoformat()


def _new(endpoint: Endpoint, rows: Sequence[Mapping[str, Any]]) -> Iterable[FieldFinding]:
    """Keys the table does not know, and nested fields whose object is none."""
    outers = {field.outer for field in endpoint.fields if field.inner}
    known = {field.outer for field in endpoint.fields}
    inners = {field.name for field in endpoint.fields if field.inner}
    new: Counter[tuple[str, Difference, str]] = Counter()
    for row in rows:
        for key, value in row.items():
            if key in outers and isinstance(value, dict):
                names = (f"{key}.{inner}" for inner in value)
                new.update(
                    (name_of(name), "new", type_of(value[name.partition(".")[2]]))
                    for name in names
                    if name not in inners
                )
            elif key in outers:
                new[key, "type", type_of(value)] += 1
            elif key not in known and key not in inners:
                new[name_of(key), "new", type_of(value)] += 1
    for (name, difference, seen), count in sorted(new.items()):
        yield FieldFinding(name, difference, seen, count)


def _doubles(endpoint: Endpoint, rows: Sequence[Mapping[str, Any]]) -> tuple[int, int]:
    """Rows that repeat an earlier one, and rows that contradict one."""
    if not endpoint.unique:
        return 0, 0
    seen: dict[tuple[str, ...], Mapping[str, Any]] = {}
    repeated = conflicting = 0
    for row in rows:
        key = tuple(str(row.get(name)) for name in endpoint.key)
        earlier = seen.setdefault(key, row)
        if earlier is not row:
            repeated += earlier == row
            conflicting += earlier != row
    return repeated, conflicting


def _elsewhere(
    endpoint: Endpoint,
    rows: Sequence[Mapping[str, Any]],
    first: dt.date | None,
    last: dt.date | None,
) -> int:
    days = [_date(row.get(endpoint.date_field)) for row in rows]
    return sum(
        (first is not None and day < first) or (last is not None and day > last)
        for day in days
        if day is not None
    )
