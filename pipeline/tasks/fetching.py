"""From the API into a snapshot: which dates are missing, ask for them, keep them.

1. ``choose_parts``: what the cache has already.
2. ``fetch``: the missing dates, through the thread pool, or one range request.
3. A closed month is written as one part when its last date has come; a day of the open month
   at once. So a run that dies keeps all it finished, and the next one asks for the rest only.
4. ``commit``: the snapshot becomes visible when no date is missing.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.api.endpoints import ENDPOINTS, Endpoint, endpoint_of
from pipeline.api.fetch import fetch_dates, fetch_range
from pipeline.api.limits import RateLimiter
from pipeline.api.plans import PLAN_BUDGET, Plan, budgets, covers
from pipeline.api.session import ApiSession
from pipeline.errors import MissingData, SnapshotError
from pipeline.features import catalog
from pipeline.market.sessions import TradingCalendar
from pipeline.storage.snapshots import WHOLE, Part, SnapshotStore, choose_parts, snapshot_key
from pipeline.tasks import config
from pipeline.tasks.config import Settings
from pipeline.tasks.plan import SnapshotRange
from pipeline.version import __version__

CALENDAR = "trading_calendar"
ANY_AGE = "any"  # of ``fresh_after``: whatever the cache has is good
_CALENDAR_AHEAD = dt.timedelta(days=30)  # calendar features look beyond the last session

log = logging.getLogger(__name__)
Progress = Callable[[int, int], None]


@cache
def endpoints_needed() -> tuple[Endpoint, ...]:
    """Sources the catalogue reads, in the order of the endpoint table."""
    named = {
        item.split(".")[0] for feature in catalog.features() for item in feature.inputs.split(";")
    }
    return tuple(endpoint for endpoint in ENDPOINTS if endpoint.id in named)


def sources_of(plan: Plan) -> tuple[Endpoint, ...]:
    """What a chunk reads under a plan, the calendar aside. What the plan lacks stays null."""
    return tuple(
        endpoint
        for endpoint in endpoints_needed()
        if endpoint.source != CALENDAR and covers(plan, endpoint.plan)
    )


def load_calendar(settings: Settings, end: dt.date, *, fetch: bool) -> TradingCalendar:
    """The published trading calendar, from the cache when it reaches beyond ``end``.

    Raises:
        MissingData: it is not in the cache, and ``fetch`` is False or the cache is read-only.
        ApiError: it could not be fetched.
    """
    store = SnapshotStore(settings.data_output_dir, settings.origin)
    snapshot = store.newest(CALENDAR)
    if snapshot is None or snapshot["end"] < str(end + _CALENDAR_AHEAD):
        if not fetch or settings.source_cache_mode == "read":
            raise MissingData(
                f"no trading calendar in {store.root} reaches {end + _CALENDAR_AHEAD}",
                "run BuildAll with source_cache_mode read_write once",
            )
        snapshot = _fetch_calendar(settings, store)
    return TradingCalendar.from_table(store.read(snapshot))


def _fetch_calendar(settings: Settings, store: SnapshotStore) -> Mapping[str, Any]:
    endpoint = endpoint_of(CALENDAR)
    now = config.stamp()
    with open_session(settings) as session:
        table = fetch_range(session, endpoint, None, None)  # all the plan shows
    if table.num_rows == 0:
        raise SnapshotError("trading calendar: the server sent no rows", "check JQUANTS_API_BASE")
    first, last = (pc.min_max(table["Date"])[edge].as_py() for edge in ("min", "max"))
    part = store.add(CALENDAR, WHOLE, [], table, fetched_at=now)
    return store.commit(
        CALENDAR, snapshot_key(CALENDAR, first, last, None, None), [part],
        start=first, end=last, asof=None, tag=None, checked_at=now, client_version=__version__,
    )  # fmt: skip


def open_session(settings: Settings) -> ApiSession:
    """The one door to the API.

    Raises:
        UsageError: no key in the environment, or a malformed base URL.
    """
    limits = budgets(settings.plan)
    if settings.requests_per_minute is not None:
        limits[PLAN_BUDGET] = settings.requests_per_minute
    if settings.requests_per_minute == 0:
        limits = {}
    return ApiSession(
        settings.api_base,
        config.api_key(),
        origin=settings.origin,
        limiter=RateLimiter(limits),
        pool_size=settings.index_option_parallel_concurrency,
    )


def fetch_snapshot(
    settings: Settings, source: str, wanted: SnapshotRange, fresh_after: str, progress: Progress
) -> None:
    """Make the snapshot of one source and range visible, asking only for what is missing.

    Args:
        fresh_after: days of the open month that were fetched before this moment are asked for
            again; ANY_AGE keeps them.
        progress: called with dates done and dates to fetch.

    Raises:
        MissingData: dates are missing and the cache is read-only.
        SnapshotError: the server does not have all of them.
        ApiError: a request failed for good.
    """
    endpoint = endpoint_of(source)
    store = SnapshotStore(settings.data_output_dir, settings.origin)
    calendar = load_calendar(settings, wanted.end, fetch=False)
    months = _Months(calendar, wanted.start, wanted.end)
    usable = [
        part
        for part in store.parts(source)
        if settings.source_cache_mode != "off"
        and (fresh_after == ANY_AGE or months.closed(part.period) or part.fetched_at >= fresh_after)
        and (wanted.asof is None or part.fetched_at[:10] <= str(wanted.asof))
    ]
    chosen, missing = choose_parts(usable, months.dates)
    if missing and settings.source_cache_mode == "read":
        raise MissingData(
            f"snapshot {source} {wanted}: {_some(missing)} not in the cache, which is read-only",
            "run with source_cache_mode read_write",
        )
    if missing:
        keeper = _Keeper(store, endpoint, months, chosen, missing)
        _fetch(settings, endpoint, missing, keeper, progress)
        chosen += keeper.written
    parts, missing = choose_parts(chosen, months.dates)
    if missing:
        raise SnapshotError(
            f"snapshot {source} {wanted}: {_some(missing)} did not come",
            "the source may not be published yet; run again later",
        )
    store.commit(
        source,
        snapshot_key(source, wanted.start, wanted.end, wanted.asof, wanted.tag),
        parts,
        start=wanted.start,
        end=wanted.end,
        asof=wanted.asof,
        tag=wanted.tag,
        checked_at=config.stamp(),
        client_version=__version__,
    )


class _Months:
    """The wanted sessions, and which of their months are over."""

    def __init__(self, calendar: TradingCalendar, start: dt.date, end: dt.date) -> None:
        sessions = calendar.between(np.datetime64(start), np.datetime64(end))
        self.dates = [str(session) for session in sessions]
        after = calendar.eff(np.datetime64(end) + np.timedelta64(1, "D"))
        self._open = str(calendar.sessions[after])[:7] if after < calendar.sessions.size else ""

    def closed(self, period: str) -> bool:
        return period[:7] < self._open


class _Keeper:
    """Takes the days of a fetch in any order; a part appears when its month, or day, is whole."""

    def __init__(
        self,
        store: SnapshotStore,
        endpoint: Endpoint,
        months: _Months,
        chosen: Sequence[Part],
        missing: Sequence[str],
    ) -> None:
        self.written: list[Part] = []
        self._store = store
        self._endpoint = endpoint
        self._months = months
        self._chosen = chosen
        self._held: dict[str, dict[str, pa.Table]] = defaultdict(dict)
        self._waiting: dict[str, set[str]] = defaultdict(set)
        for date in missing:
            self._waiting[date[:7]].add(date)

    def keep(self, day: dt.date, table: pa.Table) -> None:
        date, month = str(day), str(day)[:7]
        self._waiting[month].discard(date)
        self._held[month][date] = table
        if not self._months.closed(date):
            self._write(date, self._held.pop(month))
        elif not self._waiting[month]:
            self._write(month, self._held.pop(month))

    def _write(self, period: str, days: Mapping[str, pa.Table]) -> None:
        """One part; for a month, with what earlier parts of it hold. The order in which the days
        came does not show in it."""
        endpoint = self._endpoint
        earlier = [part for part in self._chosen if part.period[:7] == period]
        tables = [*days.values()]
        tables += [self._store.read_part(endpoint.source, part.file) for part in earlier]
        dates = sorted([*days, *(date for part in earlier for date in part.dates)])
        order = dict.fromkeys((endpoint.date_field, *endpoint.key))
        table = pa.concat_tables(tables).sort_by([(name, "ascending") for name in order])
        part = self._store.add(endpoint.source, period, dates, table, fetched_at=config.stamp())
        self.written.append(part)


def _fetch(
    settings: Settings,
    endpoint: Endpoint,
    missing: Sequence[str],
    keeper: _Keeper,
    progress: Progress,
) -> None:
    """Ask for the missing days, by the way the endpoint is asked."""
    days = [dt.date.fromisoformat(date) for date in missing]
    with open_session(settings) as session:
        if endpoint.query == "range":
            table = fetch_range(session, endpoint, days[0], days[-1], days)
            for done, day in enumerate(days, 1):
                keeper.keep(day, table.filter(pc.equal(table[endpoint.date_field], pa.scalar(day))))
                progress(done, len(days))
        else:
            for day, table in fetch_dates(
                session,
                endpoint,
                days,
                settings.index_option_parallel_concurrency,
                on_progress=lambda p: progress(p.done, p.expected),
            ):
                keeper.keep(day, table)


def _some(dates: Sequence[str]) -> str:
    shown = ", ".join(dates[:5])
    return f"{len(dates)} sessions ({shown}{', ...' if len(dates) > 5 else ''})"
