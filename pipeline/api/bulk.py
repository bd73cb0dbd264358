"""Bulk files: whole months of an endpoint for two requests each.

1. ``list_files``: which files there are, with sizes. One request.
2. ``download``: a URL for a file, good for five minutes and one use (one request); the file itself
   comes from another host, without the key, and does not count. A broken download goes on where
   it broke; a spent URL is replaced.
3. ``read_csv``: the file as the table that requests for its days would have given.

The list has been seen with folder entries, sizes as floats, entries without a time, and keys below
``historical/``, ``live/`` and ``premium/``; whether it pages is open. Entries that cannot be used
are passed over with one warning: their days come by request.
"""

from __future__ import annotations

import datetime as dt
import gzip
import logging
import re
import threading
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from pipeline.api.catalogue.endpoints import Endpoint
from pipeline.api.decode.csv_reader import read_csv
from pipeline.api.decode.parse_semaphore import TURNS
from pipeline.api.http.client import ApiSession
from pipeline.api.http.file_transfer import Transfer, UrlSpent
from pipeline.api.http.retry import Transient
from pipeline.api.http.window_message import window_in
from pipeline.errors import ApiError, BadResponse

__all__ = [
    "ALL",
    "BulkFile",
    "download",
    "is_of",
    "list_files",
    "made_at",
    "moment_of",
    "months_of",
    "period_of",
    "read_csv",
    "span",
    "wanted",
]

ALL = "all"  # period of a file that holds everything
LIST_PATH, GET_PATH = "/bulk/list", "/bulk/get"

#: Pages of a list: 20 years of months and two months of days are 300 files.
MAX_LIST_PAGES = 100
#: A monthly file of unknown age is taken for whole when its month has been over for this long: the
#: latest records about a month are out within two weeks, and its days became a file before that.
SETTLED_AFTER = dt.timedelta(days=35)

_MONTH = r"\d{4}-?(?:0[1-9]|1[0-2])"
_SUFFIX = r"(?:\.csv)?(?:\.gz)?$"
_DAY_OR_MONTH = re.compile(
    rf"(?<!\d)(?P<year>\d{{4}})-?(?P<month>0[1-9]|1[0-2])(?:-?(?P<day>\d\d))?{_SUFFIX}"
)
#: An official answer says that historical files hold "several months to one year"; how such a file
#: would be called is a guess.
_MONTHS = re.compile(rf"(?<![\d-])(?P<first>{_MONTH})(?:_to_|[-_~])(?P<last>{_MONTH}){_SUFFIX}")
_YEAR = re.compile(rf"(?<![\d-])(?P<year>(?:19|20)\d\d){_SUFFIX}")
_PERIOD = re.compile(rf"(?:{_MONTH}(?:_to_|[-_~]){_MONTH}|{_MONTH}(?:-?\d\d)?|\d{{4}})$")
_PREMIUM = "premium"  # folder of the files that hold the columns of that plan, too
_JST = ZoneInfo("Asia/Tokyo")
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
        period: ``YYYY-MM``, ``YYYY-MM-DD``, ``YYYY``, ``YYYY-MM/YYYY-MM``, or ``all``.
        size: bytes, compressed.
        last_modified: as the server writes it, "" when it does not; corrections rewrite files.
    """

    key: str
    period: str
    size: int
    last_modified: str


def period_of(name: str) -> str:
    """The day, month, range of months or year at the end of a file's name; ``all`` without one."""
    found = _MONTHS.search(name)
    if found is not None:
        first, last = (f"{text[:4]}-{text[-2:]}" for text in found.group("first", "last"))
        return f"{first}/{last}" if first < last else ALL
    found = _DAY_OR_MONTH.search(name)
    if found is not None:
        period = "-".join(part for part in found.group("year", "month", "day") if part)
    else:
        found = _YEAR.search(name)
        period = found["year"] if found else ALL
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
    first, _, last = period.partition("/")
    if last:
        return span(first)[0], span(last)[1]
    if len(period) == len("YYYY"):
        return span(f"{period}-01")[0], span(f"{period}-12")[1]
    if len(period) == len("YYYY-MM-DD"):
        day = dt.date.fromisoformat(period)
        return day, day
    begin = dt.date.fromisoformat(f"{period}-01")
    following = (begin + dt.timedelta(days=31)).replace(day=1)
    return begin, following - dt.timedelta(days=1)


def months_of(period: str) -> list[str]:
    """The months, ``YYYY-MM``, of a period of whole months; none of a day or of ``all``."""
    if period == ALL or len(period) == len("YYYY-MM-DD"):
        return []
    month, last = span(period)
    months = []
    while month <= last:
        months.append(f"{month:%Y-%m}")
        month = (month + dt.timedelta(days=31)).replace(day=1)
    return months


def wanted(
    periods: Mapping[str, Any], first: dt.date, last: dt.date, endpoint: Endpoint
) -> list[str]:
    """Those of ``periods`` that touch [first, last], oldest first, no day twice where possible.

    Day files of a month that has a file of its own are left aside: the month was closed between
    two glances. So are files of several months that have one each, and day files within one of
    several months that stays. Of an endpoint with one file, the newest.
    """
    if endpoint.one_file:
        return sorted(periods)[-1:]
    touching = [p for p in periods if span(p)[0] <= last and span(p)[1] >= first]
    covered = {p for p in touching if len(p) == len("YYYY-MM")}
    chosen = set(covered)
    longer = [p for p in touching if p not in covered and months_of(p)]
    for period in sorted(longer, key=lambda p: (len(months_of(p)), p)):
        needed = {
            month for month in months_of(period) if f"{first:%Y-%m}" <= month <= f"{last:%Y-%m}"
        }
        if needed - covered:
            chosen.add(period)
            covered |= needed
    chosen |= {p for p in touching if not months_of(p) and p[:7] not in covered}
    return sorted(chosen, key=lambda p: (span(p), p))


def is_of(endpoint: Endpoint, name: str) -> bool:
    """True when a file's name is the endpoint's own name and a period behind it.

    Only endpoints with one file may leave the period out. Dash and underline count as one: which
    of them a name has is not documented.
    """
    if period_of(name) == ALL and not endpoint.one_file:
        return False
    return _stem(name).replace("-", "_") == endpoint.file_stem.replace("-", "_")


def _stem(name: str) -> str:
    """A file's name without its period."""
    stem = name.partition(".")[0]
    if period_of(name) != ALL:
        stem = _PERIOD.sub("", stem)
    return stem.rstrip("_-")


def list_files(
    session: ApiSession, endpoint: Endpoint, first: dt.date, last: dt.date
) -> list[BulkFile]:
    """The files that hold the rows of [first, last], oldest first. One request a page.

    A file of an endpoint with one file has the period ``all``. Months may begin before ``first``
    and end after ``last``. Of two files of one period the one below ``premium/`` counts, then the
    one changed last. Folders and entries without a usable key or size are passed over, with one
    warning.

    Raises:
        ApiError: refused; the plan may have no files.
        BadResponse: not the promised list, or no entry of it can be used.
    """
    # Whole months at both ends: whether a day within a month would leave its file out is not
    # documented.
    query = {"endpoint": endpoint.path, "from": f"{first:%Y-%m}", "to": f"{last:%Y-%m}"}
    try:
        entries = list(_entries(session, query))
    except ApiError as error:
        window = window_in(error.server_message) if error.status == 400 else None
        cut = window.cut(first, last) if window else None
        if cut is None or cut.is_empty:
            raise
        # The months may begin before the account's window or end after it. Days are allowed, too.
        query |= {"from": str(cut.first), "to": str(cut.last)}
        entries = list(_entries(session, query))
    files = _usable(entries, endpoint, query)
    chosen = [files[period] for period in wanted(files, first, last, endpoint)]
    return [replace(file, period=ALL) for file in chosen] if endpoint.one_file else chosen


def made_at(file: BulkFile, now: dt.datetime) -> dt.datetime | None:
    """The moment up to which a file knows what was published, at most ``now``; None if unknown.

    The time of the list counts: ISO 8601 or as in mail and HTTP, in Japan's time where no zone is
    given, which is the earliest reading. A file without one that is at least a month long is
    known to be whole ``SETTLED_AFTER`` its last day, not before.

    Args:
        now: aware.
    """
    moment = moment_of(file.last_modified)
    if moment is not None:
        return min(moment, now)
    if not months_of(file.period):
        return None
    ended = span(file.period)[1] + dt.timedelta(days=1)
    settled = dt.datetime.combine(ended, dt.time(), _JST) + SETTLED_AFTER
    return settled if settled <= now else None


def download(
    session: ApiSession, file: BulkFile, path: Path, stop: threading.Event | None = None
) -> None:
    """The file, whole, at ``path``; until then in a ``.partial`` beside it.

    What an earlier process left there is continued, and thrown away when it is found defective.

    Raises:
        ApiError: no URL, or no whole answer in any attempt.
        BadResponse: what came was not the file, ``policy.reads`` times: another size than listed,
            or damaged. It may have been rewritten since: list again.
        StorageError: the disk refused.
        FetchCancelled: ``stop`` was set.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    loading = _Download(session, file, path.with_name(path.name + ".partial"), stop)
    garbled = 0
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
        garbled += last.garbled
        if garbled == session.policy.reads:
            break
        if attempt < session.policy.attempts:
            session.clock.wait(session.policy.pause_s(attempt, session.rng), stop)
    kind = BadResponse if last.garbled else ApiError
    raise kind(
        GET_PATH,
        {"key": file.key},
        status=last.status,
        server_message=last.message,
        hint=f"gave up after {attempt} attempts; {_OTHERWISE}",
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


def _entries(session: ApiSession, query: Mapping[str, str]) -> Iterator[object]:
    """The entries of all pages of a list.

    Raises:
        BadResponse: no list, a paging key that comes twice, or more than ``MAX_LIST_PAGES``.
    """
    seen: set[str] = set()
    page_key: str | None = None
    for _ in range(MAX_LIST_PAGES):
        answer = session.get(LIST_PATH, query, page_key=page_key)
        entries = answer.get("data")
        if not isinstance(entries, list):
            raise _bad(LIST_PATH, query, "data: expected an array of files")
        yield from entries
        page_key = answer.get("pagination_key")
        if page_key is None or page_key == "":
            return
        if not isinstance(page_key, str) or page_key in seen:
            what = f"pagination_key: expected a new text, got {page_key!r} on page {len(seen) + 1}"
            raise _bad(LIST_PATH, query, what)
        seen.add(page_key)
    raise _bad(LIST_PATH, query, f"more than {MAX_LIST_PAGES} pages")


def _usable(
    entries: Iterable[object], endpoint: Endpoint, query: Mapping[str, str]
) -> dict[str, BulkFile]:
    """The file of each period; says what was passed over.

    Raises:
        BadResponse: there are entries, folders aside, and none can be used.
    """
    files: dict[str, BulkFile] = {}
    passed: list[object] = []
    only_folders = True
    for entry in entries:
        file = _file(entry, endpoint)
        if file is None:
            passed.append(entry.get("Key", entry) if isinstance(entry, dict) else entry)
            only_folders = only_folders and str(passed[-1]).endswith("/")
            continue
        known = files.get(file.period)
        if known is None or _rank(known) < _rank(file):
            files[file.period] = file
    if passed and not files and not only_folders:
        what = (
            f"data: expected files with Key and Size, a month or day at the end of the key, got "
            f"{len(passed)} other entries, the first {str(passed[0])[:80]!r}"
        )
        raise _bad(LIST_PATH, query, what)
    if passed:
        _log.warning(
            "%s: %d entries of the list of bulk files are no file we know, the first %.80r; "
            "passed over",
            *(endpoint.source, len(passed), passed[0]),
        )
    return files


def _file(entry: object, endpoint: Endpoint) -> BulkFile | None:
    """An entry as a file; None for a folder, and for what is no file of this endpoint."""
    values = entry if isinstance(entry, dict) else {}
    key, size, modified = (values.get(name) for name in ("Key", "Size", "LastModified"))
    if not isinstance(key, str) or key.endswith("/"):
        return None
    folder, _, name = key.rpartition("/")
    bare = not _stem(name) and period_of(name) != ALL and folder == endpoint.path.strip("/")
    number = _size(size)
    if number is None or not (bare or is_of(endpoint, name)):
        return None
    return BulkFile(key, period_of(key), number, modified if isinstance(modified, str) else "")


def _size(value: object) -> int | None:
    """Bytes, from a whole number, also as a float or as text; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return int(number) if 0 <= number < 2**53 and number.is_integer() else None


def _rank(file: BulkFile) -> tuple[bool, float, str]:
    """Of two files of one period the higher rank counts."""
    moment = moment_of(file.last_modified)
    age = moment.timestamp() if moment else float("-inf")
    return _PREMIUM in file.key.split("/"), age, file.key


def moment_of(text: str) -> dt.datetime | None:
    """A time as lists write it, in Japan; None when it is none of the known forms."""
    for read in (dt.datetime.fromisoformat, parsedate_to_datetime):
        try:
            moment = read(text.strip())
        except (ValueError, TypeError, IndexError):
            continue
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=_JST)
        with suppress(OverflowError):
            return moment.astimezone(_JST)
    return None


_OTHERWISE = "with source_route auto or requests these days come by request"


def _bad(path: str, query: Mapping[str, str], what: str) -> BadResponse:
    return BadResponse(
        path,
        query,
        status=200,
        server_message=what,
        hint=f"{_OTHERWISE}; if it stays, the API has changed: compare pipeline/api/bulk.py",
    )
