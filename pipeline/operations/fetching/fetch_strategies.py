"""The three ways to the days of a source: requests, monthly bulk files, a folder of bulk files.

Which one is decided elsewhere (``storage.policy``); whichever it is, the ``Receiver`` gets days and
their rows, and what it makes of them does not show the way they came.

A way that disappoints is left for another, with one warning for each source: what a bulk file, or
the list of them, does not give comes by request, and months that cannot be had by request come as
files. Only what concerns the account as a whole ends the fetch: the key, the disk, an order to
stop. A way that was demanded (``source_route`` bulk or requests) is never left.
"""

from __future__ import annotations

import datetime as dt
import logging
import threading
from collections import deque
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from pathlib import Path
from zlib import crc32

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.api.bulk import (
    BulkFile,
    download,
    list_files,
    made_at,
    months_of,
    read_csv,
    span,
)
from pipeline.api.catalogue.endpoints import Endpoint
from pipeline.api.day_requests import Readable, fetch_dates, fetch_range
from pipeline.api.http.client import ApiSession
from pipeline.api.http.concurrency import Lanes
from pipeline.api.local_files import find_files
from pipeline.cache import fetch_policy
from pipeline.cache.fetch_policy import Rules, Wanted, Way
from pipeline.errors import ApiError, SnapshotError
from pipeline.operations.fetching.ingest import Receiver
from pipeline.quarantine import concatenated

log = logging.getLogger(__name__)

Progress = Callable[[int, int], None]
DaysOf = Callable[[dt.date, dt.date], list[Wanted]]

_DOWNLOADS = 6  # at a time: most of it is waiting, and parsers take turns at the cores
_AT_FIRST = 2  # until one of them was of use
_IN_A_ROW = 2  # bulk files that disappoint: the source's other files are not tried any more
_KEY_REFUSED = 401  # no way helps; a 403 may be about files alone
_ACCOUNT = frozenset({_KEY_REFUSED, 403})  # of a request: no other way helps
#: Columns that files outside ``premium/`` presumably lack (open), of the source that has them.
_PREMIUM_COLUMNS = {"daily_bars": ("MC", "AC")}
_ANOTHER_WAY = "use source_route auto or requests"  # to get these days by request


@dataclass
class Fetching:
    """One fetch under way.

    Attributes:
        ask: days to fetch, ascending.
        days_of: the days of any range that this source has, and when each is settled.
        progress: called with days done and days to fetch.
        closed: days on which the exchange was closed.
        premium: the plan has the columns of Premium.
        readable: what is known of the account's window.
        beyond: asked days outside the account's window; they do not come.
        tried: months of which a bulk file was tried.
        by_file: months the cache has from bulk files of earlier runs.
    """

    endpoint: Endpoint
    rules: Rules
    ask: Sequence[str]
    receiver: Receiver
    days_of: DaysOf
    progress: Progress
    closed: Collection[str] = frozenset()
    premium: bool = False
    readable: Readable = field(default_factory=Readable)
    beyond: set[str] = field(default_factory=set)
    tried: set[str] = field(default_factory=set)
    by_file: Collection[str] = frozenset()

    def __post_init__(self) -> None:
        self._left = dict.fromkeys(self.ask)
        self._all = set(self.ask)
        self._kept: set[str] = set()

    @property
    def missing(self) -> list[str]:
        """Days still to come, ascending."""
        return list(self._left)

    def keep(self, dates: Sequence[str], table: pa.Table, route: str) -> None:
        """Hand days of one month on and count them.

        Raises:
            SnapshotError: the month is not as it should be; all its days are missing again.
        """
        try:
            self.receiver.keep(dates, table, route)
        except SnapshotError:
            self._ask_again(self.receiver.begin_again(dates[0][:7]))
            raise
        self._kept.update(dates)
        for date in dates:
            self._left.pop(date, None)
        self.progress(len(self._all) - len(self._left), len(self._all))

    def is_kept(self, date: str) -> bool:
        """True for a day that came, asked for or not."""
        return date in self._kept

    def doubt(self) -> None:
        """Ask again for the days that were not believed."""
        again = self.receiver.doubted()
        if again:
            log.warning(
                "%s: bulk files have few rows of %s; by request instead",
                *(self.endpoint.source, _some(again)),
            )
            self._ask_again(again)

    def refuse_strewn(self, months: Collection[str]) -> None:
        """Rows of months that were kept already must not turn up in files of other months.

        Nor those of months that an earlier run kept from files: it may have ended here.

        Raises:
            SnapshotError: they do. Files of neighbouring months are read before a month is kept,
                so this takes rows that lie further away.
        """
        kept = {date[:7] for date in self._kept} | set(self.by_file)
        found = sorted(kept.intersection(months))
        if found:
            raise SnapshotError(
                f"{self.endpoint.source}: rows of {found[0]} are in the file of a month far from "
                "it, so what was kept of that month may lack them",
                "fetch it once more with source_route requests and source_cache_mode off",
            )

    def leave_out(self) -> None:
        """Wait no longer for days outside the account's window."""
        outside = [
            date for date in self._left if not self.readable.holds(dt.date.fromisoformat(date))
        ]
        if outside:
            self.beyond.update(outside)
            self._all.difference_update(outside)
            for date in outside:
                del self._left[date]
            self.receiver.leave_out(outside)

    def _ask_again(self, dates: Sequence[str]) -> None:
        self._kept.difference_update(dates)
        self._all.update(dates)
        self._left = dict.fromkeys(sorted({*self._left, *dates}))


def by_the_cheapest(
    fetching: Fetching, session: ApiSession, way: Way, lanes: Lanes, files: bool, folder: Path
) -> None:
    """Get the missing days from the server with the fewest requests.

    Args:
        way: auto, or the one that is demanded.
        lanes: requests at a time.
        files: the plan has bulk files of this source.
        folder: for downloads on their way.

    Raises:
        ApiError, SnapshotError, StorageError: see the ways; of ``auto``, when no way is left.
    """
    listed: dict[str, BulkFile] | None = None
    endpoint, rules, ask = fetching.endpoint, fetching.rules, fetching.ask
    by_range = endpoint.query == "range"
    if files and fetch_policy.worth_listing(rules, ask, way, by_range=by_range):
        listed = months_on_offer(session, endpoint, rules, ask, way)
    route = fetch_policy.choose_route(rules, ask, way, by_range=by_range, listed=listed)
    log.info(
        "%s: %d days by request, %d monthly files, about %d requests",
        *(endpoint.source, len(route.days), len(route.months), route.requests),
    )
    if listed is not None:
        by_bulk(fetching, session, _files(listed, route.months), folder, way)
        if way == "auto":
            fetching.doubt()
    if not fetching.missing:
        return
    try:
        by_request(fetching, session, lanes)
    except (ApiError, SnapshotError) as error:
        may = way == "auto" and files and getattr(error, "status", None) not in _ACCOUNT
        if not may or not _by_bulk_after_all(fetching, session, error, listed, folder):
            raise
        if fetching.missing:
            by_request(fetching, session, lanes)


def by_request(fetching: Fetching, session: ApiSession, lanes: Lanes) -> None:
    """One request per day, or one for the whole range.

    Days outside the account's window, as far as the server names it, are left out.

    Raises:
        ApiError: a request failed for good.
        SnapshotError: sessions without promised rows, or rows that are not as they should be.
    """
    endpoint, readable = fetching.endpoint, fetching.readable
    days = [dt.date.fromisoformat(date) for date in fetching.missing]
    if endpoint.query == "range":
        table = fetch_range(session, endpoint, days[0], days[-1], days, readable=readable)
        fetching.leave_out()
        for _, month in groupby(list(fetching.missing), key=lambda date: date[:7]):
            dates = list(month)
            fetching.keep(dates, _only(table, endpoint, dates), "requests")
        return
    closed = [day for day in days if str(day) in fetching.closed]
    answers = fetch_dates(session, endpoint, days, lanes, closed=closed, readable=readable)
    with closing(answers):
        for day, table in answers:
            fetching.keep([str(day)], table, "requests")
    fetching.leave_out()


def by_bulk(
    fetching: Fetching,
    session: ApiSession,
    files: Sequence[BulkFile],
    folder: Path,
    way: Way = "bulk",
) -> None:
    """Monthly files from the server. Days a file cannot answer for stay missing.

    So do, where files are only one way, the days of a file that does not come or is not what it
    should be; after two such files in a row the others are not tried.

    Raises:
        ApiError: a file did not come; or the key was refused.
        SnapshotError: a file is not what it should be.
    """

    def path_of(file: BulkFile) -> Path:
        period = file.period.replace("/", "_")
        return folder / f"{period}-{file.size}-{crc32(file.key.encode()):08x}.csv.gz"

    def get(file: BulkFile, stop: threading.Event) -> pa.Table:
        path = path_of(file)
        try:
            download(session, file, path, stop)
            return read_csv(path, fetching.endpoint)
        finally:
            path.unlink(missing_ok=True)

    now = dt.datetime.fromisoformat(fetching.rules.now)
    failed: list[tuple[BulkFile, ApiError | SnapshotError]] = []
    strewn: set[str] = set()  # months of which a file of another month holds rows
    in_a_row = 0

    def use(file: BulkFile, table: pa.Table) -> None:
        _require_premium_columns(fetching, file, table)
        _require_all_rows(fetching.endpoint, file, strewn)
        made = made_at(file, now)
        if made is not None:
            moment = made.isoformat(timespec="seconds")
            _keep_file(fetching, file.key, file.period, table, moment, "bulk")

    def tried(file: BulkFile, step: Callable[[], object]) -> bool:
        nonlocal in_a_row
        try:
            step()
        except (ApiError, SnapshotError) as error:
            if way == "bulk":
                _name_another_way(error)
            if way == "bulk" or _status(error) == _KEY_REFUSED:
                raise
            failed.append((file, error))
            in_a_row += 1
            return False
        in_a_row = 0
        return True

    waiting: list[Callable[[], object]] = []
    with closing(_a_few_at_a_time(get, files)) as coming:
        for file, task in coming:
            fetching.tried.update(months_of(file.period))
            if task.exception() is None:
                months = _months_outside(task.result(), fetching.endpoint, file.period)
                fetching.refuse_strewn(months)
                strewn |= months
            # A file counts when the next one was read: that one may hold rows of its month.
            for step in waiting:
                step()
            waiting.clear()
            if in_a_row >= _IN_A_ROW:
                break
            if task.exception() is None:
                waiting.append(partial(tried, file, partial(use, file, task.result())))
            elif not tried(file, task.result) and in_a_row >= _IN_A_ROW:
                break
        for step in waiting:
            step()
    if failed:
        for file in files:  # nobody will go on with them
            path = path_of(file)
            path.with_name(f"{path.name}.partial").unlink(missing_ok=True)
        first, reason = failed[0]
        left = "; no other file is tried" if in_a_row >= _IN_A_ROW else ""
        log.warning(
            "%s: %d bulk files are of no use, the first %s (%s)%s; by request instead",
            *(fetching.endpoint.source, len(failed), first.key, reason.message, left),
        )


def _by_bulk_after_all(
    fetching: Fetching,
    session: ApiSession,
    error: ApiError | SnapshotError,
    listed: dict[str, BulkFile] | None,
    folder: Path,
) -> bool:
    """Bulk files for the months over that could not be had by request; False without any use."""
    fetching.leave_out()
    rules, before = fetching.rules, fetching.missing
    closed = [date for date in before if rules.closed(date)]
    if not closed:
        return False
    if listed is None:
        listed = months_on_offer(session, fetching.endpoint, rules, closed, "auto")
    months = sorted({date[:7] for date in closed}.intersection(listed) - fetching.tried)
    if not months:
        return False
    log.warning(
        "%s: by request: %s; %d months by bulk file instead",
        *(fetching.endpoint.source, error.message, len(months)),
    )
    by_bulk(fetching, session, _files(listed, months), folder, "auto")
    return len(fetching.missing) < len(before)


def by_folder(fetching: Fetching, folder: Path) -> None:
    """Bulk files that lie in a folder.

    Raises:
        SnapshotError: the folder lacks days, or a file is not what it should be.
    """
    endpoint = fetching.endpoint
    ends = [dt.date.fromisoformat(fetching.missing[at]) for at in (0, -1)]
    found = find_files(folder, endpoint, *ends)
    waiting: list[Callable[[], None]] = []  # until the next file was read, as in ``by_bulk``
    for period, path in found.items():
        first, last = (str(day) for day in span(period))
        if any(first <= date <= last for date in fetching.missing):
            table = read_csv(path, endpoint)
            strewn = _months_outside(table, endpoint, period)
            if strewn and months_of(period):
                fetching.refuse_strewn(strewn)
                waiting.clear()
                _by_own_dates(fetching, folder)
                break
            for keep in waiting:
                keep()
            now = fetching.rules.now
            waiting = [partial(_keep_file, fetching, path.name, period, table, now, "files")]
    for keep in waiting:
        keep()
    if fetching.missing:
        raise SnapshotError(
            f"bulk folder {folder}: {endpoint.file_stem} files have no rows for "
            f"{_some(fetching.missing)}",
            "put the files of these days there, or use another source_route",
        )


def _by_own_dates(fetching: Fetching, folder: Path) -> None:
    """Files of a folder whose rows are not all dated in their months.

    Whether monthly files are grouped by the date that we go by or by another one is open. Rows
    count by their own date then, and a month is whole when the files of those months are there
    whose rows may be dated in it, by what the files at hand show.

    Raises:
        SnapshotError: a file has rows of dates more than a month away.
    """
    endpoint = fetching.endpoint
    month = dt.timedelta(days=31)
    ends = [dt.date.fromisoformat(fetching.missing[at]) for at in (0, -1)]
    found = find_files(folder, endpoint, ends[0] - month, ends[1] + month)
    paths = {period: path for period, path in found.items() if months_of(period)}
    tables = {period: read_csv(path, endpoint) for period, path in paths.items()}
    before = after = 0
    for period, table in tables.items():
        if not table.num_rows:
            continue
        first, last = (_months_from_zero(day) for day in span(period))
        dates = table[endpoint.date_field]
        before = max(before, first - _months_from_zero(pc.min(dates).as_py()))
        after = max(after, _months_from_zero(pc.max(dates).as_py()) - last)
    if max(before, after) > 1:
        raise SnapshotError(
            f"bulk folder {folder}: {endpoint.file_stem} files hold rows of dates {before} months "
            f"before and {after} months after their own",
            "get the files again, or use another source_route",
        )
    log.warning(
        "%s: files in %s hold rows dated outside their months; taken by their own dates",
        *(endpoint.source, folder),
    )
    rows = concatenated(list(tables.values()))
    start = _months_from_zero(endpoint.first_date)
    there = {_months_from_zero(span(m)[0]) for period in tables for m in months_of(period)}
    for name, dates in groupby(list(fetching.missing), key=lambda date: date[:7]):
        at = _months_from_zero(span(name)[0])
        if there.issuperset(range(max(at - after, start), at + before + 1)):
            one = _only(rows, endpoint, list(dates))
            _keep_file(fetching, f"of {name}", name, one, fetching.rules.now, "files")
    for period, path in found.items():  # of the month that is not over
        if period not in paths and fetching.missing:
            table = read_csv(path, endpoint)
            _keep_file(fetching, path.name, period, table, fetching.rules.now, "files")


def months_on_offer(
    session: ApiSession, endpoint: Endpoint, rules: Rules, ask: Sequence[str], way: Way
) -> dict[str, BulkFile]:
    """The files the server has for the asked days of months that are over, by month.

    Files of several months stand at each of them. Those of which it is not known when they were
    made, and whether they can be whole, are left aside.

    Raises:
        ApiError: the list did not come; where files are only one way, that means none, unless the
            key was refused.
    """
    closed = [date for date in ask if rules.closed(date)]
    ends = [dt.date.fromisoformat(closed[at]) for at in (0, -1)]
    try:
        files = list_files(session, endpoint, *ends)
    except ApiError as error:
        if way == "bulk":
            _name_another_way(error)
        if way == "bulk" or error.status == _KEY_REFUSED:
            raise
        log.warning("%s: no bulk files (%s); by request instead", endpoint.source, error.message)
        return {}
    now = dt.datetime.fromisoformat(rules.now)
    usable = [file for file in files if months_of(file.period) and made_at(file, now)]
    # The longer ones first: a file of one month counts before one of a year.
    longest_first = sorted(usable, key=lambda file: -len(months_of(file.period)))
    return {month: file for file in longest_first for month in months_of(file.period)}


def _keep_file(
    fetching: Fetching, name: str, period: str, table: pa.Table, made: str, route: str
) -> None:
    """Take the days a file answers for: those whose records were all public when it was made.

    Of a source with rows on each session, days without rows are not answered for; they are asked
    for another way, or missed.

    Raises:
        SnapshotError: rows are dated outside the period. The file may be grouped by another date
            (open), and lack rows that another file has.
    """
    endpoint = fetching.endpoint
    outside = len(_outside(table, endpoint, period))
    dates = table[endpoint.date_field]
    if outside:
        raise SnapshotError(
            f"{endpoint.source}: file {name} holds rows of {pc.min(dates)} to {pc.max(dates)}, "
            f"{outside:,} of {table.num_rows:,} outside {period}",
            _ANOTHER_WAY,
        )
    there = {str(date) for date in dates.unique().to_pylist()}
    answered = [
        day.date
        for day in fetching.days_of(*span(period))
        if day.settled <= made
        and not fetching.is_kept(day.date)
        and (day.date in there or not endpoint.promises_rows(dt.date.fromisoformat(day.date)))
    ]
    for _, month in groupby(answered, key=lambda date: date[:7]):
        days = list(month)
        fetching.keep(days, _only(table, endpoint, days), route)


def _require_premium_columns(fetching: Fetching, file: BulkFile, table: pa.Table) -> None:
    """A file outside ``premium/`` may lack columns of the plan, which requests would give.

    Raises:
        SnapshotError: it does.
    """
    names = _PREMIUM_COLUMNS.get(fetching.endpoint.source, ())
    if not fetching.premium or "premium" in file.key.split("/") or not table.num_rows:
        return
    if names and all(table[name].null_count == table.num_rows for name in names):
        raise SnapshotError(
            f"{fetching.endpoint.source}: file {file.key} has no values of {', '.join(names)}, "
            "which plan premium has",
            _ANOTHER_WAY,
        )


def _require_all_rows(endpoint: Endpoint, file: BulkFile, strewn: Collection[str]) -> None:
    """A file lacks rows of its months that another file holds.

    Raises:
        SnapshotError: it does.
    """
    lacking = sorted(set(months_of(file.period)).intersection(strewn))
    if lacking:
        raise SnapshotError(
            f"{endpoint.source}: rows of {lacking[0]} are in the file of another month, not all in "
            f"{file.key}",
            _ANOTHER_WAY,
        )


def _outside(table: pa.Table, endpoint: Endpoint, period: str) -> pa.ChunkedArray:
    """The dates of rows outside a period."""
    dates = table[endpoint.date_field]
    first, last = (pa.scalar(day, pa.date32()) for day in span(period))
    return dates.filter(pc.or_(pc.less(dates, first), pc.greater(dates, last)))


def _months_outside(table: pa.Table, endpoint: Endpoint, period: str) -> set[str]:
    """The months of rows outside a period."""
    return {f"{date:%Y-%m}" for date in _outside(table, endpoint, period).unique().to_pylist()}


def _files(listed: Mapping[str, BulkFile], months: Sequence[str]) -> list[BulkFile]:
    """The files of months, each once."""
    return list(dict.fromkeys(listed[month] for month in months))


def _name_another_way(error: ApiError | SnapshotError) -> None:
    """Let the hint name the routes that do without files."""
    if "source_route" not in error.hint:
        error.hint = f"{error.hint}; or {_ANOTHER_WAY}" if error.hint else _ANOTHER_WAY


def _status(error: Exception) -> int | None:
    return error.status if isinstance(error, ApiError) else None


def _months_from_zero(day: dt.date) -> int:
    return 12 * day.year + day.month


def _some(dates: Sequence[str]) -> str:
    return f"{len(dates)} days: {', '.join(dates[:5])}{', ...' if len(dates) > 5 else ''}"


def _only(table: pa.Table, endpoint: Endpoint, dates: Sequence[str]) -> pa.Table:
    days = pa.array([dt.date.fromisoformat(date) for date in dates], pa.date32())
    return table.filter(pc.is_in(table[endpoint.date_field], value_set=days))


def _a_few_at_a_time(
    get: Callable[[BulkFile, threading.Event], pa.Table], files: Sequence[BulkFile]
) -> Generator[tuple[BulkFile, Future[pa.Table]]]:
    """The files' finished tasks in order, a few of them under way; closing it stops the others.

    Fewer at first, so that a server whose files are of no use is not asked for many of them.
    """
    stop = threading.Event()
    left = iter(files)
    running: deque[tuple[BulkFile, Future[pa.Table]]] = deque()
    most = _AT_FIRST
    with ThreadPoolExecutor(_DOWNLOADS, thread_name_prefix="bulk") as pool:
        try:
            while True:
                while len(running) < most and (file := next(left, None)) is not None:
                    running.append((file, pool.submit(get, file, stop)))
                if not running:
                    return
                file, task = running.popleft()
                if task.exception() is None:
                    most = _DOWNLOADS + 1
                yield file, task
        finally:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)


def calendar_file(folder: Path, endpoint: Endpoint) -> pa.Table:
    """The trading calendar of a folder of bulk files.

    Raises:
        SnapshotError: there is none.
    """
    found: Mapping[str, Path] = find_files(folder, endpoint, dt.date.min, dt.date.max)
    if not found:
        raise SnapshotError(
            f"bulk folder {folder}: no file {endpoint.file_stem}*.csv.gz",
            "download the trading calendar too",
        )
    return read_csv(next(iter(found.values())), endpoint)
