"""The schedule of earnings reports as of each column."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest

from pipeline.market.books.announcement_dates import DEPTH, EarningsSchedule, earnings_schedule
from tests.market.hand import NAN
from tests.market.records import CODES, axis, day, source

N = 30


def plan(
    published: dt.date,
    planned: dt.date | None,
    quarter: str = "1Q",
    year_end: str = "0331",
    code: str = CODES[0],
) -> dict[str, object]:
    return {
        "PubDate": published,
        "SchDate": planned,
        "FQName": quarter,
        "FYE": year_end,
        "Code": code,
    }


def schedule(*rows: dict[str, object], n: int = N, n_out: int | None = None) -> EarningsSchedule:
    return earnings_schedule(source("earnings_date", *rows), axis(n, n_out or n, CODES[:2]))


def test_a_date_counts_from_the_day_after_its_publication_until_it_has_come():
    """Published on column 3, seen from column 4; on the day itself there is no next date."""
    days = schedule(plan(day(3), day(10))).days_to_next[0]
    assert np.isnan(days[:4]).all()
    np.testing.assert_array_equal(days[4:10], [6, 5, 4, 3, 2, 1])
    assert np.isnan(days[10:]).all()


def test_the_nearest_date_of_several_reports_counts():
    """When it has come, the next one does; another code has its own."""
    seen = schedule(
        plan(day(2), day(12), "2Q"),
        plan(day(1), day(7), "1Q"),
        plan(day(1), day(9), "1Q", code=CODES[1]),
    )
    np.testing.assert_array_equal(seen.days_to_next[0, [2, 3, 6, 7, 11]], [5, 4, 1, 5, 1])
    np.testing.assert_array_equal(seen.days_to_next[1, [2, 8]], [7, 1])


def test_a_changed_date_replaces_the_old_one_and_tells_how_far_it_moved():
    """Calendar days since the first announcement: later is positive."""
    rows = plan(day(1), day(10)), plan(day(4), day(12)), plan(day(6), day(8))
    seen = schedule(*rows)
    np.testing.assert_array_equal(seen.days_to_next[0, 2:8], [8, 7, 6, 7, 6, 1])
    np.testing.assert_array_equal(seen.date_shift[0, 2:8], [0, 0, 0, 2, 2, -4])  # over a weekend
    assert np.isnan(seen.date_shift[0, 8:]).all()  # the last word was column 8


def test_an_undecided_date_withdraws_the_one_before():
    """The report falls back to unknown, not to its earlier date; the first date is kept."""
    seen = schedule(plan(day(1), day(10)), plan(day(3), None), plan(day(6), day(11)))
    np.testing.assert_array_equal(seen.days_to_next[0, 2:8], [8, 7, NAN, NAN, NAN, 4])
    assert seen.date_shift[0, 7] == 1


def test_the_first_date_is_that_of_the_first_row_with_one():
    """A report announced without a date is not moved when it gets one."""
    seen = schedule(plan(day(1), None), plan(day(3), day(10)))
    assert np.isnan(seen.days_to_next[0, :4]).all()
    assert seen.date_shift[0, 4] == 0


def test_a_date_on_a_closed_day_is_due_on_the_next_session():
    """Column 4 is a Friday: Saturday is 1 column away, and still next on Friday."""
    seen = schedule(plan(day(1), day(4, plus=1)))
    np.testing.assert_array_equal(seen.days_to_next[0, 3:6], [2, 1, NAN])


def test_a_publication_on_a_closed_day_counts_from_the_next_session():
    """Published on Saturday after column 4: row of Monday, column 5; Friday's row: column 5 too."""
    seen = schedule(plan(day(4, plus=1), day(9)), plan(day(4), day(8), code=CODES[1]))
    for i in range(2):
        assert np.isnan(seen.days_to_next[i, 4])
        assert np.isfinite(seen.days_to_next[i, 5])


def test_of_two_rows_that_become_visible_together_the_later_pubdate_counts():
    """Friday and Saturday are both read on Monday; the order of the table does not matter."""
    rows = plan(day(4), day(9)), plan(day(4, plus=1), day(12))
    for order in (rows, rows[::-1]):
        seen = schedule(*order)
        assert seen.days_to_next[0, 5] == 7
        assert seen.date_shift[0, 5] == 5


def test_a_row_lapses_after_its_depth():
    """Seen from column 1; it counts on column 1 + DEPTH and on none after, as first date too."""
    n = DEPTH + 20
    rows = plan(day(0), day(n - 2)), plan(day(50), day(n - 1))
    seen = schedule(rows[0], n=n)
    assert seen.days_to_next[0, DEPTH + 1] == n - 2 - (DEPTH + 1)
    assert np.isnan(seen.days_to_next[0, DEPTH + 2 :]).all()
    narrow = schedule(rows[0], n=n, n_out=n - (DEPTH + 1))
    np.testing.assert_array_equal(narrow.days_to_next[0], seen.days_to_next[0, DEPTH + 1 :])
    seen = schedule(*rows, n=n)
    assert seen.date_shift[0, DEPTH + 1] == 1
    assert seen.date_shift[0, DEPTH + 2] == 0


def test_two_reports_on_one_day_are_told_apart_by_name():
    """The first in order of (FYE, FQName): its shift is the one that is told."""
    rows = (
        plan(day(1), day(10), "FY", "1231"),
        plan(day(1), day(9), "1Q", "0331"),
        plan(day(2), day(10), "1Q", "0331"),
    )
    for order in (rows, rows[::-1]):
        seen = schedule(*order)
        assert seen.days_to_next[0, 3] == 7
        assert seen.date_shift[0, 3] == 3  # Friday to Monday


@pytest.mark.parametrize("n_out", [1, 7, 20])
def test_values_do_not_depend_on_the_wanted_columns(n_out: int):
    """A narrower request is the tail of a wider one."""
    rows = [plan(day(c), day(c + 9, plus=c % 3), f"{c % 3}Q") for c in range(0, N, 2)]
    whole, part = schedule(*rows), schedule(*rows, n_out=n_out)
    np.testing.assert_array_equal(part.days_to_next, whole.days_to_next[:, -n_out:])
    np.testing.assert_array_equal(part.date_shift, whole.date_shift[:, -n_out:])


def test_codes_off_the_axis_and_empty_tables():
    """Rows of other codes count for nobody; no rows, no dates."""
    assert np.isnan(schedule(plan(day(1), day(9), code="99990")).days_to_next).all()
    assert np.isnan(schedule().days_to_next).all()
    assert schedule().date_shift.shape == (2, N)


def test_a_date_beyond_the_published_calendar_is_the_day_after_it():
    """So that what is capped or compared with a few days is right without a longer calendar."""
    seen = schedule(plan(day(1), dt.date(2033, 1, 3)))
    assert seen.days_to_next[0, 2] == N + 520 - 2


def test_a_cap_needs_the_calendar_up_to_there():
    """Nothing is told about a date beyond a calendar that ends before the cap is reached."""
    seen = schedule(plan(day(1), dt.date(2033, 1, 3)), plan(day(1), day(9), code=CODES[1]))
    left = N + 520 - 2  # from column 2 to the first session after the calendar's end
    assert seen.days_up_to(left)[0, 2] == left
    assert np.isnan(seen.days_up_to(left + 1)[0, 2])
    np.testing.assert_array_equal(seen.days_up_to(5)[:, [1, 2, 5, 8]],
                                  [[NAN, 5, 5, 5], [NAN, 5, 4, 1]])  # fmt: skip
