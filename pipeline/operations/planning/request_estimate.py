"""What the chunks that are due lack of each source, and the cheapest way to it in requests.

Unless the server is asked, every month that is over counts as offered as a file. A day that takes
several pages costs more than the one request counted here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from pipeline.api.catalogue.endpoints import Endpoint, endpoint_of
from pipeline.api.catalogue.plans import PLAN_BUDGET
from pipeline.cache import fetch_policy
from pipeline.cache.fetch_policy import Known, Route, Rules
from pipeline.cache.snapshots import SnapshotStore
from pipeline.cache.spool import Spool
from pipeline.configuration import Settings
from pipeline.market.calendar.periods import ChunkRange
from pipeline.market.calendar.sessions import TradingCalendar
from pipeline.operations.fetching.snapshot_range import SnapshotRange
from pipeline.operations.fetching.source_fetch import (
    CALENDAR,
    days_wanted,
    is_fetched,
    range_of,
    rules_of,
    sorted_days,
    sources_of,
)
from pipeline.operations.planning import run_plan
from pipeline.operations.planning.disk_estimate import cache_bytes

#: Months of which a server has files, asked only when the list is worth its request.
Offer: TypeAlias = Callable[[Endpoint, Rules, Sequence[str]], Collection[str]]


@dataclass(frozen=True)
class SourcePlan:
    """What is fetched of one source.

    Attributes:
        missing: days, ascending.
        lost: days that cannot be had: the cache lacks them and may not be filled.
        months: those of ``missing`` that come as monthly files, ``YYYY-MM``.
        by_request: how many of ``missing`` come by request.
        day_requests: requests for those; a range costs one.
        file_requests: requests for the files, their list included.
        bytes: in the cache, expected.
    """

    source: str
    missing: tuple[str, ...]
    lost: tuple[str, ...]
    months: tuple[str, ...]
    by_request: int
    day_requests: int
    file_requests: int
    bytes: int

    @property
    def requests(self) -> int:
        """All requests."""
        return self.day_requests + self.file_requests


def lacking(
    settings: Settings,
    calendar: TradingCalendar,
    due: Sequence[ChunkRange],
    *,
    refresh_listed: bool,
    offer: Offer,
) -> list[SourcePlan]:
    """The sources with something to fetch for these chunks, in the order of the endpoint table.

    Raises:
        ApiError: by ``offer``.
    """
    if not due:
        return []
    daily = run_plan.range_over(settings, calendar, due)
    plans = []
    for endpoint in sources_of(settings):
        wanted = range_of(endpoint, daily)
        fresh = run_plan.fresh_after(settings, endpoint, refresh_listed=refresh_listed)
        if not is_fetched(settings, endpoint.source, wanted, fresh):
            plans.append(_source(settings, calendar, endpoint, wanted, fresh, offer))
    return [plan for plan in plans if plan.missing or plan.lost]


def every_closed_month(_endpoint: Endpoint, rules: Rules, ask: Sequence[str]) -> Collection[str]:
    """The months of the asked days that are over: what the server will most likely offer."""
    return {date[:7] for date in ask if rules.closed(date)}


def batches(
    sources: Iterable[SourcePlan], *, calendar_asked: bool
) -> Iterator[tuple[int, Sequence[str]]]:
    """Requests with the budgets they draw from: files and their lists, the plan's alone."""
    if calendar_asked:
        yield 1, endpoint_of(CALENDAR).budgets
    for source in sources:
        yield source.file_requests, (PLAN_BUDGET,)
        yield source.day_requests, endpoint_of(source.source).budgets


def _source(
    settings: Settings,
    calendar: TradingCalendar,
    endpoint: Endpoint,
    wanted: SnapshotRange,
    fresh: str,
    offer: Offer,
) -> SourcePlan:
    source = endpoint.source
    store = SnapshotStore(settings.data_output_dir, settings.origin)
    rules = rules_of(settings, wanted, fresh)
    parts = store.parts(source)
    days = days_wanted(endpoint, calendar, wanted.start, wanted.end, rules.now)
    ask, _, lost = sorted_days(settings, rules, days, parts)
    spooled = Spool(store.spool_folder(source), store.origin).days()
    waiting = {date: [Known(day.arrived, day.arrived)] for date, day in spooled.items()}
    missing = fetch_policy.decide(rules, ask, waiting).ask
    by_range = endpoint.query == "range"
    route = _route(settings, endpoint, rules, missing, offer)
    day_requests = min(len(route.days), 1) if by_range else len(route.days)
    days_there = sum(len(part.days) for part in parts)
    bytes_there = sum(part.bytes for part in parts if part.days)
    return SourcePlan(
        source=source,
        missing=missing,
        lost=lost,
        months=route.months,
        by_request=len(route.days),
        day_requests=day_requests,
        file_requests=route.requests - day_requests,
        bytes=cache_bytes(source, len(missing), days_there, bytes_there),
    )


def _route(
    settings: Settings, endpoint: Endpoint, rules: Rules, ask: Sequence[str], offer: Offer
) -> Route:
    """The way a run takes to the asked days."""
    way = settings.source_route
    if way == "files":
        return Route((), tuple(sorted({date[:7] for date in ask})), 0)
    by_range = endpoint.query == "range"
    listed = None
    if endpoint.has_files(settings.plan) and fetch_policy.worth_listing(
        rules, ask, way, by_range=by_range
    ):
        listed = offer(endpoint, rules, ask)
    return fetch_policy.choose_route(rules, ask, way, by_range=by_range, listed=listed)
