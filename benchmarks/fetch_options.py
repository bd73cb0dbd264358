"""590 trading days of index options: as fast as the network, as the limit, as the files allow.

    python benchmarks/fetch_options.py
    python benchmarks/fetch_options.py --days 60    # quickly, and with less to say

The server is the simulator in a process of its own. It has rendered and packed the pages and files
before they are timed, so that it takes little of the two cores: its share is printed.

(a) No rate limit, 300 ms latency: requests through the thread pool, until the last day is there as
    a checked table. The ideal is the larger of requests / threads x latency, and packed bytes /
    the rate at which one core unpacks, decodes and checks them, measured just before. Best of
    three; with each month written to disk as well, for information. 4, 8 and 30 threads run on
    fewer days; their times are scaled to all of them.
(b) The server enforces the Premium limit of 500 requests a minute, by the true clock: once as a
    sliding minute, once as a bucket of 30 requests that is refilled at the plan's rate. What the
    limit itself takes: the requests at 500 a minute, evenly. (All at once, as a sliding minute
    would allow, a bucket refuses, and nobody knows which of them the vendor has.) The pages are
    smaller here, since only the pace is measured.
(c) The same days as in (a) from monthly bulk files, some at a time, read and written.
"""

from __future__ import annotations

import datetime as dt
import gzip
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import common
import option_server
import psutil
import pyarrow as pa
from option_server import OPTIONS

from pipeline.api.bulk import BulkFile, download, list_files, read_csv
from pipeline.api.catalogue.plans import budgets
from pipeline.api.day_requests import fetch_dates
from pipeline.api.decode.page_decoder import Decoder
from pipeline.api.decode.row_checks import days_of, ordered
from pipeline.cache.parts import Day
from pipeline.cache.snapshots import SnapshotStore

DAYS = 590
THREADS = 75
LATENCY_S = 0.3
STOCKS = 4000  # strikes are as dense as on the real exchange
START, END = dt.date(2022, 1, 4), dt.date(2024, 6, 28)
#: Threads: days measured, and what the predecessor took for all 590.
SLOWER = {4: (60, "22 min"), 8: (118, "11 min"), 30: (295, "4 min")}
PREDECESSOR_S = 18.0
_FILES_AT_ONCE = 6
_SAMPLE_EVERY = 15
_FEW_STOCKS = 20
_MINUTE_S = 60.0
_BUCKET = 30  # requests; a user was refused after about 30 in quick succession
_ROUNDS = 3
_NOW = "2024-08-05T08:00:00+09:00"


@dataclass(frozen=True)
class Fetched:
    """What a fetch took and got.

    Attributes:
        seconds: from the first request to the last part on disk.
        requests: sent, repetitions included.
        rows: in the parts.
        server_s: processor time of the server meanwhile.
    """

    seconds: float
    requests: int
    rows: int
    server_s: float = 0.0


def main() -> int:
    parser = common.parser("Fetch 590 trading days of index options by all routes.")
    parser.add_argument("--days", type=int, default=DAYS, help="trading days (default %(default)s)")
    args = parser.parse_args()
    with common.work_folder(args.work) as work:
        by_pool, ideal_s, by_files = _unlimited(work, args.days)
    limited, limit_s, refused = _limited(args.days)
    in_bucket, _, refused_in_bucket = _limited(args.days, _BUCKET)
    years = args.days / 245
    print(f"(c) {by_files.requests} requests for {years:.1f} years, {by_files.seconds:.1f} s")
    met = [
        common.ratio("options_75_threads_s", by_pool.seconds, "<=", PREDECESSOR_S),
        common.ratio("options_75_threads_vs_ideal", by_pool.seconds / ideal_s, "<=", 3.0),
        common.ratio("options_premium_vs_limit", limited.seconds / limit_s, "<=", 1.05),
        common.ratio("options_premium_429s", refused, "<=", 0),
        common.ratio("options_bucket_vs_limit", in_bucket.seconds / limit_s, "<=", 1.05),
        common.ratio("options_bucket_429s", refused_in_bucket, "<=", 0),
        common.ratio("options_bulk_requests_per_year", by_files.requests / years, "<=", 20),
        common.ratio("options_bulk_speed_up", limited.seconds / by_files.seconds, ">=", 10),
    ]
    return 0 if all(met) else 1


def _unlimited(work: Path, number: int) -> tuple[Fetched, float, Fetched]:
    """(a) and (c): by 75 threads, the ideal in seconds, and by files."""
    serving = option_server.serving(START, END, stocks=STOCKS, latency_ms=1e3 * LATENCY_S)
    with serving as url:
        days = option_server.sessions_of(url, START, END)[:number]
        print(f"rendering {len(days)} days and their files ...", flush=True)
        sample = option_server.bodies(url, days, 8, keep_every=_SAMPLE_EVERY)
        option_server.render_files(url, START, days[-1])
        for threads, (most, before) in SLOWER.items():
            count = min(most, len(days))
            part = _by_pool(url, days[:count], threads)
            scaled = part.seconds * len(days) / count
            print(f"(a) {threads} threads: {scaled:.1f} s ({count} days scaled); before: {before}")
        rounds = [_round(url, days, sample) for _ in range(_ROUNDS)]
        found, ideal_s = min(rounds, key=lambda pair: pair[0].seconds / pair[1])
        written = _by_pool(url, days, THREADS, work=work)
        text = statistics.mean(len(gzip.decompress(body)) for body in sample) * len(days)
        print(
            f"(a) {THREADS} threads: {found.seconds:.1f} s, {found.rows:,} rows, "
            f"{text / 1e6:,.0f} MB of JSON; ideal {ideal_s:.1f} s; before: {PREDECESSOR_S:g} s; "
            f"to disk {written.seconds:.1f} s; the server took {found.server_s:.1f} s of a core"
        )
        by_files = _by_files(url, START, days[-1], work)
    if by_files.rows < found.rows:
        raise SystemExit(f"the files have {by_files.rows} rows, the requests {found.rows}")
    return found, ideal_s, by_files


def _limited(number: int, bucket: int | None = None) -> tuple[Fetched, float, int]:
    """(b): what it took, what the limit itself takes, and refusals the server counted."""
    serving = option_server.serving(
        START,
        END,
        stocks=_FEW_STOCKS,
        latency_ms=1e3 * LATENCY_S,
        limited=True,
        bucket=bucket,
    )
    with serving as url:
        days = option_server.sessions_of(url, START, END)[:number]
        option_server.bodies(url, days[:1], 1)  # the market is made now
        limits = budgets("premium")
        found = _by_pool(url, days, THREADS, limits=limits)
        refused = option_server.status_counts(url).get("429", 0)
    limit_s = len(days) / limits["plan"] * _MINUTE_S
    kind = "sliding minute" if bucket is None else f"bucket of {bucket}"
    print(
        f"(b) Premium limit, {kind}: {found.requests} requests in {found.seconds:.1f} s, "
        f"the limit itself {limit_s:.1f} s; {refused} refusals",
        flush=True,
    )
    return found, limit_s, refused


def _round(url: str, days: Sequence[dt.date], sample: Sequence[bytes]) -> tuple[Fetched, float]:
    """A fetch by 75 threads, and the ideal in seconds as it was just before."""
    packed = statistics.mean(map(len, sample)) * len(days)
    rate = statistics.median(_decode_rate(sample) for _ in range(5))
    ideal_s = max(len(days) / THREADS * LATENCY_S, packed / rate)
    return _by_pool(url, days, THREADS), ideal_s


def _by_pool(
    url: str,
    days: Sequence[dt.date],
    threads: int,
    *,
    limits: dict[str, int] | None = None,
    work: Path | None = None,
) -> Fetched:
    """By requests; into files when there is a folder for them."""
    with option_server.connected(url, threads, limits) as session:
        tables = fetch_dates(session, OPTIONS, days, threads)

        def run() -> int:
            if work is None:
                return sum(table.num_rows for _, table in tables)
            return _write(_months(tables, days), work)

        return _timed(run, lambda: session.requests_sent)


def _by_files(url: str, first: dt.date, last: dt.date, work: Path) -> Fetched:
    with (
        option_server.connected(url, _FILES_AT_ONCE) as session,
        ThreadPoolExecutor(_FILES_AT_ONCE) as pool,
        tempfile.TemporaryDirectory(dir=work) as folder,
    ):

        def read(file: BulkFile) -> pa.Table:
            path = Path(folder) / f"{file.period}.csv.gz"
            download(session, file, path)
            return read_csv(path, OPTIONS)

        def run() -> int:
            return _write(pool.map(read, list_files(session, OPTIONS, first, last)), work)

        return _timed(run, lambda: session.requests_sent)


def _timed(run: Callable[[], int], requests: Callable[[], int]) -> Fetched:
    """``run`` gives the number of rows."""
    servers = psutil.Process().children()
    before = sum(sum(server.cpu_times()[:2]) for server in servers)
    began = time.perf_counter()
    rows = run()
    seconds = time.perf_counter() - began
    after = sum(sum(server.cpu_times()[:2]) for server in servers)
    return Fetched(seconds, requests(), rows, after - before)


def _months(
    tables: Iterable[tuple[dt.date, pa.Table]], days: Sequence[dt.date]
) -> Iterator[pa.Table]:
    """The rows of each month as soon as its last day is there."""
    open_days = [f"{day:%Y-%m}" for day in days]
    held: dict[str, list[pa.Table]] = {}
    for day, table in tables:
        month = f"{day:%Y-%m}"
        held.setdefault(month, []).append(table)
        if len(held[month]) == open_days.count(month):
            yield ordered(pa.concat_tables(held.pop(month)), OPTIONS)


def _write(months: Iterable[pa.Table], work: Path) -> int:
    """Rows written."""
    rows = 0
    with tempfile.TemporaryDirectory(dir=work) as folder:
        store = SnapshotStore(Path(folder), "simulator")
        for table in months:
            days = [
                Day(date=str(day), rows=part.num_rows, arrived=_NOW, checked=_NOW)
                for day, part in days_of(table, OPTIONS).items()
            ]
            store.add(OPTIONS.source, days[0].date[:7], days, table, fetched_at=_NOW)
            rows += table.num_rows
    return rows


def _decode_rate(sample: Sequence[bytes]) -> float:
    """Packed bytes a second that one thread turns into checked tables."""
    decoder = Decoder(OPTIONS)
    began = time.perf_counter()
    for body in sample:
        page = decoder.parse(gzip.decompress(body))
        ordered(decoder.table(page["data"], {}), OPTIONS)
    return sum(map(len, sample)) / (time.perf_counter() - began)


if __name__ == "__main__":
    sys.exit(main())
