"""A session that reports every answer as it came: status, headers, size and time.

For looking at an unknown server; a fetch needs none of this.
"""

from __future__ import annotations

import email.utils
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import requests

from pipeline.api.catalogue.plans import PLAN_BUDGET
from pipeline.api.http.client import ApiSession, envelope
from pipeline.errors import ApiError

#: Parts of the names of headers that speak of limits.
_OF_LIMITS = ("ratelimit", "rate-limit", "retry-after", "quota", "throttl")


@dataclass(frozen=True)
class Answer:
    """What became of one request.

    Attributes:
        path: below the base URL.
        query: without the paging key.
        status: HTTP status; None when no headers came.
        seconds: from sending to the last byte; waiting for the rate limit is no part of it.
        size: bytes of the body after decompression; None when it was not read as an answer.
        ahead_s: seconds by which this machine's clock is ahead of the server's ``Date``, which
            counts whole seconds; None without one.
        limits: headers that speak of limits.
        page: the JSON object; None when there is none.
        error: why there is none.
    """

    path: str
    query: Mapping[str, str]
    status: int | None
    seconds: float
    size: int | None
    ahead_s: float | None
    limits: Mapping[str, str]
    page: Mapping[str, Any] | None
    error: ApiError | None


@dataclass(frozen=True)
class _Head:
    """Of an answer whose headers have come, and when its request was sent."""

    sent_at: float
    status: int
    ahead_s: float | None
    limits: Mapping[str, str]


class WatchedSession(ApiSession):
    """An ``ApiSession`` that tells of each answer, in the thread that asked.

    Args:
        on_answer: called once per ``get`` that was sent, before it returns or raises.
        halt: when set, nothing more is sent, whoever asks.
        settings: as of ``ApiSession``. With a retry policy of several attempts, the last one is
            reported.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        on_answer: Callable[[Answer], None],
        halt: threading.Event,
        **settings: Any,
    ) -> None:
        super().__init__(base_url, api_key, **settings)
        self._on_answer = on_answer
        self._halt = halt
        self._own = threading.local()
        self._http.hooks["response"].append(self._headers_came)

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
        """As of ``ApiSession``; ``halt`` ends it as well.

        Raises:
            ApiError, BadResponse, UsageError, FetchCancelled: as of ``ApiSession``.
        """
        size: int | None = None

        def measured(body: bytes) -> dict[str, Any]:
            nonlocal size
            size = len(body)
            return (parse or envelope)(body)

        self._own.head = None
        try:
            page = super().get(
                path,
                query,
                page_key=page_key,
                budgets=budgets,
                stop=stop or self._halt,
                parse=measured,
            )
        except ApiError as error:
            self._tell(path, query, size, None, error)
            raise
        self._tell(path, query, size, page, None)
        return page

    def _tell(
        self,
        path: str,
        query: Mapping[str, str],
        size: int | None,
        page: Mapping[str, Any] | None,
        error: ApiError | None,
    ) -> None:
        head: _Head | None = self._own.head
        self._on_answer(
            Answer(
                path=path,
                query=dict(query),
                status=None if head is None else head.status,
                seconds=0.0 if head is None else self.clock.now() - head.sent_at,
                size=size,
                ahead_s=None if head is None else head.ahead_s,
                limits={} if head is None else head.limits,
                page=page,
                error=error,
            )
        )

    def _headers_came(self, response: requests.Response, **_: object) -> None:
        took = response.elapsed.total_seconds()
        date = _moment(response.headers.get("Date"))
        limits = {
            name: value
            for name, value in response.headers.items()
            if any(part in name.lower() for part in _OF_LIMITS)
        }
        # The server wrote its time somewhere between sending and now.
        ahead_s = None if date is None else self.clock.wall() - took / 2 - date
        sent_at = self.clock.now() - took
        self._own.head = _Head(sent_at, response.status_code, ahead_s, limits)


def _moment(header: str | None) -> float | None:
    """Seconds since the epoch of an HTTP date; None when it is none."""
    if header is None:
        return None
    try:
        return email.utils.parsedate_to_datetime(header).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
