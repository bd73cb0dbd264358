"""Parameters of a request."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.simulator.server.endpoint_table import ENDPOINTS
from pipeline.simulator.server.refusal import RefusalError
from pipeline.simulator.server.request_query import parse_query

BARS = ENDPOINTS["/equities/bars/daily"]


def parse(raw, endpoint=BARS):
    return parse_query(raw, endpoint.params, endpoint.combinations, endpoint.one_of)


@given(st.dates(date(1900, 1, 1), date(2100, 1, 1)))
def test_both_forms_of_a_date_mean_the_same(day):
    """YYYYMMDD and YYYY-MM-DD."""
    assert parse({"date": f"{day:%Y%m%d}"}).day == parse({"date": day.isoformat()}).day == day


@pytest.mark.parametrize("text", ["20240230", "2024-2-3", "2024-0203", "tomorrow", "20240101x"])
def test_a_date_that_does_not_exist_is_refused(text):
    """Status 400."""
    with pytest.raises(RefusalError) as refusal:
        parse({"date": text})
    assert refusal.value.status == 400


@pytest.mark.parametrize("text", ["130", "130A00", "130a", "13-1"])
def test_codes_have_four_or_five_characters(text):
    """Digits and capital letters."""
    with pytest.raises(RefusalError, match="code"):
        parse({"code": text})


@pytest.mark.parametrize(
    "names",
    [
        ["code"],
        ["code", "date"],
        ["code", "from", "to"],
        ["code", "from"],
        ["code", "to"],
        ["date"],
    ],
)
def test_legal_combinations_of_daily_bars(names):
    """As in the table of the specification."""
    values = {"code": "13010", "date": "20240105", "from": "20240104", "to": "20240110"}
    query = parse({name: values[name] for name in names})
    assert [name for name, _ in query.given] == sorted(names)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({}, "at least 1 parameter as follows; 'date','code'"),
        ({"date": ""}, "at least 1 parameter"),
        ({"from": "20240104", "to": "20240110"}, "at least 1 parameter"),
        ({"date": "20240104", "from": "20240104"}, "combination"),
        ({"code": "1301", "from": "20240110", "to": "20240104"}, "later"),
    ],
)
def test_missing_and_conflicting_parameters_are_refused(raw, message):
    """Status 400 with the server's words where they are known."""
    with pytest.raises(RefusalError, match=message):
        parse(raw)


def test_names_the_endpoint_does_not_know_are_ignored():
    """TOPIX has no date parameter."""
    assert parse({"date": "20240104"}, ENDPOINTS["/indices/bars/daily/topix"]).given == ()
