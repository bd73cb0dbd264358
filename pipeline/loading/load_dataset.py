"""``pipeline.load``: rows of the published dataset as pandas, Polars or Arrow.

1. The file: the latest dataset of the output root, or one that is kept. Its footer is read once.
2. The columns: names, families and patterns against those of the file; labels only when asked.
3. The rows: a range of days, some codes, and with ``as_of`` only what was decided by then.
4. Months are read one at a time: row groups of the range, columns that are wanted; labels are put
   beside them by Date and Code.
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pyarrow as pa

from pipeline.cache.snapshots import SnapshotStore
from pipeline.dataset.parquet.layout import DATE
from pipeline.dataset.parquet.row_reader import LabelFiles, RowsFile, Wanted, nulled_after
from pipeline.dataset.publication import DatasetStore
from pipeline.errors import MissingData, UsageError
from pipeline.filesystem.location import place_of
from pipeline.loading import frames
from pipeline.loading.column_selection import features_of, labels_of, texts
from pipeline.loading.known_at import Day, day_of, last_decided, last_labelled, moment_of
from pipeline.market.calendar.sessions import DateArray, TradingCalendar
from pipeline.market.panel.axis import dates_of
from pipeline.market.panel.codes import checked_code

Format = Literal["pandas", "polars", "arrow"]

_CALENDAR = "trading_calendar"


def load(
    start: Day | None = None,
    end: Day | None = None,
    *,
    columns: str | Iterable[str] | None = None,
    codes: str | Iterable[str] | None = None,
    as_of: Day | None = None,
    labels: bool | str | Iterable[str] | None = None,
    format: Format = "pandas",  # noqa: A002  (the word readers look for)
    lazy: bool | None = None,
    dataset: str | None = None,
    root: str | Path | None = None,
) -> Any:
    """Rows of the dataset, sorted by Date and Code.

    Args:
        start, end: first and last day, both included; without them from the first, to the last.
        columns: feature columns: names, families (``"family:oscillator"``) or patterns
            (``"rsv_*"``), one or several. Without them all, which for the whole market is more
            than memory holds. Date and Code are always there, in front.
        codes: security codes of five characters, one or several; without them all stocks. A code
            without a row in the range gives no rows.
        as_of: look from this moment: a day means 08:00 JST on it, a time without offset is JST.
            Only rows decided by then (08:00 JST on the session after T) are returned, and a label
            is null unless its exit was over by then (16:30 JST of session T + n). It chooses rows,
            not files: values do not depend on when they were built. What had arrived by a day is
            reproduced by a build with ``source_cache_asof``.
        labels: labels beside the features: True for all, names or patterns for some. They know
            the future of their row; without this no label is ever returned.
        format: ``pandas``: a DataFrame; Date is datetime64, Code text, floats float32 with NaN,
            flags and counts the nullable Int8 and Int16. ``polars``: a LazyFrame over the files,
            into which further filters and selections are pushed. ``arrow``: a Table.
        lazy: for ``polars`` False gives a DataFrame; for ``arrow`` True gives a RecordBatchReader
            that reads month by month. A pandas frame is never lazy.
        dataset: name of a kept dataset in ``datasets/``; without it the latest.
        root: output root; without it ``DATA_OUTPUT_DIR`` of the environment, else ``output``.

    Raises:
        UsageError: an argument is wrong, such as an unknown column; the nearest are named.
        BadCode: a code that has not five characters.
        MissingData: no dataset, no labels, or no row in the range; what there is is named.
        StorageError: a file is damaged.
    """
    lazy = _checked(format, lazy)
    folder = place_of(root if root is not None else os.environ.get("DATA_OUTPUT_DIR", "output"))
    store = DatasetStore(folder)
    path = store.kept_file(dataset) if dataset else store.latest_file()
    if path is None:
        raise MissingData(
            f"load: no dataset in {folder}", "run BuildAll, or name its folder by root="
        )
    with ExitStack() as files:
        source = files.enter_context(closing(RowsFile(path)))
        wanted = _rows(source, start, end, codes)
        chosen: list[str] = []
        beside: LabelFiles | None = None
        if labels is not None and labels is not False:
            beside = files.enter_context(closing(LabelFiles(folder)))
            chosen = labels_of(labels, beside.names)
        features = features_of(columns, source.schema.names, _families, chosen)
        last_known: Mapping[str, dt.date | None] = {}
        if as_of is not None:
            moment = moment_of(as_of)
            sessions = _sessions(store, path, source)
            wanted = _decided(wanted, source, sessions, moment)
            last_known = _last_known(chosen, sessions, moment)
        if beside is not None:
            beside.hold([group for group in source.groups if group.may_hold(wanted)])
        plan = _Plan(source, beside, features, chosen, wanted, last_known)
        if format == "polars" and lazy:
            return frames.scan(
                path, features, wanted, beside.paths(wanted) if beside else [], chosen, last_known
            )
        if lazy:
            return pa.RecordBatchReader.from_batches(plan.schema(), plan.batches(files.pop_all()))
        table = pa.concat_tables([plan.schema().empty_table(), *plan.months()])
    return frames.CONVERT[format](table)


@dataclass(frozen=True)
class _Plan:
    """What is read.

    Attributes:
        labels: None unless some are asked for.
        last_known: last day of each label that is not null at the moment that is looked from.
    """

    source: RowsFile
    labels: LabelFiles | None
    features: list[str]
    chosen: list[str]
    wanted: Wanted
    last_known: Mapping[str, dt.date | None]

    def schema(self) -> pa.Schema:
        schema = self.source.fields(self.features)
        if self.labels is not None:
            for field in list(self.labels.schema(self.chosen))[2:]:
                schema = schema.append(field)
        return schema

    def months(self) -> Iterator[pa.Table]:
        """Row group by row group."""
        for rows in self.source.months(self.features, self.wanted):
            if self.labels is None:
                yield rows
                continue
            joined = self.labels.beside(rows, self.chosen, self.wanted)
            yield nulled_after(joined, self.last_known)

    def batches(self, files: ExitStack) -> Iterator[pa.RecordBatch]:
        """The same for a reader that outlives the call; it closes the files at its end."""
        with files:
            for rows in self.months():
                yield from rows.combine_chunks().to_batches()


def _checked(format_: str, lazy: bool | None) -> bool:
    if format_ not in get_args(Format):
        raise UsageError(f"load format {format_!r}: expected one of {', '.join(get_args(Format))}")
    if format_ == "pandas" and lazy:
        raise UsageError(
            "load lazy: a pandas frame is always in memory", 'take format="polars" or "arrow"'
        )
    return format_ == "polars" if lazy is None else lazy


def _families() -> Mapping[str, tuple[str, ...]]:
    # The catalogue loads every family with its compiled kernels: only when a family is named.
    from pipeline.features.engine.catalogue import columns_by_family

    return columns_by_family()


def _rows(
    source: RowsFile, start: Day | None, end: Day | None, codes: str | Iterable[str] | None
) -> Wanted:
    """The range and the codes, held against what there is."""
    there = source.groups
    first = there[0].first if start is None else day_of(start, "start")
    last = there[-1].last if end is None else day_of(end, "end")
    if start is not None and end is not None and first > last:
        raise UsageError(f"load: start {first} is after end {last}")
    if first > there[-1].last or last < there[0].first:
        raise MissingData(
            f"load: no rows from {first if start is not None else '...'} to "
            f"{last if end is not None else '...'}",
            f"{source.path.name} has {there[0].first} to {there[-1].last}",
        )
    few = None if codes is None else tuple(checked_code(str(code)) for code in texts(codes))
    return Wanted(first, last, few)


def _decided(
    wanted: Wanted, source: RowsFile, sessions: DateArray, moment: np.datetime64
) -> Wanted:
    """The rows that were decided by then."""
    last = last_decided(sessions, moment)
    if last is None or last < wanted.first:
        of = (
            f"; the last decided one is of {last}"
            if last and last >= source.groups[0].first
            else ""
        )
        raise MissingData(
            f"load as_of {moment}: no row from {wanted.first} on was decided by then{of}",
            "a row of session T is decided at 08:00 JST on the session after T",
        )
    return replace(wanted, last=min(wanted.last, last))


def _last_known(
    labels: Iterable[str], sessions: DateArray, moment: np.datetime64
) -> dict[str, dt.date | None]:
    """Per label the last day of which it was known by then."""
    names = list(labels)
    if not names:
        return {}
    from pipeline.features.labels.label_values import AHEAD, LABELS

    ahead = {label.name: label.ahead for label in LABELS}
    return {name: last_labelled(sessions, moment, ahead.get(name, AHEAD)) for name in names}


def _sessions(store: DatasetStore, path: Path, source: RowsFile) -> DateArray:
    """The sessions by which is counted: of the trading calendar in the cache, and of the dataset.

    Without a calendar the dataset's own have to do: rows and labels at its end, and in front of a
    gap, then count as known later than they were, never earlier.
    """
    own = dates_of(source.days()[DATE])
    snapshots = SnapshotStore(store.root, store.opened(path).metadata["origin"])
    calendar = snapshots.newest(_CALENDAR)
    if calendar is None:
        return own
    table = snapshots.read(calendar)
    return np.union1d(own, TradingCalendar.from_table(table).sessions)
