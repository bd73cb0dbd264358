"""Family sector_relative: the stock against its sector."""

from __future__ import annotations

from collections.abc import Callable

from tests.reference.cross_section import values_of
from tests.reference.market import Feature, History, ReferenceMarket, of_line
from tests.reference.operators import Value, at_least, difference
from tests.reference.price_return import ret_prev
from tests.reference.sector import SMALLEST, members, ret_20d, sec17_ret_20d, sector_idx_ret


def rel_to_sector_idx(k: int) -> Callable[[ReferenceMarket, History], Value]:
    return lambda market, s: difference(ret_prev(s, k), sector_idx_ret(k)(market, s))


def rel_to_sec17_20d(market: ReferenceMarket, s: History) -> Value:
    return difference(ret_20d(s), sec17_ret_20d(market, s))


def pct_in_sector_ret_20d(market: ReferenceMarket, s: History) -> Value:
    own = ret_20d(s)
    known = at_least(SMALLEST, values_of(market, members(market, s), s.date, ret_20d))
    if own is None or known is None:
        return None
    rank = sum(x < own for x in known) + (sum(x == own for x in known) + 1) / 2
    return (rank - 1) / (len(known) - 1)


FEATURES: dict[str, Feature] = {
    **{f"rel_to_sector_idx_{k}d": of_line(rel_to_sector_idx(k)) for k in (1, 5, 20)},
    "rel_to_sec17_20d": of_line(rel_to_sec17_20d),
    "pct_in_sector_ret_20d": of_line(pct_in_sector_ret_20d),
}
