"""The statement book: hand-made disclosures, and random ones against a plain replay."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.market.fiscal import NO_YEAR, Periods, Points
from pipeline.market.statement_book import NO_ROW
from pipeline.market.statements import DEPTH, MAX_AGE, Statements

from .filings import Row, axis_of, book_of, date_of, filing

NAN = float("nan")


def month(year: str) -> int:
    return int(np.datetime64(year, "M").astype(np.int64))


def points(*columns: int, code: int = 0) -> Points:
    return Points(np.full(len(columns), code), np.array(columns, dtype=np.int64))


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
        filing(5, "2023-03", "1Q", time="16:30:00", number="20230110000001", OP=5.0),
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


# -- random books ---------------------------------------------------------------------------------

CODES = ("10010", "10020")
YEARS = ("2021-03", "2022-03", "2022-12", "2023-03")
FIELDS = ("Sales", "CFO", "ShOutFY", "TrShFY")
COLUMNS = 40
FACTORS = {("10010", -20): 0.5, ("10010", 12): 0.25, ("10020", 30): 10.0}

maybe = st.none() | st.integers(1, 9).map(float)
# Disclosures near the edges of the panel's memory: at its columns, 200 and 1100 columns before.
moments = st.one_of(
    st.integers(-1110, -1040), st.integers(-250, -150), st.integers(-60, COLUMNS + 5)
)


@st.composite
def filings(draw: st.DrawFn) -> Row:
    column = draw(moments)
    row = filing(
        column,
        draw(st.sampled_from(YEARS)),
        draw(st.sampled_from(("1Q", "2Q", "3Q", "FY", "4Q"))),
        code=draw(st.sampled_from(CODES)),
        time=draw(st.sampled_from(("09:00:00", "15:00:00"))),
        number=f"{draw(st.integers(0, 10**6)):014d}",
        Sales=draw(maybe),
        NCSales=draw(maybe),
        CFO=draw(maybe),
        CFI=draw(maybe),
        ShOutFY=draw(maybe),
        TrShFY=draw(maybe),
    )
    return {**row, "column": column}


books = st.lists(filings(), max_size=12, unique_by=lambda row: row["DiscNo"])


def in_force(rows: Sequence[Row], code: str, column: int) -> list[Row]:
    """Statements that count, in the order of their disclosure."""
    mine = [r for r in rows if r["Code"] == code and 0 <= column - r["column"] <= 1100]
    known = [r for r in mine if r["CurPerType"] in ("1Q", "2Q", "3Q", "FY")]
    return sorted(known, key=lambda r: (r["DiscDate"], r["DiscTime"], r["DiscNo"]))


def key(row: Row) -> tuple[object, object]:
    return row["CurFYEn"], row["CurPerType"]


def replayed(rows: Sequence[Row], period: tuple[object, object], field: str) -> tuple[float, int]:
    """Latest consolidated value, else the latest of the company alone; and its column."""
    own = [r for r in rows if key(r) == period]
    for name in (field, "NC" + field):
        given = [r for r in own if r.get(name) is not None]
        if given:
            return float(given[-1][name]), int(given[-1]["column"])
    return NAN, 0


def split(code: str, since: int, upto: int, first: int) -> float:
    """K(since, upto], unknown when it reaches back before the panel or beyond 560 columns."""
    if since < upto and (since < first or upto - since > 560):
        return NAN
    own = [f for (c, u), f in FACTORS.items() if c == code and since < u <= upto]
    return float(np.prod(own))


def current(rows: Sequence[Row], column: int) -> tuple[object, object] | None:
    """Key of the latest period; None when there is none or it is too old."""
    if not rows:
        return None
    last = max(rows, key=lambda r: (r["CurPerEn"], rows.index(r)))
    first = next(r for r in rows if key(r) == key(last))
    return key(last) if column - first["column"] <= 200 else None


def shares_by_hand(rows: Sequence[Row], code: str, column: int, first: int) -> float:
    known = in_force(rows, code, column)
    period = current(known, column)
    if period is None:
        return NAN
    issued, since = replayed(known, period, "ShOutFY")
    issued /= split(code, since, column, first)
    treasury, since = replayed(known, period, "TrShFY")
    treasury /= split(code, since, column, first)
    return issued - (0.0 if np.isnan(treasury) else treasury)


def without_column(rows: Sequence[Row]) -> list[Row]:
    return [{k: v for k, v in row.items() if k != "column"} for row in rows]


def random_book(rows: Sequence[Row], first: int = 0, columns: int = COLUMNS) -> Statements:
    axis = axis_of(CODES, columns=columns, first=first, factors=FACTORS)
    return book_of(*without_column(rows), axis=axis)


@settings(max_examples=20, deadline=None)
@given(books)
def test_the_book_is_a_replay_of_the_rows_in_force(rows: list[Row]):
    """Figures of every period on every column, and the column that supplied them."""
    book = random_book(rows)
    for i, code in enumerate(CODES):
        at = points(*range(COLUMNS), code=i)
        for year in YEARS:
            for name, quarter in (("1Q", 1), ("FY", 4)):
                period = Periods(np.full(COLUMNS, month(year)), np.full(COLUMNS, quarter))
                wanted = filing(0, year, name)
                for field in FIELDS:
                    seen = book.figures(field, at, period)
                    for t in range(COLUMNS):
                        known = in_force(rows, code, t)
                        value, since = replayed(known, key(wanted), field)
                        np.testing.assert_equal(seen.values[t], value)
                        assert np.isnan(value) or seen.columns[t] == since


@settings(max_examples=40, deadline=None)
@given(books)
def test_the_current_period_is_that_of_a_replay(rows: list[Row]):
    """On every column, ages included."""
    book = random_book(rows)
    for i, code in enumerate(CODES):
        found = book.current(points(*range(COLUMNS), code=i))
        for t in range(COLUMNS):
            expected = current(in_force(rows, code, t), t)
            if expected is None:
                assert found.row[t] == NO_ROW
                continue
            end, name = expected
            assert found.period.year[t] == month(str(end)[:7])
            assert found.period.quarter[t] == {"1Q": 1, "2Q": 2, "3Q": 3, "FY": 4}[name]


@settings(max_examples=40, deadline=None)
@given(books)
def test_shares_are_those_of_a_replay(rows: list[Row]):
    """Also when the panel begins earlier, where more of the splits are known."""
    for first in (0, -300):
        book = random_book(rows, first, COLUMNS - first)
        for i, code in enumerate(CODES):
            seen = book.shares[i, -COLUMNS:]
            expected = [shares_by_hand(rows, code, t, first) for t in range(COLUMNS)]
            np.testing.assert_allclose(seen, expected, rtol=1e-12)


@settings(max_examples=40, deadline=None)
@given(books, st.integers(0, COLUMNS - 1))
def test_what_is_published_later_changes_nothing(rows: list[Row], cut: int):
    """Values up to a column are the same, bit for bit, without the rows after it."""
    seen = random_book([row for row in rows if row["column"] <= cut]).shares
    np.testing.assert_array_equal(seen[:, : cut + 1], random_book(rows).shares[:, : cut + 1])


@settings(max_examples=40, deadline=None)
@given(books, st.integers(1, COLUMNS - 1))
def test_where_the_panel_begins_and_ends_changes_nothing(rows: list[Row], first: int):
    """Bit for bit, for what is stated inside both panels and for figures in yen."""
    whole, later = random_book(rows), random_book(rows, first, COLUMNS - first)
    known = ~np.isnan(later.shares)
    np.testing.assert_array_equal(whole.shares[:, first:][known], later.shares[known])

    def sales(book: Statements) -> np.ndarray:
        at = book.wanted.points
        return book.wanted.spread(book.figures("Sales", at, book.current(at).period).values)

    np.testing.assert_array_equal(sales(later), sales(whole)[:, first:])


@settings(max_examples=40, deadline=None)
@given(books)
def test_between_two_points_of_the_timeline_nothing_changes(rows: list[Row]):
    """Spread from the changes, or asked on every single column: the same bits."""
    book = random_book(rows, -1000, 1000 + COLUMNS)
    n = 1000 + COLUMNS
    for since in (0, n - 7):
        timeline = book.timeline(since)
        codes, columns = np.divmod(np.arange(len(CODES) * (n - since)), n - since)
        every = Points(codes, columns + since)
        for ask in (
            lambda at: book.net_shares(at, book.current(at).period),
            lambda at: book.figures("Sales", at, book.latest(at).period).values,
            lambda at: book.preceding(at, book.current(at)).row,
            lambda at: book.reporting(at, book.current(at), ("CFO", "CFI")).row,
            lambda at: book.last_full_year(at).year,
            lambda at: book.net_shares(at, book.latest(at).period.years_before(1)),
        ):
            expected = np.asarray(ask(every), dtype=np.float64).reshape(len(CODES), -1)
            np.testing.assert_array_equal(timeline.spread(ask(timeline.points)), expected)


@settings(max_examples=30, deadline=None)
@given(books, st.randoms(use_true_random=False))
def test_the_order_of_rows_and_other_codes_change_nothing(rows: list[Row], random):
    """Rows shuffled, a code more in front and one that is on no axis."""
    shuffled = rows + [{**row, "Code": "99990"} for row in rows]
    random.shuffle(shuffled)
    axis = axis_of(("10005", *CODES), columns=COLUMNS, factors=FACTORS)
    seen = book_of(*without_column(shuffled), axis=axis)
    np.testing.assert_array_equal(seen.shares[1:], random_book(rows).shares)
