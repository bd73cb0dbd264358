"""Sending an answer, or failing to."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from threading import Event

    from _typeshed.wsgi import StartResponse

    from pipeline.simulator.delivery.http_exchange import Answer, Request

_PIECES = 20
_POLL_S = 0.05


class ConnectionDropped(Exception):
    """Raised through the WSGI server: end the connection without a proper end of the answer.

    Attributes:
        reset: with a TCP reset at once; otherwise closed after what was sent.
    """

    def __init__(self, *, reset: bool) -> None:
        super().__init__("connection dropped on purpose")
        self.reset = reset


def deliver(
    answer: Answer, request: Request, start_response: StartResponse, stop: Event
) -> Iterable[bytes]:
    """The body for WSGI, sent as the answer's delivery says.

    Args:
        stop: set when the server is to end.

    Raises:
        ConnectionDropped: the client is to get no answer.
    """
    how = answer.delivery
    if how.mode in ("hang", "reset"):
        _hold(how.seconds, request, stop)
        raise ConnectionDropped(reset=True)
    start_response(answer.status_line, answer.all_headers)
    if how.mode == "drip":
        return _drip(answer.body, how.seconds, stop)
    if how.mode == "cut":
        return _cut(answer.body)
    return [answer.body]


def _hold(seconds: float, request: Request, stop: Event) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and not request.gone() and not stop.wait(_POLL_S):
        pass


def _drip(body: bytes, seconds: float, stop: Event) -> Iterator[bytes]:
    size = max(len(body) // _PIECES, 1)
    for start in range(0, len(body), size):
        stop.wait(seconds / _PIECES)
        yield body[start : start + size]


def _cut(body: bytes) -> Iterator[bytes]:
    yield body[: max(len(body) // 2, 1)]
    raise ConnectionDropped(reset=False)
