"""Family peer: stocks whose returns move together, that are of one size, or that lead a sector."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable
from dataclasses import dataclass

from tests.reference.cross_section import mean_return, values_of
from tests.reference.liquidity import adv60, adv60_log
from tests.reference.market import Feature, History, ReferenceMarket, of_line, remembered
from tests.reference.operators import (
    Value,
    at_least,
    complete,
    difference,
    mean,
    present,
    ratio,
    std,
    window,
)
from tests.reference.price_return import ret_prev
from tests.reference.sector import members as sector_mates
from tests.reference.sector import ret_20d
from tests.reference.transforms import cross_section
from tests.reference.valuation import log_mktcap

WIDTH = 120
PEERS = 10
SMALLEST_SET = 11
CLOSE = 0.5
LEADERS = 3


@dataclass(frozen=True)
class Peers:
    """Correlations of one stock on an estimation date: all others, and the ten closest."""

    correlations: dict[str, float]

    @property
    def closest(self) -> list[str]:
        """The ten highest, ties by ascending code."""
        return sorted(self.correlations, key=lambda code: (-self.correlations[code], code))[:PEERS]


@remembered
def estimation_date(market: ReferenceMarket, date: dt.date) -> dt.date | None:
    """The last column of an ISO week that lies strictly before T."""
    this_week = date.isocalendar()[:2]
    earlier = [day for day in market.columns if day < date and day.isocalendar()[:2] != this_week]
    return max(earlier, default=None)


@remembered
def excess_returns(market: ReferenceMarket, date: dt.date) -> dict[str, list[float]]:
    """y of the universe on E with 120 returns: less the mean of U_u, scaled to length 1."""
    means = [
        None if day is None else mean_return(market, day) for day in market.window(date, WIDTH)
    ]
    result: dict[str, list[float]] = {}
    for code in market.universe(date):
        history = market.history(code, date)
        returns = [None] * WIDTH if history is None else window(history.r, WIDTH)
        y = complete([difference(r, m) for r, m in zip(returns, means, strict=True)])
        if y is not None and std(y) > 0:
            length = math.sqrt(math.fsum((x - mean(y)) ** 2 for x in y))
            result[code] = [(x - mean(y)) / length for x in y]
    return result


@remembered
def correlations(market: ReferenceMarket, date: dt.date) -> dict[str, Peers]:
    """The stocks of the estimation set of E; none when they are fewer than eleven."""
    y = excess_returns(market, date)
    if len(y) < SMALLEST_SET:
        return {}
    pairs = {
        (a, b): math.fsum(x * z for x, z in zip(y[a], y[b], strict=True))
        for a in y
        for b in y
        if a < b
    }
    return {a: Peers({b: pairs[min(a, b), max(a, b)] for b in y if b != a}) for a in y}


def peers_of(market: ReferenceMarket, s: History) -> Peers | None:
    """The correlations in force on T, null for a stock that is not in the estimation set."""
    date = estimation_date(market, s.date)
    return None if date is None else correlations(market, date).get(s.code)


def peer_corr_mean_10(market: ReferenceMarket, s: History) -> Value:
    peers = peers_of(market, s)
    return None if peers is None else mean([peers.correlations[code] for code in peers.closest])


def peer_degree_0p5(market: ReferenceMarket, s: History) -> Value:
    peers = peers_of(market, s)
    return None if peers is None else sum(x >= CLOSE for x in peers.correlations.values())


def mean_of_peers(market: ReferenceMarket, s: History, k: int) -> Value:
    """Mean return over k columns of the ten peers, as far as they are in U_T, at least five."""
    peers = peers_of(market, s)
    if peers is None:
        return None
    universe = market.universe(s.date)
    codes = [code for code in peers.closest if code in universe]
    known = at_least(5, values_of(market, codes, s.date, lambda peer: ret_prev(peer, k)))
    return None if known is None else mean(known)


def peer_ret_1d(market: ReferenceMarket, s: History) -> Value:
    return mean_of_peers(market, s, 1)


def peer_rel_5d(market: ReferenceMarket, s: History) -> Value:
    return difference(ret_prev(s, 5), mean_of_peers(market, s, 5))


@remembered
def size_decile(market: ReferenceMarket, date: dt.date) -> dict[str, int]:
    """Decile of log_mktcap of the members of U_T that have one."""
    members = market.universe(date)
    found = values_of(market, members, date, lambda s: log_mktcap(market, s))
    sizes = {c: x for c, x in zip(members, found, strict=True) if x is not None}
    shares = {c: cross_section("_cs_pct", x, list(sizes.values())) for c, x in sizes.items()}
    return {c: min(9, math.floor(10 * x)) for c, x in shares.items() if x is not None}


def size_peer_rel_20d(market: ReferenceMarket, s: History) -> Value:
    deciles = size_decile(market, s.date)
    if s.code not in deciles:
        return None
    codes = [code for code, decile in deciles.items() if decile == deciles[s.code]]
    known = present(values_of(market, codes, s.date, ret_20d))
    return difference(ret_20d(s), mean(known)) if known else None


def sector_leaders_ret_5d(market: ReferenceMarket, s: History) -> Value:
    others = [code for code in sector_mates(market, s) if code != s.code]
    sizes = zip(others, values_of(market, others, s.date, adv60_log), strict=True)
    ordered = sorted((-size, code) for code, size in sizes if size is not None)
    leaders = [code for _, code in ordered[:LEADERS]]
    returns = complete(values_of(market, leaders, s.date, lambda other: ret_prev(other, 5)))
    weights = complete(values_of(market, leaders, s.date, adv60))
    if len(leaders) < LEADERS or returns is None or weights is None:
        return None
    weighted = math.fsum(r * w for r, w in zip(returns, weights, strict=True))
    return ratio(weighted, math.fsum(weights))


FORMULAS: dict[str, Callable[[ReferenceMarket, History], Value]] = {
    "peer_corr_mean_10": peer_corr_mean_10,
    "peer_degree_0p5": peer_degree_0p5,
    "peer_ret_1d": peer_ret_1d,
    "peer_rel_5d": peer_rel_5d,
    "size_peer_rel_20d": size_peer_rel_20d,
    "sector_leaders_ret_5d": sector_leaders_ret_5d,
}
FEATURES: dict[str, Feature] = {name: of_line(formula) for name, formula in FORMULAS.items()}
