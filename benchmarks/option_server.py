"""A simulated exchange in a process of its own, with all pages of index options rendered.

    python benchmarks/option_server.py '{"start": "2024-01-04", "end": "2024-03-29"}'

Run as a child by ``serving``; it prints its URL and ends with its standard input.
"""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import requests

from pipeline.api.bulk import list_files
from pipeline.api.catalogue.endpoints import endpoint_of
from pipeline.api.day_requests import fetch_range
from pipeline.api.http.client import ApiSession
from pipeline.api.http.rate_limit import RateLimiter
from pipeline.market.calendar.sessions import TradingCalendar
from pipeline.simulator import AppOptions, LimitOptions, Market, MarketSpec, SimulatorServer

KEY = "simulator"
OPTIONS = endpoint_of("index_option")
_CACHE_BYTES = 4_000_000_000


@contextmanager
def serving(
    start: dt.date,
    end: dt.date,
    *,
    stocks: int,
    latency_ms: float = 0.0,
    limited: bool = False,
    bucket: int | None = None,
) -> Iterator[str]:
    """The base URL of a server that enforces the Premium limit, if ``limited``, or none.

    The limit is a sliding minute, or a ``bucket`` of so many requests refilled at its rate.
    """
    options = {
        "start": start.isoformat(),
        "end": end.isoformat(),
        "stocks": stocks,
        "latency_ms": latency_ms,
        "limited": limited,
        "bucket": bucket,
    }
    command = [sys.executable, str(Path(__file__).absolute()), json.dumps(options)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        if not url:
            raise SystemExit("the simulator did not start")
        yield url  # leaving the block closes its standard input


def connected(url: str, threads: int, limits: dict[str, int] | None = None) -> ApiSession:
    """A session that keeps to ``limits``, if there are any."""
    limiter = RateLimiter(limits or {})
    return ApiSession(url, KEY, origin="simulator", limiter=limiter, pool_size=threads)


def sessions_of(url: str, start: dt.date, end: dt.date) -> list[dt.date]:
    """The trading days the server knows."""
    with connected(url, 1) as session:
        calendar = fetch_range(session, endpoint_of("trading_calendar"))
    between = TradingCalendar.from_table(calendar).between(np.datetime64(start), np.datetime64(end))
    days: list[dt.date] = between.tolist()
    return days


def bodies(url: str, days: list[dt.date], threads: int, *, keep_every: int = 1) -> list[bytes]:
    """Packed bodies as they travel, of every ``keep_every``-th day; all of them are rendered."""
    with requests.Session() as http, ThreadPoolExecutor(threads) as pool:
        http.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=threads))

        def get(place: int) -> bytes:
            with http.get(
                url + OPTIONS.path,
                params=OPTIONS.day_query(days[place]),
                headers={"x-api-key": KEY, "Accept-Encoding": "gzip"},
                stream=True,
            ) as answer:
                body: bytes = answer.raw.read(decode_content=False)
            return body if place % keep_every == 0 else b""

        return [body for body in pool.map(get, range(len(days))) if body]


def render_files(url: str, start: dt.date, end: dt.date) -> None:
    """Make every bulk file; a list tells sizes, so it needs them all."""
    with connected(url, 1) as session:
        session.timeouts = type(session.timeouts)(read_s=600.0, total_s=600.0)
        list_files(session, OPTIONS, start, end)


def status_counts(url: str) -> dict[str, int]:
    """Answers of the server so far, by status."""
    stats = requests.get(url.removesuffix("/v2") + "/_sim/stats", timeout=60).json()
    counts: dict[str, int] = stats["statuses"]
    return counts


def _main(text: str) -> None:
    given: dict[str, Any] = json.loads(text)
    start, end = (dt.date.fromisoformat(given[name]) for name in ("start", "end"))
    bucket = given["bucket"]
    limits = LimitOptions(window="sliding" if bucket is None else "bucket", burst=bucket)
    options = AppOptions(
        # Late enough for every month to be one file.
        now=dt.datetime.combine(end, dt.time(8), dt.UTC) + dt.timedelta(days=40),
        latency_ms=given["latency_ms"],
        cache_bytes=_CACHE_BYTES,
        limits=limits if given["limited"] else None,
    )
    market = Market(MarketSpec(seed=7, stocks=given["stocks"], start=start, end=end))
    server = SimulatorServer(market, options)
    print(server.base_url, flush=True)
    threading.Thread(target=lambda: (sys.stdin.read(), server.stop()), daemon=True).start()
    server.run()


if __name__ == "__main__":
    _main(sys.argv[1])
