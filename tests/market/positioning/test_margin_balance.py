"""Margin balances as of each column."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest

from pipeline.market.books.record_in_force import NO_ROW
from pipeline.market.positioning.margin_balance import FRESH, MarginRecords, margin_records
from tests.market.hand import NAN
from tests.market.records import CODES, axis, day, source

N = 60


def record(
    date: dt.date,
    long: float | None = 1000.0,
    short: float | None = 400.0,
    *,
    published: dt.date | None = None,
    code: str = CODES[0],
) -> dict[str, object]:
    return {
        "PubDate": published,
        "Date": date,
        "Code": code,
        "LongVol": long,
        "ShrtVol": short,
        "LongStdVol": 0.5 * long if long is not None else None,
    }


def records(
    *rows: dict[str, object], n_out: int = N, factors: dict[int, float] | None = None
) -> MarginRecords:
    return margin_records(source("margin_interest", *rows), axis(N, n_out, CODES[:2], factors))


def long(margin: MarginRecords) -> np.ndarray:
    return margin.shares(margin.long, margin.row)[0]


def test_a_weekly_record_counts_from_the_second_session_after_its_date():
    """Friday's balances (column 4) are seen on Tuesday (column 6), for FRESH columns more."""
    margin = records(record(day(4)))
    np.testing.assert_array_equal(long(margin)[[5, 6, 6 + FRESH, 7 + FRESH]], [NAN, 1e3, 1e3, NAN])
    np.testing.assert_array_equal(
        margin.staleness[0, [5, 6, 8, 6 + FRESH, 7 + FRESH]], [NAN, 0, 2, FRESH, NAN]
    )
    assert (margin.row[1] == NO_ROW).all()


def test_a_published_record_counts_from_its_pubdate():
    """The daily era names the day: no second session is waited for."""
    margin = records(record(day(4), published=day(5)))
    np.testing.assert_array_equal(long(margin)[[4, 5]], [NAN, 1e3])


def test_the_largest_date_is_in_force_whatever_came_last():
    """A record published late about an earlier day changes nothing."""
    margin = records(
        record(day(9), 2000.0, published=day(10)), record(day(4), 1000.0, published=day(12))
    )
    np.testing.assert_array_equal(long(margin)[[9, 10, 12, 14]], [NAN, 2e3, 2e3, 2e3])


def test_a_stale_record_is_not_replaced_by_an_older_one():
    """The one in force is chosen by Date first; when it is stale, nothing is in force."""
    margin = records(
        record(day(9), 2000.0, published=day(10)), record(day(4), 1000.0, published=day(25))
    )
    assert long(margin)[10 + FRESH] == 2000.0
    assert np.isnan(long(margin)[11 + FRESH])


def test_shares_are_restated_for_splits_after_the_date():
    """A 1:2 split on the Monday after Friday's balances doubles them; one on Friday does not."""
    split_on_monday = records(record(day(4)), factors={5: 0.5, 20: 0.1})
    np.testing.assert_array_equal(long(split_on_monday)[[6, 19]], [2e3, 2e3])
    np.testing.assert_array_equal(long(split_on_monday)[20], 1000.0 / (0.1 * 0.5))
    split_on_friday = records(record(day(4)), factors={4: 0.5})
    assert long(split_on_friday)[6] == 1000.0
    split_after_a_closed_day = records(record(day(4, plus=1)), factors={4: 0.5, 5: 0.25})
    assert long(split_after_a_closed_day)[7] == 4000.0


def week_before(margin: MarginRecords, column: int) -> float:
    return margin.shares(margin.long, margin.row_week_before)[0, column]


def test_the_week_before_in_the_weekly_era():
    """The record of the Friday before; three weeks without one are too many."""
    margin = records(record(day(4), 1.0), record(day(9), 2.0), record(day(29), 3.0))
    np.testing.assert_array_equal([week_before(margin, c) for c in (6, 10, 11, 31)],
                                  [NAN, NAN, 1.0, NAN])  # fmt: skip
    assert week_before(records(record(day(4), 1.0), record(day(19), 2.0)), 21) == 1.0
    assert np.isnan(week_before(records(record(day(3), 1.0), record(day(19), 2.0)), 21))


def test_the_week_before_in_the_daily_era():
    """Seven calendar days back or more: five daily records later, not one."""
    margin = records(*(record(day(c), float(c), published=day(c + 1)) for c in range(4, 20)))
    assert long(margin)[16] == 15.0
    assert week_before(margin, 16) == 10.0
    missing = records(
        *(record(day(c), float(c), published=day(c + 1)) for c in range(4, 20) if c != 10)
    )
    assert week_before(missing, 16) == 9.0


def test_from_the_weekly_to_the_daily_era():
    """The first daily records look back to the last weekly ones."""
    weekly = [record(day(c), float(c)) for c in (4, 9)]
    daily = [record(day(c), float(c), published=day(c + 1)) for c in range(14, 20)]
    margin = records(*weekly, *daily)
    np.testing.assert_array_equal(long(margin)[[11, 14, 15, 16]], [9.0, 9.0, 14.0, 15.0])
    np.testing.assert_array_equal(
        [week_before(margin, c) for c in (11, 15, 16, 19, 20)], [4.0, 9.0, 9.0, 9.0, 14.0]
    )


def test_the_week_before_must_be_public_too():
    """A record that comes late is not compared with before it came."""
    margin = records(record(day(9), 2.0, published=day(10)), record(day(4), 1.0, published=day(12)))
    np.testing.assert_array_equal([week_before(margin, c) for c in (11, 12)], [NAN, 1.0])


def test_a_record_without_a_balance_is_in_force_all_the_same():
    """The newest record says nothing then; an older one is no substitute."""
    margin = records(record(day(4)), record(day(9), None))
    np.testing.assert_array_equal(long(margin)[[10, 11]], [1e3, NAN])
    assert margin.staleness[0, 11] == 0
    np.testing.assert_array_equal(margin.shares(margin.short, margin.row)[0, 11], 400.0)


@pytest.mark.parametrize("n_out", [1, 9, 30])
def test_values_do_not_depend_on_the_wanted_columns_or_the_order_of_rows(n_out: int):
    """A narrower request on shuffled rows is the tail of a wider one."""
    rows = [record(day(c), 100.0 + c) for c in range(4, N, 5)] + [record(day(33), 7.0)]
    whole, part = records(*rows), records(*rows[::-1], n_out=n_out)
    np.testing.assert_array_equal(part.staleness, whole.staleness[:, -n_out:])
    for row in ("row", "row_week_before"):
        seen, expected = (m.shares(m.long, getattr(m, row)) for m in (part, whole))
        np.testing.assert_array_equal(seen, expected[:, -n_out:])


def test_no_records():
    """An empty table: nothing in force, nothing stale."""
    margin = records()
    assert np.isnan(margin.staleness).all()
    assert np.isnan(long(margin)).all()
    assert (margin.row_week_before == NO_ROW).all()
