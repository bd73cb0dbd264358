"""The option smile by hand and by Black's formula."""

from __future__ import annotations

import datetime as dt
import math
from statistics import NormalDist
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.reference.brute import base_value
from tests.reference.option import smiles
from tests.reference.synthetic import CODE, COLUMNS, DAYS, LAST, flat_bars, market_of

TODAY = LAST.date()
FORWARD = 20000.0
STRIKES = np.arange(14000.0, 28001.0, 250.0)

Rows = list[dict[str, Any]]


def black(kind: str, strike: float, sigma: float, days: int) -> float:
    """Price by Black 1976 without interest."""
    spread = sigma * math.sqrt(days / 365)
    d1 = math.log(FORWARD / strike) / spread + spread / 2
    n = NormalDist().cdf
    sign = 1 if kind == "2" else -1
    return sign * (FORWARD * n(sign * d1) - strike * n(sign * (d1 - spread)))


def level(days: int, strike: float) -> float:
    """A smile with slope and curvature around 20 %."""
    y = math.log(strike / FORWARD) / math.sqrt(days / 365)
    return 0.2 - 0.05 * y + 0.1 * y * y


def quotes(days: int, date: dt.date = TODAY, **fields: float) -> Rows:
    """All puts and calls of one expiry."""
    return [
        {
            "Date": date,
            "SQD": date + dt.timedelta(days),
            "Strike": strike,
            "PCDiv": kind,
            "EmMrgnTrgDiv": "002",
            "IV": 100 * level(days, strike),
            "IR": 0.0,
            "Settle": black(kind, strike, level(days, strike), days),
            "OI": 1.0,
            "Vo": 1.0,
            "Va": 1.0,
            "UnderPx": FORWARD,
            **fields,
        }
        for strike in STRIKES.tolist()
        for kind in ("1", "2")
    ]


def value(name: str, rows: Rows, date: dt.date = TODAY) -> float | None:
    """A value of the market with this option file."""
    market = market_of(flat_bars(n=1), index_option=pd.DataFrame(rows))
    return base_value(market, name, date, CODE)


def at_delta(days: int, target: float) -> float:
    """IV where N(d1) has a value, by bisection on the exact smile."""
    low, high = math.log(0.7), math.log(1.4)
    for _ in range(100):
        x = (low + high) / 2
        spread = level(days, FORWARD * math.exp(x)) * math.sqrt(days / 365)
        low, high = (x, high) if NormalDist().cdf(-x / spread + spread / 2) > target else (low, x)
    return level(days, FORWARD * math.exp(low))


def test_a_smile_of_thirty_days() -> None:
    """Level, wings and parabola come back; interpolation between strikes costs a little."""
    rows = quotes(30)
    put, call = at_delta(30, 0.75), at_delta(30, 0.25)
    expected = {
        "opt_iv_atm_near": 0.2,
        "opt_iv_atm_30d": 0.2,
        "opt_iv_ts_slope_30_90": 0.0,
        "opt_skew25_30d": put - call,
        "opt_bfly25_30d": (put + call) / 2 - 0.2,
        "opt_smile_slope": -0.05 * 0.2,
        "opt_smile_curv": 0.1 * 0.2**2,
    }
    assert {n: value(n, rows) for n in expected} == pytest.approx(expected, abs=2e-4)


def test_model_free_volatility_of_a_flat_smile() -> None:
    """It is the volatility of the smile, up to the width of the strikes."""
    rows = quotes(30)
    for row in rows:
        row["Settle"] = black(row["PCDiv"], row["Strike"], 0.2, 30)
    assert value("opt_mfiv_30d", rows) == pytest.approx(0.2, rel=5e-3)


def test_the_forward_is_found_where_put_and_call_are_closest() -> None:
    """With 1 % interest the forward is recovered from discounted prices."""
    discount = math.exp(-0.01 * 60 / 365)
    rows = quotes(60, IR=1.0)
    for row in rows:
        row["Settle"] *= discount
    market = market_of(flat_bars(n=1), index_option=pd.DataFrame(rows))
    (smile,) = smiles(market, TODAY)
    assert smile.forward == pytest.approx(FORWARD)
    assert smile.rate == 0.01


def test_interpolation_in_total_variance() -> None:
    """20 % at 20 days and 30 % at 50 days; an expiry of six days does not count."""
    rows = quotes(20) + quotes(50)
    for row in rows:
        if row["SQD"] == TODAY + dt.timedelta(50):
            row["IV"] += 10
    w = (20 * 0.2**2 * 20 + 10 * 0.3**2 * 50) / 30
    assert value("opt_iv_atm_near", rows) == pytest.approx(0.2)
    assert value("opt_iv_atm_30d", rows) == pytest.approx(math.sqrt(w / 30))
    assert value("opt_iv_ts_slope_30_90", rows) == pytest.approx(0.3 - math.sqrt(w / 30))
    assert value("opt_iv_atm_near", quotes(6)) is None
    assert value("opt_iv_atm_near", quotes(6) + rows) == pytest.approx(0.2)
    assert value("opt_days_to_sq", quotes(6) + rows) == 6


def test_a_valid_smile_has_quotes_on_both_sides() -> None:
    """Nothing within ten percent on one side makes the expiry invalid."""
    rows = quotes(30)
    far = [r for r in rows if r["PCDiv"] == "1" or not 20000 <= r["Strike"] <= 22250]
    one_side = far + [r for r in rows if r["PCDiv"] == "2" and r["Strike"] == 20000]
    for row in one_side:
        row["IV"] = 0.0 if row["PCDiv"] == "2" and row["Strike"] == 20000 else row["IV"]
    assert value("opt_iv_atm_30d", one_side) is None
    other_kind = [{**row, "EmMrgnTrgDiv": "001"} for row in quotes(30)]
    assert value("opt_iv_atm_30d", other_kind) is None


def position(days: int, kind: str, strike: float, oi: float, ago: int = 0) -> dict[str, Any]:
    """One contract with open interest, so many columns ago."""
    (row,) = [r for r in quotes(30) if r["PCDiv"] == kind and r["Strike"] == strike]
    dates = {"Date": DAYS[COLUMNS - 1 - ago].date(), "SQD": TODAY + dt.timedelta(days)}
    return {**row, **dates, "OI": oi, "Vo": oi / 2, "Va": oi * 3}


def test_open_interest_by_hand() -> None:
    """Puts at 17,000 and 20,000, calls at 20,000 and 22,000; yesterday one contract more."""
    rows = [
        position(10, "1", 17000.0, 10.0),
        position(10, "1", 20000.0, 30.0),
        position(10, "2", 20000.0, 5.0),
        position(40, "2", 22000.0, 5.0),
        position(10, "1", 17000.0, 25.0, ago=1),
        position(0, "1", 17000.0, 70.0, ago=1),
    ]
    expected = {
        "opt_pc_oi_ratio": math.log(41 / 11),
        "opt_pc_volume_ratio": math.log(21 / 6),
        "opt_pc_turnover_ratio": math.log(121 / 31),
        "opt_oi_chg_1d": 1.0,
        "opt_days_to_sq": 10,
        "opt_oi_strike_dist": (170 + 600 + 100 + 110) / 50 / 20 - 1,
        "opt_max_pain_dist": 0.0,
        "opt_otm_put_oi_share": 0.25,
    }
    assert {n: value(n, rows) for n in expected} == pytest.approx(expected)
    untouched = [{**row, "OI": 0.0} for row in rows]
    for name in (
        "opt_oi_chg_1d",
        "opt_oi_strike_dist",
        "opt_max_pain_dist",
        "opt_otm_put_oi_share",
    ):
        assert value(name, untouched) is None


def test_max_pain_takes_the_lowest_of_equal_strikes() -> None:
    """A put at 19,000 and a call at 21,000: every strike between costs nothing."""
    rows = [
        position(10, "1", 19000.0, 3.0),
        position(10, "2", 21000.0, 3.0),
        position(10, "2", 20000.0, 0.0),
    ]
    assert value("opt_max_pain_dist", rows) == pytest.approx(-0.05)


def history(columns: int) -> Rows:
    """A smile on every column; its level rises by a hundredth of a point a day, N by 1 %."""
    rows = []
    for ago in range(columns):
        date = DAYS[COLUMNS - 1 - ago].date()
        near = [r for r in quotes(30, date) if 19500 <= r["Strike"] <= 20500]
        rows += [{**r, "IV": r["IV"] - 0.01 * ago, "UnderPx": 20000 * 1.01**-ago} for r in near]
    return rows


def test_variance_premium_and_rank() -> None:
    """Twenty steps of ln 1.01; the highest of 130 levels."""
    rows = history(130)
    expected = 0.04 - 252 * math.log(1.01) ** 2
    assert value("opt_vrp_30d", rows) == pytest.approx(expected)
    assert value("opt_iv_30d_pct_250", rows) == 1
    short = [row for row in rows if row["Date"] > DAYS[COLUMNS - 21].date()]
    assert value("opt_vrp_30d", short) is None
    assert value("opt_iv_30d_pct_250", short) is None
