"""Rows of one page, or of one bulk file, as an Arrow table with the endpoint's schema.

1. The distinct key sequences of the rows (mostly one) tell unknown and missing fields.
2. The rows are transposed: the values of each field, column by column. What comes in columns
   (``scan``, CSV) is that already.
3. Each column gets its type; exactly the declared spellings of "missing" become null.
4. Columns that are not kept fall away.
"""

from __future__ import annotations

import datetime as dt
import logging
import re
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.api.cores import TURNS
from pipeline.api.endpoints import Endpoint
from pipeline.api.fields import Field, Kind
from pipeline.api.paging import Rows, bad
from pipeline.api.scan import Columns, scan
from pipeline.api.session import envelope

_log = logging.getLogger(__name__)

_Layout: TypeAlias = tuple[str, ...]
_Array: TypeAlias = "pa.Array[Any] | pa.ChunkedArray[Any]"
_Column: TypeAlias = "Sequence[Any] | _Array"

_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?")
_EXPECTED: dict[Kind, str] = {
    "text": "text",
    "flag": "a flag as text or integer",
    "date": "a date YYYY-MM-DD",
    "number": "a number",
}


class _Unexpected(Exception):
    """A value its field does not allow."""

    def __init__(self, row: int, value: object, expected: str) -> None:
        super().__init__(row, value, expected)
        self.row = row
        self.value = value
        self.expected = expected


class Decoder:
    """Turns pages of one endpoint into tables; reports each unknown field once.

    Shared by the threads of a fetch.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._plain = {field.name: field for field in endpoint.fields if not field.inner}
        self._is_flat = len(self._plain) == len(endpoint.fields)
        self._known = frozenset(n for field in endpoint.fields for n in (field.name, field.outer))
        self._required = frozenset(field.outer for field in endpoint.fields if field.required)
        self._reported: set[str] = set()
        self._lock = threading.Lock()

    def parse(self, body: bytes) -> dict[str, Any]:
        """The envelope of a page; ``data`` is an array of objects or, read quickly, ``Columns``.

        Raises:
            Transient: the body is not a JSON object.
        """
        # A nested field that came as a plain value would look like an unknown one to the scan.
        with TURNS:
            page = scan(body, self._plain) if self._is_flat else None
        if page is None or not self._required.issubset(page["data"].names):
            return envelope(body)
        return page

    def table(self, rows: Rows, query: Mapping[str, str]) -> pa.Table:
        """The rows of one page, in their order, with the schema of the endpoint.

        Args:
            rows: JSON objects as they came, or columns with all required fields.
            query: the request, for error texts.

        Raises:
            BadResponse: a required field is missing or a value is not of its type; names the
                field, what was expected and what came.
        """
        columns = rows if isinstance(rows, Columns) else self._columns(rows, query)
        self._report_unknown(columns.names)
        arrays = {field.name: self._array(field, columns, query) for field in self._endpoint.fields}
        schema = self._endpoint.schema
        return pa.Table.from_arrays([arrays[name] for name in schema.names], schema=schema)

    def _columns(self, rows: list[dict[str, Any]], query: Mapping[str, str]) -> Columns:
        layouts = {tuple(row) for row in rows}
        self._require_fields(rows, layouts, query)
        columns = _transposed(rows, layouts)
        return Columns(len(rows), tuple(columns), columns)

    def _report_unknown(self, names: Iterable[str]) -> None:
        with self._lock:
            new = set(names) - self._known - self._reported
            self._reported |= new
        for name in sorted(new):
            _log.warning("%s: unknown field %r left out", self._endpoint.path, name)

    def _require_fields(
        self, rows: list[dict[str, Any]], layouts: set[_Layout], query: Mapping[str, str]
    ) -> None:
        names = {
            field.outer: field.since
            for field in self._endpoint.fields
            if field.required and any(field.outer not in layout for layout in layouts)
        }
        gone = [name for name, since in names.items() if self._is_due(rows, name, since)]
        if gone:
            more = f" and {len(gone) - 5} more" if len(gone) > 5 else ""
            raise bad(
                self._endpoint,
                query,
                f"field {', '.join(gone[:5])}{more}: expected in every row, got rows without",
            )

    def _is_due(self, rows: list[dict[str, Any]], name: str, since: dt.date | None) -> bool:
        """True when a row lacks ``name`` that is dated late enough to need it."""
        if since is None:
            return True
        first = since.isoformat()
        date = self._endpoint.date_field
        return any(name not in row and str(row.get(date)) >= first for row in rows)

    def _array(self, field: Field, columns: Columns, query: Mapping[str, str]) -> _Array:
        try:
            values = _values(field, columns.arrays)
            if values is None:
                return pa.nulls(columns.n_rows, field.arrow_type)
            array = _typed(field, values)
        except _Unexpected as wrong:
            got = f"{type(wrong.value).__name__} {str(wrong.value)[:40]!r}"
            what = f"field {field.name}, row {wrong.row}: expected {wrong.expected}, got {got}"
            raise bad(self._endpoint, query, what) from None
        if array.null_count and field.name in self._endpoint.never_null:
            what = (
                f"field {field.name}: expected a value in every row, got {array.null_count} nulls"
            )
            raise bad(self._endpoint, query, what)
        return array


def _transposed(rows: list[dict[str, Any]], layouts: set[_Layout]) -> dict[str, _Column]:
    """Values by key, null where a row lacks the key; empty without rows."""
    if len(layouts) == 1:
        (layout,) = layouts
        return dict(zip(layout, zip(*(row.values() for row in rows), strict=True), strict=True))
    names = {name for layout in layouts for name in layout}
    return {name: [row.get(name) for row in rows] for name in names}


def _values(field: Field, columns: Mapping[str, _Column]) -> _Column | None:
    """The values of a field, nested ones out of their object; None when it was not sent.

    A bulk file may hold nested fields as columns of their own, or the object as JSON text.
    """
    own = columns.get(field.name)
    if own is not None or not field.inner:
        return own
    objects = columns.get(field.outer)
    if isinstance(objects, (pa.Array, pa.ChunkedArray)):
        objects = [_object(text) for text in objects.to_pylist()]
    return None if objects is None else _unnested(objects, field.inner)


def _object(text: object) -> object:
    """The object a text spells; the text itself when it spells none."""
    try:
        return orjson.loads(text) if isinstance(text, str) else text
    except orjson.JSONDecodeError:
        return text


def _unnested(objects: _Column, inner: str) -> Sequence[Any]:
    """The values of the key ``inner`` of each object."""
    for row, value in enumerate(objects):
        if not isinstance(value, dict) or inner not in value:
            raise _Unexpected(row, value, f"an object with the key {inner}")
    return [value[inner] for value in objects]


def _typed(field: Field, values: _Column) -> _Array:
    if isinstance(values, (pa.Array, pa.ChunkedArray)):
        return _typed_array(field, values)
    if field.kind == "number":
        return _numbers(field, values)
    if field.kind == "flag":
        values = [str(value) if type(value) is int else value for value in values]
    _allow_only(field, values, set(map(type, values)), (str,))
    return _typed_array(field, pa.array(values, pa.string()))


def _typed_array(field: Field, array: _Array) -> _Array:
    """From text; numbers and dates may have been read as such already."""
    if array.type != pa.string():
        return array
    if field.kind == "number":
        return _numbers(field, array.to_pylist())
    texts = _without_missing(field, array)
    return _dates(texts) if field.kind == "date" else texts


def _numbers(field: Field, values: Sequence[Any]) -> _Array:
    kinds = set(map(type, values))
    if str in kinds:
        values = [
            _parsed(field, row, value) if type(value) is str else value
            for row, value in enumerate(values)
        ]
        kinds.discard(str)
    _allow_only(field, values, kinds, (int, float))
    if int in kinds:
        # Arrow refuses integers beyond 2**53; as a float they are what a float endpoint sends.
        values = [float(value) if type(value) is int else value for value in values]
    return pa.array(values, pa.float64())


def _parsed(field: Field, row: int, text: str) -> float | None:
    if text in field.missing:
        return None
    if _NUMBER.fullmatch(text) is None:
        raise _Unexpected(row, text, _EXPECTED["number"])
    return float(text)


def _without_missing(field: Field, array: _Array) -> _Array:
    """The texts, null in place of the field's spellings of it."""
    longest = max(map(len, field.missing), default=-1)
    if (pc.min(pc.binary_length(array)).as_py() or 0) > longest:
        return array
    is_missing = pc.is_in(array, value_set=pa.array(field.missing, pa.string()))
    if pc.any(is_missing).as_py():
        array = pc.if_else(is_missing, pa.scalar(None, pa.string()), array)
    return array


def _dates(texts: _Array) -> _Array:
    try:
        return texts.cast(pa.date32())
    except pa.ArrowInvalid:
        for row, text in enumerate(texts.to_pylist()):
            if text is not None and not _is_date(text):
                raise _Unexpected(row, text, _EXPECTED["date"]) from None
        raise


def _is_date(text: str) -> bool:
    try:
        return dt.date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _allow_only(
    field: Field, values: Sequence[Any], kinds: set[type], allowed: tuple[type, ...]
) -> None:
    if kinds <= {*allowed, type(None)}:
        return
    for row, value in enumerate(values):
        if value is not None and type(value) not in allowed:
            raise _Unexpected(row, value, _EXPECTED[field.kind])
