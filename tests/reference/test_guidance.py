"""The guidance book and family guidance, by hand."""

from __future__ import annotations

from typing import Any

import pytest

from tests.reference.forecasts import guidance, target_year
from tests.reference.guidance import FEATURES
from tests.reference.hand import CODE, DAYS, Rows, market, value, values
from tests.reference.statements import Year
from tests.reference.test_statements import statement


def revision(year: int, disclosed: int, number: int = 0, **fields: Any) -> Any:
    """A row that only revises forecasts for a fiscal year."""
    row = statement(year, "FY", disclosed, number, **fields)
    return row | {"DocType": "EarnForecastRevision", "CurPerType": "", "CurPerEn": None}


RESULTS: Rows = [
    statement(2020, "FY", 100, Sales=1000.0, OP=100.0, NxFSales=1200.0, NxFOP=130.0, NxFNp=60.0)
]
"""FY 2020 with forecasts for 2021."""

REVISED: Rows = [
    *RESULTS,
    revision(2021, 150, FOP=150.0, FNP=70.0),
    statement(2021, "1Q", 160, OP=30.0, FOP=150.0, FNP=70.0, FSales=1200.0),
]


def test_guidance_by_hand() -> None:
    """OP 130, then 150 in a revision, confirmed by the first quarter; the year before 1Q had 20."""
    shares = {"ShOutFY": 50.0}
    before = statement(2020, "1Q", 20, OP=20.0, FOP=80.0)
    m = market(fin_summary=[before, *REVISED, statement(2020, "FY", 100, 1, **shares)])
    expected = {
        "guide_sales_growth": 0.2,
        "guide_op_growth_to_sales": 0.05,
        "guide_op_margin": 150 / 1200,
        "guide_rev_op_last": 20 / 1200,
        "guide_rev_np_last": 10 / 5000,
        "guide_rev_net_count_250d": 1,
        "guide_progress_op": 0.2,
        "guide_progress_gap": 0.2 - 20 / 100,
        "guide_surprise_op_fy": (100 - 80) / 1000,
        "days_since_guide_rev": 20,
    }
    assert list(expected) == list(FEATURES)
    found = {name: value(FEATURES, name, m, 170) for name in expected}
    assert found == pytest.approx(expected)


def test_without_a_change_the_revision_is_zero() -> None:
    """Right after the results: nothing revised, no progress in the new year."""
    m = market(fin_summary=RESULTS)
    found = {name: value(FEATURES, name, m, 110) for name in FEATURES}
    assert found["guide_rev_op_last"] == found["guide_rev_np_last"] == 0
    assert found["guide_rev_net_count_250d"] == 0
    assert found["guide_progress_op"] is found["days_since_guide_rev"] is None
    assert found["guide_surprise_op_fy"] is None


def test_before_any_results_there_is_no_target_year() -> None:
    """Only the counters, which know no fy*, have values."""
    m = market(fin_summary=[revision(2020, 50, FOP=1.0), revision(2020, 60, FOP=2.0)])
    assert target_year(m, CODE, DAYS[70]) is None
    found = {name for name in FEATURES if value(FEATURES, name, m, 70) is not None}
    assert found == {"guide_rev_net_count_250d", "days_since_guide_rev"}


def test_a_forecast_stands_for_300_columns() -> None:
    """Each item from the row that supplied it."""
    rows = [*REVISED, revision(2021, 200, FOP=140.0)]
    last = {
        "guide_sales_growth": 460,
        "guide_op_margin": 460,
        "guide_op_growth_to_sales": 500,
        "guide_rev_net_count_250d": 750,
    }
    m = market(fin_summary=rows)
    for name, column in last.items():
        assert set(values(FEATURES, name, m, (column, column + 1))) == {column}, name


def test_revisions_of_any_target_year_count_for_250_columns() -> None:
    """Up for 2021 on column 150, down for 2022 on column 200, both ways on column 210."""
    rows = [
        *REVISED,
        revision(2021, 180, NxFOP=200.0),
        revision(2021, 200, NxFOP=190.0),
        revision(2022, 210, 1, FOP=180.0),
        revision(2022, 210, 2, FOP=185.0),
    ]
    m = market(fin_summary=rows)
    columns = (149, 150, 199, 200, 210, 399, 400, 449, 450, 459, 460)
    counts = values(FEATURES, "guide_rev_net_count_250d", m, columns)
    assert list(counts.values()) == [0, 1, 1, 0, 0, 0, -1, -1, 0, 0, 0]
    ages = values(FEATURES, "days_since_guide_rev", m, (149, 150, 199, 200, 210, 459, 460))
    assert ages == {150: 0, 199: 49, 200: 0, 210: 0, 459: 249}
    # For fy* = 2021 the revision of 2022 is none.
    assert value(FEATURES, "guide_rev_op_last", m, 220) == pytest.approx(20 / 1200)


def test_target_years_of_forecasts() -> None:
    """CurFYEn, NxtFYEn, CurFYEn plus a year; consolidated ones hide the others of their year."""
    rows = [
        revision(2021, 100, FOP=1.0, NxFOP=2.0, FNCOP=3.0, NxFNCOP=4.0),
        revision(2022, 110, FNCOP=5.0, NxFNCOP=6.0, NxtFYEn=DAYS[780].replace(day=31, month=12)),
        statement(2021, "3Q", 120, CurPerType="5Q", FOP=7.0),
        statement(2021, "3Q", 120, CurFYEn=None, FOP=8.0),
    ]
    m = market(fin_summary=rows)
    found = guidance(m, CODE, DAYS[120], "OP")
    seen = {year: [item.value for item in series] for year, series in found.items()}
    end = Year(DAYS[780].year, 12)
    assert seen == {Year(2021, 3): [1, 7], Year(2022, 3): [2], end: [6]}


def test_the_surprise_is_against_the_last_forecast_before_the_results() -> None:
    """A forecast of the same column does not count; a correction of the results does."""
    rows = [
        revision(2020, 80, FOP=70.0),
        revision(2020, 99, FOP=90.0),
        revision(2020, 100, FOP=99.0),
        *RESULTS,
        statement(2020, "FY", 120, 1, OP=110.0),
    ]
    found = values(FEATURES, "guide_surprise_op_fy", market(fin_summary=rows), (99, 100, 120))
    assert found == pytest.approx({100: 0.01, 120: 0.02})


def test_market_value_of_a_revision_is_that_of_the_column_before() -> None:
    """Price and shares of then: a split and a price change on the day itself do not matter."""
    rows = [
        *REVISED,
        statement(2020, "FY", 100, 1, ShOutFY=50.0),
        statement(2020, "FY", 150, 2, ShOutFY=80.0),
    ]
    m = market(factors={150: 0.5}, prices={150: 70.0}, fin_summary=rows)
    assert value(FEATURES, "guide_rev_np_last", m, 170) == pytest.approx(10 / 5000)
    # The carried close of an unlisted column in a short gap counts as well.
    m = market(unlisted=range(140, 155), prices={135: 80.0}, fin_summary=rows)
    assert value(FEATURES, "guide_rev_np_last", m, 170) == pytest.approx(10 / 4000)
    m = market(unlisted=range(140, 165), fin_summary=rows)
    assert value(FEATURES, "guide_rev_np_last", m, 170) is None


def test_loss_making_companies() -> None:
    """Progress needs a positive forecast and a positive year before, growth a positive base."""
    rows = [
        statement(2020, "1Q", 20, OP=20.0),
        statement(2020, "FY", 100, Sales=1000.0, OP=-100.0, NxFSales=1200.0, NxFOP=50.0),
        statement(2021, "1Q", 160, OP=-30.0),
    ]
    m = market(fin_summary=rows)
    assert value(FEATURES, "guide_progress_op", m, 160) == pytest.approx(-0.6)
    assert value(FEATURES, "guide_progress_gap", m, 160) is None
    assert value(FEATURES, "guide_op_growth_to_sales", m, 160) == pytest.approx(0.15)
    rows.append(revision(2021, 170, FOP=-1.0))
    m = market(fin_summary=rows)
    assert value(FEATURES, "guide_progress_op", m, 170) is None
