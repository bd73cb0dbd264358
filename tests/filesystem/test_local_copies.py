"""Copies of objects on this machine, over connections that break."""

from __future__ import annotations

import errno
import gc
import os
import select
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import StorageError
from pipeline.filesystem import atomic, local_copies, location
from pipeline.filesystem.local_copies import local_copy
from tests.object_stores import ObjectStore, moto, used

# The library does not close what broke.
pytestmark = pytest.mark.filterwarnings("ignore:Unclosed connection:ResourceWarning")

_BLOCK = 5 << 20
CONTENT = os.urandom(2 * _BLOCK + 1000)


@dataclass
class Line:
    """The way to a server, on which an answer may be cut off.

    Attributes:
        breaks: how many answers are yet to be cut off, those of more than a megabyte.
    """

    server: int
    breaks: int = 0
    listener: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0)))

    @property
    def port(self) -> int:
        return int(self.listener.getsockname()[1])

    def carry(self) -> None:
        """Take connections until the listener is closed."""
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._connect, args=(client,), daemon=True).start()

    def _connect(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self.server)) as server:
            other, received = {client: server, server: client}, 0
            with suppress(ConnectionError):
                while True:
                    for end in select.select(list(other), [], [])[0]:
                        data = end.recv(1 << 16)
                        received += len(data) if end is server else 0
                        if not data or self._breaks_at(received):
                            return
                        other[end].sendall(data)

    def _breaks_at(self, received: int) -> bool:
        broken = received > 1 << 20 and self.breaks > 0
        self.breaks -= broken
        return broken


@contextmanager
def line_to(server: ObjectStore) -> Iterator[Line]:
    line = Line(server.port)
    thread = threading.Thread(target=line.carry, daemon=True)
    thread.start()
    try:
        yield line
    finally:
        line.listener.shutdown(socket.SHUT_RDWR)
        line.listener.close()
        thread.join()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    with moto(tmp_path_factory.mktemp("server")) as store:
        yield store


@pytest.fixture
def line(server: ObjectStore) -> Iterator[Line]:
    with line_to(server) as line:
        yield line


@pytest.fixture
def large(
    server: ObjectStore, line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """An object that is fetched in parts, at the end of that line."""
    monkeypatch.setattr(local_copies, "_PAUSES_S", (0.0, 0.0, 0.0))
    with used(replace(server, port=line.port), tmp_path / "host", monkeypatch):
        path = location.place_of(f"s3://market/{tmp_path.name}") / "large.parquet"
        system, key = location.file_system(path)
        monkeypatch.setattr(system, "default_block_size", _BLOCK)
        system.pipe_file(key, CONTENT)
        yield path
        gc.collect()


def test_a_connection_that_breaks_is_made_again(large: Path, line: Line) -> None:
    line.breaks = 2
    assert local_copy(large).read_bytes() == CONTENT
    assert line.breaks == 0


def test_one_that_always_breaks_is_one_readable_line(large: Path, line: Line) -> None:
    """Nothing of it is left; the next run begins anew."""
    line.breaks = 1000
    with pytest.raises(StorageError, match=r"large\.parquet: cannot be read: ") as error:
        local_copy(large)
    assert "\n" not in str(error.value)
    assert [path for path in location.host_folder().rglob("*") if path.is_file()] == []
    line.breaks = 0
    assert local_copy(large).read_bytes() == CONTENT


def get_file(system: Any, monkeypatch: pytest.MonkeyPatch, does: Callable[..., None]) -> list[str]:
    """Have the library fetch in another way; the keys it was asked for."""
    asked: list[str] = []

    def fetch(key: str, target: str, callback: Any) -> None:
        asked.append(key)
        does(target, callback)

    monkeypatch.setattr(system, "get_file", fetch)
    return asked


def test_what_did_not_arrive_whole_is_no_copy(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its parts are written into a file that has its full size from the beginning."""

    def with_a_hole(target: str, callback: Any) -> None:
        Path(target).write_bytes(bytes(1000))
        callback.set_size(1000)
        callback.relative_update(900)

    asked = get_file(location.file_system(large)[0], monkeypatch, with_a_hole)
    with pytest.raises(StorageError, match="900 of 1,000 bytes arrived"):
        local_copy(large)
    assert len(asked) == 4


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError("gone"),
        PermissionError("Access Denied"),
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
    ],
)
def test_what_will_not_pass_is_not_tried_again(
    large: Path, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    def fail(*_: object) -> None:
        raise error

    asked = get_file(location.file_system(large)[0], monkeypatch, fail)
    with pytest.raises(StorageError, match="cannot be read"):
        local_copy(large)
    assert len(asked) == 1


def test_a_broken_answer_is_readable_where_no_path_is_at_hand() -> None:
    import aiohttp

    told = atomic.unreachable(aiohttp.ClientPayloadError("Response payload is not completed"))
    assert told is not None
    assert "object store: Response payload is not completed" in str(told)
