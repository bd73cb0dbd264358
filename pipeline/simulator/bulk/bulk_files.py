"""The bulk files: which there are, and what is in them.

A month is a row of day files under ``live`` until it is rolled; then it is one file under
``historical``. A file is made when somebody asks for it or for a list that has it, since a list
tells the exact size.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from threading import Lock
from typing import TYPE_CHECKING, Final, Literal
from zlib import crc32

import numpy as np

from pipeline.errors import UsageError
from pipeline.simulator.bulk.csv_writer import packed_csv
from pipeline.simulator.server.endpoint_table import ENDPOINTS, Endpoint, Field
from pipeline.simulator.server.publication_clock import JST
from pipeline.simulator.server.request_query import Query, month_end
from pipeline.simulator.server.response_pages import PageStore, sent_fields
from pipeline.simulator.server.spelling import Speller

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.simulator.array_types import Columns
    from pipeline.simulator.server.visible_rows import Viewer

CALENDAR: Final = "/markets/calendar"
BARS: Final = "/equities/bars/daily"
PREMIUM: Final = "premium"
WITH_FILES: Final = (
    "/equities/master",
    "/equities/bars/daily",
    "/equities/investor-types",
    "/equities/valuation",
    "/fins/summary",
    "/fins/details",
    "/fins/dividend",
    "/fins/earnings-date",
    "/markets/short-ratio",
    "/markets/short-sale-report",
    "/markets/margin-interest",
    "/markets/margin-alert",
    "/markets/breakdown",
    CALENDAR,
    "/indices/bars/daily",
    "/indices/bars/daily/topix",
    "/derivatives/bars/daily/futures",
    "/derivatives/bars/daily/options",
    "/derivatives/bars/daily/options/225",
)
#: The date a query selects on, and the one a file might go by instead.
_OTHER_DATE: Final = {
    "/markets/margin-alert": ("PubDate", "AppDate"),
    "/markets/margin-interest": ("Date", "PubDate"),
    "/markets/short-sale-report": ("DiscDate", "CalcDate"),
}
_DATES_APART = timedelta(days=60)
_WRITTEN_AT = time(5, 48, 51)
_JITTER_MS = 3_600_000


@dataclass(frozen=True)
class BulkFile:
    """A file of one endpoint.

    Attributes:
        path: of the endpoint.
        first, last: dates it is for, both included.
        live: whether it is for one day of a month that is not rolled yet.
        written: when, at the latest.
        days_in: folders between ``live/`` and the file of a day.
        premium: whether it lies in the segment of the plan Premium.
    """

    path: str
    first: date
    last: date
    live: bool
    written: datetime
    days_in: Literal["flat", "year", "month"] = "flat"
    premium: bool = False

    @property
    def folder(self) -> str:
        """What its key begins with, up to the folder of its kind."""
        if self.path == CALENDAR:
            return f"{self.path.strip('/')}/"
        segment = "/premium" if self.premium else ""
        return f"{self.path.strip('/')}{segment}/{'live' if self.live else 'historical'}/"

    @property
    def key(self) -> str:
        """The name under which it is stored. Names of files of several months are guesses."""
        name = self.path.strip("/").replace("/", "_")
        if self.path == CALENDAR:
            return f"{self.folder}{name}.csv.gz"
        if self.live:
            folders = {"flat": "", "year": f"{self.first:%Y/}", "month": f"{self.first:%Y/%m/}"}
            return f"{self.folder}{folders[self.days_in]}{name}_{self.first:%Y%m%d}.csv.gz"
        period = f"{self.first:%Y%m}"
        if self.last > month_end(self.first):
            whole_year = self.last.month - self.first.month == 11
            period = f"{self.first:%Y}" if whole_year else f"{period}-{self.last:%Y%m}"
        return f"{self.folder}{self.first:%Y}/{name}_{period}.csv.gz"

    def overlaps(self, first: date, last: date) -> bool:
        """Whether it is for any date of a range; the calendar always is."""
        return self.path == CALENDAR or (self.first <= last and first <= self.last)


@dataclass(frozen=True)
class Facts:
    """What is known of a file once it was made.

    Attributes:
        size: bytes; 0 when there are no rows, and so no file.
        etag: differs when the bytes differ.
        modified: aware; differs, but is not always later, when the bytes differ.
    """

    size: int
    etag: str
    modified: datetime


class FileCatalog:
    """The files one account may have.

    Args:
        viewer: who asks, and when.
        roll_day: day of the next month on which a month becomes one file, 1 to 28.
        cache_bytes: content kept in memory.
        speller: in the dialect of the viewer; made when None.

    Raises:
        UsageError: the day of the roll is out of its range.
    """

    def __init__(
        self, viewer: Viewer, roll_day: int, cache_bytes: int, speller: Speller | None = None
    ) -> None:
        if not 1 <= roll_day <= 28:
            raise UsageError(f"simulator bulk roll day: expected 1 to 28, got {roll_day}")
        self._viewer, self._roll_day = viewer, roll_day
        # Files of a month that began before the window hold the whole month.
        plan = replace(viewer.plan, years=1000, delay_days=0)
        self._unlimited = replace(viewer, plan=plan)
        self._speller = speller or Speller(viewer.dialect, viewer.market.spec.seed)
        self._store = PageStore(cache_bytes)
        self._facts: dict[str, Facts] = {}
        self._lock = Lock()

    def files(self, endpoint: Endpoint, first: date, last: date) -> list[BulkFile]:
        """The files there are of an endpoint for any date of a range, oldest first."""
        return [
            file
            for file in self._candidates(endpoint)
            if file.overlaps(first, last) and self.facts(file).size
        ]

    def find(self, endpoint: Endpoint, key: str) -> BulkFile | None:
        """The file of a key, if there is one; makes no other."""
        named = (file for file in self._candidates(endpoint) if file.key == key)
        return next((file for file in named if self.facts(file).size), None)

    def content(self, file: BulkFile) -> bytes:
        """The bytes of a file; none when it has no rows."""
        return self._store.get(file, lambda: [self._make(file)]).body(0, packed=False)

    def facts(self, file: BulkFile) -> Facts:
        """Size and age of a file, kept for good."""
        with self._lock:
            known = self._facts.get(file.key)
        if known is None:
            known = _facts_of(file, self.content(file))
            with self._lock:
                self._facts[file.key] = known
        return known

    def fields(self, endpoint: Endpoint, *, premium: bool = False) -> list[Field]:
        """The columns of the files of an endpoint.

        Where Premium has files of its own, the others lack its columns; that is a guess.
        """
        fields = sent_fields(endpoint, self._viewer)
        if endpoint.path != BARS:
            return fields
        whole = premium or self._viewer.dialect.premium == "none"
        return [
            field
            for field in fields
            if not _is_adjusted(field.name) and (whole or field.plan != PREMIUM)
        ]

    def _candidates(self, endpoint: Endpoint) -> Iterator[BulkFile]:
        now, today = self._viewer.now, self._viewer.today
        if endpoint.path == CALENDAR:
            start, end = self._viewer.market.spec.start, date(today.year + 1, 12, 31)
            yield BulkFile(CALENDAR, start, end, live=False, written=_at(_last_march(today)))
            return
        window, days_in = self._viewer.window, self._viewer.dialect.live
        segments = self._segments(endpoint)
        first = self._viewer.market.spec.start.replace(day=1)
        # The master of the next session is out before its date.
        horizon = today + timedelta(days=14 if endpoint.axis == "listing" else 0)
        while first <= horizon:
            first, last, rolled = self._period(first)
            if rolled <= now:
                if last >= window.first:
                    file = BulkFile(endpoint.path, first, last, live=False, written=rolled)
                    yield from (replace(file, premium=premium) for premium in segments)
            else:
                for day in _days(max(first, window.first), min(last, horizon)):
                    written = min(_at(day + timedelta(days=1)), now)
                    file = BulkFile(endpoint.path, day, day, live=True, written=written)
                    yield from (
                        replace(file, days_in=days_in, premium=premium) for premium in segments
                    )
            first = last + timedelta(days=1)

    def _segments(self, endpoint: Endpoint) -> tuple[bool, ...]:
        """Whether files of Premium's own segment are among those of an endpoint."""
        has_own = endpoint.path == BARS and self._viewer.plan.name == PREMIUM
        kinds = {"both": (False, True), "only": (True,), "none": (False,)}
        return kinds[self._viewer.dialect.premium] if has_own else (False,)

    def _period(self, month: date) -> tuple[date, date, datetime]:
        """First and last date of the file with a month in it, and when that becomes one file.

        A quarter or a year is one file when all of it is rolled; until then its months are.
        """
        months = {"month": 1, "quarter": 3, "year": 12}[self._viewer.dialect.history]
        final = (month.month + months - 1) // months * months
        first = month.replace(month=final - months + 1)
        last = month_end(month.replace(month=final))
        rolled = _at(last + timedelta(days=self._roll_day))
        if rolled > self._viewer.now:
            first, last = month, month_end(month)
            rolled = _at(last + timedelta(days=self._roll_day))
        return first, last, rolled

    def _make(self, file: BulkFile) -> bytes:
        endpoint, dialect = ENDPOINTS[file.path], self._viewer.dialect
        columns = self._columns(endpoint, file.first, file.last)
        if not len(next(iter(columns.values()))):
            return b""
        columns, fields = self._speller.cells(
            endpoint, columns, self.fields(endpoint, premium=file.premium)
        )
        return packed_csv(columns, fields, crlf=dialect.lines == "crlf", bom=dialect.bom == "yes")

    def _columns(self, endpoint: Endpoint, first: date, last: date) -> Columns:
        viewer = self._unlimited
        if endpoint.axis == "listing":  # every list of the month, not the one in force
            scope = viewer.scope(endpoint, Query(day=last))
            calendar = viewer.market.calendar
            start = calendar.at_or_after(np.datetime64(first))
            stop = min(calendar.at_or_before(np.datetime64(last)) + 1, scope.sessions.stop)
            scope = replace(scope, sessions=range(start, max(start, stop)), first=first)
        elif first == last:
            scope = viewer.scope(endpoint, Query(day=first))
        elif viewer.dialect.grouping == "other" and endpoint.path in _OTHER_DATE:
            return self._grouped_otherwise(endpoint, first, last)
        else:
            scope = viewer.scope(endpoint, Query(first=first, last=last))
        # Files are written in the evening, whatever the plan.
        return viewer.rows(endpoint, replace(scope, real_time=False))

    def _grouped_otherwise(self, endpoint: Endpoint, first: date, last: date) -> Columns:
        """Rows whose other date lies in a period; those without one by the date asked for."""
        own, other = _OTHER_DATE[endpoint.path]
        asked = Query(first=first - _DATES_APART, last=last + _DATES_APART)
        scope = replace(self._unlimited.scope(endpoint, asked), real_time=False)
        columns = self._unlimited.rows(endpoint, scope)
        days = [a or b for a, b in zip(columns[other], columns[own], strict=True)]
        inside = np.array([str(first) <= day <= str(last) for day in days], dtype=np.bool_)
        return {name: values[inside] for name, values in columns.items()}


def _is_adjusted(name: str) -> bool:
    return "Adj" in name and name != "AdjFactor"


def _facts_of(file: BulkFile, content: bytes) -> Facts:
    # The moment depends on the bytes, so that a rewritten file is seen to be another one.
    early = timedelta(milliseconds=crc32(content) % _JITTER_MS)
    etag = hashlib.blake2b(content, digest_size=16).hexdigest()
    return Facts(len(content), f'"{etag}"', file.written - early)


def _at(day: date) -> datetime:
    return datetime.combine(day, _WRITTEN_AT, tzinfo=JST)


def _last_march(today: date) -> date:
    """When the calendar was published last."""
    this = date(today.year, 3, 31)
    return this if this < today else this.replace(year=today.year - 1)


def _days(first: date, last: date) -> Iterator[date]:
    for ordinal in range(first.toordinal(), last.toordinal() + 1):
        yield date.fromordinal(ordinal)
