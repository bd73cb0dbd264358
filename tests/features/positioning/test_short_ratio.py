"""Family short_ratio."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from pipeline.features.positioning import short_ratio
from pipeline.market.positioning.sector_short_selling import ShortRatios

NAN = np.nan


def values(s33, long_sales, restricted, unrestricted, n_out=1):
    """Two sectors, 50 and 1050."""
    market = SimpleNamespace(
        panel=SimpleNamespace(n_out=n_out),
        master=SimpleNamespace(s33=np.array(s33)),
        short_ratio=ShortRatios(
            np.array([50.0, 1050.0]),
            np.array(long_sales),
            np.array(restricted),
            np.array(unrestricted),
        ),
    )
    return short_ratio.compute(market)


def test_the_shares_of_a_sector_by_hand():
    """Every stock of the sector has them; no sector and one without a record have none."""
    seen = values(
        [[50.0], [1050.0], [50.0], [NAN], [3050.0]],
        [[60.0], [50.0]],
        [[30.0], [0.0]],
        [[10.0], [50.0]],
    )
    np.testing.assert_array_equal(seen["short_ratio_sector"][:, 0], [0.4, 0.5, 0.4, NAN, NAN])
    restricted = seen["short_restricted_share_sector"][:, 0]
    np.testing.assert_array_equal(restricted, [0.75, 0.0, 0.75, NAN, NAN])


def test_shares_of_nothing_are_null():
    """No sale at all, and no short sale."""
    seen = values([[50.0], [1050.0]], [[0.0], [9.0]], [[0.0], [0.0]], [[0.0], [0.0]])
    np.testing.assert_array_equal(seen["short_ratio_sector"][:, 0], [NAN, 0.0])
    np.testing.assert_array_equal(seen["short_restricted_share_sector"][:, 0], [NAN, NAN])


def test_the_change_follows_the_sector_of_the_day():
    """A stock that moved from 50 to 1050 is compared with what 1050 was."""
    before, after = [50.0] * 6, [50.0] * 5 + [1050.0]
    longs = [[75.0] * 6, [50.0] * 5 + [40.0]]
    shorts = [[25.0] * 6, [50.0] * 5 + [60.0]]
    seen = values([before, after], longs, shorts, np.zeros((2, 6)))["short_ratio_sector_chg_5d"]
    np.testing.assert_allclose(seen[:, 0], [0.0, 0.1])


def test_the_change_needs_both_columns():
    """Null before the sixth column, and on a day without a record five columns back."""
    longs = np.full((2, 7), 1.0)
    longs[:, 1] = NAN
    seen = values([[50.0] * 7], longs, np.ones((2, 7)), np.ones((2, 7)), n_out=7)
    change = seen["short_ratio_sector_chg_5d"][0]
    np.testing.assert_array_equal(change, [NAN] * 5 + [0.0, NAN])


def test_without_the_source_everything_is_null():
    """In the shape of the market."""
    empty = np.empty((0, 3))
    market = SimpleNamespace(
        panel=SimpleNamespace(n_out=2),
        master=SimpleNamespace(s33=np.full((4, 3), 50.0)),
        short_ratio=ShortRatios(np.empty(0), empty, empty, empty),
    )
    seen = short_ratio.compute(market)
    assert sorted(seen) == sorted(feature.name for feature in short_ratio.FEATURES)
    assert all(x.shape == (4, 2) and np.isnan(x).all() for x in seen.values())
