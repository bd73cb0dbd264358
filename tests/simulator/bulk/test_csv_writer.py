"""Rows as a packed CSV file."""

from __future__ import annotations

import csv
import gzip
import io

import numpy as np
import pyarrow as pa
import pyarrow.csv
from hypothesis import given
from hypothesis import strategies as st

from pipeline.simulator.bulk.csv_writer import packed_csv
from pipeline.simulator.server.endpoint_table import Field

TEXTS = st.one_of(st.none(), st.text(st.characters(codec="utf-8", exclude_characters="\r\0")))


def objects(values):
    made = np.empty(len(values), dtype=object)
    made[:] = values
    return made


def text_of(columns, *fields):
    return gzip.decompress(packed_csv(columns, fields)).decode()


def test_null_and_an_empty_text_are_an_empty_cell():
    """Whichever of the two the API writes; other marks stay, and so do leading zeros."""
    columns = {
        "N": np.array([1.0, np.nan, 2.5]),
        "E": np.array([np.nan, 1e16, 3.0]),
        "T": objects(["0050", None, ""]),
        "M": objects(["-", 12.0, None]),
    }
    fields = [Field("T"), Field("N"), Field("E", missing=""), Field("M")]
    lines = text_of(columns, *fields).splitlines()
    assert lines == ["T,N,E,M", "0050,1,,-", ",,1e+16,12.0", ",2.5,3,"]


def test_nested_values_are_json():
    """The real form is not known."""
    lines = text_of({"R": objects([{"A": "1"}, None]), "C": objects(["x", "y"])}, Field("R"))
    assert list(csv.reader(io.StringIO(lines))) == [["R"], ['{"A":"1"}'], []]


@given(st.lists(st.tuples(TEXTS, st.floats(allow_infinity=False)), min_size=1, max_size=5))
def test_what_is_written_can_be_read(rows):
    """Quotes, commas, line breaks and every number come back exactly."""
    texts, numbers = zip(*rows, strict=True)
    columns = {"T": objects(texts), "N": np.array(numbers)}
    packed = packed_csv(columns, [Field("T"), Field("N")])
    types = pyarrow.csv.ConvertOptions(
        column_types={"T": pa.string(), "N": pa.float64()}, strings_can_be_null=True
    )
    options = pyarrow.csv.ParseOptions(newlines_in_values=True)
    stream = io.BytesIO(gzip.decompress(packed))
    table = pyarrow.csv.read_csv(stream, parse_options=options, convert_options=types)
    marks = {"#N/A", "NA", "NaN", "NULL", "null", "n/a", "nan", "N/A", "-NaN", "-nan", "1.#IND"}
    if not marks & set(texts):
        assert table["T"].to_pylist() == [text or None for text in texts]
    assert table["N"].to_pylist() == [None if number != number else number for number in numbers]


def test_the_same_rows_are_the_same_bytes():
    """No time of writing inside."""
    columns = {"T": objects(["a"])}
    assert packed_csv(columns, [Field("T")]) == packed_csv(columns, [Field("T")])
    assert packed_csv(columns, [Field("T")])[4:8] == bytes(4)
