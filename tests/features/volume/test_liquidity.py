"""Family liquidity."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import talib

from pipeline.features.engine.column_spec import FloatArray
from pipeline.features.volume import liquidity
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
from tests.features.surroundings import SHARES, in_surroundings, surrounded_market

COLUMNS = 300


def of(bars: Bars, n_out: int = 1) -> dict[str, FloatArray]:
    """Features of the last columns of the first line."""
    return {name: x[0] for name, x in liquidity.compute(surrounded_market(bars, n_out)).items()}


def of_closes(closes: list[float], n_out: int = 1) -> dict[str, FloatArray]:
    """Features of the last columns of a line that only closes."""
    return of(bars_from_closes(closes), n_out)


BARS = random_bars(1, COLUMNS, seed=41)
O, H, L, C, V, VA = (pd.Series(BARS[name][0]) for name in ("o", "h", "l", "c", "v", "va"))
R, G = C.pct_change(), np.log(C / C.shift())
WALK = of(BARS, COLUMNS)

GAPS = random_bars(1, COLUMNS, seed=42, no_trade=0.3)
SPARSE = of(GAPS, COLUMNS)


def test_the_family_returns_what_it_declares():
    """Declared names, float64, (lines, n_out); a value as soon as the look-back is there."""
    assert_declared(in_surroundings(liquidity))
    for feature in liquidity.FEATURES:
        seen = of(random_bars(1, feature.lookback + 1, seed=43))
        assert np.isfinite(seen[feature.name]).all(), feature.name


def test_the_panel_around_a_value_does_not_matter():
    """Bit for bit."""
    assert_bits_do_not_depend_on_the_panel(in_surroundings(liquidity))


@pytest.mark.parametrize("bars", [BARS, GAPS], ids=["daily", "sparse"])
def test_turnover_equals_pandas(bars):
    """A listed day without a trade counts as zero yen."""
    tv = pd.Series(bars["va"][0]).fillna(0.0)
    expected = {
        "log_value": np.log1p(tv),
        "adv60_log": np.log1p(tv.rolling(60, min_periods=20).mean()),
        "value_ratio_1_20": tv / tv.shift(1).rolling(20, min_periods=10).mean(),
        "value_ratio_5_60": tv.rolling(5).mean() / tv.rolling(60).mean() - 1,
        "no_trade_share_60": pd.Series(np.isnan(bars["c"][0]) * 1.0)
        .rolling(60, min_periods=20)
        .mean(),
    }
    seen = of(bars, COLUMNS)
    for name, series in expected.items():
        assert_close(seen[name], series.to_numpy())


def test_measures_of_cost_equal_pandas():
    """One-liners of the check column, nulls included."""
    illiquidity = (R.abs() / VA).rolling(20, min_periods=10).mean()
    impact = np.sign(R) * np.sqrt(VA / 1e6)
    expected = {
        "mktcap_turnover_20d": VA.rolling(20).mean() / (C * SHARES),
        "amihud_20_log": np.log(1e9 * illiquidity),
        "roll_spread_60": 2 * np.sqrt((-G.rolling(59).cov(G.shift())).clip(lower=0)),
        "zero_ret_share_60": (R.where(R.isna(), R == 0) * 1.0).rolling(60, min_periods=30).mean(),
    }
    for name, series in expected.items():
        assert_close(WALK[name], series.to_numpy())
    for t in (30, 59, 60, 250):
        days = slice(max(1, t - 59), t + 1)
        slope = np.linalg.lstsq(impact.to_numpy()[days, None], R.to_numpy()[days], rcond=None)
        assert WALK["kyle_lambda_60"][t] == pytest.approx(1e4 * slope[0][0], abs=1e-9)
    assert np.isnan(WALK["kyle_lambda_60"][:30]).all()


def test_volume_flows_equal_talib_and_pandas():
    """The on-balance volume itself depends on where it starts, its difference does not."""
    obv = pd.Series(talib.OBV(C.to_numpy(), V.to_numpy()))
    clv = (2 * C - H - L) / (H - L)
    volume = V.rolling(20).sum()
    expected = {
        "obv_ratio_20": obv.diff(20) / volume,
        "price_to_vwap_20": C / (VA.rolling(20).sum() / volume) - 1,
    }
    for name, series in expected.items():
        assert_close(WALK[name][20:], series.to_numpy()[20:])
    cmf = (clv * V).rolling(20, min_periods=10).sum() / V.rolling(20, min_periods=10).sum()
    assert_close(WALK["cmf_20"], cmf.to_numpy())


def corwin_schultz(day: FloatArray, before: FloatArray) -> float:
    """Spread of two days given as high, low, close; the paper's spreadsheet, term by term."""
    (high, low, _), (high_before, low_before, close) = day, before
    if low > close:
        high, low = high - (low - close), close
    elif high < close:
        high, low = close, low + (close - high)
    beta = np.log(high / low) ** 2 + np.log(high_before / low_before) ** 2
    gamma = np.log(max(high, high_before) / min(low, low_before)) ** 2
    q = 3 - 2 * np.sqrt(2)
    alpha = (np.sqrt(2 * beta) - np.sqrt(beta)) / q - np.sqrt(gamma / q)
    return max(0.0, 2 * (np.exp(alpha) - 1) / (1 + np.exp(alpha)))


def test_the_high_low_spread_equals_its_formula_on_traded_days():
    """The day before is the last one traded; ten pairs are enough."""
    bars = np.array([GAPS[name][0] for name in "hlc"])
    traded = np.flatnonzero(~np.isnan(bars[2]))
    spread = np.full(COLUMNS, np.nan)
    for before, day in zip(traded[:-1], traded[1:], strict=True):
        spread[day] = corwin_schultz(bars[:, day], bars[:, before])
    expected = pd.Series(spread).rolling(20, min_periods=10).mean()
    assert_close(SPARSE["corwin_schultz_20"], expected.to_numpy())
    assert (expected > 0).any()


def test_an_overnight_jump_is_no_spread():
    """Ranges that do not touch are moved to the last close."""
    day = {"o": 150.0, "h": 152.0, "l": 149.0, "c": 151.0, "v": 1.0, "va": 150.0}
    bars = {name: np.full((1, 20), x) for name, x in day.items()}
    for name in "ohlc":
        bars[name][0, :10] -= 50.0
    jump = corwin_schultz(np.array([152.0, 149.0, 151.0]), np.array([102.0, 99.0, 101.0]))
    steady = corwin_schultz(np.array([152.0, 149.0, 151.0]), np.array([152.0, 149.0, 151.0]))
    early = corwin_schultz(np.array([102.0, 99.0, 101.0]), np.array([102.0, 99.0, 101.0]))
    expected = (9 * early + jump + 9 * steady) / 19
    assert of(bars)["corwin_schultz_20"] == pytest.approx(expected)


def test_a_previous_day_counts_while_its_close_is_carried():
    """The pair across a halt of 20 columns is one of the ten, across 21 it is none."""
    walk = random_bars(1, 60, seed=44)
    for halt in (20, 21):
        bars = without_trade(walk, 0, slice(20, 20 + halt))
        seen = of({name: x[:, : 20 + halt + 10] for name, x in bars.items()})
        assert np.isnan(seen["corwin_schultz_20"]) == (halt == 21)
        assert np.isnan(seen["amihud_20_log"]) == (halt == 21)


def test_traded_days_with_a_return_are_averaged():
    """The return of a trade after a pause is the whole move, over the turnover of its day."""
    closes = [100.0, np.nan, 110.0, *[110.0] * 9]
    seen = of_closes(closes)["amihud_20_log"]
    assert seen == pytest.approx(np.log(1e9 * (0.1 / 11_000) / 10))
    assert np.isnan(of_closes([100.0] * 20)["amihud_20_log"])
    assert np.isnan(of_closes([100.0] * 60)["kyle_lambda_60"])


def test_still_prices_by_hand():
    """A day without a trade is a day without a move; 30 returns are needed."""
    closes = [100.0, 101.0, np.nan, 101.0, *[100.0, 101.0] * 13, 100.0]
    seen = of_closes(closes, n_out=2)
    assert np.isnan(seen["zero_ret_share_60"][0])
    assert seen["zero_ret_share_60"][1] == pytest.approx(2 / 30)
    assert seen["no_trade_share_60"][1] == pytest.approx(1 / 31)


def test_a_price_that_never_moves_costs_nothing():
    """Zero spreads, all returns zero, volume that goes nowhere."""
    seen = of_closes([0.1] * 100)
    zero = {"roll_spread_60", "corwin_schultz_20", "obv_ratio_20", "cmf_20", "no_trade_share_60"}
    assert all(seen[name] == 0.0 for name in zero)
    assert seen["zero_ret_share_60"] == 1.0
    assert seen["price_to_vwap_20"] == pytest.approx(0.0, abs=1e-12)


def test_nothing_traded_for_a_long_time():
    """Turnover is zero as long as the code is listed; ratios to it are null."""
    seen = of_closes([100.0, *[np.nan] * 80])
    assert [seen["log_value"], seen["adv60_log"], seen["no_trade_share_60"]] == [0.0, 0.0, 1.0]
    rest = set(seen) - {"log_value", "adv60_log", "no_trade_share_60"}
    assert all(np.isnan(seen[name]) for name in rest)


def test_flows_need_twenty_listed_columns_and_ten_traded_days():
    """The first day of a listing has volume and no return: it weighs in the total alone."""
    rising = [100.0 * 1.01**k for k in range(20)]
    seen = of_closes(rising)
    assert seen["obv_ratio_20"] == pytest.approx(0.95)
    assert seen["price_to_vwap_20"] == pytest.approx(rising[-1] / np.mean(rising) - 1)
    short = of_closes(rising[1:])
    assert np.isnan(short["obv_ratio_20"])
    assert np.isnan(short["price_to_vwap_20"])
    for traded in (10, 9):
        sparse = of_closes([*[np.nan] * (20 - traded), *rising[:traded]])
        for name in ("obv_ratio_20", "price_to_vwap_20", "cmf_20"):
            assert np.isfinite(sparse[name]) == (traded == 10), name


def test_columns_without_a_listing_have_no_turnover():
    """Null, not zero; means skip them."""
    market = surrounded_market(bars_from_closes([100.0] * 40), 2)
    market.panel.listed[0, [5, 30, 39]] = False
    seen = {name: x[0].tolist() for name, x in liquidity.compute(market).items()}
    assert seen["value_ratio_1_20"] == pytest.approx([1.0, np.nan], nan_ok=True)
    assert seen["log_value"] == pytest.approx([np.log(10_001.0), np.nan], nan_ok=True)
    assert np.isnan(seen["mktcap_turnover_20d"]).all()


def test_market_values_are_those_of_the_code():
    """Lines look their code up; the panel may be a block of lines."""
    market = market_of(random_bars(2, 40, seed=45), 3)
    market.panel.line_code[:] = [3, 1]
    mktcap = np.arange(1.0, 6.0)[:, None] * np.ones((5, 40))
    block = SimpleNamespace(panel=market.panel, mktcap=mktcap)
    seen = liquidity.compute(block)["mktcap_turnover_20d"][:, -1]
    expected = [x[-20:].mean() / value for x, value in zip(market.panel.va, (4, 2), strict=True)]
    assert seen == pytest.approx(expected)
