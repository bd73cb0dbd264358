"""Trend lines and correlations against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipeline.features.engine import regression
from pipeline.features.engine.column_spec import FloatArray
from tests.features.windows import PROPERTY, TERMS, over_windows

NAN = np.nan

# Whole numbers: a window of them is either constant or clearly not, so that NumPy, which knows
# no zero deviation, can be the judge.
WHOLE = st.one_of(st.just(np.nan), st.integers(-50, 50).map(float))
LINES = arrays(np.float64, st.tuples(st.integers(1, 3), st.integers(0, 25)), elements=WHOLE)
PAIRS = st.integers(0, 25).flatmap(
    lambda n: st.tuples(*[arrays(np.float64, (2, n), elements=WHOLE)] * 2)
)
WINDOW, N_OUT = st.integers(2, 30), st.integers(1, 9)


def fitted(terms: FloatArray) -> tuple[float, float, float]:
    """Slope, r2 and last residual of NumPy's least-squares line; NaN with a null term."""
    if np.isnan(terms).any():
        return NAN, NAN, NAN
    time = np.arange(1.0, terms.size + 1.0)
    slope, intercept = np.linalg.lstsq(np.vander(time, 2), terms, rcond=None)[0]
    varies = terms.min() < terms.max()
    r2 = np.corrcoef(time, terms)[0, 1] ** 2 if varies else NAN
    return float(slope), float(r2), float(terms[-1] - (intercept + slope * terms.size))


@given(x=LINES, window=WINDOW, n_out=N_OUT)
@PROPERTY
def test_a_trend_is_the_least_squares_line(x, window, n_out):
    """Slope, r2 and residual at T come from one line; one null term makes all three null."""
    seen = regression.window_trend(x, window, n_out)
    for k, values in enumerate(seen):
        expected = over_windows(lambda terms, k=k: fitted(terms)[k], window, n_out, x)
        np.testing.assert_allclose(values, expected, rtol=1e-9, atol=1e-9)


def test_a_trend_worked_by_hand():
    """Through 1, 2, 6: slope 5/2, line at T 5.5, r2 = 2.5^2 * 2 / 14."""
    seen = regression.window_trend(np.array([[1.0, 2.0, 6.0]]), 3, 1)
    assert seen.slope[0, 0] == pytest.approx(2.5)
    assert seen.residual[0, 0] == pytest.approx(0.5)
    assert seen.r2[0, 0] == pytest.approx(12.5 / 14)


@given(price=st.floats(0.1, 1e6), noise=arrays(np.float64, 20, elements=st.sampled_from([0, 1])))
@PROPERTY
def test_what_rounding_leaves_of_a_constant_is_no_trend(price, noise):
    """A flat price has slope and residual exactly 0, which ties in a ranking, and no r2."""
    flat = np.where(noise == 1, np.nextafter(price, np.inf), price)[None]
    slope, r2, residual = regression.window_trend(flat, 20, 1)
    assert (slope[0, 0], residual[0, 0]) == (0.0, 0.0)
    assert np.isnan(r2[0, 0])


def test_a_straight_line_fits_no_better_than_perfectly():
    """Rounding never lifts r2 or a correlation above 1."""
    x = np.cumsum(np.random.default_rng(1).uniform(0.01, 10.0, (2000, 1)), axis=0)
    line = 1000.0 + x * np.arange(60.0)
    falling = regression.window_corr(line, -line, 60, 60, 1)
    r2 = regression.window_trend(line, 60, 1).r2
    assert r2.max() <= 1.0
    assert r2.min() == pytest.approx(1.0)
    assert falling.min() >= -1.0
    assert falling.max() == pytest.approx(-1.0)


@given(pair=PAIRS, window=WINDOW, min_count=st.integers(0, 12), n_out=N_OUT)
@PROPERTY
def test_a_correlation_runs_over_the_columns_both_sides_have(pair, window, min_count, n_out):
    """NumPy's correlation of the complete pairs, null for too few and for a constant side."""

    def correlation(a: FloatArray, b: FloatArray) -> float:
        known = ~np.isnan(a) & ~np.isnan(b)
        a, b = a[known], b[known]
        if a.size < max(min_count, 2) or np.ptp(a) == 0.0 or np.ptp(b) == 0.0:
            return NAN
        return float(np.corrcoef(a, b)[0, 1])

    seen = regression.window_corr(*pair, window, min_count, n_out)
    expected = over_windows(correlation, window, n_out, *pair)
    np.testing.assert_allclose(seen, expected, rtol=1e-9, atol=1e-9)


@given(x=arrays(np.float64, (1, 20), elements=WHOLE), scale=st.sampled_from([1e-3, 3.0, 1e6]))
@PROPERTY
def test_a_correlation_has_no_unit(x, scale):
    """Another price basis or share count changes nothing beyond rounding."""
    y = np.arange(20.0)[None] ** 2
    before = regression.window_corr(x, y, 20, 3, 1)
    after = regression.window_corr(x * scale, y * 7.0, 20, 3, 1)
    np.testing.assert_allclose(after, before, atol=1e-9)


def test_small_moves_on_a_large_level_keep_their_digits():
    """Means are taken off before squaring, so the level costs no digits."""
    moves = np.random.default_rng(2).integers(-5, 6, (1, 30)).astype(np.float64)
    seen = regression.window_trend(1e9 + moves, 30, 1)
    expected = regression.window_trend(moves, 30, 1)
    np.testing.assert_allclose(seen, expected, rtol=1e-6)


@given(
    x=arrays(np.float64, (2, 40), elements=TERMS),
    y=arrays(np.float64, (2, 40), elements=TERMS),
    n_out=st.integers(1, 28),
    extra=N_OUT,
)
@PROPERTY
def test_the_width_of_the_array_changes_no_bit(x, y, n_out, extra):
    """A value depends on its own window alone, whatever else is computed beside it."""
    n_out = min(n_out, 28 - extra)
    near_x, near_y = x[:, extra:].copy(), y[:, extra:].copy()
    narrow = [
        *regression.window_trend(near_x, 13, n_out),
        regression.window_corr(near_x, near_y, 13, 4, n_out),
    ]
    wide = [
        *regression.window_trend(x, 13, n_out + extra),
        regression.window_corr(x, y, 13, 4, n_out + extra),
    ]
    for a, b in zip(narrow, wide, strict=True):
        np.testing.assert_array_equal(b[:, extra:], a)
