"""Oscillators against TA-Lib, pandas and hand work."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import talib

from tests.reference.brute import base_value
from tests.reference.oscillator import runs
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
H, L, C, V = (BARS[f].to_numpy() for f in ("H", "L", "C", "Vo"))
P = pd.Series(C)
R = P.pct_change()


def last(bars: pd.DataFrame, name: str) -> float | None:
    """A value on the last column."""
    return base_value(market_of(bars), name, LAST, CODE)


EMA = P.iloc[-147:].ewm(span=20).mean().iloc[-1]
TRUE_RANGE = pd.Series(talib.TRANGE(H, L, C)).iloc[-147:].ewm(span=20).mean().iloc[-1]
WINDOW_REFERENCES = {
    "cci_20": talib.CCI(H, L, C, 20)[-1],
    "mfi_14": talib.MFI(H, L, C, V, 14)[-1],
    "bb_zscore_20": ((P - P.rolling(20).mean()) / P.rolling(20).std()).iloc[-1],
    "bb_bandwidth_20": (4 * P.rolling(20).std() / P.rolling(20).mean()).iloc[-1],
    "keltner_pos_20": (C[-1] - EMA) / TRUE_RANGE,
}


@pytest.mark.parametrize("name", WINDOW_REFERENCES)
def test_window_definitions_agree_with_other_code(name: str) -> None:
    """On gap-free bars a window definition equals the published function to nine digits."""
    found = base_value(MARKET, name, LAST, CODE)
    assert found == pytest.approx(WINDOW_REFERENCES[name], rel=1e-9)


@pytest.mark.parametrize("n", [2, 14])
def test_rsi_agrees_with_ta_lib(n: int) -> None:
    """The finite window is within 1e-4 points of the recursive form."""
    found = base_value(MARKET, f"rsi_{n}", LAST, CODE)
    assert found == pytest.approx(talib.RSI(C, n)[-1], abs=1e-4)


def test_crsi_agrees_with_ta_lib_on_its_parts() -> None:
    """The mean of RSI(3) of prices, RSI(2) of run lengths and the percent rank of the return."""
    streak = np.array([float(x or 0.0) for x in runs(R.tolist()[1:])])
    rank = (R.iloc[-101:-1] < R.iloc[-1]).sum()
    expected = (talib.RSI(C, 3)[-1] + talib.RSI(streak, 2)[-1] + rank) / 3
    assert base_value(MARKET, "crsi_3_2_100", LAST, CODE) == pytest.approx(expected, abs=1e-4)


def test_run_lengths() -> None:
    """Runs restart with the sign; 0 stays 0, and null is null and ends a run."""
    returns = [0.1, 0.2, -0.1, -0.1, -0.3, 0.0, -0.1, None, -0.1]
    assert runs(returns) == [1, 2, -1, -2, -3, 0, -1, None, -1]


def test_a_price_that_never_moves() -> None:
    """50 where nothing rose or fell, 0 for CCI, null where a deviation is divided by."""
    expected = {
        "rsi_2": 50.0,
        "rsi_14": 50.0,
        "crsi_3_2_100": 100 / 3,
        "cci_20": 0.0,
        "mfi_14": 50.0,
        "bb_zscore_20": None,
        "bb_bandwidth_20": 0.0,
        "keltner_pos_20": None,
        "ttm_squeeze_on": 0,
        "ttm_squeeze_fire": 0,
        "donchian_break_20": 0,
    }
    assert {name: last(flat_bars(), name) for name in expected} == pytest.approx(expected)


def test_squeeze_and_its_end() -> None:
    """Equal closes inside wide ranges are a squeeze; a jump of the close of T ends it upwards."""
    quiet = flat_bars().assign(H=105.0, L=95.0)
    assert last(quiet, "ttm_squeeze_on") == 1
    assert last(quiet, "ttm_squeeze_fire") == 0
    for close, expected in ((400.0, 1), (10.0, -1)):
        broken = quiet.copy()
        broken.loc[COLUMNS - 1, ["O", "H", "L", "C"]] = 100.0, max(100.0, close), 10.0, close
        assert last(broken, "ttm_squeeze_on") == 0
        assert last(broken, "ttm_squeeze_fire") == expected


@pytest.mark.parametrize(
    ("close", "expected"), [(110.0, 0), (110.01, 1), (90.0, 0), (89.99, -1), (None, None)]
)
def test_donchian_channel(close: float | None, expected: int | None) -> None:
    """The channel is 90 to 110 and does not contain T; its edge is no break."""
    bars = flat_bars().assign(H=110.0, L=90.0)
    bars.loc[COLUMNS - 1, ["O", "H", "L", "C", "Vo"]] = [close] * 4 + [close and 1000.0]
    assert last(bars, "donchian_break_20") == expected


def test_minimum_counts() -> None:
    """CCI needs ten traded days and a trade on T, MFI seven flows."""
    assert last(without_trades(BARS, range(1, 11)), "cci_20") is not None
    assert last(without_trades(BARS, range(1, 12)), "cci_20") is None
    assert last(without_trades(BARS, range(1)), "cci_20") is None
    assert last(without_trades(BARS, range(7)), "mfi_14") is not None
    assert last(without_trades(BARS, range(8)), "mfi_14") is None
    assert last(without_trades(BARS, range(1, 11)), "donchian_break_20") is not None
    assert last(without_trades(BARS, range(1, 12)), "donchian_break_20") is None


def test_flows_after_a_long_halt_have_no_previous_day() -> None:
    """After 21 columns without a trade the first flow is null, so that seven days give six."""
    assert last(without_trades(BARS, range(7, 27)), "mfi_14") is not None
    assert last(without_trades(BARS, range(7, 28)), "mfi_14") is None
