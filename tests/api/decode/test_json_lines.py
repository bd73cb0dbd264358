"""The quick reader of pages: the same as the general one, or no answer at all."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.api.catalogue.endpoints import endpoint_of
from pipeline.api.catalogue.fields import Field, fields
from pipeline.api.decode import json_lines
from pipeline.api.decode.page_decoder import Decoder
from pipeline.api.http.pagination import Columns
from pipeline.errors import BadResponse
from tests.api.bulk_server import wire_row

DIVIDEND = endpoint_of("dividend")
OPTIONS = endpoint_of("index_option")
FIELDS: dict[str, Field] = {
    field.name: field
    for field in (
        *fields("Text", "text"),
        *fields("Number", "number"),
        *fields("Blank", "number"),
    )
}

any_text = st.text(max_size=6)
any_number = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**63), 2**63)
a_row = st.tuples(
    st.none() | any_text,
    st.none() | any_number | any_number.map(str) | st.just("") | st.just("-"),
    st.none() | any_number | st.just(""),
    st.none() | any_number | any_text,
).map(lambda values: dict(zip(("Text", "Number", "Blank", "New"), values, strict=True)))
plain_rows = st.lists(a_row, min_size=1, max_size=6)


@pytest.fixture(autouse=True, scope="module")
def _small_pages() -> Iterator[None]:
    """Small pages are read that way too."""
    patch = pytest.MonkeyPatch()
    patch.setattr(json_lines, "_FEWEST_BYTES", 0)
    yield
    patch.undo()


def values_of(columns: Columns) -> list[dict[str, Any]]:
    names = list(columns.arrays)
    listed = [columns.arrays[name].to_pylist() for name in names]
    return [dict(zip(names, row, strict=True)) for row in zip(*listed, strict=True)]


def plainly(row: dict[str, Any]) -> dict[str, Any]:
    """What a row holds, by the JSON library: numbers as floats, blanks as null."""

    def number(value: Any) -> float | None:
        return None if value in (None, "") else float(value)

    return {
        "Text": row["Text"] or None,
        "Number": number(row["Number"]),
        "Blank": number(row["Blank"]),
    }


@given(plain_rows, st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", "\t: ")]), st.booleans())
def test_a_page_read_quickly_equals_the_parsed_one(
    rows: list[dict[str, Any]], separators: tuple[str, str], ascii_only: bool
) -> None:
    """Bit for bit, minus zero included, whatever white space and escapes; or it is left alone."""
    text = json.dumps(
        {"data": rows, "pagination_key": "k"}, separators=separators, ensure_ascii=ascii_only
    )
    body = text.encode("utf-8", "surrogatepass")
    page = json_lines.read(body, FIELDS)
    if page is None:
        return
    parsed = orjson.loads(body)
    assert {**page, "data": 0} == {**parsed, "data": 0}
    found, expected = values_of(page["data"]), [plainly(row) for row in parsed["data"]]
    assert found == expected
    assert set(page["data"].names) == {"Text", "Number", "Blank", "New"}
    for ours, theirs in zip(found, expected, strict=True):
        for name in ("Number", "Blank"):
            if theirs[name] is not None:
                assert math.copysign(1, ours[name]) == math.copysign(1, theirs[name])


@given(st.floats(allow_nan=False, allow_infinity=False))
@example(5e-324)
@example(1.7976931348623157e308)
@example(0.1 + 0.2)
@example(-0.0)
@example(9007199254740993.0)
def test_every_number_is_read_exactly(value: float) -> None:
    """The nearest float, as the JSON library has it."""
    page = json_lines.read(_page(repr(value)), FIELDS)
    assert page is not None
    (row,) = values_of(page["data"])
    assert row["Number"].hex() == value.hex()


@given(st.from_regex(r"-?[0-9]{1,25}(\.[0-9]{0,25})?([eE][+-]?[0-9]{0,4})?", fullmatch=True))
def test_what_is_no_number_for_the_library_is_none_here(text: str) -> None:
    """Leading zeros, a bare point, an empty exponent, and what no float can hold."""
    page = json_lines.read(_page(text), FIELDS)
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        assert page is None
        return
    expected = float(text)  # the library makes 0 of -0
    if page is None:
        # What the library takes for too large is left to the general way, which reads it.
        assert math.isinf(expected) or "e" in text.lower()
    else:
        assert values_of(page["data"])[0]["Number"].hex() == expected.hex()


def _page(number: str) -> bytes:
    return b'{"data":[{"Number":' + number.encode() + b"}]}"


@given(st.data())
def test_a_spoiled_page_is_never_read_as_something_else(data: st.DataObject) -> None:
    """Any few bytes changed anywhere: equal to what the library reads, or no answer."""
    rows = [{"Text": "13010", "Number": 1.5, "Blank": ""}, {"Text": None, "Number": 2, "Blank": 3}]
    body = bytearray(orjson.dumps({"data": rows}))
    for _ in range(data.draw(st.integers(1, 3))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(
            st.sampled_from(list(b'"{}[],:\\.-+eE01 \nnult\xe3\x81\x82\x00\x1f'))
        )
    page = json_lines.read(bytes(body), FIELDS)
    if page is not None:
        parsed = orjson.loads(body)
        assert set(page) == set(parsed)
        names = page["data"].arrays
        expected = [{name: row[name] for name in names} for row in parsed["data"]]
        for row in expected:
            for name in row:
                row[name] = None if row[name] in (None, "") else row[name]
        assert values_of(page["data"]) == expected


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"data":[]}',
        b'{"rows":[{"Text":"a"}]}',
        b'{"data":[{"Text":"a"}',
        b'{"data":[{"Text":"a"}]',
        b'{"data":[{"Text":"a"}]}}',
        b'{"data":[{"Text":"a"}],}',
        b'{"data":[{"Text":"a"},]}',
        b'{"data":[{"Text":"a"},{"Text":"b"},{}]}',
        b'{"data":[{"Text":"a"}{"Text":"b"}]}',
        b'{"data":[{"Text":"a"}],"data":[1]}',
        b'{"data":[{"Text":"a","Text":"b"}]}',
        b'{"data":[{"Text":"a"},{"Other":"b"}]}',
        b'{"data":[{"Text":{"a":1}}]}',
        b'{"data":[{"Text":true}]}',
        b'{"data":[{"Text":7}]}',
        b'{"data":[{"Number":true}]}',
        b'{"data":[{"Number":"x"}]}',
        b'{"data":[{"Number":"1.5 "}]}',
        b'{"data":[{"Number":1e999}]}',
        b'{"data":[{"Number":nan}]}',
        b'{"data":[{"Text":"a\\n"}]}',
        b'{"data":[{"Text":"a\n"}]}',
        b'{"data":[{"Text":"\xff"}]}',
        b'{"data":[{"Text":"\xed\xa0\x80"}]}',
        b'{"data":[{"New":"\xff"}]}',
    ],
)
def test_whatever_is_not_regular_is_left_to_the_general_way(body: bytes) -> None:
    """Faults, nested and repeated keys, changing layouts, escapes, values a field refuses."""
    assert json_lines.read(body, FIELDS) is None


def test_the_usual_page_is_read_quickly() -> None:
    """Of options as of dividends, blanks, Japanese text and unknown fields included."""
    for endpoint in (OPTIONS, DIVIDEND):
        rows = [wire_row(endpoint, New="x", Code="日経"), wire_row(endpoint, New="y")]
        blank = [{**row, name: ""} for row in rows for name in ("EO", "DivRate") if name in row]
        page = Decoder(endpoint).parse(orjson.dumps({"data": blank, "pagination_key": "k"}))
        assert isinstance(page["data"], Columns)
        assert (page["data"].n_rows, page["pagination_key"]) == (2, "k")


def test_a_row_border_within_a_text_is_no_border() -> None:
    """Such a page goes the general way."""
    body = orjson.dumps({"data": [{"Text": "a},{b"}, {"Text": "c"}]})
    page = json_lines.read(body, FIELDS)
    assert page is not None
    assert [row["Text"] for row in values_of(page["data"])] == ["a},{b", "c"]
    assert json_lines.read(body.replace(b"},{b", b'},{\\"b'), FIELDS) is None


def test_errors_of_columns_name_the_row() -> None:
    """A date that is none is read as text and refused as a date."""
    rows = [wire_row(OPTIONS, Code=str(number)) for number in range(3)]
    rows[2]["SQD"] = "2024-02-30"
    decoder = Decoder(OPTIONS)
    page = decoder.parse(orjson.dumps({"data": rows}))
    assert isinstance(page["data"], Columns)
    with pytest.raises(BadResponse, match="field SQD: .* got str '2024-02-30' in row 2: .*Code=2"):
        decoder.table(page["data"], {})
