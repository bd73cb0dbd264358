"""BuildChunk: the rows of one period, from snapshots to a committed chunk.

1. Read the snapshots over the chunk's sessions and the warm-up in front of them, and drop what
   was not public at the decision time of the last session.
2. Assemble arrays (``market.assemble``), compute the base columns (``features.matrix``).
3. Month by month: add the transforms and write a row group.
4. Commit: Parquet, metadata, then status.
"""

from __future__ import annotations

import datetime as dt
import logging
import time
from itertools import pairwise

import luigi
import numpy as np
import pyarrow as pa

from pipeline.api.endpoints import endpoint_of
from pipeline.errors import MissingData
from pipeline.features import catalog, matrix
from pipeline.features.transforms import HISTORY
from pipeline.market.asof import decision_time, visible
from pipeline.market.assemble import assemble
from pipeline.market.data import Market
from pipeline.market.periods import Period
from pipeline.market.sessions import DateArray, TradingCalendar
from pipeline.storage.chunks import BuildOrder, ChunkStore, Input
from pipeline.storage.parquet import Layout
from pipeline.storage.snapshots import SnapshotStore, snapshot_key
from pipeline.tasks import config, logs, planning
from pipeline.tasks.config import Settings
from pipeline.tasks.fetching import load_calendar, sources_of, unavailable
from pipeline.tasks.kernels import compiled_once
from pipeline.tasks.parameters import Day, Switch
from pipeline.tasks.plan import SnapshotRange
from pipeline.tasks.progress import Reporter
from pipeline.tasks.snapshots import FetchSource
from pipeline.version import code_version

log = logging.getLogger(__name__)

_COLUMNS = {
    "daily_bars": ("Date", "Code", "O", "H", "L", "C", "Vo", "Va", "AdjFactor"),
    "listed": ("Date", "Code", "Mkt", "S17", "S33", "ScaleCat", "Mrgn"),
    "index_option": (
        "Date", "Strike", "PCDiv", "SQD", "IV", "IR", "Settle", "OI", "Vo", "Va", "UnderPx",
        "EmMrgnTrgDiv",
    ),
}  # fmt: skip


class BuildChunk(luigi.Task):
    """``chunks/<chunk>/``: ml_dataset.parquet, metadata.json, and status.json, which commits.

    Complete when the chunk covers [first, last], has the origin of the run and answers the
    latest rebuild request. The snapshots it would be built from do not matter for that.
    """

    chunk: luigi.Parameter[str] = luigi.Parameter(description="chunk id, such as 2020Q1")
    first: luigi.Parameter[dt.date] = Day(description="first session")
    last: luigi.Parameter[dt.date] = Day(description="last session")
    snapshot: luigi.Parameter[str] = luigi.Parameter(description="range of the sources")
    refresh_listed: luigi.Parameter[bool] = Switch(default=False)

    @property
    def priority(self) -> int:  # type: ignore[override]  # Luigi takes a property here
        """The newest chunk first: it is what people wait for."""
        return Period.parse(self.chunk).first_month - 2000 * 12

    def requires(self) -> list[FetchSource]:
        settings = config.settings()
        return [
            FetchSource(
                source=endpoint.source,
                snapshot=self.snapshot,
                fresh_after=planning.fresh_after(
                    settings, endpoint, refresh_listed=self.refresh_listed
                ),
            )
            for endpoint in sources_of(settings.plan)
        ]

    def complete(self) -> bool:
        with planning.reported():
            planning.settings_of_step()
            return self.why_not_complete() is None

    def why_not_complete(self) -> str | None:
        """The reason in words, for people; None when the chunk is complete."""
        settings = config.settings()
        return ChunkStore(settings.data_output_dir).why_not_complete(
            self.chunk, origin=settings.origin, first=self.first, last=self.last
        )

    def run(self) -> None:
        began = time.monotonic()
        settings = config.settings()
        store = ChunkStore(settings.data_output_dir)
        inputs = _Inputs(settings, SnapshotRange.parse(self.snapshot), self.first, self.last)
        order = BuildOrder(
            chunk_id=self.chunk,
            origin=settings.origin,
            run_id=logs.run_id(),
            code_version=code_version(),
            covered_from=self.first,
            covered_to=self.last,
            input_start=inputs.columns[0].astype(object),
            input_end=self.last,
            schema=catalog.column_schema(),
            schema_version=planning.load_manifest().version,
            inputs=inputs.used,
            unavailable=unavailable(settings.plan),
        )
        days, threads = inputs.sessions.size, settings.compute_threads
        months = inputs.months()
        report = Reporter(self, f"chunk {self.chunk}: {{done}} of {{total}} steps")
        with store.build(order, Layout(repeating=catalog.repeating_columns())) as writer:
            market = inputs.market()
            report(1, 2 + len(months))
            with compiled_once(settings.data_output_dir):
                base = matrix.base_values(market, days, threads)
            report(2, 2 + len(months))
            for step, (start, stop) in enumerate(months, 3):
                writer.write(matrix.rows(market, base, days, start, stop, threads))
                report(step, 2 + len(months))
        status = store.read_status(self.chunk)
        log.info(
            "chunk %s: %s to %s, %s rows x %s columns in %.1f s",
            *(self.chunk, status["output_start"], status["output_end"], f"{status['rows']:,}"),
            *(len(order.schema), time.monotonic() - began),
        )


class _Inputs:
    """What one chunk reads: columns of the panel, snapshots, tables."""

    def __init__(
        self, settings: Settings, wanted: SnapshotRange, first: dt.date, last: dt.date
    ) -> None:
        self._calendar: TradingCalendar = load_calendar(settings, last)
        self.sessions: DateArray = self._calendar.between(np.datetime64(first), np.datetime64(last))
        start = self._calendar.back(np.datetime64(first), catalog.warm_up_columns())
        self.columns: DateArray = self._calendar.between(start, np.datetime64(last))
        self._store = SnapshotStore(settings.data_output_dir, settings.origin)
        self._snapshots = {
            source: self._store.get(
                source,
                snapshot_key(source, wanted.start, wanted.end, wanted.asof, wanted.tag),
            )
            for source in (endpoint.source for endpoint in sources_of(settings.plan))
        }
        self._refuse_gap()

    @property
    def used(self) -> tuple[Input, ...]:
        return tuple(
            Input(source, snapshot["key"], snapshot["sha256"])
            for source, snapshot in self._snapshots.items()
        )

    def market(self) -> Market:
        tables = {source: self._table(source) for source in self._snapshots}
        n_out = min(self.sessions.size + HISTORY, self.columns.size)
        return assemble(
            tables["daily_bars"],
            tables["listed"],
            tables.get("index_option"),
            self._calendar,
            self.columns,
            n_out,
        )

    def _refuse_gap(self) -> None:
        """A snapshot may begin within the warm-up, where the plan's window does, not later.

        Raises:
            MissingData: it begins after the chunk's first session.
        """
        first = self.sessions[0].astype(object)
        for source, snapshot in self._snapshots.items():
            endpoint = endpoint_of(source)
            begins = min(
                (part["dates"][0] for part in snapshot["parts"] if part["dates"]), default=""
            )
            if endpoint.promises_rows(first) and begins > str(first):
                raise MissingData(
                    f"snapshot {snapshot['key']} begins on {begins}, the chunk on {first}",
                    "the plan's window has moved on: use a later --start, or a larger plan",
                )

    def months(self) -> list[tuple[int, int]]:
        """Day ranges [start, stop) of the chunk's months: one row group each."""
        month = self.sessions.astype("datetime64[M]")
        edges = [0, *(np.flatnonzero(month[1:] != month[:-1]) + 1), self.sessions.size]
        return [(int(a), int(b)) for a, b in pairwise(edges)]

    def _table(self, source: str) -> pa.Table:
        """The rows of a source that were public when the chunk's last row was decided."""
        table = self._store.read(
            self._snapshots[source],
            _COLUMNS[source],
            self.columns[0].astype(object),
            self.columns[-1].astype(object),
        )
        cutoff = decision_time(self.columns[-1], self._calendar)
        return visible(table, endpoint_of(source).publication, cutoff, self._calendar)
