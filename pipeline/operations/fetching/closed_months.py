"""Asking about closed months once more: the shell around ``storage.recheck``, which decides.

Once a day, in front of the first fetch of a run: lists of monthly files, then the questions of the
day, one after the other. What comes goes to the ``Receiver`` like any other day: unchanged days
are noted as checked, changed ones become a later version. So a run that is killed loses at most
the question under way, and the next one goes on with the oldest check. Nothing here ends a run:
what fails is said and tried again later.

A monthly file can only confirm. It may be older than what a request said, or grouped by another
date and lack rows that the file of the next month has (both open): days on which it differs from
the cache are asked for by request before anything is called a correction.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pipeline import configuration
from pipeline.api.bulk import BulkFile, list_files, moment_of
from pipeline.api.catalogue.endpoints import Endpoint, endpoint_of
from pipeline.api.catalogue.plans import Plan, covers, window
from pipeline.api.http.concurrency import Lanes
from pipeline.cache import recheck_policy
from pipeline.cache.corrections import corrections_in, details_of
from pipeline.cache.fetch_policy import ANY_AGE, Rules, Wanted
from pipeline.cache.parts import Part, newest_days
from pipeline.cache.recheck_ledger import CheckBook, Checks
from pipeline.cache.recheck_policy import Closed, Listed, Promise, Question
from pipeline.cache.snapshots import SnapshotStore
from pipeline.configuration import Settings
from pipeline.errors import ApiError, BadResponse, PipelineError, Stopped
from pipeline.market.calendar.sessions import TradingCalendar
from pipeline.operations.fetching import source_fetch
from pipeline.operations.fetching.fetch_strategies import Fetching, by_bulk, by_request
from pipeline.operations.fetching.ingest import Receiver

if TYPE_CHECKING:
    from pipeline.api.http.client import ApiSession

#: Requests a day by plan, where the setting says ``plan``: a few seconds under the limit of a plan
#: with monthly files, four minutes under that of Free.
REQUESTS_PER_DAY: Mapping[Plan, int] = {"free": 20, "light": 30, "standard": 40, "premium": 60}

_REFUSED_FOR = dt.timedelta(days=30)  # a refused list of files is not asked for again
_REFUSED = frozenset({400, 403, 404})  # by an endpoint or plan without files
_HOPELESS = frozenset({None, 401})  # no answer; the key is refused: whatever is asked next
_NOT_ALLOWED = 403
_MONTH = len("YYYY-MM")

log = logging.getLogger(__name__)

Check = Callable[[], None]


def budget_of(settings: Settings) -> int:
    """Requests a day for closed months; 0 for none."""
    given = settings.recheck_requests_per_day
    return REQUESTS_PER_DAY[settings.plan] if given is None else given


def rechecks(settings: Settings) -> bool:
    """True when a run with these settings asks about closed months."""
    asof = settings.source_cache_asof
    return (
        settings.source_cache_mode == "read_write"
        and settings.source_route != "files"
        and (asof is None or asof >= configuration.now().date())
        and budget_of(settings) > 0
    )


def recheck_closed(settings: Settings, check: Check = lambda: None) -> None:
    """Ask the questions of the day that have not been asked yet; nothing when there are none.

    Args:
        check: called before each question; what it raises ends this.

    Raises:
        Stopped: by ``check``.
    """
    if not rechecks(settings):
        return
    try:
        _Recheck(settings, check).run()
    except Stopped:
        raise
    except PipelineError as error:
        log.warning("closed months are not rechecked: %s; the next run tries again", error)


@dataclass(frozen=True)
class Outlook:
    """What the budget comes to.

    Attributes:
        budget: requests a day.
        promise: within how many updates a correction is found.
        days: closed days of the cache.
    """

    budget: int
    promise: Promise
    days: int

    def __str__(self) -> str:
        """One line."""
        if not self.budget:
            return "closed months are never rechecked: recheck_requests_per_day is 0"
        if not self.days:
            return f"no closed month in the cache yet; {self.budget} requests a day"
        if self.promise.in_full is None:
            return (
                f"{self.budget} requests a day do not reach: closed months are not rechecked; "
                "raise recheck_requests_per_day"
            )
        updates = (
            "1 daily update"
            if self.promise.in_full == 1
            else (f"{self.promise.in_full:,} daily updates")
        )
        listed = (
            ", by the next one where a list of files shows it (a guess)"
            if self.promise.by_list
            else ""
        )
        return (
            f"a correction of a closed month is found within {updates}{listed}; "
            f"{self.promise.questions:,} questions, {self.budget} requests a day"
        )


def outlook(settings: Settings) -> Outlook:
    """Within how many updates a correction of what the cache holds is found. Asks nobody.

    Raises:
        StorageError: the cache cannot be read.
    """
    if not rechecks(settings):
        return Outlook(0, Promise(0, None, None), 0)
    store = SnapshotStore(settings.data_output_dir, settings.origin)
    checks = CheckBook(settings.data_output_dir, settings.origin).read()
    budget, closed, lists = budget_of(settings), [], 0
    sources = source_fetch.sources_of(settings)
    listing = _listing(settings, sources, checks, budget)
    for endpoint in sources:
        found = _closed(settings, endpoint, store.parts(endpoint.source), checks)
        if endpoint in listing and found.checked:
            lists += 1
            months = {day[:_MONTH] for day in found.checked}
            found = replace(found, listed=dict.fromkeys(months, Listed(0, None)))
        closed.append(found)
    number = len(recheck_policy.questions(closed))
    days = sum(len(source.checked) for source in closed)
    return Outlook(
        budget, recheck_policy.promise(number, lists, budget, checks.requests_each), days
    )


class _Recheck:
    """The questions of one day."""

    def __init__(self, settings: Settings, check: Check) -> None:
        self._settings, self._check = settings, check
        self._store = SnapshotStore(settings.data_output_dir, settings.origin)
        self._book = CheckBook(settings.data_output_dir, settings.origin)
        self._checks = self._book.read()
        self._now = configuration.stamp()
        self._rules = Rules("read_write", ANY_AGE, None, self._now)
        self._budget = budget_of(settings)
        self._offered: dict[str, dict[str, BulkFile]] = {}
        self._refused: set[str] = set()  # sources the account may not ask for

    def run(self) -> None:
        today = self._now[:10]
        self._checks.begin(today, self._budget)
        if self._checks.done:
            return
        sources = source_fetch.sources_of(self._settings)
        known = {source.source: self._store.parts(source.source) for source in sources}
        self._note_found(known)
        closed = {
            source.source: _closed(self._settings, source, known[source.source], self._checks)
            for source in sources
        }
        waiting = [c for c in closed.values() if any(at[:10] < today for at in c.checked.values())]
        calendar = self._calendar()
        if waiting and calendar is not None and self._checks.spent < self._budget:
            with source_fetch.open_session(self._settings) as session:
                listing = _listing(self._settings, sources, self._checks, self._budget)
                for source in waiting:
                    endpoint = endpoint_of(source.source)
                    if endpoint in listing:
                        closed[source.source] = self._with_list(session, endpoint, source)
                left = self._budget - self._checks.spent
                chosen = recheck_policy.choose(
                    recheck_policy.questions(closed.values()), left, today
                )
                if chosen:
                    log.info("closed months: %d questions, %d requests left", len(chosen), left)
                try:
                    for question in chosen:
                        if self._checks.spent >= self._budget:
                            break
                        if question.source in self._refused:
                            continue
                        self._check()
                        self._ask(session, question, calendar)
                finally:
                    asked = {question.source for question in chosen}
                    self._note_found({source: self._store.parts(source) for source in asked})
                    self._book.write(self._checks)
        self._checks.done = True
        self._book.write(self._checks)

    def _calendar(self) -> TradingCalendar | None:
        newest = self._store.newest(source_fetch.CALENDAR)
        return None if newest is None else TradingCalendar.from_table(self._store.read(newest))

    def _with_list(self, session: ApiSession, endpoint: Endpoint, closed: Closed) -> Closed:
        """The same with what the list of its files shows now."""
        self._check()
        known = self._checks.of(endpoint.source)
        days = sorted(closed.checked)
        ends = [dt.date.fromisoformat(days[at]) for at in (0, -1)]
        self._spend()
        try:
            with self._counted(session, endpoint.source):
                files = list_files(session, endpoint, *ends)
        except PipelineError as error:
            log.warning("%s: closed months by request, no list: %s", endpoint.source, error)
            # A bad hour is not a refusal, and is over tomorrow.
            refused = isinstance(error, ApiError) and error.status in _REFUSED
            if refused or isinstance(error, BadResponse):
                known.refused_at = self._now
            return closed
        known.listed_at, known.refused_at = self._now, None
        months = {file.period: file for file in files if len(file.period) == _MONTH}
        self._offered[endpoint.source] = months
        listed = {month: _listed(file) for month, file in months.items()}
        closed = replace(closed, listed=listed)
        for question in recheck_policy.questions([closed]):
            if question.way == "file" and not question.changed:
                known.files[question.period] = listed[question.period]
        return closed

    def _ask(self, session: ApiSession, question: Question, calendar: TradingCalendar) -> None:
        """One question; what fails is said, and its turn comes again with all others.

        Raises:
            ApiError: nothing more can be asked now: no answer at all, or the key is refused.
        """
        known = self._checks.of(question.source)
        self._spend()
        self._checks.questions += 1
        sent = session.requests_sent
        try:
            with self._counted(session, question.source):
                whole = self._answered(session, question, calendar)
        except Stopped:
            raise
        except PipelineError as error:
            log.warning(
                "%s: closed %s %s is not rechecked: %s",
                *(question.source, question.way, question.period, error),
            )
            known.failed[question.period] = self._now
            if isinstance(error, ApiError) and error.status in _HOPELESS:
                raise
            if isinstance(error, ApiError) and error.status == _NOT_ALLOWED:
                self._refused.add(question.source)
        else:
            known.failed.pop(question.period, None)
            if not whole:
                known.failed[question.period] = self._now
        if question.way == "file":
            known.files[question.period] = _listed(self._offered[question.source][question.period])
        self._checks.requests += max(session.requests_sent - sent, 1)

    def _answered(self, session: ApiSession, question: Question, calendar: TradingCalendar) -> bool:
        """Ask, and put away what came; True when every day of the question was answered."""
        if question.way != "file":
            return self._by_request(session, question.source, question.days, calendar)
        file = self._offered[question.source][question.period]
        asked = self._fetching(question.source, question.days, calendar, writes=False)
        by_bulk(asked, session, [file], self._store.spool_folder(question.source))
        doubted = {*asked.receiver.differing, *asked.receiver.doubted()}
        doubted.intersection_update(question.days)
        may = sorted(doubted)[: max(self._budget - self._checks.spent, 0)]
        confirmed = self._by_request(session, question.source, may, calendar)
        return confirmed and not asked.missing and len(may) == len(doubted)

    def _by_request(
        self, session: ApiSession, source: str, dates: Sequence[str], calendar: TradingCalendar
    ) -> bool:
        if not dates:
            return True
        asked = self._fetching(source, dates, calendar, writes=True)
        by_request(asked, session, Lanes(1))
        asked.receiver.close()
        return not asked.missing and not asked.beyond

    def _fetching(
        self, source: str, dates: Sequence[str], calendar: TradingCalendar, *, writes: bool
    ) -> Fetching:
        endpoint = endpoint_of(source)
        # No day is due: each is put away as soon as it comes, and none waits for its month.
        receiver = Receiver(
            self._store, endpoint, self._rules, [], self._store.parts(source), writes=writes
        )

        def days_of(first: dt.date, last: dt.date) -> list[Wanted]:
            return source_fetch.days_wanted(endpoint, calendar, first, last, self._now)

        return Fetching(
            *(endpoint, self._rules, dates, receiver, days_of, lambda _done, _total: None),
            closed=source_fetch.closed_days(endpoint, calendar, dates),
            premium=covers(self._settings.plan, "premium"),
            readable=source_fetch.readable(self._settings),
        )

    def _spend(self) -> None:
        """Take a request off the budget before it is sent: a killed run has spent it too."""
        self._checks.spent += 1
        self._book.write(self._checks)

    def _counted(self, session: ApiSession, source: str) -> _Counted:
        return _Counted(self._checks, session, source)

    def _note_found(self, parts: Mapping[str, Sequence[Part]]) -> None:
        """Put the corrections of closed months into the ledger, as far as the cache holds both
        versions."""
        for source, held in parts.items():
            endpoint = endpoint_of(source)
            key = endpoint.key if endpoint.unique else ()
            new = [
                correction
                for correction in corrections_in(source, held)
                if correction.date[:_MONTH] < correction.arrived[:_MONTH]
                and (source, correction.date, correction.arrived) not in self._checks.found
            ]
            found = []
            for correction in new:
                with suppress(PipelineError):  # a damaged part says so where it is needed
                    found.append(
                        details_of(self._store, correction, held, endpoint.date_field, key)
                    )
            self._checks.add(found)
            if found:
                log.warning(
                    "%s: the vendor corrected %d days; first %s; see g5 cache corrections",
                    *(source, len(found), found[0]),
                )


class _Counted:
    """What a block sends beyond the one request that is paid, and in the run history."""

    def __init__(self, checks: Checks, session: ApiSession, source: str) -> None:
        self._checks, self._session = checks, session
        self._history = source_fetch.counted(session, source)

    def __enter__(self) -> None:
        self._before = self._session.requests_sent
        self._history.__enter__()

    def __exit__(self, *error: object) -> None:
        self._history.__exit__(*error)  # type: ignore[arg-type]
        self._checks.spent += max(self._session.requests_sent - self._before - 1, 0)


def _listing(
    settings: Settings, sources: Sequence[Endpoint], checks: Checks, budget: int
) -> list[Endpoint]:
    """The sources whose files are listed; none when the lists would eat up the budget."""
    if settings.source_route == "requests":
        return []
    found = [
        source
        for source in sources
        if source.query != "range"
        and source.has_files(settings.plan)
        and not _refused(checks, source.source)
    ]
    names = [source.source for source in found]
    return found if recheck_policy.worth_listing(names, budget) else []


def _refused(checks: Checks, source: str) -> bool:
    known = checks.sources.get(source)
    limit = configuration.stamp(_REFUSED_FOR)
    return known is not None and known.refused_at is not None and known.refused_at >= limit


def _closed(
    settings: Settings, endpoint: Endpoint, parts: Sequence[Part], checks: Checks
) -> Closed:
    """The days of months that are over, as far as the plan shows them."""
    today = configuration.now().date()
    first, last = (str(day) for day in window(settings.plan, today))
    known = checks.sources.get(endpoint.source)
    return Closed(
        endpoint.source,
        endpoint.query == "range",
        {
            date: day.checked
            for date, (_, day) in newest_days(parts).items()
            if first <= date <= last and date[:_MONTH] < str(today)[:_MONTH]
        },
        failed=known.failed if known else {},
        before=known.files if known else {},
    )


def _listed(file: BulkFile) -> Listed:
    """A file as the ledger remembers it; a time that cannot be read counts as none."""
    moment = moment_of(file.last_modified)
    return Listed(file.size, moment.isoformat(timespec="seconds") if moment else None)
