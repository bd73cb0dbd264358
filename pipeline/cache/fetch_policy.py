"""What to keep of the cache, what to ask for, and by which way: decisions only, nothing is done.

Dates are ISO texts, moments ISO texts with the offset of Japan; both compare as text. A day of a
source is one of three things:

keep    a version of it is in the cache and good enough,
ask     it is not, and the server can be asked,
lost    it is not, and asking is not allowed or would come too late.

The ways are priced in requests, because requests are what a plan limits: a day costs one, a range
costs one whatever its length, the list of bulk files costs one and each file one more.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

Mode = Literal["read_write", "read", "off"]
Way = Literal["auto", "requests", "bulk"]

ANY_AGE = "any"  # of ``fresh_after``: whatever the cache has is good
LIST_COST = 1
FILE_COST = 1


@dataclass(frozen=True)
class Wanted:
    """A day that is to be in the snapshot.

    Attributes:
        date: the day.
        settled: moment from which the vendor's answer for it is final; an earlier one is not.
    """

    date: str
    settled: str


@dataclass(frozen=True)
class Known:
    """A version of a day in the cache.

    Attributes:
        arrived: when this content was first seen.
        checked: when the server last confirmed it.
    """

    arrived: str
    checked: str


@dataclass(frozen=True)
class Rules:
    """What a run may use and may ask.

    Attributes:
        mode: read_write; read never asks; off trusts nothing that is older than the run.
        fresh_after: days of the open month checked before this moment are asked for again;
            ANY_AGE keeps them.
        asof: only what had arrived by the end of this day counts; None for everything.
        now: moment of the run.
    """

    mode: Mode
    fresh_after: str
    asof: str | None
    now: str

    def closed(self, date: str) -> bool:
        """True for a day, or month, of a month that is over."""
        return date[:7] < self.now[:7]

    @property
    def may_ask(self) -> bool:
        """False in mode read, and for a day in the past: what came now would not count for it."""
        return self.mode != "read" and (self.asof is None or self.asof >= self.now[:10])

    def counts(self, arrived: str) -> bool:
        """True when content that arrived then may be used."""
        return self.asof is None or arrived[:10] <= self.asof


@dataclass(frozen=True)
class Decision:
    """The wanted days, each in exactly one of three lists, in the order they were given."""

    keep: tuple[str, ...]
    ask: tuple[str, ...]
    lost: tuple[str, ...]


@dataclass(frozen=True)
class Route:
    """How the asked days are fetched, and the price.

    Attributes:
        days: by request.
        months: by monthly file, ``YYYY-MM``.
        requests: price of both, the list of files included where it is needed.
    """

    days: tuple[str, ...]
    months: tuple[str, ...]
    requests: int


def decide(
    rules: Rules, wanted: Iterable[Wanted], known: Mapping[str, Sequence[Known]]
) -> Decision:
    """Sort the wanted days into keep, ask and lost.

    Args:
        known: versions of each day in the cache, in any order.
    """
    keep, ask, lost = [], [], []
    for day in wanted:
        usable = [version for version in known.get(day.date, ()) if rules.counts(version.arrived)]
        if usable and (not rules.may_ask or _good(rules, day, usable)):
            keep.append(day.date)
        elif rules.may_ask:
            ask.append(day.date)
        else:
            lost.append(day.date)
    return Decision(tuple(keep), tuple(ask), tuple(lost))


def _good(rules: Rules, day: Wanted, usable: Sequence[Known]) -> bool:
    """True when asking again is not called for."""
    checked = max(version.checked for version in usable)
    if checked < day.settled <= rules.now:
        return False  # it was asked before everything about this day was published
    if rules.mode != "off" and rules.closed(day.date):
        return True
    return rules.fresh_after == ANY_AGE or checked >= rules.fresh_after


def worth_listing(rules: Rules, ask: Sequence[str], way: Way, *, by_range: bool) -> bool:
    """True when the list of bulk files can save more requests than it costs.

    Args:
        by_range: the source answers any range in one request.
    """
    months = _closed_months(rules, ask)
    if way != "auto":
        return way == "bulk" and bool(months)
    if by_range:
        return False
    return sum(max(len(days) - FILE_COST, 0) for days in months.values()) > LIST_COST


def choose_route(
    rules: Rules,
    ask: Sequence[str],
    way: Way,
    *,
    by_range: bool,
    listed: Collection[str] | None = None,
) -> Route:
    """The cheapest way to get the asked days; of equal ones, by request.

    Args:
        listed: months that the list of bulk files offers; None when it was not asked for.
    """
    months: list[str] = []
    if listed is not None and not (by_range and way == "auto"):
        months = [
            month
            for month, days in _closed_months(rules, ask).items()
            if month in listed and (way == "bulk" or len(days) > FILE_COST)
        ]
    days = tuple(day for day in ask if day[:7] not in months)
    price = min(len(days), 1) if by_range else len(days)
    listing = 0 if listed is None else LIST_COST
    return Route(days, tuple(months), listing + FILE_COST * len(months) + price)


def _closed_months(rules: Rules, ask: Iterable[str]) -> dict[str, list[str]]:
    """The asked days of months that are over, by month: only these come as monthly files."""
    days = sorted(day for day in ask if rules.closed(day))
    return {month: list(group) for month, group in groupby(days, key=lambda day: day[:7])}
