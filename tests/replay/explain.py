"""Cells that differ, and whether a correction explains each of them.

A correction explains a cell when it may reach it and came too late for it:

1. the column reads what was corrected: by the inputs its row of the catalogue declares, and the
   listing, where it is a transform: over the sector or the market, or over the stock's own past,
   of which the days count on which it was in the universe; a derived family may read all;
2. the record is dated on the row's day or before it, within the look-back that is declared;
   for a label within the days it looks ahead;
3. it is the record of the same stock, unless the column looks at others too;
4. the replay had it only after the row was published, or never: records of months that are over
   are not asked for again.

A row that only one of the two has is explained by a late correction of that day's listing of the
stock, which decides whether it is in the universe.

What is left over is unexplained.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.api.catalogue.endpoints import endpoint_of
from pipeline.cache.snapshots import SnapshotStore
from pipeline.dataset.label_store import LabelStore
from pipeline.features.engine import catalogue
from pipeline.features.engine.transforms import HISTORY, transforms_of
from pipeline.features.labels.label_values import LABELS
from pipeline.market.calendar.sessions import DateArray, TradingCalendar
from pipeline.market.panel.price_panel import CARRY_COLUMNS
from tests.replay.corrected import Correction
from tests.replay.mornings import Replayed
from tests.tasks.commands import Home

_LISTING = "eq-master"
_OUTAGE = 10  # sessions a label may wait for its exit
_WHOLE_ROW = "(row)"
_FAR = 100_000  # sessions: a book of records without an end


@dataclass(frozen=True)
class Cell:
    """One value that is not the same."""

    date: dt.date
    code: str
    column: str


@dataclass(frozen=True)
class Compared:
    """Two tables, value by value.

    Attributes:
        rows: common to both.
        only: keys that only one of them has.
        cells: compared values.
        differing: values that are not the same bits; null is a value of its own.
    """

    rows: int
    only: list[tuple[dt.date, str]]
    cells: int
    differing: list[Cell]


@dataclass(frozen=True)
class _Reach:
    """How a column can be reached by a record.

    Attributes:
        reads: endpoint and field, or "*" for any of either.
        back, ahead: sessions before and after the row.
        others: whether it looks at other stocks too.
    """

    reads: frozenset[tuple[str, str]]
    back: int
    ahead: int
    others: bool


def compare(ours: pa.Table, theirs: pa.Table) -> Compared:
    """Compare two tables keyed by Date and Code.

    Raises:
        AssertionError: they have different columns.
    """
    assert ours.schema.names == theirs.schema.names, "other columns"
    at = [{key: row for row, key in enumerate(_keys(table))} for table in (ours, theirs)]
    common = sorted(at[0].keys() & at[1].keys())
    left = ours.take(pa.array([at[0][key] for key in common], pa.int64()))
    right = theirs.take(pa.array([at[1][key] for key in common], pa.int64()))
    differing = []
    for name in ours.schema.names[2:]:
        one, other = _bits(left[name]), _bits(right[name])
        if one.equals(other):
            continue
        same = pc.fill_null(pc.equal(one, other), False)
        neither = pc.and_(pc.is_null(one), pc.is_null(other))
        unlike = np.flatnonzero(~np.asarray(pc.or_(same, neither)))
        differing += [Cell(*common[row], name) for row in unlike]
    only = sorted(at[0].keys() ^ at[1].keys())
    return Compared(len(common), only, len(common) * (len(ours.schema) - 2), differing)


def dataset_of(home: Home) -> pa.Table:
    """The published dataset."""
    return pq.read_table(home.dataset_path(), partitioning=None)


def labels_of(home: Home) -> pa.Table:
    """The label table."""
    store = LabelStore(home.root)
    parts = [part["chunk_id"] for part in store.read_document()["parts"]]
    return pa.concat_tables(
        pq.read_table(store.part_path(chunk), partitioning=None).replace_schema_metadata()
        for chunk in parts
    )


def explained(
    cells: Iterable[Cell], corrections: Iterable[Correction], replayed: Replayed, home: Home
) -> dict[Cell, list[Correction]]:
    """The corrections that may be behind each cell; none for one that nothing explains.

    Args:
        home: a root whose calendar is that of both.
    """
    place = _places(home)
    known = list(corrections)
    return {cell: [c for c in known if _explains(c, cell, place, replayed.shown)] for cell in cells}


def unexplained_rows(
    rows: Iterable[tuple[dt.date, str]], corrections: Iterable[Correction], replayed: Replayed
) -> list[tuple[dt.date, str]]:
    """Those of the rows that only one table has which no correction of a listing explains."""
    listed = {(c.date, c.code): c for c in corrections if endpoint_of(c.source).id == _LISTING}
    return [
        row for row in rows if row not in listed or not _late(listed[row], replayed.shown[row[0]])
    ]


def _late(correction: Correction, shown: dt.date) -> bool:
    """Whether the replay had it only after a row was published on the morning ``shown``."""
    return correction.seen is None or correction.seen[:10] > str(shown)


def _explains(
    correction: Correction,
    cell: Cell,
    place: Mapping[dt.date, int],
    shown: Mapping[dt.date, dt.date],
) -> bool:
    reach = _reaches()[cell.column]
    endpoint = endpoint_of(correction.source).id
    fields = (*correction.fields, "*")
    if _WHOLE_ROW in correction.fields:
        reads = any(source in (endpoint, "*") for source, _ in reach.reads)
    else:
        reads = any((s, f) in reach.reads for s in (endpoint, "*") for f in fields)
    behind = place[cell.date] - place[correction.date]
    late = _late(correction, shown[cell.date])
    near = -reach.ahead <= behind <= reach.back
    return reads and near and late and (reach.others or correction.code == cell.code)


@cache
def _reaches() -> dict[str, _Reach]:
    """Of every feature column and every label."""
    slack = HISTORY + CARRY_COLUMNS
    found: dict[str, _Reach] = {}
    for family in catalogue.FAMILIES:
        derived, line = family.SCOPE == "derived", family.SCOPE == "line"
        for feature in family.FEATURES:
            reads = frozenset({("*", "*")}) if derived else _reads(feature.inputs)
            deep = bool(feature.endpoints & catalogue.EARLIER_DAYS.keys()) or derived
            back = _FAR if deep else feature.lookback + slack
            found[feature.name] = _Reach(reads, back, 0, not line)
            for transform in transforms_of(feature):
                over_others = transform.group != "time_series"
                found[feature.name + transform.suffix] = _Reach(
                    reads | {(_LISTING, "*")},
                    back,
                    0,
                    not line or over_others,
                )
    for label in LABELS:
        reads = _reads(label.inputs) | {("eq-bars-daily", "*"), (_LISTING, "*")}
        found[label.name] = _Reach(reads, slack + label.lookback, label.ahead + _OUTAGE, True)
    return found


def _reads(inputs: str) -> frozenset[tuple[str, str]]:
    """Endpoint and field of each input: ``endpoint.Field,Field;endpoint.Field``."""
    return frozenset(
        (endpoint.strip(), field.strip())
        for endpoint, _, fields in (item.partition(".") for item in inputs.split(";"))
        for field in fields.split(",")
    )


def _keys(table: pa.Table) -> list[tuple[dt.date, str]]:
    return list(zip(table["Date"].to_pylist(), table["Code"].to_pylist(), strict=True))


def _bits(column: pa.ChunkedArray) -> pa.Array:
    """Values that compare as they are stored: a float by its bits."""
    array = column.combine_chunks()
    whole = {pa.float32(): pa.int32(), pa.float64(): pa.int64()}.get(array.type)
    return array.view(whole) if whole is not None else array


def _places(home: Home) -> dict[dt.date, int]:
    """Number of sessions up to each day: of the rows, and of the records they may read."""
    days = dataset_of(home)["Date"].to_pylist()
    first, last = min(days) - dt.timedelta(days=2500), max(days) + dt.timedelta(days=90)
    sessions = _sessions(home)
    dates = [first + dt.timedelta(days=n) for n in range((last - first).days + 1)]
    counts = np.searchsorted(sessions, np.array(dates, dtype="datetime64[D]"), side="right")
    return dict(zip(dates, counts.tolist(), strict=True))


def _sessions(home: Home) -> DateArray:
    store = SnapshotStore(home.root, "simulator")
    snapshot = store.newest("trading_calendar")
    assert snapshot is not None
    return TradingCalendar.from_table(store.read(snapshot)).sessions
