"""Family valuation: items of the statement and guidance books over the market value of T."""

from __future__ import annotations

import math
from collections.abc import Callable

from tests.reference.guidance import g
from tests.reference.market import Feature, History, ReferenceMarket, of_line
from tests.reference.operators import Value, at_least, back, mean, ratio, std
from tests.reference.statements import Book, Period, fresh_book, shares


def mktcap(market: ReferenceMarket, s: History) -> Value:
    """p_T times shares_T, both in the basis of T."""
    p, count = back(s.p, 0), shares(market, s.code, s.date)
    return None if p is None or count is None else p * count


def log_mktcap(market: ReferenceMarket, s: History) -> Value:
    value = mktcap(market, s)
    return None if value is None or value <= 0 else math.log(value)


def ep_ttm(book: Book, period: Period) -> Value:
    return book.ttm(period, "NP")


def bp(book: Book, period: Period) -> Value:
    return book.cum(period, "Eq")


def sp_ttm(book: Book, period: Period) -> Value:
    return book.ttm(period, "Sales")


def cfp_ttm(book: Book, period: Period) -> Value:
    reported = book.latest_with("CFO")
    return None if reported is None else book.ttm(reported, "CFO")


def to_mktcap(item: Callable[[Book, Period], Value]) -> Callable[[ReferenceMarket, History], Value]:
    """An item of the statement book over the market value."""

    def value(market: ReferenceMarket, s: History) -> Value:
        found = fresh_book(market, s.code, s.date)
        return None if found is None else ratio(item(*found), mktcap(market, s))

    return value


def ep_fwd(market: ReferenceMarket, s: History) -> Value:
    return ratio(g(market, s.code, s.date, "NP"), mktcap(market, s))


def ep_ttm_z_250(market: ReferenceMarket, s: History) -> Value:
    values: list[Value] = []
    for ago in range(249, -1, -1):
        day, p = market.before(s.date, ago), back(s.p, ago)
        found = None if day is None or p is None else fresh_book(market, s.code, day)
        if day is None or p is None or found is None:
            values.append(None)
            continue
        # p is in the basis of T: brought to that of the day, in which its shares are.
        count = shares(market, s.code, day)
        price = p / s.k[-1 - ago]
        values.append(ratio(ep_ttm(*found), None if count is None else price * count))
    known = at_least(125, values)
    if known is None or values[-1] is None:
        return None
    return ratio(values[-1] - mean(known), std(known))


FEATURES: dict[str, Feature] = {
    "log_mktcap": of_line(log_mktcap),
    "ep_ttm": of_line(to_mktcap(ep_ttm)),
    "ep_fwd": of_line(ep_fwd),
    "bp": of_line(to_mktcap(bp)),
    "sp_ttm": of_line(to_mktcap(sp_ttm)),
    "cfp_ttm": of_line(to_mktcap(cfp_ttm)),
    "ep_ttm_z_250": of_line(ep_ttm_z_250),
}
