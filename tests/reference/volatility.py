"""Family volatility."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

from tests.reference.market import History
from tests.reference.moving_average import true_range
from tests.reference.operators import (
    Value,
    at_least,
    back,
    complete,
    decaying_mean,
    mean,
    quantile,
    ratio,
    std,
    var,
    wilder,
    window,
)
from tests.reference.price_return import overnight_terms

YEAR = 252


def annual(daily_variance: float) -> Value:
    """Square root of 252 daily variances; null for the root of a negative number."""
    return None if daily_variance < 0 else math.sqrt(YEAR * daily_variance)


def of_bars(
    s: History, term: Callable[[float, float, float, float], float], width: int, ago: int = 0
) -> list[Value]:
    """A term in o, h, l, c of every traded column of a window."""
    result: list[Value] = []
    fields = (window(x, width, ago) for x in (s.o, s.h, s.l, s.c))
    for o, h, low, c in zip(*fields, strict=True):
        if o is None or h is None or low is None or c is None:
            result.append(None)
        else:
            result.append(term(o, h, low, c))
    return result


def realized_vol(s: History, n: int, ago: int = 0) -> Value:
    g = complete(window(s.g, n, ago))
    return None if g is None else math.sqrt(YEAR) * std(g)


def rv_ewma_0p94(s: History) -> Value:
    squares = [None if g is None else g * g for g in reversed(window(s.g, 230))]
    variance = decaying_mean(squares, 0.94, 20)
    return None if variance is None else annual(variance)


def parkinson(o: float, h: float, low: float, c: float) -> float:
    return math.log(h / low) ** 2 / (4 * math.log(2))


def garman_klass(o: float, h: float, low: float, c: float) -> float:
    return 0.5 * math.log(h / low) ** 2 - (2 * math.log(2) - 1) * math.log(c / o) ** 2


def rogers_satchell(o: float, h: float, low: float, c: float) -> float:
    return math.log(h / c) * math.log(h / o) + math.log(low / c) * math.log(low / o)


def pk_vol_20(s: History) -> Value:
    terms = at_least(10, of_bars(s, parkinson, 20))
    return None if terms is None else annual(mean(terms))


def gk_vol_20(s: History) -> Value:
    terms = at_least(10, of_bars(s, garman_klass, 20))
    return None if terms is None else annual(max(0.0, mean(terms)))


def rs_vol_20(s: History) -> Value:
    terms = at_least(10, of_bars(s, rogers_satchell, 20))
    return None if terms is None else annual(mean(terms))


def yz_vol(s: History, width: int, ago: int = 0) -> Value:
    """Yang-Zhang; all three terms run over the days with a trade and a carried close before."""
    overnight = overnight_terms(s, width, ago)
    intraday = of_bars(s, lambda o, h, low, c: math.log(c / o), width, ago)
    inside = of_bars(s, rogers_satchell, width, ago)
    days = [
        (a, b, c)
        for a, b, c in zip(overnight, intraday, inside, strict=True)
        if a is not None and b is not None and c is not None
    ]
    n = len(days)
    if n < width // 2:
        return None
    k = 0.34 / (1.34 + (n + 1) / (n - 1))
    v_open = var([a for a, _, _ in days])
    v_close = var([b for _, b, _ in days])
    v_inside = mean([c for _, _, c in days])
    return annual(v_open + k * v_close + (1 - k) * v_inside)


def vov_20(s: History) -> Value:
    values = at_least(10, [yz_vol(s, 20, ago) for ago in range(20)])
    return None if values is None else std(values)


def natr_14(s: History) -> Value:
    share = ratio(wilder(true_range(s), 14), back(s.p, 0))
    return None if share is None else 100 * share


def true_range_pct(s: History) -> Value:
    return ratio(true_range(s)[-1], back(s.p, 1))


def range_expansion_20(s: History) -> Value:
    x: list[Value] = []
    for h, low, p in zip(s.h, s.l, s.p_prev, strict=True):
        x.append(None if h is None or low is None else ratio(h - low, p))
    before = at_least(10, window(x, 20, ago=1))
    return None if before is None else ratio(x[-1], mean(before))


def downside_vol_20(s: History) -> Value:
    g = complete(window(s.g, 20))
    return None if g is None else annual(mean([min(x, 0.0) ** 2 for x in g]))


def vol_z_250(s: History) -> Value:
    vols = [realized_vol(s, 20, ago) for ago in range(250)]
    known = at_least(125, vols)
    if known is None or vols[0] is None:
        return None
    return ratio(vols[0] - mean(known), std(known))


def overnight_vol_20(s: History) -> Value:
    terms = at_least(10, overnight_terms(s, 20))
    return None if terms is None else math.sqrt(YEAR) * std(terms)


def jump_share_20(s: History) -> Value:
    g = complete(window(s.g, 20))
    if g is None:
        return None
    realized = math.fsum(x * x for x in g)
    if realized == 0:
        return None
    products = math.fsum(abs(g[i]) * abs(g[i - 1]) for i in range(1, 20))
    bipower = math.pi / 2 * (20 / 19) * products
    return max(0.0, 1 - bipower / realized)


def var_5pct_250(s: History) -> Value:
    returns = at_least(125, window(s.r, 250))
    return None if returns is None else quantile(returns, 0.05)


FEATURES: dict[str, Callable[[History], Value]] = {
    **{f"realized_vol_{n}d": partial(realized_vol, n=n) for n in (5, 20, 60, 120)},
    "rv_ewma_0p94": rv_ewma_0p94,
    "pk_vol_20": pk_vol_20,
    "gk_vol_20": gk_vol_20,
    "rs_vol_20": rs_vol_20,
    "yz_vol_20": partial(yz_vol, width=20),
    "yz_vol_60": partial(yz_vol, width=60),
    "vov_20": vov_20,
    "natr_14": natr_14,
    "true_range_pct": true_range_pct,
    "range_expansion_20": range_expansion_20,
    "downside_vol_20": downside_vol_20,
    "vol_z_250": vol_z_250,
    "overnight_vol_20": overnight_vol_20,
    "jump_share_20": jump_share_20,
    "var_5pct_250": var_5pct_250,
}
