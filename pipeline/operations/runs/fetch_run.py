"""Fetches one source of a run, and follows messages from the page of luigid."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pipeline.api.http.concurrency import Lanes
from pipeline.configuration import Settings
from pipeline.operations.fetching import account
from pipeline.operations.fetching.closed_months import recheck_closed
from pipeline.operations.fetching.snapshot_range import SnapshotRange
from pipeline.operations.fetching.source_fetch import fetch_snapshot
from pipeline.operations.runs.scheduler_messages import FetchControl, listening


def fetch_source(
    settings: Settings,
    source: str,
    wanted: SnapshotRange,
    fresh_after: str,
    report: Callable[[int, int], None],
    messages: Any,
) -> None:
    """Check closed months for corrections, then fetch what the snapshot lacks.

    Args:
        fresh_after: what was checked before this moment is fetched again.
        report: receives the days done and all days.
        messages: ``scheduler_messages`` of the task; None outside a worker.

    Raises:
        ApiError, SnapshotError: it could not be fetched; finished days are kept.
        Stopped: a message asked for it.
    """
    settings = account.settled(settings)  # of a run: known since it began
    account.keep(settings)
    lanes = Lanes(settings.index_option_parallel_concurrency)
    control = FetchControl(lanes)

    def progress(done: int, total: int) -> None:
        report(done, total)
        control.check(done, total)

    with listening(messages, control.follow), account.explained(settings, source):
        recheck_closed(settings, lambda: control.check(0, 1))
        fetch_snapshot(settings, source, wanted, fresh_after, progress, lanes)
