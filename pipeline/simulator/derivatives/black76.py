"""Black (1976) prices of European options on a forward."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pipeline.simulator.array_types import BoolArray, FloatArray


def normal_cdf(x: FloatArray) -> FloatArray:
    """Standard normal distribution function, to double precision."""
    erf = [math.erf(value) for value in (x / math.sqrt(2.0)).tolist()]
    return 0.5 * (1.0 + np.array(erf, dtype=np.float64))


def black76(
    forward: FloatArray,
    strike: FloatArray,
    years: FloatArray,
    rate: FloatArray,
    volatility: FloatArray,
    call: BoolArray,
) -> FloatArray:
    """Option prices in the unit of the forward.

    Args:
        forward, strike: positive, shape (n,).
        years: to expiry, positive.
        rate: continuously compounded, a fraction.
        volatility: a fraction per year, positive.
        call: True for calls, False for puts.
    """
    deviation = volatility * np.sqrt(years)
    d1 = np.log(forward / strike) / deviation + deviation / 2
    sign = np.where(call, 1.0, -1.0)
    price: FloatArray = (
        np.exp(-rate * years)
        * sign
        * (forward * normal_cdf(sign * d1) - strike * normal_cdf(sign * (d1 - deviation)))
    )
    return np.maximum(price, 0.0)
