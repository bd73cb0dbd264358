"""Family gap."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import talib

from pipeline.features.engine.column_spec import FloatArray
from pipeline.features.price import beta, gap
from pipeline.market.panel.benchmark_levels import Topix
from tests.features.bars import (
    Bars,
    assert_bits_do_not_depend_on_the_panel,
    assert_close,
    assert_declared,
    bars_from_closes,
    market_of,
    random_bars,
    without_trade,
)
from tests.features.surroundings import in_surroundings, surrounded_market

COLUMNS = 500


def of(bars: Bars, n_out: int = 1) -> dict[str, FloatArray]:
    """Features of the last columns of the first line."""
    return {name: x[0] for name, x in gap.compute(surrounded_market(bars, n_out)).items()}


BARS = random_bars(1, COLUMNS, seed=51)
O, H, L, C = (pd.Series(BARS[name][0]) for name in "ohlc")
WALK = of(BARS, COLUMNS)
NIGHT = O / C.shift() - 1


def day_after(close: float, o: float, h: float, low: float, c: float) -> dict[str, float]:
    """Features of a day that follows a flat one."""
    bars = bars_from_closes([close, c])
    bars["o"], bars["h"], bars["l"] = (np.array([[close, x]]) for x in (o, h, low))
    return {name: float(x[0]) for name, x in of(bars).items()}


def test_the_family_returns_what_it_declares():
    """Declared names, float64, (lines, n_out); a value as soon as the look-back is there."""
    assert_declared(in_surroundings(gap))
    for feature in gap.FEATURES:
        bars = random_bars(2, feature.lookback + 1, seed=52)
        bars["o"] *= 1.01
        assert np.isfinite(of(bars)[feature.name]).all(), feature.name


def test_the_panel_around_a_value_does_not_matter():
    """Bit for bit."""
    assert_bits_do_not_depend_on_the_panel(in_surroundings(gap))


def test_gaps_in_true_ranges_equal_talib_after_a_long_history():
    """The average range ends the day before."""
    average = talib.ATR(H.to_numpy(), L.to_numpy(), C.to_numpy(), 14)
    expected = (O.to_numpy()[1:] - C.to_numpy()[:-1]) / average[:-1]
    assert_close(WALK["gap_atr"][400:], expected[399:], 1e-6)
    assert np.isnan(WALK["gap_atr"][:15]).all()
    assert np.isfinite(WALK["gap_atr"][15:]).all()


def test_magnitudes_equal_pandas():
    """T against the 20 columns before it, ten of them known."""
    for bars, seen in ((BARS, WALK), _sparse()):
        before = pd.Series(bars["c"][0]).ffill().shift()
        size = (pd.Series(bars["o"][0]) / before - 1).abs()
        history = size.shift(1).rolling(20, min_periods=10)
        expected = (size - history.mean()) / history.std()
        assert_close(seen["gap_magnitude_z20"], expected.to_numpy())


def _sparse() -> tuple[Bars, dict[str, FloatArray]]:
    bars = random_bars(1, COLUMNS, seed=53, no_trade=0.4)
    return bars, of(bars, COLUMNS)


@pytest.mark.parametrize(
    ("day", "filled", "retrace"),
    [
        ((110.0, 112.0, 105.0, 111.0), 0.0, 0.5),  # up, half the way back
        ((110.0, 112.0, 100.0, 111.0), 1.0, 1.0),  # up, back to the close exactly
        ((110.0, 112.0, 95.0, 96.0), 1.0, 1.0),  # up, back and through
        ((110.0, 115.0, 110.0, 112.0), 0.0, 0.0),  # up and away
        ((90.0, 93.0, 89.0, 92.0), 0.0, 0.3),  # down, some of the way back
        ((90.0, 100.0, 89.0, 92.0), 1.0, 1.0),  # down, back to the close exactly
        ((90.0, 90.0, 80.0, 85.0), 0.0, 0.0),  # down and away
        ((100.0, 120.0, 80.0, 90.0), 0.0, np.nan),  # no gap
    ],
)
def test_what_the_day_made_of_its_gap(day, filled, retrace):
    """Close of the day before 100; open, high, low, close of T."""
    seen = day_after(100.0, *day)
    assert seen["gap_filled_flag"] == filled
    assert seen["gap_retrace"] == pytest.approx(retrace, nan_ok=True)


def test_ten_basis_points_are_a_gap_and_less_is_none():
    """1001 over 1000 is the boundary, whatever rounding makes of it; so is 999."""
    for o, known in ((1001.0, True), (999.0, True), (1000.9, False), (999.1, False)):
        seen = day_after(1000.0, o, max(o, 1000.0), min(o, 1000.0), o)
        assert np.isfinite(seen["gap_retrace"]) == known
        assert seen["gap_filled_flag"] == 1.0
    assert 1001.0 / 1000.0 - 1.0 < 0.001 < abs(999.0 / 1000.0 - 1.0)


def test_prices_equal_up_to_rounding_make_no_gap():
    """Neither is it filled, nor has it a size."""
    closes = [100.0 + k % 3 for k in range(40)]
    bars = bars_from_closes(closes)
    bars["o"][0, -1] = closes[-2] * (1 + 2e-16)
    seen = of(bars)
    assert bars["o"][0, -1] != closes[-2]
    assert [seen["gap_atr"], seen["gap_filled_flag"]] == [0.0, 0.0]
    low = day_after(100.0, 110.0, 111.0, 100.0 * (1 + 1e-12), 110.0)
    assert low["gap_filled_flag"] == 1.0


def test_a_gap_over_a_halt_is_against_the_carried_close():
    """After 20 columns; after 21 there is no close and everything is null."""
    walk = random_bars(1, 80, seed=54)
    for halt in (20, 21):
        seen = of(without_trade(walk, 0, slice(79 - halt, 79)))
        assert all(np.isnan(seen[name]) == (halt == 21) for name in ("gap_atr", "gap_filled_flag"))
    seen = of(without_trade(walk, 0, slice(79, 80)))
    assert all(np.isnan(x).all() for x in seen.values())


def test_a_price_that_never_moves_has_no_scale():
    """No range and no deviation to divide by."""
    seen = of(bars_from_closes([0.1] * 300))
    assert np.isnan(seen["gap_atr"])
    assert np.isnan(seen["gap_magnitude_z20"])
    assert seen["gap_filled_flag"] == 0.0


def test_the_residual_takes_the_beta_of_the_day_before():
    """ret_overnight less beta60 of T-1 times the night of TOPIX."""
    rng = np.random.default_rng(55)
    close = 2000.0 * np.exp(np.cumsum(rng.normal(0.0, 0.01, 120)))
    opened = close * np.exp(rng.normal(0.0, 0.005, 120))
    market = SimpleNamespace(
        panel=market_of(random_bars(3, 120, seed=56), 40).panel,
        topix=Topix(o=opened, h=opened, l=opened, c=close),
    )
    own = market.panel.o[:, 1:] / market.panel.c[:, :-1] - 1
    index = opened[1:] / close[:-1] - 1
    slopes = beta.beta60(market, 41)[:, :-1]
    seen = gap.compute(market)["gap_resid_topix"]
    assert_close(seen, own[:, -40:] - slopes * index[-40:])
    market.topix.o[-1] = np.nan
    assert np.isnan(gap.compute(market)["gap_resid_topix"][:, -1]).all()
