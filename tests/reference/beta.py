"""Family beta: regressions of the stock's returns on those of TOPIX."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tests.reference.futures import fut_topix_basis
from tests.reference.market import Feature, History, ReferenceMarket, of_line
from tests.reference.operators import Value, at_least, back, complete, mean, ratio, std, var, window
from tests.reference.series import topix_returns
from tests.reference.volatility import YEAR

MOMENTUM = range(20, 250)
"""Ages of the residuals in resid_mom_250_20."""


@dataclass(frozen=True)
class Regression:
    """Ordinary least squares of y on (1, x)."""

    alpha: float
    beta: float
    residuals: list[float]


def covariance(xs: list[float], ys: list[float]) -> float:
    """Covariance, ddof 1."""
    x_mean, y_mean = mean(xs), mean(ys)
    products = [(x - x_mean) * (y - y_mean) for x, y in zip(xs, ys, strict=True)]
    return math.fsum(products) / (len(products) - 1)


def slope(ys: list[float], xs: list[float]) -> Value:
    """cov/var of y on x; null when x does not vary."""
    return ratio(covariance(xs, ys), var(xs))


def regression(market: ReferenceMarket, s: History, ago: int = 0) -> Regression | None:
    """The stock on TOPIX over the 60 columns that end at T-ago, all of them known."""
    r = complete(window(s.r, 60, ago))
    m = complete(window(topix_returns(market, s.date), 60, ago))
    beta = None if r is None or m is None else slope(r, m)
    if r is None or m is None or beta is None:
        return None
    alpha = mean(r) - beta * mean(m)
    residuals = [y - alpha - beta * x for y, x in zip(r, m, strict=True)]
    return Regression(alpha, beta, residuals)


def beta60_topix(market: ReferenceMarket, s: History) -> Value:
    fit = regression(market, s)
    return None if fit is None else fit.beta


def alpha60_topix(market: ReferenceMarket, s: History) -> Value:
    fit = regression(market, s)
    return None if fit is None else fit.alpha


def idio_vol_60(market: ReferenceMarket, s: History) -> Value:
    fit = regression(market, s)
    if fit is None:
        return None
    return math.sqrt(YEAR * math.fsum(e * e for e in fit.residuals) / 58)


def down_beta_250(market: ReferenceMarket, s: History) -> Value:
    returns = zip(window(s.r, 250), window(topix_returns(market, s.date), 250), strict=True)
    pairs = [(r, m) for r, m in returns if r is not None and m is not None and m < 0]
    if len(pairs) < 60:
        return None
    return slope([r for r, _ in pairs], [m for _, m in pairs])


def residual(market: ReferenceMarket, s: History, ago: int = 0) -> Value:
    """Return of T-ago less what the regression up to the column before expects."""
    r, m = back(s.r, ago), back(topix_returns(market, s.date), ago)
    fit = regression(market, s, ago + 1)
    if r is None or m is None or fit is None:
        return None
    return r - fit.alpha - fit.beta * m


def resid_mom_250_20(market: ReferenceMarket, s: History) -> Value:
    known = at_least(200, [residual(market, s, ago) for ago in MOMENTUM])
    return None if known is None else ratio(math.fsum(known), std(known))


def beta_x_fut_basis(market: ReferenceMarket, s: History) -> Value:
    beta, basis = beta60_topix(market, s), fut_topix_basis(market, s.date)
    return None if beta is None or basis is None else beta * basis


FEATURES: dict[str, Feature] = {
    "beta60_topix": of_line(beta60_topix),
    "alpha60_topix": of_line(alpha60_topix),
    "idio_vol_60": of_line(idio_vol_60),
    "down_beta_250": of_line(down_beta_250),
    "resid_ret_1d": of_line(residual),
    "resid_mom_250_20": of_line(resid_mom_250_20),
    "beta_x_fut_basis": of_line(beta_x_fut_basis),
}
