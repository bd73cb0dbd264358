"""Bulk files: whole months of an endpoint for two requests each.

1. ``list_files``: which files there are, with sizes. One request.
2. ``download``: a URL for a file, good for five minutes and one use (one request); the file itself
   comes from another host, without the key, and does not count. A broken download goes on where
   it broke; a spent URL is replaced.
3. ``read_csv``: the file as the table that requests for its days would have given.
"""

from __future__ import annotations

import datetime as dt
import gzip
import logging
import re
import threading
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.api.cores import TURNS
from pipeline.api.csvfile import read_csv
from pipeline.api.endpoints import Endpoint
from pipeline.api.faults import Transient
from pipeline.api.session import ApiSession
from pipeline.api.transfer import Transfer, UrlSpent
from pipeline.errors import ApiError, BadResponse

__all__ = ["ALL", "BulkFile", "download", "list_files", "period_of", "read_csv", "span", "wanted"]

ALL = "all"  # period of a file that holds everything
LIST_PATH, GET_PATH = "/bulk/list", "/bulk/get"

_PERIOD = re.compile(
    r"(?<!\d)(?P<year>\d{4})-?(?P<month>0[1-9]|1[0-2])(-?(?P<day>\d\d))?(\.csv)?(\.gz)?$"
)
_PIECE_BYTES = 1 << 20

# What a file may hold when unpacked. CSV packs to a tenth; an official page says that a file holds
# up to a year, and a year of the largest source is about 0.6 GB.
_MOST_TIMES_PACKED = 100
_SMALL_BYTES, _MOST_BYTES = 64 << 20, 2 << 30

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BulkFile:
    """One file the server offers.

    Attributes:
        key: its name there; taken from the list, never built.
        period: ``YYYY-MM``, ``YYYY-MM-DD``, or ``all``.
        size: bytes, compressed.
        last_modified: as the server writes it; corrections rewrite files.
    """

    key: str
    period: str
    size: int
    last_modified: str


def period_of(name: str) -> str:
    """The month or day at the end of a file's name; ``all`` when there is none."""
    found = _PERIOD.search(name)
    if found is None:
        return ALL
    period = "-".join(part for part in found.group("year", "month", "day") if part)
    try:
        span(period)
    except ValueError:
        return ALL
    return period


def span(period: str) -> tuple[dt.date, dt.date]:
    """First and last day of a period.

    Raises:
        ValueError: no such day.
    """
    if period == ALL:
        return dt.date.min, dt.date.max
    if len(period) == len("YYYY-MM-DD"):
        day = dt.date.fromisoformat(period)
        return day, day
    first = dt.date.fromisoformat(f"{period}-01")
    following = (first + dt.timedelta(days=31)).replace(day=1)
    return first, following - dt.timedelta(days=1)


def wanted(
    periods: Mapping[str, Any], first: dt.date, last: dt.date, endpoint: Endpoint
) -> list[str]:
    """Those of ``periods`` that touch [first, last], oldest first, no day twice.

    Day files of a month that has a file of its own are left aside: the month was closed between
    two glances. Of an endpoint with one file, the newest.
    """
    if endpoint.one_file:
        return sorted(periods)[-1:]
    touching = [p for p in periods if span(p)[0] <= last and span(p)[1] >= first]
    return sorted(p for p in touching if len(p) == len("YYYY-MM") or p[:7] not in touching)


def list_files(
    session: ApiSession, endpoint: Endpoint, first: dt.date, last: dt.date
) -> list[BulkFile]:
    """The files that hold the rows of [first, last], oldest first. One request.

    A file of an endpoint with one file has the period ``all``. Months may begin before ``first``
    and end after ``last``.

    Raises:
        ApiError: refused; the plan may have no files.
        BadResponse: not the promised list.
    """
    # Whole months at both ends: whether a day within a month would leave its file out is not
    # documented.
    query = {"endpoint": endpoint.path, "from": f"{first:%Y-%m}", "to": f"{last:%Y-%m}"}
    answer = session.get(LIST_PATH, query)
    entries = answer.get("data")
    if not isinstance(entries, list):
        raise _bad(LIST_PATH, query, "data: expected an array of files")
    files = {file.period: file for file in (_file(entry, query) for entry in entries)}
    if ALL in files and not endpoint.one_file:
        key = files[ALL].key
        raise _bad(LIST_PATH, query, f"Key: expected a month or day at its end, got {key!r}")
    chosen = [files[period] for period in wanted(files, first, last, endpoint)]
    if endpoint.one_file:
        return [BulkFile(file.key, ALL, file.size, file.last_modified) for file in chosen]
    return chosen


def download(
    session: ApiSession, file: BulkFile, path: Path, stop: threading.Event | None = None
) -> None:
    """The file, whole, at ``path``; until then in a ``.partial`` beside it.

    What an earlier process left there is continued.

    Raises:
        ApiError: no URL, or no whole answer in any attempt.
        BadResponse: in the last attempt what came was not the file: another size than listed, or
            damaged. It may have been rewritten since: list again.
        StorageError: the disk refused.
        FetchCancelled: ``stop`` was set.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    loading = _Download(session, file, path.with_name(path.name + ".partial"), stop)
    for attempt in range(1, session.policy.attempts + 1):
        try:
            loading.attempt()
        except Transient as fault:
            last = fault
        else:
            loading.partial.replace(path)
            return
        _log.warning(
            "%s: %s; attempt %d of %d failed",
            *(file.key, last.message, attempt, session.policy.attempts),
        )
        if attempt < session.policy.attempts:
            session.clock.wait(session.policy.pause_s(attempt, session.rng), stop)
    kind = BadResponse if last.garbled else ApiError
    raise kind(
        GET_PATH,
        {"key": file.key},
        status=last.status,
        server_message=last.message,
        hint=f"gave up after {session.policy.attempts} attempts; run again later",
    )


class _Download:
    """A download with the URL it uses at present."""

    def __init__(
        self, session: ApiSession, file: BulkFile, partial: Path, stop: threading.Event | None
    ) -> None:
        self.partial = partial
        self._session = session
        self._file = file
        self._stop = stop
        self._url = ""
        self._transfer = Transfer(session, partial, file.size)

    def attempt(self) -> None:
        """The whole file in ``partial``, or Transient."""
        if not self.partial.exists() or self.partial.stat().st_size != self._file.size:
            self._receive()
        wrong = _defect(self.partial, self._file)
        if wrong:
            self.partial.unlink()
            raise Transient(wrong, 200, garbled=True)

    def _receive(self) -> None:
        # The URL of a broken download may still be good, and trying costs nothing that counts.
        with suppress(UrlSpent):
            if self._url:
                self._transfer.attempt(self._url)
                self._url = ""
                return
        self._url = _url(self._session, self._file, self._stop)
        self._transfer.attempt(self._url)
        self._url = ""


def _url(session: ApiSession, file: BulkFile, stop: threading.Event | None) -> str:
    query = {"key": file.key}
    url = session.get(GET_PATH, query, stop=stop).get("url")
    if not isinstance(url, str) or not url:
        raise _bad(GET_PATH, query, f"url: expected text, got {type(url).__name__}")
    return url


def _defect(partial: Path, file: BulkFile) -> str:
    """What is wrong with a file that came; "" when it is whole."""
    size = partial.stat().st_size
    if size != file.size:
        return f"size: expected {file.size} bytes, got {size}"
    most, unpacked = min(max(_MOST_TIMES_PACKED * size, _SMALL_BYTES), _MOST_BYTES), 0
    try:
        with TURNS, gzip.open(partial) as content:
            while piece := content.read(_PIECE_BYTES):
                unpacked += len(piece)
                if unpacked > most:
                    return f"content: expected at most {most >> 20} MiB unpacked, got more"
    except (EOFError, zlib.error, gzip.BadGzipFile):
        return f"content: expected a whole gzip file, got {size} damaged bytes"
    return ""


def _file(entry: object, query: Mapping[str, str]) -> BulkFile:
    values = entry if isinstance(entry, dict) else {}
    key, size, modified = (values.get(name) for name in ("Key", "Size", "LastModified"))
    is_size = isinstance(size, int) or (isinstance(size, str) and size.isdigit())
    if not isinstance(key, str) or not isinstance(modified, str) or not is_size:
        what = f"data: expected files with Key, Size and LastModified, got {str(entry)[:80]!r}"
        raise _bad(LIST_PATH, query, what)
    return BulkFile(key, period_of(key), int(size), modified)  # type: ignore[arg-type]


def _bad(path: str, query: Mapping[str, str], what: str) -> BadResponse:
    hint = "run again; if it stays, the API has changed: compare pipeline/api/bulk.py"
    return BadResponse(path, query, status=200, server_message=what, hint=hint)
