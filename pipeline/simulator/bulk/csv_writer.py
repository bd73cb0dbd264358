"""Rows as a packed CSV file."""

from __future__ import annotations

import io
from codecs import BOM_UTF8
from gzip import compress
from typing import TYPE_CHECKING, Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pipeline.simulator.array_types import Columns
    from pipeline.simulator.server.endpoint_table import Field

_GZIP_LEVEL = 1  # speed matters more than size on loopback


def packed_csv(
    columns: Columns, fields: Sequence[Field], *, crlf: bool = False, bom: bool = False
) -> bytes:
    """UTF-8 text with a header line of the field names, packed as gzip; same rows, same bytes.

    A missing value is an empty cell, whether the API writes null or an empty text; other marks
    for a missing value stay. A nested value is written as JSON.

    Args:
        crlf: lines end as on Windows, also those inside a text; otherwise with a line feed.
        bom: the text begins with a byte order mark.
    """
    table = pa.table({field.name: _cells(columns[field.name], field.missing) for field in fields})
    header = ",".join(table.column_names).encode() + b"\n"
    text = header + _lines(table)
    if crlf:
        text = text.replace(b"\n", b"\r\n")
    return compress(BOM_UTF8 * bom + text, _GZIP_LEVEL, mtime=0)


def _lines(table: pa.Table) -> bytes:
    try:
        return _written(table, "none")
    except pa.ArrowInvalid:  # a text with a comma or a quote
        return _written(table, "needed")


def _written(table: pa.Table, quoting: str) -> bytes:
    text = io.BytesIO()
    csv.write_csv(table, text, csv.WriteOptions(include_header=False, quoting_style=quoting))
    return text.getvalue()


def _cells(column: NDArray[Any], missing: str | None) -> pa.Array:
    if column.dtype != object:
        numbers = pa.array(column, from_pandas=True)
        return numbers.cast(pa.string()).fill_null(missing) if missing else numbers
    try:
        texts = pa.array(column, type=pa.string(), from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError):  # texts and other values in one column
        texts = pa.array([_text(value) for value in column], type=pa.string())
    return pc.if_else(pc.equal(texts, ""), None, texts)


def _text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, float) and value != value:  # noqa: PLR0124 (NaN)
        return None
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY).decode()
