"""Bodies of answers: rows as JSON, cut into pages, kept for the next time."""

from __future__ import annotations

import base64
import hashlib
from collections import OrderedDict
from gzip import compress
from threading import BoundedSemaphore, Lock
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from pipeline.simulator.server.plan_access import PLANS
from pipeline.simulator.server.refusal import RefusalError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from numpy.typing import NDArray

    from pipeline.simulator.array_types import Columns
    from pipeline.simulator.server.endpoint_table import Endpoint, Field
    from pipeline.simulator.server.visible_rows import Viewer

_GZIP_LEVEL = 1  # speed matters more than size on loopback
_RENDERED_AT_ONCE = 2  # more only costs memory: rendering holds the interpreter lock


def sent_fields(endpoint: Endpoint, viewer: Viewer) -> list[Field]:
    """The keys a viewer gets: those of the plan that have been introduced by now."""
    rank, today = viewer.plan.rank, viewer.today
    return [f for f in endpoint.fields if PLANS[f.plan].rank <= rank and f.since <= today]


def render_rows(columns: Columns, fields: Sequence[Field]) -> list[bytes]:
    """Each row as a JSON object with the keys of ``fields``, in their order."""
    values = [_wire_values(columns[field.name], field.missing) for field in fields]
    names = [field.name for field in fields]
    return [orjson.dumps(dict(zip(names, row, strict=True))) for row in zip(*values, strict=True)]


def _wire_values(column: NDArray[Any], missing: str | None) -> list[Any]:
    values: list[Any] = column.tolist()
    if missing is None or column.dtype == object:
        return values  # orjson writes NaN as null
    for index in np.flatnonzero(np.isnan(column)).tolist():
        values[index] = missing
    return values


def cut_pages(rows: Sequence[bytes], page_bytes: int) -> list[slice]:
    """Slices of rows: a page ends with the row that reaches ``page_bytes``; never no page."""
    if not rows:
        return [slice(0, 0)]
    ends = np.cumsum([len(row) + 1 for row in rows])
    pages, start, done = [], 0, 0
    while start < len(rows):
        stop = min(int(np.searchsorted(ends, done + page_bytes, side="left")) + 1, len(rows))
        pages.append(slice(start, stop))
        start, done = stop, int(ends[stop - 1])
    return pages


def page_body(rows: Sequence[bytes], next_key: str | None, cursor: str | None = None) -> bytes:
    """The envelope; the paging key is left out on the last page, the only one with a cursor."""
    tail = b""
    if next_key is not None:
        tail = b',"pagination_key":' + orjson.dumps(next_key)
    elif cursor is not None:
        tail = b',"cursor":' + orjson.dumps(cursor)
    return b'{"data":[' + b",".join(rows) + b"]" + tail + b"}"


class PageKeys:
    """Opaque paging keys, each good for one page of one query."""

    def __init__(self, seed: int) -> None:
        self._secret = seed.to_bytes(16, "big")

    def make(self, query: Hashable, page: int) -> str:
        """The key that leads to a page (counted from 0)."""
        # Standard base64 has +, / and =: a client that does not URL-encode is found out here.
        text = base64.b64encode(self._digest(query, page)).decode()
        return f"{text}.{page:04x}."

    def read(self, query: Hashable, key: str, pages: int) -> int:
        """The page a key leads to.

        Raises:
            RefusalError: 400, the key was not made for this query.
        """
        for page in range(1, pages):
            if key == self.make(query, page):
                return page
        raise RefusalError(400, "The value of 'pagination_key' is invalid.")

    def _digest(self, query: Hashable, page: int) -> bytes:
        text = f"{query!r}#{page}".encode()
        return hashlib.blake2b(text, key=self._secret, digest_size=14).digest()


class PageStore:
    """All pages of the queries asked last, so that a page is rendered and packed only once.

    Args:
        capacity: bytes kept at most, packed copies included.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity, self._size = capacity, 0
        self._kept: OrderedDict[Hashable, Pages] = OrderedDict()
        self._lock = Lock()
        self._rendering = BoundedSemaphore(_RENDERED_AT_ONCE)

    def get(self, query: Hashable, make: Callable[[], list[bytes]]) -> Pages:
        """The pages of a query, made by ``make`` when they are not kept."""
        if (kept := self._find(query)) is not None:
            return kept
        with self._rendering:
            # Whoever waited here may find it made by the one before.
            if (kept := self._find(query)) is not None:
                return kept
            pages = Pages(make())
            self._keep(query, pages)
        return pages

    def _find(self, query: Hashable) -> Pages | None:
        with self._lock:
            if query in self._kept:
                self._kept.move_to_end(query)
            return self._kept.get(query)

    def _keep(self, query: Hashable, pages: Pages) -> None:
        with self._lock:
            if query not in self._kept:
                self._kept[query] = pages
                self._size += pages.size
            while self._size > self._capacity and len(self._kept) > 1:
                self._size -= self._kept.popitem(last=False)[1].size


class Pages:
    """Bodies of one query, plain and, once asked for, packed.

    Attributes:
        size: bytes accounted for; packed copies are about a sixth.
    """

    def __init__(self, plain: list[bytes]) -> None:
        self._plain = plain
        self._packed: dict[int, bytes] = {}
        self.size = sum(map(len, plain)) * 7 // 6

    def __len__(self) -> int:
        return len(self._plain)

    def body(self, page: int, *, packed: bool) -> bytes:
        if not packed:
            return self._plain[page]
        if page not in self._packed:
            self._packed[page] = compress(self._plain[page], _GZIP_LEVEL, mtime=0)
        return self._packed[page]
