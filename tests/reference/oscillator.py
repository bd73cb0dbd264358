"""Family oscillator."""

from __future__ import annotations

from collections.abc import Callable

from tests.reference.market import History
from tests.reference.moving_average import true_range
from tests.reference.operators import (
    ZERO_DEVIATION,
    Value,
    Values,
    after,
    at_least,
    back,
    change,
    complete,
    ema,
    equal,
    mean,
    ratio,
    std,
    wilder,
    window,
)

RUN_WINDOW = 130
"""Columns up to T inside which a run of returns of one sign is counted."""


def rsi(levels: Values, n: int) -> Value:
    """``100*G/(G+D)`` of the Wilder means of rises and falls; 50 when nothing moved."""
    changes = after(levels, change)
    rise = wilder([None if d is None else max(d, 0.0) for d in changes], n)
    fall = wilder([None if d is None else max(-d, 0.0) for d in changes], n)
    if rise is None or fall is None:
        return None
    return 50.0 if rise + fall == 0 else 100 * rise / (rise + fall)


def runs(returns: Values) -> list[Value]:
    """Signed length of the run of equal signs that ends at every column."""
    result: list[Value] = []
    for r in returns:
        before = result[-1] if result else None
        if r is None or r == 0:
            result.append(r)
            continue
        sign = 1.0 if r > 0 else -1.0
        result.append(before + sign if before is not None and before * sign > 0 else sign)
    return result


def percent_rank(returns: Values) -> Value:
    """Percentage of the 100 returns before T that are smaller than that of T."""
    r = complete(window(returns, 101))
    if r is None:
        return None
    return float(sum(x < r[-1] and not equal(x, r[-1]) for x in r[:-1]))


def crsi_3_2_100(s: History) -> Value:
    streaks = runs(window(s.r, RUN_WINDOW))
    parts = complete([rsi(s.p, 3), rsi(streaks, 2), percent_rank(s.r)])
    return None if parts is None else mean(parts)


def typical_price(s: History) -> list[Value]:
    """``(h+l+c)/3`` of the traded columns."""
    return [
        None if h is None or low is None or c is None else (h + low + c) / 3
        for h, low, c in zip(s.h, s.l, s.c, strict=True)
    ]


def cci_20(s: History) -> Value:
    tp = typical_price(s)
    known = at_least(10, window(tp, 20))
    if known is None or tp[-1] is None:
        return None
    distance = mean([abs(x - mean(known)) for x in known])
    if distance <= ZERO_DEVIATION * max(known):
        return 0.0
    return (tp[-1] - mean(known)) / (0.015 * distance)


def money_flows(s: History) -> list[Value]:
    """``tp*v``, signed by the change of tp since the previous traded day; 0 without a change."""
    result: list[Value] = []
    previous: Value = None
    for tp, v, p_prev in zip(typical_price(s), s.v, s.p_prev, strict=True):
        if tp is None or v is None:
            result.append(None)
            continue
        if previous is None or p_prev is None:
            result.append(None)
        else:
            moved = change(tp, previous)
            result.append(0.0 if moved == 0 else tp * v if moved > 0 else -tp * v)
        previous = tp
    return result


def mfi_14(s: History) -> Value:
    flows = at_least(7, window(money_flows(s), 14))
    if flows is None:
        return None
    up = sum(x for x in flows if x > 0)
    down = sum(-x for x in flows if x < 0)
    return 50.0 if up + down == 0 else 100 * up / (up + down)


def bb_zscore_20(s: History) -> Value:
    p = complete(window(s.p, 20))
    return None if p is None else ratio(p[-1] - mean(p), std(p))


def bb_bandwidth_20(s: History) -> Value:
    p = complete(window(s.p, 20))
    return None if p is None else 4 * std(p) / mean(p)


def keltner_pos_20(s: History) -> Value:
    p, middle = back(s.p, 0), ema(s.p, 20)
    return None if p is None or middle is None else ratio(p - middle, ema(true_range(s), 20))


def squeeze(s: History, ago: int) -> Value:
    """1 when the Bollinger band of T-ago lies inside the Keltner channel."""
    p = complete(window(s.p, 20, ago))
    middle, width = ema(s.p, 20, ago), ema(true_range(s), 20, ago)
    if p is None or middle is None or width is None:
        return None
    below = mean(p) + 2 * std(p) < middle + 1.5 * width
    above = mean(p) - 2 * std(p) > middle - 1.5 * width
    return float(below and above)


def ttm_squeeze_on(s: History) -> Value:
    return squeeze(s, 0)


def ttm_squeeze_fire(s: History) -> Value:
    before, now = squeeze(s, 1), squeeze(s, 0)
    p = complete(window(s.p, 20))
    if before is None or now is None or p is None:
        return None
    if before == 0 or now == 1:
        return 0.0
    distance = change(p[-1], mean(p))
    return float((distance > 0) - (distance < 0))


def donchian_break_20(s: History) -> Value:
    c = back(s.c, 0)
    highs = at_least(10, window(s.h, 20, ago=1))
    lows = at_least(10, window(s.l, 20, ago=1))
    if c is None or highs is None or lows is None:
        return None
    return float(change(c, max(highs)) > 0) - float(change(c, min(lows)) < 0)


FEATURES: dict[str, Callable[[History], Value]] = {
    "rsi_2": lambda s: rsi(s.p, 2),
    "rsi_14": lambda s: rsi(s.p, 14),
    "crsi_3_2_100": crsi_3_2_100,
    "cci_20": cci_20,
    "mfi_14": mfi_14,
    "bb_zscore_20": bb_zscore_20,
    "bb_bandwidth_20": bb_bandwidth_20,
    "keltner_pos_20": keltner_pos_20,
    "ttm_squeeze_on": ttm_squeeze_on,
    "ttm_squeeze_fire": ttm_squeeze_fire,
    "donchian_break_20": donchian_break_20,
}
