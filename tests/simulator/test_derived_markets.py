"""Indices and futures: what follows from the prices of the members and of the underlyings."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from pipeline.simulator import Market, MarketSpec
from pipeline.simulator.derivatives.futures_contracts import PRODUCTS
from pipeline.simulator.exchange.index_bars import CODES
from tests.simulator.conftest import END, START
from tests.simulator.viewing import rows

INDICES, FUTURES = "/indices/bars/daily", "/derivatives/bars/daily/futures"
CATEGORIES = {
    "TOPIXF": "2008-05-07",
    "TOPIXMF": "2008-06-16",
    "MOTF": "2016-07-19",
    "NKVIF": "2012-02-27",
    "NKYDF": "2010-07-26",
    "NK225F": "2008-05-07",
    "NK225MF": "2008-05-07",
    "JN400F": "2014-11-25",
    "REITF": "2008-06-16",
    "DJIAF": "2012-05-28",
    "JGBLF": "2008-05-07",
    "NK225MCF": "2023-05-29",
    "TOA3MF": "2023-05-29",
}


@pytest.fixture(scope="module")
def levels(market):
    return market.rows("indices", START, END)


@pytest.fixture(scope="module")
def futures(market):
    return market.rows("futures", date(2021, 5, 20), date(2021, 6, 30))


# -- indices ---------------------------------------------------------------------------------


def test_there_are_76_named_indices():
    """33 industries from 0040 to 0060, 17 sectors from 0080 to 0090, and the others."""
    assert len(CODES) == len(set(CODES)) == 76
    assert {f"{n:04X}" for n in range(0x40, 0x61)} <= set(CODES)
    assert {f"{n:04X}" for n in range(0x80, 0x91)} <= set(CODES)


def test_index_0000_is_topix(market, levels):
    """The same bars as in the endpoint of its own."""
    own = levels["Code"] == "0000"
    topix = market.rows("topix", START, END)
    for name in ("Date", *"OHLC"):
        np.testing.assert_array_equal(levels[name][own], topix[name])


def test_indices_exist_in_their_time(market):
    """The second section and JASDAQ until 2022-04-01, the new segments from 2022-06-27."""
    codes = {
        day: {row["Code"] for row in rows(market, INDICES, date=day)}
        for day in ("2022-04-01", "2022-04-04", "2022-06-24", "2022-06-27")
    }
    assert {"0001", "0091"} <= codes["2022-04-01"]
    assert not {"0001", "0091"} & codes["2022-04-04"]
    assert not {"0500", "0501", "0502"} & codes["2022-06-24"]
    assert {"0500", "0501", "0502"} <= codes["2022-06-27"]


def test_bars_are_well_formed_and_stand_still_when_the_system_failed(levels):
    """On 2020-10-01 all four prices are the close before."""
    assert (levels["L"] <= np.minimum(levels["O"], levels["C"])).all()
    assert (levels["H"] >= np.maximum(levels["O"], levels["C"])).all()
    before = levels["C"][levels["Date"] == "2020-09-30"]
    failed = levels["Date"] == "2020-10-01"
    for name in "OHLC":
        np.testing.assert_allclose(levels[name][failed], before, atol=0.011)


def test_an_industry_moves_like_its_members_by_market_value(market, levels, listed, bars):
    """The largest industry's index against a basket of its shares on one day."""
    first, day = "2021-06-09", "2021-06-10"
    industry = "5250"
    index = levels["C"][(levels["Code"] == "0058") & np.isin(levels["Date"], [first, day])]
    values = []
    for which in (first, day):
        rows_of = (listed["Date"] == which) & (listed["S33"] == industry)
        rows_of &= (listed["ProdCat"] == "011") & np.char.endswith(listed["Code"].astype(str), "0")
        rows_of &= listed["Mkt"] != "0105"
        t = market.calendar.at_or_after(np.datetime64(which))
        slots = [
            np.flatnonzero(market.universe.issues.code == c)[0] for c in listed["Code"][rows_of]
        ]
        price = market.tape.carried[t, slots]
        shares = market.universe.issues.shares[slots] / market.split(
            np.full(len(slots), t), np.array(slots)
        )
        values.append((price * shares).sum())
    assert index[1] / index[0] == pytest.approx(values[1] / values[0], abs=2e-5)


def test_some_indices_have_only_a_close_for_a_while():
    """0503 in its first weeks; open, high and low are null."""
    market = Market(MarketSpec(1, 8, date(2023, 5, 22), date(2023, 7, 5)))
    assert "0503" not in {r["Code"] for r in rows(market, INDICES, date="2023-05-26")}
    for day, missing in (("2023-05-29", True), ("2023-06-30", True), ("2023-07-03", False)):
        (row,) = rows(market, INDICES, code="0503", date=day)
        assert [row[name] is None for name in "OHLC"] == [missing] * 3 + [False]


# -- futures ---------------------------------------------------------------------------------


def test_products_begin_on_their_first_trading_date():
    """The categories of the specification."""
    assert {p.category: str(p.since) for p in PRODUCTS} == CATEGORIES


def test_contract_codes_are_unique_digits(futures):
    """Nine of them, one row per date and contract unless emergency margin was triggered."""
    assert all(len(code) == 9 and code.isdigit() for code in futures["Code"])
    keys = set(zip(futures["Date"], futures["Code"], futures["EmMrgnTrgDiv"], strict=True))
    assert len(keys) == futures["Code"].size


def test_each_product_has_one_central_contract_a_day(futures):
    """It is the nearest until a few sessions before its last day."""
    normal = futures["EmMrgnTrgDiv"] == "002"
    central = normal & (futures["CCMFlag"] == "1")
    days = len(set(futures["Date"]))
    products = len(set(futures["ProdCat"]))
    assert central.sum() == days * products
    topix = futures["ProdCat"] == "TOPIXF"
    by_day = dict(
        zip(futures["Date"][central & topix], futures["CM"][central & topix], strict=True)
    )
    assert by_day["2021-06-01"] == "2021-06"
    assert by_day["2021-06-10"] == "2021-09"
    assert set(futures["LTD"][topix & (futures["CM"] == "2021-06")]) == {"2021-06-10"}
    assert max(futures["Date"][topix & (futures["CM"] == "2021-06")]) == "2021-06-10"


def test_a_contract_has_no_night_on_its_first_day_and_no_morning_ever(market):
    """Blank on the wire, not zero."""
    first = rows(market, FUTURES, date="2021-06-11", category="TOPIXF")
    listed_before = {r["Code"] for r in rows(market, FUTURES, date="2021-06-10", category="TOPIXF")}
    new = [row for row in first if row["Code"] not in listed_before]
    assert len(new) == 1
    for row in first:
        assert {row[f"M{x}"] for x in "OHLC"} == {""}
        assert (row["EC"] == "") == (row in new)


def test_the_whole_date_is_its_night_and_day(futures):
    """High and low enclose both; without a trade everything is zero."""
    o, h, l, c = (futures[x] for x in "OHLC")
    night, day = futures["EC"] > 0, futures["AC"] > 0
    assert (o[night] == futures["EO"][night]).all()
    assert (c[day] == futures["AC"][day]).all()
    assert (h[night & day] >= futures["EH"][night & day]).all()
    assert (l[night & day] <= futures["EL"][night & day]).all()
    idle = futures["Vo"] == 0
    assert idle.any()
    assert (c[idle] == 0).all()


def test_settlements_stay_near_their_underlying(market, futures):
    """TOPIX futures near TOPIX, mini and large Nikkei contracts near each other."""
    topix = market.rows("topix", date(2021, 5, 20), date(2021, 6, 30))
    close = dict(zip(topix["Date"], topix["C"], strict=True))
    own = (futures["ProdCat"] == "TOPIXF") & (futures["CCMFlag"] == "1")
    basis = [
        s / close[d] - 1 for s, d in zip(futures["Settle"][own], futures["Date"][own], strict=True)
    ]
    assert np.abs(basis).max() < 0.01
    assert np.std(basis) > 0


def test_contracts_can_be_filtered(market):
    """By category and by the flag of the central month; a date is needed."""
    found = rows(market, FUTURES, date="2021-06-01", category="JGBLF", contract_flag="1")
    assert [(row["ProdCat"], row["CCMFlag"]) for row in found] == [("JGBLF", "1")]


def test_futures_come_at_three_in_the_night(market):
    """27:00 of the trading date."""
    assert rows(market, FUTURES, now="2021-06-12T02:59", date="2021-06-11") == []
    assert rows(market, FUTURES, now="2021-06-12T03:00", date="2021-06-11")


def test_emergency_margin_doubles_the_rows_of_both_sources(market):
    """The same dates as in the options, 001 before 002."""
    doubled = [t for t in range(market.last) if market.options.emergency(t)]
    assert doubled
    day = str(market.calendar.sessions[doubled[0]])
    found = rows(market, FUTURES, date=day)
    assert [row["EmMrgnTrgDiv"] for row in found[:4]] == ["001", "002", "001", "002"]
    options = market.rows("index_options", date.fromisoformat(day))
    assert set(options["EmMrgnTrgDiv"]) == {"001", "002"}
