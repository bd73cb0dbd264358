"""Family crowding."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipeline.features.volume import crowding
from pipeline.market.positioning.order_breakdown import Breakdown
from tests.market.hand import Stock, market

NAN = np.nan
USUAL = {
    "short_cash": 8.0,
    "margin_sell_new": 12.0,
    "margin_sell_close": 5.0,
    "long_buy": 60.0,
    "margin_buy_new": 30.0,
    "margin_buy_close": 10.0,
    "margin_sell_new_shares": 0.12,
    "margin_buy_new_shares": 0.3,
}  # the average price of either order is 100
KNOWN = (
    "margin_long_to_adv20", "mktcap_turnover_20d", "ret_prev_60d", "ssp_ratio_sum",
    "margin_short_to_adv20", "bd_short_share_20d", "ret_prev_5d",
)  # fmt: skip


def built(stocks, n_out, known=None, **fields):
    made = market(*stocks, n_out=n_out)
    shape = (made.panel.codes.size, min(made.panel.n_columns, n_out + 119))
    records = Breakdown(
        **{name: np.broadcast_to(x, shape).copy() for name, x in (USUAL | fields).items()}
    )
    shape = (shape[0], n_out)
    columns = {name: np.full(shape, NAN) for name in KNOWN}
    columns |= {name: np.broadcast_to(x, shape) for name, x in (known or {}).items()}
    return crowding.compute(replace(made, breakdown=records), columns)


def one(closes, n_out=1, known=None, unlisted=(), factors=None, **fields):
    stock = Stock("10000", closes, unlisted, factors or {})
    return {name: x[0] for name, x in built([stock], n_out, known, **fields).items()}


def test_the_family_returns_its_declared_columns():
    """Codes x n_out, in float64."""
    seen = built([Stock("10000", [100.0] * 5), Stock("20000", [100.0] * 5)], 3)
    assert sorted(seen) == sorted(feature.name for feature in crowding.FEATURES)
    assert {x.shape for x in seen.values()} == {(2, 3)}
    assert {x.dtype for x in seen.values()} == {np.dtype(np.float64)}


def test_the_price_against_the_cost_of_120_columns():
    """Yen over shares of the window, not the mean of daily prices."""
    rng = np.random.default_rng(0)
    amount, price = rng.uniform(1e5, 1e6, 120), rng.uniform(80.0, 120.0, 120)
    seen = one(
        [110.0] * 130,
        margin_buy_new=amount,
        margin_buy_new_shares=amount / price,
        margin_sell_new=2.0 * amount,
        margin_sell_new_shares=amount / price,
    )
    cost = amount.sum() / (amount / price).sum()
    assert seen["margin_cost_gap_120d"][0] == pytest.approx(110.0 / cost - 1.0, rel=1e-12)
    assert seen["short_cost_gap_120d"][0] == pytest.approx(55.0 / cost - 1.0, rel=1e-12)


def test_shares_bought_before_a_split_are_restated():
    """A 1:4 split: 0.3 shares at 100 became 1.2 at 25, which is today's price."""
    n, ex = 120, 90
    closes = [100.0] * ex + [25.0] * (n - ex)
    shares = np.where(np.arange(n) < ex, 0.3, 1.2)
    seen = one(closes, 40, factors={ex: 0.25}, margin_buy_new_shares=shares)
    np.testing.assert_array_equal(seen["margin_cost_gap_120d"], np.zeros(40))
    assert seen["short_cost_gap_120d"][-1] != 0.0


def test_the_split_of_a_column_without_a_trade():
    """The carried close is in the basis of the day, and so are the shares."""
    ex = 98
    closes = [100.0] * ex + [NAN, NAN]
    seen = one(closes, 3, factors={ex: 0.5})
    shares = 98 * 0.6 + np.array([NAN, 0.3, 0.6])
    cost = np.array([NAN, 99 * 30.0, 100 * 30.0]) / shares
    np.testing.assert_allclose(
        seen["margin_cost_gap_120d"][1:], (50.0 / cost - 1.0)[1:], rtol=1e-12
    )
    assert seen["margin_cost_gap_120d"][0] == 0.0


def test_the_cost_needs_60_complete_records():
    """A record without the number of shares is none."""
    shares = np.full(61, 0.3)
    shares[5] = NAN
    assert np.isfinite(
        one([100.0] * 61, margin_buy_new_shares=shares)["margin_cost_gap_120d"]
    ).all()
    shares[6] = NAN
    seen = one([100.0] * 61, margin_buy_new_shares=shares)
    assert np.isnan(seen["margin_cost_gap_120d"]).all()
    assert np.isfinite(seen["short_cost_gap_120d"]).all()


def test_no_volume_and_no_price_are_null():
    """Nothing bought on margin in half a year; nothing traded for more than 20 columns."""
    nothing = {"margin_buy_new": 0.0, "margin_buy_new_shares": 0.0}
    assert np.isnan(one([100.0] * 120, **nothing)["margin_cost_gap_120d"]).all()
    silent = [100.0] * 80 + [NAN] * 21
    gap = one(silent, 2)["margin_cost_gap_120d"]
    np.testing.assert_array_equal(np.isnan(gap), [False, True])


def test_a_returning_code_does_not_see_its_earlier_life():
    """Absent for 21 columns: 60 records of the new listing are needed again."""
    n, back = 150, 81
    gap = one([100.0] * n, n - back, unlisted=range(60, 81))["margin_cost_gap_120d"]
    np.testing.assert_array_equal(np.isnan(gap), np.arange(n - back) < 59)


def test_pain_is_the_loss_times_the_position():
    """Longs at 100 with the price at 80 lose, shorts do not; at 125 it is the other way round."""
    known = {"margin_long_to_adv20": 3.0, "margin_short_to_adv20": 7.0}
    low = one([80.0] * 120, known=known)
    assert low["margin_pain"][0] == pytest.approx(0.2 * 3.0)
    assert low["short_pain"][0] == 0.0
    high = one([125.0] * 120, known=known)
    assert high["margin_pain"][0] == 0.0
    assert high["short_pain"][0] == pytest.approx(0.25 * 7.0)


def test_pain_of_nothing_is_plain_zero_and_of_the_unknown_null():
    """No minus zero, wherever in the array it stands."""
    known = {"margin_long_to_adv20": 3.0, "margin_short_to_adv20": 7.0}
    seen = one([100.0] * 140, 21, known=known)
    for name in ("margin_pain", "short_pain"):
        np.testing.assert_array_equal(seen[name], np.zeros(21))
        assert not np.signbit(seen[name]).any()
    assert np.isnan(one([100.0] * 120)["margin_pain"]).all()
    assert np.isnan(one([100.0] * 59, known=known)["margin_pain"]).all()


# --- scores -------------------------------------------------------------------------------------

STOCKS = [Stock(f"{1000 + i}0", [100.0] * 25) for i in range(24)]
RISING = np.arange(24.0)[:, np.newaxis]


def test_scores_are_means_of_percentiles():
    """Margin buys are the same everywhere, which ranks all in the middle."""
    known = {"margin_long_to_adv20": RISING, "mktcap_turnover_20d": -RISING, "ret_prev_60d": RISING}
    seen = built(STOCKS, 1, known)["crowding_score"][:, 0]
    share = RISING[:, 0] / 23.0
    np.testing.assert_allclose(seen, (share + (1.0 - share) + share + 0.5) / 4.0, rtol=1e-12)
    known = {
        "ssp_ratio_sum": RISING,
        "margin_short_to_adv20": RISING,
        "bd_short_share_20d": RISING,
        "ret_prev_5d": RISING,
    }
    np.testing.assert_allclose(built(STOCKS, 1, known)["squeeze_score"][:, 0], share, rtol=1e-12)


def test_a_score_needs_three_percentiles():
    """Three of four are enough, and the mean is over those."""
    known = {"ssp_ratio_sum": RISING, "margin_short_to_adv20": RISING, "ret_prev_5d": RISING.copy()}
    known["ret_prev_5d"][0] = NAN
    seen = built(STOCKS, 1, known)["squeeze_score"][:, 0]
    assert np.isnan(seen[0])
    assert seen[1] == pytest.approx((1 / 23 + 1 / 23 + 0 / 22) / 3)


def test_a_percentile_needs_twenty_values():
    """With nineteen the input is not available to anybody."""
    known = {name: RISING.copy() for name in ("ssp_ratio_sum", "margin_short_to_adv20")}
    known["ret_prev_5d"] = RISING.copy()
    known["ret_prev_5d"][:4] = NAN
    assert np.isfinite(built(STOCKS, 1, known)["squeeze_score"][4:]).all()
    known["ret_prev_5d"][4] = NAN
    assert np.isnan(built(STOCKS, 1, known)["squeeze_score"]).all()


def test_margin_buys_rank_the_universe_alone():
    """A stock of the PRO market has records too; nobody's rank sees them."""
    buys = np.linspace(30.0, 90.0, 25)[:, np.newaxis]
    outsider = Stock("15000", [100.0] * 25, record={"Mkt": "0105"}, later={24: {"Mkt": "0111"}})
    known = {
        name: np.append(RISING, NAN)[:, np.newaxis]
        for name in ("margin_long_to_adv20", "ret_prev_60d")
    }
    made = built([*STOCKS, outsider], 2, known, margin_buy_new=buys)["crowding_score"]
    alone = {name: RISING for name in known}
    expected = built(STOCKS, 2, alone, margin_buy_new=buys[:24])["crowding_score"]
    np.testing.assert_array_equal(made[:24, 0], expected[:, 0])
    assert (made[:24, 1] != expected[:, 1]).any()


VALUES = arrays(
    np.float64,
    st.tuples(st.integers(15, 40), st.integers(1, 3)),
    elements=st.one_of(st.just(NAN), st.sampled_from([0.0, -0.0, 1.0]), st.floats(-5.0, 5.0)),
)


@settings(deadline=None, max_examples=60)
@given(VALUES)
def test_the_percentile_is_that_of_pandas(values):
    """Average ranks of exact ties, from 0 to 1; null below 20 values."""
    frame = pd.DataFrame(values)
    expected = (frame.rank() - 1.0) / (frame.count() - 1.0)
    expected.loc[:, frame.count() < 20] = NAN
    np.testing.assert_allclose(crowding.percentile(values), expected, rtol=1e-14)
