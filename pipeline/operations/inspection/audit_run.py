"""An audit of what was built: which days, which checks, from which snapshots."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

import numpy as np

from pipeline.configuration import Settings
from pipeline.dataset.chunk_store import ChunkStore
from pipeline.errors import MissingData, UsageError
from pipeline.features.engine import catalogue
from pipeline.features.engine.look_ahead_audit import Audit, Finding, Progress
from pipeline.market.calendar.periods import Period, require_order
from pipeline.operations.building.chunk_inputs import ChunkInputs, snapshots_of_chunks
from pipeline.operations.fetching.source_fetch import load_calendar

CHECKS = ("truncation", "length", "append", "order")
_LENGTHS = (1, 3, 12)  # months


@dataclass(frozen=True)
class Request:
    """What to audit.

    Attributes:
        start, end: days, both included, of chunks that are complete.
        columns: columns or families to compare; all when empty.
        checks: some of CHECKS.
        cuts: days at which the data are cut off, drawn at random; and days built alone.
        seed: of the draw.
    """

    start: dt.date
    end: dt.date
    columns: tuple[str, ...] = ()
    checks: tuple[str, ...] = CHECKS
    cuts: int = 3
    seed: int = 0


def run(settings: Settings, request: Request, progress: Progress) -> Iterator[Finding]:
    """Carry out the checks one after the other.

    Raises:
        UsageError: an unknown column, or no session in the range.
        MissingData: a chunk of the range was not built, or its snapshots are gone.
    """
    require_order(request.start, request.end)
    columns = _columns(request.columns)
    chunks = _chunks(settings, request)
    snapshots = snapshots_of_chunks(settings, chunks)
    range_ = np.datetime64(request.start), np.datetime64(request.end)
    if load_calendar(settings, request.end).between(*range_).size == 0:
        raise UsageError(f"--start {request.start} --end {request.end}: no session between them")
    read = ChunkInputs(settings, snapshots, request.start, request.end)
    progress("reading the snapshots")
    inputs = read.for_audit(settings.compute_threads)
    audit = Audit(inputs, read.sessions[0], read.sessions[-1], columns, progress)
    draw = np.random.default_rng(request.seed)
    days = np.sort(draw.choice(read.sessions, min(request.cuts, read.sessions.size), replace=False))
    whole = audit.whole()
    steps: dict[str, Callable[[], Iterator[Finding]]] = {
        "truncation": lambda: audit.truncation(whole, days),
        "length": lambda: (f for months in _LENGTHS for f in audit.length(whole, months)),
        "append": lambda: audit.append(whole, days),
        "order": lambda: audit.order(whole, draw.permutation),
    }
    for check in request.checks:
        yield from steps[check]()


def _columns(names: Collection[str]) -> tuple[str, ...]:
    """Columns by name, and all columns of the families named."""
    known = catalogue.columns_by_family()
    every = {column for columns in known.values() for column in columns}
    unknown = [name for name in names if name not in every and name not in known]
    if unknown:
        raise UsageError(
            f"--columns {unknown[0]!r}: neither a column nor a family",
            "see schema/data_dictionary.md for the names",
        )
    return tuple(column for name in names for column in known.get(name, (name,)))


def _chunks(settings: Settings, request: Request) -> list[str]:
    store = ChunkStore(settings.data_output_dir)
    inside = [
        chunk
        for chunk in store.ids()
        if Period.parse(chunk).first_day <= request.end
        and Period.parse(chunk).last_day >= request.start
    ]
    if not inside:
        raise MissingData(
            f"no chunk between {request.start} and {request.end} in {store.folder}",
            "build the range first",
        )
    return inside
