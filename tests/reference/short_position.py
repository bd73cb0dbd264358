"""Family short_position: open positions of at least 0.5 % by reporter."""

from __future__ import annotations

import datetime as dt
import math
import unicodedata
from collections.abc import Callable
from functools import partial

from tests.reference.basis import is_listed
from tests.reference.market import Feature, History, ReferenceMarket, of_line, remembered
from tests.reference.operators import Value
from tests.reference.publication import Record, known

DEPTH = 250
"""Columns for which a report stands, from its disclosure on."""

LARGE = 0.005

Reporter = tuple[str, str, str]


def reporter_of(record: Record) -> Reporter:
    """Seller, client and fund, spelt in one way."""
    seller, client, fund = (
        unicodedata.normalize("NFKC", record.text(name)).strip()
        for name in ("SSName", "DICName", "FundName")
    )
    return seller, client, fund


def chronology(record: Record) -> tuple[dt.date, dt.date]:
    """What orders the reports of a reporter."""
    return record.day("DiscDate"), record.day("CalcDate")


@remembered
def open_positions(market: ReferenceMarket, code: str, date: dt.date) -> dict[Reporter, float]:
    """Share of the stock each reporter is short on T, by its last report."""
    last: dict[Reporter, Record] = {}
    # The sort is stable: of two equal reports the one that stands later in the file remains.
    for record in sorted(known(market, "short_sale", code, date, DEPTH), key=chronology):
        last[reporter_of(record)] = record
    ratios = {reporter: record.number("ShrtPosToSO") for reporter, record in last.items()}
    return {reporter: r for reporter, r in ratios.items() if r is not None and r >= LARGE}


def total(market: ReferenceMarket, code: str, date: dt.date) -> float:
    """Sum of the open positions."""
    return math.fsum(open_positions(market, code, date).values())


def of_positions(formula: Callable[[list[float]], Value]) -> Feature:
    """A feature of the ratios of the open positions on T."""
    return of_line(lambda market, s: formula(list(open_positions(market, s.code, s.date).values())))


def ssp_hhi(ratios: list[float]) -> Value:
    if not ratios:
        return None
    whole = math.fsum(ratios)
    return math.fsum((r / whole) ** 2 for r in ratios)


def earlier(market: ReferenceMarket, s: History, k: int) -> dt.date | None:
    """The column T-k, null when the code was not listed on it."""
    day = market.before(s.date, k)
    return day if day is not None and is_listed(market, s.code, market.column_of[day]) else None


def ssp_delta(market: ReferenceMarket, s: History, k: int) -> Value:
    before = earlier(market, s, k)
    if before is None:
        return None
    return total(market, s.code, s.date) - total(market, s.code, before)


def ssp_net_entries_20d(market: ReferenceMarket, s: History) -> Value:
    before = earlier(market, s, 20)
    if before is None:
        return None
    now, then = open_positions(market, s.code, s.date), open_positions(market, s.code, before)
    return len(now.keys() - then.keys()) - len(then.keys() - now.keys())


def ssp_days_since_report(market: ReferenceMarket, s: History) -> Value:
    columns = [record.column for record in known(market, "short_sale", s.code, s.date, DEPTH)]
    return market.column_of[s.date] - max(columns) if columns else None


FEATURES: dict[str, Feature] = {
    "ssp_ratio_sum": of_positions(math.fsum),
    "ssp_reporters": of_positions(len),
    "ssp_top_ratio": of_positions(lambda ratios: max(ratios, default=0.0)),
    "ssp_hhi": of_positions(ssp_hhi),
    "ssp_delta_5d": of_line(partial(ssp_delta, k=5)),
    "ssp_delta_20d": of_line(partial(ssp_delta, k=20)),
    "ssp_net_entries_20d": of_line(ssp_net_entries_20d),
    "ssp_days_since_report": of_line(ssp_days_since_report),
}
