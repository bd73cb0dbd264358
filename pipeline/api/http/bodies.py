"""Bodies of answers, unpacked here so that they are bounded: 6 MB of gzip once took 5 GB.

Bodies that threads are reading at the same time share one bound too, since the product of threads
and the largest answer is more than a machine has.
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import requests
import urllib3

from pipeline.api.http.deadline import Deadline
from pipeline.api.http.retry import Transient

#: Largest answer, unpacked. A page of the vendor ends near 5 MB.
MOST_BYTES = 32 << 20
#: What is read of an answer that is an error.
MOST_ERROR_BYTES = 64 << 10
#: All bodies under way in one session.
MOST_AT_ONCE = 128 << 20

_WIRE_BYTES = 1 << 16
_PIECE_BYTES = 1 << 18
_GZIP = 16 + zlib.MAX_WBITS


class TooLargeError(Exception):
    """An answer goes on after ``MOST_BYTES``."""


class Room:
    """Bytes that the bodies under way may hold together.

    When they are used up one body at a time still goes on, so that none waits for another that
    waits; at most one answer more than ``total`` is held.
    """

    def __init__(self, total: int = MOST_AT_ONCE) -> None:
        self._free = total
        self._favoured: object = None
        self._changed = threading.Condition()

    @contextmanager
    def share(self, deadline: Deadline) -> Iterator[Callable[[int], None]]:
        """A function that takes bytes for one body; they are free again after the block.

        Raises:
            TimeoutError: from the function: nothing became free until the deadline.
        """
        me, held = object(), 0

        def take(size: int) -> None:
            nonlocal held
            with self._changed:
                while self._free < size and self._favoured not in (None, me):
                    self._changed.wait(deadline.wait_s())
                if self._free < size:
                    self._favoured = me
                self._free -= size
                held += size

        try:
            yield take
        finally:
            with self._changed:
                self._free += held
                if self._favoured is me:
                    self._favoured = None
                self._changed.notify_all()


def whole(response: requests.Response, room: Room, deadline: Deadline) -> bytes:
    """The body, unpacked.

    Raises:
        TooLargeError: it is larger than ``MOST_BYTES``.
        Transient: it cannot be unpacked.
        TimeoutError: other bodies left no room until the deadline.
        HTTPError: of urllib3; the connection failed or the deadline is over.
    """
    pieces, size = [], 0
    with room.share(deadline) as take:
        for piece in _pieces(response):
            size += len(piece)
            if size > MOST_BYTES:
                raise TooLargeError
            take(len(piece))
            pieces.append(piece)
        return b"".join(pieces)


def beginning(response: requests.Response) -> bytes:
    """At most ``MOST_ERROR_BYTES`` of a body, or what came of it: its status says what matters."""
    found = bytearray()
    with suppress(Transient, urllib3.exceptions.HTTPError):
        for piece in _pieces(response):
            found += piece
            if len(found) >= MOST_ERROR_BYTES:
                break
    return bytes(found[:MOST_ERROR_BYTES])


def _pieces(response: requests.Response) -> Iterator[bytes]:
    """The body in unpacked pieces of bounded size."""
    packing = response.headers.get("Content-Encoding", "").strip().lower()
    if packing in ("", "identity"):
        return _wire(response)
    if packing in ("gzip", "x-gzip"):
        return _unpacked(_wire(response))
    raise _bad(f"Content-Encoding: expected gzip or none, got {packing[:40]!r}")


def _wire(response: requests.Response) -> Iterator[bytes]:
    while piece := response.raw.read1(_WIRE_BYTES, decode_content=False):
        yield piece


def _unpacked(packed: Iterator[bytes]) -> Iterator[bytes]:
    """One gzip member, or several one after the other."""
    unpacker = zlib.decompressobj(_GZIP)
    ended = False  # a member has
    for data in packed:
        left, more = data, True
        while left or more:
            if unpacker.eof and left:
                unpacker, ended = zlib.decompressobj(_GZIP), True
            try:
                piece = unpacker.decompress(left, _PIECE_BYTES)
            except zlib.error:
                if ended:  # padding behind the last member; whether all is there, JSON shows
                    return
                raise _bad("body: expected gzip, got something else or damaged bytes") from None
            if piece:
                yield piece
            more = len(piece) == _PIECE_BYTES and not unpacker.eof
            left = unpacker.unused_data if unpacker.eof else unpacker.unconsumed_tail
    if not unpacker.eof:
        raise _bad("body: expected whole gzip, got the beginning of it")


def _bad(reason: str) -> Transient:
    return Transient(reason, 200, garbled=True)
