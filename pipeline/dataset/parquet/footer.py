"""The footer of a Parquet file: read, and put together anew from the row groups of other files.

A footer is kept as a tree that holds every field (see ``thrift``), so what a newer writer adds
survives. Row groups pass through one column chunk at a time: the footer of a large dataset is
never in memory as a whole.

No library does this. pyarrow can append row groups to a footer, but moves no offsets, loses the
fields it does not know and holds 27 MB for a chunk of 3,540 columns and three row groups.

Specification: parquet.thrift of apache/parquet-format, version 2.12.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from typing import IO, Any, Protocol

from pipeline.dataset.parquet.thrift import (
    BINARY,
    I16,
    I32,
    I64,
    LIST,
    STRUCT,
    Cursor,
    Struct,
    ThriftError,
)
from pipeline.dataset.parquet.thrift_writer import put_field, put_list_start, put_struct

MAGIC = b"PAR1"
LENGTH_BYTES = 4

# FileMetaData
_VERSION, _NUM_ROWS, _ROW_GROUPS, _CREATED_BY = 1, 3, 4, 6
_ENCRYPTED_FILE = frozenset({8, 9})
# RowGroup
_COLUMNS, _GROUP_ROWS, _GROUP_OFFSET, _ORDINAL = 1, 3, 5, 7
_ORDINALS = 1 << 15  # an i16, and optional: groups beyond have none

_ENCRYPTED_MAGIC = b"PARE"
_LARGEST = (1 << 31) - 1


class Unlike(Exception):
    """Two files whose row groups cannot share one footer."""


class Placing(Protocol):
    """What becomes of the row groups of a file under their new footer."""

    def group_offset(self, offset: int) -> int:
        """Where a row group begins, from where it began."""

    def column(self, chunk: Struct) -> Struct:
        """The ColumnChunk as the new footer has it."""


@dataclass(frozen=True)
class Footer:
    """The encoded footer of a file.

    Attributes:
        data: its bytes, without length and magic.
        start: its position, which is where everything else ends.
    """

    data: bytes
    start: int


class FooterWriter:
    """Collects the row groups of several files, in order, for one footer.

    Args:
        spool: an empty temporary file that keeps them meanwhile.
    """

    def __init__(self, spool: IO[bytes]) -> None:
        self._spool = spool
        self._head: Struct = {}
        self._rows = 0
        self._groups = 0

    def add(self, footer: Footer, placing: Placing, groups: int | None = None) -> None:
        """Take the row groups of a file.

        Args:
            groups: how many, from the first on; None for all.

        Raises:
            Unlike: its schema or key-value metadata are not those of the files before.
            ThriftError: the footer is damaged or contradicts itself, or the file is encrypted.
        """
        head: Struct = {}
        cursor = Cursor(footer.data)
        rows = 0
        for field, kind in cursor.fields():
            if field == _ROW_GROUPS:
                _, count = cursor.list_start(kind)
                taken = count if groups is None else min(groups, count)
                for _ in range(taken):
                    rows += self._add_group(cursor, placing)
                for _ in range(count - taken):
                    cursor.value(STRUCT, levels=0)
            else:
                head[field] = kind, cursor.value(kind)
        _refuse_encrypted(head)
        if groups is None and rows != integer(head, _NUM_ROWS):
            raise ThriftError(f"{integer(head, _NUM_ROWS)} rows, its row groups have {rows}")
        self._rows += rows
        self._agree(head)

    def write(self, out: IO[bytes]) -> None:
        """Write the footer with length and magic; the end of the file.

        Raises:
            OverflowError: it is longer than the format can tell.
        """
        began = out.tell()
        fields = {**self._head, _NUM_ROWS: (I64, self._rows), _ROW_GROUPS: (LIST, None)}
        last = 0
        for field, (kind, value) in sorted(fields.items()):
            buffer = bytearray()
            if field == _ROW_GROUPS:
                put_list_start(buffer, last, field, STRUCT, self._groups)
                out.write(buffer)
                self._spool.seek(0)
                shutil.copyfileobj(self._spool, out)
            else:
                put_field(buffer, last, field, kind, value)
                out.write(buffer)
            last = field
        out.write(b"\0")
        length = out.tell() - began
        if length > _LARGEST:
            raise OverflowError(f"a footer of {length} bytes; Parquet allows {_LARGEST}")
        out.write(length.to_bytes(LENGTH_BYTES, "little") + MAGIC)

    def _add_group(self, cursor: Cursor, placing: Placing) -> int:
        """Pass one RowGroup through, field by field; its number of rows."""
        out = bytearray()
        last = rows = 0
        for field, kind in cursor.fields():
            if field == _COLUMNS:
                inner, count = cursor.list_start(kind)
                put_list_start(out, last, field, inner, count)
                for _ in range(count):
                    put_struct(out, placing.column(_column(cursor, inner)))
                last = field
                continue
            value = cursor.value(kind)
            if field in (_GROUP_ROWS, _GROUP_OFFSET, _ORDINAL):
                value = integer({field: (kind, value)}, field)
            if field == _GROUP_ROWS:
                rows = value
            elif field == _GROUP_OFFSET:
                value = placing.group_offset(value)
            elif field == _ORDINAL:
                if self._groups >= _ORDINALS:
                    continue
                value = self._groups
            put_field(out, last, field, kind, value)
            last = field
        out.append(0)
        self._spool.write(out)
        self._groups += 1
        return rows

    def _agree(self, head: Struct) -> None:
        """Hold what surrounds the row groups against that of the first file.

        The version of the format says nothing to a reader; the writer's name may differ too.
        """
        if not self._head:
            self._head = head
            return
        own = {_VERSION, _NUM_ROWS, _CREATED_BY}
        ours, theirs = ({k: v for k, v in h.items() if k not in own} for h in (self._head, head))
        if ours != theirs:
            raise Unlike


def read_footer(file: IO[bytes]) -> Footer:
    """The footer of an open Parquet file.

    Raises:
        ThriftError: the file is cut off, damaged, encrypted or no Parquet file.
        OSError: it cannot be read.
    """
    size = file.seek(0, os.SEEK_END)
    ending = LENGTH_BYTES + len(MAGIC)
    if size < len(MAGIC) + ending:
        raise ThriftError(f"{size} bytes are no Parquet file")
    file.seek(0)
    first = file.read(len(MAGIC))
    file.seek(size - ending)
    last = file.read(ending)
    if last.endswith(_ENCRYPTED_MAGIC):
        raise ThriftError("the file is encrypted")
    if first != MAGIC or not last.endswith(MAGIC):
        raise ThriftError("no Parquet file, or cut off")
    length = int.from_bytes(last[:LENGTH_BYTES], "little")
    start = size - ending - length
    if start < len(MAGIC):
        raise ThriftError(f"a footer of {length} bytes in a file of {size}")
    file.seek(start)
    return Footer(file.read(length), start)


def extent(footer: Footer) -> tuple[int, int]:
    """How many row groups, and how many rows, the head of a footer promises.

    What the row groups say themselves is not looked at: those of a large dataset take seconds.

    Raises:
        ThriftError: the head is damaged.
    """
    head: Struct = {}
    cursor = Cursor(footer.data)
    for field, kind in cursor.fields():
        if field == _ROW_GROUPS:
            _, count = cursor.list_start(kind)
            return count, integer(head, _NUM_ROWS)
        head[field] = kind, cursor.value(kind, levels=0)
    raise ThriftError("it lists no row groups")


def integer(struct: Struct, field: int) -> int:
    """A whole number of a struct that every valid file has.

    Raises:
        ThriftError: it is missing, negative or something else.
    """
    kind, value = struct.get(field, (0, None))
    if kind not in (I16, I32, I64) or value < 0:
        raise ThriftError(f"field {field} is missing or no count: {value!r}")
    return int(value)


def member(struct: Struct, field: int) -> Struct:
    """A struct within a struct that every valid file has.

    Raises:
        ThriftError: it is missing or something else.
    """
    kind, value = struct.get(field, (0, None))
    if kind != STRUCT:
        raise ThriftError(f"field {field} is missing or no struct")
    inner: Struct = value
    return inner


def text(value: str) -> tuple[int, Any]:
    """A field that holds text."""
    return BINARY, value.encode()


def _column(cursor: Cursor, kind: int) -> Struct:
    """The next ColumnChunk, decoded down to its ColumnMetaData: no position lies deeper."""
    if kind != STRUCT:
        raise ThriftError(f"columns of type {kind}; expected structs")
    chunk: Struct = cursor.value(kind, levels=2)
    return chunk


def _refuse_encrypted(head: Struct) -> None:
    if head.keys() & _ENCRYPTED_FILE:
        raise ThriftError("the file is encrypted")
