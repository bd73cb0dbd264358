"""The option smile: what the quotes of one expiry say, and what that makes of 30 days.

1. ``expiry_smiles`` cuts the quotes of each day into expiries and measures each one alone:
   forward, at-the-money volatility, the two 25-delta wings, a quadratic through the smile, and
   the model-free volatility. An expiry without quotes near the money on both sides is not valid:
   all its measures are NaN.
2. ``at_horizon`` interpolates one measure between the expiries around a horizon, in total
   variance; ``closest`` picks one expiry.

Scalar code per expiry, so a day's value depends on that day's quotes alone, bit for bit.
Sources: Black (1976) for the delta; Demeterfi, Derman, Kamal and Zou (1999) and the CBOE's VIX
white paper for the model-free variance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.features.engine.column_spec import BoolArray, FloatArray
from pipeline.market.derivatives.option_quotes import OptionQuotes
from pipeline.market.jit import jit

IntArray = NDArray[np.int64]

MIN_DAYS = 7  # in the last week prices are all gamma and tick size
YEAR = 365.0  # calendar days
NEAR_MONEY = 0.1  # |ln(K/F)| up to which a quote counts for the money
WING_DELTA = 0.25
FIT_RANGE = 1.5  # standard deviations around the forward
MIN_FIT_POINTS = 6
MIN_PRICE = 1.0  # yen, one tick: cheaper quotes are noise in the model-free sum


@dataclass(frozen=True, eq=False)
class ExpirySmiles:
    """Measures per expiry of at least 7 days; NaN where the quotes do not give them.

    Attributes:
        offsets: (days + 1,) the expiries of day t are ``offsets[t]:offsets[t + 1]``, near to far.
        days: (expiries,) calendar days to the SQ day.
        atm: (expiries,) volatility at the forward, annualised fraction.
        put25, call25: (expiries,) volatility at forward delta -0.25 and +0.25.
        slope, curvature: (expiries,) coefficients of the quadratic in standard deviations.
        model_free: (expiries,) square root of the model-free variance.
    """

    offsets: IntArray
    days: FloatArray
    atm: FloatArray
    put25: FloatArray
    call25: FloatArray
    slope: FloatArray
    curvature: FloatArray
    model_free: FloatArray


def expiry_smiles(quotes: OptionQuotes, first: int, stop: int) -> ExpirySmiles:
    """Measure every expiry of the columns [first, stop)."""
    low, high = int(quotes.offsets[first]), int(quotes.offsets[stop])
    days = quotes.days[low:high]
    column = np.repeat(np.arange(stop - first), np.diff(quotes.offsets[first : stop + 1]))
    is_first = np.ones(high - low, np.bool_)
    is_first[1:] = (np.diff(days) != 0) | (np.diff(column) != 0)
    starts = np.flatnonzero(is_first)
    stops = np.append(starts[1:], high - low)
    kept = days[starts] >= MIN_DAYS
    starts, stops = starts[kept], stops[kept]
    measures = _measure_all(
        quotes.strike[low:high],
        quotes.is_call[low:high],
        quotes.iv[low:high],
        quotes.rate[low:high],
        quotes.settle[low:high],
        starts,
        stops,
        days[starts].astype(np.float64),
    )
    return ExpirySmiles(
        np.searchsorted(column[starts], np.arange(stop - first + 1)),
        days[starts].astype(np.float64),
        *measures,
    )


def at_horizon(smiles: ExpirySmiles, volatility: FloatArray, horizon: float) -> FloatArray:
    """A volatility at ``horizon`` calendar days, (days,), linear in total variance.

    Between the last expiry up to the horizon and the first one after it, among those that have
    the volatility; flat where one side is missing, NaN where both are.
    """
    return _at_horizon(smiles.offsets, smiles.days, volatility, horizon)


def closest(smiles: ExpirySmiles, measure: FloatArray, horizon: float) -> FloatArray:
    """The measure on the valid expiry closest to ``horizon``, (days,); the shorter one on a tie."""
    return _closest(smiles.offsets, smiles.days, smiles.atm, measure, horizon)


@jit
def _at_horizon(
    offsets: IntArray, days: FloatArray, volatility: FloatArray, horizon: float
) -> FloatArray:
    result = np.full(offsets.size - 1, np.nan)
    for t in range(result.size):
        before = after = -1
        for i in range(offsets[t], offsets[t + 1]):
            if math.isnan(volatility[i]):
                continue
            if days[i] <= horizon:
                before = i
            else:
                after = i
                break
        if before < 0 or after < 0:
            if before != after:
                result[t] = volatility[max(before, after)]
            continue
        w1 = volatility[before] ** 2 * days[before] / YEAR
        w2 = volatility[after] ** 2 * days[after] / YEAR
        w = (days[after] - horizon) * w1 + (horizon - days[before]) * w2
        result[t] = math.sqrt(w / (days[after] - days[before]) * YEAR / horizon)
    return result


@jit
def _closest(
    offsets: IntArray, days: FloatArray, atm: FloatArray, measure: FloatArray, horizon: float
) -> FloatArray:
    result = np.full(offsets.size - 1, np.nan)
    for t in range(result.size):
        best = np.inf
        for i in range(offsets[t], offsets[t + 1]):
            distance = abs(days[i] - horizon)
            if not math.isnan(atm[i]) and distance < best:
                best = distance
                result[t] = measure[i]
    return result


@jit
def _measure_all(
    strike: FloatArray,
    is_call: BoolArray,
    iv: FloatArray,
    rate: FloatArray,
    settle: FloatArray,
    starts: IntArray,
    stops: IntArray,
    days: FloatArray,
) -> FloatArray:
    """(6, expiries) in the order of ``ExpirySmiles``."""
    measures = np.full((6, starts.size), np.nan)
    for e in range(starts.size):
        at = slice(starts[e], stops[e])
        _measure(
            strike[at], is_call[at], iv[at], rate[at], settle[at], days[e] / YEAR, measures[:, e]
        )
    return measures


@jit
def _measure(
    strike: FloatArray,
    is_call: BoolArray,
    iv: FloatArray,
    rate: FloatArray,
    settle: FloatArray,
    tau: float,
    measures: FloatArray,
) -> None:
    """Fill the measures of one expiry if it is valid; its quotes ascend by strike, put first."""
    forward, interest = _forward(strike, rate, settle, tau)
    quoted = (iv > 0.0) & (settle > 0.0) & (is_call == (strike >= forward))
    x = np.log(strike[quoted] / forward)
    sigma = iv[quoted]
    n_puts = int(np.sum(quoted & ~is_call))
    if not 0 < n_puts < x.size:
        return
    if not (x[n_puts - 1] >= -NEAR_MONEY and x[n_puts] <= NEAR_MONEY):
        return
    atm = _between(0.0, x[n_puts - 1], x[n_puts], sigma[n_puts - 1], sigma[n_puts])
    measures[0] = atm
    measures[1] = _wing(x[:n_puts][::-1], sigma[:n_puts][::-1], tau, -WING_DELTA)
    measures[2] = _wing(x[n_puts:], sigma[n_puts:], tau, WING_DELTA)
    measures[3], measures[4] = _fit(x / (atm * math.sqrt(tau)), sigma)
    measures[5] = _model_free(strike, is_call, settle, forward, interest, tau)


@jit
def _is_pair(strike: FloatArray, settle: FloatArray, i: int) -> bool:
    """True where rows i - 1 and i are put and call of one strike, both with a price."""
    return bool(strike[i] == strike[i - 1] and settle[i] > 0.0 and settle[i - 1] > 0.0)


@jit
def _forward(
    strike: FloatArray, rate: FloatArray, settle: FloatArray, tau: float
) -> tuple[float, float]:
    """Forward by put-call parity where the two prices are closest, and the rate used; or NaN."""
    best = np.inf
    forward = interest = np.nan
    for i in range(1, strike.size):
        if not _is_pair(strike, settle, i):
            continue
        gap = settle[i] - settle[i - 1]
        if abs(gap) < best:
            best = abs(gap)
            interest = rate[i]
            forward = strike[i] + math.exp(interest * tau) * gap
    return forward, interest


@jit
def _between(x: float, x0: float, x1: float, y0: float, y1: float) -> float:
    """Linear interpolation at x between (x0, y0) and (x1, y1)."""
    return y0 + (x - x0) / (x1 - x0) * (y1 - y0)


@jit
def _delta(x: float, sigma: float, tau: float, is_put: bool) -> float:
    """Black-76 forward delta of the strike at log-moneyness x: N(d1), less 1 for a put."""
    deviation = sigma * math.sqrt(tau)
    d1 = -x / deviation + 0.5 * deviation
    if is_put:
        return -0.5 * math.erfc(d1 / math.sqrt(2.0))
    return 0.5 * math.erfc(-d1 / math.sqrt(2.0))


@jit
def _wing(x: FloatArray, sigma: FloatArray, tau: float, target: float) -> float:
    """Volatility at a delta: first pair of neighbours, from the money outwards, around it.

    Args:
        x, sigma: one side of the smile, from the money outwards.
        tau: years to expiry.
        target: delta, negative for puts.
    """
    previous = _delta(x[0], sigma[0], tau, target < 0.0)
    for i in range(1, x.size):
        delta = _delta(x[i], sigma[i], tau, target < 0.0)
        if min(previous, delta) <= target <= max(previous, delta):
            if delta == previous:
                return sigma[i - 1]  # type: ignore[no-any-return]
            return _between(target, previous, delta, sigma[i - 1], sigma[i])
        previous = delta
    return math.nan


@jit
def _fit(y: FloatArray, sigma: FloatArray) -> tuple[float, float]:
    """Coefficients of y and y^2 of the least-squares quadratic over |y| <= 1.5.

    Centred on the means: what is left is a system of two equations without the intercept.
    """
    inside = np.abs(y) <= FIT_RANGE
    n = int(np.sum(inside))
    if n < MIN_FIT_POINTS:
        return math.nan, math.nan
    u, v, s = y[inside], y[inside] ** 2, sigma[inside]
    u, v, s = u - np.sum(u) / n, v - np.sum(v) / n, s - np.sum(s) / n
    uu, uv, vv = np.sum(u * u), np.sum(u * v), np.sum(v * v)
    us, vs = np.sum(u * s), np.sum(v * s)
    determinant = uu * vv - uv * uv
    return (us * vv - vs * uv) / determinant, (vs * uu - us * uv) / determinant


@jit
def _model_free(
    strike: FloatArray,
    is_call: BoolArray,
    settle: FloatArray,
    forward: float,
    interest: float,
    tau: float,
) -> float:
    """Square root of the variance replicated by out-of-the-money prices; NaN unless positive."""
    centre = -1  # call row of K0, the largest strike up to the forward with both prices
    for i in range(1, strike.size):
        if strike[i] <= forward and _is_pair(strike, settle, i):
            centre = i
    if centre < 0:
        return math.nan
    price = np.where(is_call == (strike >= forward), settle, np.nan)
    price[centre - 1] = np.nan
    price[centre] = 0.5 * (settle[centre - 1] + settle[centre])
    kept = price >= MIN_PRICE
    k, q = strike[kept], price[kept]
    if k.size < 2:
        return math.nan
    total = 0.0
    for i in range(k.size):
        below, above = max(i - 1, 0), min(i + 1, k.size - 1)
        total += (k[above] - k[below]) / (above - below) / k[i] ** 2 * q[i]
    growth = math.exp(interest * tau)
    variance = 2.0 / tau * growth * total - (forward / strike[centre] - 1.0) ** 2 / tau
    return math.sqrt(variance) if variance > 0.0 else math.nan
