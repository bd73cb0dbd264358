"""Family moving_average."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import talib

from pipeline.features.price import moving_average
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

COLUMNS = 900
BARS = random_bars(1, COLUMNS, seed=7)
H, L, C = (BARS[name][0] for name in "hlc")
WALK = {name: x[0] for name, x in moving_average.compute(market_of(BARS, COLUMNS)).items()}
LATE = slice(600, None)  # where recursions have forgotten how they began


def of_closes(closes: list[float], n_out: int = 1) -> dict[str, np.ndarray]:
    """Features of the last columns of a line that only closes."""
    values = moving_average.compute(market_of(bars_from_closes(closes), n_out))
    return {name: x[0] for name, x in values.items()}


def test_the_family_returns_what_it_declares():
    """Declared names, float64, (lines, n_out); a value as soon as the look-back is there."""
    assert_declared(moving_average)
    assert_no_column_is_empty(moving_average)


def test_the_panel_around_a_value_does_not_matter():
    """Bit for bit."""
    assert_bits_do_not_depend_on_the_panel(moving_average)


@pytest.mark.parametrize("window", [5, 10, 20, 30, 60, 120, 250])
def test_simple_averages_equal_talib(window):
    """SMA of TA-Lib, nulls included."""
    assert_close(WALK[f"price_to_sma_{window}"], C / talib.SMA(C, window) - 1)


def test_exponential_averages_equal_talib_after_a_long_history():
    """The window cuts a tail below 1e-6 of the recursion's weight."""
    expected = talib.EMA(C, 5) / talib.EMA(C, 20) - 1
    assert_close(WALK["ema_gap_5_20"][LATE], expected[LATE], 1e-6)
    macd, _, histogram = talib.MACD(C, 12, 26, 9)
    assert_close(WALK["macd_pct"][LATE], (macd / C)[LATE], 1e-6)
    assert_close(WALK["macd_hist_pct"][LATE], (histogram / C)[LATE], 1e-6)


@pytest.mark.parametrize(("fast", "slow"), [(5, 20), (20, 60)])
def test_exponential_averages_equal_pandas_on_the_last_rows(fast, slow):
    """ewm(span, adjust=True) on the last 7(N+1) rows, from the first column they fill."""
    start = 7 * (slow + 1) - 1
    means = [
        [
            pd.Series(C[t + 1 - 7 * (n + 1) : t + 1]).ewm(span=n, adjust=True).mean().iloc[-1]
            for t in range(start, start + 20)
        ]
        for n in (fast, slow)
    ]
    expected = np.array(means[0]) / np.array(means[1]) - 1
    assert_close(WALK[f"ema_gap_{fast}_{slow}"][start : start + 20], expected)


@pytest.mark.parametrize(
    ("name", "function"),
    [("adx_14", talib.ADX), ("di_pos_14", talib.PLUS_DI), ("di_neg_14", talib.MINUS_DI)],
)
def test_directional_indices_equal_talib_after_a_long_history(name, function):
    """Wilder's recursion and the finite window agree within 1e-4 points."""
    assert_close(WALK[name][LATE], function(H, L, C, 14)[LATE], 1e-4)


def test_aroon_equals_talib():
    """Positions are exact from the first full window on."""
    assert_close(WALK["aroon_osc_25"][25:], talib.AROONOSC(H, L, 25)[25:])


def kama(p: np.ndarray) -> float:
    """Scalar restarted KAMA of the last of 130 prices."""
    mean = p[9]
    for u in range(10, 130):
        path = sum(abs(p[u - j] - p[u - j - 1]) for j in range(10))
        efficiency = abs(p[u] - p[u - 10]) / path if path else 0.0
        mean += (efficiency * (2 / 3 - 2 / 31) + 2 / 31) ** 2 * (p[u] - mean)
    return mean


def vidya(p: np.ndarray) -> float:
    """Scalar restarted VIDYA of the last of 134 prices."""
    mean = p[13]
    for u in range(14, 134):
        change = np.diff(p[u - 14 : u + 1])
        rises, falls = change[change > 0].sum(), -change[change < 0].sum()
        momentum = abs(rises - falls) / (rises + falls) if rises + falls else 0.0
        mean += 2 / 15 * momentum * (p[u] - mean)
    return mean


@pytest.mark.parametrize(
    ("name", "scalar", "needed"), [("kama_gap_10_2_30", kama, 130), ("vidya_gap_14", vidya, 134)]
)
def test_adaptive_averages_equal_a_scalar_loop(name, scalar, needed):
    """Restarted 120 columns back; null until every price of the window is there."""
    expected = [C[t] / scalar(C[t + 1 - needed : t + 1]) - 1 for t in range(needed - 1, 400)]
    assert_close(WALK[name][needed - 1 : 400], np.array(expected))
    assert np.isnan(WALK[name][: needed - 1]).all()


def test_a_drift_of_rounding_errors_is_no_trend():
    """After a jump the price stands still; changes within 1e-9 do not speed the averages up."""
    jump = np.concatenate([np.full(40, 90.0), np.full(100, 100.0)])
    drift = jump * (1.0 + 1e-12 * np.arange(140))
    still, drifting = of_closes(list(jump)), of_closes(list(drift))
    for name in ("kama_gap_10_2_30", "vidya_gap_14"):
        assert still[name] > 1e-4
        assert drifting[name] == pytest.approx(still[name], rel=1e-6)


def test_a_price_that_never_moved_is_its_own_average():
    """No change, no path: the efficiency and the momentum are 0, not null."""
    seen = of_closes([100.0] * 140)
    assert (seen["kama_gap_10_2_30"], seen["vidya_gap_14"]) == (0.0, 0.0)


def test_averages_of_the_carried_close_go_on_through_a_halt():
    """A halt repeats the last close; after 20 columns what divides by the price is null."""
    halted = of_closes([*[100.0] * 69, 110.0, *[np.nan] * 21], n_out=2)
    assert halted["price_to_sma_20"][0] == pytest.approx(0.0)
    assert np.isnan(halted["price_to_sma_20"][1])
    assert np.isnan(halted["macd_pct"][1])
    # the two averages of the gap exist without a price of T: 20 terms are in the window
    assert np.isfinite(halted["ema_gap_5_20"]).all()


def test_exponential_averages_need_as_many_terms_as_their_span():
    """20 prices for ema_20, 34 for the MACD signal."""
    steps = [100.0 + k for k in range(40)]
    seen = of_closes([np.nan, *steps], n_out=41)
    first = {name: int(np.argmax(np.isfinite(x))) for name, x in seen.items()}
    assert (first["ema_gap_5_20"], first["macd_pct"], first["macd_hist_pct"]) == (20, 26, 34)


def directional_moves(h: list[float], low: list[float]) -> tuple[np.ndarray, np.ndarray]:
    """DM+ and DM- of a line's bars."""
    high, bottom = np.array([h]), np.array([low])
    up = np.diff(high)
    down = -np.diff(bottom)
    plus, minus = moving_average._directional_moves(up, down, 1e-9 * high[:, 1:])
    return plus[0], minus[0]


def test_only_the_larger_directional_move_counts():
    """Inside bars and ties count for neither side; ties are within 1e-9 of the high."""
    plus, minus = directional_moves([10, 12, 11, 12, 12 + 1e-9], [8, 7, 7.5, 6, 6])
    np.testing.assert_array_equal(plus, [2, 0, 0, 0])
    np.testing.assert_array_equal(minus, [0, 0, 1.5, 0])
    plus, minus = directional_moves([10, 11], [8, 7 + 1e-9])
    assert (plus.item(), minus.item()) == (0, 0)


def test_directional_moves_span_a_halt_up_to_the_carry_limit():
    """The first bar after 20 empty columns is compared with the last one, after 21 with none."""
    walk = random_bars(1, 60, seed=8)
    for empty, terms in ((20, 14), (21, 13)):
        # 13 bars with a predecessor, a halt, and one bar more
        bars = without_trade(without_trade(walk, 0, slice(0, 25 - empty)), 0, slice(39, 39 + empty))
        last = 39 + empty
        bars = {name: x[:, : last + 1] for name, x in bars.items()}
        bars = without_trade(bars, 0, slice(0, 25))
        value = moving_average.compute(market_of(bars, 1))["di_pos_14"].item()
        assert np.isfinite(value) == (terms >= 14)


def test_adx_starts_with_the_fourteenth_column_that_has_both_indices():
    """14 terms for DI, 14 columns of DX; a column without a trade still has both."""
    walk = random_bars(1, 60, seed=9)
    adx = moving_average.compute(market_of(walk, 60))["adx_14"][0]
    # column 0 has no previous day; DI from column 14, ADX from column 27
    assert int(np.argmax(np.isfinite(adx))) == 27
    halted = without_trade(walk, 0, slice(20, 30))
    adx = moving_average.compute(market_of(halted, 60))["adx_14"][0]
    assert int(np.argmax(np.isfinite(adx))) == 27


def test_of_equal_extremes_the_most_recent_counts():
    """Prices within 1e-9 are equal, so a split's rounding moves no extreme."""
    rising_to_a_tie = [100.0, 120.0, *[110.0] * 20, 120.0 * (1 - 5e-10), 110.0, 100.0, 105.0]
    # highest: 3 columns ago, lowest: 1 column ago
    assert of_closes(rising_to_a_tie)["aroon_osc_25"] == 4 * (22 - 24)


def test_aroon_counts_columns_but_needs_thirteen_traded_days():
    """Days without a trade keep their place."""
    closes = [*[np.nan] * 13, 130.0, *[100.0] * 11, 90.0]
    assert of_closes(closes)["aroon_osc_25"] == 4 * (13 - 25)
    assert np.isnan(of_closes([*[np.nan] * 14, *closes[14:]])["aroon_osc_25"])
