"""The dividend book: which notice of a chain stands, and on which columns."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest

from pipeline.market.books.dividend_book import COLUMNS, DEPTH, DividendNotices, dividend_notices
from pipeline.market.panel.axis import Axis, Source
from tests.market.records import axis, day, source

COLUMNS_OF_PANEL = 60
NAN = float("nan")


def notice(number: str, column: int, rate: float | None, ex: int | None, **fields: object):
    """A notice published on a column; the first one of its chain unless it has a CARefNo."""
    return {
        "PubDate": day(column),
        "PubTime": "12:00",
        "Code": "10010",
        "RefNo": number,
        "CARefNo": number,
        "StatCode": "1",
        "DivRate": rate,
        "ExDate": None if ex is None else day(ex),
        **fields,
    }


def panel(n_columns: int = COLUMNS_OF_PANEL, n_out: int | None = None) -> Axis:
    return axis(n_columns, n_out or n_columns, ("10010", "10020"))


def book_of(*rows: dict[str, object], of: Axis | None = None) -> DividendNotices:
    return dividend_notices(source("dividend", *rows), of or panel())


def standing(book: DividendNotices) -> list[tuple[float, int, int]]:
    """Rate, first column and end of each notice, in the order of the book."""
    return list(zip(book.rate.tolist(), book.start.tolist(), book.stop.tolist(), strict=True))


def test_the_last_notice_of_a_chain_stands():
    """Each one from its publication until the next; other chains do not mind."""
    book = book_of(
        notice("A", 5, 10.0, 40),
        notice("B", 9, 12.0, 40, CARefNo="A", StatCode="2"),
        notice("C", 20, 12.5, 40, CARefNo="A", StatCode="2"),
        notice("D", 7, 3.0, 41),
    )
    assert standing(book) == [(10.0, 5, 9), (12.0, 9, 20), (12.5, 20, 60), (3.0, 7, 60)]
    assert book.ex_column.tolist() == [40, 40, 40, 41]


def test_a_chain_is_ordered_by_date_time_and_number_as_text():
    """Whatever the order of the rows; of one column only the last notice ever stands."""
    rows = [
        notice("A", 5, 10.0, 40),
        notice("B9", 6, 2.0, 40, CARefNo="A", PubTime="12:00"),
        notice("B10", 6, 1.0, 40, CARefNo="A", PubTime="12:00"),
        notice("A1", 6, 3.0, 40, CARefNo="A", PubTime="13:00"),
        notice("A0", 6, 4.0, 40, CARefNo="A", PubTime="09:30"),
    ]
    for ordered in (rows, rows[::-1]):
        assert standing(book_of(*ordered)) == [(10.0, 5, 6), (3.0, 6, 60)]
    without_time = [{**row, "PubTime": None} for row in rows]
    assert standing(book_of(*without_time)) == [(10.0, 5, 6), (2.0, 6, 60)]


def test_a_deleted_notice_ends_its_chain():
    """Until a later notice of the chain brings it back."""
    book = book_of(
        notice("A", 5, 10.0, 40),
        notice("B", 9, 10.0, 40, CARefNo="A", StatCode="3"),
        notice("C", 20, 11.0, 40, CARefNo="A", StatCode="2"),
    )
    assert standing(book) == [(10.0, 5, 9), (11.0, 20, 60)]


def test_a_correction_may_take_the_rate_or_the_ex_date_back():
    """An undecided rate stands as unknown; without an ex-date a notice says nothing."""
    book = book_of(
        notice("A", 5, 10.0, 40),
        notice("B", 9, None, 40, CARefNo="A", StatCode="2"),
        notice("C", 12, 10.0, None, CARefNo="A", StatCode="2"),
    )
    np.testing.assert_equal(standing(book), [(10.0, 5, 9), (NAN, 9, 12)])


@pytest.mark.parametrize("missing", [None, ""])
def test_a_notice_without_a_chain_number_begins_one(missing: str | None):
    """Two such notices do not replace each other."""
    book = book_of(
        notice("A", 5, 10.0, 40, CARefNo=missing),
        notice("B", 6, 11.0, 40, CARefNo=missing),
        notice("C", 7, 12.0, 40, CARefNo="A", StatCode="2"),
    )
    assert sorted(standing(book)) == [(10.0, 5, 7), (11.0, 6, 60), (12.0, 7, 60)]


def test_chains_of_two_codes_are_apart():
    """Also under one number; codes that are not on the axis are left out."""
    book = book_of(
        notice("A", 5, 10.0, 40),
        notice("B", 6, 20.0, 40, CARefNo="A", Code="10020"),
        notice("C", 7, 30.0, 40, Code="99990"),
    )
    assert book.code.tolist() == [0, 1]
    assert standing(book) == [(10.0, 5, 60), (20.0, 6, 60)]


def test_a_notice_counts_for_500_columns():
    """So does the whole chain, of which it is the last word; a deletion is no exception."""
    of = panel(530, 530)
    book = book_of(
        notice("A", 5, 10.0, 300),
        notice("B", 10, 11.0, 300),
        notice("C", 20, None, 300, CARefNo="B", StatCode="3"),
        of=of,
    )
    assert standing(book) == [(10.0, 5, 506), (11.0, 10, 20)]
    assert DEPTH == 500


def test_a_notice_of_a_closed_day_counts_from_the_next_session():
    """Its rate is in the basis of the session before, so a split on the next one applies."""
    saturday = day(4) + dt.timedelta(days=1)
    book = book_of(notice("A", 4, 10.0, 9, PubDate=saturday, ExDate=day(9, plus=1)))
    assert (book.start[0], book.stated[0], book.ex_column[0]) == (5, 4, 10)


def test_an_ex_date_beyond_the_calendar_is_one_past_its_end():
    """Its column is not known."""
    of = panel()
    book = book_of(notice("A", 5, 10.0, 40, ExDate=dt.date(2099, 3, 30)), of=of)
    assert book.ex_column[0] == of.calendar.sessions.size


def test_notices_of_one_ex_date_stand_in_the_order_of_their_chains():
    """So that sums do not depend on the order of rows."""
    rows = [notice(number, 5, rate, 40) for rate, number in enumerate("CAB")]
    rows.append(notice("D", 5, 9.0, 39))
    for ordered in (rows, rows[::-1]):
        assert book_of(*ordered).rate.tolist() == [9.0, 1.0, 2.0, 0.0]


def test_later_rows_are_not_seen():
    """A correction after the panel leaves the notice it corrects standing to its end."""
    rows = [notice("A", 5, 10.0, 40), notice("B", 60, 12.0, 40, CARefNo="A", StatCode="2")]
    assert standing(book_of(*rows)) == [(10.0, 5, 60)]


def test_without_rows_the_book_is_empty():
    """As when the source is unavailable; no column but COLUMNS is read."""
    assert book_of().code.size == 0
    full = source("dividend", notice("A", 5, 10.0, 40))
    narrow = Source(pa.table({name: full.table[name] for name in COLUMNS}), full.publication)
    assert standing(dividend_notices(narrow, panel())) == [(10.0, 5, 60)]
