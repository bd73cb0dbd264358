"""Checks and order of fetched rows: what was asked is what is there, in one order only."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.api.endpoints import Endpoint
from pipeline.api.paging import bad
from pipeline.errors import SnapshotError

_SHOWN = 5  # offenders named in an error


def ordered(table: pa.Table, endpoint: Endpoint) -> pa.Table:
    """``table`` sorted by the endpoint's day and key, so that no order of pages shows.

    Where rows have no key of their own, all columns decide.

    Raises:
        SnapshotError: two rows have the same key.
    """
    names = [endpoint.date_field, *endpoint.key]
    if not endpoint.unique:
        names += endpoint.schema.names
    names = list(dict.fromkeys(names))
    table = table.combine_chunks()
    if endpoint.unique and _ascends(table, names):
        return table
    table = table.sort_by([(name, "ascending") for name in names]).combine_chunks()
    if endpoint.unique:
        _refuse_duplicates(table, endpoint)
    return table


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


def _refuse_duplicates(table: pa.Table, endpoint: Endpoint) -> None:
    n = table.num_rows
    if n < 2:
        return
    same: NDArray[np.bool_] = np.ones(n - 1, dtype=bool)
    for name in endpoint.key:
        column = table[name].combine_chunks()
        same &= pc.equal(column.slice(0, n - 1), column.slice(1)).to_numpy(zero_copy_only=False)
    repeated = table.select(list(endpoint.key)).filter(pa.array(np.append(same, False)))
    if repeated.num_rows:
        keys = ["/".join(str(value) for value in row.values()) for row in repeated.to_pylist()]
        raise SnapshotError(
            f"{endpoint.source}: {len(keys)} duplicate keys ({'/'.join(endpoint.key)}): "
            f"{_named(keys)}",
            "rows moved between pages while the vendor updated them; run again",
        )


def _named(items: Sequence[str]) -> str:
    more = f" and {len(items) - _SHOWN} more" if len(items) > _SHOWN else ""
    return ", ".join(items[:_SHOWN]) + more
