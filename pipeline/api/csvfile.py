"""A bulk file as a table: the same one that requests for its days give.

CSV has no types, and one spelling for null and blank text. Columns whose field knows no other
spelling of "missing" are read with their type at once, in blocks as the file is decompressed. The
others come as text, and ``Decoder`` treats all of them like those of a page. A file that does not
read that way is read again as text: for an error that names row and field, or because a text with
a line break lay across two blocks, which leaves a piece of a row in each.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pc_csv

from pipeline.api.cores import TURNS
from pipeline.api.decode import Decoder
from pipeline.api.endpoints import Endpoint
from pipeline.api.fields import BLANK, Field
from pipeline.api.paging import bad
from pipeline.api.rows import ordered
from pipeline.api.scan import Columns

_BLOCK_BYTES = 1 << 18
_HEADER_BYTES = 1 << 13


def read_csv(path: Path, endpoint: Endpoint, decoder: Decoder | None = None) -> pa.Table:
    """The rows of a bulk file, by day and key, with the schema of the endpoint.

    Args:
        path: ``.csv.gz`` or ``.csv``.
        decoder: of this endpoint, when several files are read, so that an unknown column is
            reported once and not for each file.

    Raises:
        BadResponse: no whole gzip file, no CSV, a vanished column or a value of a wrong type;
            names the file, the field, what was expected and what came.
        SnapshotError: two rows have the same key.
    """
    query = {"file": path.name}
    with TURNS, _readable(path, endpoint, query):
        names = _header(path)
        typed = {field.name: field for field in endpoint.fields if _reads_directly(field)}
        types = {name: _type(typed.get(name)) for name in _known(names, endpoint)}
        try:
            table = _read(path, types, line_breaks=False)
        except pa.ArrowInvalid:
            table = None
        if table is None or not _is_finite(table):
            table = _read(path, dict.fromkeys(types, pa.string()), line_breaks=True)
    _require_columns(table, endpoint, query)
    arrays = {name: table[name] for name in table.schema.names}
    columns = Columns(table.num_rows, names, arrays)
    return ordered((decoder or Decoder(endpoint)).table(columns, query), endpoint)


def _reads_directly(field: Field) -> bool:
    return field.kind in {"number", "date"} and set(field.missing) <= set(BLANK)


def _type(field: Field | None) -> pa.DataType:
    return pa.string() if field is None else field.arrow_type


def _known(names: tuple[str, ...], endpoint: Endpoint) -> list[str]:
    known = {name for field in endpoint.fields for name in (field.name, field.outer)}
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
        and not {field.name, field.outer} & names
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


def _read(path: Path, types: Mapping[str, pa.DataType], *, line_breaks: bool) -> pa.Table:
    with pa.input_stream(path, compression="detect") as stream:
        return pc_csv.read_csv(
            stream,
            # One thread: files come several at a time, and then threads within each are in the way.
            read_options=pc_csv.ReadOptions(block_size=_BLOCK_BYTES, use_threads=False),
            parse_options=pc_csv.ParseOptions(newlines_in_values=line_breaks),
            convert_options=pc_csv.ConvertOptions(
                column_types=types,
                include_columns=list(types),
                null_values=list(BLANK),
                strings_can_be_null=True,
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
    except (pa.ArrowInvalid, OSError) as error:
        said = " ".join(str(error).split())[:160]
        what = f"{path}: expected CSV in a whole gzip file, got: {said}"
        raise bad(endpoint, query, what) from error
