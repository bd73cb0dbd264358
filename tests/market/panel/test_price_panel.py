"""The panel's derived series, and how lines become codes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipeline.market.panel.price_panel import carry
from tests.market.hand import NAN, Stock, answering, panel


def closes(*values: float) -> np.ndarray:
    return np.array([values])


def test_a_close_is_carried_over_20_columns_and_no_more():
    """The 21st column without a trade has no price."""
    seen = panel(Stock("13010", [100.0] + [NAN] * 22 + [105.0]), n_out=1)
    assert (seen.p[0, :21] == 100.0).all()
    assert np.isnan(seen.p[0, 21:23]).all()
    assert seen.p[0, 23] == 105.0


@settings(deadline=None)
@given(
    arrays(
        np.float64,
        st.tuples(st.integers(1, 3), st.integers(1, 30)),
        elements=st.sampled_from([NAN, NAN, NAN, 1.0, 2.0]),
    ),
    st.integers(0, 5),
)
def test_carry_repeats_the_last_value_within_its_limit(values: np.ndarray, limit: int):
    """Against a loop that walks back."""
    expected = np.full_like(values, NAN)
    for line, column in np.ndindex(values.shape):
        for u in range(column, max(-1, column - limit - 1), -1):
            if not np.isnan(values[line, u]):
                expected[line, column] = values[line, u]
                break
    np.testing.assert_array_equal(carry(values, limit), expected)


def test_turnover_and_volume_are_zero_without_a_trade_and_null_off_the_list():
    """tv in yen, vol in shares of the line's basis."""
    seen = panel(Stock("13010", [100.0, NAN, 102.0, 51.0], (2,), {3: 0.5}), n_out=1)
    np.testing.assert_array_equal(seen.vol[0], [20000.0, 0.0, NAN, 5100.0])
    np.testing.assert_array_equal(seen.tv[0], [1e6, 0.0, NAN, 100 * 51.0**2])


def test_returns_are_taken_on_the_carried_close():
    """A halt gives zeros, the first trade after it the whole move, a split none."""
    seen = panel(Stock("13010", [100.0, NAN, NAN, 110.0, 55.0], factors={4: 0.5}), n_out=1)
    np.testing.assert_allclose(seen.r[0], [NAN, 0.0, 0.0, 0.1, 0.0], atol=1e-15)
    np.testing.assert_allclose(seen.g[0], [NAN, 0.0, 0.0, np.log(1.1), 0.0], atol=1e-15)
    assert seen.r[0, 1] == 0.0
    assert seen.r[0, 4] == 0.0


@pytest.mark.parametrize(("relative", "is_zero"), [(0.9e-9, True), (1.1e-9, False)])
def test_prices_within_a_billionth_are_equal(relative: float, is_zero: bool):
    """Rounding of a basis is no return: r and g are exactly 0."""
    seen = panel(Stock("13010", [100.0, 100.0 * (1 + relative)]), n_out=1)
    assert (seen.r[0, 1] == 0.0) == is_zero
    assert (seen.g[0, 1] == 0.0) == is_zero


def test_the_true_range_spans_the_previous_close():
    """max(h, p_prev) - min(l, p_prev); null without a trade or a previous close."""
    seen = panel(Stock("13010", [100.0, 103.0, NAN, 90.0]), n_out=1)
    expected = [NAN, 103.0 * 1.01 - 100.0, NAN, 103.0 - 90.0 * 0.99]
    np.testing.assert_array_equal(seen.tr[0], expected)
    np.testing.assert_array_equal(seen.p_prev[0], [NAN, 100.0, 103.0, 103.0])


def test_a_line_does_not_know_the_price_before_its_gap():
    """After more than 20 columns off the list the first return is null."""
    stock = Stock("13010", [100.0] * 40, unlisted=range(5, 26))
    seen = panel(stock, n_out=40)
    newest = answering(seen, "13010", 26)
    assert np.isnan(seen.r[newest, 26])
    assert seen.r[newest, 27] == 0.0


SPLIT = Stock("13010", [100.0] * 6, factors={3: 0.5, 5: 2.0})
PLAIN = Stock("13020", [100.0] * 6)


def test_pick_takes_each_column_from_the_line_that_answers():
    """Values numbered by line show which line was taken."""
    seen = panel(SPLIT, PLAIN, n_out=5)
    by_line = np.repeat(np.arange(4.0)[:, np.newaxis], 5, axis=1)
    lines = [answering(seen, "13010", column) for column in range(1, 6)]
    assert len(set(lines)) == 3
    np.testing.assert_array_equal(seen.pick(by_line), [lines, [1.0] * 5])


def test_pick_leaves_the_values_of_lines_alone():
    """What a family returned is not written to."""
    seen = panel(SPLIT, PLAIN, n_out=5)
    by_line = np.arange(20.0).reshape(4, 5)
    before = by_line.copy()
    seen.pick(by_line)
    np.testing.assert_array_equal(by_line, before)


def test_pick_spreads_market_wide_values_over_the_codes():
    """(n_out,) becomes (codes, n_out); (codes, n_out) stays."""
    seen = panel(SPLIT, PLAIN, n_out=5)
    series = np.arange(5.0)
    np.testing.assert_array_equal(seen.pick(series), [series, series])
    by_code = np.arange(10.0).reshape(2, 5)
    np.testing.assert_array_equal(seen.pick(by_code), by_code)


def test_a_block_is_some_lines_of_the_panel():
    """Lines are independent: derived series of a block are those of the whole."""
    seen = panel(SPLIT, PLAIN, n_out=5)
    block = seen.block(1, 3)
    assert (block.n_lines, block.n_out, block.n_columns) == (2, 5, 6)
    np.testing.assert_array_equal(block.codes, seen.codes)
    np.testing.assert_array_equal(block.r, seen.r[1:3])
    np.testing.assert_array_equal(block.line_code, seen.line_code[1:3])
