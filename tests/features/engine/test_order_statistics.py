"""Order statistics against NumPy and plain counting."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipeline.features.engine import order_statistics
from pipeline.features.engine.column_spec import FloatArray
from tests.features.windows import PANELS, PROPERTY, TERMS, over_windows, same

WINDOW, COUNT, N_OUT = st.integers(1, 30), st.integers(0, 12), st.integers(1, 9)


@given(x=PANELS, window=WINDOW, q=st.floats(0, 1), min_count=COUNT, n_out=N_OUT)
@PROPERTY
def test_a_quantile_interpolates_between_the_sorted_terms(x, window, q, min_count, n_out):
    """NumPy's default quantile of the non-null terms, null below the minimum count."""

    def quantile(terms: FloatArray) -> float:
        known = terms[~np.isnan(terms)]
        return float(np.quantile(known, q)) if known.size >= max(min_count, 1) else np.nan

    seen = order_statistics.window_quantile(x, window, q, min_count, n_out)
    expected = over_windows(quantile, window, n_out, x)
    np.testing.assert_allclose(seen, expected, rtol=1e-12, atol=1e-9)


@given(x=PANELS, window=WINDOW, min_count=COUNT, n_out=N_OUT)
@PROPERTY
def test_several_quantiles_are_the_single_ones(x, window, min_count, n_out):
    """Sorting a window once for several quantiles changes no bit of any of them."""
    qs = (0.8, 0.2, 0.0, 1.0)
    seen = order_statistics.window_quantiles(x, window, qs, min_count, n_out)
    for q, values in zip(qs, seen, strict=True):
        single = order_statistics.window_quantile(x, window, q, min_count, n_out)
        np.testing.assert_array_equal(values, single)


@pytest.mark.parametrize("q", [-0.1, 1.1, float("nan")])
def test_a_quantile_outside_zero_and_one_is_refused(q):
    """Compiled code does not check its indices, so the caller's mistake is caught before."""
    with pytest.raises(ValueError, match="between 0 and 1"):
        order_statistics.window_quantile(np.zeros((1, 3)), 3, q, 1, 1)


@given(x=PANELS, window=WINDOW, min_count=COUNT, n_out=N_OUT)
@PROPERTY
def test_a_rank_averages_ties_and_prices_equal_by_rounding_tie(x, window, min_count, n_out):
    """Terms below x_T, plus the middle of those equal to it; null without x_T."""

    def rank(terms: FloatArray) -> float:
        now, known = terms[-1], terms[~np.isnan(terms)]
        if np.isnan(now) or known.size < min_count:
            return np.nan
        ties = sum(same(term, now) for term in known)
        below = sum(term < now and not same(term, now) for term in known)
        return float(below + (ties + 1) / 2)

    seen = order_statistics.window_rank(x, window, min_count, n_out)
    np.testing.assert_array_equal(seen, over_windows(rank, window, n_out, x))


def test_a_rank_of_whole_yen_is_the_one_of_pandas():
    """Without rounding errors the tolerance makes no difference."""
    x = np.random.default_rng(4).integers(990, 1010, 300).astype(np.float64)
    expected = pd.Series(x).rolling(20).rank()
    np.testing.assert_array_equal(order_statistics.window_rank(x[None], 20, 20, 300)[0], expected)


@given(x=PANELS, window=WINDOW, min_count=COUNT, n_out=N_OUT)
@PROPERTY
def test_the_oldest_of_equal_extremes_has_the_position(x, window, min_count, n_out):
    """Columns without a value keep their place in the count but cannot win."""

    def position(terms: FloatArray) -> float:
        known = np.flatnonzero(~np.isnan(terms))
        if known.size < max(min_count, 1):
            return np.nan
        return float(next(i + 1 for i in known if same(terms[i], np.nanmax(terms))))

    def highest(terms: FloatArray) -> float:
        return np.nan if np.isnan(position(terms)) else float(np.nanmax(terms))

    for sign, kernel in (
        (1.0, order_statistics.window_highest),
        (-1.0, order_statistics.window_lowest),
    ):
        seen = kernel(sign * x, window, min_count, n_out)
        values = sign * over_windows(highest, window, n_out, x)
        np.testing.assert_array_equal(seen.value, values)
        np.testing.assert_array_equal(seen.position, over_windows(position, window, n_out, x))


@pytest.mark.parametrize(
    ("terms", "position"),
    [
        ([1.0, 3.0, 2.0, 3.0], 2.0),
        ([3.0, 1.0, np.nan, np.nan], 1.0),
        ([np.nan, np.nan, 1.0, 1.0], 3.0),
        ([3.0 * (1 - 5e-10), 3.0, 1.0, 1.0], 1.0),
        ([3.0 * (1 - 5e-9), 3.0, 1.0, 1.0], 2.0),
        ([np.nan, np.nan, np.nan, 1.0], np.nan),
    ],
)
def test_positions_worked_by_hand(terms, position):
    """1 is the oldest of four columns, 4 is T; two terms are required."""
    seen = order_statistics.window_highest(np.array([terms]), 4, 2, 1).position[0, 0]
    np.testing.assert_equal(seen, position)


@given(x=arrays(np.float64, (2, 40), elements=TERMS), n_out=st.integers(1, 28), extra=N_OUT)
@PROPERTY
def test_the_width_of_the_array_changes_no_bit(x, n_out, extra):
    """A value depends on its own window alone, whatever the sorted window slid over before."""
    n_out = min(n_out, 28 - extra)
    for kernel in (
        lambda x, n_out: order_statistics.window_quantile(x, 13, 0.3, 4, n_out),
        lambda x, n_out: order_statistics.window_rank(x, 13, 4, n_out),
        lambda x, n_out: order_statistics.window_highest(x, 13, 4, n_out).position,
    ):
        narrow, wide = kernel(x[:, extra:].copy(), n_out), kernel(x, n_out + extra)[:, extra:]
        # bits, not values: a zero must not change its sign either
        assert narrow.tobytes() == wide.tobytes()
