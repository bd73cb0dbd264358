"""The three ways to the days of a source: requests, monthly bulk files, a folder of bulk files.

Which one is decided elsewhere (``storage.policy``); whichever it is, the ``Receiver`` gets days and
their rows, and what it makes of them does not show the way they came.
"""

from __future__ import annotations

import datetime as dt
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.api.bulk import BulkFile, download, list_files, read_csv, span
from pipeline.api.endpoints import Endpoint
from pipeline.api.fetch import fetch_dates, fetch_range
from pipeline.api.files import find_files
from pipeline.api.lanes import Lanes
from pipeline.api.session import ApiSession
from pipeline.errors import ApiError, SnapshotError
from pipeline.storage import policy
from pipeline.storage.policy import Rules, Wanted, Way
from pipeline.tasks.receiving import Receiver

log = logging.getLogger(__name__)

Progress = Callable[[int, int], None]
DaysOf = Callable[[dt.date, dt.date], list[Wanted]]

_JST = ZoneInfo("Asia/Tokyo")
_DOWNLOADS = 6  # at a time: most of it is waiting, and parsers take turns at the cores
_REFUSED = frozenset({400, 403})  # by an endpoint or plan without files


@dataclass
class Fetching:
    """One fetch under way.

    Attributes:
        ask: days to fetch, ascending.
        days_of: the days of any range that this source has, and when each is settled.
        progress: called with days done and days to fetch.
    """

    endpoint: Endpoint
    rules: Rules
    ask: Sequence[str]
    receiver: Receiver
    days_of: DaysOf
    progress: Progress

    def __post_init__(self) -> None:
        self._left = dict.fromkeys(self.ask)

    @property
    def missing(self) -> list[str]:
        """Days still to come, ascending."""
        return list(self._left)

    def keep(self, dates: Sequence[str], table: pa.Table, route: str) -> None:
        """Hand days on and count them."""
        self.receiver.keep(dates, table, route)
        for date in dates:
            self._left.pop(date, None)
        self.progress(len(self.ask) - len(self._left), len(self.ask))


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
        ApiError, SnapshotError, StorageError: see the ways.
    """
    listed: dict[str, BulkFile] | None = None
    endpoint, rules, ask = fetching.endpoint, fetching.rules, fetching.ask
    by_range = endpoint.query == "range"
    if files and policy.worth_listing(rules, ask, way, by_range=by_range):
        listed = months_on_offer(session, endpoint, rules, ask, way)
    route = policy.choose_route(rules, ask, way, by_range=by_range, listed=listed)
    log.info(
        "%s: %d days by request, %d monthly files, about %d requests",
        *(endpoint.source, len(route.days), len(route.months), route.requests),
    )
    if listed is not None:
        by_bulk(fetching, session, [listed[month] for month in route.months], folder)
    if fetching.missing:
        by_request(fetching, session, lanes)


def by_request(fetching: Fetching, session: ApiSession, lanes: Lanes) -> None:
    """One request per day, or one for the whole range.

    Raises:
        ApiError: a request failed for good.
        SnapshotError: sessions without promised rows, or rows that are not as they should be.
    """
    endpoint = fetching.endpoint
    days = [dt.date.fromisoformat(date) for date in fetching.missing]
    if endpoint.query == "range":
        table = fetch_range(session, endpoint, days[0], days[-1], days)
        for _, month in groupby(list(fetching.missing), key=lambda date: date[:7]):
            dates = list(month)
            fetching.keep(dates, _only(table, endpoint, dates), "requests")
        return
    for day, table in fetch_dates(session, endpoint, days, lanes):
        fetching.keep([str(day)], table, "requests")


def by_bulk(
    fetching: Fetching, session: ApiSession, files: Sequence[BulkFile], folder: Path
) -> None:
    """Monthly files from the server. Days a file cannot answer for stay missing.

    Raises:
        ApiError: a file did not come.
        SnapshotError: a file is not what it should be.
    """

    def get(file: BulkFile, stop: threading.Event) -> pa.Table:
        path = folder / f"{file.period}-{file.size}.csv.gz"
        download(session, file, path, stop)
        table = read_csv(path, fetching.endpoint)
        path.unlink()
        return table

    for file, table in _a_few_at_a_time(get, files):
        _keep_file(fetching, file.key, file.period, table, _in_japan(file.last_modified), "bulk")


def by_folder(fetching: Fetching, folder: Path) -> None:
    """Bulk files that lie in a folder.

    Raises:
        SnapshotError: the folder lacks days, or a file is not what it should be.
    """
    endpoint = fetching.endpoint
    ends = [dt.date.fromisoformat(fetching.missing[at]) for at in (0, -1)]
    found = find_files(folder, endpoint, *ends)
    for period, path in found.items():
        wanted = set(fetching.missing)
        if any(
            str(first) <= date <= str(last) for first, last in [span(period)] for date in wanted
        ):
            table = read_csv(path, endpoint)
            _keep_file(fetching, path.name, period, table, fetching.rules.now, "files")
    if fetching.missing:
        shown = ", ".join(fetching.missing[:5]) + (", ..." if len(fetching.missing) > 5 else "")
        raise SnapshotError(
            f"bulk folder {folder}: {endpoint.file_stem} files have no rows for "
            f"{len(fetching.missing)} days: {shown}",
            "put the files of these days there, or use another source_route",
        )


def months_on_offer(
    session: ApiSession, endpoint: Endpoint, rules: Rules, ask: Sequence[str], way: Way
) -> dict[str, BulkFile]:
    """The monthly files the server has for the asked days of months that are over, by month.

    Raises:
        ApiError: the list did not come; where files are only one way, a refusal means none.
    """
    closed = [date for date in ask if rules.closed(date)]
    ends = [dt.date.fromisoformat(closed[at]) for at in (0, -1)]
    try:
        files = list_files(session, endpoint, *ends)
    except ApiError as error:
        if way == "bulk" or error.status not in _REFUSED:
            raise
        log.warning("%s: no bulk files (%s); by request instead", endpoint.source, error)
        return {}
    return {file.period: file for file in files if len(file.period) == len("YYYY-MM")}


def _keep_file(
    fetching: Fetching, name: str, period: str, table: pa.Table, made: str, route: str
) -> None:
    """Take the days a file answers for: those whose records were all public when it was made.

    Of a source with rows on each session, days without rows are not answered for; they are asked
    for another way, or missed.
    """
    endpoint = fetching.endpoint
    first, last = span(period)
    dates = table[endpoint.date_field]
    if table.num_rows and not (first <= pc.min(dates).as_py() <= pc.max(dates).as_py() <= last):
        raise SnapshotError(
            f"{endpoint.source}: file {name} holds rows of {pc.min(dates)} to {pc.max(dates)}",
            "it should hold those of its period only; get it again",
        )
    there = {str(date) for date in dates.unique().to_pylist()}
    answered = [
        day.date
        for day in fetching.days_of(first, last)
        if day.settled <= made
        and (day.date in there or not endpoint.promises_rows(dt.date.fromisoformat(day.date)))
    ]
    if answered:
        fetching.keep(answered, _only(table, endpoint, answered), route)


def _only(table: pa.Table, endpoint: Endpoint, dates: Sequence[str]) -> pa.Table:
    days = pa.array([dt.date.fromisoformat(date) for date in dates], pa.date32())
    return table.filter(pc.is_in(table[endpoint.date_field], value_set=days))


def _a_few_at_a_time(
    get: Callable[[BulkFile, threading.Event], pa.Table], files: Sequence[BulkFile]
) -> Iterator[tuple[BulkFile, pa.Table]]:
    """The files' tables in order, a few of them under way; a failure stops the others."""
    stop = threading.Event()
    left = iter(files)
    running: deque[tuple[BulkFile, Future[pa.Table]]] = deque()
    with ThreadPoolExecutor(_DOWNLOADS, thread_name_prefix="bulk") as pool:
        try:
            while True:
                while len(running) <= _DOWNLOADS and (file := next(left, None)) is not None:
                    running.append((file, pool.submit(get, file, stop)))
                if not running:
                    return
                file, task = running.popleft()
                yield file, task.result()
        finally:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)


def _in_japan(moment: str) -> str:
    """A moment as the list of files writes it, as ours are written."""
    return dt.datetime.fromisoformat(moment).astimezone(_JST).isoformat(timespec="seconds")


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
