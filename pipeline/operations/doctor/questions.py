"""Whether the real service is what this pipeline takes it for: asked within a minute.

1. The plan is found out with two requests, which answer for their sources as well.
2. The calendar says which days to ask for: for each source a published one and one at the
   beginning of the plan's window, so no source is asked more than twice.
3. Each answer is judged (``judging``).
4. Lists of bulk files of two sources, the clock, the limits, the machine, and what five years
   would take.

Nothing is kept but the times of the requests, which count for the account.
"""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pyarrow.compute as pc

from pipeline import configuration
from pipeline.api import bulk
from pipeline.api.catalogue.endpoints import ENDPOINTS, Endpoint, endpoint_of
from pipeline.api.catalogue.plans import PLAN_BUDGET, PLANS, Plan, covers, window
from pipeline.api.decode.page_decoder import Decoder
from pipeline.api.http.client import Timeouts
from pipeline.api.http.clock import FetchCancelled
from pipeline.api.http.credentials import is_loopback
from pipeline.api.http.rate_limit import RateLimiter, paced_s
from pipeline.api.http.retry import RetryPolicy, refusal_of
from pipeline.api.http.subscription import FoundPlan, find_plan
from pipeline.api.http.watched import Answer, WatchedSession
from pipeline.cache.request_ledger import SendLedger
from pipeline.configuration import INDISPENSABLE, Settings
from pipeline.errors import ApiError, PipelineError, UsageError
from pipeline.filesystem.location import on_host
from pipeline.market.calendar.sessions import TradingCalendar
from pipeline.operations.doctor.bounded_requests import within
from pipeline.operations.doctor.build_forecast import date_of, prospects
from pipeline.operations.doctor.diagnosis import Asked, Check, Level, Part, Question, Report
from pipeline.operations.doctor.judgement import identity_of, judged, key_of, of_clock, of_limits
from pipeline.operations.fetching.source_fetch import CALENDAR, days_wanted, limits_of
from pipeline.version import __version__

Say = Callable[[str], None]

#: Seconds for all requests together; the rest of the minute is for the estimates.
PATIENCE_S = 50.0
_THREADS = 4
_TIMEOUTS = Timeouts(connect_s=5.0, read_s=15.0, total_s=25.0)
_SLOW_S = 5.0  # kept for answers that take their time
_DEAD_AFTER = 3  # requests without any answer

_MARGIN = dt.timedelta(days=7)  # from the window's beginning, which may turn on another clock
_NEAR = dt.timedelta(days=45)  # around each end of the window; a weekly source has days in it
_RANGE = dt.timedelta(days=20)  # of a source asked by range: weekly ones answer with rows
_LISTED_DAYS = dt.timedelta(days=400)

#: The largest source, and the one with nested fields; a smaller plan has the third.
_LISTS_OF = ("daily_bars", "margin_alert", "fin_summary")
_LISTS = 2

_BY_LIMIT = "the limit of the plan"


class _Visit:
    """All requests to one server, and what came of them.

    Raises:
        UsageError: no key, or a malformed address.
    """

    def __init__(self, settings: Settings, patience_s: float, say: Say) -> None:
        self.settings = settings
        self.say = say
        self.halt = threading.Event()
        self.until = time.monotonic() + patience_s
        self.begun = time.monotonic()
        self.failed: dict[str, str] = {}  # of lists of files: why g5 cannot use them
        self._answers: list[Answer] = []
        self._lock = threading.Lock()
        ledger_path = on_host(settings.data_output_dir) / "run" / "requests.log"
        self._ledger = SendLedger(ledger_path)
        self._key = configuration.api_key()

    def session(self, plan: Plan) -> WatchedSession:
        """A session under the limits of ``plan``; none tries twice."""
        limits = limits_of(replace(self.settings, plan=plan))
        return WatchedSession(
            self.settings.api_base,
            self._key,
            on_answer=self._note,
            halt=self.halt,
            origin=self.settings.server,
            limiter=RateLimiter(limits, ledger=self._ledger),
            pool_size=_THREADS,
            timeouts=_TIMEOUTS,
            policy=RetryPolicy(attempts=1),
        )

    @property
    def answers(self) -> list[Answer]:
        """So far, in the order of their arrival."""
        with self._lock:
            return list(self._answers)

    def _note(self, answer: Answer) -> None:
        with self._lock:
            self._answers.append(answer)
            silent = [earlier.status is None for earlier in self._answers[-_DEAD_AFTER:]]
        dead = len(silent) == _DEAD_AFTER and all(silent)
        if answer.status == 429 or dead:
            self.halt.set()  # asking on would make it worse, or wait for nothing
        if time.monotonic() < self.until:
            self.say(_progress(answer))


def examine_account(settings: Settings, say: Say, patience_s: float = PATIENCE_S) -> Report:
    """Ask the service what a run would ask, and report what is not as expected.

    Args:
        settings: of the run that is meant to follow.
        say: takes one line for each answer, from several threads.
        patience_s: for all requests together.

    Raises:
        UsageError: no key, a malformed address or key, or another origin than expected.
    """
    visit = _Visit(settings, patience_s, say)
    checks: list[Check] = []
    plan, may_ask = _plan(visit, checks)
    calendar = None
    questions: list[Question] = []
    fitting: list[Question] = []
    if may_ask:
        with visit.session(plan) as session:
            asked_already = {answer.path for answer in visit.answers}
            calendar = _calendar(visit, session, plan, checks)
            questions = _questions(plan, calendar or _weekdays(), asked_already)
            fitting = _fitting(visit, plan, questions)
            _ask(visit, session, fitting)
    answers = visit.answers
    took = time.monotonic() - visit.begun
    asked, of_sources = judged(visit.failed, answers, questions)
    left_out = _left_out(answers, questions, fitting)
    checks += [*of_clock(answers), *of_limits(settings, plan, answers), *of_sources]
    if any(why != _BY_LIMIT for _, _, why in left_out):
        checks.append(
            Check(
                "warning", "time", "not everything asked",
                f"{len(left_out)} of {len(left_out) + len(asked)} questions were not asked",
                "run g5 doctor again", {"requests": len(left_out)},
            )
        )  # fmt: skip
    say("machine and estimates")
    checks += prospects(settings, plan, calendar)
    return Report(
        checked_at=configuration.now().replace(microsecond=0, tzinfo=configuration.JST),
        version=__version__,
        origin=settings.server,
        host=_host(settings.api_base),
        plan=plan if may_ask else None,
        requests=len(answers),
        seconds=took,
        can_check=any(answer.page is not None for answer in answers),
        checks=tuple(checks),
        asked=tuple(sorted(asked, key=_order)),
        not_asked=tuple(left_out),
    )


# The plan.


def _plan(visit: _Visit, checks: list[Check]) -> tuple[Plan, bool]:
    """The plan to go by, and whether asking on makes sense."""
    declared = configuration.given()["plan"]
    fallback: Plan = declared if declared in PLANS else "free"
    today = configuration.now().date()

    def find() -> FoundPlan:
        with visit.session("free") as session:
            return find_plan(session, today)

    visit.say(f"asking {visit.settings.api_base}")
    for _, ended in within([find], 1, visit.until, visit.halt):
        if isinstance(ended.error, FetchCancelled):
            break
        if isinstance(ended.error, ApiError):
            return fallback, _no_plan(ended.error, checks)
        if ended.error is not None:
            raise ended.error
        assert ended.result is not None
        found = ended.result.plan
        checks.append(Check("ok", "key", "accepted", "the server accepts it"))
        checks.append(_plan_check(found, declared))
        return found, True
    checks.append(
        Check(
            "problem",
            "network",
            "no answer",
            "no answer in time",
            "check the network, and run g5 doctor again",
        )
    )
    return fallback, False


def _plan_check(found: Plan, declared: str) -> Check:
    facts = {"found": found, "declared": declared}
    if declared not in PLANS or declared == found:
        return Check("ok", "plan", "found", f"{found}, found out from the server", "", facts)
    smaller = covers(declared, found)
    what = f"the account has {found}, the setting says {declared}"
    level: Level = "problem" if smaller else "warning"
    return Check(
        level, "plan", "differs", what, f"plan = {found} (luigi.cfg, PLAN or --g5-plan)", facts
    )


def _no_plan(error: ApiError, checks: list[Check]) -> bool:
    """Say why the plan could not be found out; True when asking on makes sense."""
    said = error.server_message or "without a word"
    if error.status is None:
        checks.append(
            Check("problem", "network", "no answer", said, "check JQUANTS_API_BASE and the network")
        )
        return False
    facts = {"status": error.status}
    if error.status in (401, 403):
        refusal = refusal_of(error.status, error.server_message)
        about = refusal if refusal in ("account", "path") else "key"
        text = f"HTTP {error.status}: {said}"
        checks.append(
            Check("problem", about, "refused", text, error.hint, facts | {"refusal": refusal})
        )
        return refusal == "path"  # others may be there
    if error.status == 429:
        return False  # ``of_limits`` says it
    checks.append(
        Check(
            "problem", "plan", "not found out", f"HTTP {error.status}: {said}",
            "set plan (luigi.cfg, PLAN or --g5-plan); if it stays, check JQUANTS_API_BASE", facts,
        )
    )  # fmt: skip
    return True


# What is asked.


def _calendar(
    visit: _Visit, session: WatchedSession, plan: Plan, checks: list[Check]
) -> TradingCalendar | None:
    """The server's trading calendar, as a run asks for it; None when it is of no use."""
    endpoint = endpoint_of(CALENDAR)

    def get() -> Mapping[str, Any]:
        return session.get(endpoint.path, {}, budgets=endpoint.budgets)

    page: Mapping[str, Any] = {}
    for _, ended in within([get], 1, visit.until, visit.halt):
        if isinstance(ended.error, UsageError):
            raise ended.error
        page = ended.result or {}
    try:
        table = Decoder(endpoint).table(page["data"], {})
        calendar = TradingCalendar.from_table(table)
    except (PipelineError, ValueError, TypeError, KeyError, AttributeError):
        checks.append(
            Check(
                "problem", "calendar", "unusable", "no trading calendar: working days are guessed",
                "nothing can be built without it: run g5 doctor again, and see trading_calendar",
            )
        )  # fmt: skip
        return None
    first, last = (pc.min_max(table["Date"])[edge].as_py() for edge in ("min", "max"))
    today = configuration.now().date()
    reach = min(today + dt.timedelta(days=30), window(plan, today)[1])
    facts = {"days": table.num_rows, "sessions": int(calendar.sessions.size)}
    text = f"{first} to {last}, {calendar.sessions.size:,} sessions"
    if last < reach:
        facts["short_by_days"] = (reach - last).days
        text += f"; expected it to reach {reach}"
        checks.append(
            Check("warning", "calendar", "ends early", text, f"use --end {last} or earlier", facts)
        )
    else:
        checks.append(Check("ok", "calendar", "reaches", text, "", facts))
    return calendar


def _weekdays() -> TradingCalendar:
    """Working days of the years around now, where the server has no calendar to offer."""
    today = np.datetime64(configuration.now().date())
    days = np.arange(today - np.timedelta64(21 * 366, "D"), today + np.timedelta64(60, "D"))
    return TradingCalendar(days[np.is_busday(days)])


def _questions(plan: Plan, calendar: TradingCalendar, seen: set[str]) -> list[Question]:
    """A recent day of each source first, then lists of files, then the old days."""
    sources = [e for e in ENDPOINTS if e.source != CALENDAR and covers(plan, e.plan)]
    # Of a plan that is asked little: first what nothing can be built without.
    sources.sort(key=lambda endpoint: endpoint.source not in INDISPENSABLE)
    recent, old = [], []
    for endpoint in sources:
        days = _days(endpoint, plan, calendar)
        if days is None:
            continue
        recent.append(_question(endpoint, "recent", days[1], calendar))
        if days[0] != days[1] and endpoint.path not in seen:
            old.append(_question(endpoint, "old", days[0], calendar))
    return [*recent, *_lists(plan), *old]


def _days(
    endpoint: Endpoint, plan: Plan, calendar: TradingCalendar
) -> tuple[dt.date, dt.date] | None:
    """The first and the last day worth asking for; None when nothing is published.

    Weekly sources have rows on the last session of a week only, so those are preferred for all
    sources that do not promise rows for every session.
    """
    opens, closes = window(plan, configuration.now().date())
    last = min(closes, configuration.now().date())
    first = max(opens + _MARGIN, endpoint.first_date + _MARGIN, date_of(calendar.sessions[0]))
    early = _published(endpoint, calendar, first, first + _NEAR)
    late = _published(endpoint, calendar, max(first, last - _NEAR), last)
    if not late:
        return None
    return (early or late)[0], late[-1]


def _published(
    endpoint: Endpoint, calendar: TradingCalendar, first: dt.date, last: dt.date
) -> list[dt.date]:
    now = configuration.stamp()
    wanted = days_wanted(endpoint, calendar, first, last, now)
    days = [dt.date.fromisoformat(d.date) for d in wanted if d.settled and d.settled <= now]
    if endpoint.every_session:
        return days
    sessions = calendar.between(np.datetime64(first), np.datetime64(last))
    ends = {day.isocalendar()[:2]: day for day in map(date_of, sessions)}  # of weeks
    return [day for day in days if ends.get(day.isocalendar()[:2]) == day] or days


def _question(endpoint: Endpoint, part: Part, day: dt.date, calendar: TradingCalendar) -> Question:
    if endpoint.query != "range":
        return Question(endpoint, part, endpoint.day_query(day), day, day)
    first, last = (day, day + _RANGE) if part == "old" else (day - _RANGE, day)
    first = max(first, date_of(calendar.sessions[0]))
    return Question(endpoint, part, endpoint.range_query(first, last), first, last)


def _lists(plan: Plan) -> list[Question]:
    today = configuration.now().date()
    wanted = [endpoint_of(source) for source in _LISTS_OF]
    return [
        Question(endpoint, "files", {}, today - _LISTED_DAYS, today)
        for endpoint in wanted
        if endpoint.has_files(plan)
    ][:_LISTS]


def _ask(visit: _Visit, session: WatchedSession, questions: Sequence[Question]) -> None:
    """Ask as much of this as the time allows."""

    def job(question: Question) -> Callable[[], None]:
        def ask() -> None:
            endpoint = question.endpoint
            if question.part == "files":
                assert question.first is not None
                assert question.last is not None
                bulk.list_files(session, endpoint, question.first, question.last)
            else:
                session.get(endpoint.path, question.query, budgets=endpoint.budgets)

        return ask

    for number, ended in within([job(q) for q in questions], _THREADS, visit.until, visit.halt):
        error, question = ended.error, questions[number]
        if isinstance(error, UsageError):
            visit.halt.set()
            raise error
        if error is None or isinstance(error, FetchCancelled):
            continue
        if question.part == "files" and not isinstance(error, ApiError | ValueError):
            raise error
        if question.part == "files":
            visit.failed[question.endpoint.source] = str(getattr(error, "message", error))
        elif not isinstance(error, PipelineError):
            raise error


def _fitting(visit: _Visit, plan: Plan, questions: Sequence[Question]) -> list[Question]:
    """The first of these, as many as the limit of the plan lets through in time."""
    limits = limits_of(replace(visit.settings, plan=plan))
    sent: list[tuple[int, Sequence[str]]] = [(len(visit.answers), (PLAN_BUDGET,))]
    batches = [*sent, *((1, question.endpoint.budgets) for question in questions)]
    patience = visit.until - visit.begun
    patience -= min(_SLOW_S, patience / 2)
    fit = len(questions)
    while fit and paced_s(batches[: fit + 1], limits) > patience:
        fit -= 1
    if fit < len(questions):
        visit.say(f"the limit of plan {plan} lets through {fit} of {len(questions)} more requests")
    return list(questions[:fit])


def _left_out(
    answers: Sequence[Answer], questions: Sequence[Question], fitting: Sequence[Question]
) -> list[tuple[str, Part, str]]:
    """What was meant to be asked and has no answer, and why."""
    came = {identity_of(answer) for answer in answers}
    if any(answer.status == 429 for answer in answers):
        why = "the server refused for too many requests"
    elif not any(answer.status is not None for answer in answers[-_DEAD_AFTER:]):
        why = "the server does not answer"
    else:
        why = "the time was over"
    return [
        (question.endpoint.source, question.part, why if question in fitting else _BY_LIMIT)
        for question in questions
        if key_of(question) not in came
    ]


def _order(asked: Asked) -> tuple[bool, int]:
    """By the endpoint table, lists of files last."""
    sources = [endpoint.source for endpoint in ENDPOINTS]
    return asked.part == "files", sources.index(asked.source)


def _host(base_url: str) -> str:
    if is_loopback(base_url):
        return "loopback"
    official = urlsplit(configuration.OFFICIAL_API).hostname
    return "official" if urlsplit(base_url).hostname == official else "other"


def _progress(answer: Answer) -> str:
    query = " ".join(f"{name}={value}" for name, value in answer.query.items())
    if answer.error is not None:
        what = f"HTTP {answer.status}" if answer.status else "no answer"
    else:
        data = (answer.page or {}).get("data")
        what = f"{len(data):,} rows" if isinstance(data, list) else "no rows"
    return (
        " ".join(part for part in (answer.path, query) if part)
        + f": {what}, {answer.seconds:.1f} s"
    )
