"""The quick way to read a page: by Arrow's JSON reader, which fills columns without the
interpreter lock, so that threads run side by side.

Arrow reads objects that stand behind each other, so the commas between the rows are made line
ends. Where ``},{`` stands within a text that leaves a bare line end there, which is not JSON: no
page is ever read wrongly, only refused. Blank text in the place of a number is made null first,
since a column has one type; ``:""`` can be nothing but an empty value.

The reader decides nothing about doubtful pages. Escapes, nested values, a column of mixed types,
a key that some rows lack, every fault: ``read`` returns None, and the page goes the general way
(JSON library, ``Decoder``), which accepts it or says what is wrong. So a result always equals what
the general way gives, blank text aside, which is null in the end by either.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

from pipeline.api.catalogue.fields import Field
from pipeline.api.http.pagination import Columns

_ODD = (b"\\", b"\n")  # escapes, and line ends that are not ours
_OPENING = b'"data":['
_FEWEST_BYTES = 1 << 14  # below, the general way is as quick


def read(body: bytes, fields: Mapping[str, Field]) -> dict[str, Any] | None:
    """The envelope of a page, with ``Columns`` in place of the array ``data``.

    Args:
        body: the whole answer.
        fields: of an endpoint without nested ones, by key.
    """
    start, stop = body.find(_OPENING) + len(_OPENING), body.rfind(b"]")
    if len(body) < _FEWEST_BYTES or start < len(_OPENING) or stop <= start:
        return None
    if any(byte in body for byte in _ODD):
        return None
    envelope = _loads(body[:start] + body[stop:])
    if envelope is None or envelope.get("data") != [] or not _is_utf8(body):
        return None
    lines = body[start:stop].replace(b'},{"', b'}\n{"').replace(b':""', b":null")
    schema = pa.schema([(name, _type(field)) for name, field in fields.items() if field.kept])
    try:
        table = pj.read_json(
            pa.BufferReader(lines),
            read_options=pj.ReadOptions(use_threads=False, block_size=len(lines) + 1),
            parse_options=pj.ParseOptions(explicit_schema=schema, newlines_in_values=False),
        )
    except pa.ArrowInvalid:
        return None
    names = _names(table, lines)
    if names is None or table.num_rows != lines.count(b"\n") + 1 or not _is_finite(table):
        return None
    arrays = {name: table[name] for name in names if name in schema.names}
    return {**envelope, "data": Columns(table.num_rows, names, arrays)}


def _names(table: pa.Table, lines: bytes) -> tuple[str, ...] | None:
    """The keys of the rows; None when some rows lack one of them.

    Without escapes a quoted name before a colon is a key, and is one in each row that has it.
    """
    names = []
    for name in table.schema.names:
        if table[name].null_count:
            rows = lines.count(f'"{name}":'.encode())
            if rows == 0 and table[name].null_count == table.num_rows:
                continue  # of the table of fields only
            if rows != table.num_rows:
                return None
        names.append(name)
    return tuple(names)


def _type(field: Field) -> pa.DataType:
    return field.arrow_type if field.kind == "number" else pa.string()


def _loads(text: bytes) -> dict[str, Any] | None:
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None


def _is_utf8(body: bytes) -> bool:
    try:
        return body.isascii() or bool(body.decode())
    except UnicodeDecodeError:
        return False


def _is_finite(table: pa.Table) -> bool:
    """False when a number was beyond a float."""
    numbers = (column for column in table.columns if pa.types.is_floating(column.type))
    return all(pc.all(pc.is_finite(column)).as_py() is not False for column in numbers)
