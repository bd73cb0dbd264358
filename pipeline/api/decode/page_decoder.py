"""Rows of one page, or of one bulk file, as an Arrow table with the endpoint's schema.

1. The distinct key sequences of the rows (mostly one) tell unknown and missing fields.
2. The rows are transposed: the values of each field, column by column. What comes in columns
   (``lines``, CSV) is that already.
3. Each column gets its type; what a value means is decided by ``spelling``.
4. A value that cannot be read becomes null and is noted with the table (``pipeline.quarantine``).
   A row that cannot be placed without it is refused: keys, dates, the codes of the universe.
5. Columns that are not kept fall away.
"""

from __future__ import annotations

import datetime as dt
import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import quarantine
from pipeline.api.catalogue.endpoints import Endpoint
from pipeline.api.catalogue.fields import Field
from pipeline.api.decode import json_lines
from pipeline.api.decode.parse_semaphore import TURNS
from pipeline.api.decode.row_checks import record_of
from pipeline.api.decode.value_spelling import UNREADABLE, date_of, number_of, object_of, text_of
from pipeline.api.http.client import envelope
from pipeline.api.http.pagination import Columns, Rows, bad
from pipeline.errors import BadResponse
from pipeline.market.panel.codes import must_be_placed

_log = logging.getLogger(__name__)

_Layout: TypeAlias = tuple[str, ...]
_Array: TypeAlias = "pa.Array[Any] | pa.ChunkedArray[Any]"
_Column: TypeAlias = "Sequence[Any] | _Array"
#: Rows with values that cannot be read, and these values.
_Unread: TypeAlias = dict[int, object]

_ROW_CHARS = 400  # of a refused row, in an error


class Decoder:
    """Turns pages of one endpoint into tables; reports each unknown field once.

    Shared by the threads of a fetch.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._plain = {field.name: field for field in endpoint.fields if not field.inner}
        self._is_flat = len(self._plain) == len(endpoint.fields)
        self._known = frozenset(name for field in endpoint.fields for name in field.wire_names)
        self._required = frozenset(field.outer for field in endpoint.fields if field.required)
        self._reported: set[str] = set()
        self._lock = threading.Lock()

    def parse(self, body: bytes) -> dict[str, Any]:
        """The envelope of a page; ``data`` is an array of objects or, read quickly, ``Columns``.

        Raises:
            Transient: the body is not a JSON object.
        """
        # A nested field that came as a plain value would look like an unknown one to the reader.
        with TURNS:
            page = json_lines.read(body, self._plain) if self._is_flat else None
        if page is None or not self._required.issubset(page["data"].names):
            return envelope(body)
        return page

    def table(self, rows: Rows, query: Mapping[str, str]) -> pa.Table:
        """The rows of one page, in their order, with the schema of the endpoint.

        What could not be read is null, and noted with the table.

        Args:
            rows: JSON objects as they came, or columns with all required fields.
            query: the request, for error texts.

        Raises:
            BadResponse: a required field is missing; or a key, a date or a code on which the
                place of a row hangs cannot be read: names the field, the value and the row.
        """
        columns = rows if isinstance(rows, Columns) else self._columns(rows, query)
        self._report_unknown(columns.names)
        unread: dict[str, _Unread] = {}
        arrays: dict[str, _Array] = {}
        for field in self._endpoint.fields:
            if field.kept:
                array, lost = _array(field, columns)
                arrays[field.name] = array
                if lost:
                    unread[field.name] = lost
        schema = self._endpoint.schema
        table = pa.Table.from_arrays([arrays[name] for name in schema.names], schema=schema)
        self._refuse(table, columns, unread, query)
        entries = self._entries(table, unread)
        quarantine.say_once(self._endpoint.source, entries)
        return quarantine.noted(table, entries)

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
            if field.required
            and any(not set(field.wire_names).intersection(layout) for layout in layouts)
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

    def _refuse(
        self,
        table: pa.Table,
        columns: Columns,
        unread: Mapping[str, _Unread],
        query: Mapping[str, str],
    ) -> None:
        """Returns when every row can be placed."""
        for field in self._endpoint.fields:
            if not field.kept:
                continue
            lost = unread.get(field.name, {})
            needed = field.refused or field.name in self._endpoint.never_null
            if lost and (needed or field.kind == "date"):
                raise self._refusal(field, min(lost), columns, query)
            if needed and table[field.name].null_count:
                raise self._refusal(field, _first_null(table[field.name]), columns, query)
        candidates = None
        for name, inside in self._endpoint.placed_by:
            if candidates is None:
                candidates = _to_be_placed(table["Code"])
            without = pc.and_(candidates, pc.is_null(table[name]))
            if pc.any(without).as_py():
                field = self._plain[name]
                raise self._refusal(field, without.index(pa.scalar(True)).as_py(), columns, query)
            if inside:
                members = pa.array(inside, pa.string())
                candidates = pc.and_(candidates, pc.is_in(table[name], value_set=members))

    def _refusal(
        self, field: Field, row: int, columns: Columns, query: Mapping[str, str]
    ) -> BadResponse:
        """A row that cannot be placed; with all of it, shortened."""
        whole = {name: _at(values, row) for name, values in columns.arrays.items()}
        came = next((whole[name] for name in field.wire_names if name in whole), None)
        text = " ".join(f"{name}={quarantine.shown(value)}" for name, value in whole.items())
        if len(text) > _ROW_CHARS:
            text = f"{text[:_ROW_CHARS]}…"
        got = "null" if came is None else f"{type(came).__name__} {quarantine.shown(came)!r}"
        what = (
            f"{self._endpoint.source}, field {field.name}: expected {_expected(field)} in every "
            f"row, got {got} in row {row}: {text}"
        )
        return bad(self._endpoint, query, what)

    def _entries(
        self, table: pa.Table, unread: Mapping[str, _Unread]
    ) -> tuple[quarantine.Entry, ...]:
        """What could not be read, by day."""
        found = []
        for name, lost in unread.items():
            counts: Counter[tuple[str, str]] = Counter()
            records: dict[tuple[str, str], int] = {}
            days = table[self._endpoint.date_field].take(pa.array(sorted(lost), pa.int64()))
            for row, day in zip(sorted(lost), days.to_pylist(), strict=True):
                key = str(day), quarantine.shown(lost[row])
                counts[key] += 1
                records.setdefault(key, row)
            for (day, spelling), count in counts.items():
                record = record_of(table, records[day, spelling], self._endpoint)
                found.append(
                    quarantine.Entry(quarantine.VALUE, name, spelling, count, day, day, record)
                )
        return quarantine.by_day(found)


def _transposed(rows: list[dict[str, Any]], layouts: set[_Layout]) -> dict[str, _Column]:
    """Values by key, null where a row lacks the key; empty without rows."""
    if len(layouts) == 1:
        (layout,) = layouts
        return dict(zip(layout, zip(*(row.values() for row in rows), strict=True), strict=True))
    names = {name: None for layout in layouts for name in layout}
    return {name: [row.get(name) for row in rows] for name in names}


def _array(field: Field, columns: Columns) -> tuple[_Array, _Unread]:
    """The column of a field, and what of it could not be read, by row."""
    own = next((columns.arrays[name] for name in field.alone if name in columns.arrays), None)
    lost: _Unread = {}
    if own is None and field.inner and field.outer in columns.arrays:
        own, lost = _unnested(field, columns.arrays[field.outer])
    if own is None:
        return pa.nulls(columns.n_rows, field.arrow_type), lost
    array, more = _typed(field, own)
    return array, {**lost, **more}


def _unnested(field: Field, objects: _Column) -> tuple[Sequence[Any], _Unread]:
    """The values of the key of each object; null where there is no such object or key."""
    if isinstance(objects, (pa.Array, pa.ChunkedArray)):
        objects = objects.to_pylist()
    spelled: dict[str, object] = {}
    values: list[Any] = []
    lost: _Unread = {}
    for row, value in enumerate(objects):
        found = value
        if isinstance(value, str):
            if value in field.missing:
                found = None
            else:
                if value not in spelled:
                    spelled[value] = object_of(value)
                found = spelled[value]
        if isinstance(found, dict) and field.inner in found:
            values.append(found[field.inner])
        else:
            values.append(None)
            if found is not None:
                lost[row] = value
    return values, lost


def _typed(field: Field, values: _Column) -> tuple[_Array, _Unread]:
    if isinstance(values, (pa.Array, pa.ChunkedArray)):
        if values.type == field.arrow_type and values.type != pa.string():
            return values, {}  # read as such already
        quick = _quickly(field, values)
        if quick is not None:
            return quick, {}
        values = values.to_pylist()
    meaning: Callable[[Field, object], Any]
    if field.kind == "number":
        if set(map(type, values)) <= {float, type(None)}:
            array = pa.array(values, pa.float64())
            if pc.all(pc.is_finite(array)).as_py() is not False:
                return array, {}
        meaning = number_of
    else:
        meaning = date_of if field.kind == "date" else text_of
    found = _meanings(field, values, meaning)
    lost = {row: values[row] for row, value in enumerate(found) if value is UNREADABLE}
    for row in lost:
        found[row] = None
    return pa.array(found, field.arrow_type), lost


def _meanings(
    field: Field, values: Sequence[Any], meaning: Callable[[Field, object], Any]
) -> list[Any]:
    """What each value means; a text is looked at once."""
    known: dict[str, Any] = {}
    found = []
    for value in values:
        if type(value) is str:
            if value not in known:
                known[value] = meaning(field, value)
            found.append(known[value])
        else:
            found.append(meaning(field, value))
    return found


def _quickly(field: Field, texts: _Array) -> _Array | None:
    """A column of texts that need no second look, or distinct ones of which each is looked at
    once; None when a value cannot be read that way."""
    if texts.type != pa.string():
        return None
    if field.kind in ("text", "flag"):
        return _distinctly(field, texts)
    is_missing = pc.is_in(texts, value_set=pa.array(field.missing, pa.string()))
    if pc.any(is_missing).as_py():
        texts = pc.if_else(is_missing, pa.scalar(None, pa.string()), texts)
    try:
        array = texts.cast(field.arrow_type)
    except pa.ArrowInvalid:
        return None
    if field.kind == "number" and pc.all(pc.is_finite(array)).as_py() is False:
        return None
    return array


def _distinctly(field: Field, texts: _Array) -> _Array | None:
    if not (field.members or field.width or field.clock):
        longest = max(len(mark.encode()) for mark in field.missing)
        if (pc.min(pc.binary_length(texts)).as_py() or 0) > longest or not len(texts):
            return texts
    distinct = pc.unique(texts)
    spelled = distinct.to_pylist()
    meant = [text_of(field, text) for text in spelled]
    if meant == spelled:
        return texts
    if any(value is UNREADABLE for value in meant):
        return None
    return pa.array(meant, pa.string()).take(pc.index_in(texts, value_set=distinct))


def _to_be_placed(codes: _Array) -> _Array:
    distinct = pc.unique(codes)
    kept = [code for code in distinct.to_pylist() if must_be_placed(code)]
    return pc.is_in(codes, value_set=pa.array(kept, pa.string()))


def _first_null(array: _Array) -> int:
    row: int = pc.index(pc.is_null(array), pa.scalar(True)).as_py()
    return row


def _at(values: _Column, row: int) -> object:
    value = values[row]
    return value.as_py() if isinstance(value, pa.Scalar) else value


def _expected(field: Field) -> str:
    if field.kind == "date":
        return "a date YYYY-MM-DD"
    if field.members:
        shown = ", ".join(field.members[:12]) + (", ..." if len(field.members) > 12 else "")
        return f"one of {shown}"
    return "a number" if field.kind == "number" else "text"
