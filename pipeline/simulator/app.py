"""The WSGI application: one request in, one answer out, as J-Quants v2 would give it.

Checks run in this order: key, path, plan, parameters, plan window. The order of the real server
is not known.
"""

from __future__ import annotations

import hmac
import logging
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

import orjson

from pipeline.simulator.endpoints import ENDPOINTS, Endpoint, Field
from pipeline.simulator.plans import PLANS, Plan, plan_named
from pipeline.simulator.publication import morning_after
from pipeline.simulator.query import Query, parse_query
from pipeline.simulator.refusal import RefusalError
from pipeline.simulator.responses import (
    PageKeys,
    PageStore,
    cut_pages,
    page_body,
    render_rows,
)
from pipeline.simulator.scope import Viewer

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from _typeshed.wsgi import StartResponse, WSGIEnvironment

    from pipeline.simulator.market import Market

PREFIX = "/v2"
STATS_PATH = "/_sim/stats"
PAGE_BYTES = 5_000_000  # of the real server
DEFAULT_API_KEY = "simulator"
_KEPT_REQUESTS = 20_000

_REASONS = {200: "OK", 400: "Bad Request", 403: "Forbidden", 500: "Internal Server Error"}
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
    """

    plan: str = "premium"
    now: datetime | None = None
    latency_ms: float = 0.0
    page_bytes: int = PAGE_BYTES
    api_key: str = field(default=DEFAULT_API_KEY, repr=False)
    cache_bytes: int = 256_000_000


@dataclass(frozen=True)
class Answer:
    """Status and body of an answer."""

    status: int
    body: bytes
    packed: bool = False


class SimulatorApp:
    """WSGI application over one market.

    Raises:
        UsageError: the plan is unknown.
    """

    def __init__(self, market: Market, options: AppOptions) -> None:
        plan: Plan = plan_named(options.plan)
        now = options.now or morning_after(market.spec.end)
        self._viewer = Viewer(market, plan, now)
        self._options = options
        self._keys = PageKeys(market.spec.seed)
        self._store = PageStore(options.cache_bytes)
        self._stats = Stats()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = str(environ.get("PATH_INFO", ""))
        if path == STATS_PATH:
            answer = Answer(200, orjson.dumps(self._stats.snapshot()))
        else:
            if self._options.latency_ms:
                time.sleep(self._options.latency_ms / 1000)
            answer = self._safe_answer(path, environ)
            query = str(environ.get("QUERY_STRING", ""))
            self._stats.count(path.removeprefix(PREFIX), query, answer)
        headers = [
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(answer.body))),
            ("X-Simulator", "g5"),
        ]
        if answer.packed:
            headers.append(("Content-Encoding", "gzip"))
        start_response(f"{answer.status} {_REASONS[answer.status]}", headers)
        return [answer.body]

    def _safe_answer(self, path: str, environ: WSGIEnvironment) -> Answer:
        try:
            return self._answer(path, environ)
        except RefusalError as refusal:
            return _error(refusal.status, refusal.message)
        except Exception:
            _LOGGER.exception("simulator: %s failed", path)
            return _error(500, "Unexpected error. Please try again later.")

    def _answer(self, path: str, environ: WSGIEnvironment) -> Answer:
        self._check_key(environ.get("HTTP_X_API_KEY"))
        endpoint = _find(path, str(environ.get("REQUEST_METHOD", "GET")))
        if self._viewer.plan.rank < PLANS[endpoint.plan].rank:
            raise RefusalError(403, "This API is not available on your subscription.")
        raw = dict(parse_qsl(str(environ.get("QUERY_STRING", "")), keep_blank_values=True))
        query = parse_query(raw, endpoint.params, endpoint.combinations, endpoint.one_of)
        packed = "gzip" in str(environ.get("HTTP_ACCEPT_ENCODING", "")).lower()
        return self._page(endpoint, query, packed=packed)

    def _check_key(self, key: str | None) -> None:
        if not key:
            raise RefusalError(403, "The api key is required.")
        if not hmac.compare_digest(key.encode(), self._options.api_key.encode()):
            raise RefusalError(403, "The incoming api key is invalid or expired.")

    def _page(self, endpoint: Endpoint, query: Query, *, packed: bool) -> Answer:
        identity = (endpoint.path, query.given)
        pages = self._store.get(identity, lambda: self._render(endpoint, query))
        page = 0
        if query.page is not None:
            page = self._keys.read(identity, query.page, len(pages))
        return Answer(200, pages.body(page, packed=packed), packed=packed)

    def _render(self, endpoint: Endpoint, query: Query) -> list[bytes]:
        scope = self._viewer.scope(endpoint, query)
        rows = render_rows(endpoint.rows(self._viewer.market, scope), self._fields(endpoint))
        limit = self._options.page_bytes if endpoint.paged else 1 << 62
        cuts = cut_pages(rows, limit)
        identity = (endpoint.path, query.given)
        keys = [self._keys.make(identity, i + 1) for i in range(len(cuts) - 1)]
        return [page_body(rows[cut], key) for cut, key in zip(cuts, [*keys, None], strict=True)]

    def _fields(self, endpoint: Endpoint) -> list[Field]:
        rank, today = self._viewer.plan.rank, self._viewer.today
        return [f for f in endpoint.fields if PLANS[f.plan].rank <= rank and f.since <= today]


class Stats:
    """What clients asked, for tests that count requests."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._paths: Counter[str] = Counter()
        self._statuses: Counter[int] = Counter()
        self._bytes = 0
        self._recent: deque[dict[str, object]] = deque(maxlen=_KEPT_REQUESTS)

    def count(self, path: str, query: str, answer: Answer) -> None:
        with self._lock:
            self._paths[path] += 1
            self._statuses[answer.status] += 1
            self._bytes += len(answer.body)
            self._recent.append({"path": path, "query": query, "status": answer.status})

    def snapshot(self) -> dict[str, object]:
        """``total``, ``paths``, ``statuses``, ``bytes`` sent, and the latest ``requests``."""
        with self._lock:
            return {
                "total": self._paths.total(),
                "paths": dict(self._paths),
                "statuses": {str(status): n for status, n in self._statuses.items()},
                "bytes": self._bytes,
                "requests": list(self._recent),
            }


def _find(path: str, method: str) -> Endpoint:
    endpoint = ENDPOINTS.get(path.removeprefix(PREFIX)) if path.startswith(PREFIX + "/") else None
    if endpoint is None or method != "GET":
        raise RefusalError(403, "The requested endpoint does not exist.")
    return endpoint


def _error(status: int, message: str) -> Answer:
    return Answer(status, orjson.dumps({"message": message}))
