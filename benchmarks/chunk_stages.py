"""Where the time of one chunk build goes: ``BuildChunk.run`` with stopwatches in this process."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable
from functools import wraps
from typing import Any
from unittest import mock

from pipeline.features import chunk, matrix
from pipeline.features.catalog import FAMILIES
from pipeline.market.data import Market
from pipeline.storage.parquet import RowGroupWriter
from pipeline.storage.snapshots import SnapshotStore
from pipeline.tasks import BuildChunk


class Stopwatches:
    """Seconds by stage. Calls of one stage may come from several threads."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.market: Market | None = None
        self._lock = threading.Lock()

    def timed(
        self, stage: str, function: Callable[..., Any], clock: Callable[[], float]
    ) -> Callable[..., Any]:
        """``function`` with its time added to a stage."""

        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            began = clock()
            result = function(*args, **kwargs)
            taken = clock() - began
            with self._lock:
                self.seconds[stage] += taken
            if isinstance(result, Market):
                self.market = result
            return result

        return call


def run(task: BuildChunk) -> tuple[list[str], Market]:
    """Build the chunk once more.

    Returns:
        A line per stage with its seconds and share of the wall time, families by their share of
        processor time; and the arrays the features were computed from.
    """
    watches = Stopwatches()
    stages = (
        ("read snapshots", SnapshotStore, "read"),
        ("assemble arrays", chunk, "assemble"),
        ("base columns", matrix, "base_values"),
        ("transforms, Arrow columns", matrix, "rows"),
        ("encode Parquet", RowGroupWriter, "write"),
    )
    patches = [
        mock.patch.object(
            owner, name, watches.timed(stage, getattr(owner, name), time.perf_counter)
        )
        for stage, owner, name in stages
    ] + [
        mock.patch.object(
            family, "compute", watches.timed(_name(family), family.compute, time.thread_time)
        )
        for family in FAMILIES
    ]
    began = time.perf_counter()
    for patch in patches:
        patch.start()
    try:
        task.run()
    finally:
        mock.patch.stopall()
    total = time.perf_counter() - began
    assert watches.market is not None
    return _lines(watches.seconds, [stage for stage, *_ in stages], total), watches.market


def _lines(seconds: dict[str, float], stages: list[str], total: float) -> list[str]:
    families = {_name(family): seconds[_name(family)] for family in FAMILIES}
    lines = []
    for stage in stages:
        lines.append(_line(stage, seconds[stage], total))
        if stage == "base columns":
            busy = sum(families.values())
            lines += [
                f"    {name:<24}{100 * spent / busy:5.1f} % of {busy:.1f} s of processor time"
                for name, spent in families.items()
            ]
    rest = total - sum(seconds[stage] for stage in stages)
    return [*lines, _line("checksum, commit, rest", rest, total), _line("whole run", total, total)]


def _line(stage: str, spent: float, total: float) -> str:
    return f"  {stage:<26}{spent:6.2f} s {100 * spent / total:5.1f} %"


def _name(family: Any) -> str:
    return str(family.__name__.rpartition(".")[2])
