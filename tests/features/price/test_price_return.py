"""Family price_return."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import talib

from pipeline.features.price import price_return
from tests.features.bars import (
    assert_bits_do_not_depend_on_the_panel,
    assert_close,
    assert_declared,
    assert_no_column_is_empty,
    bars_from_closes,
    market_of,
    random_bars,
    without_trade,
)

COLUMNS = 520
BARS = random_bars(1, COLUMNS, seed=5)
O, H, L, C = (pd.Series(BARS[name][0]) for name in "ohlc")
WALK = {name: x[0] for name, x in price_return.compute(market_of(BARS, COLUMNS)).items()}


def of_closes(closes: list[float]) -> dict[str, float]:
    """Features of the last column of a line that only closes."""
    values = price_return.compute(market_of(bars_from_closes(closes), 1))
    return {name: x.item() for name, x in values.items()}


def test_the_family_returns_what_it_declares():
    """Declared names, float64, (lines, n_out); a value as soon as the look-back is there."""
    assert_declared(price_return)
    assert_no_column_is_empty(price_return)


def test_the_panel_around_a_value_does_not_matter():
    """Bit for bit."""
    assert_bits_do_not_depend_on_the_panel(price_return)


@pytest.mark.parametrize("days", [1, 5, 10, 20, 30, 60, 120, 250])
def test_trailing_returns_equal_talib(days):
    """ROCP of TA-Lib, nulls included."""
    assert_close(WALK[f"ret_prev_{days}d"], talib.ROCP(C.to_numpy(), days))


def test_windows_equal_pandas():
    """The one-liner of each check column."""
    r = C.pct_change()
    night = np.log(O / C.shift())
    expected = {
        "mom_250_20": C.shift(20) / C.shift(250) - 1,
        "ret_overnight": O / C.shift() - 1,
        "overnight_ret_sum_20d": night.rolling(20, min_periods=10).sum(),
        "max_ret_20d": r.rolling(20).max(),
        "min_ret_20d": r.rolling(20).min(),
        "dist_high_250d": C / H.rolling(250, min_periods=125).max() - 1,
        "dist_low_250d": C / L.rolling(250, min_periods=125).min() - 1,
        "max_drawdown_60d": C.rolling(60).apply(lambda p: (p / p.cummax() - 1).min()),
    }
    for name, series in expected.items():
        assert_close(WALK[name], series.to_numpy())


def test_fractional_difference_equals_its_sum():
    """The binomial weights of order 0.4, on logs of prices relative to that of T."""
    weights = [1.0]
    for k in range(1, 100):
        weights.append(-weights[-1] * (0.4 - k + 1) / k)
    p = C.to_numpy()
    expected = [
        sum(w * np.log(p[t - k] / p[t]) for k, w in enumerate(weights)) for t in range(99, COLUMNS)
    ]
    assert_close(WALK["fdiff_0p4_100"][99:], np.array(expected))
    assert np.isnan(WALK["fdiff_0p4_100"][:99]).all()
    assert weights[1:3] == pytest.approx([-0.4, -0.12])


@pytest.mark.parametrize(
    ("closes", "streak"),
    [
        ([10, 11, 12, 13], 3),
        ([10, 11, 10, 9], -2),
        ([10, 11, 12, 12], 0),
        ([10, 11, 11, 12], 1),
        ([10, 11, 11 + 1e-9, 12], 1),
        ([*range(10, 40)], 20),
        ([*range(40, 10, -1)], -20),
        ([10, np.nan, 12], 1),
        ([10, 12, np.nan], 0),
    ],
)
def test_a_streak_counts_columns_of_one_sign(closes, streak):
    """Equal prices and carried closes end it; it is capped at 20."""
    assert of_closes(closes)["ret_streak"] == streak


def test_the_first_column_of_a_line_has_no_streak():
    """Without a return there is no run."""
    assert np.isnan(of_closes([10.0])["ret_streak"])


def test_a_halt_gives_zeros_and_the_first_trade_the_whole_move():
    """Returns are taken on the carried close; the open of the first trade is against it too."""
    halted = [100.0] * 30 + [np.nan] * 3
    assert of_closes(halted)["ret_prev_1d"] == 0.0
    assert np.isnan(of_closes(halted)["ret_overnight"])
    resumed = of_closes([*halted, 120.0])
    assert resumed["ret_prev_1d"] == pytest.approx(0.2)
    assert resumed["ret_overnight"] == pytest.approx(0.2)
    assert resumed["max_ret_20d"] == pytest.approx(0.2)
    assert resumed["overnight_ret_sum_20d"] == pytest.approx(np.log(1.2))


def test_a_close_is_carried_for_twenty_columns():
    """On the 21st column without a trade the price is null, and the next trade has no return."""
    closes = [100.0] * 30
    assert of_closes(closes + [np.nan] * 20)["ret_prev_1d"] == 0.0
    assert np.isnan(of_closes(closes + [np.nan] * 21)["ret_prev_1d"])
    assert np.isnan(of_closes([*closes, *[np.nan] * 21, 120.0])["ret_prev_1d"])
    assert of_closes([*closes, *[np.nan] * 20, 120.0])["ret_prev_1d"] == pytest.approx(0.2)


def test_a_listing_inside_the_window():
    """Window values on returns wait for all terms, those on nights for ten of them."""
    nine_nights = of_closes([np.nan] * 30 + [100.0] * 10)
    assert np.isnan(nine_nights["overnight_ret_sum_20d"])
    ten_nights = of_closes([np.nan] * 30 + [100.0] * 11)
    assert ten_nights["overnight_ret_sum_20d"] == 0.0
    assert np.isnan(ten_nights["max_ret_20d"])
    twenty_returns = of_closes([np.nan] * 30 + [100.0] * 21)
    assert twenty_returns["max_ret_20d"] == 0.0


def test_highs_need_half_the_window_of_traded_days():
    """125 traded days of 250; days without a trade are skipped."""
    market = market_of(without_trade(random_bars(1, 250, seed=6), 0, slice(100, 225)), 1)
    assert np.isfinite(price_return.compute(market)["dist_high_250d"]).all()
    market = market_of(without_trade(random_bars(1, 250, seed=6), 0, slice(100, 226)), 1)
    assert np.isnan(price_return.compute(market)["dist_high_250d"]).all()


def test_a_drawdown_is_never_positive_and_zero_on_the_way_up():
    """The pair i = j counts, and prices within 1e-9 are equal."""
    assert of_closes([100.0 + k for k in range(60)])["max_drawdown_60d"] == 0.0
    assert of_closes([100.0, *[100.0 - 5e-8] * 59])["max_drawdown_60d"] == 0.0
    fall = [100.0] * 30 + [80.0] * 10 + [200.0, 150.0] * 10
    assert of_closes(fall)["max_drawdown_60d"] == pytest.approx(-0.25)
    assert np.isnan(of_closes([np.nan, *[100.0] * 59])["max_drawdown_60d"])
