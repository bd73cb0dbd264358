"""Family oscillator."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import talib

from pipeline.features.engine.column_spec import FloatArray
from pipeline.features.price import oscillator
from tests.features.bars import (
    Bars,
    assert_bits_do_not_depend_on_the_panel,
    assert_close,
    assert_declared,
    assert_no_column_is_empty,
    bars_from_closes,
    market_of,
    random_bars,
    without_trade,
)

COLUMNS = 600
BARS = random_bars(1, COLUMNS, seed=21)
H, L, C, V = (BARS[name][0] for name in "hlcv")
WALK = {name: x[0] for name, x in oscillator.compute(market_of(BARS, COLUMNS)).items()}
LATE = slice(300, None)  # where recursions have forgotten how they began


def of(bars: Bars, n_out: int = 1) -> dict[str, FloatArray]:
    """Features of the last columns of the first line."""
    return {name: x[0] for name, x in oscillator.compute(market_of(bars, n_out)).items()}


def of_closes(closes: list[float], n_out: int = 1) -> dict[str, FloatArray]:
    """Features of the last columns of a line that only closes."""
    return of(bars_from_closes(closes), n_out)


def rsi_of(changes: list[float], n: int) -> float:
    """Strength index of changes, the newest last, weighted as the finite window weighs them."""
    weights = (1 - 1 / n) ** np.arange(len(changes))[::-1]
    gain = (weights * np.maximum(changes, 0)).sum()
    loss = (weights * np.maximum(np.negative(changes), 0)).sum()
    return 100 * gain / (gain + loss)


def test_the_family_returns_what_it_declares():
    """Declared names, float64, (lines, n_out); a value as soon as the look-back is there."""
    assert_declared(oscillator)
    assert_no_column_is_empty(oscillator)


def test_the_panel_around_a_value_does_not_matter():
    """Bit for bit."""
    assert_bits_do_not_depend_on_the_panel(oscillator)


@pytest.mark.parametrize("n", [2, 14])
def test_strength_indices_equal_talib_after_a_long_history(n):
    """Wilder's recursion and the finite window agree within 1e-4 points."""
    assert_close(WALK[f"rsi_{n}"][LATE], talib.RSI(C, n)[LATE], 1e-4)
    assert np.isnan(WALK[f"rsi_{n}"][:n]).all()
    assert np.isfinite(WALK[f"rsi_{n}"][n:]).all()


def test_channel_and_money_flow_equal_talib_without_gaps():
    """Window definitions agree from the first full window on."""
    assert_close(WALK["cci_20"][19:], talib.CCI(H, L, C, 20)[19:])
    assert_close(WALK["mfi_14"][14:], talib.MFI(H, L, C, V, 14)[14:])


def test_bollinger_bands_equal_pandas_and_talib():
    """TA-Lib divides by n, the catalogue by n - 1."""
    window = pd.Series(C).rolling(20)
    assert_close(WALK["bb_zscore_20"], ((C - window.mean()) / window.std()).to_numpy())
    assert_close(WALK["bb_bandwidth_20"], (4 * window.std() / window.mean()).to_numpy())
    upper, middle, _ = talib.BBANDS(C, 20, 1.0, 1.0)
    scaled = (C - middle) / (upper - middle) * np.sqrt(19 / 20)
    assert_close(WALK["bb_zscore_20"][19:], scaled[19:], 1e-6)


def squeeze_parts() -> tuple[FloatArray, ...]:
    """mean, std, ema of the close and of the true range, by pandas on the last 147 rows."""
    close, before = pd.Series(C), pd.Series(C).shift()
    true_range = np.maximum(H, before) - np.minimum(L, before)

    def ema(x: pd.Series, t: int) -> float:
        return x.iloc[max(0, t - 146) : t + 1].ewm(span=20, adjust=True).mean().iloc[-1]

    days = range(160, 320)
    window = close.rolling(20)
    return (
        window.mean().to_numpy()[days],
        window.std().to_numpy()[days],
        np.array([ema(close, t) for t in days]),
        np.array([ema(true_range, t) for t in days]),
    )


def test_keltner_bands_and_the_squeeze_equal_pandas():
    """On, where Bollinger's bands lie inside Keltner's; fired, on the day it ends."""
    mean, std, middle, height = squeeze_parts()
    days = slice(160, 320)
    assert_close(WALK["keltner_pos_20"][days], (C[days] - middle) / height)
    on = (mean + 2 * std < middle + 1.5 * height) & (mean - 2 * std > middle - 1.5 * height)
    np.testing.assert_array_equal(WALK["ttm_squeeze_on"][days], on)
    fired = np.where(on[:-1] & ~on[1:], np.sign(C[days] - mean)[1:], 0.0)
    np.testing.assert_array_equal(WALK["ttm_squeeze_fire"][days][1:], fired)
    assert 0 < on.sum() < on.size
    assert {-1.0, 0.0, 1.0} == set(fired)


def test_the_composite_index_is_the_mean_of_three():
    """Strength of the price, strength of its runs, rank of its return."""
    r = C[1:] / C[:-1] - 1
    for t in (101, 250, COLUMNS - 1):
        run = [0.0]
        for sign in np.sign(r[:t]):
            run.append(sign if sign * run[-1] <= 0 else run[-1] + sign)
        of_price = rsi_of(list(np.diff(C[max(0, t - 42) : t + 1])), 3)
        of_runs = rsi_of(list(np.diff(run[-29:])), 2)
        rank = (r[t - 101 : t - 1] < r[t - 1]).sum()
        expected = (of_price + of_runs + rank) / 3
        assert WALK["crsi_3_2_100"][t] == pytest.approx(expected, abs=1e-9)
    assert np.isnan(WALK["crsi_3_2_100"][:101]).all()


def test_a_run_is_counted_inside_130_columns():
    """After 129 rises s is u - T + 130 on every column of the window: each change of s is 1."""
    rising = list(100.0 * 1.01 ** np.arange(300))
    closes = [*rising, rising[-1] * 0.99, rising[-1]]
    # the run of 299 is cut at T-129, where 129 or 128 of its columns are left
    for stop, last_changes in ((301, [-130.0]), (302, [-129.0, 2.0])):
        history = [1.0] * (28 - len(last_changes)) + last_changes
        returns = np.diff(closes[:stop]) / closes[: stop - 1]
        ranks = (returns[-101:-1] < returns[-1] - 1e-9).sum()
        of_price = rsi_of(list(np.diff(closes[stop - 43 : stop])), 3)
        expected = (of_price + rsi_of(history, 2) + ranks) / 3
        seen = of_closes(closes[:stop])["crsi_3_2_100"]
        assert seen == pytest.approx(expected, abs=1e-9)


def test_equal_returns_do_not_rank_below_each_other():
    """Returns within 1e-9 of that of T are not lower, as the rounding of prices would have it."""
    steady = 100.0 * 1.01 ** np.arange(140)
    steady[::2] *= 1 + 1e-11
    # all changes are gains, each run is one longer than the last: 100 + 100 + no lower return
    assert of_closes(list(steady))["crsi_3_2_100"] == pytest.approx(200 / 3)


def test_the_composite_index_needs_every_return_of_its_rank():
    """Null while one of the 101 returns is, as after a halt too long to carry the close."""
    halted = without_trade(random_bars(1, 300, seed=22), 0, slice(150, 171))
    known = np.isfinite(of(halted, 300)["crsi_3_2_100"])
    # no price on column 170: no return there and on the next one
    assert np.flatnonzero(~known).tolist() == [*range(101), *range(170, 272)]


def test_a_price_that_never_moves_is_in_the_middle():
    """50 without gains and losses, 0 without deviation, null where it would divide by 0."""
    seen = of_closes([0.1] * 300)
    middle = {"rsi_2", "rsi_14", "mfi_14"}
    null = {"bb_zscore_20", "keltner_pos_20"}
    assert {name for name, x in seen.items() if x == 50.0} == middle
    assert {name for name, x in seen.items() if np.isnan(x)} == null
    assert seen["crsi_3_2_100"] == pytest.approx(100 / 3)
    assert all(seen[name] == 0.0 for name in set(seen) - middle - null - {"crsi_3_2_100"})


def test_rounding_errors_of_a_split_move_nothing():
    """Equal prices of different columns differ in the last bits; no index may see that."""
    wobble = np.where(np.arange(300) % 3 == 0, 700.7, 700.7 * (1 + 2e-16))
    seen = of_closes(list(wobble))
    assert wobble[0] != wobble[1]
    assert [seen[name] for name in ("rsi_2", "rsi_14", "mfi_14")] == [50.0] * 3
    assert seen["cci_20"] == 0.0
    assert np.isnan(seen["bb_zscore_20"])
    assert [seen["ttm_squeeze_on"], seen["donchian_break_20"]] == [0.0, 0.0]


def test_money_flows_of_equal_typical_prices_count_but_flow_nowhere():
    """Seven flows are needed; equal ones are among them."""
    closes = [100.0, *[100.0] * 5, 101.0, 100.0]
    assert of_closes(closes)["mfi_14"] == pytest.approx(100 * 101 / 201)
    assert np.isnan(of_closes(closes[:-1])["mfi_14"])


def test_a_flow_compares_with_the_last_traded_day():
    """Through a halt of 20 columns; after 21 the close is no longer carried and the flow null."""
    steps = [100.0 + k for k in range(8)]
    for halt, flows in ((6, 7), (7, 6)):
        closes = [100.0, *[np.nan] * halt, *steps[1:8]]
        seen = of_closes(closes)["mfi_14"]
        assert seen == pytest.approx(100.0), flows
    for halt in (20, 21):
        closes = [100.0, *[np.nan] * halt, *steps[1:8]]
        assert np.isnan(of_closes(closes)["mfi_14"]) == (halt == 21)


def test_the_channel_of_a_day_is_the_one_before_it():
    """A close above the highest high breaks out; one at it does not; nor one within rounding."""
    bars = {name: np.tile(x, (4, 1)) for name, x in bars_from_closes([100.0] * 21).items()}
    bars["c"][:, -1] = bars["h"][:, -1] = [110.0, 90.0, 100.0, 100.0 * (1 + 1e-10)]
    seen = oscillator.compute(market_of(bars, 1))["donchian_break_20"][:, 0]
    assert seen.tolist() == [1.0, -1.0, 0.0, 0.0]


def test_ten_traded_days_make_a_channel():
    """Nine do not; a day without a trade breaks nothing."""
    for quiet, known in ((10, True), (11, False)):
        closes = [*[np.nan] * quiet, *[100.0] * (20 - quiet), 120.0]
        assert np.isfinite(of_closes(closes)["donchian_break_20"]) == known
    assert np.isnan(of_closes([*[100.0] * 20, np.nan])["donchian_break_20"])
    assert np.isnan(of_closes([*[100.0] * 20, np.nan])["cci_20"])


def test_bar_indices_skip_days_without_a_trade():
    """The commodity channel of what is left, from ten days on."""
    bars = without_trade(random_bars(1, 20, seed=23), 0, slice(3, 12))
    typical = ((bars["h"] + bars["l"] + bars["c"]) / 3)[0]
    left = typical[~np.isnan(typical)]
    deviation = np.abs(left - left.mean()).mean()
    expected = (left[-1] - left.mean()) / (0.015 * deviation)
    assert of(bars)["cci_20"] == pytest.approx(expected)
    assert np.isnan(of(without_trade(bars, 0, slice(0, 2)))["cci_20"])
