"""A bulk file as a table: the same one that requests for its days give.

CSV has no types, and one spelling for null and blank text. Columns of numbers and dates are read
with their type at once, in blocks as the file is decompressed. The others come as text, and
``Decoder`` treats all of them like those of a page. A file that does not read that way is read
again as text: because of a value that ``Decoder`` has to judge, or because a text with a line
break lay across two blocks, which leaves a piece of a row in each. One that is not UTF-8 is read
as CP932, in which the vendor's web site offers its samples.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pc_csv

from pipeline.api.catalogue.endpoints import Endpoint
from pipeline.api.catalogue.fields import MISSING, Field
from pipeline.api.decode.page_decoder import Decoder
from pipeline.api.decode.parse_semaphore import TURNS
from pipeline.api.decode.row_checks import ordered, require_readable
from pipeline.api.http.pagination import Columns, bad

_BLOCK_BYTES = 1 << 18
_HEADER_BYTES = 1 << 13


def read_csv(path: Path, endpoint: Endpoint, decoder: Decoder | None = None) -> pa.Table:
    """The rows of a bulk file, by day and key, with the schema of the endpoint.

    Args:
        path: ``.csv.gz`` or ``.csv``.
        decoder: of this endpoint, when several files are read, so that an unknown column is
            reported once and not for each file.

    Raises:
        BadResponse: no whole gzip file, no CSV, a vanished column, or a row that cannot be placed;
            names the file, the field, what was expected and what came.
        SnapshotError: two rows have the same key and other values; or too much of a field cannot
            be read.
    """
    query = {"file": path.name}
    with TURNS, _readable(path, endpoint, query):
        names = _header(path)
        typed = {field.name: field for field in endpoint.fields if _reads_directly(field)}
        types = {name: _type(typed.get(name)) for name in _known(names, endpoint)}
        table = _table(path, types)
    _require_columns(table, endpoint, query)
    arrays = {name: table[name] for name in table.schema.names}
    columns = Columns(table.num_rows, names, arrays)
    rows = ordered((decoder or Decoder(endpoint)).table(columns, query), endpoint)
    require_readable(rows, endpoint)
    return rows


def _table(path: Path, types: Mapping[str, pa.DataType]) -> pa.Table:
    """The columns, typed if all of them can be.

    Raises:
        pa.ArrowInvalid: the file is no CSV.
    """
    with suppress(pa.ArrowInvalid):
        table = _read(path, types, line_breaks=False)
        if _is_finite(table):
            return table
    texts = dict.fromkeys(types, pa.string())
    try:
        return _read(path, texts, line_breaks=True)
    except pa.ArrowInvalid as error:
        if "UTF8" not in str(error):
            raise
    return _read(path, texts, line_breaks=True, encoding="cp932")


def _reads_directly(field: Field) -> bool:
    return field.kind in {"number", "date"}


def _type(field: Field | None) -> pa.DataType:
    return pa.string() if field is None else field.arrow_type


def _known(names: tuple[str, ...], endpoint: Endpoint) -> list[str]:
    known = {name for field in endpoint.fields for name in field.wire_names}
    return [name for name in names if name in known]


def _header(path: Path) -> tuple[str, ...]:
    """Names of the columns.

    Raises:
        pa.ArrowInvalid: they do not fit one line of sensible length, or one comes twice.
    """
    with pa.input_stream(path, compression="detect") as stream:
        start = stream.read(_HEADER_BYTES).decode("utf-8-sig", "replace")
    names = tuple(next(csv.reader(io.StringIO(start)), ()))
    if not names or len(set(names)) < len(names):
        raise pa.ArrowInvalid(f"header: expected names, each once, got {start[:80]!r}")
    return names


def _require_columns(table: pa.Table, endpoint: Endpoint, query: Mapping[str, str]) -> None:
    """A field may be a column of its own or, nested, inside that of its object; what is not kept
    need not be there, nor what came into use after the last row."""
    names = set(table.schema.names)
    gone = [
        field.name
        for field in endpoint.fields
        if field.required
        and field.kept
        and not names.intersection(field.wire_names)
        and (field.since is None or _reaches(table, endpoint, field.since))
    ]
    if gone:
        more = f" and {len(gone) - 5} more" if len(gone) > 5 else ""
        what = f"field {', '.join(gone[:5])}{more}: expected a column, got none of that name"
        raise bad(endpoint, query, what)


def _reaches(table: pa.Table, endpoint: Endpoint, since: dt.date) -> bool:
    """True when a row is dated ``since`` or later, or no dates tell."""
    if endpoint.date_field not in table.schema.names:
        return True
    return any(str(date) >= since.isoformat() for date in table[endpoint.date_field].unique())


def _read(
    path: Path, types: Mapping[str, pa.DataType], *, line_breaks: bool, encoding: str = "utf8"
) -> pa.Table:
    with pa.input_stream(path, compression="detect") as stream:
        return pc_csv.read_csv(
            stream,
            # One thread: files come several at a time, and then threads within each are in the way.
            read_options=pc_csv.ReadOptions(
                block_size=_BLOCK_BYTES, use_threads=False, encoding=encoding
            ),
            parse_options=pc_csv.ParseOptions(newlines_in_values=line_breaks),
            convert_options=pc_csv.ConvertOptions(
                column_types=types,
                include_columns=list(types),
                # Of numbers and dates; what a text stands for is its field's own matter.
                null_values=list(MISSING),
                strings_can_be_null=False,
            ),
        )


def _is_finite(table: pa.Table) -> bool:
    """False when a number was spelled ``nan`` or ``inf``."""
    numbers = (column for column in table.columns if pa.types.is_floating(column.type))
    return all(pc.all(pc.is_finite(column)).as_py() is not False for column in numbers)


@contextmanager
def _readable(path: Path, endpoint: Endpoint, query: Mapping[str, str]) -> Iterator[None]:
    """What cannot be read at all, in the words of the API layer."""
    try:
        yield
    except (pa.ArrowInvalid, UnicodeDecodeError, OSError) as error:  # neither UTF-8 nor CP932
        said = " ".join(str(error).split())[:160]
        what = f"{path}: expected CSV in a whole gzip file, got: {said}"
        raise bad(endpoint, query, what) from error
