"""An answer against the endpoint table: every way in which a field can differ is counted."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.api.catalogue.endpoints import ENDPOINTS, Endpoint, endpoint_of
from pipeline.api.decode.examine import FieldFinding, examine, shape, spelled
from pipeline.market.closed_lists import LISTS

BARS, ALERTS, LISTED = (endpoint_of(s) for s in ("daily_bars", "margin_alert", "listed"))
DAY = dt.date(2024, 5, 10)
GOOD = {"date": str(DAY), "number": 1.5, "text": "0", "flag": "0"}


def row_of(endpoint: Endpoint, **changes: Any) -> dict[str, Any]:
    """A row as the table has it, but for these."""
    row: dict[str, Any] = {}
    for field in endpoint.fields:
        if field.inner:
            row.setdefault(field.outer, {})[field.inner] = GOOD[field.kind]
        else:
            row[field.name] = GOOD[field.kind]
    return row | changes


def findings(endpoint: Endpoint, *rows: dict[str, Any]) -> tuple[FieldFinding, ...]:
    return examine(endpoint, rows).findings


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.source)
def test_a_row_as_the_table_has_it_differs_in_nothing(endpoint: Endpoint) -> None:
    found = examine(endpoint, [row_of(endpoint)], first=DAY, last=DAY)
    assert found.findings == ()
    assert (found.rows, found.repeated, found.conflicting, found.elsewhere) == (1, 0, 0, 0)
    assert set(found.types) == {field.name for field in endpoint.fields}


@pytest.mark.parametrize(
    ("endpoint", "field", "value", "difference", "seen"),
    [
        (BARS, "O", "1,234", "spelling", "9{1},9{3}"),
        (BARS, "O", "n/a", "spelling", "n/a"),
        (BARS, "O", True, "type", "boolean"),
        (BARS, "UL", False, "type", "boolean"),
        (BARS, "Date", "2024/05/10", "spelling", "9{4}/9{2}/9{2}"),
        (BARS, "Date", "20240510", "spelling", "9{8}"),
        (BARS, "C", [1.0], "type", "array"),
        (BARS, "Brandnew", 1.0, "new", "number"),
        (ALERTS, "PubReason", "{'Restricted': '0'}", "type", "text"),
    ],
)
def test_each_difference_is_named(
    endpoint: Endpoint, field: str, value: object, difference: str, seen: str
) -> None:
    """One row of two: the count is that of the rows that differ."""
    (found,) = findings(endpoint, row_of(endpoint, **{field: value}), row_of(endpoint))
    assert (found.field, found.difference, found.seen) == (field, difference, seen)
    assert (found.rows, found.value) == (1, "")


def test_numbers_as_text_and_nulls_are_as_declared() -> None:
    assert findings(BARS, row_of(BARS, O="1.5", H=None, L="-2e3", C=7, UL=0)) == ()
    assert findings(BARS, row_of(BARS, O="-", H="\uff0d", L="", C="*")) == ()


def test_a_required_field_is_missing_and_others_may_be() -> None:
    row = row_of(BARS)
    del row["C"]
    del row["MO"]  # of one plan only
    assert findings(BARS, row) == (FieldFinding("C", "missing", "", 1),)


def test_a_field_is_missing_only_from_the_day_it_is_sent() -> None:
    futures = endpoint_of("futures")
    old, late = (row_of(futures, Date=day) for day in ("2010-01-04", "2024-05-10"))
    del old["Settle"]
    assert findings(futures, old) == ()
    del late["Settle"]
    assert findings(futures, old, late) == (FieldFinding("Settle", "missing", "", 1),)


def test_inner_fields_are_fields() -> None:
    reasons = row_of(ALERTS)["PubReason"]
    del reasons["Monitoring"]
    row = row_of(ALERTS, PubReason=reasons | {"Surprise": "1", "Restricted": "yes"})
    found = {(one.field, one.difference) for one in findings(ALERTS, row)}
    assert found == {
        ("PubReason.Monitoring", "missing"),
        ("PubReason.Surprise", "new"),
        ("PubReason.Restricted", "spelling"),
    }


def test_closed_lists() -> None:
    """An unknown member is named; one without its zeros is another matter."""
    lists = [known for known in LISTS if known.source == "listed"]
    good = row_of(LISTED, Mkt="0111", S17="1", S33="0050", ScaleCat="-", Mrgn="1")
    found = examine(LISTED, [good, good | {"Mkt": "111"}, good | {"Mkt": "0115"}], lists=lists)
    assert found.findings == (
        FieldFinding("Mkt", "member", "9{4}", 1, "0115"),
        FieldFinding("Mkt", "padding", "9{3}", 1),
    )


def test_rows_that_come_twice_and_rows_of_other_days() -> None:
    first, other = row_of(BARS, Code="13010"), row_of(BARS, Code="13010", C=2.0)
    stray = row_of(BARS, Code="13020", Date="2024-05-13")
    found = examine(BARS, [first, dict(first), other, stray], first=DAY, last=DAY)
    assert (found.repeated, found.conflicting, found.elsewhere) == (1, 1, 1)
    reports = endpoint_of("short_sale")  # has no key
    assert examine(reports, [row_of(reports)] * 2).repeated == 0


def test_a_strange_name_is_shown_as_a_shape() -> None:
    (found,) = findings(BARS, row_of(BARS, **{"Toyota Motor 7203": 1}))
    assert (found.field, found.difference) == ("A{1}a{5} A{1}a{4} 9{4}", "new")


@given(st.text(min_size=1, max_size=200).filter(lambda text: any(map(str.isalnum, text))))
def test_a_shape_never_is_what_it_stands_for(text: str) -> None:
    """Letters and digits go; what is left is no text of the data."""
    assert shape(text) != text
    assert len(shape(text)) <= 43
    assert spelled(text) != text or text.lower() in {"n/a", "na", "nan", "null", "none", "nil"}


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["Date", "Code", "O", "UL", "PubReason", "\u0000", "x y"]),
            st.recursive(
                st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
                lambda inner: (
                    st.lists(inner, max_size=2)
                    | st.dictionaries(st.text(max_size=3), inner, max_size=2)
                ),
                max_leaves=4,
            ),
        ),
        max_size=4,
    ),
    st.sampled_from([BARS, ALERTS]),
)
def test_no_rows_are_too_strange(rows: list[dict[str, Any]], endpoint: Endpoint) -> None:
    """Whatever JSON holds is counted, and every required field that lacks is found."""
    found = examine(endpoint, rows, first=DAY, last=DAY)
    assert found.rows == len(rows)
    assert all(sum(types.values()) == len(rows) for types in found.types.values())
    assert not rows or any(one.difference == "missing" for one in found.findings)
