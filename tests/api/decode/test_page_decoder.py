"""Rows as tables: types, the ways of writing "missing", and what is refused."""

from __future__ import annotations

import datetime as dt
import logging
import re
from typing import Any

import orjson
import pytest

from pipeline.api.catalogue.endpoints import ENDPOINTS, Endpoint, endpoint_of
from pipeline.api.catalogue.fields import Field
from pipeline.api.decode.page_decoder import Decoder
from pipeline.errors import BadResponse
from pipeline.quarantine import notes_of
from tests.api.bulk_server import wire_row, wire_value

QUERY = {"date": "2024-01-16"}
DAY = dt.date(2024, 1, 16)


def ours(field: Field) -> Any:
    """What the plain value of a field becomes."""
    return DAY if field.kind == "date" else wire_value(field)


row_of = wire_row


def decode(endpoint: Endpoint, *rows: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows through the decoder; read as a page, quickly if possible, they are the same."""
    page = Decoder(endpoint).parse(orjson.dumps({"data": rows}))
    try:
        table = Decoder(endpoint).table(list(rows), QUERY)
    except BadResponse as error:
        with pytest.raises(BadResponse, match=re.escape(str(error))):
            Decoder(endpoint).table(page["data"], QUERY)
        raise
    assert Decoder(endpoint).table(page["data"], QUERY).equals(table)
    assert not notes_of(table)
    return table.to_pylist()


def without(row: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in names}


each_endpoint = pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda row: row.source)


@each_endpoint
def test_every_field_arrives_with_its_type(endpoint: Endpoint) -> None:
    """Dates as dates, numbers as floats, the rest as text, in the order of the table."""
    table = Decoder(endpoint).table([row_of(endpoint)], QUERY)
    assert table.schema == endpoint.schema
    assert table.to_pylist() == [{f.name: ours(f) for f in endpoint.fields if f.kept}]


@each_endpoint
def test_no_rows_make_an_empty_table(endpoint: Endpoint) -> None:
    """With the full schema."""
    table = Decoder(endpoint).table([], QUERY)
    assert (table.schema, table.num_rows) == (endpoint.schema, 0)


@each_endpoint
def test_every_declared_spelling_of_missing_becomes_null(endpoint: Endpoint) -> None:
    """Null itself always, and exactly the texts of the field; keys are never missing."""
    for field in endpoint.fields:
        if field.name in endpoint.never_null or field.inner or not field.kept or field.refused:
            continue
        for spelling in (None, *field.missing):
            (row,) = decode(endpoint, row_of(endpoint, **{field.name: spelling}))
            assert row[field.name] is None, (field.name, spelling)


@each_endpoint
def test_every_required_field_is_missed(endpoint: Endpoint) -> None:
    """A vanished field is named; it never turns into nulls by itself."""
    for field in endpoint.fields:
        row = without(row_of(endpoint), field.outer)
        if field.required:
            with pytest.raises(BadResponse, match=f"field {field.outer}: expected in every row"):
                decode(endpoint, row_of(endpoint), row)
        else:
            assert decode(endpoint, row)[0].get(field.name) is None


@each_endpoint
def test_a_value_that_cannot_be_read_is_null_or_the_row_refused(endpoint: Endpoint) -> None:
    """Keys, dates and what places a row: refused with field, value and row. All others: null,
    and noted with spelling, number and record."""
    for field in endpoint.fields:
        if not field.kept:
            continue
        value: Any = {"a": 1}
        if field.inner:
            value = {**row_of(endpoint)[field.outer], field.inner: [1]}
        rows = row_of(endpoint), row_of(endpoint, **{field.outer: value})
        if field.name in endpoint.never_null or field.kind == "date" or field.refused:
            told = rf"{endpoint.source}, field {field.name}: expected .*, got dict .*row 1: .*="
            with pytest.raises(BadResponse, match=told):
                decode(endpoint, *rows)
            continue
        table = Decoder(endpoint).table(list(rows), QUERY)
        assert table[field.name].is_null().to_pylist() == [False, True], field.name
        (entry,) = notes_of(table)
        assert (entry.field, entry.count, entry.first) == (field.name, 1, "2024-01-16")
        assert "2024-01-16" in entry.record


@each_endpoint
def test_a_key_is_never_null(endpoint: Endpoint) -> None:
    """A row that cannot be placed is refused."""
    for name in endpoint.never_null:
        for missing in (None, "-"):
            with pytest.raises(BadResponse, match=f"field {name}: expected .* in every row, got"):
                decode(endpoint, row_of(endpoint, **{name: missing}))


@pytest.mark.parametrize(
    ("source", "field", "wire", "ours"),
    [
        # bars: null means no trade
        ("daily_bars", "C", None, None),
        ("daily_bars", "Vo", 0.0, 0.0),
        ("daily_bars", "C", 1500, 1500.0),
        ("daily_bars", "Va", 2**60, 2.0**60),
        ("daily_bars", "Code", "130A0", "130A0"),
        # summaries: all text on the wire
        ("fin_summary", "Sales", "100529000000", 100529000000.0),
        ("fin_summary", "EPS", "-66.76", -66.76),
        ("fin_summary", "EPS", "", None),
        ("fin_summary", "EqAR", "0.004", 0.004),
        ("fin_summary", "MatChgSub", "true", "true"),
        ("fin_summary", "NxtFYEn", "", None),
        # dividends: undecided and not set
        ("dividend", "DivRate", "-", None),
        ("dividend", "DivRate", "", None),
        ("dividend", "DivRate", 0.0, 0.0),
        ("dividend", "DivRate", "12.5", 12.5),
        ("dividend", "PayDate", "-", None),
        ("daily_bars", "C", "", None),
        ("daily_bars", "C", "-", None),
        ("daily_bars", "C", "*", None),
        ("daily_bars", "C", "－", None),
        ("daily_bars", "C", "＊", None),
        ("daily_bars", "C", "12.5", 12.5),
        ("index_option", "SQD", "-", None),
        # text as numbers and booleans
        ("daily_bars", "Code", 13010, "13010"),
        ("daily_bars", "Code", 13010.0, "13010"),
        ("daily_bars", "UL", 0, "0"),
        ("daily_bars", "UL", 1.0, "1"),
        ("daily_bars", "UL", False, "0"),
        ("fin_summary", "MatChgSub", True, "true"),
        ("fin_summary", "MatChgSub", "False", "false"),
        ("fin_summary", "MatChgSub", 0, "false"),
        ("fin_summary", "DiscNo", 20240116512345, "20240116512345"),
        # padding: digits only
        ("listed", "Mkt", "111", "0111"),
        ("listed", "Mkt", 111, "0111"),
        ("listed", "S33", "50", "0050"),
        ("listed", "S33", "50.0", "0050"),
        ("listed", "S17", "01", "1"),
        ("listed", "ScaleCat", "－", "-"),
        ("listed", "Code", "1301", "1301"),
        ("indices", "Code", "28", "0028"),
        ("indices", "Code", "2A", "2A"),
        ("earnings_date", "FYE", "331", "0331"),
        ("index_option", "EmMrgnTrgDiv", 2, "002"),
        ("trading_calendar", "HolDiv", 1, "1"),
        # times
        ("fin_summary", "DiscTime", "15:30", "15:30:00"),
        ("fin_summary", "DiscTime", "9:05:10", "09:05:10"),
        ("fin_summary", "DiscTime", "", None),
        ("dividend", "PubTime", "12:00:00", "12:00"),
        ("dividend", "PubTime", "12:00:30", "12:00:30"),
        ("earnings_date", "SchDate", "", None),
        # margin alerts: the day before was not published; ETFs
        ("margin_alert", "LongOutChg", "-", None),
        ("margin_alert", "LongOutRatio", "*", None),
        ("margin_alert", "LongOutRatio", 4.2, 4.2),
        ("margin_interest", "PubDate", None, None),
        # options: 0.0 is a day without a trade, blank a session that does not exist
        ("index_option", "O", 0.0, 0.0),
        ("index_option", "EO", "", None),
        ("index_option", "EO", 0.0, 0.0),
        ("index_option", "EmMrgnTrgDiv", "002", "002"),
        ("futures", "MO", "", None),
        ("indices", "O", "", None),
        # "-" is a size bucket of its own
        ("listed", "ScaleCat", "-", "-"),
        ("listed", "CoNameEn", "", None),
        ("short_sale", "PrevRptRatio", "", None),
        ("short_sale", "PrevRptDate", "", None),
        ("investor_types", "FrgnBal", -1234567, -1234567.0),
    ],
)
def test_values_by_hand(source: str, field: str, wire: object, ours: object) -> None:
    """The conventions of each endpoint, one by one."""
    endpoint = endpoint_of(source)
    (row,) = decode(endpoint, row_of(endpoint, **{field: wire}))
    assert row[field] == ours
    assert type(row[field]) is type(ours)


@pytest.mark.parametrize(
    ("source", "field", "wire"),
    [
        ("fin_summary", "Sales", "1,000"),
        ("fin_summary", "Sales", "nan"),
        ("fin_summary", "Sales", "1_000"),
        ("fin_summary", "Sales", " 1"),
        ("fin_summary", "Sales", "1e999"),
        ("fin_summary", "Sales", True),
        ("fin_summary", "MatChgSub", "yes"),
        ("fin_summary", "DiscTime", "after the close"),
        ("daily_bars", "UL", "2"),
        ("index_option", "PCDiv", "3"),
        ("margin_alert", "PubReason.Restricted", "2"),
        ("listed", "ScaleCat", "TOPIX Nano"),
        ("listed", "Mrgn", "9"),
    ],
)
def test_what_cannot_be_read_is_null_and_named(source: str, field: str, wire: object) -> None:
    """Nothing unexpected turns into a null in silence."""
    endpoint = endpoint_of(source)
    outer, _, inner = field.partition(".")
    value = {**row_of(endpoint)[outer], inner: wire} if inner else wire
    table = Decoder(endpoint).table([row_of(endpoint, **{outer: value})], QUERY)
    assert table[field].to_pylist() == [None]
    (entry,) = notes_of(table)
    assert (entry.field, entry.spelling) == (field, str(wire))


@pytest.mark.parametrize("date", ["2024-02-30", "20240209", "2024-2-9", 20240209])
def test_a_date_is_never_set_aside(date: object) -> None:
    """The row is refused by field, value and record."""
    endpoint = endpoint_of("index_option")
    with pytest.raises(BadResponse, match="field SQD: expected a date .* row 0: Date=2024-01-16"):
        decode(endpoint, row_of(endpoint, SQD=date))


@pytest.mark.parametrize("text", ["1", "{'Restricted': '1'}", "{'Restricted'", "[1]", "{" * 9000])
def test_a_nested_text_that_spells_no_whole_object_loses_its_keys_by_name(text: str) -> None:
    """Each key of it that is not there; the row stays."""
    endpoint = endpoint_of("margin_alert")
    table = Decoder(endpoint).table([row_of(endpoint, PubReason=text)], QUERY)
    assert table["PubReason.Monitoring"].to_pylist() == [None]
    assert "PubReason.Monitoring" in {entry.field for entry in notes_of(table)}


def test_one_column_may_mix_all_forms() -> None:
    """Floats, integers, numeric text, the missing text and null, row by row."""
    endpoint = endpoint_of("dividend")
    values: list[object] = [1.5, 2, "3.5", "-", "", None]
    rows = decode(endpoint, *(row_of(endpoint, DivRate=value) for value in values))
    assert [row["DivRate"] for row in rows] == [1.5, 2.0, 3.5, None, None, None]


def test_flags_may_be_text_or_integers() -> None:
    """The vendor's pages show both; they are stored as text."""
    endpoint = endpoint_of("margin_alert")
    reasons = row_of(endpoint)["PubReason"]
    rows = decode(
        endpoint,
        row_of(endpoint, PubReason={**reasons, "Monitoring": 0}),
        row_of(endpoint, PubReason={**reasons, "Monitoring": "1"}),
    )
    assert [row["PubReason.Monitoring"] for row in rows] == ["0", "1"]


def test_the_order_of_keys_does_not_matter() -> None:
    """Fields are found by name."""
    endpoint = endpoint_of("topix")
    row = row_of(endpoint, O=1.0, H=4.0, L=0.5, C=2.0)
    turned = dict(reversed(row.items()))
    assert decode(endpoint, row, turned) == [*decode(endpoint, row), *decode(endpoint, row)]


def test_plans_without_session_columns_give_nulls() -> None:
    """Below Premium the morning and afternoon keys are absent; the schema does not change."""
    endpoint = endpoint_of("daily_bars")
    absent = [field.name for field in endpoint.fields if not field.required]
    (row,) = decode(endpoint, without(row_of(endpoint), *absent))
    assert [name for name, value in row.items() if value is None] == [
        name for name in absent if name in endpoint.schema.names
    ]


def test_rows_before_a_field_existed_may_lack_it() -> None:
    """Settlement prices are due from 2016-07-19 on, not before."""
    endpoint = endpoint_of("index_option")
    old = without(row_of(endpoint, Date="2016-07-15"), "Settle", "IV", "SQD")
    assert decode(endpoint, old)[0]["Settle"] is None
    due = without(row_of(endpoint, Date="2016-07-19"), "Settle")
    with pytest.raises(BadResponse, match="field Settle: expected in every row"):
        decode(endpoint, old, due)


def test_unknown_fields_are_reported_once_and_left_out(caplog: pytest.LogCaptureFixture) -> None:
    """An added field does no harm, and its news do not flood the log."""
    endpoint = endpoint_of("topix")
    decoder = Decoder(endpoint)
    with caplog.at_level(logging.WARNING):
        tables = [decoder.table([row_of(endpoint, New=1, Other="x")], QUERY) for _ in range(3)]
    assert {table.schema for table in tables} == {endpoint.schema}
    assert [record.getMessage() for record in caplog.records] == [
        "/indices/bars/daily/topix: unknown field 'New' left out",
        "/indices/bars/daily/topix: unknown field 'Other' left out",
    ]


def test_many_vanished_fields_are_named_five_at_most() -> None:
    """The error stays one readable line."""
    endpoint = endpoint_of("daily_bars")
    with pytest.raises(BadResponse, match="field O, H, L, C, UL and 9 more: expected") as caught:
        decode(endpoint, {"Date": "2024-01-16", "Code": "13010"})
    assert caught.value.status == 200
    assert caught.value.params == QUERY


def test_a_nested_field_is_named_by_its_path() -> None:
    """Outer and inner key."""
    assert (Field("A.B", "flag").outer, Field("A.B", "flag").inner) == ("A", "B")
    assert (Field("A", "text").outer, Field("A", "text").inner) == ("A", "")


def test_restated_prices_are_checked_and_not_kept() -> None:
    """The vendor's adjusted columns go stale, and bulk files lack them: no column of ours, and what
    they hold does not matter."""
    endpoint = endpoint_of("daily_bars")
    dropped = [field.name for field in endpoint.fields if not field.kept]
    prices = ["AdjO", "AdjH", "AdjL", "AdjC", "AdjVo"]
    restated = [session + name for session in ("", "M", "A") for name in prices]
    assert dropped == [*restated, "MktCap", "ExRT"]
    (row,) = decode(endpoint, row_of(endpoint))
    assert not set(dropped) & set(row)
    with pytest.raises(BadResponse, match="field AdjC: expected in every row"):
        decode(endpoint, without(row_of(endpoint), "AdjC"))
    assert notes_of(Decoder(endpoint).table([row_of(endpoint, MAdjC="x")], QUERY)) == ()
