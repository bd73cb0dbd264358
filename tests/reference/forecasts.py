"""The guidance book of one code: full-year forecasts by target year, as of T."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import NamedTuple

from tests.reference.market import ReferenceMarket, remembered
from tests.reference.publication import Record, records
from tests.reference.statements import DEPTH, Item, Year, book, disclosure, year_of

MAX_AGE = 300
"""Columns for which a forecast is used, from its disclosure on."""

ITEMS = {
    "Sales": (("FSales", "NxFSales"), ("FNCSales", "NxFNCSales")),
    "OP": (("FOP", "NxFOP"), ("FNCOP", "NxFNCOP")),
    "NP": (("FNP", "NxFNp"), ("FNCNP", "NxFNCNP")),
    "DivAnn": (("FDivAnn", "NxFDivAnn"),),
}
"""Item -> fields for the running and the next fiscal year; consolidated, then the others."""


class Change(NamedTuple):
    """A revision: the earlier and the later forecast of one target year."""

    old: Item
    new: Item


@remembered
def _disclosures(market: ReferenceMarket, code: str) -> list[Record]:
    """Disclosures that name a fiscal year, published whenever, in their order."""
    rows = records(market, "fin_summary", code)
    return sorted((row for row in rows if row.date("CurFYEn") is not None), key=disclosure)


def next_year_of(row: Record) -> Year:
    """The fiscal year the NxF-fields of a disclosure speak of."""
    following = row.date("NxtFYEn")
    return year_of(row.day("CurFYEn")).after if following is None else year_of(following)


def forecasts_in(row: Record, this: str, following: str) -> Iterator[tuple[Year, Item]]:
    """The forecasts of one item in a disclosure, with their target years."""
    for year, field in ((year_of(row.day("CurFYEn")), this), (next_year_of(row), following)):
        value = row.number(field)
        if value is not None:
            yield year, Item(value, row.column)


@remembered
def guidance(
    market: ReferenceMarket, code: str, date: dt.date, item: str
) -> dict[Year, list[Item]]:
    """Forecasts of an item in force on T by target year, in the order of disclosure.

    Non-consolidated ones only for a year that never had a consolidated one.
    """
    here = market.column_of[date]
    rows = [r for r in _disclosures(market, code) if here - DEPTH <= r.column <= here]
    result: dict[Year, list[Item]] = {}
    for fields in ITEMS[item]:
        found: dict[Year, list[Item]] = {}
        for row in rows:
            for year, forecast in forecasts_in(row, *fields):
                found.setdefault(year, []).append(forecast)
        result = found | result
    return result


def target_year(market: ReferenceMarket, code: str, date: dt.date) -> Year | None:
    """fy*: the fiscal year after the largest one with published results."""
    last = book(market, code, date).last_full_year()
    return None if last is None else last.year.after


def forecasts(market: ReferenceMarket, code: str, date: dt.date, item: str) -> list[Item]:
    """Forecasts of an item for fy*; none when the last one was disclosed over 300 columns ago."""
    year = target_year(market, code, date)
    found = [] if year is None else guidance(market, code, date, item).get(year, [])
    return found if found and market.column_of[date] - found[-1].column <= MAX_AGE else []


def differ(old: Item, new: Item) -> bool:
    """Tell two amounts in yen apart."""
    return old.value != new.value


def changes(series: list[Item], differ: Callable[[Item, Item], bool] = differ) -> list[Change]:
    """The revisions in forecasts of one target year."""
    return [Change(old, new) for old, new in pairwise(series) if differ(old, new)]
