"""Family option."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from pipeline.features.derivatives import option
from pipeline.market.derivatives.option_quotes import option_quotes
from tests.features.option_chain import (
    black_smile,
    market_of,
    pair,
    quote,
    table_of,
    tiny_smile,
    weekdays,
)

NAN = np.nan
DAY = weekdays(1)


def values(rows, n_days=1, n_out=1):
    return option.compute(market_of(rows, weekdays(n_days), n_out))


def on_one_day(name, rows):
    return values(rows)[name][0]


def random_days(n_days, seed=0, expiries=(2, 24, 52)):
    """Random amounts on a grid of contracts with fixed SQ days, the first one the third session."""
    rng = np.random.default_rng(seed)
    sessions = weekdays(n_days)
    sq_days = sessions[0] + np.array(expiries)
    rows = []
    for session in sessions:
        index = round(rng.uniform(19000.0, 21000.0), 2)
        for sq_day in sq_days[sq_days >= session]:
            for strike in np.arange(16000.0, 24001.0, 500.0):
                for kind in ("put", "call"):
                    amounts = rng.integers(0, 1000, 3).astype(float)
                    rows.append(
                        quote(
                            session,
                            int((sq_day - session).astype(int)),
                            strike,
                            kind,
                            UnderPx=index,
                            **dict(zip(("OI", "Vo", "Va"), amounts, strict=True)),
                        )
                    )
    return rows


def live(rows):
    """The rows as a frame, contracts with a later SQ day only."""
    frame = pd.DataFrame(rows)
    return frame[frame["SQD"] > frame["Date"]]


def test_the_family_returns_its_declared_columns():
    """(n_out,) each, in float64."""
    seen = values(random_days(4), 4, 3)
    assert sorted(seen) == sorted(feature.name for feature in option.FEATURES)
    assert {x.shape for x in seen.values()} == {(3,)}
    assert {x.dtype for x in seen.values()} == {np.dtype(np.float64)}


def test_without_quotes_everything_is_null():
    """A source without rows leaves the columns in place."""
    nothing = table_of(random_days(1)).slice(0, 0)
    panel = SimpleNamespace(sessions=weekdays(5), n_out=5)
    quotes = option_quotes(nothing, panel.sessions)
    seen = option.compute(SimpleNamespace(panel=panel, options=quotes))
    assert sorted(seen) == sorted(feature.name for feature in option.FEATURES)
    assert all(np.isnan(x).all() and x.shape == (5,) for x in seen.values())


def test_a_day_without_a_file_is_null_and_so_is_the_change_after_it():
    """The other columns of the next day need no history."""
    sessions = weekdays(4)
    rows = [row for row in random_days(4) if row["Date"] != sessions[1]]
    seen = values(rows, 4, 4)
    assert all(math.isnan(x[1]) for x in seen.values())
    for name in ("opt_pc_oi_ratio", "opt_days_to_sq", "opt_max_pain_dist"):
        assert np.isfinite(seen[name][[0, 2, 3]]).all()
    np.testing.assert_array_equal(np.isnan(seen["opt_oi_chg_1d"]), [True, True, True, False])


# --- volatilities -------------------------------------------------------------------------------


def test_level_term_structure_skew_and_butterfly_by_hand():
    """Two expiries, each with its own flat wings: variances are interpolated one by one."""
    strikes = np.arange(12000.0, 30001.0, 250.0)

    def broken(put, atm, call):
        # flat wings with a step in the middle of each side
        return lambda x: put if x < -0.02 else call if x > 0.02 else atm

    rows = [
        *black_smile(DAY[0], 20, 20000.0, strikes, broken(0.30, 0.24, 0.20)),
        *black_smile(DAY[0], 110, 20000.0, strikes, broken(0.28, 0.22, 0.21)),
    ]
    seen = {name: x[0] for name, x in values(rows).items()}

    def at(days, near, far):
        w1, w2 = near**2 * 20 / 365, far**2 * 110 / 365
        return math.sqrt(((110 - days) * w1 + (days - 20) * w2) / 90 * 365 / days)

    put, call, atm = at(30, 0.30, 0.28), at(30, 0.20, 0.21), at(30, 0.24, 0.22)
    assert seen["opt_iv_atm_near"] == pytest.approx(0.24, rel=1e-9)
    assert seen["opt_iv_atm_30d"] == pytest.approx(atm, rel=1e-9)
    assert seen["opt_iv_ts_slope_30_90"] == pytest.approx(at(90, 0.24, 0.22) - atm, rel=1e-9)
    assert seen["opt_skew25_30d"] == pytest.approx(put - call, rel=1e-9)
    assert seen["opt_bfly25_30d"] == pytest.approx((put + call) / 2 - atm, rel=1e-9)


def test_slope_and_curvature_come_from_the_expiry_closest_to_30_days():
    """20 and 40 days are equally far: the shorter one is taken, as numpy fits it."""
    strikes = np.arange(16000.0, 24001.0, 125.0)
    near = black_smile(DAY[0], 20, 20000.0, strikes, lambda x: 0.2 - 0.3 * x)
    far = black_smile(DAY[0], 40, 20000.0, strikes, lambda x: 0.2 + 0.5 * x * x)
    seen = values([*near, *far])
    y = np.log(strikes / 20000.0) / (0.2 * math.sqrt(20 / 365))
    inside = np.abs(y) <= 1.5
    sigma = 0.2 - 0.3 * np.log(strikes / 20000.0)
    b2, b1, _ = np.polyfit(y[inside], sigma[inside], 2)
    assert seen["opt_smile_slope"][0] == pytest.approx(b1, rel=1e-6)
    assert seen["opt_smile_curv"][0] == pytest.approx(b2, abs=1e-9)


def test_the_model_free_volatility_of_a_flat_smile_is_that_volatility():
    """Replication with strikes 125 yen apart is good to a tenth of a point."""
    strikes = np.arange(12000.0, 32001.0, 125.0)
    rows = [
        row
        for days in (16, 44)
        for row in black_smile(DAY[0], days, 20000.0, strikes, lambda x: 0.2)
    ]
    assert on_one_day("opt_mfiv_30d", rows) == pytest.approx(0.2, abs=0.001)


def volatility_history(n_days, seed=3):
    """(rows, ATM volatility in percent, index) of a year with one small smile a day."""
    rng = np.random.default_rng(seed)
    iv = rng.integers(15, 40, n_days).astype(float)  # whole numbers, so that ties happen
    index = 20000.0 * np.exp(np.cumsum(rng.normal(0.0, 0.01, n_days)))
    rows = [
        row
        for session, level, under in zip(weekdays(n_days), iv, index, strict=True)
        for row in tiny_smile(session, 30, level, UnderPx=under)
    ]
    return rows, iv, index


def test_the_rank_of_the_volatility_is_that_of_pandas():
    """Average ties among the last 250 values, from 0 to 1, null below 125 values."""
    rows, iv, _ = volatility_history(420)
    seen = values(rows, 420, 420)["opt_iv_30d_pct_250"]
    window = pd.Series(iv).rolling(250, min_periods=125)
    expected = (window.rank() - 1) / (window.count() - 1)
    np.testing.assert_allclose(seen, expected, rtol=0, atol=1e-12)


def test_days_without_a_smile_are_not_ranked():
    """They take a place in the window but not in the count."""
    rows, iv, _ = volatility_history(300)
    silent = weekdays(300)[10:290:3]
    rows = [row for row in rows if row["Date"] not in silent]
    iv[10:290:3] = NAN
    window = pd.Series(iv).rolling(250, min_periods=125)
    expected = ((window.rank() - 1) / (window.count() - 1)).to_numpy()
    seen = values(rows, 300, 60)["opt_iv_30d_pct_250"]
    np.testing.assert_allclose(seen, expected[-60:], rtol=0, atol=1e-12)


def test_the_variance_premium_is_implied_less_realised_variance_of_one_index():
    """20 squared log returns of UnderPx, without a mean taken off."""
    rows, iv, index = volatility_history(60)
    squares = np.log(pd.Series(index)).diff() ** 2
    expected = (iv / 100) ** 2 - 252 * squares.rolling(20).mean()
    seen = values(rows, 60, 60)["opt_vrp_30d"]
    np.testing.assert_allclose(seen, expected, rtol=1e-9)
    assert np.isnan(seen[:20]).all()
    assert np.isfinite(seen[20:]).all()


def test_a_missing_index_value_leaves_the_premium_null_for_20_returns():
    """Both returns next to the hole are missing."""
    rows, _, _ = volatility_history(60)
    for row in rows:
        if row["Date"] == weekdays(60)[30]:
            row["UnderPx"] = NAN
    missing = np.isnan(values(rows, 60, 60)["opt_vrp_30d"])
    np.testing.assert_array_equal(np.flatnonzero(missing), [*range(20), *range(30, 51)])


# --- positions ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "field"),
    [("opt_pc_oi_ratio", "OI"), ("opt_pc_volume_ratio", "Vo"), ("opt_pc_turnover_ratio", "Va")],
)
def test_put_call_ratios_are_those_of_pandas(name, field):
    """All expiries after T; the contracts that expire on T are out."""
    rows = random_days(5)
    totals = live(rows).pivot_table(index="Date", columns="PCDiv", values=field, aggfunc="sum")
    expected = np.log((totals["1"] + 1) / (totals["2"] + 1))
    np.testing.assert_allclose(values(rows, 5, 5)[name], expected, rtol=1e-12)


def test_missing_amounts_count_as_nothing():
    """A null in OI does not make the sum null."""
    rows = [*pair(DAY[0], 9, 20000.0, OI=(NAN, 7.0)), *pair(DAY[0], 9, 20500.0, OI=(3.0, NAN))]
    assert on_one_day("opt_pc_oi_ratio", rows) == pytest.approx(math.log(4 / 8))


def test_the_change_of_open_interest_follows_the_contracts_that_outlive_t():
    """An expiry on T counts on neither day, a series listed on T counts on T."""
    rows = random_days(5)
    frame = pd.DataFrame(rows)
    expected = [NAN]
    for before, day in zip(weekdays(5), weekdays(5)[1:], strict=False):
        alive = frame[frame["SQD"] > day].groupby("Date")["OI"].sum()
        expected.append(alive[day] / alive[before] - 1)
    np.testing.assert_allclose(values(rows, 5, 5)["opt_oi_chg_1d"], expected, rtol=1e-12)


def test_the_change_counts_new_series_and_needs_an_old_one():
    """Both sums run over their own day's contracts; nothing before is no ratio."""
    sessions = weekdays(3)
    rows = [
        quote(sessions[0], 30, 20000.0, "put"),
        quote(sessions[1], 30, 20000.0, "put", OI=40.0),
        quote(sessions[2], 30, 20000.0, "put", OI=50.0),
        quote(sessions[2], 30, 20250.0, "put", OI=10.0),
    ]
    np.testing.assert_allclose(values(rows, 3, 3)["opt_oi_chg_1d"], [NAN, NAN, 0.5])


def test_days_to_sq_are_calendar_days_to_the_nearest_later_one():
    """On the SQ day itself the next expiry counts."""
    seen = values(random_days(5), 5, 5)["opt_days_to_sq"]
    assert seen.tolist() == [2, 1, 22, 19, 18]


def test_a_file_with_nothing_left_to_expire_has_no_expiry():
    """The ratio of nothing to nothing is zero."""
    seen = {name: x[0] for name, x in values(pair(DAY[0], 0, 20000.0, OI=5.0)).items()}
    assert seen["opt_pc_oi_ratio"] == 0.0
    for name in ("opt_days_to_sq", "opt_max_pain_dist", "opt_oi_strike_dist"):
        assert math.isnan(seen[name])


def test_the_mean_strike_is_weighted_by_open_interest():
    """Puts and calls together, against the index."""
    rows = random_days(3)
    frame = live(rows).assign(product=lambda f: f["OI"] * f["Strike"])
    sums = frame.groupby("Date")[["product", "OI"]].sum()
    index = frame.groupby("Date")["UnderPx"].first()
    expected = sums["product"] / sums["OI"] / index - 1
    np.testing.assert_allclose(values(rows, 3, 3)["opt_oi_strike_dist"], expected, rtol=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_max_pain_is_found_by_brute_force(seed):
    """Every listed strike of the nearest expiry is tried."""
    rows = random_days(1, seed)
    near = [row for row in live(rows).to_dict("records") if row["SQD"] == DAY[0] + 2]
    pain = {}
    for candidate in sorted({row["Strike"] for row in near}):
        pain[candidate] = sum(
            row["OI"] * max(0.0, (candidate - row["Strike"]) * (1 if row["PCDiv"] == "2" else -1))
            for row in near
        )
    strike = min(pain, key=lambda k: (pain[k], k))
    expected = strike / near[0]["UnderPx"] - 1
    assert on_one_day("opt_max_pain_dist", rows) == pytest.approx(expected, rel=1e-12)


def test_equal_pain_takes_the_lowest_strike_even_without_open_interest_there():
    """Between a put below and a call above nobody is paid: the lowest strike of the range wins."""
    rows = [
        quote(DAY[0], 9, 19000.0, "put", OI=5.0),
        quote(DAY[0], 9, 18750.0, "call"),
        quote(DAY[0], 9, 19500.0, "put"),
        quote(DAY[0], 9, 21000.0, "call", OI=5.0),
        quote(DAY[0], 40, 10000.0, "call", OI=1000.0),
    ]
    assert on_one_day("opt_max_pain_dist", rows) == pytest.approx(19000.0 / 20000.0 - 1)


def test_no_open_interest_in_the_nearest_expiry_is_no_max_pain():
    """Later expiries do not stand in."""
    rows = [*pair(DAY[0], 9, 20000.0), *pair(DAY[0], 40, 20000.0, OI=10.0)]
    assert math.isnan(on_one_day("opt_max_pain_dist", rows))
    assert on_one_day("opt_oi_strike_dist", rows) == 0.0


def test_far_puts_lie_below_nine_tenths_of_the_index():
    """A strike at exactly nine tenths is not below."""
    rows = [
        quote(DAY[0], 9, 17000.0, "put", OI=1.0),
        quote(DAY[0], 40, 18000.0, "put", OI=4.0),
        quote(DAY[0], 40, 19000.0, "put", OI=5.0),
        quote(DAY[0], 40, 16000.0, "call", OI=100.0),
    ]
    assert on_one_day("opt_otm_put_oi_share", rows) == pytest.approx(0.1)
    assert math.isnan(on_one_day("opt_otm_put_oi_share", [{**r, "UnderPx": NAN} for r in rows]))
    assert math.isnan(on_one_day("opt_otm_put_oi_share", rows[3:]))


# --- width --------------------------------------------------------------------------------------


def test_values_do_not_depend_on_the_width_of_the_panel():
    """Neither more history, nor more wanted columns, nor later days change a bit."""
    sessions = weekdays(310)
    rng = np.random.default_rng(4)
    rows, _, index = volatility_history(310)
    rows = [row for row in rows if row["Date"] < sessions[250]]
    for session, under in zip(sessions[250:], index[250:], strict=True):
        for days in (12, 40, 100):
            for row in black_smile(
                session,
                days,
                under,
                round(under, -3) + np.arange(-3000.0, 3001.0, 250.0),
                lambda x: 0.2 - 0.1 * x,
                UnderPx=under,
            ):
                row["OI"], row["Vo"], row["Va"] = rng.integers(0, 99, 3).astype(float)
                rows.append(row)
    table = table_of(rows)

    def newest(first, stop, n_out):
        axis = sessions[first:stop]
        return option.compute(
            SimpleNamespace(
                panel=SimpleNamespace(sessions=axis, n_out=n_out),
                options=option_quotes(table, axis),
            )
        )

    expected = newest(0, 310, 50)
    lookback = max(feature.lookback for feature in option.FEATURES)
    assert all(np.isfinite(x).any() for x in expected.values())
    for name, x in newest(310 - lookback - 20, 310, 20).items():
        np.testing.assert_array_equal(x, expected[name][-20:], err_msg=name)
    for name, x in newest(3, 290, 30).items():
        np.testing.assert_array_equal(x, expected[name][:30], err_msg=name)
