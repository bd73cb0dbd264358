"""The option smile against an implementation in pandas and vollib."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import vollib.black.greeks.analytical as greeks
import vollib.black.implied_volatility as implied
from scipy.stats import norm

from pipeline.features.derivatives.smile import at_horizon, closest, expiry_smiles
from tests.features.option_chain import (
    YEAR,
    black_smile,
    market_of,
    pair,
    quote,
    table_of,
    tiny_smile,
    weekdays,
)

DAY = weekdays(1)
NAN = np.nan
MEASURES = ("atm", "put25", "call25", "slope", "curvature", "model_free")
STRIKES = np.arange(14000.0, 27001.0, 250.0)


def smirk(x: float) -> float:
    """A volatility smile of the usual shape."""
    return 0.2 - 0.15 * x + 0.6 * x * x


def measured(rows, n_days=1):
    """The expiries of the first days of the test calendar."""
    sessions = weekdays(n_days)
    return expiry_smiles(market_of(rows, sessions, 1).options, 0, n_days)


def first_expiry(rows):
    smiles = measured(rows)
    return {name: getattr(smiles, name)[0] for name in MEASURES}


# --- the definition once more, with pandas, numpy and vollib ------------------------------------


def wide(rows):
    """One expiry as a table by strike: settle_p, settle_c, iv_p, ... and the years to expiry."""
    frame = table_of(rows).to_pandas()
    tau = (pd.to_datetime(frame["SQD"]) - pd.to_datetime(frame["Date"])).dt.days.iloc[0] / YEAR
    by_kind = frame.pivot(index="Strike", columns="PCDiv", values=["Settle", "IV", "IR"])
    by_kind.columns = [f"{name.lower()}_{'pc'[int(kind) - 1]}" for name, kind in by_kind.columns]
    return by_kind, tau


def forward_of(by_kind, tau):
    both = by_kind[(by_kind["settle_p"] > 0) & (by_kind["settle_c"] > 0)]
    gap = both["settle_c"] - both["settle_p"]
    strike = gap.abs().idxmin()
    rate = both.loc[strike, "ir_c"] / 100
    return strike + math.exp(rate * tau) * gap[strike], rate


def wing_by_definition(side, flag, forward, tau, target):
    """``side`` runs from the money outwards."""
    deltas = [
        greeks.delta(flag, forward, strike, tau, 0.0, sigma)
        for strike, sigma in zip(side.index, side["iv"], strict=True)
    ]
    sigmas = side["iv"].tolist()
    for a, b, s, t in zip(deltas, deltas[1:], sigmas, sigmas[1:], strict=False):
        if min(a, b) <= target <= max(a, b):
            return float(np.interp(target, *zip(*sorted([(a, s), (b, t)]), strict=True)))
    return NAN


def model_free_by_definition(by_kind, forward, rate, tau):
    both = by_kind[(by_kind["settle_p"] > 0) & (by_kind["settle_c"] > 0)]
    k0 = both.index[both.index <= forward].max()
    puts = by_kind.loc[by_kind.index < forward, "settle_p"]
    calls = by_kind.loc[by_kind.index >= forward, "settle_c"]
    q = pd.concat([puts, calls])
    q[k0] = (by_kind.loc[k0, "settle_p"] + by_kind.loc[k0, "settle_c"]) / 2
    q = q[q >= 1].sort_index()
    k = q.index.to_numpy()
    dk = np.concatenate([[k[1] - k[0]], (k[2:] - k[:-2]) / 2, [k[-1] - k[-2]]])
    s2 = 2 / tau * np.sum(dk / k**2 * math.exp(rate * tau) * q) - (forward / k0 - 1) ** 2 / tau
    return math.sqrt(s2) if s2 > 0 else NAN


def by_definition(rows):
    """The six measures of one expiry, in the order of MEASURES."""
    by_kind, tau = wide(rows)
    forward, rate = forward_of(by_kind, tau)
    is_put = by_kind.index < forward
    otm = pd.DataFrame(
        {
            "iv": np.where(is_put, by_kind["iv_p"], by_kind["iv_c"]) / 100,
            "settle": np.where(is_put, by_kind["settle_p"], by_kind["settle_c"]),
        },
        index=by_kind.index,
    )
    otm = otm[(otm["iv"] > 0) & (otm["settle"] > 0)]
    otm["x"] = np.log(otm.index / forward)
    puts, calls = otm[otm.index < forward], otm[otm.index >= forward]
    if not ((puts["x"] >= -0.1).any() and (calls["x"] <= 0.1).any()):
        return [NAN] * 6
    inner = pd.concat([puts.iloc[-1:], calls.iloc[:1]])
    atm = np.interp(0.0, inner["x"], inner["iv"])
    y = otm["x"] / (atm * math.sqrt(tau))
    near = y.abs() <= 1.5
    b2, b1 = np.polyfit(y[near], otm["iv"][near], 2)[:2] if near.sum() >= 6 else (NAN, NAN)
    return [
        atm,
        wing_by_definition(puts[::-1], "p", forward, tau, -0.25),
        wing_by_definition(calls, "c", forward, tau, 0.25),
        b1,
        b2,
        model_free_by_definition(by_kind, forward, rate, tau),
    ]


@pytest.mark.parametrize("days", [7, 30, 65, 400])
@pytest.mark.parametrize("seed", range(6))
def test_every_measure_equals_its_definition_on_ragged_quotes(seed, days):
    """Noise, ticks, missing and zero volatilities and prices, absent contracts."""
    rng = np.random.default_rng(seed)
    forward = float(rng.uniform(19000.0, 21000.0))
    rows = black_smile(DAY[0], days, forward, STRIKES, smirk, rate=float(rng.normal(0, 0.005)))
    for row in rows:
        row["Settle"] = float(np.round(row["Settle"]))
        row["IV"] *= float(rng.normal(1.0, 0.02))
        if rng.random() < 0.1:
            row[rng.choice(["IV", "Settle"])] = rng.choice([0.0, NAN])
    rows = [row for row in rows if rng.random() > 0.1]
    seen = first_expiry(rows)
    np.testing.assert_allclose(list(seen.values()), by_definition(rows), rtol=1e-9)


# --- properties and cases worked by hand --------------------------------------------------------


@pytest.mark.parametrize("rate", [-0.01, 0.0, 0.03])
def test_a_flat_smile_is_flat_in_every_measure(rate):
    """One volatility for all strikes: no skew, no slope, no curvature, replication close to it."""
    rows = black_smile(DAY[0], 45, 20123.0, STRIKES, lambda x: 0.25, rate)
    seen = first_expiry(rows)
    for name in ("atm", "put25", "call25"):
        assert seen[name] == pytest.approx(0.25, rel=1e-12)
    assert seen["slope"] == pytest.approx(0.0, abs=1e-12)
    assert seen["curvature"] == pytest.approx(0.0, abs=1e-12)
    assert seen["model_free"] == pytest.approx(0.25, abs=0.002)


def test_volatilities_agree_with_those_implied_by_the_prices():
    """At the forward and at the 25-delta strikes of a dense smile, by vollib's inversion."""
    days, forward, rate = 30, 20000.0, 0.004
    tau = days / YEAR
    strikes = np.arange(15000.0, 25001.0, 5.0)
    seen = first_expiry(black_smile(DAY[0], days, forward, strikes, smirk, rate))
    for flag, name, target in (("p", "put25", -0.25), ("c", "call25", 0.25), ("c", "atm", None)):
        sigma = seen[name]
        d1 = norm.ppf(0.75 if flag == "p" else 0.25)
        strike = forward * math.exp(-d1 * sigma * math.sqrt(tau) + sigma**2 * tau / 2)
        strike = forward if target is None else strike
        if target is not None:
            delta = greeks.delta(flag, forward, strike, tau, 0.0, sigma)
            assert delta == pytest.approx(target, abs=1e-9)
        (row,) = black_smile(DAY[0], days, forward, [strike], smirk, rate)[flag == "c" :][:1]
        back = implied.implied_volatility(row["Settle"], forward, strike, rate, tau, flag)
        assert sigma == pytest.approx(back, abs=1e-6)


def test_a_quadratic_smile_gives_its_own_coefficients():
    """In standard deviations the coefficients are b * s and c * s^2, s = atm * sqrt(tau)."""
    days = 60
    seen = first_expiry(black_smile(DAY[0], days, 20000.0, STRIKES, smirk))
    scale = seen["atm"] * math.sqrt(days / YEAR)
    assert seen["atm"] == pytest.approx(0.2, abs=1e-9)
    assert seen["slope"] == pytest.approx(-0.15 * scale, rel=1e-6)
    assert seen["curvature"] == pytest.approx(0.6 * scale**2, rel=1e-6)


def test_the_forward_comes_from_the_strike_with_the_closest_prices():
    """At 20,000 the gap is 10 with the interest of the call; the tie at 20,250 is higher."""
    rows = [
        quote(DAY[0], 73, 19750.0, "put", IV=30.0),
        *pair(DAY[0], 73, 20000.0, Settle=(100.0, 110.0), IR=(50.0, 10.0), IV=(24.0, 22.0)),
        *pair(DAY[0], 73, 20250.0, Settle=(110.0, 100.0), IR=0.0, IV=(99.0, 20.0)),
    ]
    forward = 20000.0 + math.exp(0.10 * 73 / 365) * 10.0
    # the put struck at 20,000 is out of the money now, and the call at 20,250
    x = [math.log(20000.0 / forward), math.log(20250.0 / forward)]
    assert first_expiry(rows)["atm"] == pytest.approx(np.interp(0.0, x, [0.24, 0.20]), rel=1e-12)


def test_a_strike_without_both_prices_is_no_forward():
    """The closest pair of prices may have a hole."""
    rows = [
        quote(DAY[0], 30, 19000.0, "put", IV=30.0),
        *pair(DAY[0], 30, 19900.0, Settle=(0.0, 0.0)),
        *pair(DAY[0], 30, 20000.0, Settle=(100.0, 101.0), IV=(25.0, 20.0)),
        *pair(DAY[0], 30, 20100.0, Settle=(100.0, NAN), IV=21.0),
        quote(DAY[0], 30, 20500.0, "call", IV=22.0),
    ]
    x = [math.log(20000.0 / 20001.0), math.log(20500.0 / 20001.0)]
    assert first_expiry(rows)["atm"] == pytest.approx(np.interp(0.0, x, [0.25, 0.22]), rel=1e-12)


@pytest.mark.parametrize(
    "rows",
    [
        [quote(DAY[0], 30, 20000.0, "put"), quote(DAY[0], 30, 20250.0, "call")],  # no forward
        pair(DAY[0], 30, 20000.0),  # no put below it
        [*pair(DAY[0], 30, 20000.0), quote(DAY[0], 30, 18000.0, "put")],  # put too far away
        [
            *pair(DAY[0], 30, 20000.0, Settle=(99.0, 100.0)),
            quote(DAY[0], 30, 23000.0, "call"),
        ],  # call too far away
        [quote(DAY[0], 30, 19900.0, "put"), *pair(DAY[0], 30, 20000.0, IR=NAN)],  # no rate
    ],
)
def test_an_expiry_without_quotes_on_both_sides_near_the_money_has_no_smile(rows):
    """Nothing is measured on it."""
    assert all(math.isnan(value) for value in first_expiry(rows).values())


def test_a_wing_ends_where_the_quotes_end():
    """Without a pair around a delta of 0.25 the wing is null, the money is not."""
    rows = black_smile(DAY[0], 90, 20000.0, np.arange(19500.0, 24001.0, 250.0), smirk)
    seen = first_expiry(rows)
    assert math.isnan(seen["put25"])
    assert not math.isnan(seen["call25"])
    assert not math.isnan(seen["atm"])


def test_of_several_pairs_around_a_delta_the_one_nearest_the_money_counts():
    """A kink far out, whose delta rises above 0.25 again, does not move the wing."""
    rows = black_smile(DAY[0], 90, 20000.0, STRIKES, smirk)
    expected = first_expiry(rows)
    for row in rows:
        if row["Strike"] == 16000.0:
            row["IV"] = 150.0
    seen = first_expiry(rows)
    assert seen["put25"] == expected["put25"]


def test_a_fit_needs_six_quotes_within_one_and_a_half_deviations():
    """Five are not enough."""
    days, iv = 30, 20.0
    deviation = 0.2 * math.sqrt(days / YEAR)
    strikes = [20000.0 * math.exp(y * deviation) for y in (-1.49, -0.8, 0.0, 0.5, 1.0, 1.49)]
    rows = [row for strike in strikes for row in pair(DAY[0], days, strike, IV=iv)]
    for row in rows:
        row["Settle"] = 50.0 if row["Strike"] == 20000.0 else 20.0 + 10.0 * (row["PCDiv"] == "1")
    assert first_expiry(rows)["slope"] == pytest.approx(0.0, abs=1e-12)
    for row in rows:
        if row["Strike"] == strikes[-1]:
            row["Strike"] = 20000.0 * math.exp(1.51 * deviation)
    seen = first_expiry(rows)
    assert math.isnan(seen["slope"])
    assert math.isnan(seen["curvature"])
    assert seen["atm"] == pytest.approx(0.2)


def test_replication_by_hand():
    """Three strikes: the outer ones take their only distance, the centre the mean of both sides."""
    rows = [
        quote(DAY[0], 73, 19500.0, "put", Settle=40.0),
        *pair(DAY[0], 73, 20000.0, Settle=(200.0, 210.0)),
        quote(DAY[0], 73, 20250.0, "call", Settle=90.0),
        quote(DAY[0], 73, 21000.0, "call", Settle=0.9),  # cheaper than a tick
    ]
    tau, forward = 0.2, 20010.0
    total = 500 / 19500**2 * 40 + 375 / 20000**2 * 205 + 250 / 20250**2 * 90
    s2 = 2 / tau * total - (forward / 20000 - 1) ** 2 / tau
    assert first_expiry(rows)["model_free"] == pytest.approx(math.sqrt(s2), rel=1e-12)


def test_a_variance_that_is_not_positive_is_no_volatility():
    """A centre far below the forward takes more away than the prices give."""
    rows = [
        quote(DAY[0], 7, 19999.0, "put", Settle=1.0),
        *pair(DAY[0], 7, 20000.0, Settle=(1.0, 999.0)),
        quote(DAY[0], 7, 21001.0, "call", Settle=1.0),
    ]
    rows.append(quote(DAY[0], 7, 21000.0, "put", Settle=0.0))
    assert math.isnan(first_expiry(rows)["model_free"])


def test_expiries_of_less_than_a_week_are_left_out():
    """Seven days count."""
    rows = [row for days in (1, 6, 7, 35) for row in tiny_smile(DAY[0], days, 20.0)]
    np.testing.assert_array_equal(measured(rows).days, [7, 35])


def test_expiries_are_cut_at_days_even_where_the_distance_repeats():
    """Two sessions with one expiry each at the same distance are two smiles."""
    sessions = weekdays(3)
    rows = [*tiny_smile(sessions[0], 30, 20.0), *tiny_smile(sessions[1], 30, 21.0)]
    smiles = measured(rows, 3)
    np.testing.assert_array_equal(smiles.offsets, [0, 1, 2, 2])
    np.testing.assert_allclose(smiles.atm, [0.20, 0.21])


def horizon_of(expiries, horizon):
    """ATM volatility of one day at a horizon, from {days: volatility in percent}."""
    rows = [row for days, iv in expiries.items() for row in tiny_smile(DAY[0], days, iv)]
    smiles = measured(rows)
    return at_horizon(smiles, smiles.atm, horizon)[0]


def test_between_two_expiries_variance_is_linear_in_time():
    """20 % at 20 days and 30 % at 50 days, by hand."""
    w = (20 * 0.04 * 20 + 10 * 0.09 * 50) / 30
    assert horizon_of({10: 99.0, 20: 20.0, 50: 30.0, 80: 99.0}, 30.0) == pytest.approx(
        math.sqrt(w / 30), rel=1e-12
    )


@pytest.mark.parametrize(
    ("expiries", "expected"),
    [
        ({30: 20.0, 60: 40.0}, 0.20),  # an expiry on the horizon is the nearer one
        ({31: 20.0, 60: 40.0}, 0.20),
        ({8: 40.0, 29: 20.0}, 0.20),
        ({29: 20.0, 6: 40.0}, 0.20),
        ({6: 20.0}, NAN),
    ],
)
def test_outside_the_expiries_the_volatility_is_flat(expiries, expected):
    """The nearest one there is; none at all is null."""
    np.testing.assert_allclose(horizon_of(expiries, 30.0), expected, rtol=1e-12)


def test_interpolation_skips_expiries_without_the_measure():
    """An expiry with a volatility at the forward but without a wing does not stop the wing."""
    strikes = np.arange(15000.0, 25001.0, 250.0)
    rows = [
        *black_smile(DAY[0], 15, 20000.0, strikes, lambda x: 0.2),
        *black_smile(DAY[0], 28, 20000.0, strikes[strikes >= 19750.0], lambda x: 0.3),
        *black_smile(DAY[0], 60, 20000.0, strikes, lambda x: 0.25),
    ]
    smiles = measured(rows)
    assert np.isnan(smiles.put25).tolist() == [False, True, False]
    w = (30 * 0.04 * 15 + 15 * 0.0625 * 60) / 45
    assert at_horizon(smiles, smiles.put25, 30.0)[0] == pytest.approx(math.sqrt(w / 30), rel=1e-9)


def test_of_two_expiries_at_equal_distance_the_shorter_is_closest():
    """20 and 40 days are both ten days from 30; invalid expiries do not compete."""
    rows = [
        *pair(DAY[0], 29, 20000.0),
        *tiny_smile(DAY[0], 20, 21.0),
        *tiny_smile(DAY[0], 40, 22.0),
        *tiny_smile(DAY[0], 9, 23.0),
    ]
    smiles = measured(rows)
    assert closest(smiles, smiles.atm, 30.0)[0] == pytest.approx(0.21)
    assert closest(smiles, smiles.atm, 31.0)[0] == pytest.approx(0.22)
    assert closest(smiles, smiles.atm, 7.0)[0] == pytest.approx(0.23)
