"""The implied volatility surface and the rates behind the Nikkei 225 options.

The level follows the variance of the market factor, the term structure runs back to a long-run
level, and at each expiry the smile is a parabola in standard deviations from the forward.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pipeline.simulator.array_types import FloatArray

_LONG_RUN_VOL = 0.205
_REVERSION = 4.0  # per year
_PREMIUM = 1.12  # implied over realised volatility
_SKEW, _CURVATURE = -0.085, 0.016
_DIVIDEND_YIELD = 0.018
_REACH = 6.0  # standard deviations beyond which the smile stays flat


@dataclass(frozen=True)
class Surface:
    """The surface of one date.

    Attributes:
        spot: the underlying index.
        short_vol: volatility right now, a fraction per year.
        skew, curvature: of the smile, per standard deviation and its square.
        base_rate: overnight rate, a fraction.
    """

    spot: float
    short_vol: float
    skew: float
    curvature: float
    base_rate: float

    def rate(self, years: FloatArray) -> FloatArray:
        """Rate per expiry, a fraction with six decimals (percent with four)."""
        return np.round(self.base_rate + 0.0018 * np.sqrt(years), 6)

    def forward(self, years: FloatArray) -> FloatArray:
        """Forward of the index per expiry."""
        forward: FloatArray = self.spot * np.exp((self.rate(years) - _DIVIDEND_YIELD) * years)
        return forward

    def at_the_money(self, years: FloatArray) -> FloatArray:
        """Volatility at the forward: mean variance of a mean-reverting process."""
        decay = (1 - np.exp(-_REVERSION * years)) / (_REVERSION * years)
        excess = self.short_vol**2 - _LONG_RUN_VOL**2
        vol: FloatArray = np.sqrt(_LONG_RUN_VOL**2 + excess * decay)
        return vol

    def implied(self, strike: FloatArray, years: FloatArray) -> FloatArray:
        """Implied volatility, a fraction."""
        level = self.at_the_money(years)
        deviations = np.log(strike / self.forward(years)) / (level * np.sqrt(years))
        y = np.clip(deviations, -_REACH, _REACH)
        smile: FloatArray = level * (1 + self.skew * y + self.curvature * y * y)
        return smile


def make_surface(spot: float, market_variance: float, noise: FloatArray) -> Surface:
    """The surface from the state of the market.

    Args:
        spot: close of the underlying index.
        market_variance: of the market's daily log return.
        noise: (4,) standard normal numbers of the date.
    """
    realised = np.sqrt(market_variance * 252)
    return Surface(
        spot=spot,
        short_vol=float(realised * _PREMIUM * np.exp(0.04 * noise[0])),
        skew=_SKEW + 0.01 * float(np.tanh(noise[1])),
        curvature=_CURVATURE + 0.002 * float(np.tanh(noise[2])),
        base_rate=float(-0.0006 + 0.0001 * np.tanh(noise[3])),
    )
