"""Builds the rows of one period, from snapshots to a committed chunk.

1. Decide whether the chunk on disk can grow: then only the sessions after its final rows are
   computed, and the existing rows are kept as published (``dataset.chunk_growth``).
2. Read the snapshots over the sessions to be computed and the warm-up in front of them, and drop
   what was not public at the decision time of the last session.
3. Assemble arrays and compute the base columns (``features.engine.chunk_features``).
4. Month by month: add the transforms and write a row group.
5. Commit: Parquet, metadata, then status.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from pipeline.configuration import Settings
from pipeline.dataset.build_request import BuildOrder
from pipeline.dataset.chunk_growth import Growth
from pipeline.dataset.chunk_store import ChunkStore
from pipeline.dataset.parquet.layout import Layout
from pipeline.features.engine import catalogue
from pipeline.features.engine.chunk_features import build, months_of
from pipeline.filesystem.location import on_host
from pipeline.filesystem.scratch import array_store
from pipeline.market.calendar.periods import ChunkRange
from pipeline.market.calendar.sessions import TradingCalendar
from pipeline.operations.building.chunk_inputs import ChunkInputs, snapshots_of_range
from pipeline.operations.cluster import announcement
from pipeline.operations.fetching.snapshot_range import SnapshotRange
from pipeline.operations.fetching.source_fetch import unavailable
from pipeline.operations.planning import run_plan
from pipeline.process import log_setup, memory
from pipeline.process.kernel_cache import compiled_once
from pipeline.version import code_version

log = logging.getLogger(__name__)


def build_chunk(
    settings: Settings,
    chunk: ChunkRange,
    snapshot: SnapshotRange,
    report: Callable[[int, int], None],
) -> None:
    """Build a chunk and commit it; a build that died after its last byte is only completed.

    Args:
        snapshot: range of the daily sources.
        report: receives the steps done and all steps.

    Raises:
        UsageError: the code or manifest is not that of the run.
        MissingData: the cache lacks snapshots.
        StorageError: something is damaged, or the file system refused.
    """
    began = time.monotonic()
    announcement.require_same_code(settings.data_output_dir, run_plan.load_manifest())
    store = ChunkStore(settings.data_output_dir)
    if found := store.recover(chunk.chunk_id):
        log.info("chunk %s %s", chunk.chunk_id, found)
        if store.reasons([chunk], settings.origin) == [None]:
            return
    snapshots = snapshots_of_range(settings, snapshot)
    inputs = ChunkInputs(settings, snapshots, chunk.first, chunk.last)
    order = _order(settings, chunk, inputs)
    layout = Layout(repeating=catalogue.repeating_columns())
    growth = _growth(store, order, layout, inputs.calendar)
    new = inputs
    if growth is not None:
        order = replace(order, corrections=inputs.corrections_since(growth))
        new = inputs.since(growth.first)
    threads = settings.compute_threads
    months = list(months_of(new.sessions))
    report(0, 1 + len(months))
    with (
        store.build(order, layout, growth) as writer,
        array_store(on_host(store.folder), settings.columns_in_memory_mb << 20) as columns,
    ):
        writer.expect_rows(inputs.listed_members())
        with compiled_once(settings.data_output_dir):
            features = build(
                new.sources(),
                new.calendar,
                new.sessions[0],
                new.sessions[-1],
                threads=threads,
                unavailable=new.absent,
                columns=columns,
                freed=memory.give_back,
            )
        writer.note(sorted(new.unknown))
        report(1, 1 + len(months))
        for step, (start, stop) in enumerate(months, 2):
            memory.give_back()
            writer.write(features.rows(start, stop, threads))
            report(step, 1 + len(months))
    status = store.read_status(chunk.chunk_id)
    log.info(
        "chunk %s: %s to %s, %s rows x %s columns in %.1f s",
        *(chunk.chunk_id, status["output_start"], status["output_end"], f"{status['rows']:,}"),
        *(len(order.schema), time.monotonic() - began),
    )


def _order(settings: Settings, chunk: ChunkRange, inputs: ChunkInputs) -> BuildOrder:
    return BuildOrder(
        chunk_id=chunk.chunk_id,
        origin=settings.origin,
        run_id=log_setup.run_id(),
        code_version=code_version(),
        covered_from=chunk.first,
        covered_to=chunk.last,
        input_start=inputs.columns[0].astype(object),
        input_end=chunk.last,
        schema=catalogue.column_schema(),
        schema_version=run_plan.load_manifest().version,
        inputs=inputs.used,
        unavailable=unavailable(settings),
        ranges=catalogue.value_ranges(),
        quarantine=inputs.quarantine,
    )


def _growth(
    store: ChunkStore, order: BuildOrder, layout: Layout, calendar: TradingCalendar
) -> Growth | None:
    """How the chunk on disk is extended; None when all rows are computed."""
    growth = store.growth(order, layout, calendar)
    if isinstance(growth, str):
        log.info("chunk %s cannot grow, all rows are computed: it %s", order.chunk_id, growth)
        return None
    if growth is not None:
        last_kept = calendar.previous(np.datetime64(growth.first))
        log.info("chunk %s grows: rows to %s are kept", order.chunk_id, last_kept)
    return growth
