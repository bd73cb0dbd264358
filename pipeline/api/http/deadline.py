"""One deadline for all that a request takes: connection, handshake, headers and body.

Timeouts of the HTTP libraries count from one byte to the next: a server that sends a byte of a
header now and then held a request for 1,100 s with a limit of 60. Here each wait for bytes is cut
at what is left until the deadline of the thread, from the first header line to the last byte.

Not covered: looking up a name, which the system's resolver bounds, and each further address of a
host that has several gets a connect timeout of its own.
"""

from __future__ import annotations

import io
import socket
import threading
import time
from http.client import HTTPResponse
from types import TracebackType
from typing import Any, Self

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, ProxyManager
from urllib3.connection import HTTPConnection, HTTPSConnection

_BUFFER_BYTES = 1 << 16
_of_thread = threading.local()


class Deadline:
    """What the block it is entered for may take, in this thread and over a ``TimedAdapter``.

    It goes by the true clock, as sockets do, and begins when it is made.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._ends = time.monotonic() + seconds

    def __enter__(self) -> Self:
        _of_thread.deadline = self
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _of_thread.deadline = None

    @property
    def over(self) -> bool:
        return time.monotonic() >= self._ends

    def wait_s(self, longest: float | None = None) -> float:
        """The longest wait from now on.

        Raises:
            TimeoutError: none, the deadline is over.
        """
        left = self._ends - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"not complete within {self.seconds:g} s")
        return left if longest is None else min(left, longest)


def _deadline() -> Deadline | None:
    found: Deadline | None = getattr(_of_thread, "deadline", None)
    return found


class _TimedBytes(io.RawIOBase):
    """What a socket receives, until the deadline."""

    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        self._sock, self._deadline = sock, deadline
        self._patience = sock.gettimeout()
        self._bytes = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(self._deadline.wait_s(self._patience))
        return self._bytes.readinto(buffer)

    def close(self) -> None:
        self._bytes.close()
        super().close()


class _TimedResponse(HTTPResponse):
    """Reads headers and body, and those of a proxy's answer, until the deadline."""

    def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        if deadline := _deadline():
            self.fp.close()
            self.fp = io.BufferedReader(_TimedBytes(sock, deadline), _BUFFER_BYTES)


class _TimedConnection(HTTPConnection):
    response_class = _TimedResponse

    def connect(self) -> None:
        _cut_timeout(self)
        super().connect()


class _TimedTlsConnection(HTTPSConnection):
    response_class = _TimedResponse

    def connect(self) -> None:
        _cut_timeout(self)
        super().connect()


def _cut_timeout(connection: HTTPConnection) -> None:
    if deadline := _deadline():
        connection.timeout = deadline.wait_s(connection.timeout)


class _Pool(HTTPConnectionPool):
    ConnectionCls = _TimedConnection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TimedTlsConnection


_POOLS = {"http": _Pool, "https": _TlsPool}


class TimedAdapter(HTTPAdapter):
    """An adapter whose connections keep the ``Deadline`` of the thread that uses them."""

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: Any, **options: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **options)
        if isinstance(manager, ProxyManager):
            manager.pool_classes_by_scheme = _POOLS
        return manager
