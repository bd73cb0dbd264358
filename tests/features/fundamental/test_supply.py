"""Family supply."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from pipeline.features.fundamental import supply
from pipeline.market.panel.axis import Axis
from tests.market.filings import Row, axis_of, book_of, filing

NAN = float("nan")


def compute(*rows: Row, axis: Axis | None = None) -> dict[str, np.ndarray]:
    """All columns of the family, by default over 300 columns, all of them wanted."""
    return supply.compute(SimpleNamespace(statements=book_of(*rows, axis=axis or axis_of())))


def seen(values: dict[str, np.ndarray], name: str, *columns: int) -> list[float]:
    return values[name][0, list(columns)].tolist()


def test_the_family_returns_what_it_declares():
    """Declared names, float64, (codes, n_out); nothing without statements."""
    values = compute(axis=axis_of(("10010", "10020"), n_out=7))
    assert set(values) == {feature.name for feature in supply.FEATURES}
    for x in values.values():
        assert x.shape == (2, 7)
        assert x.dtype == np.float64
        assert np.isnan(x).all()


def test_changes_of_the_number_of_shares():
    """Against the period before and the same quarter a year earlier; net of treasury shares."""
    values = compute(
        filing(0, "2022-03", "3Q", ShOutFY=1000.0, TrShFY=200.0),
        filing(60, "2022-03", "FY", ShOutFY=1000.0, TrShFY=0.0),
        filing(240, "2023-03", "3Q", ShOutFY=1300.0, TrShFY=100.0),
    )
    np.testing.assert_equal(
        seen(values, "shares_out_chg_last", 0, 60, 239, 240), [NAN, 0.25, 0.25, 1200 / 1000 - 1]
    )
    np.testing.assert_equal(
        seen(values, "shares_out_chg_yoy", 60, 240, 299), [NAN, 1200 / 800 - 1, 1200 / 800 - 1]
    )
    np.testing.assert_equal(seen(values, "treasury_ratio", 0, 60, 240), [0.2, 0.0, 100 / 1300])


@pytest.mark.parametrize(
    ("now", "change", "shock"),
    [
        (1010.0, 1010 / 1000 - 1, 1.0),
        (1009.0, 1009 / 1000 - 1, 0.0),
        (1000.0, 0.0, 0.0),
        (991.0, 991 / 1000 - 1, 0.0),
        (980.0, 980 / 1000 - 1, -1.0),
        (1500.0, 0.5, 1.0),
        (1501.0, NAN, NAN),
        (499.0, NAN, NAN),
        (None, NAN, NAN),
    ],
)
def test_a_shock_is_a_change_of_one_percent(now: float | None, change: float, shock: float):
    """More than half is no change of supply but a split that one of the sources missed."""
    values = compute(
        filing(0, "2023-03", "1Q", ShOutFY=1000.0), filing(60, "2023-03", "2Q", ShOutFY=now)
    )
    np.testing.assert_equal(seen(values, "shares_out_chg_last", 60), [change])
    np.testing.assert_equal(seen(values, "supply_shock", 60), [shock])


def test_a_split_between_two_statements_is_no_change():
    """Both numbers are put in the basis of T; the later statement has the split in it."""
    axis = axis_of(factors={("10010", 30): 0.2})
    values = compute(
        filing(-5, "2022-03", "FY", ShOutFY=1000.0),
        filing(0, "2023-03", "1Q", ShOutFY=1000.0, TrShFY=100.0),
        filing(60, "2023-03", "2Q", ShOutFY=5000.0, TrShFY=50.0),
        axis=axis,
    )
    np.testing.assert_allclose(seen(values, "shares_out_chg_last", 60, 90), [0.1, 0.1])
    np.testing.assert_allclose(seen(values, "treasury_ratio", 29, 30, 60), [0.1, 0.1, 0.01])
    # what was stated before the panel cannot be restated
    assert np.isnan(seen(values, "shares_out_chg_last", 0, 59)).all()


def test_the_year_before_may_have_been_corrected():
    """Its shares carry the column of the row that supplied them."""
    axis = axis_of(factors={("10010", 30): 0.5})
    values = compute(
        filing(0, "2022-03", "FY", ShOutFY=1000.0),
        filing(40, "2022-03", "FY", TrShFY=100.0),
        filing(250, "2023-03", "FY", ShOutFY=1900.0),
        axis=axis,
    )
    assert seen(values, "shares_out_chg_yoy", 250) == [0.0]


def test_a_year_earlier_than_splits_are_known_for_is_unknown():
    """560 columns; the change is null from the next one on."""
    values = compute(
        filing(0, "2022-03", "FY", ShOutFY=1000.0),
        filing(500, "2023-03", "FY", ShOutFY=1100.0),
        axis=axis_of(columns=600),
    )
    np.testing.assert_equal(
        seen(values, "shares_out_chg_yoy", 500, 560, 561), [1100 / 1000 - 1] * 2 + [NAN]
    )


def test_everything_is_null_200_columns_after_the_first_disclosure():
    """As for all values of the statement book."""
    values = compute(
        filing(0, "2023-03", "1Q", ShOutFY=1000.0), filing(60, "2023-03", "2Q", ShOutFY=1000.0)
    )
    for name in ("shares_out_chg_last", "treasury_ratio", "supply_shock"):
        np.testing.assert_equal(seen(values, name, 260, 261), [0.0, NAN])
