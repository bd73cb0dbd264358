"""Nikkei 225 options."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import norm

from pipeline.simulator import Market, MarketSpec
from pipeline.simulator.derivatives.black76 import black76
from pipeline.simulator.derivatives.option_bars import on_option_tick
from tests.simulator.conftest import END, START

DAY = date(2021, 6, 1)


@pytest.fixture(scope="module")
def chain(market):
    """All rows of one date."""
    return market.rows("index_options", DAY)


@pytest.fixture(scope="module")
def history(market):
    """Two months of rows."""
    return market.rows("index_options", date(2021, 5, 6), date(2021, 7, 15))


def _black(forward, strike, years, rate, vol, call):
    d1 = np.log(forward / strike) / (vol * np.sqrt(years)) + vol * np.sqrt(years) / 2
    d2 = d1 - vol * np.sqrt(years)
    value = np.where(
        call,
        forward * norm.cdf(d1) - strike * norm.cdf(d2),
        strike * norm.cdf(-d2) - forward * norm.cdf(-d1),
    )
    return np.exp(-rate * years) * value


def _inputs(rows):
    days = rows["SQD"].astype("datetime64[D]") - rows["Date"].astype("datetime64[D]")
    years = days.astype(float) / 365
    return rows["Strike"], years, rows["IR"] / 100, rows["IV"] / 100, rows["PCDiv"] == "2"


def _forwards(rows):
    """Forward per row from the settlements nearest to the money (put-call parity)."""
    strike, years, rate, _, call = _inputs(rows)
    forwards = np.empty(strike.size)
    for sqd in set(rows["SQD"]):
        here = rows["SQD"] == sqd
        calls = dict(zip(strike[here & call], rows["Theo"][here & call], strict=True))
        puts = dict(zip(strike[here & ~call], rows["Theo"][here & ~call], strict=True))
        k = min(calls, key=lambda x: abs(calls[x] - puts[x]))
        growth = np.exp(rate[here][0] * years[here][0])
        forwards[here] = k + growth * (calls[k] - puts[k])
    return forwards


def test_prices_of_the_black_formula_agree_with_scipy():
    """To ten digits, for puts and calls."""
    rng = np.random.default_rng(1)
    n = 500
    args = (
        rng.uniform(2e4, 4e4, n),
        rng.uniform(1e4, 6e4, n),
        rng.uniform(1 / 365, 1.5, n),
        rng.uniform(-0.001, 0.01, n),
        rng.uniform(0.05, 1.0, n),
        rng.random(n) < 0.5,
    )
    np.testing.assert_allclose(black76(*args), _black(*args), rtol=1e-9, atol=1e-9)


def test_theoretical_prices_follow_from_the_volatilities(chain):
    """Black-76 with the row's IV and IR and the forward of put-call parity gives Theo."""
    expected = _black(_forwards(chain), *_inputs(chain))
    np.testing.assert_allclose(chain["Theo"], expected, atol=0.05, rtol=1e-4)


def test_settlements_are_theoretical_prices_on_the_tick(chain):
    """Steps of 1 up to 100 and of 5 above; at least 1."""
    np.testing.assert_array_equal(chain["Settle"], np.maximum(on_option_tick(chain["Theo"]), 1))
    cheap = chain["Settle"] <= 100
    assert (chain["Settle"][cheap] % 1 == 0).all()
    assert (chain["Settle"][~cheap] % 5 == 0).all()


def test_a_volatility_solved_from_the_settlement_is_the_published_one(chain):
    """Near the money, where the tick hardly matters, within half a point."""
    strike, years, rate, vol, call = _inputs(chain)
    forward = _forwards(chain)
    near = np.flatnonzero((np.abs(np.log(strike / forward)) < 0.03) & (years > 0.05))
    assert near.size > 10
    for i in near[::3]:
        solved = brentq(
            lambda s, i=i: float(
                _black(forward[i], strike[i], years[i], rate[i], s, call[i]) - chain["Settle"][i]
            ),
            0.005,
            3.0,
        )
        assert solved == pytest.approx(vol[i], abs=0.005)


def test_volatility_has_a_floor_where_the_price_is_intrinsic(chain):
    """Deep in the money the IV is 1.0 percent; elsewhere the smile has its skew."""
    floor = chain["IV"] == 1.0
    assert floor.any()
    assert (chain["Settle"][floor] > 100).all()
    assert (chain["IV"] >= 1.0).all()
    strike, years, _, vol, call = _inputs(chain)
    month = years == np.unique(years)[1]
    x = np.log(strike / chain["UnderPx"])
    wing = vol[month & ~call & (x < -0.08) & (x > -0.12)].mean()
    other = vol[month & call & (x > 0.06) & (x < 0.1)].mean()
    assert wing > other


def test_one_underlying_and_one_base_volatility_per_date_one_rate_per_expiry(chain, market):
    """They are properties of the date and of the expiry, repeated in the rows."""
    assert len(set(chain["UnderPx"])) == len(set(chain["BaseVol"])) == 1
    assert len(set(zip(chain["SQD"], chain["IR"], strict=True))) == len(set(chain["SQD"])) == 8
    assert len(set(zip(chain["SQD"], chain["LTD"], chain["CM"], strict=True))) == 8


def test_contract_months_are_consecutive_and_end_on_the_last_trading_day(history):
    """Eight months each day; rows up to the business day before SQ, none later."""
    for day in sorted(set(history["Date"])):
        here = history["Date"] == day
        months = sorted({np.datetime64(m) for m in history["CM"][here]})
        assert (np.diff(months).astype(int) == 1).all()
        assert (history["LTD"][here] >= day).all()
        assert (history["SQD"][here] > day).all()
    assert "2021-06-10" in history["Date"][history["SQD"] == "2021-06-11"]


def test_codes_tell_puts_from_calls_and_are_unique(chain):
    """Nine characters, 13 or 18 for puts, 14 or 19 for calls, rows in the order of codes."""
    codes = chain["Code"]
    assert len(set(codes)) == codes.size
    assert {len(code) for code in codes} == {9}
    for code, side in zip(codes, chain["PCDiv"], strict=True):
        assert code[:2] in (("13", "18") if side == "1" else ("14", "19"))
    assert list(codes) == sorted(codes)


def test_only_the_first_day_of_a_series_has_no_night_session(history):
    """E* is missing exactly where the series was not there the day before."""
    days = sorted(set(history["Date"]))
    by_day = {day: history["Date"] == day for day in days}
    new = 0
    for before, day in zip(days, days[1:], strict=False):
        known = set(history["Code"][by_day[before]])
        rows = by_day[day]
        fresh = np.array([code not in known for code in history["Code"][rows]])
        for name in ("EO", "EH", "EL", "EC"):
            np.testing.assert_array_equal(np.isnan(history[name][rows]), fresh)
        new += int(fresh.sum())
    assert new > 50


def test_untraded_series_have_zero_prices_but_still_a_settlement(chain):
    """0.0, never null; some volume is off-auction only and leaves the prices at 0.0."""
    idle = chain["VoOA"] == 0
    assert 0.5 < idle.mean() < 1
    for name in ("O", "H", "L", "C", "AO", "AC"):
        assert (chain[name][idle] == 0).all()
    assert (chain["Settle"] > 0).all()
    assert (chain["VoOA"] <= chain["Vo"]).all()
    assert ((chain["Vo"] > 0) >= (chain["Va"] > 0)).all()


def test_traded_prices_are_coherent(history):
    """L <= O, C <= H for the date and both sessions; the date spans its sessions."""
    traded = history["VoOA"] > 0
    assert (history["O"][traded] > 0).all()
    for block in ("", "E", "A"):
        o, h, l, c = (history[block + x] for x in "OHLC")
        live = np.nan_to_num(o) > 0
        assert (l <= np.minimum(o, c))[live].all()
        assert (h >= np.maximum(o, c))[live].all()
    highs = np.fmax(history["EH"], history["AH"])
    np.testing.assert_array_equal(history["H"], highs)


def test_open_interest_moves_by_no_more_than_the_volume(history):
    """Carried from day to day, never negative."""
    last = {}
    moved = 0
    normal = history["EmMrgnTrgDiv"] == "002"
    rows = zip(
        history["Date"][normal],
        history["Code"][normal],
        history["OI"][normal],
        history["Vo"][normal],
        strict=True,
    )
    for day, code, interest, volume in rows:
        assert interest >= 0
        if code in last:
            assert abs(interest - last[code]) <= volume, (day, code)
            moved += interest != last[code]
        last[code] = interest
    assert moved > 100


def test_strikes_stay_listed_and_grow_with_the_index(history):
    """A strike disappears only with its contract month."""
    days = sorted(set(history["Date"]))
    for before, day in zip(days, days[1:], strict=False):
        old, new = history["Date"] == before, history["Date"] == day
        alive = history["SQD"][old] > day
        alive &= history["LTD"][old] >= day
        assert set(history["Code"][old][alive]) <= set(history["Code"][new])


def test_emergency_margin_days_have_two_rows_per_series(market):
    """001 beside 002, rarely; the keys stay unique."""
    market.options.extend(market.last + 1)
    doubled = 0
    day = START
    while day <= END and not doubled:
        rows = market.rows("index_options", day)
        if "001" in rows["EmMrgnTrgDiv"]:
            doubled += 1
            assert (rows["EmMrgnTrgDiv"] == "001").sum() * 2 == rows["Code"].size
            keys = set(zip(rows["Code"], rows["EmMrgnTrgDiv"], strict=True))
            assert len(keys) == rows["Code"].size
            assert len(set(rows["UnderPx"])) == 1
        day += timedelta(days=1)
    assert doubled


def test_a_full_market_has_thousands_of_series():
    """About four thousand rows a date, as at the exchange."""
    market = Market(MarketSpec(7, 2500, date(2022, 10, 3), date(2023, 1, 4)))
    assert 2500 < market.rows("index_options", date(2023, 1, 4))["Code"].size < 7000
