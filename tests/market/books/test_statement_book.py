"""The statement book replayed: random disclosures against a plain loop over the rows in force."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.market.books.fiscal_periods import Periods, Points
from pipeline.market.books.record_in_force import NO_ROW
from pipeline.market.books.statements import Statements
from tests.market.filings import Row, axis_of, book_of, filing, month, points

NAN = float("nan")
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
    end = draw(st.sampled_from((row["CurPerEn"],) * 6 + (None, dt.date(2021, 12, 31))))
    return {**row, "CurPerEn": end, "column": column}


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


def period_end(rows: Sequence[Row], period: tuple[object, object]) -> dt.date | None:
    """CurPerEn of a period by the last row that gives it."""
    ends = [r["CurPerEn"] for r in rows if key(r) == period and r["CurPerEn"] is not None]
    return ends[-1] if ends else None


def latest(rows: Sequence[Row]) -> tuple[object, object] | None:
    """Key of the period that ends last; of two, the one disclosed last."""
    best = None
    for period in [
        key(row) for i, row in enumerate(rows) if key(row) not in map(key, rows[i + 1 :])
    ]:
        end = period_end(rows, period)
        if end is not None and (best is None or end >= period_end(rows, best)):
            best = period
    return best


def current(rows: Sequence[Row], column: int) -> tuple[object, object] | None:
    """Key of the latest period; None when there is none or it is too old."""
    period = latest(rows)
    if period is None:
        return None
    first = next(r for r in rows if key(r) == period)
    return period if column - first["column"] <= 200 else None


def shares_by_hand(rows: Sequence[Row], code: str, column: int, first: int) -> float:
    known = in_force(rows, code, column)
    period = current(known, column)
    if period is None:
        return NAN
    issued, since = replayed(known, period, "ShOutFY")
    issued /= split(code, since, column, first)
    treasury, since = replayed(known, period, "TrShFY")
    if np.isnan(treasury):
        return issued
    return issued - treasury / split(code, since, column, first)


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
            year, name = expected
            assert found.period.year[t] == month(str(year)[:7])
            assert found.end[t] == period_end(in_force(rows, code, t), expected)
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
