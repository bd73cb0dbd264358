"""Liquidity against numpy, pandas, TA-Lib and hand work."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import talib

from tests.reference.brute import base_value
from tests.reference.liquidity import spread_of_two_days
from tests.reference.synthetic import (
    CODE,
    COLUMNS,
    LAST,
    flat_bars,
    market_of,
    random_bars,
    without_trades,
)

BARS = random_bars(1)
MARKET = market_of(BARS)
H, L, C, V, VA = (BARS[f] for f in ("H", "L", "C", "Vo", "Va"))
R = C.pct_change()
G = C.map(math.log).diff()
IMPACT = np.sign(R) * np.sqrt(VA / 1e6)
CLV = (2 * C - H - L) / (H - L)

REFERENCES = {
    "log_value": np.log1p(VA.iloc[-1]),
    "adv60_log": np.log1p(VA.rolling(60).mean().iloc[-1]),
    "value_ratio_1_20": VA.iloc[-1] / VA.shift(1).rolling(20).mean().iloc[-1],
    "value_ratio_5_60": (VA.rolling(5).mean() / VA.rolling(60).mean() - 1).iloc[-1],
    "amihud_20_log": np.log(1e9 * (R.abs() / VA).rolling(20).mean().iloc[-1]),
    "kyle_lambda_60": 1e4
    * np.linalg.lstsq(IMPACT.to_numpy()[-60:, None], R.to_numpy()[-60:], rcond=None)[0][0],
    "roll_spread_60": 2 * np.sqrt(max(0.0, -G.iloc[-59:].cov(G.shift(1).iloc[-59:]))),
    "zero_ret_share_60": 0.0,
    "no_trade_share_60": 0.0,
    "obv_ratio_20": (talib.OBV(C.to_numpy(), V.to_numpy())[[-21, -1]] @ [-1, 1])
    / V.iloc[-20:].sum(),
    "cmf_20": ((CLV * V).rolling(20).sum() / V.rolling(20).sum()).iloc[-1],
    "price_to_vwap_20": (C * V.rolling(20).sum() / VA.rolling(20).sum() - 1).iloc[-1],
}


@pytest.mark.parametrize("name", REFERENCES)
def test_gap_free_bars(name: str) -> None:
    """A value equals the one-liner of numpy, pandas or TA-Lib."""
    found = base_value(MARKET, name, LAST, CODE)
    assert found == pytest.approx(REFERENCES[name], rel=1e-9, abs=1e-12)


def last(bars: pd.DataFrame, name: str) -> float | None:
    """A value on the last column."""
    return base_value(market_of(bars), name, LAST, CODE)


def test_corwin_schultz_on_constant_ranges() -> None:
    """Two equal ranges of log width x give alpha = x, so the spread is 2 tanh(x/2)."""
    bars = flat_bars().assign(H=101.0, L=99.0)
    expected = 2 * math.tanh(math.log(101 / 99) / 2)
    assert last(bars, "corwin_schultz_20") == pytest.approx(expected)


def test_corwin_schultz_takes_out_the_overnight_move() -> None:
    """A day that opens and stays above the close before counts as if moved down onto it."""
    before = (101.0, 99.0, 100.0)
    down_to_close = spread_of_two_days(102.0, 100.0, before)
    up_to_close = spread_of_two_days(100.0, 98.0, before)
    assert spread_of_two_days(112.0, 110.0, before) == pytest.approx(down_to_close)
    assert spread_of_two_days(92.0, 90.0, before) == pytest.approx(up_to_close)


def test_days_without_a_trade() -> None:
    """Turnover is 0, the return is 0, and the shares count them."""
    bars = without_trades(BARS, range(15))
    assert last(bars, "log_value") == 0.0
    assert last(bars, "no_trade_share_60") == pytest.approx(0.25)
    assert last(bars, "zero_ret_share_60") == pytest.approx(0.25)
    assert last(bars, "value_ratio_1_20") == 0.0
    assert last(bars, "adv60_log") == pytest.approx(math.log1p(VA.iloc[-60:-15].sum() / 60))


@pytest.mark.parametrize("name", ["amihud_20_log", "corwin_schultz_20", "obv_ratio_20", "cmf_20"])
def test_ten_traded_days_of_twenty(name: str) -> None:
    """Ten are enough, nine are not."""
    assert last(without_trades(BARS, range(10)), name) is not None
    assert last(without_trades(BARS, range(11)), name) is None


def test_a_young_listing() -> None:
    """Minimum numbers of listed columns."""
    minimum = {
        "log_value": 1,
        "adv60_log": 20,
        "value_ratio_1_20": 11,
        "value_ratio_5_60": 60,
        "amihud_20_log": 11,
        "kyle_lambda_60": 31,
        "roll_spread_60": 61,
        "corwin_schultz_20": 11,
        "zero_ret_share_60": 31,
        "no_trade_share_60": 20,
        "obv_ratio_20": 20,
        "cmf_20": 10,
        "price_to_vwap_20": 20,
    }
    for name, count in minimum.items():
        assert last(BARS.iloc[COLUMNS - count :], name) is not None, name
        assert count == 1 or last(BARS.iloc[COLUMNS - count + 1 :], name) is None, name


def test_a_price_that_never_moves() -> None:
    """No impact can be estimated; every return is zero."""
    expected = {
        "amihud_20_log": None,
        "kyle_lambda_60": None,
        "roll_spread_60": 0.0,
        "zero_ret_share_60": 1.0,
        "obv_ratio_20": 0.0,
        "cmf_20": 0.0,
        "price_to_vwap_20": pytest.approx(0.0),
    }
    assert {name: last(flat_bars(), name) for name in expected} == expected
