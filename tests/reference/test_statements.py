"""The statement book and the families fundamental, supply and valuation, by hand."""

from __future__ import annotations

import datetime as dt
import math
from typing import Any

import pytest

from tests.reference.fundamental import FEATURES as FUNDAMENTAL
from tests.reference.hand import CODE, DAYS, Rows, market, value, values, weekend_after
from tests.reference.statements import book, shares
from tests.reference.supply import FEATURES as SUPPLY
from tests.reference.valuation import FEATURES as VALUATION

ENDS = {"1Q": (6, 30), "2Q": (9, 30), "3Q": (12, 31), "FY": (3, 31)}


def statement(year: int, quarter: str, disclosed: int, number: int = 0, **fields: Any) -> Any:
    """A disclosure for the fiscal year to March ``year``, on a column."""
    month, day = ENDS[quarter]
    return {
        "DiscDate": DAYS[disclosed],
        "DiscTime": "15:00:00",
        "DiscNo": str(number),
        "DocType": f"{quarter}FinancialStatements_Consolidated_JP",
        "CurPerType": quarter,
        "CurPerEn": dt.date(year - (quarter != "FY"), month, day),
        "CurFYEn": dt.date(year, 3, 31),
        **fields,
    }


def two_years(last: str = "2Q") -> Rows:
    """FY 2020, the quarters of 2021 and those of 2022 up to one of them; cumulative sales, OP, NP.

    A quarter of the first year sells 100, of the second 110, of the third 130; OP is a tenth and
    NP a twentieth of that.
    """
    rows = []
    column = 0
    for year, sales in ((2020, 100.0), (2021, 110.0), (2022, 130.0)):
        for k, quarter in enumerate(ENDS, 1):
            column += 60
            row = statement(year, quarter, column, TA=1000.0 + column, Eq=500.0 + column)
            rows.append(row | {"Sales": k * sales, "OP": k * sales / 10, "NP": k * sales / 20})
            if (year, quarter) == (2022, last):
                return rows
    return rows


LATEST = 600
"""Column on which ``two_years`` discloses 2Q of 2022."""


def test_twelve_months_and_single_quarters() -> None:
    """TTM and Q by differences, at 2Q of the third year."""
    m = market(fin_summary=two_years())
    ta, eq = 1000.0 + LATEST, 500.0 + LATEST
    sales, before = 2 * 130 + 4 * 110 - 2 * 110, 2 * 110 + 4 * 100 - 2 * 100
    expected = {
        "fs_op_margin_ttm": 0.1,
        "fs_np_margin_ttm": 0.05,
        "fs_roe_ttm": sales / 20 / (eq - 120),
        "fs_roa_ttm": sales / 20 / (ta - 120),
        "fs_cfo_to_assets": None,
        "fs_accruals": None,
        "fs_fcf_to_assets": None,
        "fs_equity_ratio": eq / ta,
        "fs_cash_ratio": None,
        "fs_asset_turnover": sales / (ta - 120),
        "fs_sales_yoy_ttm": sales / before - 1,
        "fs_op_chg_to_assets": (sales - before) / 10 / ta,
        "fs_sales_q_yoy": 130 / 110 - 1,
        "fs_op_q_chg_to_sales": (13 - 11) / 110,
        "fs_op_margin_chg_yoy": 0.0,
        "fs_asset_growth_yoy": ta / (ta - 240) - 1,
        "fs_sue_np": None,
        "fs_days_since_disclosure": 7,
        "fs_report_lag_days": (DAYS[LATEST] - dt.date(2021, 9, 30)).days,
        "fs_quarter": 2,
        "fs_accounting_std": 1,
        "fs_is_consolidated": 1,
    }
    assert list(expected) == list(FUNDAMENTAL)
    found = {name: value(FUNDAMENTAL, name, m, LATEST + 7) for name in expected}
    assert found == pytest.approx(expected)


def test_the_year_itself_and_what_comes_before_the_first_one() -> None:
    """TTM at FY is the year; without the year before, the earlier balance and growth are missing.

    The mean of assets falls back to the latest ones in fs_roa_ttm, but not in fs_asset_turnover.
    """
    m = market(fin_summary=two_years())
    names = ("fs_op_margin_ttm", "fs_roa_ttm", "fs_asset_turnover", "fs_sales_yoy_ttm")
    found = [value(FUNDAMENTAL, name, m, 240) for name in names]
    assert found == [pytest.approx(0.1), pytest.approx(20 / 1240), None, None]
    assert value(FUNDAMENTAL, "fs_op_margin_ttm", m, 239) is None
    assert value(FUNDAMENTAL, "fs_sales_q_yoy", m, 480) == pytest.approx(0.1)


def test_a_period_stands_for_two_hundred_columns() -> None:
    """From its first disclosure on; a correction does not prolong it."""
    first = statement(2020, "1Q", 100, Eq=5.0, TA=10.0)
    late = statement(2020, "1Q", 290, Eq=6.0)
    m = market(fin_summary=[late, first])
    found = values(FUNDAMENTAL, "fs_days_since_disclosure", m, (99, 100, 290, 300, 301))
    assert found == {100: 0, 290: 190, 300: 200}


def test_a_correction_changes_a_value_from_its_own_disclosure_on() -> None:
    """Field by field; a blank field leaves the older number, a Saturday counts from Monday."""
    friday = 104
    rows = [
        statement(2020, "1Q", 60, Eq=5.0, TA=10.0),
        statement(2020, "1Q", 0, Eq=6.0) | {"DiscDate": weekend_after(friday)},
    ]
    columns = (59, 60, friday, friday + 1)
    found = values(FUNDAMENTAL, "fs_equity_ratio", market(fin_summary=rows), columns)
    assert found == {60: 0.5, friday: 0.5, friday + 1: 0.6}


def test_disclosures_of_one_day_are_ordered_by_time_and_number() -> None:
    """The later one wins wherever it stands in the file."""
    rows = [
        statement(2020, "1Q", 60, 3, TA=10.0, Eq=3.0),
        statement(2020, "1Q", 60, 2, TA=10.0, Eq=2.0, DiscTime="15:30:00"),
        statement(2020, "1Q", 60, 1, TA=10.0, Eq=1.0, DiscTime="15:30:00"),
    ]
    assert value(FUNDAMENTAL, "fs_equity_ratio", market(fin_summary=rows), 60) == 0.2


def test_non_consolidated_numbers_only_where_there_never_were_others() -> None:
    """An older consolidated value goes before a later non-consolidated one."""
    kind = "1QFinancialStatements_NonConsolidated_IFRS"
    rows = [
        statement(2020, "1Q", 60, Eq=5.0, NCTA=10.0, NCEq=1.0),
        statement(2020, "1Q", 61, NCEq=2.0, DocType=kind),
    ]
    m = market(fin_summary=rows)
    assert value(FUNDAMENTAL, "fs_equity_ratio", m, 61) == 0.5
    seen = [value(FUNDAMENTAL, "fs_is_consolidated", m, i) for i in (60, 61)]
    assert seen == [1, 0]
    assert value(FUNDAMENTAL, "fs_accounting_std", m, 61) == 2


def test_cash_flows_of_the_latest_period_that_reports_them() -> None:
    """FY at most 400 days before the latest period; assets and profit of that period."""
    flows: dict[str, Any] = {"CFO": 80.0, "CFI": -30.0, "CashEq": 50.0, "NP": 60.0, "TA": 1000.0}
    rows = [statement(2020, "FY", 100, **flows), statement(2021, "3Q", 300, TA=1.0, NP=1.0)]
    expected = {
        "fs_cfo_to_assets": 0.08,
        "fs_accruals": -0.02,
        "fs_fcf_to_assets": 0.05,
        "fs_cash_ratio": 0.05,
    }
    m = market(fin_summary=rows)
    assert {n: value(FUNDAMENTAL, n, m, 300) for n in expected} == pytest.approx(expected)
    # 2020-03-31 to 2021-05-05 are 400 days.
    for day, is_null in ((dt.date(2021, 5, 5), False), (dt.date(2021, 5, 6), True)):
        rows[1] = {**rows[1], "CurPerEn": day}
        found = value(FUNDAMENTAL, "fs_cfo_to_assets", market(fin_summary=rows), 300)
        assert (found is None) is is_null


def test_surprise_over_its_own_history() -> None:
    """d_0 over the deviation of six to eight earlier ones; NP alternates 10, 12, 10, 12 a year.

    The quarters of a year are equal, so the d_j of a year are all +2 or all -2.
    """
    rows = []
    quarters = [(2018 + i // 4, list(ENDS)[i % 4]) for i in range(14)]
    for i, (year, quarter) in enumerate(quarters):
        single = 12.0 if year % 2 else 10.0
        rows.append(statement(year, quarter, 40 * i + 40, NP=single * (i % 4 + 1)))
    # d_0 and d_1 in 2021, d_2 to d_5 in 2020, d_6 to d_9 in 2019.
    m = market(fin_summary=rows)
    d = [2.0] + 4 * [-2.0] + 3 * [2.0]
    mean = sum(d) / 8
    std = math.sqrt(sum((x - mean) ** 2 for x in d) / 7)
    assert value(FUNDAMENTAL, "fs_sue_np", m, 560) == pytest.approx(2 / std)
    # At 2Q of 2020 only five earlier ones exist, a quarter later six.
    assert value(FUNDAMENTAL, "fs_sue_np", m, 400) is None
    six = [-2.0] * 2 + [2.0] * 4
    std = math.sqrt(sum((x - 2 / 3) ** 2 for x in six) / 5)
    assert value(FUNDAMENTAL, "fs_sue_np", m, 440) == pytest.approx(-2 / std)


def test_what_is_no_statement_does_not_count() -> None:
    """Revisions, other period types and rows without a fiscal year."""
    rows = [
        statement(2020, "1Q", 60, DocType="EarnForecastRevision"),
        statement(2020, "1Q", 60, CurPerType="4Q"),
        statement(2020, "1Q", 60, CurFYEn=None),
    ]
    m = market(fin_summary=rows)
    assert book(m, CODE, DAYS[70]).rows == {}
    assert value(FUNDAMENTAL, "fs_quarter", m, 70) is None


def test_statements_count_for_1100_columns() -> None:
    """A disclosure of column 0 is gone on column 1101."""
    m = market(fin_summary=[statement(2020, "1Q", 0)])
    assert [len(book(m, CODE, DAYS[i]).rows) for i in (0, 1100, 1101)] == [1, 1, 0]


def counts(issued: float, own: float | None) -> dict[str, Any]:
    """Shares issued, and those the company holds itself."""
    return {"ShOutFY": issued, "TrShFY": own}


def test_shares_follow_splits_after_the_row_that_gave_them() -> None:
    """A 1:2 split on column 70; the correction of column 80 gives treasury shares after it."""
    rows = [
        statement(2020, "1Q", 60, **counts(1000.0, 100.0)),
        statement(2020, "1Q", 80, TrShFY=150.0),
    ]
    m = market(factors={60: 0.5, 70: 0.5}, fin_summary=rows)
    seen = [shares(m, CODE, DAYS[i]) for i in (59, 60, 69, 70, 80, 260, 261)]
    assert seen == [None, 900, 900, 1800, 1850, 1850, None]
    assert value(SUPPLY, "treasury_ratio", m, 70) == pytest.approx(0.1)
    assert value(SUPPLY, "treasury_ratio", m, 80) == pytest.approx(0.075)
    m = market(fin_summary=[statement(2020, "1Q", 60, **counts(1000.0, None))])
    assert shares(m, CODE, DAYS[60]) == 1000
    assert value(SUPPLY, "treasury_ratio", m, 60) == 0
    m = market(fin_summary=[statement(2020, "1Q", 60, TrShFY=1.0)])
    assert shares(m, CODE, DAYS[60]) is None


def test_changes_of_the_number_of_shares() -> None:
    """Against the period before and the year before, across a split."""
    rows = [
        statement(2021, "2Q", 60, **counts(1000.0, None)),
        statement(2021, "FY", 180, **counts(1010.0, None)),
        statement(2022, "2Q", 300, **counts(2100.0, 20.0)),
    ]
    m = market(factors={200: 0.5}, fin_summary=rows)
    assert value(SUPPLY, "shares_out_chg_yoy", m, 300) == pytest.approx(0.04)
    assert value(SUPPLY, "shares_out_chg_last", m, 300) == pytest.approx(2080 / 2020 - 1)
    assert value(SUPPLY, "supply_shock", m, 300) == 1
    assert value(SUPPLY, "shares_out_chg_last", m, 180) == pytest.approx(0.01)
    assert value(SUPPLY, "shares_out_chg_yoy", m, 180) is None
    unnoticed = market(fin_summary=rows)
    assert value(SUPPLY, "shares_out_chg_last", unnoticed, 300) is None
    assert value(SUPPLY, "supply_shock", unnoticed, 300) is None


def test_valuation_by_hand() -> None:
    """900 shares at 100 yen, half as much each after a split, NP of 60 in the year."""
    fields: dict[str, Any] = {"NP": 9000.0, "Sales": 180_000.0, "Eq": 45_000.0, "CFO": 4500.0}
    rows = [
        statement(2020, "FY", 100, **fields, **counts(1000.0, 100.0), NxFNp=18_000.0),
        {**statement(2021, "1Q", 130, FNP=36_000.0), "DocType": "EarnForecastRevision"},
    ]
    m = market(factors={120: 0.5}, prices={120: 50.0}, fin_summary=rows)
    expected = {
        "log_mktcap": math.log(90_000),
        "ep_ttm": 0.1,
        "ep_fwd": 0.2,
        "bp": 0.5,
        "sp_ttm": 2.0,
        "cfp_ttm": 0.05,
        "ep_ttm_z_250": None,
    }
    assert list(expected) == list(VALUATION)
    for column in (100, 125):
        found = {name: value(VALUATION, name, m, column) for name in expected}
        assert found == pytest.approx(expected)
    assert value(VALUATION, "ep_fwd", m, 130) == pytest.approx(0.4)
    assert value(VALUATION, "log_mktcap", m, 301) is None


def test_z_score_of_the_earnings_yield() -> None:
    """125 values from column 100 on; the price halves once, so the yield doubles."""
    fields: dict[str, Any] = {"NP": 9000.0, **counts(1000.0, 100.0)}
    m = market(prices={224: 50.0}, fin_summary=[statement(2020, "FY", 100, **fields)])
    assert value(VALUATION, "ep_ttm_z_250", m, 223) is None
    yields = [0.1] * 124 + [0.2]
    mean = sum(yields) / 125
    std = math.sqrt(sum((x - mean) ** 2 for x in yields) / 124)
    found = value(VALUATION, "ep_ttm_z_250", m, 224)
    assert found == pytest.approx((0.2 - mean) / std)
    # A split is no change of the yield.
    m = market(
        prices={224: 50.0},
        factors={224: 0.5},
        fin_summary=[statement(2020, "FY", 100, **fields)],
    )
    assert value(VALUATION, "ep_ttm_z_250", m, 230) is None
