"""Futures contracts: the products, their months, and the days on which they end."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np

from pipeline.simulator.exchange.exchange_calendar import business_day_before, special_quotation_day

if TYPE_CHECKING:
    from pipeline.simulator.array_types import BoolArray


@dataclass(frozen=True)
class Product:
    """A futures product.

    Attributes:
        category: ``ProdCat``.
        since: first trading date.
        prefix: first digits of the contract codes.
        tick: of the quoted price.
        multiplier: yen per point.
        months: how many contract months are listed at once.
        step: months between contracts; 1 for every month.
        interest: open interest of a busy contract.
        underlying: what it follows, see ``futures``.
        scale: quoted price over the underlying.
    """

    category: str
    since: np.datetime64
    prefix: str
    tick: float
    multiplier: float
    months: int
    step: int
    interest: float
    underlying: str
    scale: float = 1.0


def _day(text: str) -> np.datetime64:
    return np.datetime64(text, "D")


_START = _day("2008-05-07")
PRODUCTS: Final = (
    Product("DJIAF", _day("2012-05-28"), "179", 1.0, 100, 4, 3, 900, "dow", 1.0),
    Product("JGBLF", _START, "161", 0.01, 1_000_000, 3, 3, 150_000, "bond", 1.0),
    Product("JN400F", _day("2014-11-25"), "183", 5.0, 100, 5, 3, 60_000, "topix", 9.6),
    Product("MOTF", _day("2016-07-19"), "185", 1.0, 1000, 5, 3, 30_000, "growth", 0.75),
    Product("NK225F", _START, "162", 10.0, 1000, 5, 3, 250_000, "nikkei", 1.0),
    Product("NK225MCF", _day("2023-05-29"), "166", 5.0, 10, 4, 1, 90_000, "nikkei", 1.0),
    Product("NK225MF", _START, "163", 5.0, 100, 6, 1, 400_000, "nikkei", 1.0),
    Product("NKVIF", _day("2012-02-27"), "176", 0.05, 10_000, 4, 1, 4_000, "volatility", 1.0),
    Product("NKYDF", _day("2010-07-26"), "175", 0.5, 1000, 4, 12, 9_000, "dividends", 1.0),
    Product("REITF", _day("2008-06-16"), "178", 0.5, 1000, 5, 3, 20_000, "reit", 1.0),
    Product("TOA3MF", _day("2023-05-29"), "187", 0.0025, 2_500_000, 6, 3, 12_000, "rate", 1.0),
    Product("TOPIXF", _START, "164", 0.5, 10_000, 5, 3, 480_000, "topix", 1.0),
    Product("TOPIXMF", _day("2008-06-16"), "169", 0.25, 1000, 3, 3, 20_000, "topix", 1.0),
)


@dataclass(frozen=True)
class Contract:
    """A contract month: last trading day, special quotation or delivery day."""

    product: Product
    month: np.datetime64
    last_day: np.datetime64
    sq: np.datetime64

    @property
    def code(self) -> str:
        """Nine digits: product, year and month, a filler."""
        text = str(self.month)
        return f"{self.product.prefix}{text[3]}{text[5:7]}{'018' if text[2] == '2' else '005'}"


@lru_cache(maxsize=4096)
def contract(product: Product, month: np.datetime64) -> Contract:
    """The contract of a product that ends in a month.

    Index futures end the day before the second Friday; bonds five sessions before the 20th.
    """
    if product.underlying == "bond":
        delivery = month.astype("datetime64[D]") + 19
        last_day = delivery
        for _ in range(5):
            last_day = business_day_before(last_day)
        return Contract(product, month, last_day, delivery)
    sq = special_quotation_day(month)
    return Contract(product, month, business_day_before(sq), sq)


@lru_cache(maxsize=4096)
def listed_contracts(product: Product, day: np.datetime64) -> tuple[Contract, ...]:
    """Contracts that trade on a date, nearest first."""
    if day < product.since:
        return ()
    month = day.astype("datetime64[M]")
    found: list[Contract] = []
    while len(found) < product.months:
        number = int(month.astype(np.int64)) % 12 + 1
        if number % product.step == 0:
            candidate = contract(product, month)
            if candidate.last_day >= day:
                found.append(candidate)
        month = month + 1
    return tuple(found)


def first_sessions(contracts: tuple[Contract, ...], before: tuple[Contract, ...]) -> BoolArray:
    """True for the contracts that were not listed on the session before."""
    known = {c.code for c in before}
    return np.array([bool(before) and c.code not in known for c in contracts])
