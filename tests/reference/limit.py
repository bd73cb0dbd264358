"""Family limit: touches of the daily price limits."""

from __future__ import annotations

import math
from collections.abc import Callable

from tests.reference.market import Bar, History
from tests.reference.operators import Value, back

LIMIT_WIDTHS = {
    100: 30,
    200: 50,
    500: 80,
    700: 100,
    1000: 150,
    1500: 300,
    2000: 400,
    3000: 500,
    5000: 700,
    7000: 1000,
    10000: 1500,
    15000: 3000,
    20000: 4000,
    30000: 5000,
    50000: 7000,
    70000: 10000,
    100000: 15000,
    150000: 30000,
    200000: 40000,
    300000: 50000,
    500000: 70000,
    700000: 100000,
    1000000: 150000,
    1500000: 300000,
    2000000: 400000,
    3000000: 500000,
    5000000: 700000,
    7000000: 1000000,
    10000000: 1500000,
    15000000: 3000000,
    20000000: 4000000,
    30000000: 5000000,
    50000000: 7000000,
    math.inf: 10000000,
}
"""Base price below -> standard width of the daily limit, in yen."""

LONGEST_RUN = 20


def went_up(bar: Bar | None) -> int:
    return int(bar is not None and bar.ul == "1")


def went_down(bar: Bar | None) -> int:
    return int(bar is not None and bar.ll == "1")


def limit_up_flag(s: History) -> Value:
    return went_up(s.trades[-1])


def limit_down_flag(s: History) -> Value:
    return went_down(s.trades[-1])


def limit_close_state(s: History) -> Value:
    bar = s.trades[-1]
    if bar is None:
        return 0
    return int(went_up(bar) and bar.c == bar.h) - int(went_down(bar) and bar.c == bar.l)


def limit_up_cnt_20d(s: History) -> Value:
    return sum(went_up(bar) for bar in s.trades[-20:])


def limit_down_cnt_20d(s: History) -> Value:
    return sum(went_down(bar) for bar in s.trades[-20:])


def days_since_limit(s: History) -> Value:
    for age, bar in enumerate(reversed(s.trades[-60:])):
        if went_up(bar) or went_down(bar):
            return age
    return None


def run(flag: Callable[[Bar | None], int], bars: list[Bar | None]) -> int:
    """Number of columns up to T, at most 20, on which the flag stands without a gap."""
    length = 0
    while length < LONGEST_RUN and flag(bars[-1 - length]):
        length += 1
    return length


def limit_streak(s: History) -> Value:
    up, down = run(went_up, s.trades), run(went_down, s.trades)
    if up == 0 or down == 0:
        return up - down
    r = back(s.r, 0) or 0.0
    return up if r > 0 else -down if r < 0 else 0


def post_limit_reversal(s: History) -> Value:
    o, c = back(s.o, 0), back(s.c, 0)
    before = s.trades[-2]
    if o is None or c is None:
        return 0
    return int(went_down(before) and c > o) - int(went_up(before) and c < o)


def limit_width_next_pct(s: History) -> Value:
    base = back(s.p, 0)
    if base is None:
        return None
    bound = min(b for b in LIMIT_WIDTHS if round(base, 6) < b)
    return LIMIT_WIDTHS[bound] / base


FEATURES: dict[str, Callable[[History], Value]] = {
    "limit_up_flag": limit_up_flag,
    "limit_down_flag": limit_down_flag,
    "limit_close_state": limit_close_state,
    "limit_up_cnt_20d": limit_up_cnt_20d,
    "limit_down_cnt_20d": limit_down_cnt_20d,
    "days_since_limit": days_since_limit,
    "limit_streak": limit_streak,
    "post_limit_reversal": post_limit_reversal,
    "limit_width_next_pct": limit_width_next_pct,
}
