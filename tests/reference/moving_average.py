"""Family moving_average: means, finite EMA and Wilder values, restarted adaptive means."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from tests.reference.market import History
from tests.reference.operators import (
    SAME_PRICE,
    Value,
    Values,
    at_least,
    back,
    change,
    complete,
    ema,
    equal,
    mean,
    minus_one,
    ratio,
    wilder,
    window,
)

RESTART = 120
"""Columns before T at which KAMA and VIDYA start from the price itself."""


def price_to_sma(s: History, n: int) -> Value:
    p = complete(window(s.p, n))
    return None if p is None else p[-1] / mean(p) - 1


def ema_gap(s: History, fast: int, slow: int) -> Value:
    return minus_one(ratio(ema(s.p, fast), ema(s.p, slow)))


def macd(s: History, ago: int) -> Value:
    """``ema_12[p] - ema_26[p]`` as of T-ago, in the basis of T."""
    fast, slow = ema(s.p, 12, ago), ema(s.p, 26, ago)
    return None if fast is None or slow is None else fast - slow


def macd_pct(s: History) -> Value:
    return ratio(macd(s, 0), back(s.p, 0))


def macd_hist_pct(s: History) -> Value:
    m = [macd(s, ago) for ago in reversed(range(70))]
    signal = ema(m, 9)
    return None if m[-1] is None or signal is None else ratio(m[-1] - signal, back(s.p, 0))


def kama_gap_10_2_30(s: History) -> Value:
    p = complete(window(s.p, RESTART + 10))
    if p is None:
        return None
    kama = p[9]
    for u in range(10, len(p)):
        path = sum(abs(change(p[u - j], p[u - j - 1])) for j in range(10))
        efficiency = 0.0 if path == 0 else abs(change(p[u], p[u - 10])) / path
        smoothing = (efficiency * (2 / 3 - 2 / 31) + 2 / 31) ** 2
        kama = kama + smoothing * (p[u] - kama)
    return p[-1] / kama - 1


def vidya_gap_14(s: History) -> Value:
    p = complete(window(s.p, RESTART + 14))
    if p is None:
        return None
    vidya = p[13]
    for u in range(14, len(p)):
        changes = [change(p[u - j], p[u - j - 1]) for j in range(14)]
        up = sum(d for d in changes if d > 0)
        down = sum(-d for d in changes if d < 0)
        momentum = 0.0 if up + down == 0 else abs(up - down) / (up + down)
        vidya = vidya + 2 / 15 * momentum * (p[u] - vidya)
    return p[-1] / vidya - 1


def true_range(s: History) -> list[Value]:
    """The true range of every traded column with a previous close."""
    return true_ranges(s.h, s.l, s.p_prev)


def true_ranges(highs: Values, lows: Values, closes_before: Values) -> list[Value]:
    """``max(h, p_prev) - min(l, p_prev)``."""
    result: list[Value] = []
    for h, low, p in zip(highs, lows, closes_before, strict=True):
        if h is None or low is None or p is None:
            result.append(None)
        else:
            result.append(change(max(h, p), min(low, p)))
    return result


def directional_moves(s: History) -> tuple[list[Value], list[Value]]:
    """DM+ and DM- against the previous traded day, while its close is still carried."""
    plus: list[Value] = []
    minus: list[Value] = []
    previous: tuple[float, float] | None = None
    for h, low, p_prev in zip(s.h, s.l, s.p_prev, strict=True):
        if h is None or low is None:
            plus.append(None)
            minus.append(None)
            continue
        if previous is None or p_prev is None:
            plus.append(None)
            minus.append(None)
        else:
            up, down, tolerance = h - previous[0], previous[1] - low, SAME_PRICE * h
            plus.append(up if up > tolerance and up - down > tolerance else 0.0)
            minus.append(down if down > tolerance and down - up > tolerance else 0.0)
        previous = h, low
    return plus, minus


def directional_index(moves: Values, ranges: Values, ago: int = 0) -> Value:
    """``100 * wil_14[DM] / wil_14[tr]`` as of T-ago."""
    share = ratio(wilder(moves, 14, ago), wilder(ranges, 14, ago))
    return None if share is None else 100 * share


def di_pos_14(s: History) -> Value:
    return directional_index(directional_moves(s)[0], true_range(s))


def di_neg_14(s: History) -> Value:
    return directional_index(directional_moves(s)[1], true_range(s))


def adx_14(s: History) -> Value:
    plus, minus = directional_moves(s)
    ranges = true_range(s)
    dx: list[Value] = []
    for ago in reversed(range(196)):
        di_plus = directional_index(plus, ranges, ago)
        di_minus = directional_index(minus, ranges, ago)
        if di_plus is None or di_minus is None:
            dx.append(None)
        elif di_plus + di_minus == 0:
            dx.append(0.0)
        else:
            dx.append(100 * abs(di_plus - di_minus) / (di_plus + di_minus))
    return wilder(dx, 14)


def aroon_osc_25(s: History) -> Value:
    highs, lows = window(s.h, 26), window(s.l, 26)
    seen_highs, seen_lows = at_least(13, highs), at_least(13, lows)
    if seen_highs is None or seen_lows is None:
        return None
    since_high = columns_since(highs, max(seen_highs))
    since_low = columns_since(lows, min(seen_lows))
    return 4 * ((25 - since_high) - (25 - since_low))


def columns_since(prices: Values, level: float) -> int:
    """Columns since the most recent price that equals ``level``."""
    return next(k for k, x in enumerate(reversed(prices)) if x is not None and equal(x, level))


FEATURES: dict[str, Callable[[History], Value]] = {
    **{f"price_to_sma_{n}": partial(price_to_sma, n=n) for n in (5, 10, 20, 30, 60, 120, 250)},
    "ema_gap_5_20": partial(ema_gap, fast=5, slow=20),
    "ema_gap_20_60": partial(ema_gap, fast=20, slow=60),
    "macd_pct": macd_pct,
    "macd_hist_pct": macd_hist_pct,
    "kama_gap_10_2_30": kama_gap_10_2_30,
    "vidya_gap_14": vidya_gap_14,
    "adx_14": adx_14,
    "di_pos_14": di_pos_14,
    "di_neg_14": di_neg_14,
    "aroon_osc_25": aroon_osc_25,
}
