"""Family candle: shares and ratios inside the bar of T, on its raw prices."""

from __future__ import annotations

from collections.abc import Callable

from tests.reference.market import History
from tests.reference.operators import Value, ratio

Formula = Callable[[float, float, float, float], Value]


def of_bar(formula: Formula) -> Callable[[History], Value]:
    """Apply a formula in o, h, l, c to the bar of T; null without a trade."""

    def value(s: History) -> Value:
        o, h, low, c = s.o[-1], s.h[-1], s.l[-1], s.c[-1]
        if o is None or h is None or low is None or c is None:
            return None
        return formula(o, h, low, c)

    return value


def share_of_range(part: float, h: float, low: float) -> float:
    """``part / (h - l)``, 0 when the bar has no range."""
    return 0.0 if h == low else part / (h - low)


def vwap_to_close(s: History) -> Value:
    bar = s.trades[-1]
    if bar is None:
        return None
    return ratio(ratio(bar.va, bar.vo), bar.c)


FEATURES: dict[str, Callable[[History], Value]] = {
    "ret_intraday": of_bar(lambda o, h, low, c: c / o - 1),
    "kbar_len": of_bar(lambda o, h, low, c: (h - low) / o),
    "kbar_body_share": of_bar(lambda o, h, low, c: share_of_range(c - o, h, low)),
    "kbar_upper": of_bar(lambda o, h, low, c: (h - max(o, c)) / o),
    "kbar_upper_share": of_bar(lambda o, h, low, c: share_of_range(h - max(o, c), h, low)),
    "kbar_lower": of_bar(lambda o, h, low, c: (min(o, c) - low) / o),
    "kbar_lower_share": of_bar(lambda o, h, low, c: share_of_range(min(o, c) - low, h, low)),
    "kbar_shift": of_bar(lambda o, h, low, c: (2 * c - h - low) / o),
    "kbar_shift_share": of_bar(lambda o, h, low, c: share_of_range(2 * c - h - low, h, low)),
    "high_to_close": of_bar(lambda o, h, low, c: h / c),
    "low_to_close": of_bar(lambda o, h, low, c: low / c),
    "vwap_to_close": vwap_to_close,
}
