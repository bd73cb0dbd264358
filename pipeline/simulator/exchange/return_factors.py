"""Common moves of the market: one market factor, 33 industries, and two indices on top.

A session is four legs: overnight, morning, lunch break, afternoon. Every leg of every factor is
a normal log return; the variance of the day follows GARCH(1,1), so that calm and storm cluster.
Everything runs forward in time from a stream per session: a longer market has the same past.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline.simulator.exchange.code_tables import OTHER_INDUSTRY
from pipeline.simulator.exchange.exchange_calendar import SYSTEM_FAILURE
from pipeline.simulator.random_streams import stream

if TYPE_CHECKING:
    from pipeline.simulator.array_types import BoolArray, DateArray, FloatArray

LEG_SHARE = np.array([0.30, 0.36, 0.04, 0.30])  # of the day's variance
N_LEGS = 4
N_INDUSTRIES = OTHER_INDUSTRY

_MARKET_DAILY_VOL = 0.0105
_INDUSTRY_DAILY_VOL = 0.0070
_DRIFT = 0.0001
_ARCH, _GARCH = 0.10, 0.87
_VARIANCE_CAP = 25.0  # times the long-run variance; keeps a storm finite
_TOPIX_START, _NIKKEI_START = 1850.0, 27500.0
_NIKKEI_BETA, _NIKKEI_OWN_VOL = 1.08, 0.0030


@dataclass(frozen=True, eq=False)
class Factors:
    """Common log returns.

    Attributes:
        market: (sessions, legs).
        industry: (sessions, industries, legs), in excess of the market.
        market_variance: (sessions,) variance of the market's log return of the day.
        industry_variance: (sessions, industries).
        topix, nikkei: (sessions, 4) open, high, low, close in index points, two decimals.
    """

    market: FloatArray
    industry: FloatArray
    market_variance: FloatArray
    industry_variance: FloatArray
    topix: FloatArray
    nikkei: FloatArray


def make_factors(seed: int, sessions: DateArray) -> Factors:
    """Factors of consecutive sessions; the first is the first day of the market."""
    shocks = np.stack([_shocks(seed, day) for day in sessions])
    market_z, industry_z, own_z = shocks[:, 0], shocks[:, 1 : 1 + N_INDUSTRIES], shocks[:, -1]
    halted = sessions == SYSTEM_FAILURE
    market, market_variance = _garch(market_z, _MARKET_DAILY_VOL**2, halted)
    industry, industry_variance = _garch(industry_z, _INDUSTRY_DAILY_VOL**2, halted)
    market[~halted] += _DRIFT * LEG_SHARE
    own = own_z * np.sqrt(LEG_SHARE) * _NIKKEI_OWN_VOL
    own[halted] = 0.0
    nikkei_legs = _NIKKEI_BETA * market + own
    nikkei_variance = _NIKKEI_BETA**2 * market_variance + _NIKKEI_OWN_VOL**2
    bridge = np.stack([stream(seed, "index", _ordinal(day)).random((2, 2, 2)) for day in sessions])
    return Factors(
        market=market,
        industry=industry,
        market_variance=market_variance,
        industry_variance=industry_variance,
        topix=_index_bars(_TOPIX_START, market, market_variance, bridge[:, 0], halted),
        nikkei=_index_bars(_NIKKEI_START, nikkei_legs, nikkei_variance, bridge[:, 1], halted),
    )


def bridge_extremes(
    start: FloatArray, stop: FloatArray, variance: FloatArray, uniform: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Highest and lowest log price between two known ends.

    Exact distribution of the extremes of a Brownian bridge (each one alone).

    Args:
        start, stop: log prices, any shape.
        variance: of the log return over the stretch, same shape.
        uniform: (2, ...) numbers in [0, 1).
    """
    middle, spread = (start + stop) / 2, (stop - start) ** 2
    reach = np.sqrt(spread - 2.0 * variance * np.log1p(-uniform)) / 2
    return middle + reach[0], middle - reach[1]


def _shocks(seed: int, day: np.datetime64) -> FloatArray:
    draw = stream(seed, "factors", _ordinal(day)).standard_normal((N_INDUSTRIES + 2, N_LEGS))
    # Rows: the market, the industries, the own noise of the Nikkei-like index.
    return draw


def _garch(z: FloatArray, long_run: float, halted: BoolArray) -> tuple[FloatArray, FloatArray]:
    """Log returns with the shape of ``z`` (sessions, ..., legs), and their daily variance."""
    returns = np.empty_like(z)
    variances = np.empty(z.shape[:-1])
    variance = np.full(z.shape[1:-1], long_run)
    legs = np.sqrt(LEG_SHARE)
    for t in range(z.shape[0]):
        variances[t] = variance
        returns[t] = 0.0 if halted[t] else np.sqrt(variance)[..., None] * legs * z[t]
        day = returns[t].sum(axis=-1)
        variance = (1 - _ARCH - _GARCH) * long_run + _ARCH * day**2 + _GARCH * variance
        variance = np.minimum(variance, _VARIANCE_CAP * long_run)
    return returns, variances


def _index_bars(
    start: float,
    legs: FloatArray,
    variance: FloatArray,
    uniform: FloatArray,
    halted: BoolArray,
) -> FloatArray:
    """Open, high, low, close from the legs; a halted session repeats the close before it."""
    points = np.log(start) + np.cumsum(legs.ravel()).reshape(legs.shape)
    opening, noon, reopening, close = points.T
    high_m, low_m = bridge_extremes(opening, noon, variance * LEG_SHARE[1], uniform[:, 0].T)
    high_a, low_a = bridge_extremes(reopening, close, variance * LEG_SHARE[3], uniform[:, 1].T)
    bars = np.stack([opening, np.maximum(high_m, high_a), np.minimum(low_m, low_a), close], axis=1)
    bars[halted, :] = bars[halted, 3:]
    rounded: FloatArray = np.round(np.exp(bars), 2)
    return rounded


def _ordinal(day: np.datetime64) -> int:
    return int(day.astype("datetime64[D]").astype(np.int64))
