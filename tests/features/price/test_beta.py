"""Family beta."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from pipeline.features.price import beta
from pipeline.features.price.beta import beta60, window_line
from pipeline.market.panel.benchmark_levels import Topix
from tests.features.bars import bars_from_closes, market_of, newest, random_bars, without_trade
from tests.features.crowd import assert_declared, assert_same, random_topix, topix_futures, topix_of

COLUMNS = 420
YEAR = np.sqrt(252)


def market_with(bars, topix, n_out, settle=None):
    market = market_of(bars, n_out)
    market.topix = topix
    market.futures = topix_futures(topix.c * 1.002 if settle is None else settle)
    return market


def moving_with(topix, seed):
    """Bars whose closes follow TOPIX with noise and some days without a trade."""
    rng = np.random.default_rng(seed)
    r = 1.3 * np.nan_to_num(topix.r) + rng.normal(0.0004, 0.01, topix.c.size)
    bars = bars_from_closes(list(500.0 * np.cumprod(1.0 + r)))
    return without_trade(bars, 0, slice(60, None, 19))


TOPIX = random_topix(COLUMNS, seed=1)
BARS = moving_with(TOPIX, seed=2)
MARKET = market_with(BARS, TOPIX, COLUMNS)
WALK = {name: x[0] for name, x in beta.compute(MARKET).items()}
R, M = MARKET.panel.r[0], TOPIX.r


def test_the_family_returns_what_it_declares():
    """Declared names, float64, (lines, n_out)."""
    market = market_with(random_bars(3, 400, seed=3), random_topix(400, seed=4), 7)
    values = beta.compute(market)
    assert_declared(beta, values, (3, 7))
    assert all(np.isfinite(x).all() for x in values.values())


@pytest.mark.parametrize("t", [60, 61, 100, 333, COLUMNS - 1])
def test_the_market_model_is_that_of_statsmodels(t):
    """Intercept, slope and residual variance of OLS with a constant over 60 columns."""
    window = slice(t - 59, t + 1)
    fit = sm.OLS(R[window], sm.add_constant(M[window])).fit()
    assert WALK["alpha60_topix"][t] == pytest.approx(fit.params[0], rel=1e-9, abs=1e-15)
    assert WALK["beta60_topix"][t] == pytest.approx(fit.params[1], rel=1e-9)
    assert WALK["idio_vol_60"][t] == pytest.approx(np.sqrt(fit.mse_resid * 252), rel=1e-9)


def test_down_beta_looks_at_falling_days_only():
    """pandas cov over var of the days on which TOPIX fell."""
    frame = pd.DataFrame({"r": R, "m": M})
    for t in (251, 300, COLUMNS - 1):
        window = frame.iloc[t - 249 : t + 1]
        falling = window[window["m"] < 0]
        expected = falling["r"].cov(falling["m"]) / falling["m"].var()
        assert WALK["down_beta_250"][t] == pytest.approx(expected, rel=1e-9)


def test_down_beta_needs_sixty_falling_days():
    """59 of them are too few; a day on which nothing moved is not one of them."""
    m = np.where(np.arange(120) % 2 == 0, -0.01, 0.012)
    m[::4] *= 1.5
    bars = random_bars(1, 121, seed=5)
    for unmoved, expected in ((0, True), (1, False)):
        steps = m.copy()
        steps[:unmoved] = 0.0
        topix = topix_of(1000.0 * np.cumprod(np.append(1.0, 1.0 + steps)))
        value = beta.compute(market_with(bars, topix, 1))["down_beta_250"][0, 0]
        assert np.isfinite(value) == expected


def test_residuals_use_the_coefficients_of_the_day_before():
    """The return of T has no part in what it is measured against."""
    t = 200
    expected = R[t] - WALK["alpha60_topix"][t - 1] - WALK["beta60_topix"][t - 1] * M[t]
    assert WALK["resid_ret_1d"][t] == pytest.approx(expected, rel=1e-12)
    assert np.isnan(WALK["resid_ret_1d"][60])  # returns begin on column 1, coefficients on 60
    assert np.isfinite(WALK["resid_ret_1d"][61])


def test_residual_momentum_skips_a_month():
    """pandas sum over std of the residuals of T-249 to T-20, at least 200 of them."""
    rolling = pd.Series(WALK["resid_ret_1d"]).shift(20).rolling(230, min_periods=200)
    expected = rolling.sum() / rolling.std()
    np.testing.assert_allclose(WALK["resid_mom_250_20"], expected, rtol=1e-9)
    assert np.flatnonzero(np.isfinite(expected))[0] == 61 + 199 + 20


def test_beta_times_the_basis_of_the_futures():
    """Settlement 1 % above TOPIX on the last column."""
    settle = TOPIX.c * 1.01
    market = market_with(BARS, TOPIX, 1, settle)
    seen = beta.compute(market)
    assert seen["beta_x_fut_basis"] == pytest.approx(0.01 * seen["beta60_topix"], rel=1e-9)


@pytest.mark.parametrize(
    ("side", "expected"), [("stock", "finite"), ("topix", "null"), ("both", "null")]
)
def test_a_side_that_does_not_move(side, expected):
    """A stock without a move has slope, intercept and residuals 0; TOPIX without one, no line."""
    bars = random_bars(1, 70, seed=6) if side == "topix" else bars_from_closes([700.7] * 70)
    topix = random_topix(70, 7) if side == "stock" else topix_of(np.full(70, 1500.1))
    seen = beta.compute(market_with(bars, topix, 1))
    for name in ("beta60_topix", "alpha60_topix", "idio_vol_60"):
        if expected == "finite":
            assert seen[name][0, 0] == 0.0
        else:
            assert np.isnan(seen[name][0, 0])


def test_rounding_is_no_residual():
    """A series on the line itself has the residual sum 0, not what rounding leaves."""
    m = np.random.default_rng(8).normal(0.0, 0.01, 60)
    line = window_line((0.0003 + 1.7 * m)[np.newaxis], m, 60, 60, 1)
    assert line.slope[0, 0] == pytest.approx(1.7, rel=1e-12)
    assert line.intercept[0, 0] == pytest.approx(0.0003, rel=1e-9)
    assert line.sse[0, 0] == 0.0


@pytest.mark.parametrize("missing", ["stock", "topix"])
def test_sixty_pairs_are_required(missing):
    """One null in 60 columns leaves no model; it does in the column after they have passed."""
    bars, c = random_bars(1, 130, seed=9), TOPIX.c[:130].copy()
    if missing == "stock":
        bars = without_trade(bars, 0, slice(40, 62))  # carried over 20 columns, then null
    else:
        c[60] = np.nan
    seen = beta60(market_with(bars, Topix(c, c, c, c), 130), 130)[0]
    known = np.isfinite(seen)
    last_null_return = 62
    if missing == "topix":
        last_null_return = 61
    assert not known[last_null_return : last_null_return + 60].any()
    assert known[last_null_return + 60 :].all()


def test_where_a_listing_has_values():
    """Trades on the columns 70 to 119, so returns on 71 to 139: nothing where pairs are missing."""
    bars = random_bars(1, 200, seed=12)
    bars = without_trade(without_trade(bars, 0, slice(0, 70)), 0, slice(120, None))
    seen = beta.compute(market_with(bars, random_topix(200, seed=13), 200))
    model = list(range(130, 140))
    expected = dict.fromkeys(seen, model)
    expected |= {"resid_ret_1d": model[1:], "down_beta_250": [], "resid_mom_250_20": []}
    for name, values in seen.items():
        assert np.flatnonzero(np.isfinite(values[0])).tolist() == expected[name], name


def test_the_panel_around_a_value_does_not_matter():
    """Bit for bit: history, later days, other lines and the number of wanted columns."""
    n_out, needed = 30, 380
    bars = random_bars(4, 470, seed=10, no_trade=0.05)
    topix = random_topix(470, seed=11)

    def last(n_columns, n_out, end=470, lines=slice(None)):
        cut = {name: x[lines, :end] for name, x in bars.items()}
        levels = {name: getattr(topix, name)[end - n_columns : end] for name in "ohlc"}
        market = market_with(newest(cut, n_columns), Topix(**levels), n_out)
        return beta.compute(market)

    expected = last(needed, n_out, end=460)
    assert_same(last(needed + 33, n_out, end=460), expected)
    assert_same(
        {name: x[:, -n_out:] for name, x in last(450, n_out + 41, end=460).items()}, expected
    )
    assert_same({name: x[:, :n_out] for name, x in last(450, n_out + 10).items()}, expected)
    alone = last(needed, n_out, end=460, lines=slice(2, 3))
    assert_same(alone, {name: x[2:3] for name, x in expected.items()})
