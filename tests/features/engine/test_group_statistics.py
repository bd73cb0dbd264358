"""Statistics over groups of codes against pandas."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipeline.features.engine.group_statistics import (
    NO_GROUP,
    group_mean,
    group_pct,
    group_share,
    group_std,
    groups_of,
    whole,
)
from tests.features.windows import PROPERTY

NAN = np.nan

VALUES = st.one_of(st.just(NAN), st.integers(-4, 4).map(float))
LABELS = st.sampled_from([NAN, 50.0, 1050.0, 9050.0])
SHAPES = st.tuples(st.integers(1, 12), st.integers(1, 3))
CROWDS = SHAPES.flatmap(
    lambda shape: st.tuples(
        arrays(np.float64, shape, elements=VALUES),
        arrays(np.float64, shape, elements=LABELS),
        arrays(np.bool_, shape),
    )
)
NEEDED = st.integers(1, 4)


def by_pandas(x, labels, universe, needed, statistic):
    """The statistic of each member's group, column by column."""
    result = np.full(x.shape, NAN)
    for t in range(x.shape[1]):
        frame = pd.DataFrame({"x": x[:, t], "label": labels[:, t]})[universe[:, t]]
        groups = frame.groupby("label")["x"]
        values = groups.transform(statistic).where(groups.transform("count") >= needed)
        result[values.index, t] = values
    return result


def rank_share(x):
    return (x.rank() - 1) / (x.count() - 1) if x.count() > 1 else x * NAN


@given(crowd=CROWDS, needed=NEEDED)
@PROPERTY
def test_mean_and_deviation_of_groups(crowd, needed):
    """Over the non-null members of the same label, given to every member."""
    x, labels, universe = crowd
    groups = groups_of(labels, universe)
    for compute, statistic in ((group_mean, "mean"), (group_std, "std")):
        seen = groups.spread(compute(x, groups, needed))
        expected = by_pandas(x, labels, universe, needed, statistic)
        np.testing.assert_allclose(seen, expected, rtol=1e-12, atol=1e-12)


@given(crowd=CROWDS, needed=NEEDED)
@PROPERTY
def test_rank_in_a_group(crowd, needed):
    """Average ties, 0 to 1, own value required."""
    x, labels, universe = crowd
    seen = group_pct(x, groups_of(labels, universe), needed)
    expected = by_pandas(x, labels, universe, needed, rank_share)
    np.testing.assert_allclose(seen, expected, rtol=1e-12, atol=1e-12)


def test_ranks_worked_by_hand():
    """3, 1, 3, 2 and a null: ranks 3.5, 1, 3.5, 2 of four, less 1, over 3."""
    x = np.array([[3.0], [1.0], [NAN], [3.0], [2.0]])
    groups = whole(np.ones((5, 1), dtype=bool))
    seen = group_pct(x, groups, 4)[:, 0]
    np.testing.assert_allclose(seen, [2.5 / 3, 0.0, NAN, 2.5 / 3, 1 / 3])
    assert np.isnan(group_pct(x, groups, 5)).all()


def test_who_belongs_to_a_group():
    """Members of the universe with a label; the others have no group and get no value."""
    labels = np.array([[50.0], [NAN], [1050.0], [50.0]])
    universe = np.array([[True], [True], [True], [False]])
    groups = groups_of(labels, universe)
    assert (groups.number[:, 0] == NO_GROUP).tolist() == [False, True, False, True]
    seen = groups.spread(group_mean(np.arange(4.0)[:, None], groups, 1))[:, 0]
    np.testing.assert_array_equal(seen, [0.0, NAN, 2.0, NAN])


@pytest.mark.parametrize("compute", [group_mean, group_std])
def test_an_empty_group_has_no_value(compute):
    """A date without a universe is null, not 0."""
    groups = whole(np.zeros((3, 2), dtype=bool))
    assert np.isnan(compute(np.ones((3, 2)), groups, 1)).all()


def test_a_share_counts_the_known_members():
    """2 of 3 known ones; the unknown fourth counts in neither."""
    condition = np.array([[True], [False], [True], [True]])
    known = np.array([[True], [True], [True], [False]])
    groups = whole(np.ones((4, 1), dtype=bool))
    assert group_share(condition, known, groups, 3)[0, 0] == 2 / 3
    assert np.isnan(group_share(condition, known, groups, 4)[0, 0])


def test_rounding_is_no_deviation():
    """Equal values have the deviation 0, not what the rounding of their mean leaves."""
    x = np.full((7, 1), 0.1)
    assert group_std(x, whole(np.ones((7, 1), dtype=bool)), 5)[0, 0] == 0.0
