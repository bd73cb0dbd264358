"""Earnings summaries: what companies tell, when, and how they take it back."""

from __future__ import annotations

from collections import defaultdict
from datetime import date

import numpy as np
import pytest

from pipeline.simulator import Market, MarketSpec
from pipeline.simulator.companies.summary_rows import FIELDS, OWN_FIELD
from tests.simulator.conftest import END, START
from tests.simulator.viewing import rows

PATH = "/fins/summary"
ACTUALS = ("Sales", "OP", "NP", "TA", "Eq", "NCSales", "NCNP", "ShOutFY")


@pytest.fixture(scope="module")
def summaries(market):
    """All rows of the market as dicts."""
    columns = market.rows("fin_summary", START, END)
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def statements(rows):
    return [row for row in rows if "FinancialStatements" in row["DocType"]]


def test_there_are_111_fields_and_every_value_is_text(summaries):
    """Numbers and flags are text, too; a missing value is blank."""
    assert len(FIELDS) == len(set(FIELDS)) == 111
    for row in summaries:
        assert all(type(value) is str for value in row.values())


def test_rows_come_by_their_unique_numbers(summaries):
    """DiscNo has 14 digits, begins with a date and ascends."""
    numbers = [row["DiscNo"] for row in summaries]
    assert numbers == sorted(set(numbers))
    for row in summaries:
        assert len(row["DiscNo"]) == 14
        assert row["DiscNo"][:8] <= row["DiscDate"].replace("-", "")


def test_the_names_of_own_figures_follow_the_vendors_spelling():
    """FNP but NxFNp, and so on: each consolidated name has the documented partner."""
    assert OWN_FIELD["NxFNp"] == "NxFNCNP"
    assert OWN_FIELD["NxFNp2Q"] == "NxFNCNP2Q"
    assert OWN_FIELD["FNP2Q"] == "FNCNP2Q"
    assert set(OWN_FIELD) | set(OWN_FIELD.values()) <= set(FIELDS)


def test_a_company_without_subsidiaries_tells_only_its_own_figures(summaries):
    """The scope in DocType decides; cash flows and shares have no second field."""
    alone = [row for row in statements(summaries) if "_NonConsolidated_" in row["DocType"]]
    assert alone
    for row in alone:
        assert row["Sales"] == row["TA"] == row["FNP"] == row["NxFSales"] == ""
        assert row["NCSales"]
        assert row["ShOutFY"]


def test_sales_accumulate_over_the_fiscal_year(summaries):
    """Each quarter's figure contains the quarters before it."""
    years = defaultdict(dict)
    for row in statements(summaries):
        sales = row["Sales"] or row["NCSales"]
        years[row["Code"], row["CurFYEn"]][row["CurPerEn"]] = int(sales)
    assert any(len(year) == 4 for year in years.values())
    for year in years.values():
        values = [year[end] for end in sorted(year)]
        assert values == sorted(values)


def test_only_half_and_full_years_have_cash_flows(summaries):
    """CFO and CashEq are blank after the first and third quarter."""
    for row in statements(summaries):
        assert bool(row["CFO"]) == bool(row["CashEq"]) == (row["CurPerType"] in ("2Q", "FY"))


def test_forecasts_are_for_the_running_year_and_at_its_end_for_the_next(summaries):
    """F fields before the full year, NxF fields with it."""
    told = [row for row in statements(summaries) if row["FSales"] or row["NxFSales"]]
    for row in told:
        assert bool(row["NxFSales"]) == (row["CurPerType"] == "FY")
        assert bool(row["NxtFYEn"]) == (row["CurPerType"] == "FY")
        assert not (row["FSales"] and row["NxFSales"])
    assert {row["CurPerType"] for row in told} >= {"1Q", "2Q", "3Q", "FY"}
    assert any(row["FSales2Q"] for row in told)


@pytest.mark.parametrize(
    ("kind", "told"), [("EarnForecastRevision", "OP"), ("DividendForecastRevision", "FDivAnn")]
)
def test_revisions_have_forecasts_and_no_results(summaries, kind, told):
    """The rows have a type of their own and blank actuals."""
    found = [row for row in summaries if row["DocType"] == kind]
    assert found
    for row in found:
        assert not any(row[name] for name in ACTUALS)
        assert row["CurFYEn"]
        assert row[told] or row["FOP"] or row["FNCOP"]


def test_corrections_are_later_rows_about_the_same_period(summaries):
    """Nothing is overwritten; the corrected figures differ, forecasts are not repeated."""
    seen, corrections = {}, 0
    for row in sorted(statements(summaries), key=lambda r: (r["DiscDate"], r["DiscNo"])):
        key = row["Code"], row["CurFYEn"], row["CurPerType"]
        if key in seen:
            corrections += 1
            assert row["DiscDate"] > seen[key]["DiscDate"]
            assert row["FSales"] == row["NxFSales"] == ""
        seen[key] = row
    assert corrections > 3


def test_share_counts_are_those_behind_the_market_value(market, summaries, bars):
    """ShOutFY times the close of the day is MktCap, before and after splits."""
    price = dict(zip(zip(bars["Date"], bars["Code"], strict=True), bars["C"], strict=True))
    value = dict(zip(zip(bars["Date"], bars["Code"], strict=True), bars["MktCap"], strict=True))
    hits = []
    for row in statements(summaries):
        cell = row["DiscDate"], row["Code"]
        # A correction repeats the count of its statement; it tells no forecasts.
        first = row["FSales"] or row["NxFSales"] or row["FNCSales"] or row["NxFNCSales"]
        if first and value.get(cell, np.nan) > 0:
            told = int(row["ShOutFY"]) * price[cell] / 1e6
            hits.append(told == pytest.approx(value[cell], abs=0.51))
    assert len(hits) > 100
    assert all(hits)


def test_a_disclosure_is_delivered_in_the_evening(market, summaries):
    """Preliminary at 18:00; what is late or missed comes with the final delivery at 00:30."""
    day = max((row["DiscDate"] for row in summaries), key=[r["DiscDate"] for r in summaries].count)
    every = {row["DiscNo"] for row in summaries if row["DiscDate"] == day}
    late = {r["DiscNo"] for r in summaries if r["DiscDate"] == day and r["DiscTime"] >= "18:00"}
    following = date.fromisoformat(day).toordinal() + 1

    def seen(now):
        return {row["DiscNo"] for row in rows(market, PATH, now=now, plan="light", date=day)}

    assert seen(f"{day}T17:59") == set()
    assert seen(f"{day}T18:00") <= every - late
    assert seen(f"{date.fromordinal(following)}T00:30") == every


def test_premium_gets_disclosures_at_once_since_june_2026(recent):
    """One minute after the time of the disclosure; other plans wait for the evening."""
    day = "2026-08-07"
    times = sorted(row["DiscTime"] for row in rows(recent, PATH, date=day))
    assert times[0] < "15:00:00"
    noon = f"{day}T15:01"
    early = rows(recent, PATH, now=noon, date=day)
    assert 0 < len(early) < len(times)
    assert all(row["DiscTime"] <= "15:00:00" for row in early)
    assert rows(recent, PATH, now=noon, plan="standard", date=day) == []


def test_four_fields_were_added_in_september_2026(recent):
    """They come with the clock, and are told by the disclosures since."""
    (*_, row) = rows(recent, PATH, now="2026-09-13T20:00", date="2026-08-07")
    assert len(row) == 107
    (row, *_) = rows(recent, PATH, date="2026-08-07")
    assert len(row) == 111
    columns = recent.rows("fin_summary", date(2026, 8, 1), date(2026, 10, 30))
    statement = np.char.count(columns["DocType"].astype(str), "FinancialStatements") > 0
    since = columns["DiscDate"] >= "2026-09-14"
    told = (columns["ShEq"] != "") | (columns["NCShEq"] != "")
    assert (told == (statement & since)).all()
    assert told.any()


@pytest.fixture(scope="module")
def crowd():
    """Many companies, so that rare cases are among them."""
    market = Market(MarketSpec(seed=3, stocks=700, start=date(2022, 1, 4), end=date(2022, 12, 30)))
    return market.rows("fin_summary", date(2022, 1, 4), date(2022, 12, 30))


def test_some_companies_change_the_end_of_their_year(crowd):
    """Years of nine, fifteen or eighteen months; their fourth and fifth quarters are named."""
    months = (
        np.array(crowd["CurFYEn"], dtype="datetime64[M]").astype(int)
        - np.array(crowd["CurFYSt"], dtype="datetime64[M]").astype(int)
        + 1
    )
    assert {9, 12} < set(months.tolist()) <= {9, 12, 15, 18}
    assert {"4Q"} <= set(crowd["CurPerType"].tolist()) <= {"1Q", "2Q", "3Q", "4Q", "5Q", "FY"}
    other = np.char.startswith(crowd["DocType"].astype(str), "OtherPeriod")
    assert (other == np.isin(crowd["CurPerType"], ["4Q", "5Q"])).all()


def test_accounts_follow_several_standards(crowd):
    """No ordinary profit under IFRS and US rules."""
    kinds = crowd["DocType"].astype(str)
    for standard in ("_JP", "_IFRS", "_US", "_JMIS", "_Foreign"):
        assert np.char.endswith(kinds, standard).any()
    foreign = np.char.endswith(kinds, "_IFRS") | np.char.endswith(kinds, "_US")
    assert (crowd["OdP"][foreign] == "").all()
    assert (crowd["OP"][foreign] != "").all()
