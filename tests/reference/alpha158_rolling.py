"""Family alpha158_rolling: 21 quantities, each over 5, 10, 20, 30 and 60 columns."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

from tests.reference.market import History
from tests.reference.operators import (
    Value,
    Values,
    after,
    at_least,
    back,
    change,
    complete,
    correlation,
    equal,
    mean,
    quantile,
    ratio,
    simple_return,
    std,
    window,
)

MIN_TRADED = {5: 3, 10: 5, 20: 10, 30: 15, 60: 30}
"""Window width -> traded days it needs for bar fields."""


def close_std_ratio(s: History, w: int) -> Value:
    p = complete(window(s.p, w))
    return None if p is None else std(p) / p[-1]


def ols_line(p: Sequence[float]) -> tuple[float, float]:
    """Intercept and slope of p on x = 1..n."""
    xs = range(1, len(p) + 1)
    x_mean, p_mean = mean(list(xs)), mean(p)
    together = math.fsum((x - x_mean) * (y - p_mean) for x, y in zip(xs, p, strict=True))
    slope = together / math.fsum((x - x_mean) ** 2 for x in xs)
    return p_mean - slope * x_mean, slope


def trend_slope(s: History, w: int) -> Value:
    p = complete(window(s.p, w))
    return None if p is None else ols_line(p)[1] / p[-1]


def trend_r2(s: History, w: int) -> Value:
    p = complete(window(s.p, w))
    rho = None if p is None else correlation(p, range(1, w + 1))
    return None if rho is None else rho**2


def trend_resid(s: History, w: int) -> Value:
    p = complete(window(s.p, w))
    if p is None:
        return None
    intercept, slope = ols_line(p)
    return (p[-1] - (intercept + slope * w)) / p[-1]


def high_max_ratio(s: History, w: int) -> Value:
    highs = at_least(MIN_TRADED[w], window(s.h, w))
    return None if highs is None else ratio(max(highs), back(s.p, 0))


def low_min_ratio(s: History, w: int) -> Value:
    lows = at_least(MIN_TRADED[w], window(s.l, w))
    return None if lows is None else ratio(min(lows), back(s.p, 0))


def close_quantile_ratio(s: History, w: int, share: float) -> Value:
    p = complete(window(s.p, w))
    return None if p is None else quantile(p, share) / p[-1]


def close_rank(s: History, w: int) -> Value:
    p = complete(window(s.p, w))
    if p is None:
        return None
    same = sum(equal(x, p[-1]) for x in p)
    below = sum(x < p[-1] and not equal(x, p[-1]) for x in p)
    return (below + (same + 1) / 2) / w


def rsv(s: History, w: int) -> Value:
    p = back(s.p, 0)
    highs = at_least(MIN_TRADED[w], window(s.h, w))
    lows = at_least(MIN_TRADED[w], window(s.l, w))
    if p is None or highs is None or lows is None or equal(max(highs), min(lows)):
        return None
    return (p - min(lows)) / (max(highs) - min(lows))


def first_position(prices: Values, level: float) -> int:
    """Position, from 1, of the oldest price that equals ``level``."""
    return next(i for i, x in enumerate(prices, 1) if x is not None and equal(x, level))


def high_pos(s: History, w: int) -> Value:
    highs = at_least(MIN_TRADED[w], window(s.h, w))
    return None if highs is None else first_position(window(s.h, w), max(highs)) / w


def low_pos(s: History, w: int) -> Value:
    lows = at_least(MIN_TRADED[w], window(s.l, w))
    return None if lows is None else first_position(window(s.l, w), min(lows)) / w


def correlation_of_pairs(xs: Values, ys: Values, min_count: int) -> Value:
    """Correlation over the columns on which both are known."""
    pairs = [(x, y) for x, y in zip(xs, ys, strict=True) if x is not None and y is not None]
    if len(pairs) < min_count:
        return None
    return correlation([x for x, _ in pairs], [y for _, y in pairs])


def corr_close_logvol(s: History, w: int) -> Value:
    log_volume = [None if v is None else math.log(v) for v in window(s.v, w)]
    return correlation_of_pairs(window(s.c, w), log_volume, MIN_TRADED[w])


def corr_ret_volchg(s: History, w: int) -> Value:
    # c instead of p: both columns must have a trade, and there the two are the same.
    price_ratio = [None if r is None else 1 + r for r in after(s.c, simple_return)]
    volume_ratio = after(s.v, lambda new, old: math.log(new / old + 1))
    return correlation_of_pairs(window(price_ratio, w), window(volume_ratio, w), MIN_TRADED[w])


def up_day_share(s: History, w: int) -> Value:
    changes = complete(after(window(s.p, w + 1), change)[1:])
    return None if changes is None else sum(d > 0 for d in changes) / w


def down_day_share(s: History, w: int) -> Value:
    changes = complete(after(window(s.p, w + 1), change)[1:])
    return None if changes is None else sum(d < 0 for d in changes) / w


def gain_share(s: History, w: int) -> Value:
    return share_of_rises(complete(after(window(s.p, w + 1), change)[1:]))


def share_of_rises(changes: list[float] | None) -> Value:
    """Sum of the rises over the sum of all absolute changes; null when nothing changed."""
    if changes is None:
        return None
    return ratio(math.fsum(max(d, 0.0) for d in changes), math.fsum(abs(d) for d in changes))


def volume_ma_ratio(s: History, w: int) -> Value:
    vol = complete(window(s.vol, w))
    return None if vol is None else ratio(mean(vol), back(s.v, 0))


def volume_std_ratio(s: History, w: int) -> Value:
    vol = complete(window(s.vol, w))
    return None if vol is None else ratio(std(vol), back(s.v, 0))


def absret_volume_cv(s: History, w: int) -> Value:
    products: list[Value] = [
        None if r is None or vol is None else abs(r) * vol
        for r, vol in zip(s.r, s.vol, strict=True)
    ]
    x = complete(window(products, w))
    return None if x is None else ratio(std(x), mean(x))


def volume_gain_share(s: History, w: int) -> Value:
    if back(s.p, 0) is None:
        return None
    return share_of_rises(complete(after(window(s.vol, w + 1), lambda new, old: new - old)[1:]))


QUANTITIES: dict[str, Callable[[History, int], Value]] = {
    "close_std_ratio": close_std_ratio,
    "trend_slope": trend_slope,
    "trend_r2": trend_r2,
    "trend_resid": trend_resid,
    "high_max_ratio": high_max_ratio,
    "low_min_ratio": low_min_ratio,
    "close_q80_ratio": partial(close_quantile_ratio, share=0.8),
    "close_q20_ratio": partial(close_quantile_ratio, share=0.2),
    "close_rank": close_rank,
    "rsv": rsv,
    "high_pos": high_pos,
    "low_pos": low_pos,
    "corr_close_logvol": corr_close_logvol,
    "corr_ret_volchg": corr_ret_volchg,
    "up_day_share": up_day_share,
    "down_day_share": down_day_share,
    "gain_share": gain_share,
    "volume_ma_ratio": volume_ma_ratio,
    "volume_std_ratio": volume_std_ratio,
    "absret_volume_cv": absret_volume_cv,
    "volume_gain_share": volume_gain_share,
}


def over(quantity: Callable[[History, int], Value], width: int) -> Callable[[History], Value]:
    """Bind the width of a quantity."""
    return lambda s: quantity(s, width)


FEATURES: dict[str, Callable[[History], Value]] = {
    f"{name}_{width}d": over(quantity, width)
    for name, quantity in QUANTITIES.items()
    for width in MIN_TRADED
}
