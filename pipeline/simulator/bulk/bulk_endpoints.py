"""The bulk endpoints: a list of files, a URL for one of them, the download.

The URL works without the key, for a short time, and by default once.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from datetime import UTC, date, datetime
from email.utils import format_datetime
from threading import Lock
from typing import TYPE_CHECKING, Final

from pipeline.errors import UsageError
from pipeline.simulator.bulk.bulk_files import CALENDAR, WITH_FILES, BulkFile, FileCatalog
from pipeline.simulator.delivery.http_exchange import Answer, Request, json_answer
from pipeline.simulator.server.endpoint_table import ENDPOINTS, Endpoint
from pipeline.simulator.server.plan_access import PLANS
from pipeline.simulator.server.refusal import RefusalError, not_in_plan
from pipeline.simulator.server.request_query import PAGE, conflict, parse_period, require_one_of
from pipeline.simulator.server.response_pages import PageKeys

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.simulator.server.request_limits import ScaledClock
    from pipeline.simulator.server.spelling import Speller
    from pipeline.simulator.server.visible_rows import Viewer

LIST_PATH, GET_PATH = "/bulk/list", "/bulk/get"
FILES = "/_files/"
FILES_PLAN = "light"
LIST_PAGE = 5  # entries, where the list comes in pages
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_LIST_QUERIES: Final = frozenset(
    frozenset(names.split())
    for names in ("endpoint", "endpoint from", "endpoint to", "endpoint from to", "date")
)
_GET_QUERIES: Final = frozenset({frozenset({"key"}), frozenset({"endpoint", "date"})})


@dataclass(frozen=True)
class BulkOptions:
    """How files are served.

    Args:
        roll_day: day of the next month on which a month becomes one file.
        url_seconds: a URL lives this long by the simulator's clock.
        single_use: whether a URL works only once.
        cache_bytes: files kept in memory.

    Raises:
        UsageError: a value is out of its range.
    """

    roll_day: int = 5
    url_seconds: float = 300.0
    single_use: bool = True
    cache_bytes: int = 512_000_000

    def __post_init__(self) -> None:
        if self.url_seconds <= 0:
            raise UsageError(f"simulator bulk URL: expected a time, got {self.url_seconds} s")


class Bulk:
    """Files of one account.

    Args:
        viewer: who asks, and when.
        options: how files are served.
        clock: by which URLs expire.
        speller: in the dialect of the viewer.
    """

    def __init__(
        self, viewer: Viewer, options: BulkOptions, clock: ScaledClock, speller: Speller
    ) -> None:
        self._viewer, self._options = viewer, options
        self._catalog = FileCatalog(viewer, options.roll_day, options.cache_bytes, speller)
        self._keys = PageKeys(viewer.market.spec.seed)
        self._tickets = _Tickets(options, clock)

    def answer(self, request: Request) -> Answer:
        """Answer ``/bulk/list`` or ``/bulk/get``.

        Raises:
            RefusalError: a parameter is wrong, or the file is not part of the plan.
        """
        given = {name: text for name, text in request.params.items() if text}
        if request.endpoint == LIST_PATH:
            return json_answer(self._page(self._entries(self._listed(given)), given))
        file = self._wanted(given)
        ticket = self._tickets.issue(file)
        return json_answer({"url": f"http://{request.host}{FILES}{file.key}?ticket={ticket}"})

    def download(self, request: Request) -> Answer:
        """Answer a URL made by ``/bulk/get``."""
        if request.method != "GET":  # the URL is signed for one method
            return expired_url()
        file = self._tickets.redeem(request.params.get("ticket", ""))
        if file is None or file.key != request.path.removeprefix(FILES):
            return expired_url()
        facts = self._catalog.facts(file)
        return _ranged(
            self._catalog.content(file),
            request.headers,
            facts.etag,
            (
                ("Accept-Ranges", "bytes"),
                ("ETag", facts.etag),
                ("Last-Modified", format_datetime(facts.modified.astimezone(UTC), usegmt=True)),
            ),
        )

    def void(self, request: Request) -> None:
        """Let a URL expire now."""
        self._tickets.redeem(request.params.get("ticket", ""), spend=True)

    def _listed(self, given: Mapping[str, str]) -> list[BulkFile]:
        require_one_of(given, ("endpoint", "date"))
        given = {name: given[name] for name in ("endpoint", "date", "from", "to") if name in given}
        if frozenset(given) not in _LIST_QUERIES:
            raise conflict(given)
        if "date" in given:
            first, last = parse_period("date", given["date"])
            endpoints = [ENDPOINTS[path] for path in WITH_FILES if self._is_open(path)]
        else:
            first, last = _range(given)
            endpoints = [self._endpoint(given["endpoint"])]
        files = [
            file for endpoint in endpoints for file in self._catalog.files(endpoint, first, last)
        ]
        return sorted(files, key=lambda file: (file.first, file.key))

    def _wanted(self, given: Mapping[str, str]) -> BulkFile:
        require_one_of(given, ("key", "endpoint"))
        given = {name: given[name] for name in ("key", "endpoint", "date") if name in given}
        if frozenset(given) not in _GET_QUERIES:
            raise conflict(given)
        if "key" in given:
            return self._file_of(given["key"])
        endpoint = self._endpoint(given["endpoint"])
        first, last = parse_period("date", given["date"])
        found = self._catalog.files(endpoint, first, last)
        plain = [file for file in found if not file.premium]
        found = plain or found  # which one such a query means is not known
        if len(found) != 1:
            raise RefusalError(400, "There is not exactly one file for 'endpoint' and 'date'.")
        return found[0]

    def _file_of(self, key: str) -> BulkFile:
        for path in WITH_FILES:
            if self._is_open(path) and key.startswith(path.strip("/") + "/"):
                file = self._catalog.find(ENDPOINTS[path], key)
                if file is not None:
                    return file
        raise RefusalError(400, "The value of 'key' is invalid.")

    def _endpoint(self, path: str) -> Endpoint:
        if path not in WITH_FILES or path not in ENDPOINTS:
            raise RefusalError(400, "This endpoint is not available for csv download.")
        if not self._is_open(path):
            raise not_in_plan()
        return ENDPOINTS[path]

    def _is_open(self, path: str) -> bool:
        if path not in ENDPOINTS:
            return False
        rank = self._viewer.plan.rank
        needed = ENDPOINTS[path].plan if path == CALENDAR else FILES_PLAN
        return rank >= max(PLANS[needed].rank, PLANS[ENDPOINTS[path].plan].rank)

    def _entries(self, files: list[BulkFile]) -> list[dict[str, object]]:
        """Entries of files, and before them what the dialect adds to their folders."""
        dialect = self._viewer.dialect
        facts = [self._catalog.facts(file) for file in files]
        entries = [
            self._entry(file.key, known.size, known.modified)
            for file, known in zip(files, facts, strict=True)
        ]
        folders = {file.folder: known.modified for file, known in zip(files, facts, strict=True)}
        added = []
        for folder, modified in sorted(folders.items()):
            if dialect.folders == "yes":
                added.append(self._entry(folder, 0, modified))
            if dialect.strangers == "yes":
                names = ("README.txt", "checksums.csv.gz")
                added += [self._entry(folder + name, 1234, modified) for name in names]
        return added + entries

    def _entry(self, key: str, size: int, modified: datetime) -> dict[str, object]:
        dialect = self._viewer.dialect
        sizes = {"int": size, "float": float(size), "text": str(size)}
        moments = {
            "iso": modified.astimezone(UTC).isoformat(timespec="microseconds"),
            "http": format_datetime(modified.astimezone(UTC), usegmt=True),
        }
        entry: dict[str, object] = {"Key": key}
        if dialect.modified != "missing":
            entry["LastModified"] = moments.get(dialect.modified)
        return entry | {"Size": sizes[dialect.size]}

    def _page(
        self, entries: list[dict[str, object]], given: Mapping[str, str]
    ) -> dict[str, object]:
        """All entries, or the page asked for."""
        if self._viewer.dialect.listing == "whole":
            return {"data": entries}
        identity = tuple(sorted((name, text) for name, text in given.items() if name != PAGE))
        pages = -(-len(entries) // LIST_PAGE)
        page = self._keys.read(identity, given[PAGE], pages) if PAGE in given else 0
        body: dict[str, object] = {"data": entries[page * LIST_PAGE : (page + 1) * LIST_PAGE]}
        if page + 1 < pages:
            body["pagination_key"] = self._keys.make(identity, page + 1)
        return body


class _Tickets:
    """What makes a URL valid: issued, and redeemed once within its time."""

    def __init__(self, options: BulkOptions, clock: ScaledClock) -> None:
        self._options, self._clock = options, clock
        self._lock = Lock()
        self._open: dict[str, tuple[BulkFile, float]] = {}

    def issue(self, file: BulkFile) -> str:
        now = self._clock()
        ticket = secrets.token_urlsafe(24)
        with self._lock:
            self._open = {text: entry for text, entry in self._open.items() if entry[1] > now}
            self._open[ticket] = (file, now + self._options.url_seconds)
        return ticket

    def redeem(self, ticket: str, *, spend: bool = False) -> BulkFile | None:
        with self._lock:
            entry = self._open.get(ticket)
            if entry is not None and (spend or self._options.single_use):
                del self._open[ticket]
        if entry is None or entry[1] <= self._clock():
            return None
        return entry[0]


def expired_url() -> Answer:
    """What object stores answer to a URL that is no longer valid."""
    body = (
        b'<?xml version="1.0" encoding="UTF-8"?>\n'
        b"<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>"
    )
    return Answer(403, body, content_type="application/xml")


def _range(given: Mapping[str, str]) -> tuple[date, date]:
    first = parse_period("from", given["from"])[0] if "from" in given else date.min
    last = parse_period("to", given["to"])[1] if "to" in given else date.max
    if first > last:
        raise RefusalError(400, "The value of 'from' must not be later than 'to'.")
    return first, last


def _ranged(
    content: bytes, asked: Mapping[str, str], etag: str, headers: tuple[tuple[str, str], ...]
) -> Answer:
    """All of a file, or the one range of bytes asked for.

    Source: RFC 9110 section 14; several ranges at once are answered with the whole file.
    """
    kind = "application/gzip"
    match = _RANGE.fullmatch(asked.get("HTTP_RANGE", ""))
    if not match or match[0] == "bytes=-" or asked.get("HTTP_IF_RANGE", etag) != etag:
        return Answer(200, content, content_type=kind, headers=headers)
    size, first, last = len(content), *match.groups()
    start = int(first) if first else max(size - int(last), 0)
    stop = min(int(last) + 1, size) if first and last else size
    if start >= min(stop, size):
        unsatisfiable = (("Content-Range", f"bytes */{size}"),)
        return Answer(416, content_type=kind, headers=unsatisfiable)
    within = ("Content-Range", f"bytes {start}-{stop - 1}/{size}")
    return Answer(206, content[start:stop], content_type=kind, headers=(within, *headers))
