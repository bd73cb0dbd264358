"""Periods of a source through a thread pool, one request per day, or in one ranged request.

Results never depend on the order in which pages or threads finish: each day's rows are sorted by
key, and days are put together by date. The first failure that stands cancels everything else.
"""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, TypeAlias

import pyarrow as pa

from pipeline.api.decode import Decoder
from pipeline.api.endpoints import Endpoint
from pipeline.api.lanes import Lanes
from pipeline.api.paging import pages
from pipeline.api.rows import ordered, require_sessions, require_within
from pipeline.api.session import ApiSession
from pipeline.errors import BadResponse, SnapshotError, UsageError
from pipeline.quarantine import concatenated


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


OnProgress: TypeAlias = Callable[[Progress], None]
DayTable: TypeAlias = tuple[dt.date, pa.Table]
_Within: TypeAlias = tuple[dt.date | None, dt.date | None]


def fetch_dates(
    session: ApiSession,
    endpoint: Endpoint,
    dates: Iterable[dt.date],
    concurrency: int | Lanes,
    on_progress: OnProgress | None = None,
) -> Generator[DayTable]:
    """The rows of each day, as soon as they are complete.

    Args:
        session: its pool must hold ``concurrency`` connections.
        endpoint: a source asked by day.
        dates: trading days (calendar days for sources with ``query="day"``) with published data.
        concurrency: number of threads; as lanes it may change meanwhile.
        on_progress: called in the caller's thread after each day.

    Yields:
        Days and their rows, sorted by key, in the order of completion; nothing is kept. A day
        without rows comes as an empty table unless the source promises rows for it.

    Raises:
        ApiError: a request failed for good; the others are cancelled.
        BadResponse: an answer kept contradicting the endpoint table.
        SnapshotError: duplicate keys; or, after the last day, sessions without promised rows.
        UsageError: more threads than pooled connections, or a source that is asked by range.
    """
    lanes = concurrency if isinstance(concurrency, Lanes) else Lanes(concurrency)
    _check_use(session, endpoint, lanes.number)
    wanted = sorted(set(dates))
    found: set[dt.date] = set()
    rows = 0
    sent_before = session.requests_sent
    with closing(_completed(session, endpoint, wanted, lanes)) as completed:
        for done, (day, table) in enumerate(completed, 1):
            rows += table.num_rows
            if on_progress is not None:
                sent = session.requests_sent - sent_before
                on_progress(Progress(done, len(wanted), rows, sent))
            if table.num_rows:
                found.add(day)
            if table.num_rows or not endpoint.promises_rows(day):
                yield day, table
    require_sessions(found, wanted, endpoint)


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
) -> pa.Table:
    """The rows of [first, last], both ends included, in one request, by day and key.

    Args:
        endpoint: a source asked by range.
        first, last: None leaves that end to the server.
        sessions: trading days that must have rows, if the source promises them.

    Raises:
        ApiError, BadResponse, SnapshotError, UsageError: see ``fetch_dates``.
    """
    if endpoint.query != "range":
        raise UsageError(f"source {endpoint.source}: asked day by day, not by range")
    query = endpoint.range_query(first, last)
    table = _read(session, Decoder(endpoint), endpoint, query, (first, last), None)
    found: list[Any] = table[endpoint.date_field].unique().to_pylist()
    require_sessions(found, sessions, endpoint)
    return table


def _check_use(session: ApiSession, endpoint: Endpoint, concurrency: int) -> None:
    if endpoint.query == "range":
        raise UsageError(f"source {endpoint.source}: asked by range, not day by day")
    if not 1 <= concurrency <= session.pool_size:
        raise UsageError(
            f"concurrency {concurrency}: expected 1 to {session.pool_size}, the size of the pool"
        )


def _completed(
    session: ApiSession, endpoint: Endpoint, days: Sequence[dt.date], lanes: Lanes
) -> Generator[DayTable]:
    """Days and their tables in the order of completion.

    At most twice as many days as lanes are under way or waiting for the caller, so that a slow
    caller holds back the fetch and not the memory.
    """
    decoder = Decoder(endpoint)
    left = iter(days)
    running: dict[Future[pa.Table], dt.date] = {}
    finished: SimpleQueue[Future[pa.Table]] = SimpleQueue()
    with _threads(session.pool_size) as (pool, stop):

        def read(query: Mapping[str, str], within: _Within) -> pa.Table:
            with lanes.one():
                return _read(session, decoder, endpoint, query, within, stop)

        def submit() -> None:
            while len(running) < 2 * lanes.number and (day := next(left, None)) is not None:
                task = pool.submit(read, endpoint.day_query(day), (day, day))
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
