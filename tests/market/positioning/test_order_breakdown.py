"""Kinds of orders per code and column."""

from __future__ import annotations

import datetime as dt
import random

import numpy as np

from pipeline.market.positioning.order_breakdown import HISTORY, breakdown
from tests.market.hand import NAN, date_of
from tests.market.records import axis, source

VALUES = {
    "short_cash": "ShrtNoMrgnVa",
    "margin_sell_new": "MrgnSellNewVa",
    "margin_sell_close": "MrgnSellCloseVa",
    "long_buy": "LongBuyVa",
    "margin_buy_new": "MrgnBuyNewVa",
    "margin_buy_close": "MrgnBuyCloseVa",
    "margin_sell_new_shares": "MrgnSellNewVo",
    "margin_buy_new_shares": "MrgnBuyNewVo",
}


def record(column, code, first=1.0):
    """Eight numbers in a row, beginning with ``first``."""
    numbers = {field: first + i for i, field in enumerate(VALUES.values())}
    return {"Date": date_of(column), "Code": code, **numbers}


def test_records_stand_by_code_and_column():
    """Every field under its name; null without a record and where the field is."""
    rows = [record(0, "10010", 1.0), record(2, "10000", 10.0), record(2, "10010", 20.0)]
    rows[2]["LongBuyVa"] = None
    seen = breakdown(source("breakdown", *rows), axis(3, 1, ("10000", "10010")))
    for i, name in enumerate(VALUES):
        gone = NAN if name == "long_buy" else 20.0 + i
        expected = [[NAN, NAN, 10.0 + i], [1.0 + i, NAN, gone]]
        np.testing.assert_array_equal(getattr(seen, name), expected)


def test_other_codes_and_closed_days_are_left_out():
    """Codes outside the panel, and a Saturday."""
    saturday = dt.date(2023, 1, 7)
    rows = [record(1, "20000"), {**record(1, "10000"), "Date": saturday}]
    seen = breakdown(source("breakdown", *rows), axis(6, 2, ("10000",)))
    assert np.isnan(seen.long_buy).all()


def test_only_the_columns_of_a_window_are_kept():
    """The wanted ones and the history of the longest window."""
    n_columns, n_out = HISTORY + 10, 4
    first = n_columns - n_out - HISTORY
    rows = [record(first - 1, "10000", 1.0), record(first, "10000", 2.0)]
    seen = breakdown(source("breakdown", *rows), axis(n_columns, n_out, ("10000",)))
    assert seen.short_cash.shape == (1, n_out + HISTORY)
    assert seen.short_cash[0, 0] == 2.0
    assert np.isnan(seen.short_cash[0, 1:]).all()


def test_the_order_of_rows_does_not_matter():
    """Rows are told apart by their keys."""
    codes = ("10000", "10010")
    rows = [record(c, code, 10.0 * c) for c in range(3) for code in codes]
    expected = breakdown(source("breakdown", *rows), axis(3, 1, codes))
    mixed = random.Random(1).sample(rows, len(rows))
    seen = breakdown(source("breakdown", *mixed), axis(3, 1, codes))
    for name in VALUES:
        np.testing.assert_array_equal(getattr(seen, name), getattr(expected, name))


def test_an_unavailable_source_is_null():
    """In the same shape."""
    seen = breakdown(source("breakdown"), axis(3, 1))
    assert np.isnan(seen.margin_buy_new_shares).all()
    assert seen.margin_buy_new_shares.shape == (1, 3)
