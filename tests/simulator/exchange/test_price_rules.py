"""Tick sizes and daily limits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.simulator.exchange.price_rules import limit_prices, limit_width, on_tick, tick_size


@pytest.mark.parametrize(
    ("yen", "coarse", "fine"),
    [
        (500, 1, 0.1),
        (1000, 1, 0.1),
        (1000.5, 1, 0.5),
        (3000, 1, 0.5),
        (3005, 5, 1),
        (5010, 10, 1),
        (30000, 10, 5),
        (30050, 50, 10),
        (120000, 100, 50),
        (600000, 1000, 100),
    ],
)
def test_tick_sizes_of_the_exchange(yen, coarse, fine):
    """A band includes its upper price."""
    ticks = tick_size(np.array([yen * 10.0, yen * 10.0]), np.array([False, True]))
    assert (ticks / 10).tolist() == [coarse, fine]


@pytest.mark.parametrize(
    ("base", "width"),
    [(99, 30), (100, 50), (999, 150), (1000, 300), (2999.5, 500), (10000, 3000), (6e7, 1e7)],
)
def test_limit_widths_of_the_exchange(base, width):
    """A band excludes its upper price."""
    assert limit_width(np.array([float(base)])).tolist() == [width]


@given(st.integers(10, 10**9), st.booleans())
def test_limits_are_valid_prices_around_the_base(tenths, fine):
    """Both limits are on a tick and never farther away than the width."""
    base, kind = np.array([float(tenths)]), np.array([fine])
    lowest, highest = limit_prices(base, kind)
    width = limit_width(base / 10)[0] * 10
    assert max(tenths - width, 1) <= lowest[0] <= highest[0] <= tenths + width
    for price in (lowest, highest):
        np.testing.assert_array_equal(on_tick(price.astype(float), kind), price)
