"""Family candle."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.features.price import candle
from tests.features.bars import (
    assert_bits_do_not_depend_on_the_panel,
    assert_close,
    assert_declared,
    assert_no_column_is_empty,
    market_of,
    random_bars,
)


def one_bar(o: float, h: float, low: float, c: float, v: float = 100.0, va: float = 1e4):
    bars = {"o": o, "h": h, "l": low, "c": c, "v": v, "va": va}
    market = market_of({name: np.array([[value]]) for name, value in bars.items()}, n_out=1)
    return {name: x.item() for name, x in candle.compute(market).items()}


def test_the_family_returns_what_it_declares():
    """Declared names, float64, (lines, n_out)."""
    assert_declared(candle)
    assert_no_column_is_empty(candle)


def test_the_panel_around_a_value_does_not_matter():
    """Bit for bit."""
    assert_bits_do_not_depend_on_the_panel(candle)


def test_a_bar_by_hand():
    """Open 100, high 110, low 95, close 104: body 4, shadows 6 and 5, height 15."""
    assert one_bar(100.0, 110.0, 95.0, 104.0) == {
        "ret_intraday": pytest.approx(0.04),
        "kbar_len": pytest.approx(0.15),
        "kbar_body_share": pytest.approx(4 / 15),
        "kbar_upper": pytest.approx(0.06),
        "kbar_upper_share": pytest.approx(6 / 15),
        "kbar_lower": pytest.approx(0.05),
        "kbar_lower_share": pytest.approx(5 / 15),
        "kbar_shift": pytest.approx(3 / 100),
        "kbar_shift_share": pytest.approx(3 / 15),
        "high_to_close": pytest.approx(110 / 104),
        "low_to_close": pytest.approx(95 / 104),
        "vwap_to_close": pytest.approx(100 / 104),
    }


def test_a_bar_without_height_has_shares_of_zero():
    """One price all day, as at a limit: 0, not a division by zero."""
    shape = one_bar(100.0, 100.0, 100.0, 100.0)
    assert {name: shape[name] for name in shape if name.endswith("_share")} == {
        "kbar_body_share": 0.0,
        "kbar_upper_share": 0.0,
        "kbar_lower_share": 0.0,
        "kbar_shift_share": 0.0,
    }
    assert shape["kbar_len"] == 0.0


def test_no_trade_no_candle():
    """Every column is null on a day without a trade."""
    assert np.isnan(list(one_bar(*[np.nan] * 6).values())).all()


def test_body_and_shadows_fill_the_bar():
    """|body| + upper + lower = 1 in shares of the height, and the shift is the sum of the signed ones."""
    x = candle.compute(market_of(random_bars(2, 500, seed=4), n_out=500))
    parts = np.abs(x["kbar_body_share"]) + x["kbar_upper_share"] + x["kbar_lower_share"]
    assert_close(parts, np.ones_like(parts))
    # 2c - h - l = (c - l) - (h - c), and c is one end of the body
    rise = x["kbar_body_share"]
    assert_close(x["kbar_shift_share"], x["kbar_lower_share"] - x["kbar_upper_share"] + rise)
