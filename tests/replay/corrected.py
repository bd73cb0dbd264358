"""Which records the vendor corrected: read from the two caches, and asked of the simulator.

The caches tell it without knowing the simulator: a record that stands in two of the versions of
its day with different values was corrected. The simulator tells which records it was going to
correct, and when. Both must name the same ones.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.api.catalogue.endpoints import Endpoint, endpoint_of
from pipeline.cache.parts import Part
from pipeline.cache.snapshots import SnapshotStore
from pipeline.simulator.server import late_corrections as told
from tests.replay.mornings import Exchange, Replayed
from tests.tasks.commands import Home

Key = tuple[str, ...]
Row = dict[str, Any]
_PATHS = {"daily_bars": told.BARS, "listed": told.MASTER, "margin_interest": told.MARGIN}
_WHOLE_ROW = "(row)"


@dataclass(frozen=True)
class Correction:
    """A record of which the vendor told several things.

    Attributes:
        date: its day.
        code: of the issue; empty for a record about none.
        fields: what changed.
        first, last: values of the fields, as the replay first saw them and as they are now.
        seen: moment from which the replay had the last one, ISO; None when it never asked again.
    """

    source: str
    date: dt.date
    key: Key
    code: str
    fields: tuple[str, ...]
    first: tuple[Any, ...]
    last: tuple[Any, ...]
    seen: str | None

    def __str__(self) -> str:
        changes = ", ".join(
            f"{name} {old} -> {new}"
            for name, old, new in zip(self.fields, self.first, self.last, strict=True)
        )
        seen = f"seen {self.seen[:16]}" if self.seen else "never asked for again"
        return f"{self.source} {self.date} {self.code}: {changes} ({seen})"


@dataclass(frozen=True)
class _Version:
    arrived: str
    rows: dict[Key, Row]


def corrections_between(replayed: Home, built: Home) -> list[Correction]:
    """Every record that is not the same in all versions of its day, in order of source and day."""
    ours, theirs = (SnapshotStore(home.root, "simulator") for home in (replayed, built))
    found: list[Correction] = []
    for folder in sorted(path for path in theirs.root.iterdir() if path.is_dir()):
        endpoint = endpoint_of(folder.name)
        early, final = _versions(ours, endpoint), _versions(theirs, endpoint)
        for date in sorted(final.keys() & early.keys()):
            found.extend(_corrections_of(endpoint, date, early[date], final[date][-1]))
    return found


def promised(exchange: Exchange, replayed: Replayed, built: Home) -> set[tuple[str, str, str]]:
    """Source, date and code of the records that the simulator told otherwise at first.

    At first: when the replay asked for their day for the first time. By the last morning they are
    corrected, or both builds have the wrong value.
    """
    rules = told.Corrections(exchange.corrections, exchange.seed)
    now = np.datetime64(f"{replayed.last}T08:00", "m")
    ours, theirs = (SnapshotStore(home.root, "simulator") for home in (replayed.home, built))
    found = set()
    for source, path in _PATHS.items():
        endpoint = endpoint_of(source)
        asked: dict[str, str] = {}
        for part in ours.parts(source):
            for day in part.days:
                asked[day.date] = min(day.arrived, asked.get(day.date, day.arrived))
        for date, versions in _versions(theirs, endpoint).items():
            rows = list(versions[-1].rows.values())
            if not rows or date not in asked:
                continue
            table = _columns(rows)
            first = rules.as_seen(path, table, np.datetime64(asked[date][:16], "m"))
            final = rules.as_seen(path, table, now)
            found |= {
                (source, date, str(code))
                for at, code in enumerate(table["Code"])
                if any(_unlike(first[name][at], final[name][at]) for name in table)
            }
    return found


def _versions(store: SnapshotStore, endpoint: Endpoint) -> dict[str, list[_Version]]:
    """All versions of every day of a source, oldest first."""
    found: dict[str, dict[str, _Version]] = defaultdict(dict)
    for part in store.parts(endpoint.source):
        if not part.days:
            continue
        by_day = _by_day(store, endpoint, part)
        for day in part.days:
            found[day.date][day.arrived] = _Version(day.arrived, by_day.get(day.date, {}))
    return {
        date: [versions[arrived] for arrived in sorted(versions)]
        for date, versions in found.items()
    }


def _by_day(store: SnapshotStore, endpoint: Endpoint, part: Part) -> dict[str, dict[Key, Row]]:
    days: dict[str, dict[Key, Row]] = defaultdict(dict)
    for row in _rows(store.read_part(endpoint.source, part.file)):
        key = tuple(str(row[name]) for name in endpoint.key)
        days[str(row[endpoint.date_field])][key] = row
    return days


def _corrections_of(
    endpoint: Endpoint, date: str, early: list[_Version], final: _Version
) -> Iterator[Correction]:
    """The records of a day that changed."""
    first = early[0]
    for key in sorted(final.rows.keys() | {key for version in early for key in version.rows}):
        is_now = final.rows.get(key)
        was = first.rows.get(key)
        fields = _changed([version.rows.get(key) for version in (*early, final)])
        if not fields:
            continue
        seen = next((v.arrived for v in early if not _changed([v.rows.get(key), is_now])), None)
        yield Correction(
            endpoint.source,
            dt.date.fromisoformat(date),
            key,
            str((is_now or was or {}).get("Code", "")),
            fields,
            _values(was, fields),
            _values(is_now, fields),
            seen,
        )


def _changed(rows: list[Row | None]) -> tuple[str, ...]:
    """Names of the fields that are not the same in all of them."""
    present = [row for row in rows if row is not None]
    if len(present) < len(rows):
        return (_WHOLE_ROW,) if present else ()
    return tuple(
        name
        for name in present[0]
        if any(_unlike(row[name], present[0][name]) for row in present[1:])
    )


def _values(row: Row | None, fields: Iterable[str]) -> tuple[Any, ...]:
    return tuple(None if row is None else row.get(name) for name in fields)


def _unlike(one: Any, other: Any) -> bool:
    missing = [value is None or value != value for value in (one, other)]
    return one != other if missing == [False, False] else missing[0] != missing[1]


def _rows(table: pa.Table) -> list[Row]:
    rows: list[Row] = table.to_pylist()
    return rows


def _columns(rows: list[Row]) -> dict[str, Any]:
    """Columns as the simulator makes them, without what only it knows."""
    names = list(rows[0])
    columns = {name: np.array([row[name] for row in rows], dtype=object) for name in names}
    columns["Date"] = np.array([str(day) for day in columns["Date"]], dtype=object)
    return columns | {f"Adj{name}": columns[name] for name in "OC" if name in columns}
