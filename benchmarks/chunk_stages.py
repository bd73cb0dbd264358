"""Where the time of one chunk build goes: ``BuildChunk.run`` with stopwatches in this process.

Stages are told in seconds of the clock. Families run several at a time, so theirs are shares of
processor time.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Any
from unittest import mock

import pyarrow as pa

from pipeline.cache.snapshots import SnapshotStore
from pipeline.dataset.content_checks import ChunkWriter
from pipeline.dataset.parquet.layout import RowGroupWriter
from pipeline.features.engine import chunk_features, chunk_matrix
from pipeline.features.engine.catalogue import FAMILIES
from pipeline.market.panel.market_data import Market
from pipeline.tasks import BuildChunk

_READ, _ASSEMBLE, _BASE = "read snapshots", "assemble arrays", "base columns"
_ROWS, _ENCODE, _CHECK = "transforms, Arrow columns", "encode Parquet", "look at the values"
_STAGES = (
    (_READ, SnapshotStore, "read"),
    (_ASSEMBLE, chunk_features, "assemble"),
    (_BASE, chunk_matrix, "base_values"),
    (_ROWS, chunk_matrix, "rows"),
    (_ENCODE, RowGroupWriter, "write"),
    (_CHECK, ChunkWriter, "write"),
)


@dataclass(frozen=True)
class Stages:
    """One build.

    Attributes:
        lines: a line per stage with its seconds and share, families below the base columns.
        market: the arrays the features were computed from.
        rows: the rows of the newest month.
    """

    lines: list[str]
    market: Market
    rows: pa.Table


class _Stopwatches:
    """Seconds by stage, and what the last call of it gave where that is wanted.

    Calls of one stage may come from several threads.
    """

    def __init__(self, *wanted: str) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.results: dict[str, Any] = {}
        self._wanted = wanted
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
            if stage in self._wanted:
                self.results[stage] = result
            return result

        return call


def run(task: BuildChunk) -> Stages:
    """Build the chunk once more."""
    watches = _Stopwatches(_ASSEMBLE, _ROWS)
    patches = [
        mock.patch.object(
            owner, name, watches.timed(stage, getattr(owner, name), time.perf_counter)
        )
        for stage, owner, name in _STAGES
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
    watches.seconds[_CHECK] -= watches.seconds[_ENCODE]  # which it calls
    return Stages(_lines(watches.seconds, total), *(watches.results[k] for k in (_ASSEMBLE, _ROWS)))


def _lines(seconds: Mapping[str, float], total: float) -> list[str]:
    stages = [stage for stage, *_ in _STAGES]
    lines = []
    for stage in stages:
        lines.append(_line(stage, seconds[stage], total))
        if stage == _BASE:
            lines += _family_lines({_name(family): seconds[_name(family)] for family in FAMILIES})
    rest = total - sum(seconds[stage] for stage in stages)
    return [*lines, _line("checksum, commit, rest", rest, total), _line("whole run", total, total)]


def _family_lines(families: Mapping[str, float]) -> list[str]:
    """The most expensive first."""
    busy = sum(families.values())
    return [
        f"    {name:<24}{100 * spent / busy:5.1f} % of {busy:.1f} s of processor time"
        for name, spent in sorted(families.items(), key=lambda item: -item[1])
    ]


def _line(stage: str, spent: float, total: float) -> str:
    return f"  {stage:<26}{spent:6.2f} s {100 * spent / total:5.1f} %"


def _name(family: Any) -> str:
    return str(family.__name__.rpartition(".")[2])
