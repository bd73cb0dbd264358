"""A vendor of three small sources, scripted, who counts requests and can be told to misbehave."""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import io
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pytest

from pipeline.api.catalogue.endpoints import Endpoint, endpoint_of
from pipeline.cache.snapshots import SnapshotStore, snapshot_key
from pipeline.configuration import Settings
from pipeline.operations.fetching import source_fetch
from pipeline.operations.fetching.snapshot_range import SnapshotRange
from pipeline.operations.fetching.source_fetch import fetch_snapshot
from tests.api.fakes import FakeClock, FakeServer, Reply, Request, running_server, session_to

SOURCES = ("short_ratio", "topix", "earnings_date", "margin_interest", "trading_calendar")
SECTORS = ("0050", "1050", "2050", "3050", "3100", "3150", "3200", "3250")
FIRST, LAST = dt.date(2024, 3, 1), dt.date(2024, 12, 31)
NOW = "2024-06-14T08:00:00+09:00"
Fault = Callable[[Reply], Reply]

_PATHS = {endpoint_of(source).path: endpoint_of(source) for source in SOURCES}


def days(first: dt.date, last: dt.date) -> list[dt.date]:
    return [first + dt.timedelta(days=n) for n in range((last - first).days + 1)]


def is_session(day: dt.date) -> bool:
    return day.weekday() < 5


@dataclass
class Vendor:
    """What the scripted server says.

    Attributes:
        values: number in every row of a source's day; missing ones follow from the date.
        thin: days of which only one row is sent.
        faults: what happens to the next answers, in order of arrival.
        months: monthly files on offer, for every source.
    """

    server: FakeServer
    values: dict[tuple[str, str], float] = field(default_factory=dict)
    thin: set[str] = field(default_factory=set)
    faults: list[Fault] = field(default_factory=list)
    months: tuple[str, ...] = ()
    listing: Reply | None = None

    def __post_init__(self) -> None:
        self.server.requests.clear()
        self.server.script = self.answer

    @property
    def asked(self) -> Counter[str]:
        """Requests by path and query, files aside."""
        return Counter(
            f"{request.path}?{'&'.join(f'{k}={v}' for k, v in sorted(request.query.items()))}"
            for request in self.server.requests
            if not request.path.startswith("/files/")
        )

    def answer(self, request: Request) -> Reply:
        reply = self._fault_free(request)
        return self.faults.pop(0)(reply) if self.faults else reply

    def rows(self, endpoint: Endpoint, first: dt.date, last: dt.date) -> list[dict[str, Any]]:
        return [row for day in days(first, last) for row in self._day(endpoint, day)]

    def write_files(self, folder: Path, source: str, months: Sequence[str]) -> None:
        """The monthly files of a source, as they would lie in a folder."""
        endpoint = endpoint_of(source)
        folder.mkdir(parents=True, exist_ok=True)
        for month in months:
            name = f"{endpoint.file_stem}_{month.replace('-', '')}.csv.gz"
            (folder / name).write_bytes(self._file(endpoint, month))

    def _fault_free(self, request: Request) -> Reply:
        if request.path == "/bulk/list":
            return self.listing or Reply({"data": self._list(request.query["endpoint"])})
        if request.path == "/bulk/get":
            base = self.server.url.removesuffix("/v2")
            return _marked({"url": f"{base}/v2/files/{request.query['key']}"})
        if request.path.startswith("/files/"):
            path, month = request.path.removeprefix("/files").rsplit("/", 1)
            return Reply(self._file(_PATHS[path], month.removesuffix(".csv.gz")))
        endpoint = _PATHS[request.path]
        query = {name: dt.date.fromisoformat(text) for name, text in request.query.items()}
        day = query.get("date")
        rows = self.rows(endpoint, query.get("from", day or FIRST), query.get("to", day or LAST))
        return _marked({"data": rows})

    def _list(self, path: str) -> list[dict[str, Any]]:
        return [
            {
                "Key": f"{path.strip('/')}/{month}.csv.gz",
                "LastModified": f"{NOW[:10]}T00:00:00.000000+00:00",
                "Size": len(self._file(_PATHS[path], month)),
            }
            for month in self.months
        ]

    def _file(self, endpoint: Endpoint, month: str) -> bytes:
        first = dt.date.fromisoformat(f"{month}-01")
        last = (first + dt.timedelta(days=31)).replace(day=1) - dt.timedelta(days=1)
        text = io.StringIO()
        writer = csv.DictWriter(text, [item.name for item in endpoint.fields if item.required])
        writer.writeheader()
        writer.writerows(self.rows(endpoint, first, last))
        return gzip.compress(text.getvalue().encode(), mtime=0)

    def _day(self, endpoint: Endpoint, day: dt.date) -> list[dict[str, Any]]:
        source = endpoint.source
        if source == "trading_calendar":
            return [{"Date": str(day), "HolDiv": "1" if is_session(day) else "0"}]
        if source == "earnings_date" and day.day % 4:
            return []
        if source != "earnings_date" and not is_session(day):
            return []
        value = self.values.get((source, str(day)), float(day.toordinal() % 97))
        codes = [""] if source == "topix" else list(SECTORS)
        if str(day) in self.thin:
            codes = codes[:1]
        return [_row(endpoint, str(day), code, value) for code in codes]


def _row(endpoint: Endpoint, day: str, code: str, value: float) -> dict[str, Any]:
    kinds = {"date": day, "number": value, "text": code}
    return {item.name: kinds.get(item.kind, "x") for item in endpoint.fields if item.required}


def _marked(body: dict[str, Any]) -> Reply:
    return Reply(body)


# Faults: what a bad hour makes of a good answer.


def status(code: int) -> Fault:
    return lambda _: Reply({"message": "later"}, status=code)


def cut(reply: Reply) -> Reply:
    return Reply(reply.body, cut=len(reply.payload) // 2)


def reset(reply: Reply) -> Reply:
    return Reply(reply.body, cut=0)


def garbled(reply: Reply) -> Reply:
    return Reply(reply.payload[:-2])


def changed(change: Callable[[list[dict[str, Any]]], object]) -> Fault:
    """An answer whose rows were changed."""

    def fault(reply: Reply) -> Reply:
        page = orjson.loads(reply.payload)
        if page.get("data"):
            change(page["data"])
        return Reply(page)

    return fault


wrong_type = changed(lambda rows: rows[0].update({name: True for name in rows[0]}))
vanished_field = changed(lambda rows: [row.pop(next(reversed(row))) for row in rows])
duplicated_row = changed(lambda rows: rows.append(rows[0]))
contradicting_row = changed(lambda rows: rows.append({**rows[0], next(reversed(rows[0])): "98765"}))
other_day = changed(lambda rows: rows[0].update(Date="2020-01-06", PubDate="2020-01-06"))
thinned = changed(lambda rows: rows.__delitem__(slice(1, None)))


def settings_at(root: Path, **changes: Any) -> Settings:
    """Settings as a run would have them, by request and without a rate limit."""
    fields: dict[str, Any] = {
        "data_output_dir": root,
        "plan": "premium",
        "declared_origin": "auto",
        "requests_per_minute": 0,
        "source_route": "requests",
        "bulk_folder": None,
        "source_cache_mode": "read_write",
        "source_cache_force_refresh": False,
        "source_cache_asof": None,
        "source_cache_tag": None,
        "source_cache_ttl_override_days": None,
        "index_option_cache_ttl_days": 14,
        "recheck_requests_per_day": None,
        "corrections": "new_rows",
        "index_option_parallel_concurrency": 4,
        "unavailable_sources": frozenset(),
        "compute_threads": 1,
        "columns_in_memory_mb": 1500,
        "log_format": "text",
    }
    return Settings(**(fields | changes))


@dataclass
class Desk:
    """A place to fetch from: settings, a vendor and a clock nobody waits on."""

    vendor: Vendor
    folder: Path
    monkeypatch: pytest.MonkeyPatch

    def __post_init__(self) -> None:
        self.at(NOW)
        self.monkeypatch.setattr(source_fetch, "open_session", self._session)

    def at(self, now: str) -> None:
        """Set the moment of the next runs."""
        self.monkeypatch.setenv("G5_NOW", now)

    def settings(self, **changes: Any) -> Settings:
        return settings_at(self.folder, **changes)

    def calendar(self, **changes: Any) -> None:
        settings = self.settings(**changes)
        source_fetch.keep_calendar(
            settings, source_fetch.fetch_calendar(settings, LAST.replace(day=1))
        )

    def run(
        self,
        source: str,
        start: dt.date,
        end: dt.date,
        *,
        fresh_after: str = "any",
        asof: dt.date | None = None,
        **changes: Any,
    ) -> dict[str, Any]:
        """One fetch; the snapshot it made."""
        settings = self.settings(**changes)
        store = SnapshotStore(self.folder, settings.origin)
        if store.newest("trading_calendar") is None:
            self.calendar(**changes)
        self.vendor.server.requests.clear()
        wanted = SnapshotRange(start, end, asof, None)
        fetch_snapshot(settings, source, wanted, fresh_after, lambda _done, _total: None)
        return dict(store.get(source, snapshot_key(source, start, end, asof, None)))

    def store(self, **changes: Any) -> SnapshotStore:
        return SnapshotStore(self.folder, self.settings(**changes).origin)

    def _session(self, settings: Settings, *, noted: bool = True) -> Any:
        return session_to(
            self.vendor.server.url,
            clock=FakeClock(),
            pool_size=settings.index_option_parallel_concurrency,
        )


@contextmanager
def vendor_running() -> Iterator[FakeServer]:
    with running_server() as server:
        yield server
