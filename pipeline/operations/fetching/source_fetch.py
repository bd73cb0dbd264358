"""From the vendor into a snapshot: the shell around ``storage.policy``, which decides.

1. ``days_wanted``: the days of the range, and when the vendor's answer for each is final.
2. ``policy.decide``: which of them the cache has, which are asked for, which cannot be had.
3. The asked ones come by the way that costs the fewest requests and go to the ``Receiver``, which
   checks and keeps them. A run that dies keeps all it got; the next one asks for the rest only.
4. ``commit``: the snapshot becomes visible when no day is missing.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import configuration
from pipeline.api.catalogue.endpoints import ENDPOINTS, Endpoint, endpoint_of
from pipeline.api.catalogue.plans import PLAN_BUDGET, budgets, covers, window
from pipeline.api.day_requests import Readable, fetch_range
from pipeline.api.http.client import ApiSession
from pipeline.api.http.concurrency import Lanes
from pipeline.api.http.rate_limit import RateLimiter
from pipeline.cache import fetch_policy
from pipeline.cache.fetch_policy import ANY_AGE, Known, Rules, Wanted
from pipeline.cache.parts import Part, Selection, newest_days, select
from pipeline.cache.request_ledger import SendLedger
from pipeline.cache.snapshots import WHOLE, SnapshotStore, snapshot_key
from pipeline.configuration import Settings
from pipeline.errors import MissingData, SnapshotError
from pipeline.filesystem.location import on_host
from pipeline.market.calendar.as_of import Publication, published_at
from pipeline.market.calendar.sessions import DateArray, TradingCalendar
from pipeline.operations.fetching.fetch_strategies import (
    DaysOf,
    Fetching,
    Progress,
    by_folder,
    by_the_cheapest,
    calendar_file,
)
from pipeline.operations.fetching.ingest import Receiver, compact
from pipeline.operations.fetching.snapshot_range import SnapshotRange
from pipeline.operations.runs import run_recorder
from pipeline.quarantine import notes_of, to_json
from pipeline.version import __version__

CALENDAR = "trading_calendar"
_CALENDAR_AHEAD = dt.timedelta(days=30)  # calendar features look beyond the last session
#: Where the plan's window ends the calendar, the server's may end this much earlier than computed:
#: whether the window moves at midnight in Japan or UTC is open, and the run may begin just before.
CALENDAR_SLACK = dt.timedelta(days=3)

log = logging.getLogger(__name__)


@cache
def endpoints_needed() -> tuple[Endpoint, ...]:
    """Sources the catalogue reads, in the order of the endpoint table."""
    from pipeline.features.engine import catalogue  # many modules; the commands that look need none

    named = {
        item.split(".")[0] for feature in catalogue.features() for item in feature.inputs.split(";")
    }
    return tuple(endpoint for endpoint in ENDPOINTS if endpoint.id in named)


def sources_of(settings: Settings) -> tuple[Endpoint, ...]:
    """What a chunk reads, the calendar aside: of the plan, and not declared unavailable."""
    missing = unavailable(settings)
    return tuple(
        endpoint
        for endpoint in endpoints_needed()
        if endpoint.source != CALENDAR and endpoint.source not in missing
    )


def unavailable(settings: Settings) -> tuple[str, ...]:
    """Sources the catalogue reads that the plan lacks or the operator declared unavailable.

    Their features are null.
    """
    return tuple(
        endpoint.source
        for endpoint in endpoints_needed()
        if not covers(settings.plan, endpoint.plan)
        or endpoint.source in settings.unavailable_sources
    )


def range_of(endpoint: Endpoint, wanted: SnapshotRange) -> SnapshotRange:
    """What is fetched of one source, given the range of the daily ones: books begin earlier."""
    from pipeline.features.engine import catalogue

    earlier = dt.timedelta(days=catalogue.EARLIER_DAYS.get(endpoint.id, 0))
    return replace(wanted, start=wanted.start - earlier)


def load_calendar(settings: Settings, end: dt.date) -> TradingCalendar:
    """The published trading calendar that the cache holds.

    One that ends a little before the computed end of the plan's window serves on the day it was
    fetched: the server has no more. All processes of a run have one day, so they agree.

    Raises:
        MissingData: there is none that reaches far enough beyond ``end``.
    """
    store = SnapshotStore(settings.data_output_dir, settings.origin)
    snapshot = store.newest(CALENDAR)
    reach = _calendar_reach(settings, end)
    if snapshot is not None and snapshot["checked_at"][:10] == str(configuration.now().date()):
        reach -= _calendar_slack(settings, end)
    if snapshot is None or snapshot["end"] < str(reach):
        raise MissingData(
            f"no trading calendar in {store.root} reaches {_calendar_reach(settings, end)}",
            "run BuildAll with source_cache_mode read_write once",
        )
    return TradingCalendar.from_table(store.read(snapshot))


def fetch_calendar(settings: Settings, end: dt.date, *, noted: bool = True) -> pa.Table:
    """The trading calendar as the server, or the folder of files, has it; nothing kept.

    Args:
        noted: False leaves the request out of the ledger of what this account sent.

    Raises:
        SnapshotError: it does not reach far enough beyond ``end``.
        ApiError: it could not be fetched.
    """
    if settings.source_route == "files":
        assert settings.bulk_folder is not None  # checked with the settings
        table = calendar_file(settings.bulk_folder, endpoint_of(CALENDAR))
    else:
        with open_session(settings, noted=noted) as session, counted(session, CALENDAR):
            # All the plan shows.
            table = fetch_range(session, endpoint_of(CALENDAR), readable=readable(settings))
    last, reach = pc.max(table["Date"]).as_py(), _calendar_reach(settings, end)
    if last is None or last < reach - _calendar_slack(settings, end):
        raise SnapshotError(
            f"trading calendar: expected it to reach {reach}, the server's ends "
            f"{f'on {last}' if last else 'before it begins'}",
            "check JQUANTS_API_BASE, or use an earlier --end",
        )
    if last < reach:
        log.warning(
            "trading calendar: the server's ends on %s, the window of plan %s was expected to end "
            "on %s; this run ends with the calendar",
            *(last, settings.plan, reach),
        )
    return table


def _calendar_reach(settings: Settings, end: dt.date) -> dt.date:
    """How far the calendar must reach: beyond ``end``, but no further than the plan shows."""
    return min(end + _CALENDAR_AHEAD, window(settings.plan, configuration.now().date())[1])


def _calendar_slack(settings: Settings, end: dt.date) -> dt.timedelta:
    """By how much it may miss that: not at all, unless the plan's window is what ends it."""
    limited = _calendar_reach(settings, end) < end + _CALENDAR_AHEAD
    return CALENDAR_SLACK if limited else dt.timedelta(0)


def readable(settings: Settings) -> Readable:
    """What the server has said today, in this process, of the days the account may read."""
    today = configuration.now().date()
    return _learnt(settings.data_output_dir, settings.api_base, settings.plan, today)


@cache
def _learnt(_root: Path, _base: str, _plan: str, _today: dt.date) -> Readable:
    return Readable()


def keep_calendar(settings: Settings, table: pa.Table) -> None:
    """Put a fetched calendar into the cache."""
    flush_ledger(settings.data_output_dir)
    now = configuration.stamp()
    first, last = (pc.min_max(table["Date"])[edge].as_py() for edge in ("min", "max"))
    store = SnapshotStore(settings.data_output_dir, settings.origin)
    notes = to_json(notes_of(table))
    part = store.add(CALENDAR, WHOLE, [], table, fetched_at=now, quarantine=notes)
    store.commit(
        CALENDAR,
        snapshot_key(CALENDAR, first, last, None, None),
        [Selection(part, ())],
        date_field="Date",
        start=first,
        end=last,
        asof=None,
        tag=None,
        checked_at=now,
        client_version=__version__,
    )


def limits_of(settings: Settings) -> dict[str, int]:
    """Requests a minute of every budget; empty when nothing is limited."""
    limits = budgets(settings.plan)
    if settings.requests_per_minute is not None:
        limits[PLAN_BUDGET] = settings.requests_per_minute
    return {} if settings.requests_per_minute == 0 else limits


def open_session(settings: Settings, *, noted: bool = True) -> ApiSession:
    """The one door to the API.

    Args:
        noted: False only reads the ledger of what this account sent.

    Raises:
        UsageError: no key in the environment, or a malformed base URL.
    """
    root = settings.data_output_dir
    ledger = _ledger(root) if noted else SendLedger(_ledger(root).path, writes=False)
    return ApiSession(
        settings.api_base,
        configuration.api_key(),
        origin=settings.server,
        limiter=RateLimiter(limits_of(settings), ledger=ledger),
        pool_size=configuration.MOST_THREADS,  # a running fetch may be told to use more
    )


@contextmanager
def counted(session: ApiSession, source: str) -> Iterator[None]:
    """What the block sends counts for this source in the run history."""
    before = session.requests_sent
    try:
        yield
    finally:
        run_recorder.count_requests(source, session.requests_sent - before)


def flush_ledger(root: Path) -> None:
    """Write down what this process sent before it held the output root.

    Raises:
        StorageError: the file system refused.
    """
    _ledger(root).flush()


@cache
def _ledger(root: Path) -> SendLedger:
    """What this account was asked lately, by whichever process of whichever run."""
    return SendLedger(on_host(root) / "run" / "requests.log")


def fetch_snapshot(
    settings: Settings,
    source: str,
    wanted: SnapshotRange,
    fresh_after: str,
    progress: Progress,
    lanes: Lanes | None = None,
) -> None:
    """Make the snapshot of one source and range visible, asking only for what is missing.

    Args:
        fresh_after: days of the open month that were checked before this moment are asked for
            again; ANY_AGE keeps them.
        progress: called with days done and days to fetch, when days have been kept; what it raises
            ends the fetch.
        lanes: requests at a time; None for as many as the settings say.

    Raises:
        MissingData: days are missing and the cache is read-only, or had not arrived by the
            as-of day.
        SnapshotError: the server does not have all of them, or not as they should be.
        ApiError: a request failed for good.
    """
    endpoint = endpoint_of(source)
    store = SnapshotStore(settings.data_output_dir, settings.origin)
    rules = rules_of(settings, wanted, fresh_after)
    calendar = load_calendar(settings, wanted.end)

    def days_of(first: dt.date, last: dt.date) -> list[Wanted]:
        return days_wanted(endpoint, calendar, first, last, rules.now)

    parts = store.parts(source)
    days = days_of(wanted.start, wanted.end)
    ask, beyond, lost = sorted_days(settings, rules, days, parts)
    if lost:
        raise _lost(source, wanted, rules, lost)
    if ask:
        lanes = lanes or Lanes(settings.index_option_parallel_concurrency)
        closed = closed_days(endpoint, calendar, [day.date for day in ask])
        beyond |= _fetch(settings, endpoint, rules, ask, parts, days_of, closed, progress, lanes)
        parts = store.parts(source)
    if rules.may_ask:
        compact(store, endpoint, rules, parts)
        parts = store.parts(source)
    dates = [day.date for day in days if day.date not in beyond]
    _commit(store, endpoint, wanted, rules, dates, parts)


def rules_of(settings: Settings, wanted: SnapshotRange, fresh_after: str) -> Rules:
    """What a run may use of the cache, and may ask."""
    return Rules(
        mode=settings.source_cache_mode,
        fresh_after=fresh_after,
        asof=str(wanted.asof) if wanted.asof else None,
        now=configuration.stamp(),
    )


def sorted_days(
    settings: Settings, rules: Rules, days: Sequence[Wanted], parts: Sequence[Part]
) -> tuple[list[Wanted], set[str], tuple[str, ...]]:
    """The days to ask for; those before the plan's window; those that cannot be had."""
    decision = fetch_policy.decide(rules, days, _known(parts))
    asked = set(decision.ask)
    ask, beyond = _readable(settings, [day for day in days if day.date in asked])
    return ask, beyond, decision.lost


def days_wanted(
    endpoint: Endpoint, calendar: TradingCalendar, start: dt.date, end: dt.date, now: str
) -> list[Wanted]:
    """The days of [start, end] a snapshot answers for.

    Sessions; calendar days for sources whose records may be dated on closed days. Days before
    the vendor's first one have nothing to ask for. Of a source that does not promise rows, days
    whose records are not all published are left out: an empty answer would say nothing.
    """
    first = np.datetime64(max(start, endpoint.first_date))
    dates = calendar.between(first, np.datetime64(end))
    if endpoint.query == "day" or (endpoint.query == "range" and not endpoint.every_session):
        dates = np.arange(first, np.datetime64(end) + 1)
    wanted = [
        Wanted(str(date), "" if np.isnat(moment) else f"{moment}:00+09:00")
        for date, moment in zip(dates, _settled(dates, endpoint.publication, calendar), strict=True)
    ]
    if endpoint.every_session:
        return wanted
    return [day for day in wanted if day.settled and day.settled <= now]


def _settled(dates: DateArray, rule: Publication, calendar: TradingCalendar) -> DateArray:
    """Moment from which all records of each day are public, whichever of the rules they follow."""
    moments = published_at(dates, rule, calendar)
    if rule.otherwise is None:
        return moments
    return np.maximum(moments, _settled(dates, rule.otherwise, calendar))


def _readable(settings: Settings, ask: Sequence[Wanted]) -> tuple[list[Wanted], set[str]]:
    """The asked days inside the plan's window, and those before it.

    The window moves on every day, and the warm-up may begin before it: a snapshot has what the
    cache kept from earlier, and begins later otherwise.
    """
    if settings.source_route == "files":
        return list(ask), set()
    first = str(window(settings.plan, configuration.now().date())[0])
    inside = [day for day in ask if day.date >= first]
    return inside, {day.date for day in ask if day.date < first}


def _known(parts: Sequence[Part]) -> dict[str, list[Known]]:
    """Versions of each day in the cache."""
    known: dict[str, list[Known]] = {}
    for part in parts:
        for day in part.days:
            known.setdefault(day.date, []).append(Known(day.arrived, day.checked))
    return known


def _lost(source: str, wanted: SnapshotRange, rules: Rules, dates: Sequence[str]) -> MissingData:
    if rules.mode == "read":
        return MissingData(
            f"snapshot {source} {wanted}: {_some(dates)} not in the cache, which is read-only",
            "run with source_cache_mode read_write",
        )
    return MissingData(
        f"snapshot {source} {wanted}: {_some(dates)} had not arrived by {rules.asof}",
        "leave source_cache_asof out, or give the day on which the cache was filled or a later one",
    )


def _fetch(
    settings: Settings,
    endpoint: Endpoint,
    rules: Rules,
    ask: Sequence[Wanted],
    parts: Sequence[Part],
    days_of: DaysOf,
    closed: frozenset[str],
    progress: Progress,
    lanes: Lanes,
) -> set[str]:
    """Get the asked days: from the spool of a run that died, then from the vendor.

    Returns:
        Days before the account's window, as far as the server named it: they cannot be had.

    Raises:
        SnapshotError: the window ends before the asked days do.
    """
    store = SnapshotStore(settings.data_output_dir, settings.origin)
    receiver = Receiver(store, endpoint, rules, [day.date for day in ask], parts)
    taken = set(receiver.take_spooled(ask))
    if taken:
        log.info("%s: %d days were left by a run that ended early", endpoint.source, len(taken))
    missing = [day.date for day in ask if day.date not in taken]
    fetching = Fetching(
        endpoint,
        rules,
        missing,
        receiver,
        days_of,
        progress,
        closed=closed,
        premium=covers(settings.plan, "premium"),
        readable=readable(settings),
        by_file=_months_by_file(parts, missing),
    )
    way = settings.source_route
    if not missing:
        pass
    elif way == "files":
        assert settings.bulk_folder is not None  # checked with the settings
        by_folder(fetching, settings.bulk_folder)
    else:
        with open_session(settings) as session, counted(session, endpoint.source):
            by_the_cheapest(
                fetching,
                session,
                way,
                lanes,
                endpoint.has_files(settings.plan),
                store.spool_folder(endpoint.source),
            )
    receiver.close()
    last = fetching.readable.window.last
    after = sorted(date for date in fetching.beyond if last is not None and date > str(last))
    if after:
        raise SnapshotError(
            f"{endpoint.source}: the account reads until {last}; {_some(after)} lie after it",
            f"use --end {last} or earlier",
        )
    return fetching.beyond


def _months_by_file(parts: Sequence[Part], ask: Collection[str]) -> frozenset[str]:
    """The months of which days count that came from bulk files, those asked for again aside."""
    months = {date[:7] for date in ask}
    counting = newest_days(parts).values()
    there = {day.date[:7] for part, day in counting if "bulk" in part.route.split("+")}
    return frozenset(there - months)


def closed_days(
    endpoint: Endpoint, calendar: TradingCalendar, dates: Sequence[str]
) -> frozenset[str]:
    """The days of a source asked for each calendar day on which the exchange was closed.

    Args:
        dates: ISO, ascending.
    """
    if endpoint.query != "day" or not dates:
        return frozenset()
    sessions = calendar.between(np.datetime64(dates[0]), np.datetime64(dates[-1]))
    return frozenset(dates) - {str(session) for session in sessions}


def _commit(
    store: SnapshotStore,
    endpoint: Endpoint,
    wanted: SnapshotRange,
    rules: Rules,
    dates: Sequence[str],
    parts: Sequence[Part],
) -> None:
    selections, missing = select(parts, dates, rules.asof)
    if missing:
        raise SnapshotError(
            f"snapshot {endpoint.source} {wanted}: {_some(missing)} did not come",
            "the source may not be published yet; run again later",
        )
    if not selections:  # the vendor's data begin later: a table without rows has columns too
        nothing = store.add(
            endpoint.source, WHOLE, [], endpoint.schema.empty_table(), fetched_at=rules.now
        )
        selections = [Selection(nothing, ())]
    store.commit(
        endpoint.source,
        snapshot_key(endpoint.source, wanted.start, wanted.end, wanted.asof, wanted.tag),
        selections,
        date_field=endpoint.date_field,
        start=wanted.start,
        end=wanted.end,
        asof=wanted.asof,
        tag=wanted.tag,
        checked_at=rules.now,
        client_version=__version__,
    )


def _some(dates: Sequence[str]) -> str:
    shown = ", ".join(dates[:5])
    return f"{len(dates)} days ({shown}{', ...' if len(dates) > 5 else ''})"


def is_fetched(settings: Settings, source: str, wanted: SnapshotRange, fresh_after: str) -> bool:
    """True when the snapshot is there, of this origin, and was checked after ``fresh_after``."""
    key = snapshot_key(source, wanted.start, wanted.end, wanted.asof, wanted.tag)
    found = SnapshotStore(settings.data_output_dir, settings.origin).find(source, key)
    return found is not None and (fresh_after == ANY_AGE or found["checked_at"] >= fresh_after)
