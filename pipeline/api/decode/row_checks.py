"""Checks and order of fetched rows: what was asked is what is there, in one order only."""

from __future__ import annotations

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.api.catalogue.endpoints import Endpoint
from pipeline.api.http.pagination import bad
from pipeline.errors import SnapshotError
from pipeline.quarantine import (
    QUARANTINE_FEWEST,
    QUARANTINE_SHARE,
    REPEATED,
    VALUE,
    Entry,
    noted,
    notes_of,
    say_once,
    shown,
    shown_record,
)

_SHOWN = 5  # offenders named in an error


def ordered(table: pa.Table, endpoint: Endpoint) -> pa.Table:
    """``table`` sorted by the endpoint's day and key, so that no order of pages shows.

    Where rows have no key of their own, all columns decide. Rows repeated with the same values
    are dropped and noted with the table.

    Raises:
        SnapshotError: two rows have the same key and other values.
    """
    names = [endpoint.date_field, *endpoint.key, *endpoint.told_apart_by]
    if not endpoint.unique:
        names += endpoint.schema.names
    names = list(dict.fromkeys(names))
    table = table.combine_chunks()
    if endpoint.unique and _ascends(table, names):
        return table
    table = table.sort_by([(name, "ascending") for name in names]).combine_chunks()
    return _each_once(table, names, endpoint) if endpoint.unique else table


def require_readable(table: pa.Table, endpoint: Endpoint) -> None:
    """Returns when no month has a field of which too much could not be read.

    Too much is more than ``QUARANTINE_SHARE`` of its values, but at least ``QUARANTINE_FEWEST``.

    Args:
        table: rows with their notes.

    Raises:
        SnapshotError: names field, value, first record, month and share.
    """
    by_month: dict[tuple[str, str], list[Entry]] = defaultdict(list)
    for entry in notes_of(table):
        if entry.kind == VALUE:
            by_month[entry.field, entry.first[:7]].append(entry)
    for (name, month), entries in by_month.items():
        lost = sum(entry.count for entry in entries)
        if lost < QUARANTINE_FEWEST:
            continue
        inside = pc.equal(pc.strftime(table[endpoint.date_field], "%Y-%m"), month)
        values = lost + pc.sum(pc.and_(inside, pc.is_valid(table[name]))).as_py()
        if lost > QUARANTINE_SHARE * values:
            worst = max(entries, key=lambda entry: entry.count)
            raise SnapshotError(
                f"{endpoint.source}, field {name}: {lost} of {values} values of {month} "
                f"({lost / values:.1%}) cannot be read, such as {worst.spelling!r} at "
                f"{worst.record}; at most {QUARANTINE_SHARE:.0%} are set aside",
                "the vendor may have changed the field: compare "
                "pipeline/api/catalogue/source_fields.py",
            )


def require_within(
    table: pa.Table,
    endpoint: Endpoint,
    first: dt.date | None,
    last: dt.date | None,
    query: Mapping[str, str],
) -> None:
    """Returns when every row is dated in [first, last]; None leaves that end open.

    Raises:
        BadResponse: rows of other days came; a closed day, for one, is answered by some
            endpoints with the next trading day.
    """
    if table.num_rows == 0:
        return
    dates = table[endpoint.date_field]
    earliest, latest = pc.min(dates).as_py(), pc.max(dates).as_py()
    if (first is not None and earliest < first) or (last is not None and latest > last):
        asked = f"{first or 'the start'} to {last or 'the end'}"
        what = f"{endpoint.date_field}: expected {asked}, got {earliest} to {latest}"
        raise bad(endpoint, query, what)


def require_sessions(
    found: Iterable[dt.date], sessions: Sequence[dt.date], endpoint: Endpoint
) -> None:
    """Returns when every session has rows, as far as the endpoint promises them.

    Raises:
        SnapshotError: names the sessions without.
    """
    missing = sorted({day for day in sessions if endpoint.promises_rows(day)}.difference(found))
    if missing:
        raise SnapshotError(
            f"{endpoint.source}: no rows for {len(missing)} of {len(sessions)} sessions: "
            f"{_named([day.isoformat() for day in missing])}",
            "they may not be published yet, or lie outside the plan's window",
        )


def _ascends(table: pa.Table, names: Sequence[str]) -> bool:
    """True when each row stands after the one before it: in order, and no two alike."""
    n = table.num_rows
    after: NDArray[np.bool_] = np.zeros(max(n - 1, 0), dtype=bool)
    same = ~after
    for name in names:
        upper, lower = table[name].slice(0, max(n - 1, 0)), table[name].slice(1)
        if table[name].null_count:
            return False  # rare, and sorting tells
        after |= same & pc.less(upper, lower).to_numpy()
        same &= pc.equal(upper, lower).to_numpy()
    return bool(after.all())


def days_of(table: pa.Table, endpoint: Endpoint) -> dict[dt.date, pa.Table]:
    """The rows of each day, in order of date, without a copy.

    Args:
        table: by day and key, as ``ordered`` gives it.
    """
    counts = table[endpoint.date_field].value_counts().to_pylist() if table.num_rows else []
    days: dict[dt.date, pa.Table] = {}
    start = 0
    for entry in counts:  # in order of appearance
        days[entry["values"]] = table.slice(start, entry["counts"])
        start += entry["counts"]
    return days


def _each_once(table: pa.Table, names: Sequence[str], endpoint: Endpoint) -> pa.Table:
    """Sorted rows without those that repeat the one before."""
    again = np.flatnonzero(_like_next(table, names))
    if not again.size:
        return table
    upper, lower = table.take(again), table.take(again + 1)
    for name in table.schema.names:
        other = np.flatnonzero(~_equal(upper[name], lower[name]))
        if other.size:
            values = [side[name][int(other[0])].as_py() for side in (upper, lower)]
            raise SnapshotError(
                f"{endpoint.source}: two rows of {record_of(upper, int(other[0]), endpoint)} "
                f"differ in field {name}: {shown(values[0])!r} and {shown(values[1])!r}",
                "rows moved between pages while the vendor updated them; run again",
            )
    entries = _repeated(upper, endpoint)
    say_once(endpoint.source, entries)
    keep: NDArray[np.bool_] = np.ones(table.num_rows, dtype=bool)
    keep[again + 1] = False
    notes = notes_of(table)
    return noted(table.filter(pa.array(keep)).combine_chunks(), [*notes, *entries])


def _like_next(table: pa.Table, names: Sequence[str]) -> NDArray[np.bool_]:
    """(rows - 1,) True where a row and the next one agree in these columns."""
    n = table.num_rows
    same: NDArray[np.bool_] = np.ones(max(n - 1, 0), dtype=bool)
    for name in names:
        same &= _equal(table[name].slice(0, max(n - 1, 0)), table[name].slice(1))
    return same


def _equal(left: pa.ChunkedArray[Any], right: pa.ChunkedArray[Any]) -> NDArray[np.bool_]:
    """(rows,) True where the values are the same, or both null."""
    both = pc.and_(pc.is_null(left), pc.is_null(right))
    found: NDArray[np.bool_] = pc.or_(both, pc.fill_null(pc.equal(left, right), False)).to_numpy()
    return found


def _repeated(dropped: pa.Table, endpoint: Endpoint) -> list[Entry]:
    """One entry for each day."""
    days = dropped[endpoint.date_field].to_pylist()
    first: dict[str, int] = {}
    for row, day in enumerate(days):
        first.setdefault(str(day), row)
    counts = Counter(map(str, days))
    return [
        Entry(REPEATED, "", "", counts[day], day, day, record_of(dropped, row, endpoint))
        for day, row in first.items()
    ]


def record_of(table: pa.Table, row: int, endpoint: Endpoint) -> str:
    """Day, code and number of a filing, and whatever else is the key of a row, for people."""
    names = dict.fromkeys(
        name
        for name in (endpoint.date_field, "Code", *endpoint.key, *endpoint.told_apart_by)
        if name in table.schema.names
    )
    return shown_record({name: table[name][row].as_py() for name in names})


def _named(items: Sequence[str]) -> str:
    more = f" and {len(items) - _SHOWN} more" if len(items) > _SHOWN else ""
    return ", ".join(items[:_SHOWN]) + more
