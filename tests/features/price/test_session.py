"""Family session."""

from __future__ import annotations

from dataclasses import fields
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline.features.engine.column_spec import FloatArray
from pipeline.features.price import session
from pipeline.market.panel.intraday_bars import SESSION_DAYS_BEFORE, DayParts

NAMES = [field.name for field in fields(DayParts)]


def random_parts(n_codes: int, width: int, seed: int, quiet: float = 0.0) -> DayParts:
    """Sessions of independent prices; ``quiet`` is the share of sessions without a trade."""
    rng = np.random.default_rng(seed)
    values = {name: rng.uniform(90.0, 110.0, (n_codes, width)) for name in NAMES}
    values["mh"], values["ml"] = values["mh"] + 20.0, values["ml"] - 20.0
    values["h"], values["l"] = values["mh"] + 1.0, values["ml"] - 1.0
    for half in "ma":
        silent = rng.random((n_codes, width)) < quiet
        for name in (half + field for field in ("o", "h", "l", "c", "va")):
            values[name][silent] = np.nan
    return DayParts(**values)


def market_of(parts: DayParts, n_out: int, listed: Any = True) -> Any:
    """A market with day parts and listings; the panel is longer than the parts."""
    n_codes = parts.va.shape[0]
    on = np.ones((n_codes, parts.width + 30), dtype=bool)
    on[:, 30:] = listed
    return SimpleNamespace(
        parts=parts, panel=SimpleNamespace(n_out=n_out), master=SimpleNamespace(listed=on)
    )


def of_day(**prices: float) -> dict[str, float]:
    """Features of one day, unnamed fields null."""
    parts = DayParts(**{name: np.full((1, 1), prices.get(name, np.nan)) for name in NAMES})
    return {name: float(x[0, 0]) for name, x in session.compute(market_of(parts, 1)).items()}


DAY = {
    "mo": 100.0, "mh": 104.0, "ml": 99.0, "mc": 102.0, "mva": 30.0,
    "ao": 103.0, "ah": 109.0, "al": 101.0, "ac": 108.0, "ava": 90.0,
    "h": 109.0, "l": 99.0, "va": 120.0,
}  # fmt: skip


def test_the_family_returns_what_it_declares():
    """Declared names, float64, (codes, n_out)."""
    seen = session.compute(market_of(random_parts(3, 7 + SESSION_DAYS_BEFORE, seed=1), n_out=7))
    assert set(seen) == {feature.name for feature in session.FEATURES}
    assert {x.shape for x in seen.values()} == {(3, 7)}
    assert {x.dtype for x in seen.values()} == {np.dtype(np.float64)}
    assert all(np.isfinite(x).all() for x in seen.values())


def test_a_day_by_hand():
    """Up in the morning, up over lunch, up in the afternoon."""
    seen = of_day(**DAY)
    assert np.isnan(seen.pop("pm_minus_am_20d"))
    assert seen == pytest.approx(
        {
            "am_ret": 0.02,
            "pm_ret": 5 / 103,
            "lunch_gap": 1 / 102,
            "am_range": 0.05,
            "am_to_full_range": 0.5,
            "am_value_share": 0.25,
        }
    )


@pytest.mark.parametrize(
    ("quiet", "known"),
    [
        ("m", {"pm_ret"}),
        ("a", {"am_ret", "am_range", "am_to_full_range", "am_value_share"}),
    ],
)
def test_a_session_without_a_trade_takes_its_features_with_it(quiet, known):
    """Only what needs the other session alone remains; a plan without sessions has nothing."""
    seen = of_day(**{name: x for name, x in DAY.items() if name[0] != quiet or len(name) == 1})
    assert {name for name, x in seen.items() if not np.isnan(x)} == known
    assert all(np.isnan(x) for x in of_day(h=109.0, l=99.0, va=120.0).values())


def test_a_day_at_one_price_has_no_range_to_share():
    """H = L; a day without turnover likewise."""
    assert np.isnan(of_day(**{**DAY, "mh": 99.0, "h": 99.0})["am_to_full_range"])
    assert np.isnan(of_day(**{**DAY, "va": 0.0, "mva": 0.0})["am_value_share"])
    assert of_day(**{**DAY, "mh": 99.0})["am_range"] == 0.0


def rolling(close: FloatArray, first: FloatArray) -> FloatArray:
    term = np.log(pd.Series(close) / pd.Series(first))
    return term.rolling(20, min_periods=10).sum().to_numpy()


def test_the_drift_equals_pandas_on_sparse_sessions():
    """Either sum needs ten terms of its own."""
    parts = random_parts(1, 200, seed=2, quiet=0.45)
    seen = session.compute(market_of(parts, 200))["pm_minus_am_20d"][0]
    expected = rolling(parts.ac[0], parts.ao[0]) - rolling(parts.mc[0], parts.mo[0])
    np.testing.assert_allclose(seen, expected, rtol=0.0, atol=1e-12)
    assert 0 < np.isnan(seen[19:]).sum() < 181


def test_days_without_a_listing_do_not_count():
    """Neither on T nor inside the window of the drift."""
    parts = random_parts(2, 30, seed=3)
    listed = np.ones((2, 30), dtype=bool)
    listed[0, [12, 29]] = False
    seen = session.compute(market_of(parts, 4, listed))
    assert np.isnan(seen["am_ret"][0]).tolist() == [False, False, False, True]
    missing = DayParts(**{name: getattr(parts, name).copy() for name in NAMES})
    for name in NAMES:
        getattr(missing, name)[0, [12, 29]] = np.nan
    for name, values in session.compute(market_of(missing, 4)).items():
        np.testing.assert_array_equal(seen[name], values)


def test_the_columns_before_the_window_do_not_matter():
    """Bit for bit, whatever the width and the number of wanted columns."""
    parts = random_parts(3, 60, seed=4, quiet=0.2)
    wide = session.compute(market_of(parts, 41))
    short = DayParts(**{name: getattr(parts, name)[:, -24:] for name in NAMES})
    for name, values in session.compute(market_of(short, 5)).items():
        np.testing.assert_array_equal(wide[name][:, -5:], values)
