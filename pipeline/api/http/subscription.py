"""Which plan an account has, found out with two small requests, and what a refusal is about.

Each plan has an endpoint that the next smaller one lacks (table of plans of the specification).
Standard's is asked first, then Premium's or Light's: two requests tell four plans apart. An answer
of any kind, also that there is nothing or that the query is wrong, means that the plan has the
endpoint; only a refusal means that it does not.

A refusal that does not say whether key or plan is meant costs one request more: for the calendar,
which every plan has.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field

from pipeline.api.catalogue.endpoints import endpoint_of
from pipeline.api.catalogue.plans import Plan
from pipeline.api.http.client import ApiSession
from pipeline.api.http.retry import Refusal, refusal_of
from pipeline.errors import ApiError

#: A source that a plan has and the next smaller one lacks. Answers of one day are small.
TELLTALES: Mapping[Plan, str] = {
    "free": "trading_calendar",
    "light": "topix",
    "standard": "short_ratio",
    "premium": "dividend",
}

# Inside the window of every plan: Free hides the last 84 days.
_DAYS_AGO = 100
# Month and day of holidays that fall on a Tuesday, Wednesday or Thursday; New Year with its eve.
_HOLIDAYS = frozenset(
    (
        *((12, 31), (1, 1), (1, 2), (1, 3), (2, 11), (2, 23), (3, 19), (3, 20), (3, 21), (4, 29)),
        *((5, 3), (5, 4), (5, 5), (5, 6), (8, 11), (9, 21), (9, 22), (9, 23), (9, 24), (11, 3)),
        (11, 23),
    )
)
_MIDWEEK = (1, 2, 3)

# The server has the endpoint for this account, whatever it says about the query: a closed day or
# one outside the window (400), nothing at this time (210), too much (413).
_ANSWERED = frozenset({210, 400, 413})


@dataclass(frozen=True)
class FoundPlan:
    """What an account subscribes to.

    Attributes:
        requests: sent to find it out, repetitions included.
        evidence: one line per endpoint that was asked: what it answered.
    """

    plan: Plan
    requests: int
    evidence: tuple[str, ...]


def find_plan(session: ApiSession, today: dt.date) -> FoundPlan:
    """Find out which plan the account of this session has.

    Args:
        session: to the API; its limiter should be that of the smallest plan.
        today: Tokyo time.

    Raises:
        ApiError: the key is refused (status 401 or 403), the account has no plan, an endpoint is
            not there, or the server failed; the hint says what to do.
        UsageError: the other end is not the expected origin.
    """
    sent_before = session.requests_sent
    probes = _Probes(session, probe_day(today))
    if probes.has("standard"):
        plan: Plan = "premium" if probes.has("premium") else "standard"
    else:
        plan = "light" if probes.has("light") else "free"
    return FoundPlan(plan, session.requests_sent - sent_before, tuple(probes.evidence))


def why_refused(session: ApiSession, refused: ApiError, today: dt.date) -> Refusal:
    """What an answer 401 or 403 is about; never ``unclear``.

    Where the server's words do not say it, one request for what every plan has: if that is
    answered, key and account are good.

    Raises:
        ApiError: that request failed for another reason.
        UsageError: the other end is not the expected origin.
    """
    kind = refusal_of(refused.status, refused.server_message)
    if kind != "unclear":
        return kind
    return "plan" if _Probes(session, probe_day(today)).refusal("free") is None else "key"


def probe_day(today: dt.date) -> dt.date:
    """A session that lies in the window of every plan.

    The exchange is open from Tuesday to Thursday but for holidays of fixed dates and the
    equinoxes; whether a closed day is answered with 400 is open, and need not matter here.
    """
    day = today - dt.timedelta(days=_DAYS_AGO)
    while day.weekday() not in _MIDWEEK or (day.month, day.day) in _HOLIDAYS:
        day -= dt.timedelta(days=1)
    return day


@dataclass
class _Probes:
    """Questions to the telltales of the plans, on one day."""

    session: ApiSession
    day: dt.date
    evidence: list[str] = field(default_factory=list)
    _key_is_good: bool = False

    def has(self, plan: Plan) -> bool:
        """True when the account may read what needs ``plan``."""
        refused = self.refusal(plan)
        if refused is None:
            return True
        kind = refusal_of(refused.status, refused.server_message)
        if kind in ("key", "account"):
            raise refused
        if kind == "plan":
            self._key_is_good = True  # to know the plan, the server has looked the key up
        if not self._key_is_good and (every := self.refusal("free")) is not None:
            raise _with_hint(
                every,
                "every plan has this: check JQUANTS_API_KEY, and that the account has a plan",
            )
        if kind == "path":
            raise _with_hint(
                refused, "the plan cannot be found out: set plan (luigi.cfg, PLAN or --g5-plan)"
            )
        return False

    def refusal(self, plan: Plan) -> ApiError | None:
        """The answer 401 or 403 to the telltale of ``plan``; None when it answers."""
        endpoint = endpoint_of(TELLTALES[plan])
        query = endpoint.day_query(self.day)
        if endpoint.query == "range":
            query = endpoint.range_query(self.day, self.day)
        try:
            self.session.get(endpoint.path, query, budgets=endpoint.budgets)
        except ApiError as error:
            self.evidence.append(str(error.message))
            if error.status in (401, 403):
                return error
            if error.status not in _ANSWERED:
                raise
        else:
            self.evidence.append(f"GET {endpoint.path}: answered")
        self._key_is_good = True
        return None


def _with_hint(error: ApiError, hint: str) -> ApiError:
    return ApiError(
        error.endpoint,
        error.params,
        status=error.status,
        server_message=error.server_message,
        hint=hint,
    )
