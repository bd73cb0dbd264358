"""Family market_breadth."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pipeline.features.market_wide import market_breadth
from tests.features.bars import bars_from_closes, market_of
from tests.features.crowd import (
    assert_bits_do_not_depend_on_the_arrays,
    assert_declared,
    crowd,
    known_of,
)

N_OUT = 30
MARKET = crowd(50, 330, N_OUT, seed=50, no_trade=0.05)
KNOWN = known_of(MARKET)
SEEN = market_breadth.compute(MARKET, KNOWN)
UNIVERSE = MARKET.master.universe
R = MARKET.returns


def test_the_family_returns_what_it_declares():
    """Declared names, float64, (n_out,), everywhere a value."""
    assert_declared(market_breadth, SEEN, (N_OUT,))
    assert all(np.isfinite(values).all() for values in SEEN.values())


def test_shares_and_deviation_of_the_day():
    """pandas over the universe of T."""
    members = pd.DataFrame(np.where(UNIVERSE[:, -N_OUT:], R[:, -N_OUT:], np.nan))
    gap = pd.DataFrame(KNOWN["price_to_sma_20"])
    near = pd.DataFrame(MARKET.schedule.days_to_next <= 5).where(UNIVERSE[:, -N_OUT:])
    expected = {
        "mkt_up_share_1d": (members > 0).sum() / members.count(),
        "mkt_above_sma20_share": (gap > 0).sum() / gap.count(),
        "mkt_dispersion_1d": members.std(),
        "mkt_earn_density_5d": near.sum() / UNIVERSE[:, -N_OUT:].sum(axis=0),
        "short_ratio_market": pd.Series(MARKET.short_ratio.market_share[-N_OUT:]),
    }
    for name, values in expected.items():
        np.testing.assert_allclose(SEEN[name], values.astype(float), rtol=1e-9, err_msg=name)


def test_returns_are_clipped_in_the_dispersion():
    """A fall by 90 % and a rise by 300 % count as 50 % each."""
    r = KNOWN["ret_prev_1d"].copy()
    first, second = np.flatnonzero(UNIVERSE[:, -N_OUT:].all(axis=1))[:2]
    r[first], r[second] = -0.9, 3.0
    seen = market_breadth.compute(MARKET, {**KNOWN, "ret_prev_1d": r})["mkt_dispersion_1d"]
    expected = pd.DataFrame(np.clip(r, -0.5, 0.5)).std()
    np.testing.assert_allclose(seen, expected, rtol=1e-9)


def test_toraku_counts_in_the_universe_of_each_day():
    """Sums of 25 days; who left the universe before T counts on the days it was in."""
    rises = pd.Series((UNIVERSE & (R > 0)).sum(axis=0))
    falls = pd.Series((UNIVERSE & (R < 0)).sum(axis=0))
    expected = 100 * rises.rolling(25).sum() / falls.rolling(25).sum()
    np.testing.assert_allclose(SEEN["toraku_ratio_25d"], expected[-N_OUT:], rtol=1e-12)


def test_toraku_of_a_month_without_a_fall_is_null():
    """So is that of fewer than 25 columns with a return, of which the first has none."""
    market = crowd(20, 60, 2, seed=51)
    market.returns = np.abs(market.returns)
    known = known_of(market)
    assert np.isnan(market_breadth.compute(market, known)["toraku_ratio_25d"]).all()
    market = crowd(20, 26, 2, seed=51)
    known = dict.fromkeys(known, np.zeros((20, 2)))
    seen = market_breadth.compute(market, known)["toraku_ratio_25d"]
    assert np.isfinite(seen).tolist() == [False, True]


def test_average_correlation_by_hand():
    """Variance of the basket of those with 60 returns over their mean variance."""
    for t in range(N_OUT):
        window = R[:, R.shape[1] - N_OUT + t - 59 : R.shape[1] - N_OUT + t + 1]
        members = UNIVERSE[:, t - N_OUT] & ~np.isnan(window).any(axis=1)
        stocks = window[members]
        expected = stocks.mean(axis=0).var(ddof=1) / stocks.var(axis=1, ddof=1).mean()
        assert SEEN["mkt_avg_corr_60"][t] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("members", "expected"), [(20, True), (19, False)])
def test_twenty_stocks_have_an_average_correlation(members, expected):
    """Nineteen have none, whoever else is listed."""
    market = crowd(30, 80, 1, seed=52)
    market.master.universe[:] = np.arange(30)[:, None] < members
    value = market_breadth.compute(market, known_of(market))["mkt_avg_corr_60"][0]
    assert np.isfinite(value) == expected


def highs_and_lows(*lines):
    """mkt_new_high_minus_low_250 on the last column of some closes."""
    market = crowd(len(lines), len(lines[0]), 1, seed=53)
    market.panel = market_of(bars_from_closes(*lines), 1).panel
    market.master.universe[:] = True
    return market_breadth.compute(market, known_of(market))["mkt_new_high_minus_low_250"][0]


def test_new_highs_and_lows_by_hand():
    """Two at their high, one at its low, a quiet one and one without a trade: (2 - 1) / 5."""
    n = 260
    up = list(np.linspace(500.0, 900.0, n))
    near_high = [900.0, *up[1:-1], up[-1] * (1 - 5e-10)]
    near_high[-2] = up[-1]
    down = up[::-1]
    middle = [*up[:-1], 700.0]
    silent = [*up[:-1], np.nan]
    young = [np.nan] * (n - 124) + up[-124:]
    assert highs_and_lows(up, near_high, down, middle, silent) == 1 / 5
    assert highs_and_lows(up, near_high, down, middle, silent, young) == 1 / 5


def test_a_flat_stock_is_at_its_high_and_its_low():
    """It counts on both sides, so as nothing."""
    flat = [700.7] * 260
    assert highs_and_lows(flat, list(np.linspace(1.0, 2.0, 260))) == 1 / 2


def test_a_day_without_a_universe_is_null():
    """No member, no value; short selling has its own records."""
    market = crowd(30, 330, 2, seed=54)
    market.master.universe[:, -1] = False
    seen = market_breadth.compute(market, known_of(market))
    for name, values in seen.items():
        assert np.isfinite(values).tolist() == [True, name == "short_ratio_market"], name


def test_the_arrays_around_a_value_do_not_matter():
    """Bit for bit."""
    assert_bits_do_not_depend_on_the_arrays(market_breadth, MARKET)
