"""Family price_return."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

from tests.reference.market import History
from tests.reference.operators import (
    Value,
    at_least,
    back,
    complete,
    log_return,
    minus_one,
    ratio,
    simple_return,
    window,
)


def overnight_terms(s: History, width: int, ago: int = 0) -> list[Value]:
    """``ln(o_u / p_(u-1))`` of every column of a window."""
    opens, closes = window(s.o, width, ago), window(s.p_prev, width, ago)
    return [log_return(o, p) for o, p in zip(opens, closes, strict=True)]


def ret_prev(s: History, n: int) -> Value:
    return simple_return(back(s.p, 0), back(s.p, n))


def mom_250_20(s: History) -> Value:
    return simple_return(back(s.p, 20), back(s.p, 250))


def ret_overnight(s: History) -> Value:
    return simple_return(back(s.o, 0), back(s.p, 1))


def overnight_ret_sum_20d(s: History) -> Value:
    terms = at_least(10, overnight_terms(s, 20))
    return None if terms is None else math.fsum(terms)


def max_ret_20d(s: History) -> Value:
    returns = complete(window(s.r, 20))
    return None if returns is None else max(returns)


def min_ret_20d(s: History) -> Value:
    returns = complete(window(s.r, 20))
    return None if returns is None else min(returns)


def dist_high_250d(s: History) -> Value:
    highs = at_least(125, window(s.h, 250))
    return None if highs is None else minus_one(ratio(back(s.p, 0), max(highs)))


def dist_low_250d(s: History) -> Value:
    lows = at_least(125, window(s.l, 250))
    return None if lows is None else minus_one(ratio(back(s.p, 0), min(lows)))


def max_drawdown_60d(s: History) -> Value:
    p = complete(window(s.p, 60))
    if p is None:
        return None
    return min(p[j] / p[i] - 1 for i in range(60) for j in range(i, 60))


def ret_streak(s: History) -> Value:
    now = back(s.r, 0)
    if now is None or now == 0:
        return now
    sign = 1 if now > 0 else -1
    length = 0
    for r in reversed(window(s.r, 20)):
        if r is None or r * sign <= 0:
            break
        length += 1
    return sign * length


def fdiff_0p4_100(s: History) -> Value:
    p = complete(window(s.p, 100))
    if p is None:
        return None
    weight, terms = 1.0, []
    for k in range(100):
        if k > 0:
            weight = -weight * (0.4 - k + 1) / k
        terms.append(weight * math.log(p[-1 - k] / p[-1]))
    return math.fsum(terms)


FEATURES: dict[str, Callable[[History], Value]] = {
    **{f"ret_prev_{n}d": partial(ret_prev, n=n) for n in (1, 5, 10, 20, 30, 60, 120, 250)},
    "mom_250_20": mom_250_20,
    "ret_overnight": ret_overnight,
    "overnight_ret_sum_20d": overnight_ret_sum_20d,
    "max_ret_20d": max_ret_20d,
    "min_ret_20d": min_ret_20d,
    "dist_high_250d": dist_high_250d,
    "dist_low_250d": dist_low_250d,
    "max_drawdown_60d": max_drawdown_60d,
    "ret_streak": ret_streak,
    "fdiff_0p4_100": fdiff_0p4_100,
}
