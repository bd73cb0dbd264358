"""The quick way to read a page: one pass over its bytes, without a Python object per value.

Nearly all pages are regular: every row has the keys of the first one in the same order, no nested
objects, no escapes. The bytes between the values are then the same in all rows. They are taken
from the first row as a template, and a compiled kernel walks the page, compares them, and reads
numbers and text straight into columns; it holds no lock, so threads run side by side.

The kernel decides nothing about doubtful pages. Whatever departs from the template, whatever a
field does not allow, every fault: ``scan`` returns None, and the page goes the general way (JSON
library, ``Decoder``), which accepts or refuses it with an error that names row and field. So a
result of ``scan`` always equals what the general way gives; a property test holds it to that.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import orjson
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.api.fields import Field
from pipeline.market.jit import jit

_Array: TypeAlias = "pa.Array[Any] | pa.ChunkedArray[Any]"
_Bytes: TypeAlias = NDArray[np.uint8]

_W = rb"[ \t\n\r]*"
_BEFORE_ROWS = re.compile(rb"%b\{%b\"data\"%b:%b\[%b(?=\{)" % (_W, _W, _W, _W, _W))
_PAIR = re.compile(
    rb"%b\"(?P<name>[^\"\\\x00-\x1f]*)\"%b:%b"
    rb"(?P<value>\"[^\"\\\x00-\x1f]*\"|[-0-9][-+.0-9eE]*|null)%b(?P<end>[,}])" % (_W, _W, _W, _W)
)
_BETWEEN_ROWS = re.compile(rb"%b,%b(?=\{)" % (_W, _W))

# What a column holds.
_SKIPPED, _TEXT, _NUMBER, _NUMBER_OR_BLANK = range(4)
_IRREGULAR = -1  # number of rows of a page that departs from its template
_MOST_DIGITS = 18  # that fit a signed 64-bit integer
_NULL = -1  # length of a text that is null
_TENS = np.array([float(f"1e{power}") for power in range(23)])  # exact in binary


@dataclass(frozen=True)
class Columns:
    """Rows of a regular page, column by column.

    Attributes:
        n_rows: number of rows.
        names: their keys, in wire order.
        arrays: text (as it came, null only where JSON null stood) or float64 by key; unknown
            keys have none.
    """

    n_rows: int
    names: tuple[str, ...]
    arrays: Mapping[str, Sequence[Any] | _Array]


@dataclass(frozen=True)
class _Template:
    """The first row of a page without its values.

    Attributes:
        start: where the first row begins.
        names: keys in order.
        gaps: bytes before each value, and after the last one.
        between: bytes between two rows.
    """

    start: int
    names: tuple[str, ...]
    gaps: tuple[bytes, ...]
    between: bytes


def scan(body: bytes, fields: Mapping[str, Field]) -> dict[str, Any] | None:
    """The envelope of a page, with ``Columns`` in place of the array ``data``.

    Args:
        body: the whole answer.
        fields: plain fields by key; what is not among them is passed over.

    Returns:
        None when the page has to go the general way.
    """
    template = _template(body)
    if template is None:
        return None
    kinds = [_kind(fields.get(name)) for name in template.names]
    found = _walk(body, template, kinds)
    if found is None:
        return None
    arrays, n_rows, stop = found
    envelope = _loads(body[: template.start] + body[stop:])
    if envelope is None or envelope.get("data") != []:
        return None
    named = zip(template.names, arrays, strict=True)
    columns = {name: array for name, array in named if array is not None}
    return {**envelope, "data": Columns(n_rows, template.names, columns)}


def _kind(field: Field | None) -> int:
    if field is None:
        return _SKIPPED
    if field.kind != "number":
        return _TEXT
    return _NUMBER_OR_BLANK if "" in field.missing else _NUMBER


def _is_utf8(body: bytes) -> bool:
    try:
        return bool(body.decode())
    except UnicodeDecodeError:
        return False


def _loads(text: bytes) -> dict[str, Any] | None:
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None


def _template(body: bytes) -> _Template | None:
    """The template of a page; None when it is not a page, has no rows or nested ones."""
    opening = _BEFORE_ROWS.match(body)
    if opening is None:
        return None
    names: list[str] = []
    gaps: list[bytes] = []
    start, at = opening.end(), opening.end() + 1
    value_end = start
    while pair := _PAIR.match(body, at):
        names.append(pair["name"].decode("ascii", "replace"))
        gaps.append(body[value_end : pair.start("value")])
        value_end, at = pair.end("value"), pair.end()
        if pair["end"] == b"}":
            break
    else:
        return None
    gaps.append(body[value_end:at])
    between = _BETWEEN_ROWS.match(body, at)
    if len(set(names)) < len(names):
        return None
    return _Template(start, tuple(names), tuple(gaps), between[0] if between else b",")


def _walk(
    body: bytes, template: _Template, kinds: list[int]
) -> tuple[list[_Array | None], int, int] | None:
    """The columns, the number of rows, and where the last row ends."""
    room = body.count(b"{", template.start)
    texts = [column for column, kind in enumerate(kinds) if kind == _TEXT]
    numbers = [column for column, kind in enumerate(kinds) if kind >= _NUMBER]
    place = np.zeros(len(kinds), np.int64)
    place[texts], place[numbers] = np.arange(len(texts)), np.arange(len(numbers))
    values = np.empty((len(numbers), room))
    spans = np.empty((2, len(texts), room), np.int32)
    # Numbers that need more care than the kernel takes: place, row, first and last byte.
    hard = np.empty((4, len(numbers) * room), np.int32)
    data = np.frombuffer(body, np.uint8)
    n_rows, stop, n_hard, letters = _walk_rows(
        data,
        template.start,
        np.frombuffer(b"".join(template.gaps), np.uint8),
        np.cumsum([0, *map(len, template.gaps)]),
        np.frombuffer(template.between, np.uint8),
        np.array(kinds, np.int64),
        place,
        values,
        spans,
        hard,
        _TENS,
    )
    if n_rows == _IRREGULAR or (letters >= 0x80 and not _is_utf8(body)):
        return None
    if not _settle(body, values, hard[:, :n_hard]):
        return None
    arrays: list[_Array | None] = [None] * len(kinds)
    for row, column in enumerate(numbers):
        arrays[column] = pa.array(values[row, :n_rows], from_pandas=True)  # NaN is null
    for row, column in enumerate(texts):
        arrays[column] = _text_array(data, spans[0, row, :n_rows], spans[1, row, :n_rows])
    return arrays, n_rows, stop


def _settle(body: bytes, values: NDArray[np.float64], hard: NDArray[np.int32]) -> bool:
    """Read the hard numbers by the JSON library; False when one is beyond a float."""
    for column, row, start, stop in hard.T.tolist():
        try:
            values[column, row] = float(orjson.loads(body[start:stop]))
        except orjson.JSONDecodeError:
            return False
    return True


def _text_array(data: _Bytes, starts: NDArray[np.int32], lengths: NDArray[np.int32]) -> _Array:
    offsets, text = _gathered(data, starts, lengths)
    present = lengths != _NULL
    valid = None
    if not present.all():
        valid = pa.py_buffer(np.packbits(present, bitorder="little"))
    buffers = [valid, pa.py_buffer(offsets), pa.py_buffer(text)]
    return pa.Array.from_buffers(pa.string(), starts.size, buffers)


@jit
def _same(data: _Bytes, at: int, pattern: _Bytes, first: int, last: int) -> bool:
    """True when ``data`` has ``pattern[first:last]`` at ``at``."""
    if at + last - first > data.size:
        return False
    for i in range(last - first):  # noqa: SIM110  (compiled)
        if data[at + i] != pattern[first + i]:
            return False
    return True


@jit
def _text_end(data: _Bytes, at: int) -> tuple[int, int]:
    """Where the text whose first letter is at ``at`` has its closing quote (-1: it is not plain),
    and all its letters put together by OR."""
    letters = 0
    while at < data.size:
        letter = data[at]
        if letter == 0x22:
            return at, letters
        if letter == 0x5C or letter < 0x20:
            return -1, letters
        letters |= letter
        at += 1
    return -1, letters


@jit
def _is_null(data: _Bytes, at: int) -> bool:
    return (
        at + 4 <= data.size
        and data[at] == 0x6E
        and data[at + 1] == 0x75
        and data[at + 2] == 0x6C
        and data[at + 3] == 0x6C
    )


@jit
def _digits(data: _Bytes, at: int, mantissa: int) -> tuple[int, int]:
    """``mantissa`` with the digits from ``at`` on appended (wrong beyond 18), and their end."""
    while at < data.size and 0x30 <= data[at] <= 0x39:
        mantissa = mantissa * 10 + (data[at] - 0x30)
        at += 1
    return mantissa, at


@jit
def _number(data: _Bytes, at: int, tens: NDArray[np.float64]) -> tuple[float, int, bool]:
    """The JSON number at ``at``, its end (-1: none), and whether its value is exact.

    With at most 53 bits and a power of ten up to 22, one division or product of exact numbers
    rounds once, hence correctly (W. D. Clinger, How to Read Floating Point Numbers Accurately,
    1990). Other numbers are hard, and so is minus zero, whose sign depends on its spelling.
    """
    negative = at < data.size and data[at] == 0x2D
    if negative:
        at += 1
    first = at
    mantissa, at = _digits(data, at, 0)
    digits = at - first
    if digits == 0 or (digits > 1 and data[first] == 0x30):
        return 0.0, -1, False
    exponent = 0
    if at < data.size and data[at] == 0x2E:
        point = at
        mantissa, at = _digits(data, at + 1, mantissa)
        exponent = point + 1 - at
        if exponent == 0:
            return 0.0, -1, False
        digits -= exponent
    if at < data.size and (data[at] == 0x65 or data[at] == 0x45):
        at += 1
        down = at < data.size and data[at] == 0x2D
        if at < data.size and (data[at] == 0x2D or data[at] == 0x2B):
            at += 1
        first = at
        power, at = _digits(data, at, 0)
        if at == first:
            return 0.0, -1, False
        if at - first > 4:
            return 0.0, at, False
        exponent += -power if down else power
    too_long = digits > _MOST_DIGITS or mantissa >= 1 << 53
    if too_long or exponent < -22 or exponent > 22 or (negative and mantissa == 0):
        return 0.0, at, False
    value = float(mantissa)
    value = value / tens[-exponent] if exponent < 0 else value * tens[exponent]
    return (-value if negative else value), at, True


@jit
def _walk_rows(
    data: _Bytes,
    at: int,
    gaps: _Bytes,
    gap_ends: NDArray[np.int64],
    between: _Bytes,
    kinds: NDArray[np.int64],
    place: NDArray[np.int64],
    values: NDArray[np.float64],
    spans: NDArray[np.int32],
    hard: NDArray[np.int32],
    tens: NDArray[np.float64],
) -> tuple[int, int, int, int]:
    """Fill the columns.

    Returns:
        Number of rows (-1: irregular), end of the last row, hard numbers, and the letters of all
        texts put together by OR.
    """
    n_columns = kinds.size
    letters = 0
    row = 0
    n_hard = 0
    while True:
        for column in range(n_columns):
            first, last = gap_ends[column], gap_ends[column + 1]
            if not _same(data, at, gaps, first, last):
                return _IRREGULAR, 0, 0, 0
            at += last - first
            kind = kinds[column]
            quoted = at < data.size and data[at] == 0x22
            if kind <= _TEXT and quoted:
                end, more = _text_end(data, at + 1)
                letters |= more
                if end < 0:
                    return _IRREGULAR, 0, 0, 0
                if kind == _TEXT:
                    spans[0, place[column], row] = at + 1
                    spans[1, place[column], row] = end - at - 1
                at = end + 1
            elif _is_null(data, at):
                if kind == _TEXT:
                    spans[0, place[column], row] = 0
                    spans[1, place[column], row] = _NULL
                elif kind != _SKIPPED:
                    values[place[column], row] = np.nan
                at += 4
            elif kind == _TEXT:
                return _IRREGULAR, 0, 0, 0
            elif quoted and at + 1 < data.size and data[at + 1] == 0x22:
                if kind != _NUMBER_OR_BLANK:
                    return _IRREGULAR, 0, 0, 0
                values[place[column], row] = np.nan
                at += 2
            else:
                first = at + 1 if quoted else at
                value, end, exact = _number(data, first, tens)
                if end < 0 or (quoted and (end >= data.size or data[end] != 0x22)):
                    return _IRREGULAR, 0, 0, 0
                if kind != _SKIPPED:
                    values[place[column], row] = value
                    if not exact:
                        hard[0, n_hard] = place[column]
                        hard[1, n_hard] = row
                        hard[2, n_hard] = first
                        hard[3, n_hard] = end
                        n_hard += 1
                at = end + 1 if quoted else end
        first, last = gap_ends[n_columns], gap_ends[n_columns + 1]
        if not _same(data, at, gaps, first, last):
            return _IRREGULAR, 0, 0, 0
        at += last - first
        row += 1
        if not _same(data, at, between, 0, between.size):
            return row, at, n_hard, letters
        at += between.size


@jit
def _gathered(
    data: _Bytes, starts: NDArray[np.int32], lengths: NDArray[np.int32]
) -> tuple[NDArray[np.int32], _Bytes]:
    """The texts one after the other, and where each begins."""
    offsets = np.zeros(starts.size + 1, np.int32)
    for row in range(starts.size):
        offsets[row + 1] = offsets[row] + max(lengths[row], 0)
    text = np.empty(offsets[-1], np.uint8)
    for row in range(starts.size):
        for i in range(offsets[row + 1] - offsets[row]):
            text[offsets[row] + i] = data[starts[row] + i]
    return offsets, text
