"""Short selling per sector and column."""

from __future__ import annotations

import random

import numpy as np

from pipeline.market.panel.axis import NOWHERE
from pipeline.market.positioning.sector_short_selling import ShortRatios, short_ratios
from tests.market.hand import NAN, date_of
from tests.market.records import axis, source

FIELDS = ("sectors", "long_sales", "restricted", "unrestricted")


def record(column, s33, s, r, n):
    return {
        "Date": date_of(column),
        "S33": s33,
        "SellExShortVa": s,
        "ShrtWithResVa": r,
        "ShrtNoResVa": n,
    }


ROWS = [
    record(0, "1050", 60.0, 30.0, 10.0),
    record(0, "0050", 6.0, 3.0, 1.0),
    record(2, "0050", 8.0, 1.0, 1.0),
    record(2, "9999", 10.0, 20.0, 30.0),
    record(2, "1050", 50.0, None, 50.0),
]


def arranged(rows, n_columns=3) -> ShortRatios:
    return short_ratios(source("short_ratio", *rows), axis(n_columns, 1))


def test_records_stand_by_sector_and_column():
    """Sectors ascend, what belongs to none is last; null where there is no record."""
    seen = arranged(ROWS)
    np.testing.assert_array_equal(seen.sectors, [50.0, 1050.0, NAN])
    np.testing.assert_array_equal(
        seen.long_sales, [[6.0, NAN, 8.0], [60.0, NAN, 50.0], [NAN, NAN, 10.0]]
    )
    np.testing.assert_array_equal(
        seen.restricted, [[3.0, NAN, 1.0], [30.0, NAN, NAN], [NAN, NAN, 20.0]]
    )
    np.testing.assert_array_equal(
        seen.unrestricted, [[1.0, NAN, 1.0], [10.0, NAN, 50.0], [NAN, NAN, 30.0]]
    )


def test_the_market_counts_every_complete_record():
    """44 of 110 short, then 52 of 70 with 9999 and without the incomplete record; else null."""
    np.testing.assert_array_equal(arranged(ROWS).market_share, [44.0 / 110.0, NAN, 52.0 / 70.0])


def test_nothing_sold_is_null():
    """A share of nothing."""
    assert np.isnan(arranged([record(0, "0050", 0.0, 0.0, 0.0)]).market_share[0])


def test_the_row_of_a_sector():
    """In any shape; no sector and an unknown one have none."""
    seen = arranged(ROWS).row_of(np.array([[50.0, 1050.0], [NAN, 3050.0]]))
    np.testing.assert_array_equal(seen, [[0, 1], [NOWHERE, NOWHERE]])


def test_the_order_of_rows_does_not_matter():
    """Nor for the order of sectors."""
    expected = arranged(ROWS)
    for seed in range(3):
        seen = arranged(random.Random(seed).sample(ROWS, len(ROWS)))
        for name in FIELDS:
            np.testing.assert_array_equal(getattr(seen, name), getattr(expected, name))


def test_an_unavailable_source_has_no_sectors():
    """Everything is null, nothing fails."""
    seen = arranged([])
    assert seen.sectors.size == 0
    assert np.isnan(seen.market_share).all()
    assert (seen.row_of(np.array([50.0, NAN])) == NOWHERE).all()
