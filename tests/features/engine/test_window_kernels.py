"""Kernels against loops that say the same thing slowly."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipeline.features.engine import window_kernels
from pipeline.features.engine.column_spec import FloatArray

# few distinct values, so that ties, constants and nulls are common
TERMS = st.one_of(
    st.sampled_from([np.nan, 0.0, 0.1, 1.0, -1.0]),
    st.floats(-1e3, 1e3, allow_subnormal=False),
)
SHAPES = st.tuples(st.integers(1, 3), st.integers(0, 30))
PANELS = arrays(np.float64, SHAPES, elements=TERMS)
PROPERTY = settings(deadline=None, max_examples=60)  # the first call compiles

Reduce = Callable[[FloatArray], float]


def loop(x: FloatArray, window: int, min_count: int, n_out: int, reduce: Reduce) -> FloatArray:
    """``reduce`` of the non-null terms of every window, null below ``min_count``."""
    padded = np.hstack([np.full((x.shape[0], n_out + window), np.nan), x])
    result = np.full((x.shape[0], n_out), np.nan)
    for i in range(x.shape[0]):
        for t in range(n_out):
            stop = padded.shape[1] - n_out + t + 1
            terms = padded[i, stop - window : stop]
            terms = terms[~np.isnan(terms)]
            if terms.size >= min_count:
                result[i, t] = reduce(terms)
    return result


def deviation(terms: FloatArray) -> float:
    std = float(np.std(terms, ddof=1))
    return std if std > 1e-12 * np.abs(terms).max() else 0.0


@pytest.mark.parametrize(
    ("kernel", "reduce", "fewest"),
    [
        (window_kernels.window_sum, np.sum, 0),
        (window_kernels.window_mean, np.mean, 1),
        (window_kernels.window_std, deviation, 2),
        (window_kernels.window_max, np.max, 1),
        (window_kernels.window_min, np.min, 1),
    ],
)
@given(x=PANELS, window=st.integers(1, 40), min_count=st.integers(0, 12), n_out=st.integers(1, 9))
@PROPERTY
def test_a_window_kernel_equals_its_loop(kernel, reduce, fewest, x, window, min_count, n_out):
    """Nulls are skipped, columns before the array count as null, windows may exceed the array."""
    expected = loop(x, window, max(min_count, fewest), n_out, reduce)
    seen = kernel(x, window, min_count, n_out)
    np.testing.assert_allclose(seen, expected, rtol=1e-9, atol=1e-9)


@given(x=PANELS, window=st.integers(1, 40), n_out=st.integers(1, 9))
@PROPERTY
def test_a_count_is_never_null(x, window, n_out):
    """A window without any term, even before the array, counts 0."""
    seen = window_kernels.window_count(x, window, n_out)
    np.testing.assert_array_equal(seen, loop(x, window, 0, n_out, np.size))


@given(
    x=PANELS,
    alpha=st.sampled_from([2 / 6, 1 / 14, 0.06]),
    length=st.integers(1, 40),
    min_count=st.integers(1, 12),
)
@PROPERTY
def test_a_finite_exponential_mean_is_the_pandas_one_of_the_last_rows(x, alpha, length, min_count):
    """Weights follow the columns, not the non-null terms, and stop after ``length``."""
    seen = window_kernels.ewm(x, alpha, length, min_count, 1)
    for row, value in zip(x, seen[:, 0], strict=True):
        window = pd.Series(row[-length:])
        mean = window.ewm(alpha=alpha, adjust=True).mean()
        enough = window.count() >= min_count
        expected = mean.iloc[-1] if enough else np.nan
        np.testing.assert_allclose(value, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("kernel", "arguments"),
    [
        (window_kernels.window_sum, (13, 5)),
        (window_kernels.window_mean, (13, 5)),
        (window_kernels.window_std, (13, 5)),
        (window_kernels.window_max, (13, 5)),
        (window_kernels.window_min, (13, 5)),
        (window_kernels.window_count, (13,)),
        (window_kernels.ewm, (0.2, 13, 5)),
        (window_kernels.lagged, (12,)),
    ],
)
@given(
    x=arrays(np.float64, (2, 40), elements=TERMS),
    n_out=st.integers(1, 28),
    extra=st.integers(0, 12),
)
@PROPERTY
def test_the_width_of_the_array_changes_no_bit(kernel, arguments, x, n_out, extra):
    """A value depends on its own window alone, whatever else is computed beside it."""
    n_out = min(n_out, 28 - extra)
    narrow = kernel(x[:, extra:].copy(), *arguments, n_out)
    wide = kernel(x, *arguments, n_out + extra)
    np.testing.assert_array_equal(wide[:, extra:], narrow)


@given(value=st.floats(1e-3, 1e6), size=st.integers(2, 60))
@example(value=0.1, size=3)
@PROPERTY
def test_what_rounding_leaves_of_a_constant_is_no_deviation(value, size):
    """The std of equal terms is exactly 0, so that a z-score of a constant is null."""
    assert window_kernels.window_std(np.full((1, size), value), size, size, 1)[0, 0] == 0.0


def test_the_std_keeps_small_deviations_on_a_large_mean():
    """Two passes: the mean is taken off before squaring, so its size costs no digits."""
    x = 1e8 + np.array([[0.0, 1.0, 2.0, 3.0]])
    assert window_kernels.window_std(x, 4, 4, 1)[0, 0] == pytest.approx(np.sqrt(5 / 3), rel=1e-12)


@given(x=PANELS, k=st.integers(0, 40), n_out=st.integers(1, 9))
@PROPERTY
def test_a_lag_counts_columns_and_is_null_before_the_array(x, k, n_out):
    """lagged(x, k) of column T is x of column T-k."""
    padded = np.hstack([np.full((x.shape[0], n_out + k), np.nan), x])
    stop = padded.shape[1] - k
    np.testing.assert_array_equal(
        window_kernels.lagged(x, k, n_out), padded[:, stop - n_out : stop]
    )


def test_a_lag_into_the_future_is_refused():
    """A negative lag is a look-ahead."""
    with pytest.raises(ValueError, match="must be at least 0, got -1"):
        window_kernels.lagged(np.zeros((1, 3)), -1, 1)


def test_the_previous_traded_day_counts_while_its_close_is_carried():
    """Columns without a trade are skipped; without a carried close there is no previous day."""
    x = np.array([[5.0, np.nan, 6.0, np.nan, 7.0, 8.0]])
    p_prev = np.array([[np.nan, 1.0, 1.0, 1.0, np.nan, 1.0]])
    np.testing.assert_array_equal(
        window_kernels.previous_traded(x, p_prev), [[np.nan, 5.0, 5.0, 6.0, np.nan, 7.0]]
    )


def test_a_zero_denominator_gives_null():
    """No epsilon, no infinity: x/0 and 0/0 are null."""
    seen = window_kernels.ratio(np.array([1.0, 0.0, 3.0]), np.array([0.0, 0.0, 2.0]))
    np.testing.assert_array_equal(seen, [np.nan, np.nan, 1.5])


def test_equal_prices_have_no_change():
    """Prices within 1e-9 of each other are the same price: both changes are exactly 0."""
    now = np.array([100.0, 100.0 + 9e-8, 100.0 + 2e-7, np.nan])
    before = np.full(4, 100.0)
    np.testing.assert_array_equal(
        window_kernels.same_price(now, before), [True, True, False, False]
    )
    np.testing.assert_allclose(
        window_kernels.simple_change(now, before), [0.0, 0.0, 2e-9, np.nan], rtol=1e-6
    )
    np.testing.assert_allclose(
        window_kernels.log_change(now, before), [0.0, 0.0, 2e-9, np.nan], rtol=1e-6
    )
