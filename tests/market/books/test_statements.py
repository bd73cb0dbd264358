"""The statement book: hand-made disclosures."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest

from pipeline.market.books.fiscal_periods import NO_YEAR, Periods
from pipeline.market.books.record_in_force import NO_ROW
from pipeline.market.books.statements import DEPTH, MAX_AGE, Statements
from tests.market.filings import Row, axis_of, book_of, date_of, filing, month, points

NAN = float("nan")


def figure(book: Statements, field: str, year: str, quarter: int, *columns: int) -> list[float]:
    """A field of one period as of some columns of the first code."""
    n = len(columns)
    period = Periods(np.full(n, month(year)), np.full(n, quarter))
    return book.figures(field, points(*columns), period).values.tolist()


def quarter_in_force(book: Statements, *columns: int) -> list[int]:
    """Quarter of the current period, 0 for none."""
    current = book.current(points(*columns))
    return np.where(current.row == NO_ROW, 0, current.period.quarter).tolist()


def test_a_statement_counts_from_its_disclosure_on():
    """Any time of the day, and on the next session when it is stamped on a closed day."""
    saturday = date_of(9) + dt.timedelta(days=1)
    assert saturday.weekday() == 5
    book = book_of(
        filing(3, "2023-03", "1Q", time="23:59:00", Sales=7.0),
        filing(9, "2023-03", "2Q", DiscDate=saturday, Sales=8.0),
    )
    np.testing.assert_equal(figure(book, "Sales", "2023-03", 1, 2, 3, 250), [NAN, 7.0, 7.0])
    np.testing.assert_equal(figure(book, "Sales", "2023-03", 2, 9, 10), [NAN, 8.0])


def test_a_late_correction_counts_from_its_own_disclosure_on():
    """The first value stays in every earlier row, also when the next period came in between."""
    book = book_of(
        filing(5, "2023-03", "1Q", Sales=100.0, OP=10.0),
        filing(60, "2023-03", "2Q", Sales=210.0),
        filing(70, "2023-03", "1Q", Sales=90.0),
    )
    assert figure(book, "Sales", "2023-03", 1, 5, 69, 70) == [100.0, 100.0, 90.0]
    assert figure(book, "OP", "2023-03", 1, 70) == [10.0]
    assert quarter_in_force(book, 69, 70) == [2, 2]


def test_rows_of_one_day_are_ordered_by_time_then_number():
    """Numbers are texts of equal length; the order of the rows in the table says nothing."""
    rows = [
        filing(5, "2023-03", "1Q", time="15:00:00", number="20230110000002", Sales=3.0),
        filing(5, "2023-03", "1Q", time="16:30:00", number="20230108000001", OP=5.0),
        filing(5, "2023-03", "1Q", time="15:00:00", number="20230109000009", Sales=2.0, OP=4.0),
    ]
    for ordered in (rows, rows[::-1]):
        book = book_of(*ordered)
        assert figure(book, "Sales", "2023-03", 1, 5) == [3.0]
        assert figure(book, "OP", "2023-03", 1, 5) == [5.0]


def test_figures_of_the_company_alone_stand_in_for_missing_consolidated_ones():
    """Only while there never was a consolidated one; of the company alone the latest counts."""
    book = book_of(
        filing(1, "2023-03", "1Q", NCSales=50.0, NCOP=5.0, kind="NonConsolidated_JP"),
        filing(2, "2023-03", "1Q", NCSales=51.0, kind="NonConsolidated_JP"),
        filing(3, "2023-03", "1Q", Sales=80.0, NCSales=52.0),
        filing(4, "2023-03", "1Q", NCSales=53.0),
    )
    assert figure(book, "Sales", "2023-03", 1, 1, 2, 3, 4) == [50.0, 51.0, 80.0, 80.0]
    assert figure(book, "OP", "2023-03", 1, 4) == [5.0]


def test_the_latest_period_is_the_one_that_ends_last():
    """Not the one disclosed last: a correction of an old period does not bring it back."""
    book = book_of(
        filing(4, "2023-03", "3Q"),
        filing(8, "2023-03", "FY"),
        filing(9, "2023-03", "3Q"),
    )
    assert quarter_in_force(book, 3, 4, 8, 9) == [0, 3, 4, 4]
    assert book.latest(points(9)).end.tolist() == [dt.date(2023, 3, 31)]


def test_of_two_periods_that_end_together_the_one_disclosed_last_is_the_latest():
    """As when a fiscal year is cut short after a quarter of it was reported."""
    book = book_of(filing(4, "2023-09", "2Q"), filing(8, "2023-03", "FY"))
    assert quarter_in_force(book, 4, 8) == [2, 4]


@pytest.mark.parametrize("correction", [None, 100])
def test_a_period_is_current_for_200_columns_after_its_first_disclosure(correction: int | None):
    """A correction does not make it younger; the next period does."""
    rows = [filing(10, "2023-03", "1Q", ShOutFY=1000.0)]
    if correction is not None:
        rows.append(filing(correction, "2023-03", "1Q", ShOutFY=1001.0))
    book = book_of(*rows, filing(215, "2023-03", "2Q", ShOutFY=1002.0))
    assert quarter_in_force(book, 9, 10, 210, 211, 214, 215) == [0, 1, 1, 0, 0, 2]
    assert book.latest(points(211)).period.quarter.tolist() == [1]
    assert np.isnan(book.shares[0, [9, 211, 214]]).all()
    assert book.shares[0, [210, 215]].tolist() == [1000.0 + (correction is not None), 1002.0]
    assert MAX_AGE == 200


def test_a_row_counts_for_1100_columns():
    """Then an older one is long gone and figures of the company alone may return."""
    axis = axis_of(columns=1300, n_out=1300)
    book = book_of(
        filing(20, "2023-03", "FY", Sales=100.0),
        filing(30, "2023-03", "FY", Sales=90.0),
        filing(40, "2023-03", "FY", NCSales=60.0),
        axis=axis,
    )
    seen = figure(book, "Sales", "2023-03", 4, 1120, 1121, 1130, 1131, 1140, 1141)
    np.testing.assert_equal(seen, [90.0, 90.0, 90.0, 60.0, 60.0, NAN])
    years = book.last_full_year(points(19, 20, 1140, 1141)).year.tolist()
    assert years == [NO_YEAR, month("2023-03"), month("2023-03"), NO_YEAR]
    assert DEPTH == 1100


def test_the_oldest_and_the_newest_row_a_panel_can_see():
    """One that counts on the first column for the last time, one that appears on the last."""
    book = book_of(filing(-1100, "2019-03", "FY", Sales=1.0), filing(299, "2023-03", "1Q"))
    np.testing.assert_equal(figure(book, "Sales", "2019-03", 4, 0, 1), [1.0, NAN])
    assert quarter_in_force(book, 299) == [1]


def test_what_is_no_statement_of_a_known_period_does_not_count():
    """Revisions, fourth and fifth quarters, rows without fiscal year, codes nobody asks for."""
    rows: list[Row] = [
        filing(1, "2023-03", "FY", DocType="EarnForecastRevision", Sales=1.0),
        filing(1, "2023-03", "FY", DocType=None, Sales=1.0),
        filing(1, "2023-03", "4Q", Sales=1.0),
        filing(1, "2023-03", "FY", CurPerType=None, Sales=1.0),
        filing(1, "2023-03", "FY", CurFYEn=None, Sales=1.0),
        filing(1, "2023-03", "FY", code="99990", Sales=1.0),
        filing(1, "2023-03", "FY", DiscDate=None, Sales=1.0),
    ]
    book = book_of(*rows)
    assert book.rows.code.size == 0
    assert quarter_in_force(book, 299) == [0]
    assert np.isnan(book.shares).all()


def test_a_row_without_a_period_end_has_figures_but_is_never_the_latest():
    """It still tells what the period earned."""
    book = book_of(filing(1, "2023-03", "FY", CurPerEn=None, Sales=5.0))
    assert quarter_in_force(book, 1) == [0]
    assert figure(book, "Sales", "2023-03", 4, 1) == [5.0]


def test_a_book_without_rows_knows_nothing():
    """As when the source is unavailable."""
    book = book_of()
    assert np.isnan(book.shares).all()
    assert np.isnan(book.forecast_year).all()
    at = book.wanted.points
    assert (book.preceding(at, book.current(at)).row == NO_ROW).all()


def test_shares_are_issued_less_treasury_in_the_basis_of_the_column():
    """A 1:2 split doubles both, from the ex-date on; a split before the disclosure is in them."""
    axis = axis_of(factors={("10010", 5): 0.1, ("10010", 20): 0.5})
    book = book_of(filing(10, "2023-03", "1Q", ShOutFY=1000.0, TrShFY=40.0), axis=axis)
    np.testing.assert_equal(book.shares[0, [9, 10, 19, 20, 30]], [NAN, 960, 960, 1920, 1920])


def test_each_number_of_shares_has_the_basis_of_its_own_row():
    """The correction after the split restates the shares issued, and says nothing of the rest."""
    axis = axis_of(factors={("10010", 20): 0.5})
    book = book_of(
        filing(10, "2023-03", "1Q", ShOutFY=1000.0, TrShFY=40.0),
        filing(30, "2023-03", "1Q", ShOutFY=2000.0),
        axis=axis,
    )
    assert book.shares[0, [10, 29, 30, 31]].tolist() == [960.0, 1920.0, 1920.0, 1920.0]


def test_treasury_shares_may_be_missing_but_shares_issued_may_not():
    """Nothing is filled from the period before."""
    book = book_of(
        filing(10, "2023-03", "1Q", ShOutFY=1000.0, TrShFY=40.0),
        filing(70, "2023-03", "2Q", ShOutFY=1000.0),
        filing(130, "2023-03", "3Q", TrShFY=40.0),
    )
    np.testing.assert_equal(book.shares[0, [69, 70, 130]], [960.0, 1000.0, NAN])


def test_treasury_shares_of_an_unknown_basis_are_not_none():
    """Stated before the panel, and the shares issued on it: the difference is unknown."""
    book = book_of(
        filing(-3, "2023-03", "1Q", ShOutFY=1000.0, TrShFY=40.0),
        filing(10, "2023-03", "1Q", ShOutFY=1000.0),
    )
    assert np.isnan(book.shares).all()


def test_shares_stated_before_the_panel_are_unknown_on_it():
    """There may have been a split in between; the warm-up is longer than that lasts."""
    book = book_of(
        filing(-3, "2023-03", "1Q", ShOutFY=1000.0), filing(0, "2023-03", "2Q", ShOutFY=1100.0)
    )
    assert book.shares[0, 0] == 1100.0
    assert np.isnan(book_of(filing(-3, "2023-03", "1Q", ShOutFY=1000.0)).shares).all()


def test_the_period_that_reports_a_field():
    """The latest with a value in force, at most 400 days before the latest period."""
    book = book_of(
        filing(5, "2023-03", "2Q", CFO=20.0),
        filing(65, "2023-03", "3Q"),
        filing(70, "2023-03", "2Q", CFI=-5.0),
        filing(125, "2024-03", "3Q"),
    )

    def reporting(column: int, *fields: str) -> int:
        at = points(column)
        found = book.reporting(at, book.current(at), fields)
        return int(found.period.quarter[0]) if found.row[0] != NO_ROW else 0

    assert [reporting(c, "CFO") for c in (4, 5, 65)] == [0, 2, 2]
    assert [reporting(c, "CFO", "CFI") for c in (65, 69, 70)] == [0, 0, 2]
    # 2022-09-30 is 457 days before 2023-12-31
    assert reporting(125, "CFO") == 0


@pytest.mark.parametrize(("gap", "near"), [(400, True), (401, False)])
def test_a_period_400_days_earlier_is_near_enough(gap: int, near: bool):
    """One day more is not."""
    end = dt.date(2023, 12, 31)
    book = book_of(
        filing(5, "2023-03", "1Q", CurPerEn=end - dt.timedelta(days=gap), CFO=1.0),
        filing(9, "2024-03", "3Q", CurPerEn=end),
    )
    found = book.reporting(points(9), book.current(points(9)), ("CFO",))
    assert (found.row[0] != NO_ROW) == near


def test_a_period_that_ends_on_the_same_day_does_not_precede():
    """Only one with a smaller end does."""
    rows = [filing(4, "2023-09", "2Q"), filing(8, "2023-03", "FY")]
    at = points(8)
    book = book_of(*rows)
    assert book.preceding(at, book.current(at)).row.tolist() == [NO_ROW]
    book = book_of(*rows, filing(2, "2023-03", "3Q"))
    assert book.preceding(at, book.current(at)).period.quarter.tolist() == [3]


def test_a_corrected_end_counts_for_the_whole_period():
    """The first row said 2032 by mistake; as long as it stood, nothing was later."""
    wrong = dt.date(2032, 12, 31)
    book = book_of(
        filing(1, "2023-03", "3Q", CurPerEn=wrong),
        filing(5, "2023-03", "FY"),
        filing(9, "2023-03", "3Q"),
        filing(12, "2023-03", "3Q", CurPerEn=None),
    )
    assert quarter_in_force(book, 1, 5, 8, 9, 12) == [3, 3, 3, 4, 4]


def test_the_preceding_period_is_the_next_smaller_end():
    """A missing quarter is stepped over, another row of the same period is no other period."""
    book = book_of(
        filing(5, "2023-03", "1Q"),
        filing(65, "2023-03", "3Q"),
        filing(66, "2023-03", "3Q", CurPerEn=dt.date(2022, 12, 30)),
    )
    at = points(5, 65, 66)
    found = book.preceding(at, book.current(at))
    assert np.where(found.row == NO_ROW, 0, found.period.quarter).tolist() == [0, 1, 1]


def test_the_forecast_year_follows_the_last_full_year():
    """fy* = the same month one year later, whatever quarters have been reported since."""
    book = book_of(
        filing(5, "2023-03", "3Q"), filing(50, "2023-03", "FY"), filing(99, "2024-03", "1Q")
    )
    seen = book.forecast_year[0, [49, 50, 99]]
    np.testing.assert_equal(seen, [NAN, month("2024-03"), month("2024-03")])
