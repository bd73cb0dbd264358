"""A scripted HTTP server, and a clock on which nobody waits."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import orjson

from pipeline.api.http.client import ApiSession, Origin, Timeouts
from pipeline.api.http.clock import check
from pipeline.api.http.rate_limit import Pacing, RateLimiter
from pipeline.api.http.retry import RetryPolicy

KEY = "secret-key-0123456789"


class FakeClock:
    """Time passes only by waiting; ``waits`` lists every wait that was not empty."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.waits: list[float] = []
        self._lock = threading.Lock()

    def now(self) -> float:
        with self._lock:
            return self.time

    def wall(self) -> float:
        """Some day in 2024."""
        return self.now() + 1.7e9

    def wait(self, seconds: float, stop: threading.Event | None = None) -> None:
        if stop is not None:
            check(stop)
        with self._lock:
            if seconds > 0:
                self.time += seconds
                self.waits.append(seconds)


@dataclass(frozen=True)
class Request:
    """What a client sent; ``query`` without the paging key."""

    path: str
    query: dict[str, str]
    page_key: str | None
    headers: dict[str, str]


@dataclass(frozen=True)
class Reply:
    """What to send: ``body`` as JSON unless it is bytes.

    ``cut``: bytes of the body after which the connection is reset. ``drip_s``: pause after each
    byte. ``delay_s``: pause before the first.
    """

    body: Any
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    drip_s: float = 0.0
    delay_s: float = 0.0

    @property
    def payload(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else orjson.dumps(self.body)


Script = Callable[[Request], Reply]


class FakeServer:
    """Answers by ``script``, which a test may exchange; ``requests`` lists what came."""

    def __init__(self) -> None:
        self.script: Script = lambda _: Reply({"data": []})
        self.requests: list[Request] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                outer._answer(self)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        # A client that hangs up is part of the script, not news.
        self._http.handle_error = lambda request, client_address: None  # type: ignore[method-assign]
        self.url = f"http://127.0.0.1:{self._http.server_port}/v2"

    def replies(self, *replies: Reply) -> None:
        """One reply per request, the last one for all that follow."""
        queue = list(replies)
        self.script = lambda _: queue.pop(0) if len(queue) > 1 else queue[0]

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        url = urlsplit(handler.path)
        query = dict(parse_qsl(url.query))
        request = Request(
            url.path.removeprefix("/v2"),
            {name: value for name, value in query.items() if name != "pagination_key"},
            query.get("pagination_key"),
            {name.lower(): value for name, value in handler.headers.items()},
        )
        self.requests.append(request)
        reply = self.script(request)
        time.sleep(reply.delay_s)
        try:
            self._send(handler, reply)
        except OSError:
            handler.close_connection = True

    def _send(self, handler: BaseHTTPRequestHandler, reply: Reply) -> None:
        handler.send_response(reply.status)
        handler.send_header("Content-Length", str(len(reply.payload)))
        for name, value in reply.headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        if reply.drip_s:
            for byte in reply.payload:
                handler.wfile.write(bytes([byte]))
                handler.wfile.flush()
                time.sleep(reply.drip_s)
        elif reply.cut is None:
            handler.wfile.write(reply.payload)
        else:
            handler.wfile.write(reply.payload[: reply.cut])
            handler.wfile.flush()
            linger = struct.pack("ii", 1, 0)  # close by reset
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            handler.close_connection = True


@contextmanager
def running_server() -> Iterator[FakeServer]:
    server = FakeServer()
    thread = threading.Thread(target=server._http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server._http.shutdown()
        thread.join()
        server._http.server_close()


def session_to(
    url: str,
    *,
    clock: FakeClock | None = None,
    limits: dict[str, int] | None = None,
    origin: Origin = "api",
    pool_size: int = 8,
    policy: RetryPolicy | None = None,
    timeouts: Timeouts | None = None,
    pacing: Pacing | None = None,
) -> ApiSession:
    """A session on a clock of its own."""
    clock = clock or FakeClock()
    return ApiSession(
        url,
        KEY,
        origin=origin,
        limiter=RateLimiter(limits or {}, pacing, clock),
        pool_size=pool_size,
        policy=policy,
        timeouts=timeouts,
        clock=clock,
    )
