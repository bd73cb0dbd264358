"""Family topix_index."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import talib

from pipeline.features.market_wide import topix_index
from pipeline.market.panel.benchmark_levels import INDEX_CODES, IndexCloses, Topix
from tests.features.crowd import assert_declared, assert_same, random_topix, topix_of

COLUMNS = 700
TOPIX = random_topix(COLUMNS, seed=20)
CLOSE = pd.Series(TOPIX.c)


def market_with(topix, n_out, indices=None, nikkei=None):
    n = topix.c.size
    closes = np.full((len(INDEX_CODES), n), np.nan)
    for code, series in (indices or {}).items():
        closes[INDEX_CODES.index(code)] = series
    return SimpleNamespace(
        panel=SimpleNamespace(n_out=n_out),
        topix=topix,
        indices=IndexCloses(closes),
        options=SimpleNamespace(underlying=np.full(n, np.nan) if nikkei is None else nikkei),
    )


def walk(seed):
    return random_topix(COLUMNS, seed).c


STYLES = {code: walk(seed) for seed, code in enumerate(("0070", "002A", "002D", "8100", "8200"))}
NIKKEI = walk(9)
MARKET = market_with(TOPIX, COLUMNS, STYLES, NIKKEI)
WALK = topix_index.compute(MARKET)


def of_closes(closes, n_out=1):
    return topix_index.compute(market_with(topix_of(closes), n_out))


def change(series, days):
    return pd.Series(series).pct_change(days, fill_method=None)


def test_the_family_returns_what_it_declares():
    """Declared names, float64, (n_out,); a value as soon as the look-back is there."""
    assert_declared(topix_index, WALK, (COLUMNS,))
    for feature in topix_index.FEATURES:
        first = np.flatnonzero(np.isfinite(WALK[feature.name]))[0]
        assert first <= feature.lookback, feature.name
        assert np.isfinite(WALK[feature.name][first:]).all(), feature.name


def test_against_pandas():
    """Returns, realised volatility, its z-score and the drawdown."""
    vol = np.sqrt(252) * np.log(CLOSE / CLOSE.shift()).rolling(20).std()
    year = vol.rolling(250, min_periods=125)
    expected = {
        **{f"topix_ret_{days}d": change(CLOSE, days) for days in (1, 5, 20)},
        "topix_overnight": pd.Series(TOPIX.o) / CLOSE.shift() - 1,
        "topix_intraday": CLOSE / TOPIX.o - 1,
        "topix_realized_vol_20": vol,
        "topix_vol_z_250": (vol - year.mean()) / year.std(),
        "topix_drawdown_250d": CLOSE / CLOSE.rolling(250, min_periods=125).max() - 1,
        "growth250_rel_20d": change(STYLES["0070"], 20) - change(CLOSE, 20),
        "small_minus_large_20d": change(STYLES["002D"], 20) - change(STYLES["002A"], 20),
        "value_minus_growth_20d": change(STYLES["8100"], 20) - change(STYLES["8200"], 20),
        "nt_ratio_chg_20d": change(NIKKEI / CLOSE, 20),
    }
    for name, series in expected.items():
        np.testing.assert_allclose(WALK[name], series, rtol=1e-9, atol=1e-12, err_msg=name)


def test_against_talib():
    """RSI and NATR of 14 once Wilder's seed has faded."""
    rsi = talib.RSI(TOPIX.c, 14)
    natr = talib.NATR(TOPIX.h, TOPIX.l, TOPIX.c, 14)
    np.testing.assert_allclose(WALK["topix_rsi_14"][300:], rsi[300:], atol=1e-4)
    np.testing.assert_allclose(WALK["topix_natr_14"][300:], natr[300:], atol=1e-4)


@pytest.mark.parametrize(("step", "rsi"), [(0.0, 50.0), (1.0, 100.0), (-1.0, 0.0), (1e-7, 50.0)])
def test_rsi_of_a_series_that_goes_one_way(step, rsi):
    """50 where nothing moves, by the rule of equal prices too; 100 without a loss."""
    seen = of_closes(1000.0 + step * np.arange(30))
    assert seen["topix_rsi_14"][0] == rsi


def test_the_day_of_the_system_failure_repeats_the_close():
    """Every return of a repeated close is exactly 0, the volatility counts it as such."""
    closes = TOPIX.c[:60].copy()
    closes[50] = closes[49]
    seen = of_closes(closes, n_out=10)
    assert seen["topix_ret_1d"][0] == seen["topix_overnight"][0] == seen["topix_intraday"][0] == 0
    g = np.log(closes[31:51] / closes[30:50])
    assert seen["topix_realized_vol_20"][0] == pytest.approx(np.sqrt(252) * g.std(ddof=1))


def test_at_the_high_of_the_year_the_drawdown_is_zero():
    """Exactly, and within rounding of the high as well."""
    closes = np.linspace(1000.0, 1500.0, 200)
    assert of_closes(closes)["topix_drawdown_250d"][0] == 0.0
    closes[100] = closes[-1] * (1 + 5e-10)
    assert of_closes(closes)["topix_drawdown_250d"][0] == 0.0
    assert np.isnan(of_closes(closes[:124])["topix_drawdown_250d"][0])


def test_a_missing_record_nulls_what_needs_it():
    """No TOPIX record on T, no option file on T-20."""
    c, nikkei = TOPIX.c.copy(), NIKKEI.copy()
    c[-1], nikkei[-22] = np.nan, np.nan
    topix = Topix(o=c, h=c, l=c, c=c)
    seen = topix_index.compute(market_with(topix, 2, STYLES, nikkei))
    assert np.isnan(seen["topix_ret_5d"]).tolist() == [False, True]
    assert np.isnan(seen["growth250_rel_20d"]).tolist() == [False, True]
    assert np.isnan(seen["small_minus_large_20d"]).tolist() == [False, False]
    assert np.isnan(seen["nt_ratio_chg_20d"]).tolist() == [True, True]


def test_the_columns_around_a_value_do_not_matter():
    """Bit for bit: earlier history and the number of wanted columns."""
    needed = 269 + 31

    def last(n, n_out):
        topix = Topix(**{name: getattr(TOPIX, name)[-n:] for name in "ohlc"})
        styles = {code: series[-n:] for code, series in STYLES.items()}
        return topix_index.compute(market_with(topix, n_out, styles, NIKKEI[-n:]))

    expected = last(needed, 30)
    assert_same(last(needed + 17, 30), expected)
    assert_same({name: x[-30:] for name, x in last(600, 101).items()}, expected)
