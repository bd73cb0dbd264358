"""Thrift's compact protocol as a tree that keeps every field, known or not.

A struct is a dict from field id to ``(type, value)`` in the order of the file. Values:

===================  ============================================================
BYTE, I16, I32, I64  int
TRUE, FALSE          None: the type says it all
DOUBLE, UUID         the 8 or 16 bytes as they are
BINARY               bytes, also for text
LIST, SET            ``Items``: type of the elements, and the elements; a bool is its byte
MAP                  ``Pairs``: types of keys and values, and the pairs
STRUCT               a struct
===================  ============================================================

A container deeper than one looks may stay encoded: its value is then its bytes. Passing over it
takes half the time of taking it to pieces and putting it together again.

What was decoded encodes to the same bytes if they were in the shortest form, which all known
writers use. The decoder takes bytes from anywhere: it raises ``ThriftError`` for what is cut off
or nonsense, and never allocates more than the input justifies.

Specification: Apache Thrift, doc/specs/thrift-compact-protocol.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

Field = tuple[int, Any]
Struct = dict[int, Field]

TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, MAP, STRUCT, UUID = range(1, 14)

INTEGERS = frozenset({I16, I32, I64})
_FIXED = {DOUBLE: 8, UUID: 16}
CONTAINERS = frozenset({LIST, SET, MAP, STRUCT})
DEEPEST = 32  # Parquet needs six levels; a damaged file must not exhaust the stack
_LONGEST = 70  # bits of a varint: ten bytes


class ThriftError(ValueError):
    """Bytes that are no compact Thrift."""


class Items(NamedTuple):
    """The elements of a list or set and their type."""

    kind: int
    items: list[Any]


class Pairs(NamedTuple):
    """The entries of a map and their types."""

    key: int
    value: int
    pairs: list[tuple[Any, Any]]


class Cursor:
    """Walks through encoded structs from the front; long lists element by element.

    So memory goes by the largest element and not by the list, and elements that are let go at
    once never wake the garbage collector, which would take three times the time of the decoding.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def fields(self) -> Iterator[tuple[int, int]]:
        """Id and type of each field of the struct that begins here.

        The caller takes the value of each, with :meth:`value` or :meth:`list_start`, before it
        asks for the next.

        Raises:
            ThriftError: the bytes are cut off or nonsense.
        """
        last = 0
        try:
            while self._data[self._at]:
                kind, last, self._at = field_header(self._data, self._at, last)
                yield last, kind
        except IndexError as error:
            raise ThriftError("cut off") from error
        self._at += 1

    def value(self, kind: int, levels: int = DEEPEST) -> Any:
        """The value that begins here.

        Args:
            kind: its type.
            levels: how many containers deep it is decoded; what is deeper stays encoded.

        Raises:
            ThriftError: the bytes are cut off or nonsense.
        """
        try:
            value, self._at = _value(self._data, self._at, kind, levels)
        except IndexError as error:
            raise ThriftError("cut off") from error
        return value

    def list_start(self, kind: int) -> tuple[int, int]:
        """Type and number of the elements of the list that begins here; they come next.

        Raises:
            ThriftError: the field is no list, or the bytes are cut off.
        """
        if kind != LIST:
            raise ThriftError(f"a field of type {kind}; expected a list")
        try:
            inner, count, self._at = list_header(self._data, self._at)
        except IndexError as error:
            raise ThriftError("cut off") from error
        return inner, count


def decode(data: bytes) -> Struct:
    """The struct at the front of some bytes.

    Raises:
        ThriftError: it is cut off or nonsense.
    """
    struct: Struct = Cursor(data).value(STRUCT)
    return struct


def _struct(data: bytes, at: int, levels: int) -> tuple[Struct, int]:
    """Decode a struct. Integers are read in place: they are most of every footer."""
    fields: Struct = {}
    last = 0
    while head := data[at]:
        if head > 15:
            kind = head & 15
            last += head >> 4
            at += 1
        else:
            kind, last, at = field_header(data, at, last)
        if kind in INTEGERS:
            raw = data[at]
            at += 1
            if raw > 127:
                raw, at = _varint(data, at - 1)
            fields[last] = (kind, (raw >> 1) ^ -(raw & 1))
        else:
            value, at = _value(data, at, kind, levels)
            fields[last] = (kind, value)
    return fields, at + 1


def field_header(data: bytes, at: int, last: int) -> tuple[int, int, int]:
    """Type and id of the field that begins here, and where its value begins."""
    head = data[at]
    if head > 15:
        return head & 15, last + (head >> 4), at + 1
    field, at = integer_at(data, at + 1)
    return head, field, at


def _value(data: bytes, at: int, kind: int, levels: int) -> tuple[Any, int]:
    """The value of a field, in which alone a bool has no bytes of its own."""
    if kind in (TRUE, FALSE):
        return None, at
    return _element(data, at, kind, levels)


def _element(data: bytes, at: int, kind: int, levels: int) -> tuple[Any, int]:
    if kind in INTEGERS:
        return integer_at(data, at)
    if kind == BINARY:
        length, at = _varint(data, at)
        return _slice(data, at, length)
    if kind in CONTAINERS:
        return _container(data, at, kind, levels)
    if kind in (BYTE, TRUE, FALSE):
        return data[at], at + 1
    if kind in _FIXED:
        return _slice(data, at, _FIXED[kind])
    raise ThriftError(f"type {kind} is not known")


def _container(data: bytes, at: int, kind: int, levels: int) -> tuple[Any, int]:
    if not levels:
        end = skip(data, at, kind, DEEPEST)
        return data[at:end], end
    if kind == STRUCT:
        return _struct(data, at, levels - 1)
    if kind == MAP:
        return _pairs(data, at, levels - 1)
    return _items(data, at, levels - 1)


def _items(data: bytes, at: int, levels: int) -> tuple[Items, int]:
    kind, count, at = list_header(data, at)
    items = []
    for _ in range(count):
        item, at = _element(data, at, kind, levels)
        items.append(item)
    return Items(kind, items), at


def _pairs(data: bytes, at: int, levels: int) -> tuple[Pairs, int]:
    key, value, count, at = _map_header(data, at)
    pairs = []
    for _ in range(count):
        name, at = _element(data, at, key, levels)
        item, at = _element(data, at, value, levels)
        pairs.append((name, item))
    return Pairs(key, value, pairs), at


def skip(data: bytes, at: int, kind: int, levels: int) -> int:
    """The position behind an element; it and all in it are well-formed."""
    if kind in INTEGERS:
        end = at + _LONGEST // 7
        while data[at] > 127:
            at += 1
            if at == end:
                raise ThriftError("a number of more than ten bytes")
        return at + 1
    if kind not in CONTAINERS:
        return _element(data, at, kind, levels)[1]
    if not levels:
        raise ThriftError(f"nested deeper than {DEEPEST} levels")
    if kind == STRUCT:
        last = 0
        while data[at]:
            inner, last, at = field_header(data, at, last)
            if inner not in (TRUE, FALSE):
                at = skip(data, at, inner, levels - 1)
        return at + 1
    if kind == MAP:
        key, value, count, at = _map_header(data, at)
        for _ in range(count):
            at = skip(data, skip(data, at, key, levels - 1), value, levels - 1)
        return at
    inner, count, at = list_header(data, at)
    for _ in range(count):
        at = skip(data, at, inner, levels - 1)
    return at


def _map_header(data: bytes, at: int) -> tuple[int, int, int, int]:
    count, at = _varint(data, at)
    if not count:
        return 0, 0, 0, at
    kinds = data[at]
    return kinds >> 4, kinds & 15, _fitting(data, at, count), at + 1


def list_header(data: bytes, at: int) -> tuple[int, int, int]:
    head = data[at]
    kind, count = head & 15, head >> 4
    at += 1
    if count == 15:
        count, at = _varint(data, at)
    return kind, _fitting(data, at, count), at


def _fitting(data: bytes, at: int, count: int) -> int:
    """The number of elements, each of which takes at least a byte."""
    if count > len(data) - at:
        raise ThriftError("cut off")
    return count


def _slice(data: bytes, at: int, length: int) -> tuple[bytes, int]:
    end = at + length
    if end > len(data):
        raise ThriftError("cut off")
    return data[at:end], end


def integer_at(data: bytes, at: int) -> tuple[int, int]:
    raw, at = _varint(data, at)
    return (raw >> 1) ^ -(raw & 1), at


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
        if shift >= _LONGEST:
            raise ThriftError("a number of more than ten bytes")
