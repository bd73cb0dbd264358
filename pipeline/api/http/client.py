"""One authenticated, paced and patient connection to the API, shared by all threads.

Steps of one page: permit of the rate limiter, request, origin check, body, JSON. One deadline
holds over connection, headers and body, and no body is larger than ``bodies`` allows. Connection
faults, HTTP 5xx, cut and garbled bodies are tried again after a random pause, HTTP 429 after a
cool-down that stops every thread; any other 4xx is final.

The key is added when a request is prepared and kept nowhere else: not in headers of the session,
errors, logs or the representation of any object.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from types import TracebackType
from typing import Any, Literal, Self

import orjson
import requests
import urllib3

from pipeline.api.catalogue.plans import PLAN_BUDGET
from pipeline.api.http import bodies
from pipeline.api.http.clock import Clock, SystemClock
from pipeline.api.http.credentials import ApiKey, checked_base_url, is_loopback
from pipeline.api.http.deadline import Deadline, TimedAdapter
from pipeline.api.http.rate_limit import RateLimiter
from pipeline.api.http.retry import Refused, RetryPolicy, Transient, hint_for, retry_after_s
from pipeline.errors import ApiError, BadResponse, UsageError

Origin = Literal["api", "simulator"]

#: The simulator marks each answer with this header, so that its data cannot pass for the vendor's.
SIMULATOR_HEADER = "X-Simulator"
SIMULATOR_MARK = "g5"

_USER_AGENT = "g5-dataset-pipeline"
_ERROR_TEXT = 200  # characters of a server's message worth repeating

_DECLARE: dict[Origin, str] = {
    "api": "check JQUANTS_API_BASE, and that origin is not set to api (luigi.cfg, ORIGIN or "
    "--g5-origin); synthetic data never pass for real",
    "simulator": "if it is a proxy, tunnel or recorder of yours in front of the vendor, set origin "
    "to api (luigi.cfg, ORIGIN or --g5-origin); else check JQUANTS_API_BASE",
}

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Timeouts:
    """Patience with one attempt, in seconds.

    Attributes:
        connect_s: until the connection stands.
        read_s: without a single byte.
        total_s: for everything, from the connection to the last byte; ends headers and bodies
            that drip.
        slowest_bytes_per_s: what a file has to come with on the whole; its deadline is
            ``total_s`` and its bytes at this rate.
    """

    connect_s: float = 10.0
    read_s: float = 60.0
    total_s: float = 300.0
    slowest_bytes_per_s: float = 32_768.0


class ApiSession:
    """A pooled session of one account.

    Args:
        base_url: ``https://host/v2``; plain http only for this machine.
        api_key: sent as ``x-api-key``.
        origin: who has to be at the other end.
        limiter: shared by everything that uses the same account; see ``process_limiter``.
        pool_size: connections kept open; at least the number of threads.
        timeouts, policy, clock, rng: see their types; tests inject their own.

    Raises:
        UsageError: malformed URL or key.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        origin: Origin,
        limiter: RateLimiter,
        pool_size: int = 8,
        timeouts: Timeouts | None = None,
        policy: RetryPolicy | None = None,
        clock: Clock | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self.base_url = checked_base_url(base_url)
        self.origin: Origin = origin
        self.pool_size = pool_size
        self.policy = policy or RetryPolicy()
        self.clock: Clock = clock or SystemClock()
        self.rng = rng or random.Random()  # noqa: S311  (spreads retries, hides nothing)
        self._limiter = limiter
        self.timeouts = timeouts or Timeouts()
        self._auth = ApiKey(api_key)
        self._http = self._pooled(pool_size)
        #: For files behind presigned URLs, on other hosts; knows no key.
        self.files = self._pooled(pool_size)
        self._room = bodies.Room()
        self._count = threading.Lock()
        self._requests_sent = 0

    def __repr__(self) -> str:
        return f"ApiSession({self.base_url!r}, origin={self.origin!r}, pool_size={self.pool_size})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes idle connections."""
        self._http.close()
        self.files.close()

    @property
    def requests_sent(self) -> int:
        """Requests sent so far, repetitions included."""
        return self._requests_sent

    def get(
        self,
        path: str,
        query: Mapping[str, str],
        *,
        page_key: str | None = None,
        budgets: Sequence[str] = (PLAN_BUDGET,),
        stop: threading.Event | None = None,
        parse: Callable[[bytes], dict[str, Any]] | None = None,
    ) -> dict[str, Any]:
        """The JSON object of one page.

        Args:
            path: below the base URL.
            query: parameters of the request, the same for all its pages.
            page_key: key of the page; None for the first one.
            budgets: rate budgets the request draws from.
            stop: when set, waiting ends and nothing more is sent.
            parse: reads the body; raises ``Transient`` when another attempt is due. Without it,
                ``envelope``.

        Raises:
            ApiError: refused, or failed in every attempt.
            BadResponse: the last attempt's answer was no JSON object.
            UsageError: the other end is not the expected origin.
            FetchCancelled: ``stop`` was set.
        """
        for attempt in range(1, self.policy.attempts + 1):
            sent_at = self._limiter.acquire(budgets, stop)
            try:
                page = (parse or envelope)(self._attempt(path, query, page_key))
            except Transient as fault:
                last = fault
            else:
                self._limiter.succeeded(sent_at)
                return page
            pause = self._pause_after(last, attempt, sent_at)
            _log.warning(
                "GET %s %s: %s; attempt %d of %d failed",
                *(path, dict(query), last.message, attempt, self.policy.attempts),
            )
            if attempt < self.policy.attempts:
                self.clock.wait(pause, stop)
        kind = BadResponse if last.garbled else ApiError
        raise kind(
            path,
            query,
            status=last.status,
            server_message=last.message,
            hint=f"gave up after {self.policy.attempts} attempts; run again later",
        )

    def _pause_after(self, fault: Transient, attempt: int, sent_at: float) -> float:
        """Seconds before the next attempt; after a 429 the limiter holds back every thread."""
        if isinstance(fault, Refused):
            return self._limiter.refused(sent_at, fault.retry_after_s)
        return self.policy.pause_s(attempt, self.rng)

    def _attempt(self, path: str, query: Mapping[str, str], page_key: str | None) -> bytes:
        params = dict(query) if page_key is None else {**query, "pagination_key": page_key}
        with self._count:
            self._requests_sent += 1
        deadline = Deadline(self.timeouts.total_s)
        try:
            with (
                deadline,
                self._http.get(
                    self.base_url + path,
                    params=params,
                    auth=self._auth,
                    timeout=(self.timeouts.connect_s, self.timeouts.read_s),
                    stream=True,
                    # The key must not follow a redirect to another host.
                    allow_redirects=False,
                ) as response,
            ):
                if response.status_code != 200:
                    raise self._failure(path, query, response)
                self._check_origin(response)
                return bodies.whole(response, self._room, deadline)
        except bodies.TooLargeError:
            raise BadResponse(
                path,
                query,
                status=200,
                server_message=f"answer larger than {bodies.MOST_BYTES >> 20} MiB unpacked",
                hint="check JQUANTS_API_BASE: answers of the API end near 5 MB",
            ) from None
        except (requests.RequestException, urllib3.exceptions.HTTPError, TimeoutError) as error:
            # Without the cause: it holds the prepared request, and with it the key.
            late = f"answer not complete within {deadline.seconds:g} s"
            raise Transient(late if deadline.over else broken(error)) from None

    def _failure(
        self, path: str, query: Mapping[str, str], response: requests.Response
    ) -> ApiError | Transient:
        """The error an answer other than 200 stands for; transient when worth another try."""
        status = response.status_code
        # Hidden before it is cut: the beginning of the key would stay.
        said = self._auth.hide(_message(bodies.beginning(response)))[:_ERROR_TEXT]
        if status == 429:
            wish = retry_after_s(response.headers.get("Retry-After"))
            return Refused(said or "too many requests", wish)
        if status >= 500:
            return Transient(said or "server fault", status)
        kind = BadResponse if status < 400 else ApiError
        return kind(path, query, status=status, server_message=said, hint=hint_for(status, said))

    def _check_origin(self, response: requests.Response) -> None:
        mark = response.headers.get(SIMULATOR_HEADER)
        if mark != (SIMULATOR_MARK if self.origin == "simulator" else None):
            marked = "marked as synthetic" if mark else "without the simulator's mark"
            raise UsageError(
                f"{self.base_url}: expected origin {self.origin}, got answers {marked}",
                _DECLARE[self.origin],
            )

    def _pooled(self, pool_size: int) -> requests.Session:
        http = _Unfollowing()
        # A proxy or .netrc of the environment has no business between two loopback ports.
        http.trust_env = not is_loopback(self.base_url)
        http.headers["User-Agent"] = _USER_AGENT
        http.headers["Accept-Encoding"] = "gzip"
        http.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        adapter = TimedAdapter(pool_connections=1, pool_maxsize=pool_size, pool_block=True)
        http.mount("https://", adapter)
        http.mount("http://", adapter)
        return http


class _Unfollowing(requests.Session):
    """Looks at no redirect: the library reads all of its body even where it is not to follow."""

    def resolve_redirects(self, *_args: Any, **_options: Any) -> Generator[requests.Response]:
        yield from ()


def envelope(body: bytes) -> dict[str, Any]:
    """The JSON object of an answer.

    Raises:
        Transient: the body is none.
    """
    try:
        page = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Transient(
            f"body of {len(body)} bytes is not JSON: {error.msg}", 200, garbled=True
        ) from None
    if not isinstance(page, dict):
        raise Transient(
            f"body: expected a JSON object, got {type(page).__name__}", 200, garbled=True
        )
    return page


def _message(body: bytes) -> str:
    """The server's own words: ``message`` of a JSON body, else the beginning of its text."""
    text = body.decode("utf-8", "replace")
    try:
        page = orjson.loads(body)
        text = str(page["message"])
    except (orjson.JSONDecodeError, KeyError, TypeError, IndexError):
        pass
    return " ".join(text.split())


def broken(error: Exception) -> str:
    """What became of a connection, in words that hold no URL."""
    name = type(error).__name__
    if isinstance(error, requests.ConnectTimeout):
        return f"no connection in time ({name})"
    if isinstance(error, requests.Timeout | urllib3.exceptions.TimeoutError):
        return f"no answer in time ({name})"
    return f"connection failed or was cut ({name})"
