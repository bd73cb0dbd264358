"""The WSGI application: one request in, one answer out, as J-Quants v2 would give it.

Checks run in this order: key, rate limit, path, plan, parameters, plan window. The order of the
real server is not known. Injected faults come after the rate limit, as those of a real server
would. Below ``/_sim/`` a test reads the statistics and changes the faults.
"""

from __future__ import annotations

import hmac
import logging
import time
from dataclasses import dataclass, field, replace
from threading import Event
from typing import TYPE_CHECKING

import numpy as np

from pipeline.errors import UsageError
from pipeline.simulator.bulk.bulk_endpoints import FILES, GET_PATH, LIST_PATH, Bulk, BulkOptions
from pipeline.simulator.delivery.fault_injection import Fault, Faults, faults_of_json
from pipeline.simulator.delivery.http_exchange import (
    PREFIX,
    Answer,
    Page,
    Request,
    json_answer,
    refusal,
)
from pipeline.simulator.delivery.send_answer import deliver
from pipeline.simulator.exchange.exchange_calendar import tokyo_sessions
from pipeline.simulator.server.dialect import EVIDENCE, Dialect
from pipeline.simulator.server.endpoint_table import ENDPOINTS, Endpoint
from pipeline.simulator.server.late_corrections import Corrections
from pipeline.simulator.server.plan_access import PLANS, Plan, plan_named
from pipeline.simulator.server.publication_clock import morning_after
from pipeline.simulator.server.refusal import RefusalError, not_in_plan
from pipeline.simulator.server.request_limits import LimitOptions, RateLimiter, ScaledClock
from pipeline.simulator.server.request_query import Query, parse_query
from pipeline.simulator.server.request_stats import Stats
from pipeline.simulator.server.response_pages import (
    PageKeys,
    PageStore,
    cut_pages,
    page_body,
    render_rows,
    sent_fields,
)
from pipeline.simulator.server.spelling import Speller
from pipeline.simulator.server.update_cursor import (
    CURSOR,
    CURSOR_PATHS,
    CURSOR_PLAN,
    Cursor,
    Cursors,
    added_rows,
    invalid_cursor,
)
from pipeline.simulator.server.visible_rows import Viewer

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from _typeshed.wsgi import StartResponse, WSGIEnvironment

    from pipeline.simulator.synthetic_market import Market

CONTROL = "/_sim/"
STATS_PATH, FAULTS_PATH = "/_sim/stats", "/_sim/faults"
EARNINGS_DATE = "/fins/earnings-date"
PAGE_BYTES = 5_000_000  # of the real server
DEFAULT_API_KEY = "simulator"

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class AppOptions:
    """How the application behaves.

    Args:
        plan: free, light, standard or premium.
        now: what the clock says, aware; None for 08:00 in Tokyo on the day after the market's
            end. Data of dates after the market's end never come, however late it is.
        latency_ms: every answer of the API waits this long.
        page_bytes: a page of rows ends when it reaches this size.
        api_key: the one key accepted.
        cache_bytes: rendered pages kept in memory.
        limits: rate limits; None for none.
        clock_scale: rate limits and the expiry of URLs run this many times as fast.
        bulk: how files are served.
        faults: in force from the start.
        corrections: share of bars, listings and margin balances that are wrong at first.
        dialect: how everything is spelled.
    """

    plan: str = "premium"
    now: datetime | None = None
    latency_ms: float = 0.0
    page_bytes: int = PAGE_BYTES
    api_key: str = field(default=DEFAULT_API_KEY, repr=False)
    cache_bytes: int = 256_000_000
    limits: LimitOptions | None = None
    clock_scale: float = 1.0
    bulk: BulkOptions = field(default_factory=BulkOptions)
    faults: tuple[Fault, ...] = ()
    corrections: float = 0.0
    dialect: Dialect = EVIDENCE


class SimulatorApp:
    """WSGI application over one market.

    Attributes:
        faults: those in force; may be changed while it runs.
        stats: what clients asked.

    Raises:
        UsageError: the plan is unknown, or another option is out of its range.
    """

    def __init__(self, market: Market, options: AppOptions) -> None:
        plan: Plan = plan_named(options.plan)
        now = options.now or morning_after(market.spec.end)
        clock = ScaledClock(options.clock_scale)
        self.faults = Faults(options.faults)
        self.stats = Stats()
        corrections = Corrections(options.corrections, market.spec.seed)
        self._viewer = Viewer(market, plan, now, corrections, options.dialect)
        self._speller = Speller(options.dialect, market.spec.seed)
        self._options = options
        self._limiter = RateLimiter(options.limits, plan.name, clock)
        self._bulk = Bulk(self._viewer, options.bulk, clock, self._speller)
        self._keys = PageKeys(market.spec.seed)
        self._cursors = Cursors(market.spec.seed)
        self._store = PageStore(options.cache_bytes)
        self._stop = Event()

    def close(self) -> None:
        """Let answers that hang or drip end soon."""
        self._stop.set()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        request = Request.of(environ)
        if request.path.startswith(CONTROL):
            answer = self._control(request)
        elif request.path.startswith(FILES):
            answer = self._download(request)
            self.stats.count_download(request.path.removeprefix(FILES), answer)
        else:
            if self._options.latency_ms:
                time.sleep(self._options.latency_ms / 1000)
            answer = self._safe_answer(request)
            self.stats.count_request(request, answer)
        return deliver(answer, request, start_response, self._stop)

    # -- outside the API ---------------------------------------------------------------------

    def _control(self, request: Request) -> Answer:
        try:
            if request.path == STATS_PATH:
                return json_answer(self.stats.snapshot())
            if request.path != FAULTS_PATH:
                return refusal(404, f"expected {STATS_PATH} or {FAULTS_PATH}")
            if request.method == "POST":
                self.faults.set(faults_of_json(request.body))
            return json_answer(self.faults.snapshot())
        except UsageError as error:
            return refusal(400, str(error))

    def _download(self, request: Request) -> Answer:
        number = self.faults.number(request)
        fault = self.faults.instead(request, number)
        if fault is not None:
            if fault.fault == "expired-url":
                self._bulk.void(request)
            return fault
        return self.faults.distort(request, number, self._bulk.download(request))

    # -- the API -----------------------------------------------------------------------------

    def _safe_answer(self, request: Request) -> Answer:
        try:
            return self._limited_answer(request)
        except RefusalError as error:
            return refusal(error.status, error.message, error.headers)
        except Exception:
            _LOGGER.exception("simulator: %s failed", request.path)
            return refusal(500, "Unexpected error. Please try again later.")

    def _limited_answer(self, request: Request) -> Answer:
        self._check_key(request.headers.get("HTTP_X_API_KEY"))
        came = self._limiter.admit(request.endpoint)
        status = 500
        try:
            number = self.faults.number(request)
            answer = self.faults.instead(request, number)
            if answer is None:
                answer = self.faults.distort(request, number, self._answer(request))
            status = answer.status
        except RefusalError as error:
            status = error.status
            raise
        finally:
            self._limiter.settle(request.endpoint, came, status)
        return answer

    def _check_key(self, key: str | None) -> None:
        status = int(self._options.dialect.bad_key)
        if not key:
            raise RefusalError(status, "The api key is required.")
        if not hmac.compare_digest(key.encode(), self._options.api_key.encode()):
            raise RefusalError(status, "The incoming api key is invalid or expired.")

    def _answer(self, request: Request) -> Answer:
        if request.method == "GET" and request.path in (PREFIX + LIST_PATH, PREFIX + GET_PATH):
            return self._bulk.answer(request)
        endpoint = _find(request)
        if self._viewer.plan.rank < self._lowest_rank(endpoint):
            raise not_in_plan()
        query, since = self._parse(endpoint, request.params)
        identity = (endpoint.path, query.given)
        pages = self._store.get(identity, lambda: self._render(endpoint, query, since))
        page, before = 0, None
        if query.page is not None:
            page = self._keys.read(identity, query.page, len(pages))
            before = pages.body(page - 1, packed=False)
        packed = request.takes_gzip
        body = pages.body(page, packed=packed)
        return Answer(200, body, packed=packed, page=Page(query.page, before))

    def _lowest_rank(self, endpoint: Endpoint) -> int:
        for_all = endpoint.path == EARNINGS_DATE and self._options.dialect.earnings == "all"
        return 0 if for_all else PLANS[endpoint.plan].rank

    def _parse(self, endpoint: Endpoint, raw: dict[str, str]) -> tuple[Query, Cursor | None]:
        """The query, and the cursor it came with; the cursor is part of the query's identity."""
        text = raw.pop(CURSOR, "") if endpoint.path in CURSOR_PATHS else ""
        if not text:
            return parse_query(raw, endpoint.params, endpoint.combinations, endpoint.one_of), None
        if self._viewer.plan.rank < PLANS[CURSOR_PLAN].rank:
            raise not_in_plan()
        since = self._cursors.read(endpoint.path, text)
        own = {"date": since.day.isoformat()} | ({"code": since.code} if since.code else {})
        raw = own | {name: value for name, value in raw.items() if value}
        query = parse_query(raw, endpoint.params, endpoint.combinations, endpoint.one_of)
        if (query.code, query.day) != (since.code, since.day):
            raise invalid_cursor()
        return replace(query, given=(*query.given, (CURSOR, text))), since

    def _render(self, endpoint: Endpoint, query: Query, since: Cursor | None) -> list[bytes]:
        rows = self._rows(endpoint, query, self._viewer)
        if since is not None:
            then = replace(self._viewer, now=min(since.seen, self._viewer.now))
            rows = added_rows(rows, self._rows(endpoint, query, then))
        elif not rows and self._options.dialect.closed == "refused" and _is_closed(query):
            raise RefusalError(400, "The date is not a business day.")
        limit = self._options.page_bytes if endpoint.paged else 1 << 62
        cuts = cut_pages(rows, limit)
        identity = (endpoint.path, query.given)
        keys = [self._keys.make(identity, i + 1) for i in range(len(cuts) - 1)]
        cursor = self._next_cursor(endpoint, query)
        return [
            page_body(rows[cut], key, cursor) for cut, key in zip(cuts, [*keys, None], strict=True)
        ]

    def _rows(self, endpoint: Endpoint, query: Query, viewer: Viewer) -> list[bytes]:
        columns = viewer.rows(endpoint, viewer.scope(endpoint, query))
        return render_rows(self._speller.rows(endpoint, columns), sent_fields(endpoint, viewer))

    def _next_cursor(self, endpoint: Endpoint, query: Query) -> str | None:
        viewer = self._viewer
        allowed = viewer.plan.rank >= PLANS[CURSOR_PLAN].rank and query.day == viewer.today
        if endpoint.path not in CURSOR_PATHS or not allowed:
            return None
        return self._cursors.write(Cursor(endpoint.path, query.code, viewer.today, viewer.now))


def _is_closed(query: Query) -> bool:
    """Whether it asks for one date, on which the exchange is closed."""
    day = query.day or query.dates.get("disc_date")
    return day is not None and np.datetime64(day) not in tokyo_sessions(np.datetime64(day))


def _find(request: Request) -> Endpoint:
    inside = request.path.startswith(PREFIX + "/")
    endpoint = ENDPOINTS.get(request.endpoint) if inside else None
    if endpoint is None or request.method != "GET":
        raise RefusalError(403, "The requested endpoint does not exist.")
    return endpoint
