"""Serving a market over HTTP on the loopback address."""

from __future__ import annotations

import socket
import struct
from contextlib import contextmanager
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

from waitress import wasyncore
from waitress.channel import ClientDisconnected, HTTPChannel
from waitress.server import create_server
from waitress.task import WSGITask

from pipeline.errors import UsageError
from pipeline.simulator.delivery.http_exchange import PREFIX
from pipeline.simulator.delivery.send_answer import ConnectionDropped
from pipeline.simulator.server.app import AppOptions, SimulatorApp
from pipeline.simulator.synthetic_market import Market

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.simulator.market_spec import MarketSpec

HOST = "127.0.0.1"
DEFAULT_THREADS = 80  # 75 clients at once, and some for statistics
_POLL_S = 0.1
_SHUTDOWN_S = 2.0


class _Task(WSGITask):  # type: ignore[misc]
    """One request; the application may end its connection by raising ``ConnectionDropped``."""

    def execute(self) -> None:
        try:
            super().execute()
        except ConnectionDropped as dropped:
            if dropped.reset:
                # Lingering for no time makes the close a reset.
                linger = struct.pack("ii", 1, 0)
                self.channel.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            # The channel closes a connection whose client is gone, without a word.
            raise ClientDisconnected from None


class _Channel(HTTPChannel):  # type: ignore[misc]
    """One connection."""

    task_class = _Task


class SimulatorServer:
    """A socket that accepts requests from the moment it exists.

    Attributes:
        app: what answers; its faults may be changed and its statistics read at any time.

    Args:
        market: what to serve; made while the first requests wait.
        options: of the application.
        port: 0 for any free one.
        threads: requests answered at once.

    Raises:
        UsageError: the port is taken or not allowed.
    """

    def __init__(
        self,
        market: Market,
        options: AppOptions,
        *,
        port: int = 0,
        threads: int = DEFAULT_THREADS,
    ) -> None:
        self._market = market
        self._sockets: dict[int, Any] = {}
        self._stop = Event()
        self.app = SimulatorApp(market, options)
        listener = _bind(port)
        self._port = int(listener.getsockname()[1])
        self._server = create_server(
            self.app,
            map=self._sockets,
            sockets=[listener],
            threads=threads,
            connection_limit=4 * threads + 100,
            ident=None,
            channel_request_lookahead=1,  # so that a client that goes away is noticed
            asyncore_use_poll=True,
        )
        self._server.channel_class = _Channel

    @property
    def base_url(self) -> str:
        """What clients take in place of the real base URL."""
        return f"http://{HOST}:{self._port}{PREFIX}"

    def run(self) -> None:
        """Serve until ``stop`` is called; then close every connection."""
        warm_up = Thread(target=self._market.warm_up, args=[self._stop.is_set], daemon=True)
        warm_up.start()
        try:
            while not self._stop.is_set():
                wasyncore.loop(timeout=_POLL_S, use_poll=True, map=self._sockets, count=1)
        finally:
            self._stop.set()
            self.app.close()
            warm_up.join(timeout=_SHUTDOWN_S)
            self._server.task_dispatcher.shutdown(timeout=_SHUTDOWN_S)
            wasyncore.close_all(self._sockets, ignore_all=True)

    def stop(self) -> None:
        """Let ``run`` return soon; safe from any thread or signal handler."""
        self._stop.set()


def _bind(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
    except (OSError, OverflowError) as error:
        listener.close()
        raise UsageError(
            f"simulator port {port}: cannot be opened: {error}", "0 takes any free port"
        ) from error
    return listener


@contextmanager
def serving(
    spec: MarketSpec | Market,
    options: AppOptions | None = None,
    *,
    threads: int = 8,
) -> Iterator[str]:
    """Serve a market from a thread of this process; yields the base URL.

    ::

        with serving(MarketSpec(7, 50, date(2024, 1, 1), date(2024, 3, 29))) as base_url:
            requests.get(f"{base_url}/markets/calendar", headers={"x-api-key": "simulator"})
    """
    market = spec if isinstance(spec, Market) else Market(spec)
    server = SimulatorServer(market, options or AppOptions(), threads=threads)
    thread = Thread(target=server.run, name="simulator", daemon=True)
    thread.start()
    try:
        yield server.base_url
    finally:
        server.stop()
        thread.join(timeout=10)
