"""Family liquidity: turnover, price impact, spreads and volume balance."""

from __future__ import annotations

import math

from tests.reference.market import Feature, History, ReferenceMarket, of_bars, of_line
from tests.reference.operators import (
    Value,
    at_least,
    back,
    complete,
    mean,
    minus_one,
    present,
    ratio,
    window,
)
from tests.reference.valuation import mktcap


def sign(x: float) -> int:
    return (x > 0) - (x < 0)


def adv60(s: History) -> Value:
    """Mean turnover of the last 60 columns, at least 20 of them listed."""
    tv = at_least(20, window(s.tv, 60))
    return None if tv is None else mean(tv)


def traded_value(s: History) -> list[Value]:
    """Turnover of the traded columns only."""
    return [None if bar is None else bar.va for bar in s.trades]


def log_value(s: History) -> Value:
    tv = back(s.tv, 0)
    return None if tv is None else math.log(1 + tv)


def adv60_log(s: History) -> Value:
    value = adv60(s)
    return None if value is None else math.log(1 + value)


def value_ratio_1_20(s: History) -> Value:
    before = at_least(10, window(s.tv, 20, ago=1))
    return None if before is None else ratio(back(s.tv, 0), mean(before))


def value_ratio_5_60(s: History) -> Value:
    tv = complete(window(s.tv, 60))
    return None if tv is None else minus_one(ratio(mean(tv[-5:]), mean(tv)))


def mktcap_turnover_20d(market: ReferenceMarket, s: History) -> Value:
    tv = complete(window(s.tv, 20))
    return None if tv is None else ratio(mean(tv), mktcap(market, s))


def amihud_20_log(s: History) -> Value:
    terms: list[Value] = [
        None if r is None else ratio(abs(r), tv)
        for r, tv in zip(window(s.r, 20), window(traded_value(s), 20), strict=True)
    ]
    known = at_least(10, terms)
    return None if known is None or mean(known) == 0 else math.log(1e9 * mean(known))


def kyle_lambda_60(s: History) -> Value:
    pairs = [
        (r, sign(r) * math.sqrt(tv / 1e6))
        for r, tv in zip(window(s.r, 60), window(traded_value(s), 60), strict=True)
        if r is not None and tv is not None
    ]
    if len(pairs) < 30:
        return None
    slope = ratio(math.fsum(r * x for r, x in pairs), math.fsum(x * x for _, x in pairs))
    return None if slope is None else 1e4 * slope


def roll_spread_60(s: History) -> Value:
    g = complete(window(s.g, 60))
    if g is None:
        return None
    now, before = g[1:], g[:-1]
    together = math.fsum(
        (x - mean(now)) * (y - mean(before)) for x, y in zip(now, before, strict=True)
    )
    return 2 * math.sqrt(max(0.0, -together / (len(now) - 1)))


def spread_of_two_days(high: float, low: float, before: tuple[float, float, float]) -> float:
    """Corwin and Schultz 2012: the spread two daily ranges and their joint range imply."""
    high_before, low_before, close_before = before
    overnight = max(0.0, low - close_before) + min(0.0, high - close_before)
    high, low = high - overnight, low - overnight
    b = math.log(high / low) ** 2 + math.log(high_before / low_before) ** 2
    gm = math.log(max(high, high_before) / min(low, low_before)) ** 2
    q = 3 - 2 * math.sqrt(2)
    a = (math.sqrt(2 * b) - math.sqrt(b)) / q - math.sqrt(gm / q)
    return 2 * (math.exp(a) - 1) / (1 + math.exp(a))


def corwin_schultz_20(s: History) -> Value:
    spreads: list[Value] = []
    previous: tuple[float, float, float] | None = None
    for h, low, c, p_prev in zip(s.h, s.l, s.c, s.p_prev, strict=True):
        if h is None or low is None or c is None:
            spreads.append(None)
            continue
        if previous is None or p_prev is None:
            spreads.append(None)
        else:
            spreads.append(max(0.0, spread_of_two_days(h, low, previous)))
        previous = h, low, c
    known = at_least(10, window(spreads, 20))
    return None if known is None else mean(known)


def zero_ret_share_60(s: History) -> Value:
    returns = at_least(30, window(s.r, 60))
    return None if returns is None else sum(r == 0 for r in returns) / len(returns)


def no_trade_share_60(s: History) -> Value:
    traded: list[Value] = [
        None if record is None else float(bar is not None)
        for bar, record in zip(s.trades[-60:], s.records[-60:], strict=True)
    ]
    listed = at_least(20, traded)
    return None if listed is None else 1 - mean(listed)


def volume_of_twenty(s: History) -> list[float] | None:
    """Shares of the last 20 columns, if all are listed and at least ten have a trade."""
    volume = complete(window(s.vol, 20))
    return volume if len(present(window(s.v, 20))) >= 10 else None


def obv_ratio_20(s: History) -> Value:
    volume = volume_of_twenty(s)
    if volume is None:
        return None
    signed = [sign(r or 0.0) * v for r, v in zip(window(s.r, 20), volume, strict=True)]
    return ratio(math.fsum(signed), math.fsum(volume))


def close_location(h: float, low: float, c: float) -> float:
    return 0.0 if h == low else (2 * c - h - low) / (h - low)


def cmf_20(s: History) -> Value:
    days = [
        (close_location(h, low, c), v)
        for h, low, c, v in zip(*(window(x, 20) for x in (s.h, s.l, s.c, s.v)), strict=True)
        if h is not None and low is not None and c is not None and v is not None
    ]
    if len(days) < 10:
        return None
    return ratio(math.fsum(clv * v for clv, v in days), math.fsum(v for _, v in days))


def price_to_vwap_20(s: History) -> Value:
    volume = volume_of_twenty(s)
    if volume is None:
        return None
    vwap = ratio(math.fsum(present(window(traded_value(s), 20))), math.fsum(volume))
    return minus_one(ratio(back(s.p, 0), vwap))


FEATURES: dict[str, Feature] = {
    "log_value": of_bars(log_value),
    "adv60_log": of_bars(adv60_log),
    "value_ratio_1_20": of_bars(value_ratio_1_20),
    "value_ratio_5_60": of_bars(value_ratio_5_60),
    "mktcap_turnover_20d": of_line(mktcap_turnover_20d),
    "amihud_20_log": of_bars(amihud_20_log),
    "kyle_lambda_60": of_bars(kyle_lambda_60),
    "roll_spread_60": of_bars(roll_spread_60),
    "corwin_schultz_20": of_bars(corwin_schultz_20),
    "zero_ret_share_60": of_bars(zero_ret_share_60),
    "no_trade_share_60": of_bars(no_trade_share_60),
    "obv_ratio_20": of_bars(obv_ratio_20),
    "cmf_20": of_bars(cmf_20),
    "price_to_vwap_20": of_bars(price_to_vwap_20),
}
