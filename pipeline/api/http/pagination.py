"""All pages of one request.

A page ends near five million bytes; the next one is the same query plus the key the page came
with. No key, null or an empty one ends the loop. The key is opaque and differs on every page: one
that comes twice would never end.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import pyarrow as pa

from pipeline.api.catalogue.endpoints import Endpoint
from pipeline.api.http.client import ApiSession
from pipeline.errors import BadResponse

#: Far beyond any day or range of ours (5 GB); ends a server that invents keys for ever.
MAX_PAGES = 1000


@dataclass(frozen=True)
class Columns:
    """Rows of a page or file, column by column.

    Attributes:
        n_rows: number of rows.
        names: their keys, in wire order.
        arrays: values by key, as they came or as Arrow text, float64 or date32; unknown keys may
            have none.
    """

    n_rows: int
    names: tuple[str, ...]
    arrays: Mapping[str, Sequence[Any] | pa.Array[Any] | pa.ChunkedArray[Any]]


#: Rows of a page: JSON objects as they came, or what ``lines`` made of them.
Rows: TypeAlias = list[dict[str, Any]] | Columns


def pages(
    session: ApiSession,
    endpoint: Endpoint,
    query: Mapping[str, str],
    stop: threading.Event | None = None,
    parse: Callable[[bytes], dict[str, Any]] | None = None,
) -> Iterator[Rows]:
    """Rows of each page, in the server's order; at least one page, possibly empty.

    Args:
        parse: reads the body of a page, as in ``ApiSession.get``.

    Raises:
        BadResponse: not the promised envelope, a repeated paging key, or more than ``MAX_PAGES``.
        ApiError: see ``ApiSession.get``.
    """
    seen: set[str] = set()
    page_key: str | None = None
    while True:
        page = session.get(
            endpoint.path,
            query,
            page_key=page_key,
            budgets=endpoint.budgets,
            stop=stop,
            parse=parse,
        )
        yield _rows(page, endpoint, query)
        following = page.get("pagination_key")
        if following is None or following == "":
            return
        page_key = _checked_key(following, seen, endpoint, query)
        seen.add(page_key)


def bad(endpoint: Endpoint, query: Mapping[str, str], what: str) -> BadResponse:
    """An answer of status 200 that contradicts the endpoint table."""
    return BadResponse(
        endpoint.path,
        query,
        status=200,
        server_message=what,
        hint="run again; if it stays, the API has changed: "
        "compare pipeline/api/catalogue/source_fields.py",
    )


def _rows(page: Mapping[str, Any], endpoint: Endpoint, query: Mapping[str, str]) -> Rows:
    rows = page.get("data")
    if isinstance(rows, Columns):
        return rows
    if not isinstance(rows, list):
        got = type(rows).__name__ if "data" in page else f"keys {sorted(page)[:5]}"
        raise bad(endpoint, query, f"data: expected an array, got {got}")
    if any(type(row) is not dict for row in rows):
        other = next(type(row).__name__ for row in rows if type(row) is not dict)
        raise bad(endpoint, query, f"data: expected objects as rows, got {other}")
    return rows


def _checked_key(key: object, seen: set[str], endpoint: Endpoint, query: Mapping[str, str]) -> str:
    if not isinstance(key, str):
        raise bad(endpoint, query, f"pagination_key: expected text, got {type(key).__name__}")
    if key in seen:
        raise bad(endpoint, query, f"pagination_key: page {len(seen) + 1} repeats an earlier one")
    if len(seen) + 1 >= MAX_PAGES:
        raise bad(endpoint, query, f"more than {MAX_PAGES} pages")
    return key
