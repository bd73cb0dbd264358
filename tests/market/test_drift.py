"""Two distributions are told apart when a unit, a sign or a constant changed, not by chance."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.market import drift
from pipeline.market.drift import ChunkProfile, ColumnProfile, drifted, same_all_day, stability


def normal(seed: int, size: int = 3000) -> np.ndarray:
    return np.sort(np.random.default_rng(seed).standard_normal(size).astype(np.float32))


def test_the_index_by_hand() -> None:
    """Tenths of 1 to 100, and a sample of which half lies in the first tenth."""
    one = np.arange(1, 101, dtype=np.float32)
    other = np.sort(np.concatenate([np.full(50, 5.0), np.arange(51, 101)]).astype(np.float32))
    q = np.array([0.5, 0, 0, 0, 0, 0.1, 0.1, 0.1, 0.1, 0.1])
    # Edges are the 11th, 21st ... value; what equals one lies below it.
    p = np.array([0.11, *[0.1] * 8, 0.09])
    counts = np.histogram(other, [0, 11, 21, 31, 41, 51, 61, 71, 81, 91, 101])[0]
    assert counts.sum() == q.sum() * 100
    q = np.array([(other <= 11).mean(), *[((other > a) & (other <= a + 10)).mean()
                  for a in range(11, 91, 10)], (other > 91).mean()])  # fmt: skip
    p, q = np.maximum(p, 1e-3), np.maximum(q, 1e-3)
    by_hand = float(((q - p) * np.log(q / p)).sum())
    assert drift._index(one, other) == pytest.approx(by_hand)


@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_chance_is_far_from_the_threshold(first: int, second: int) -> None:
    """Two samples of one distribution."""
    assert stability(normal(first), normal(second)) < drift.STABILITY / 10


@pytest.mark.parametrize(
    "changed",
    [
        lambda x: x * 100,
        lambda x: x / 100,
        lambda x: np.abs(x) + 2,
        lambda x: x * 0,
        lambda x: x * 0 - 9,
        lambda x: x * 0 + 9,
    ],
)
def test_faults_are_far_beyond_it(changed) -> None:
    """Either way round."""
    one = normal(1)
    other = np.sort(changed(normal(2)))
    assert stability(one, other) > 2 * drift.STABILITY
    assert stability(one, other) == stability(other, one)


def profile(name: str, rate: float, values: np.ndarray, market_wide: bool = False) -> ChunkProfile:
    return ChunkProfile(name, {"x": ColumnProfile(rate, values.astype(np.float32), market_wide)})


def test_columns_of_the_whole_market_and_tiny_samples_are_not_compared() -> None:
    """The month of a quarter is never that of the next; thirty values say nothing."""
    low, high = np.zeros(500), np.ones(500)
    assert len(list(drifted(profile("a", 0, low), profile("b", 0, high)))) == 1
    assert list(drifted(profile("a", 0, low, True), profile("b", 0, high, True))) == []
    assert list(drifted(profile("a", 0, low[:30]), profile("b", 0, high))) == []
    (told,) = drifted(profile("a", 0.1, low, True), profile("b", 0.25, high, True))
    assert (told.check, told.text) == ("nulls", "10.0% null, then 25.0% (a to b)")


def test_what_is_the_same_all_day() -> None:
    """One value a day, or none; nulls beside a value do not matter."""
    nan = np.nan
    matrix = np.array([[1, 1, nan, 1], [1, 2, nan, nan], [5, 3, 4, 2], [5, 3, 4, 2]], np.float32)
    assert same_all_day(matrix, np.array([0, 2])).tolist() == [True, False, True, True]
