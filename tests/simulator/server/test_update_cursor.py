"""The cursor of the financial summary: what was added during the day."""

from __future__ import annotations

import base64
from datetime import date, datetime, timedelta

import pytest

from pipeline.simulator import Market, MarketSpec
from pipeline.simulator.server.endpoint_table import ENDPOINTS, Endpoint, Field
from pipeline.simulator.server.publication_clock import AFTER_CLOSE, JST
from pipeline.simulator.server.refusal import RefusalError
from pipeline.simulator.server.update_cursor import Cursor, Cursors, added_rows
from tests.simulator.clients import Client, at, serve

SUMMARY = "/fins/summary"
TODAY = "2021-06-01"
REAL = ENDPOINTS[SUMMARY]


@pytest.fixture(autouse=True)
def summary(monkeypatch):
    """An endpoint whose rows of today appear at 16:30."""
    endpoint = Endpoint(
        path=SUMMARY,
        fields=(Field("Date"), Field("Code"), Field("C")),
        rows=lambda market, scope: market.daily_bars(scope.sessions, scope.code, scope.as_of),
        plan="free",
        combinations=frozenset(map(frozenset, [["code"], ["date"], ["code", "date"]])),
        one_of=("date", "code"),
        publication=AFTER_CLOSE,
    )
    monkeypatch.setitem(ENDPOINTS, SUMMARY, endpoint)


def body(client, **params):
    answer = client.get(SUMMARY, **params)
    assert answer.status_code == 200, answer.text
    return answer.json()


def pages(client, **params):
    """All rows, and the last page's body; sends the cursor along with the paging key."""
    rows, last = [], body(client, **params)
    while "pagination_key" in last:
        assert "cursor" not in last
        rows += last["data"]
        last = body(client, **params, pagination_key=last["pagination_key"])
    return rows + last["data"], last


def test_a_later_answer_holds_only_what_was_added(market):
    """Nothing at noon, all rows after the close, nothing more in the evening."""
    with serve(market, now=at(f"{TODAY}T12:00")) as base_url:
        noon = body(Client(base_url), date=TODAY)
    assert noon["data"] == []
    with serve(market, now=at(f"{TODAY}T17:00"), page_bytes=500) as base_url:
        client = Client(base_url)
        whole, _ = pages(client, date=TODAY)
        added, last = pages(client, date=TODAY, cursor=noon["cursor"])
    assert added == whole != []
    assert last["cursor"] != noon["cursor"]
    with serve(market, now=at(f"{TODAY}T20:00")) as base_url:
        client = Client(base_url)
        evening = body(client, date=TODAY.replace("-", ""), cursor=last["cursor"])
        assert evening["data"] == []
        # A cursor knows its date.
        assert body(client, cursor=noon["cursor"])["data"] == whole


def test_the_answers_of_a_day_add_up_to_its_disclosures(monkeypatch):
    """The real endpoint after its change to real time, polled through a busy day."""
    monkeypatch.setitem(ENDPOINTS, SUMMARY, REAL)
    market = Market(MarketSpec(11, 60, date(2026, 1, 5), date(2026, 8, 31)))
    with serve(market) as base_url:
        client = Client(base_url)
        days = [client.rows(SUMMARY, date=f"2026-08-{day}") for day in range(10, 15)]
    whole = max(days, key=lambda rows: len({row["DiscTime"] for row in rows}))
    day, rows, cursor, steps = whole[0]["DiscDate"], [], {}, []
    moments = sorted({row["DiscTime"] for row in whole})
    for moment in ["06:00:00", *moments, "23:30:00"]:
        with serve(market, now=at(f"{day}T{moment}") + timedelta(minutes=5)) as base_url:
            answer = body(Client(base_url), date=day, **cursor)
        rows += answer["data"]
        steps.append(len(answer["data"]))
        cursor = {"cursor": answer["cursor"]}
    assert sum(step > 0 for step in steps) > 1
    assert sorted(row["DiscNo"] for row in rows) == [row["DiscNo"] for row in whole]


def test_only_today_has_a_cursor(market):
    """Neither another date nor a code alone."""
    with serve(market, now=at(f"{TODAY}T17:00")) as base_url:
        client = Client(base_url)
        rows = body(client, date=TODAY)["data"]
        assert "cursor" not in body(client, date="2021-05-31")
        assert "cursor" not in body(client, code=rows[0]["Code"])
        assert "cursor" in body(client, code=rows[0]["Code"], date=TODAY)


def test_a_cursor_of_yesterday_still_answers(market):
    """With what came after it, and without a new one."""
    with serve(market, now=at(f"{TODAY}T12:00")) as base_url:
        cursor = body(Client(base_url), date=TODAY)["cursor"]
    with serve(market, now=at("2021-06-02T06:00")) as base_url:
        answer = body(Client(base_url), cursor=cursor)
    assert answer["data"]
    assert "cursor" not in answer


def test_cursors_are_for_the_premium_plan(market):
    """Below it no answer has one, and none is taken."""
    with serve(market, now=at(f"{TODAY}T12:00")) as base_url:
        cursor = body(Client(base_url), date=TODAY)["cursor"]
    with serve(market, plan="standard", now=at(f"{TODAY}T17:00")) as base_url:
        client = Client(base_url)
        assert "cursor" not in body(client, date=TODAY)
        assert client.message(SUMMARY, date=TODAY, cursor=cursor)[0] == 403


def test_a_cursor_belongs_to_its_query(market):
    """Another date or code is refused, and so is any other text."""
    with serve(market, now=at(f"{TODAY}T17:00")) as base_url:
        client = Client(base_url)
        cursor = body(client, date=TODAY)["cursor"]
        for params in (
            {"date": "2021-05-31", "cursor": cursor},
            {"date": TODAY, "code": "13010", "cursor": cursor},
            {"date": TODAY, "cursor": cursor[:-4] + "AAAA"},
            {"date": TODAY, "cursor": "no base64"},
        ):
            assert client.message(SUMMARY, **params) == (400, "The value of 'cursor' is invalid.")


def test_the_text_of_a_cursor_is_opaque_and_sealed():
    """It comes back as it was, only for its endpoint and market."""
    cursors = Cursors(seed=1)
    cursor = Cursor(SUMMARY, None, date(2021, 6, 1), datetime(2021, 6, 1, 12, tzinfo=JST))
    text = cursors.write(cursor)
    assert cursors.read(SUMMARY, text) == cursor
    base64.b64decode(text, validate=True)
    for path, reader in (("/fins/details", cursors), (SUMMARY, Cursors(seed=2))):
        with pytest.raises(RefusalError):
            reader.read(path, text)


def test_added_rows_keep_their_order():
    """A corrected row counts as added."""
    assert added_rows([b"a", b"b2", b"c"], [b"a", b"b1"]) == [b"b2", b"c"]
