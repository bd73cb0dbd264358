"""Periods of a source through a thread pool, one request per day, or in one ranged request.

Results never depend on the order in which pages or threads finish: each day's rows are sorted by
key, and days are put together by date. The first failure that stands cancels everything else.

Two refusals (HTTP 400) are answers: days outside the window that the message names are left out,
and a day on which the exchange was closed is one without rows.
"""

from __future__ import annotations

import datetime as dt
import logging
import threading
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, TypeAlias

import pyarrow as pa

from pipeline.api.catalogue.endpoints import Endpoint
from pipeline.api.decode.page_decoder import Decoder
from pipeline.api.decode.row_checks import ordered, require_sessions, require_within
from pipeline.api.http.client import ApiSession
from pipeline.api.http.concurrency import Lanes
from pipeline.api.http.pagination import pages
from pipeline.api.http.window_message import Window, says_closed, window_in
from pipeline.errors import ApiError, BadResponse, SnapshotError, UsageError
from pipeline.quarantine import concatenated

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Progress:
    """How far a fetch has come.

    Attributes:
        done, expected: days.
        rows: rows received.
        requests: requests sent, pages and repetitions included.
    """

    done: int
    expected: int
    rows: int
    requests: int


class Readable:
    """The days the account may read, as far as the server has said; shared by all threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._window = Window()

    @property
    def window(self) -> Window:
        """Without ends until the server has named one."""
        return self._window

    def holds(self, day: dt.date) -> bool:
        """False for a day that the server has said to be outside."""
        return self._window.holds(day)

    def learn(self, error: ApiError) -> bool:
        """True when a refusal names a window, which counts from now on; logged once."""
        found = window_in(error.server_message) if error.status == 400 else None
        if found is None:
            return False
        with self._lock:
            if found != self._window:
                self._window = found
                _log.warning(
                    "GET %s: the account reads %s; days outside are left out", error.endpoint, found
                )
        return True


OnProgress: TypeAlias = Callable[[Progress], None]
DayTable: TypeAlias = tuple[dt.date, pa.Table]
_Within: TypeAlias = tuple[dt.date | None, dt.date | None]


def fetch_dates(
    session: ApiSession,
    endpoint: Endpoint,
    dates: Iterable[dt.date],
    concurrency: int | Lanes,
    on_progress: OnProgress | None = None,
    *,
    closed: Collection[dt.date] = (),
    readable: Readable | None = None,
) -> Generator[DayTable]:
    """The rows of each day, as soon as they are complete.

    Args:
        session: its pool must hold ``concurrency`` connections.
        endpoint: a source asked by day.
        dates: trading days (calendar days for sources with ``query="day"``) with published data.
        concurrency: number of threads; as lanes it may change meanwhile.
        on_progress: called in the caller's thread after each day.
        closed: those of ``dates`` on which the exchange was closed: a refusal (HTTP 400) means
            that they have no rows.
        readable: what is known of the account's window; learns from the server.

    Yields:
        Days and their rows, sorted by key, in the order of completion; nothing is kept. A day
        without rows comes as an empty table unless the source promises rows for it. Days outside
        the account's window do not come: ``readable`` tells which they are.

    Raises:
        ApiError: a request failed for good; the others are cancelled.
        BadResponse: an answer kept contradicting the endpoint table.
        SnapshotError: duplicate keys; or, after the last day, sessions without promised rows.
        UsageError: more threads than pooled connections, or a source that is asked by range.
    """
    lanes = concurrency if isinstance(concurrency, Lanes) else Lanes(concurrency)
    _check_use(session, endpoint, lanes.number)
    readable = readable or Readable()
    wanted = sorted(set(dates))
    found: set[dt.date] = set()
    rows = 0
    sent_before = session.requests_sent
    answers = _Answers(session, endpoint, frozenset(closed), readable)
    with closing(_completed(session, answers, wanted, lanes)) as completed:
        for done, (day, table) in enumerate(completed, 1):
            rows += 0 if table is None else table.num_rows
            if on_progress is not None:
                sent = session.requests_sent - sent_before
                on_progress(Progress(done, len(wanted), rows, sent))
            if table is None:
                continue
            if table.num_rows:
                found.add(day)
            if table.num_rows or not endpoint.promises_rows(day):
                yield day, table
    require_sessions(found, [day for day in wanted if readable.holds(day)], endpoint)


def collect_dates(
    session: ApiSession,
    endpoint: Endpoint,
    dates: Iterable[dt.date],
    concurrency: int,
    on_progress: OnProgress | None = None,
) -> pa.Table:
    """The rows of all days in one table, by day and key. See ``fetch_dates``."""
    tables = dict(fetch_dates(session, endpoint, dates, concurrency, on_progress))
    parts = [tables[day] for day in sorted(tables)]
    return concatenated(parts) if parts else endpoint.schema.empty_table()


def fetch_range(
    session: ApiSession,
    endpoint: Endpoint,
    first: dt.date | None = None,
    last: dt.date | None = None,
    sessions: Sequence[dt.date] = (),
    *,
    readable: Readable | None = None,
) -> pa.Table:
    """The rows of [first, last], both ends included, in one request, by day and key.

    Where the server names the account's window in a refusal, the range is cut there and asked for
    once more.

    Args:
        endpoint: a source asked by range.
        first, last: None leaves that end to the server.
        sessions: trading days that must have rows, if the source promises them and the account
            may read them.
        readable: what is known of the account's window; learns from the server.

    Raises:
        ApiError, BadResponse, SnapshotError, UsageError: see ``fetch_dates``.
    """
    if endpoint.query != "range":
        raise UsageError(f"source {endpoint.source}: asked day by day, not by range")
    readable = readable or Readable()
    asked = readable.window.cut(first, last)
    if asked.is_empty:
        return endpoint.schema.empty_table()
    decoder = Decoder(endpoint)
    try:
        table = _range(session, decoder, endpoint, asked)
    except ApiError as error:
        if not readable.learn(error):
            raise
        cut = readable.window.cut(first, last)
        if cut == asked:
            raise
        table = (
            endpoint.schema.empty_table()
            if cut.is_empty
            else _range(session, decoder, endpoint, cut)
        )
    found: list[Any] = table[endpoint.date_field].unique().to_pylist()
    require_sessions(found, [day for day in sessions if readable.holds(day)], endpoint)
    return table


def _range(session: ApiSession, decoder: Decoder, endpoint: Endpoint, asked: Window) -> pa.Table:
    query = endpoint.range_query(asked.first, asked.last)
    return _read(session, decoder, endpoint, query, (asked.first, asked.last), None)


def _check_use(session: ApiSession, endpoint: Endpoint, concurrency: int) -> None:
    if endpoint.query == "range":
        raise UsageError(f"source {endpoint.source}: asked by range, not day by day")
    if not 1 <= concurrency <= session.pool_size:
        raise UsageError(
            f"concurrency {concurrency}: expected 1 to {session.pool_size}, the size of the pool"
        )


class _Answers:
    """What the server says about one day after another."""

    def __init__(
        self,
        session: ApiSession,
        endpoint: Endpoint,
        closed: Collection[dt.date],
        readable: Readable,
    ) -> None:
        self._session = session
        self._endpoint = endpoint
        self._closed = closed
        self._readable = readable
        self._decoder = Decoder(endpoint)
        self._noted = threading.Event()

    def of(self, day: dt.date, lanes: Lanes, stop: threading.Event) -> pa.Table | None:
        """The rows of a day; None when the account may not read it."""
        if not self._readable.holds(day):
            return None
        query = self._endpoint.day_query(day)
        with lanes.one():
            try:
                return _read(self._session, self._decoder, self._endpoint, query, (day, day), stop)
            except ApiError as error:
                return self._refused(day, error)

    def _refused(self, day: dt.date, error: ApiError) -> pa.Table | None:
        """What a refusal says about a day, if it is an answer.

        Raises:
            ApiError: ``error``; it is none.
        """
        if error.status != 400:
            raise error
        if self._readable.learn(error):
            if self._readable.holds(day):
                raise error  # it contradicts itself
            return None
        # A session that must have rows is never taken for one without. One that may have none
        # could as well have been answered with an empty list, so the server's word counts.
        open_after_all = day not in self._closed and (
            self._endpoint.promises_rows(day) or not says_closed(error.server_message)
        )
        if open_after_all:
            raise error
        if not self._noted.is_set():
            self._noted.set()
            _log.info(
                "%s: HTTP 400 for %s (%s): a day without rows, like others of its kind",
                *(self._endpoint.source, day, error.server_message),
            )
        return self._endpoint.schema.empty_table()


def _completed(
    session: ApiSession, answers: _Answers, days: Sequence[dt.date], lanes: Lanes
) -> Generator[tuple[dt.date, pa.Table | None]]:
    """Days and their tables in the order of completion.

    At most twice as many days as lanes are under way or waiting for the caller, so that a slow
    caller holds back the fetch and not the memory.
    """
    left = iter(days)
    running: dict[Future[pa.Table | None], dt.date] = {}
    finished: SimpleQueue[Future[pa.Table | None]] = SimpleQueue()
    with _threads(session.pool_size) as (pool, stop):

        def submit() -> None:
            while len(running) < 2 * lanes.number and (day := next(left, None)) is not None:
                task = pool.submit(answers.of, day, lanes, stop)
                running[task] = day
                task.add_done_callback(finished.put)

        submit()
        while running:
            task = finished.get()
            yield running.pop(task), task.result()
            submit()


@contextmanager
def _threads(most: int) -> Iterator[tuple[ThreadPoolExecutor, threading.Event]]:
    """A pool whose unfinished work is cancelled when the block ends, for whatever reason."""
    stop = threading.Event()
    pool = ThreadPoolExecutor(most, thread_name_prefix="fetch")
    try:
        yield pool, stop
    finally:
        stop.set()
        pool.shutdown(wait=True, cancel_futures=True)


def _read(
    session: ApiSession,
    decoder: Decoder,
    endpoint: Endpoint,
    query: Mapping[str, str],
    within: _Within,
    stop: threading.Event | None,
) -> pa.Table:
    """All pages of one request, checked and sorted; read anew when they contradict themselves."""
    for reading in range(1, session.policy.reads + 1):
        try:
            tables = [
                decoder.table(rows, query)
                for rows in pages(session, endpoint, query, stop, decoder.parse)
            ]
            table = ordered(concatenated(tables), endpoint)
            require_within(table, endpoint, *within, query)
        except (BadResponse, SnapshotError) as error:
            last = error
        else:
            return table
        if reading < session.policy.reads:
            session.clock.wait(session.policy.pause_s(reading, session.rng), stop)
    raise last
