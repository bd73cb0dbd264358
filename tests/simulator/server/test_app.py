"""The API over real HTTP."""

from __future__ import annotations

import gzip
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from time import monotonic

import pytest
import requests

from pipeline.simulator import AppOptions, Market, serving
from tests.simulator.clients import KEY, Client, at, serve
from tests.simulator.conftest import END, SPEC

MASTER = "Date Code CoName CoNameEn S17 S17Nm S33 S33Nm ScaleCat Mkt MktNm Mrgn MrgnNm ProdCat"
WHOLE_DAY = "O H L C UL LL Vo Va"
BARS_BELOW_PREMIUM = f"Date Code {WHOLE_DAY} AdjFactor AdjO AdjH AdjL AdjC AdjVo"
BARS = (
    f"{BARS_BELOW_PREMIUM}"
    " MO MH ML MC MUL MLL MVo MVa MAdjO MAdjH MAdjL MAdjC MAdjVo"
    " AO AH AL AC AUL ALL AVo AVa AAdjO AAdjH AAdjL AAdjC AAdjVo"
)
OPTIONS = (
    "Date Code O H L C EO EH EL EC AO AH AL AC Vo OI Va CM Strike VoOA EmMrgnTrgDiv PCDiv"
    " LTD SQD Settle Theo BaseVol UnderPx IV IR"
)
BARS_PATH, OPTIONS_PATH = "/equities/bars/daily", "/derivatives/bars/daily/options/225"
MASTER_PATH, TOPIX_PATH = "/equities/master", "/indices/bars/daily/topix"
CALENDAR_PATH = "/markets/calendar"
ALL_PATHS = [BARS_PATH, OPTIONS_PATH, MASTER_PATH, TOPIX_PATH, CALENDAR_PATH]


@pytest.fixture(scope="module")
def client(market):
    with serving(market) as base_url:
        yield Client(base_url)


# -- fields ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "params", "fields"),
    [
        (CALENDAR_PATH, {}, "Date HolDiv"),
        (MASTER_PATH, {"date": "2021-06-01"}, MASTER),
        (BARS_PATH, {"date": "2021-06-01"}, BARS),
        (TOPIX_PATH, {}, "Date O H L C"),
        (OPTIONS_PATH, {"date": "2021-06-01"}, OPTIONS),
    ],
)
def test_rows_have_the_fields_of_the_specification_in_order(client, path, params, fields):
    """Every row has every key, whatever its values."""
    rows = client.rows(path, **params)
    assert rows
    assert {tuple(row) for row in rows} == {tuple(fields.split())}


def test_types_and_missing_values_of_daily_bars(client):
    """Text for codes and flags, floats for numbers, null for what did not trade."""
    rows = client.rows(BARS_PATH, date="2021-06-01") + client.rows(BARS_PATH, date="2020-10-01")
    for row in rows:
        for name, value in row.items():
            if name in ("Date", "Code"):
                assert isinstance(value, str)
            elif name[-2:] in ("UL", "LL"):
                assert value in ("0", "1")
            elif name == "AdjFactor":
                assert isinstance(value, float)
            else:
                assert value is None or isinstance(value, float)
    halted = [row for row in rows if row["Date"] == "2020-10-01"]
    assert {row["O"] for row in halted} == {row["AdjVo"] for row in halted} == {None}


def test_types_and_missing_values_of_options(client):
    """Floats; an empty text in E* on the first day of a series, 0.0 without a trade."""
    text = {"Date", "Code", "CM", "EmMrgnTrgDiv", "PCDiv", "LTD", "SQD"}
    seen = set()
    for day in ("2021-06-01", "2021-06-11"):
        for row in client.rows(OPTIONS_PATH, date=day):
            for name, value in row.items():
                expected = str if name in text or value == "" else float
                assert type(value) is expected, name
            assert (row["EO"] == "") == (row["EC"] == "")
            seen.add(row["EO"] if row["EO"] in ("", 0.0) else "traded")
    assert seen == {"", 0.0, "traded"}


def test_all_values_of_the_master_are_text(client):
    """Sector codes keep their zeros, TOPIX-17 codes have none."""
    rows = client.rows(MASTER_PATH, date="20210601")
    assert all(type(value) is str for row in rows for value in row.values())
    assert {len(row["S33"]) for row in rows} == {4}
    assert {len(row["Code"]) for row in rows} == {5}


def test_every_answer_says_that_it_is_synthetic(client):
    """Header X-Simulator, also on errors."""
    for path in (MASTER_PATH, "/nowhere"):
        assert client.get(path).headers["X-Simulator"] == "g5"


# -- keys, paths, plans ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "begins"),
    [({}, "The api key is required"), ({"x-api-key": "no"}, "The incoming api key is invalid")],
)
def test_a_missing_or_wrong_key_is_refused(client, headers, begins):
    """Status 403, before anything else is looked at."""
    answer = requests.get(client.base_url + "/nowhere", headers=headers, timeout=20)
    assert answer.status_code == 403
    assert answer.json()["message"].startswith(begins)


def test_the_accepted_key_is_configurable(market):
    """The default key no longer works then."""
    with serve(market, api_key="other") as base_url:
        url = base_url + TOPIX_PATH
        assert requests.get(url, headers=KEY, timeout=20).status_code == 403
        headers = {"x-api-key": "other"}
        assert requests.get(url, headers=headers, timeout=20).status_code == 200


@pytest.mark.parametrize("path", ["/nowhere", "", "/equities/trades", "/equities/master/x"])
def test_an_unknown_path_answers_403(client, path):
    """Not 404."""
    status, message = client.message(path)
    assert status == 403
    assert message.startswith("The requested endpoint does not exist")


@pytest.mark.parametrize(
    ("plan", "refused"),
    [
        ("free", {TOPIX_PATH, OPTIONS_PATH}),
        ("light", {OPTIONS_PATH}),
        ("standard", set()),
        ("premium", set()),
    ],
)
def test_plans_open_their_endpoints(market, plan, refused):
    """403 outside the plan; morning and afternoon columns only on Premium."""
    with serve(market, plan=plan) as base_url:
        client = Client(base_url)
        for path in ALL_PATHS:
            answer = client.get(path, date="2021-06-01")
            assert (answer.status_code == 403) == (path in refused)
        names = list(client.rows(BARS_PATH, date="2021-06-01")[0])
        assert names == (BARS if plan == "premium" else BARS_BELOW_PREMIUM).split()


def test_the_free_plan_hides_the_newest_twelve_weeks(market):
    """400 with the window for a date outside; by code only what lies inside."""
    with serve(market, plan="free") as base_url:
        client = Client(base_url)
        status, message = client.message(BARS_PATH, date=END.isoformat())
        assert status == 400
        assert message.startswith(
            "Your subscription covers the following dates: 2020-04-08 ~ 2022-04-08."
        )
        code = client.rows(BARS_PATH, date="2022-04-08")[0]["Code"]
        assert client.rows(BARS_PATH, code=code)[-1]["Date"] == "2022-04-08"
        assert client.rows(MASTER_PATH)[0]["Date"] == "2022-04-08"
        assert client.rows(CALENDAR_PATH)[-1]["Date"] == "2022-04-08"


# -- parameters --------------------------------------------------------------------------------


def test_missing_parameters_get_the_servers_words(client):
    """The names are listed; an empty date of an options call counts as missing."""
    expected = "This API requires at least 1 parameter as follows; "
    assert client.message(BARS_PATH) == (400, expected + "'date','code'.")
    assert client.message(OPTIONS_PATH, date="") == (400, expected + "'date'.")


def test_ranges_include_both_ends_and_may_be_open(client):
    """Of daily bars by code, and of TOPIX."""
    code = client.rows(BARS_PATH, date="2021-06-01")[0]["Code"]
    days = [r["Date"] for r in client.rows(BARS_PATH, code=code, from_="20210601", to="20210603")]
    assert days == ["2021-06-01", "2021-06-02", "2021-06-03"]
    assert client.rows(TOPIX_PATH, from_="2022-06-29")[-1]["Date"] == "2022-06-30"
    assert client.rows(TOPIX_PATH, to="20200702")[0]["Date"] == "2020-07-01"
    assert client.rows(TOPIX_PATH, from_="20300101") == []
    assert len(client.rows(TOPIX_PATH, date="20210601")) == len(client.rows(TOPIX_PATH))


def test_four_and_five_characters_find_the_same_issue(client):
    """Answers always carry five."""
    code = next(
        r["Code"] for r in client.rows(BARS_PATH, date="2021-06-01") if r["Code"].endswith("0")
    )
    params = {"date": "2021-06-01"}
    short = client.rows(BARS_PATH, code=code[:4], **params)
    assert short == client.rows(BARS_PATH, code=code, **params)
    assert [row["Code"] for row in short] == [code]


def test_no_hit_is_an_empty_list(client):
    """Closed days, unknown codes, dates before the market and after the clock."""
    for params in ({"date": "20210605"}, {"code": "9999"}, {"date": "20190104"}):
        assert client.get(BARS_PATH, **params).json() == {"data": []}
    assert client.get(OPTIONS_PATH, date="20300104").json() == {"data": []}


def test_a_closed_date_answers_with_the_next_list(client):
    """The master's Date shows the business day; a far future date gives the newest list."""
    assert client.rows(MASTER_PATH, date="2021-06-05")[0]["Date"] == "2021-06-07"
    assert client.rows(MASTER_PATH, date="2030-01-01")[0]["Date"] == "2022-07-01"
    assert client.rows(MASTER_PATH, date="2015-01-05")[0]["Date"] == "2020-07-01"
    assert client.rows(MASTER_PATH)[0]["Date"] == "2022-07-01"
    code = client.rows(MASTER_PATH)[0]["Code"]
    assert [r["Code"] for r in client.rows(MASTER_PATH, code=code)] == [code]


def test_the_calendar_covers_the_market_and_the_next_year(client):
    """Every date once; classes can be selected."""
    days = [row["Date"] for row in client.rows(CALENDAR_PATH)]
    assert (days[0], days[-1]) == ("2020-07-01", "2023-12-31")
    assert len(set(days)) == (date(2023, 12, 31) - date(2020, 7, 1)).days + 1
    holidays = client.rows(CALENDAR_PATH, hol_div="3", from_="2023-01-01", to="2023-06-30")
    assert {row["HolDiv"] for row in holidays} == {"3"}
    assert "2023-05-03" in {row["Date"] for row in holidays}
    failure = client.rows(CALENDAR_PATH, from_="20201001", to="20201001")
    assert failure == [{"Date": "2020-10-01", "HolDiv": "1"}]


# -- paging and packing ------------------------------------------------------------------------


def test_pages_give_the_same_rows_as_one_answer(market, client):
    """Keys differ from page to page, belong to their query, and end with the last page."""
    whole = client.rows(OPTIONS_PATH, date="2021-06-01")
    with serve(market, page_bytes=30_000) as base_url:
        paged = Client(base_url)
        rows, keys, params = [], [], {"date": "2021-06-01"}
        while True:
            body = paged.get(OPTIONS_PATH, **params).json()
            rows += body["data"]
            if "pagination_key" not in body:
                break
            keys.append(body["pagination_key"])
            params["pagination_key"] = keys[-1]
        assert rows == whole
        assert len(set(keys)) == len(keys) > 3
        status, message = paged.message(OPTIONS_PATH, date="2021-06-02", pagination_key=keys[0])
        assert status == 400
        assert "pagination_key" in message
        assert "pagination_key" not in paged.get(CALENDAR_PATH).json()


def test_bodies_are_packed_on_request_only(client):
    """gzip when accepted, and the same content."""
    url, params = client.base_url + TOPIX_PATH, {"from": "20210601"}
    plain = requests.get(url, params, headers=KEY | {"Accept-Encoding": "identity"}, timeout=20)
    packed = requests.get(
        url, params, headers=KEY | {"Accept-Encoding": "gzip"}, timeout=20, stream=True
    )
    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.raw.read()) == plain.content


# -- the clock ---------------------------------------------------------------------------------


def test_rows_appear_at_their_hour(market):
    """Bars and TOPIX at 16:30, options at 03:00 of the next day, tomorrow's list at 17:30."""
    seen = {}
    for now in ("2021-06-01T16:00", "2021-06-01T17:00", "2021-06-01T18:00", "2021-06-02T03:30"):
        with serve(market, now=at(now)) as base_url:
            client = Client(base_url)
            seen[now[-8:]] = (
                bool(client.rows(BARS_PATH, date="20210601")),
                client.rows(TOPIX_PATH)[-1]["Date"],
                bool(client.rows(OPTIONS_PATH, date="20210601")),
                client.rows(MASTER_PATH, date="20210602")[0]["Date"],
            )
    assert seen == {
        "01T16:00": (False, "2021-05-31", False, "2021-06-01"),
        "01T17:00": (True, "2021-06-01", False, "2021-06-01"),
        "01T18:00": (True, "2021-06-01", False, "2021-06-02"),
        "02T03:30": (True, "2021-06-01", True, "2021-06-02"),
    }


def test_adjusted_prices_are_restated_when_a_split_is_out(market, bars):
    """The same old row before and after an ex-date: raw prices stay, adjusted ones change."""
    row = int((bars["AdjFactor"] < 1).argmax())
    code, ex_date = bars["Code"][row], bars["Date"][row]
    earlier = bars["Date"][(bars["Code"] == code) & (bars["Date"] < ex_date)][-1]
    found = []
    for now in (f"{ex_date}T09:00", f"{ex_date}T17:00"):
        with serve(market, now=at(now)) as base_url:
            found.append(Client(base_url).rows(BARS_PATH, code=code, date=earlier)[0])
    before, after = found
    assert before["C"] == after["C"] == before["AdjC"]
    assert after["AdjC"] == pytest.approx(after["C"] * bars["AdjFactor"][row], abs=0.051)
    assert before["Va"] == after["Va"]


def test_two_fields_join_the_bars_in_august_2026(market):
    """MktCap and ExRT depend on the clock, not on the row."""
    names = {}
    for now in ("2026-07-31T12:00", "2026-08-01T12:00"):
        with serve(market, now=at(now)) as base_url:
            names[now[:7]] = list(Client(base_url).rows(BARS_PATH, date="20210601")[0])
    assert names["2026-07"] == BARS.split()
    assert names["2026-08"] == [*BARS.split(), "MktCap", "ExRT"]


def test_a_market_that_ends_later_answers_the_same_bytes_at_the_same_time(market):
    """Every endpoint, with everything the clock allows."""
    now = at("2021-03-31T20:00")
    other = Market(replace(SPEC, end=date(2021, 5, 14)))
    with serve(market, now=now) as left, serve(other, now=now) as right:
        for path in ALL_PATHS:
            for day in ("2020-12-30", "2021-03-31", "2021-04-01"):
                answers = [Client(url).get(path, date=day) for url in (left, right)]
                assert answers[0].content == answers[1].content, (path, day)
                assert answers[0].status_code == 200


# -- serving -----------------------------------------------------------------------------------


def test_requests_are_counted_by_path(market):
    """Tests read from /_sim/stats what a client really asked; statistics do not count."""
    with serve(market) as base_url:
        client = Client(base_url)
        client.rows(TOPIX_PATH, from_="20210601")
        client.get("/nowhere")
        client.get("/nowhere")
        stats = requests.get(base_url.removesuffix("/v2") + "/_sim/stats", timeout=20).json()
    assert stats["paths"] == {TOPIX_PATH: 1, "/nowhere": 2}
    assert stats["statuses"] == {"200": 1, "403": 2}
    assert stats["total"] == 3
    assert stats["requests"][0] == {"path": TOPIX_PATH, "query": "from=20210601", "status": 200}


def test_latency_is_waited_for_in_parallel(market):
    """Eight requests of 0.2 s take about 0.2 s together."""
    with serving(market, AppOptions(latency_ms=200), threads=8) as base_url:
        client = Client(base_url)
        started = monotonic()
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: client.get(CALENDAR_PATH), range(8)))
        took = monotonic() - started
    assert {answer.status_code for answer in answers} == {200}
    assert 0.2 <= took < 1.0


def test_a_fault_of_the_simulator_itself_is_a_500_with_a_message(market, monkeypatch, caplog):
    """The client sees the API's words, the log the cause."""
    monkeypatch.setattr(Market, "topix", lambda *_: 1 / 0)
    with serve(market) as base_url:
        status, message = Client(base_url).message(TOPIX_PATH)
    assert (status, message) == (500, "Unexpected error. Please try again later.")
    assert "ZeroDivisionError" in caplog.text
