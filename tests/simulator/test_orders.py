"""Order flow, short selling by industry, reported short positions, trading by investor type."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from datetime import date

import numpy as np
import pytest

from tests.simulator.conftest import END, START
from tests.simulator.viewing import rows

BREAKDOWN, RATIO = "/markets/breakdown", "/markets/short-ratio"
POSITIONS, FLOWS = "/markets/short-sale-report", "/equities/investor-types"
SELLS = ("LongSell", "ShrtNoMrgn", "MrgnSellNew", "MrgnSellClose")
BUYS = ("LongBuy", "MrgnBuyNew", "MrgnBuyClose")
YEAR = (date(2021, 1, 4), date(2021, 6, 30))


@pytest.fixture(scope="module")
def orders(market):
    return market.rows("breakdown", *YEAR)


@pytest.fixture(scope="module")
def reports(market):
    columns = market.rows("short_sale", START, END)
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


@pytest.fixture(scope="module")
def flows(market):
    return market.rows("investor_types", START, END)


# -- order flow ------------------------------------------------------------------------------


def test_buys_equal_sells_equal_the_turnover_of_the_day(market, orders):
    """In shares and in yen, for every issue that traded."""
    bars = market.rows("daily_bars", *YEAR)
    traded = ~np.isnan(bars["Vo"])
    assert (orders["Code"] == bars["Code"][traded]).all()
    assert (orders["Date"] == bars["Date"][traded]).all()
    for unit in ("Vo", "Va"):
        sells = sum(orders[name + unit] for name in SELLS)
        buys = sum(orders[name + unit] for name in BUYS)
        np.testing.assert_array_equal(sells, bars[unit][traded])
        np.testing.assert_array_equal(buys, bars[unit][traded])


def test_no_order_class_is_negative_and_its_price_was_traded(market, orders):
    """Nothing traded, nothing paid; averages stay near the prices of the day."""
    bars = market.rows("daily_bars", *YEAR)
    traded = ~np.isnan(bars["Vo"])
    low, high = bars["L"][traded], bars["H"][traded]
    for name in (*SELLS, *BUYS):
        volume, value = orders[name + "Vo"], orders[name + "Va"]
        assert (volume >= 0).all()
        assert ((volume == 0) == (value == 0)).all()
        price = value / np.where(volume > 0, volume, np.nan)
        spread = high - low + 1
        told = volume > 0
        assert (price[told] >= (low - 0.2 * spread)[told]).all()
        assert (price[told] <= (high + 0.2 * spread)[told]).all()


def test_margin_orders_explain_the_change_of_the_balances(market, orders):
    """New buying less closing sales is what long balances grew by."""
    day = date(2021, 6, 10)
    t = market.calendar.at_or_after(np.datetime64(day))
    opened = dict(zip(market.universe.issues.code, market.margin.opened(t).T * 100, strict=True))
    today = orders["Date"] == day.isoformat()
    for i in np.flatnonzero(today):
        long, short = opened[orders["Code"][i]]
        assert orders["MrgnBuyNewVo"][i] - orders["MrgnSellCloseVo"][i] == long
        assert orders["MrgnSellNewVo"][i] - orders["MrgnBuyCloseVo"][i] == short


def test_short_selling_by_industry_is_the_sum_over_its_issues(market, orders):
    """34 rows a day, real selling and both kinds of short selling make the turnover."""
    day = "2021-06-10"
    today = orders["Date"] == day
    master = market.rows("listed", date(2021, 6, 10))
    industry = dict(zip(master["Code"], master["S33"], strict=True))
    short = defaultdict(float)
    for code, a, b in zip(
        orders["Code"][today],
        orders["ShrtNoMrgnVa"][today],
        orders["MrgnSellNewVa"][today],
        strict=True,
    ):
        short[industry[code]] += a + b
    found = rows(market, RATIO, date=day)
    assert len(found) == 34
    assert found[-1]["S33"] == "9999"
    for row in found:
        assert row["ShrtWithResVa"] + row["ShrtNoResVa"] == short[row["S33"]]


def test_an_industry_can_be_asked_for_with_or_without_its_zeros(market):
    """s33=50 is 0050."""
    ask = {"from_": "2021-06-01", "to": "2021-06-30"}
    found = rows(market, RATIO, s33="50", **ask)
    assert found == rows(market, RATIO, s33="0050", **ask)
    assert {row["S33"] for row in found} == {"0050"}


def test_there_are_no_orders_on_the_day_of_the_system_failure(market):
    """2020-10-01 has neither rows of industries nor of issues."""
    for path in (BREAKDOWN, RATIO):
        assert rows(market, path, date="2020-10-01") == []
        assert rows(market, path, date="2020-10-02")


@pytest.mark.parametrize(("path", "hour"), [(BREAKDOWN, "18:00"), (RATIO, "16:30")])
def test_order_flow_comes_after_the_close(market, path, hour):
    """Industries at 16:30, issues at 18:00."""
    before = f"2021-06-10T{int(hour[:2]) - 1}:59"
    assert rows(market, path, now=before, date="2021-06-10") == []
    assert rows(market, path, now=f"2021-06-10T{hour}", date="2021-06-10")


# -- reported short positions ----------------------------------------------------------------


def _key(row):
    names = (row["SSName"], row["DICName"], row["FundName"])
    return (row["Code"], *(unicodedata.normalize("NFKC", name).strip() for name in names))


def test_positions_are_reported_from_half_a_percent_and_once_below(reports):
    """A report below half a percent follows one above; each names the one before."""
    below = [row for row in reports if row["ShrtPosToSO"] < 0.0049]
    assert below
    for row in below:
        assert row["PrevRptRatio"] >= 0.005
        assert row["PrevRptDate"]
    assert any(row["PrevRptDate"] == "" and np.isnan(row["PrevRptRatio"]) for row in reports)
    assert any(0 < row["PrevRptRatio"] < 0.005 for row in reports)


def test_a_position_is_a_share_of_the_shares_outstanding(market, reports):
    """Fractions with four decimals; units are lots."""
    days = [str(day) for day in market.calendar.sessions]
    slot = {code: i for i, code in enumerate(market.universe.issues.code)}
    for row in reports[::50]:
        t, s = np.array([days.index(row["CalcDate"])]), np.array([slot[row["Code"]]])
        issued = market.issued(t, s)[0]
        assert row["ShrtPosToSO"] == pytest.approx(row["ShrtPosShares"] / issued, abs=5.1e-5)
        assert row["ShrtPosUnits"] == row["ShrtPosShares"] // 100
        assert isinstance(row["ShrtPosShares"], int | np.integer)


def test_reports_come_one_or_two_sessions_after_their_day(market, reports):
    """At 17:30 of DiscDate."""
    days = [str(day) for day in market.calendar.sessions]
    lags = {days.index(r["DiscDate"]) - days.index(r["CalcDate"]) for r in reports}
    assert lags == {1, 2}
    day = reports[len(reports) // 2]["DiscDate"]
    assert rows(market, POSITIONS, now=f"{day}T17:29", disc_date=day) == []
    found = rows(market, POSITIONS, now=f"{day}T17:30", disc_date=day)
    assert {row["DiscDate"] for row in found} == {day}


def test_positions_can_be_asked_for_by_the_day_they_were_held(market, reports):
    """calc_date selects on CalcDate, a range of disc_date on DiscDate."""
    row = reports[len(reports) // 2]
    found = rows(market, POSITIONS, calc_date=row["CalcDate"])
    assert len(found) == sum(r["CalcDate"] == row["CalcDate"] for r in reports)
    found = rows(
        market,
        POSITIONS,
        code=row["Code"],
        disc_date_from=row["DiscDate"],
        disc_date_to=row["DiscDate"],
    )
    assert len(found) == sum(
        (r["Code"], r["DiscDate"]) == (row["Code"], row["DiscDate"]) for r in reports
    )


def test_a_seller_is_not_always_spelt_alike(reports):
    """Full-width letters and spaces: after normalisation fewer names remain."""
    names = {(r["Code"], r["SSName"], r["DICName"], r["FundName"]) for r in reports}
    assert len({_key(r) for r in reports}) < len(names)


# -- investor types --------------------------------------------------------------------------


def test_the_identities_of_investor_types_hold(flows):
    """Tot = Sell + Buy, Bal = Buy - Sell, total = own account + clients, both sides alike."""
    for group in ("Prop", "Brk", "Tot", "Ind", "Frgn", "TrstBnk", "OthFin"):
        np.testing.assert_array_equal(
            flows[f"{group}Tot"], flows[f"{group}Sell"] + flows[f"{group}Buy"]
        )
        np.testing.assert_array_equal(
            flows[f"{group}Bal"], flows[f"{group}Buy"] - flows[f"{group}Sell"]
        )
    for side in ("Sell", "Buy"):
        np.testing.assert_array_equal(
            flows[f"Tot{side}"], flows[f"Prop{side}"] + flows[f"Brk{side}"]
        )
        clients = "Ind Frgn SecCo InvTr BusCo OthCo InsCo Bank TrstBnk OthFin".split()
        np.testing.assert_array_equal(
            flows[f"Brk{side}"], sum(flows[f"{group}{side}"] for group in clients)
        )
    np.testing.assert_array_equal(flows["TotSell"], flows["TotBuy"])
    assert flows["FrgnBal"].std() > 0


def test_sections_change_with_the_reform(flows):
    """Old sections until the week before 2022-04-04, new ones from then on."""
    old = flows["EnDate"] < "2022-04-04"
    assert set(flows["Section"][old]) == {
        "TSE1st",
        "TSE2nd",
        "TSEMothers",
        "TSEJASDAQ",
        "TokyoNagoya",
    }
    assert set(flows["Section"][~old]) == {
        "TSEPrime",
        "TSEStandard",
        "TSEGrowth",
        "TokyoNagoya",
    }


def test_the_turnover_of_a_section_is_that_of_its_issues(market, flows):
    """Thousand yen of the week, on either side."""
    week = (flows["EnDate"] == "2021-06-11") & (flows["Section"] == "TSE1st")
    bars = market.rows("daily_bars", date(2021, 6, 7), date(2021, 6, 11))
    master = market.rows("listed", date(2021, 6, 7), date(2021, 6, 11))
    first = master["Mkt"] == "0101"
    assert flows["TotSell"][week][-1] == np.nansum(bars["Va"][first]) // 1000


def test_the_week_is_published_on_the_fourth_session_after_it(market, flows):
    """At 18:00."""
    days = [str(day) for day in market.calendar.sessions]
    for published, last in set(zip(flows["PubDate"], flows["EnDate"], strict=True)):
        assert days.index(published) == days.index(last) + 4
    ask = {"from_": "2021-06-17", "to": "2021-06-17"}
    assert rows(market, FLOWS, now="2021-06-17T17:59", **ask) == []
    assert len(rows(market, FLOWS, now="2021-06-17T18:00", **ask)) == 5
    one = rows(market, FLOWS, section="TSE1st", **ask)
    assert [row["Section"] for row in one] == ["TSE1st"]


def test_an_early_correction_overwrites_its_row(market):
    """Before 2023-04-03 the same row later has other figures, and there is still only one."""
    changed = 0
    for start in ("2020-08-01", "2021-01-01", "2021-06-01"):
        early = rows(market, FLOWS, now=f"{start[:4]}-12-31T20:00", from_=start)
        shown = {(r["PubDate"], r["Section"]): r for r in early}
        for row in rows(market, FLOWS, from_=start):
            before = shown.get((row["PubDate"], row["Section"]), row)
            changed += before != row
            published = row["PubDate"]
            (first,) = rows(
                market,
                FLOWS,
                now=f"{published}T18:00",
                section=row["Section"],
                from_=published,
                to=published,
            )
            changed += first != row
    assert changed
    found = rows(market, FLOWS)
    keys = [(r["EnDate"], r["Section"]) for r in found]
    assert len(set(keys)) == len(keys)


def test_a_late_correction_adds_a_row(recent):
    """Since 2023-04-03: same week and section, a newer publication date."""
    found = defaultdict(list)
    for row in rows(recent, FLOWS):
        found[row["EnDate"], row["Section"]].append(row)
    twice = [both for both in found.values() if len(both) > 1]
    assert twice
    for first, second in twice:
        assert first["PubDate"] < second["PubDate"]
        assert first["FrgnBuy"] != second["FrgnBuy"]
        assert first["TotBuy"] == second["TotBuy"]
