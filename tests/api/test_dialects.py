"""Every spelling of the vendor that has been seen, stated or guessed gives the plain table."""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import io
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.api.catalogue.endpoints import ENDPOINTS, Endpoint, endpoint_of
from pipeline.api.catalogue.fields import FLAG, TRUTH, Field
from pipeline.api.decode.csv_reader import read_csv
from pipeline.api.decode.page_decoder import Decoder
from pipeline.api.decode.row_checks import ordered
from pipeline.errors import BadResponse
from pipeline.quarantine import notes_of
from tests.api.bulk_server import wire_row

CASES = Path(__file__).parents[1] / "data" / "dialect"
LISTED = endpoint_of("listed")
ALERTS = endpoint_of("margin_alert")
NESTED = ("object", "JSON text", "Python text", "Outer.Inner", "Outer_Inner", "Inner")


def decoded(endpoint: Endpoint, rows: list[dict[str, Any]]) -> pa.Table:
    decoder = Decoder(endpoint)
    return ordered(decoder.table(decoder.parse(orjson.dumps({"data": rows}))["data"], {}), endpoint)


def from_file(endpoint: Endpoint, rows: list[dict[str, Any]], folder: Path) -> pa.Table:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\r\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: "" if v is None else v for name, v in row.items()})
    path = folder / "file_202401.csv.gz"
    path.write_bytes(gzip.compress(text.getvalue().encode("utf-8-sig"), 1))
    return read_csv(path, endpoint)


def case(name: str) -> list[str]:
    return (CASES / name).read_text(encoding="utf-8").splitlines(keepends=True)


def of_listing(folder: Path, *lines: str) -> pa.Table:
    path = folder / "equities_master_202405.csv"
    path.write_text("".join(lines), encoding="utf-8")
    return read_csv(path, LISTED)


def test_the_vendors_sample_of_margin_alerts(tmp_path: Path) -> None:
    """Nested column as Python text, dashes and stars, leading zeros, CRLF."""
    path = tmp_path / "markets_margin-alert_202405.csv"
    path.write_bytes((CASES / "margin_alert_vendor_dialect.csv").read_bytes())
    table = read_csv(path, ALERTS)
    assert table["Code"].to_pylist() == ["13010", "130A0", "13010"]
    assert table["PubReason.DailyPublication"].to_pylist() == ["1"] * 3
    assert table["PubReason.Restricted"].to_pylist() == ["0"] * 3
    assert table["ShrtOutChg"].to_pylist() == [-700.0, None, -700.0]
    assert table["SLRatio"].to_pylist() == [42.0, None, 42.0]
    assert table["TSEMrgnRegCls"].to_pylist() == ["001"] * 3
    assert notes_of(table) == ()


def test_padding_of_the_listing_is_mended(tmp_path: Path) -> None:
    """``50`` and ``111`` after a spreadsheet; an unknown size is null and named, the row stays."""
    head, first, second, _, fourth = case("listing_codes.csv")
    table = of_listing(tmp_path, head, first, second, fourth)
    assert table["Code"].to_pylist() == ["13010", "13320", "13790"]
    assert table["S33"].to_pylist() == ["0050"] * 3
    assert table["Mkt"].to_pylist() == ["0111", "0111", "0112"]
    assert table["ScaleCat"].to_pylist() == ["TOPIX Small 1", "TOPIX Small 2", None]
    (entry,) = notes_of(table)
    assert (entry.field, entry.spelling, entry.count) == ("ScaleCat", "TOPIX Nano", 1)
    assert entry.record == "Date 2024-05-10, Code 13790"


def test_an_unknown_market_is_refused(tmp_path: Path) -> None:
    """By source, field, value, code and day: no stock leaves the universe in silence."""
    told = "listed, field Mkt: .* got str '0115' in row 2: Date=2024-05-10 Code=13760"
    with pytest.raises(BadResponse, match=told):
        of_listing(tmp_path, *case("listing_codes.csv"))


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"Mkt": "0115"}, "Mkt"),
        ({"Mkt": "-"}, "Mkt"),
        ({"Mkt": None}, "Mkt"),
        ({"S33": "1234"}, "S33"),
        ({"S33": ""}, "S33"),
        ({"Code": "13015", "Mkt": "0115"}, None),
        ({"Mkt": "0109", "S33": "1234"}, None),
        ({"Mkt": "0105", "S33": ""}, None),
        ({"Mkt": "0106"}, None),
        ({"Code": "83010", "Mkt": "0112", "S33": "-"}, None),
        ({"Code": "84210", "Mkt": "-"}, None),
    ],
)
def test_what_places_a_stock_is_never_defaulted(changed: dict[str, Any], field: str | None) -> None:
    """Market and industry of ordinary shares; where the row is outside anyway it is null."""
    row = wire_row(LISTED, Code="13010", Mkt="0111", S33="0050") | changed
    if field is None:
        assert decoded(LISTED, [row]).num_rows == 1
    else:
        with pytest.raises(BadResponse, match=f"listed, field {field}: .*Code=13010"):
            decoded(LISTED, [row])


@pytest.mark.parametrize("division", ["4", "", None, "x"])
def test_an_unknown_division_of_the_calendar_is_refused(division: str | None) -> None:
    """A session hangs on it."""
    with pytest.raises(BadResponse, match="trading_calendar, field HolDiv: expected one of 0, 1"):
        decoded(endpoint_of("trading_calendar"), [{"Date": "2024-01-16", "HolDiv": division}])


def plain_values(field: Field) -> st.SearchStrategy[Any]:
    """Values in the one form of the specification."""
    none = st.none()
    if field.kind == "number":
        return none | st.floats(-1e12, 1e12).map(lambda number: round(number, 2) + 0.0)
    if field.kind == "date":
        return none | st.dates(dt.date(2008, 1, 1), dt.date(2030, 1, 1)).map(str)
    if field.members:
        return none | st.sampled_from(field.members)
    if field.clock:
        return none | st.times().map(lambda time: f"{time:%H:%M}:00"[: len(field.clock)])
    if field.width:
        return none | st.integers(0, 10**field.width - 1).map(lambda n: str(n).zfill(field.width))
    return none | st.sampled_from(["13010", "130A0", "水産", "a b", "0050"])


def spelled(draw: st.DrawFn, field: Field, value: Any, *, as_text: bool) -> Any:
    """The value as some vendor may write it."""
    if value is None:
        return draw(st.sampled_from([None, *field.missing]))
    forms: list[Any] = [value]
    if field.kind == "number":
        forms += [repr(value), *([int(value)] if value.is_integer() else [])]
    elif field.members in (FLAG, TRUTH):
        yes = value == field.members[1] if field.members == FLAG else value == "true"
        forms += [yes, int(yes), float(yes), str(int(yes)), str(yes), str(yes).lower()]
    elif field.clock:
        forms.append(value.removeprefix("0"))
        forms += [value[:5]] if value[5:] == ":00" else [] if value[5:] else [f"{value}:00"]
    elif field.width and value.isdigit():
        forms += [int(value), float(value), str(int(value)), f"{int(value)}.0", f"0{value}"]
    elif value == "-":
        forms += ["－", "−"]
    form = draw(st.sampled_from(forms))
    return str(form) if as_text and form is not None else form


def nested(row: dict[str, Any], endpoint: Endpoint, form: str) -> dict[str, Any]:
    """Fields of an object in the form the dialect has for it."""
    found: dict[str, Any] = {}
    for field in endpoint.fields:
        value = row[field.name]
        if not field.inner or form == "Outer.Inner":
            found[field.name] = value
        elif form == "Outer_Inner":
            found[f"{field.outer}_{field.inner}"] = value
        elif form == "Inner":
            found[field.inner] = value
        else:
            found.setdefault(field.outer, {})[field.inner] = value
    for name, value in found.items():
        if isinstance(value, dict) and form != "object":
            found[name] = str(value) if form == "Python text" else orjson.dumps(value).decode()
    return found


@st.composite
def dialects(draw: st.DrawFn) -> tuple[Endpoint, list[dict[str, Any]], list[dict[str, Any]], bool]:
    """A source, rows in the plain form and in a dialect, and whether these are of a file."""
    endpoint = draw(st.sampled_from(ENDPOINTS))
    in_file = draw(st.booleans())
    form = draw(st.sampled_from(NESTED[1:] if in_file else NESTED))
    drawn = draw(st.lists(st.integers(0, 5), min_size=1, max_size=6))
    plain, odd = [], []
    for number in range(len(drawn)):
        values, spellings = {}, {}
        for field in endpoint.fields:
            value = draw(plain_values(field))
            if value is None and (field.name in endpoint.never_null or field.refused):
                value = field.members[0] if field.members else "0" * (field.width or 5)
            if field.name == endpoint.date_field:
                value = f"2024-01-{number + 1:02}"
            elif value is None or field.kind == "date":
                value = "2024-01-16" if field.name in endpoint.never_null else value
            if field.name == "Mkt":
                value = value or "0111"
            if field.name == "S33":
                value = value or "0050"
            values[field.name] = value
            spellings[field.name] = spelled(draw, field, value, as_text=in_file)
        plain.append(nested(values, endpoint, "object"))
        odd.append(nested(spellings, endpoint, form))
    return endpoint, plain, odd + [odd[at % len(odd)] for at in drawn if endpoint.unique], in_file


@given(dialects())
def test_any_dialect_gives_the_plain_table(
    tmp_path_factory: pytest.TempPathFactory,
    drawn: tuple[Endpoint, list[dict[str, Any]], list[dict[str, Any]], bool],
) -> None:
    """Numbers as text and text as numbers, marks, padding, flags, times, nested forms, repeated
    rows; by request and by file. Nothing but the repetitions is noted."""
    endpoint, plain, odd, in_file = drawn
    expected = decoded(endpoint, plain)
    if in_file:
        found = from_file(endpoint, odd, tmp_path_factory.mktemp("dialect"))
    else:
        found = decoded(endpoint, odd)
    assert found.equals(expected)
    assert {entry.kind for entry in notes_of(found)} <= {"repeated row"}
    assert sum(entry.count for entry in notes_of(found)) == len(odd) - len(plain)
