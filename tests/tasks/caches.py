"""Snapshot caches filled straight from the tables of a synthetic market: no server, no request."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from luigi.configuration import get_config

from pipeline import configuration as config
from pipeline.api.catalogue.endpoints import endpoint_of
from pipeline.cache.fetch_policy import ANY_AGE
from pipeline.cache.parts import Day
from pipeline.cache.snapshots import SnapshotStore
from pipeline.dataset.chunk_store import ChunkStore
from pipeline.operations.fetching.snapshot_range import SnapshotRange
from pipeline.operations.fetching.source_fetch import (
    fetch_snapshot,
    keep_calendar,
    range_of,
    sources_of,
)
from pipeline.tasks.build_chunk import BuildChunk
from tests.markets import Tables
from tests.tasks.commands import NOBODY

ORIGIN = "simulator"


def fill(root: Path, tables: Tables, first: dt.date, last: dt.date, arrived: str) -> None:
    """Every day of every source, and the calendar, as if it had come at one moment.

    The moment of the process, G5_NOW, is that of the calendar.
    """
    days = [first + dt.timedelta(days=n) for n in range((last - first).days + 1)]
    for source, table in tables.sources.items():
        put(root, source, table, days, arrived)
    keep_calendar(config.settings(), tables.calendar)


def put(root: Path, source: str, table: pa.Table, days: Iterable[dt.date], arrived: str) -> None:
    """One part that answers for these days."""
    field = endpoint_of(source).date_field
    counts = {e["values"]: e["counts"] for e in pc.value_counts(table[field]).to_pylist()}
    held = [Day(str(day), counts.get(day, 0), arrived, arrived) for day in days]
    inside = pc.is_in(table[field], value_set=pa.array(days, pa.date32()))
    month = held[-1].date[:7]  # a name; what it answers for are its days
    SnapshotStore(root, ORIGIN).add(source, month, held, table.filter(inside), fetched_at=arrived)


@dataclass(frozen=True)
class Builder:
    """Builds a chunk in this process, from what the cache has and had at the moment asked for.

    Attributes:
        warm: first day of the daily sources.
        first: first session of the chunk.
    """

    root: Path
    chunk: str
    warm: dt.date
    first: dt.date
    patch: pytest.MonkeyPatch

    @property
    def chunks(self) -> ChunkStore:
        return ChunkStore(self.root)

    def metadata(self) -> dict[str, Any]:
        return self.chunks.metadata(self.chunk)

    def content(self) -> bytes:
        return self.chunks.parquet_path(self.chunk).read_bytes()

    def build(self, last: dt.date, now: str) -> None:
        """Snapshots up to a session, and the chunk."""
        config.override({"data_output_dir": str(self.root)})
        self.patch.setenv("G5_NOW", now)
        settings, wanted = config.settings(), SnapshotRange(self.warm, last, None, None)
        for endpoint in sources_of(settings):
            own = range_of(endpoint, wanted)
            fetch_snapshot(settings, endpoint.source, own, ANY_AGE, lambda _done, _total: None)
        BuildChunk(chunk=self.chunk, first=self.first, last=last, snapshot=str(wanted)).run()


@contextmanager
def reading_only(root: Path, now: str) -> Iterator[pytest.MonkeyPatch]:
    """Settings of this process for a while: nothing is asked of anybody."""
    luigis = get_config()  # type: ignore[no-untyped-call]
    before = dict(luigis.items("g5", raw=True)) if luigis.has_section("g5") else {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JQUANTS_API_BASE", NOBODY)
        patch.setenv("G5_NOW", now)
        for handed_down in ("G5_SETTINGS", "G5_RUN_ID"):
            patch.setenv(handed_down, "")
            patch.delenv(handed_down)
        config.override({"data_output_dir": str(root), "source_cache_mode": "read"})
        yield patch
    for name in luigis.options("g5"):
        luigis.remove_option("g5", name)
    for name, value in before.items():
        luigis.set("g5", name, value)
