"""The cursor of ``/fins/*``: what was added since an earlier answer.

A cursor holds the moment of the answer it came with. What was added since then is what is visible
now and was not visible at that moment, so the server keeps nothing, and a cursor outlives a
restart with a later clock.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Final

import orjson

from pipeline.simulator.server.refusal import RefusalError

if TYPE_CHECKING:
    from collections.abc import Iterable

CURSOR = "cursor"
CURSOR_PATHS: Final = frozenset({"/fins/summary", "/fins/details"})
CURSOR_PLAN = "premium"
_MAC_BYTES = 12


@dataclass(frozen=True)
class Cursor:
    """A place in the stream of one query.

    Attributes:
        path: below the base URL.
        code: as asked, None for all.
        day: date asked for.
        seen: when the answer was made; everything visible then was in it.
    """

    path: str
    code: str | None
    day: date
    seen: datetime


class Cursors:
    """Opaque texts for cursors.

    Args:
        seed: of the market; a cursor of another market is refused.
    """

    def __init__(self, seed: int) -> None:
        self._secret = b"cursor" + seed.to_bytes(16, "big")

    def write(self, cursor: Cursor) -> str:
        """The text of a cursor."""
        payload = orjson.dumps([cursor.path, cursor.code, cursor.day, cursor.seen])
        return base64.b64encode(self._mac(payload) + payload).decode()

    def read(self, path: str, text: str) -> Cursor:
        """The cursor of a text.

        Raises:
            RefusalError: 400, it was not made here, or for another endpoint.
        """
        try:
            raw = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            raise invalid_cursor() from None
        mac, payload = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(payload)):
            raise invalid_cursor()
        made_for, code, day, seen = orjson.loads(payload)
        if made_for != path:
            raise invalid_cursor()
        return Cursor(made_for, code, date.fromisoformat(day), datetime.fromisoformat(seen))

    def _mac(self, payload: bytes) -> bytes:
        return hashlib.blake2b(payload, key=self._secret, digest_size=_MAC_BYTES).digest()


def invalid_cursor() -> RefusalError:
    """The answer to a cursor that does not belong to the query."""
    return RefusalError(400, "The value of 'cursor' is invalid.")


def added_rows(now: Iterable[bytes], then: Iterable[bytes]) -> list[bytes]:
    """The rows of ``now`` that are not among ``then``, in their order."""
    known = set(then)
    return [row for row in now if row not in known]
