"""Family dividend, by hand."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from tests.reference.dividend import FEATURES
from tests.reference.hand import DAYS, Rows, market, value, values
from tests.reference.test_guidance import revision
from tests.reference.test_statements import statement


def notice(published: int, ex: int | None, rate: float | None, ref: str, **fields: Any) -> Any:
    """A new notice of a dividend, with columns for dates."""
    row = {"PubDate": DAYS[published], "PubTime": "13:00", "RefNo": ref, "CARefNo": ref}
    ex_date = None if ex is None else DAYS[ex]
    return row | {"StatCode": "1", "ExDate": ex_date, "DivRate": rate} | fields


def correction(published: int, ex: int | None, rate: float | None, ref: str, of: str) -> Any:
    return notice(published, ex, rate, ref, CARefNo=of, StatCode="2")


def test_a_notice_and_its_ex_date() -> None:
    """2 yen with ex-date 360, announced on column 200 and corrected to 3 on column 250."""
    m = market(dividend=[notice(200, 360, 2.0, "1"), correction(250, 360, 3.0, "2", "1")])
    days = values(FEATURES, "div_days_to_ex", m, range(195, 365))
    assert days == {i: 360 - i for i in range(200, 360)}
    found = values(FEATURES, "div_next_yield", m, (239, 240, 249, 250, 359, 360))
    assert found == pytest.approx({240: 0.02, 249: 0.02, 250: 0.03, 359: 0.03})
    since = values(FEATURES, "div_days_since_ex", m, (359, 360, 400, 610, 611))
    assert since == {360: 0, 400: 40, 610: 250}
    # 365 calendar days later is column 621; nothing is known before 250 listed columns.
    assert DAYS[621] == DAYS[360] + dt.timedelta(days=365)
    paid = values(FEATURES, "div_yield_ttm", m, (248, 249, 359, 360, 620, 621))
    assert paid == pytest.approx({249: 0, 359: 0, 360: 0.03, 620: 0.03, 621: 0})


def test_a_new_stock_has_a_yield_once_it_paid() -> None:
    """Fewer than 250 columns listed: null until the first ex-date, also of an undecided rate."""
    m = market(dividend=[notice(50, 100, 2.0, "1"), notice(50, 110, None, "2")])
    found = values(FEATURES, "div_yield_ttm", m, (99, 100, 110))
    assert found == pytest.approx({100: 0.02, 110: 0.02})
    m = market(dividend=[notice(50, 110, None, "2")])
    assert value(FEATURES, "div_yield_ttm", m, 109) is None
    assert value(FEATURES, "div_yield_ttm", m, 110) == 0


def test_a_deleted_notice_is_gone_from_its_deletion_on() -> None:
    """The chain goes by PubDate, PubTime and RefNo, whatever the order of the file."""
    rows = [
        notice(250, None, None, "2", CARefNo="1", StatCode="3", PubTime="14:00"),
        correction(250, 360, 3.0, "3", "1"),
        notice(200, 360, 2.0, "1"),
    ]
    columns = (249, 250)
    assert values(FEATURES, "div_days_to_ex", market(dividend=rows), columns) == {249: 111}
    rows[1]["PubTime"] = "14:00"
    found = values(FEATURES, "div_days_to_ex", market(dividend=rows), columns)
    assert found == {249: 111, 250: 110}


def test_several_notices_of_one_ex_date_add_up() -> None:
    """Undecided parts contribute nothing; without any decided part there is no next yield."""
    rows = [notice(300, 320, 2.0, "1"), notice(300, 320, None, "2"), notice(300, 320, 1.5, "3")]
    rows.append(notice(300, 330, 9.0, "4"))
    m = market(dividend=rows)
    assert value(FEATURES, "div_next_yield", m, 310) == pytest.approx(0.035)
    assert value(FEATURES, "div_yield_ttm", m, 320) == pytest.approx(0.035)
    m = market(dividend=rows[1:2])
    assert value(FEATURES, "div_next_yield", m, 310) is None
    assert value(FEATURES, "div_days_to_ex", m, 310) == 10
    m = market(dividend=[notice(300, 320, 0.0, "1")])
    assert value(FEATURES, "div_next_yield", m, 310) == 0


def test_distant_ex_dates() -> None:
    """A next yield within 120 columns; the count of days stops at 250."""
    m = market(dividend=[notice(300, 700, 2.0, "1")])
    assert values(FEATURES, "div_next_yield", m, (579, 580)) == pytest.approx({580: 0.02})
    found = values(FEATURES, "div_days_to_ex", m, (300, 449, 450, 451))
    assert found == {300: 250, 449: 250, 450: 250, 451: 249}


def test_dividends_belong_to_the_shares_before_the_ex_date() -> None:
    """A 1:2 split with the same ex-date halves the amount, and so does a later one."""
    m = market(
        factors={360: 0.5, 380: 0.5},
        prices={360: 50.0, 380: 25.0},
        dividend=[notice(300, 360, 2.0, "1")],
    )
    found = [value(FEATURES, "div_yield_ttm", m, i) for i in (360, 379, 380)]
    assert found == pytest.approx([0.02] * 3)
    # Announced before a split, for the shares of then; the price has fallen by half.
    m = market(factors={310: 0.5}, prices={310: 50.0}, dividend=[notice(300, 360, 2.0, "1")])
    found = [value(FEATURES, "div_next_yield", m, i) for i in (309, 310)]
    assert found == pytest.approx([0.02] * 2)


def test_notices_count_for_500_columns() -> None:
    """An early announcement of a later ex-date lapses."""
    m = market(dividend=[notice(100, 700, 2.0, "1")])
    assert values(FEATURES, "div_days_to_ex", m, (600, 601)) == {600: 100}


FORECASTS: Rows = [
    statement(2020, "FY", 100, DivAnn=4.0, NxFDivAnn=5.0),
    revision(2021, 150, FDivAnn=6.0) | {"DocType": "DividendForecastRevision"},
]


def test_dividend_forecasts() -> None:
    """4 yen paid, 5 expected, then 6."""
    m = market(fin_summary=FORECASTS)
    columns = (99, 100, 149, 150, 450, 451)
    found = values(FEATURES, "div_yield_fwd", m, columns)
    assert found == pytest.approx({100: 0.05, 149: 0.05, 150: 0.06, 450: 0.06})
    found = values(FEATURES, "div_fwd_growth", m, columns)
    assert found == pytest.approx({100: 0.25, 149: 0.25, 150: 0.5, 450: 0.5})
    found = values(FEATURES, "div_rev_last", m, columns)
    assert found == pytest.approx({100: 0, 149: 0, 150: 0.01, 450: 0.01})


def test_a_split_is_no_revision() -> None:
    """5 yen before a 1:2 split and 2.5 after it are the same; 3 are a change of 0.5 on 50 yen."""
    rows = [FORECASTS[0], revision(2021, 150, FDivAnn=2.5), revision(2021, 160, FDivAnn=3.0)]
    split: dict[str, Any] = {"factors": {120: 0.5}, "prices": {120: 50.0}}
    m = market(**split, fin_summary=rows)
    assert value(FEATURES, "div_rev_last", m, 155) == 0
    assert value(FEATURES, "div_rev_last", m, 160) == pytest.approx(0.01)
    assert value(FEATURES, "div_yield_fwd", m, 160) == pytest.approx(0.06)
    assert value(FEATURES, "div_fwd_growth", m, 160) == pytest.approx(0.5)
    assert value(FEATURES, "div_yield_fwd", m, 119) == pytest.approx(0.05)
    assert value(FEATURES, "div_yield_fwd", m, 120) == pytest.approx(0.05)


def test_growth_needs_a_paid_dividend() -> None:
    """Nothing paid is no base."""
    m = market(fin_summary=[statement(2020, "FY", 100, DivAnn=0.0, NxFDivAnn=5.0)])
    assert value(FEATURES, "div_fwd_growth", m, 100) is None
    assert value(FEATURES, "div_yield_fwd", m, 100) == pytest.approx(0.05)
