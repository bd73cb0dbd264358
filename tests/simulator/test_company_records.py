"""Dividend notices, scheduled earnings dates and valuation: what follows from the books."""

from __future__ import annotations

from collections import defaultdict
from datetime import date

import numpy as np
import pytest

from pipeline.simulator.exchange.exchange_calendar import tokyo_sessions
from tests.simulator.conftest import END, START
from tests.simulator.viewing import rows

DIVIDEND, SCHEDULE, VALUATION = "/fins/dividend", "/fins/earnings-date", "/equities/valuation"


def _dicts(columns):
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


@pytest.fixture(scope="module")
def notices(market):
    return _dicts(market.rows("dividend", START, END))


@pytest.fixture(scope="module")
def plans(market):
    return _dicts(market.rows("earnings_date", START, END))


# -- dividends -------------------------------------------------------------------------------


def test_a_chain_begins_with_a_new_notice_and_refers_to_it(notices):
    """CARefNo is the first RefNo; corrections and deletions have numbers of their own."""
    assert len({row["RefNo"] for row in notices}) == len(notices)
    first = {row["RefNo"]: row for row in notices if row["StatCode"] == "1"}
    kinds = set()
    for row in notices:
        kinds.add((row["StatCode"], row["FRCode"]))
        assert (row["CARefNo"] == row["RefNo"]) == (row["StatCode"] == "1")
        if row["CARefNo"] in first:
            begun = first[row["CARefNo"]]
            assert (begun["Code"], begun["RecDate"]) == (row["Code"], row["RecDate"])
            assert begun["PubDate"] <= row["PubDate"]
    assert {("1", "2"), ("2", "2"), ("2", "1"), ("3", "2")} == kinds


def test_a_forecast_precedes_the_record_date_and_the_decision_follows_it(notices):
    """Two months before, and with the earnings report after."""
    for row in notices:
        assert (row["PubDate"] > row["RecDate"]) == (row["FRCode"] == "1")


def test_undecided_amounts_are_a_dash_and_unset_ones_blank(notices):
    """Known ones are numbers; a decision always knows."""
    rates = defaultdict(set)
    for row in notices:
        rates[row["FRCode"]].add("-" if row["DivRate"] == "-" else "number")
        assert row["DivRate"] == "-" or isinstance(row["DivRate"], float)
        if row["DivRate"] == "-":
            assert row["PayDate"] == "-"
        assert row["CommDivRate"] == "" or row["CommSpecCode"] in "13"
        assert row["SpecDivRate"] == "" or row["CommSpecCode"] in "23"
    assert rates == {"1": {"number"}, "2": {"number", "-"}}
    assert {row["CommSpecCode"] for row in notices} >= {"0", "1", "2"}


def test_the_ex_date_is_the_session_before_rights_are_fixed(market, notices):
    """Two days of settlement: bought two sessions before the record date's is with the right."""
    sessions = [str(day) for day in tokyo_sessions(market.calendar.sessions[-1])]
    for row in notices:
        fixed = sessions.index(row["ActRecDate"])
        assert row["ActRecDate"] <= row["RecDate"] < sessions[fixed + 1]
        assert row["ExDate"] == sessions[fixed - 1]
        assert row["IFTerm"] == row["RecDate"][:7]


def test_a_notice_is_delivered_on_the_next_full_hour(market, notices):
    """From 12:00 to 19:00."""
    row = next(r for r in notices if "13:00" <= r["PubTime"] < "13:59" and r["PubDate"] > "2021")
    day, number = row["PubDate"], row["RefNo"]
    for now, seen in (("13:59", False), ("14:00", True)):
        found = {r["RefNo"] for r in rows(market, DIVIDEND, now=f"{day}T{now}", date=day)}
        assert (number in found) == seen
    early = next((r for r in notices if r["PubTime"] < "11:00" and r["PubDate"] > "2021"), row)
    now = f"{early['PubDate']}T11:59"
    assert not rows(market, DIVIDEND, now=now, date=early["PubDate"])


# -- schedules -------------------------------------------------------------------------------


def test_schedules_are_published_at_five_past_ten(market, plans):
    """On the day they carry."""
    day = plans[len(plans) // 2]["PubDate"]
    assert rows(market, SCHEDULE, now=f"{day}T10:04", date=day) == []
    assert len(rows(market, SCHEDULE, now=f"{day}T10:05", date=day)) == sum(
        row["PubDate"] == day for row in plans
    )


def test_schedules_change_and_some_are_undecided(plans):
    """A change is one more row; a day withdrawn or not yet set is blank."""
    reports = defaultdict(list)
    for row in plans:
        reports[row["Code"], row["FYE"], row["FQName"], row["PubDate"][:4]].append(row)
    assert any(len({r["SchDate"] for r in rows}) > 1 for rows in reports.values())
    assert any(row["SchDate"] == "" for row in plans)
    assert {row["FQName"] for row in plans} == {"1Q", "2Q", "3Q", "FY"}
    assert {len(row["FYE"]) for row in plans} == {4}


def test_most_reports_come_on_the_day_last_planned(market, plans):
    """The plan in force at the disclosure names its day, apart from the odd Saturday."""
    planned = {(row["Code"], row["SchDate"]) for row in plans}
    summary = market.rows("fin_summary", date(2020, 9, 1), END)
    first = summary["FSales"] + summary["FNCSales"] + summary["NxFSales"] + summary["NxFNCSales"]
    full = np.char.count(summary["DocType"].astype(str), "FinancialStatements") > 0
    full &= np.char.startswith(summary["DocType"].astype(str), "Other") == 0
    told = full & (first != "")  # corrections tell no forecasts
    cells = zip(summary["Code"][told], summary["DiscDate"][told], strict=True)
    hits = [cell in planned for cell in cells]
    assert np.mean(hits) > 0.97


def test_scheduled_date_finds_only_what_is_in_force(market, plans):
    """A plan that was changed later is not found under its old day."""
    newest = {}
    for row in plans:
        newest[row["Code"], row["FYE"], row["FQName"], row["SchDate"][:4]] = row
    history = defaultdict(list)
    for row in plans:
        history[row["Code"]].append(row)
    code, old = next(
        (code, a)
        for code, own in history.items()
        for a, b in zip(own, own[1:], strict=False)
        if a["SchDate"]
        and b["SchDate"]
        and (a["FYE"], a["FQName"]) == (b["FYE"], b["FQName"])
        and a["SchDate"] != b["SchDate"]
        and a["SchDate"][:4] == b["SchDate"][:4]
    )
    found = rows(market, SCHEDULE, scheduled_date=old["SchDate"])
    assert not any(r["Code"] == code and r["FQName"] == old["FQName"] for r in found)
    before = f"{old['PubDate']}T20:00"
    found = rows(market, SCHEDULE, now=before, scheduled_date=old["SchDate"])
    assert any(r["Code"] == code for r in found)


# -- valuation -------------------------------------------------------------------------------


def test_book_value_is_that_of_the_statement_from_the_next_session_on(market):
    """A disclosure does not count on its own day, whatever its hour."""
    summary = _dicts(market.rows("fin_summary", date(2021, 5, 6), date(2021, 5, 14)))
    sessions = [str(day) for day in market.calendar.sessions]
    checked = 0
    for row in summary:
        if "FinancialStatements" not in row["DocType"] or row["DiscDate"] not in sessions:
            continue
        following = sessions[sessions.index(row["DiscDate"]) + 1]
        told = float(row["BPS"] or row["NCBPS"])
        (now,) = rows(market, VALUATION, code=row["Code"], date=row["DiscDate"])
        after = rows(market, VALUATION, code=row["Code"], date=following)
        if after:
            assert after[0]["BPS"] == pytest.approx(told, rel=1e-3)
            checked += now["BPS"] != pytest.approx(told, rel=1e-6)
    assert checked > 5


def test_multiples_are_prices_over_figures(market, bars):
    """PER, PBR and market value agree with the daily bars where there was a trade."""
    found = market.rows("valuation", START, END)
    assert (found["Code"] == bars["Code"]).all()
    traded = ~np.isnan(bars["C"])
    price, value = bars["C"][traded], bars["MktCap"][traded]
    np.testing.assert_array_equal(found["MktCap"][traded], value)
    per, eps = found["PER"][traded], found["EPS"][traded]
    told = ~np.isnan(per) & (eps > 1)
    assert told.mean() > 0.5
    np.testing.assert_allclose(per[told], price[told] / eps[told], rtol=0.01, atol=0.02)
    pbr, book = found["PBR"][traded], found["BPS"][traded]
    told = ~np.isnan(pbr) & (book > 100)
    np.testing.assert_allclose(pbr[told], price[told] / book[told], atol=0.006, rtol=1e-3)
    funds = np.char.startswith(bars["Code"].astype(str), "1") & np.isnan(found["MktCap"])
    assert np.isnan(found["EPS"][funds]).all()
