"""Family session: morning and afternoon, raw prices of one day each."""

from __future__ import annotations

import math
from collections.abc import Callable

from tests.reference.market import Bar, History
from tests.reference.operators import Value, at_least, difference, minus_one, ratio


def of_day(formula: Callable[[Bar], Value]) -> Callable[[History], Value]:
    """A formula of the bar of T; null without a trade."""

    def value(s: History) -> Value:
        bar = s.trades[-1]
        return None if bar is None else formula(bar)

    return value


def log_ratio(a: Value, b: Value) -> Value:
    return None if a is None or b is None else math.log(a / b)


def pm_minus_am_20d(s: History) -> Value:
    bars = [bar for bar in s.trades[-20:] if bar is not None]
    afternoons = at_least(10, [log_ratio(bar.ac, bar.ao) for bar in bars])
    mornings = at_least(10, [log_ratio(bar.mc, bar.mo) for bar in bars])
    if afternoons is None or mornings is None:
        return None
    return math.fsum(afternoons) - math.fsum(mornings)


FEATURES: dict[str, Callable[[History], Value]] = {
    "am_ret": of_day(lambda bar: minus_one(ratio(bar.mc, bar.mo))),
    "pm_ret": of_day(lambda bar: minus_one(ratio(bar.ac, bar.ao))),
    "lunch_gap": of_day(lambda bar: minus_one(ratio(bar.ao, bar.mc))),
    "am_range": of_day(lambda bar: ratio(difference(bar.mh, bar.ml), bar.mo)),
    "am_to_full_range": of_day(
        lambda bar: ratio(difference(bar.mh, bar.ml), difference(bar.h, bar.l))
    ),
    "am_value_share": of_day(lambda bar: ratio(bar.mva, bar.va)),
    "pm_minus_am_20d": pm_minus_am_20d,
}
