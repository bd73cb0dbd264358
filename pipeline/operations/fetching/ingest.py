"""From received days to parts of the cache, whatever way and in whatever order they came.

1. A day that came is put into the spool at once, so that a killed run loses nothing.
2. When the last day of a month is there, the month is put in order and checked: no key twice with
   other values, no field of which too much cannot be read, no day much thinner than its neighbours.
3. Days that equal what the cache has are noted as unchanged; the others are written, a month
   that is over as one part, the days of the open month as a part each; the spool lets them go.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.api.catalogue.endpoints import Endpoint
from pipeline.api.decode.row_checks import ordered, require_readable
from pipeline.cache.fetch_policy import Known, Rules, Wanted, decide
from pipeline.cache.parts import Day, Part, newest_days
from pipeline.cache.snapshots import SnapshotStore
from pipeline.cache.spool import Spool
from pipeline.errors import SnapshotError
from pipeline.quarantine import concatenated, from_json, noted, notes_of, of_days, to_json

THIN = 0.5  # of the median of its neighbours: with fewer rows a day is not believed
_NEIGHBOURS = 10  # on each side
_FEWEST = 3  # neighbours, to judge by


@dataclass(frozen=True)
class _Batch:
    """Rows of some days that came together."""

    dates: tuple[str, ...]
    table: pa.Table
    arrived: str
    route: str


class Receiver:
    """Takes the days of one fetch.

    Args:
        due: days that are to come; a month is written when its last one is there.
        parts: what the cache has.
        writes: False only notes which days are as the cache has them; see ``differing``.

    Attributes:
        differing: days that came with other rows than the cache has and were not written.
    """

    def __init__(
        self,
        store: SnapshotStore,
        endpoint: Endpoint,
        rules: Rules,
        due: Iterable[str],
        parts: Sequence[Part],
        *,
        writes: bool = True,
    ) -> None:
        self.differing: set[str] = set()
        self._writes = writes
        self._store = store
        self._spool = Spool(store.spool_folder(endpoint.source), store.origin)
        self._endpoint = endpoint
        self._rules = rules
        self._known = newest_days(parts)
        self._counts = {date: day.rows for date, (_, day) in self._known.items()}
        self._held: dict[str, list[_Batch]] = defaultdict(list)
        self._waiting: dict[str, set[str]] = defaultdict(set)
        self._thin: dict[str, tuple[int, float]] = {}
        for date in due:
            self._waiting[date[:7]].add(date)
        self._due = {month: frozenset(dates) for month, dates in self._waiting.items()}

    def take_spooled(self, wanted: Iterable[Wanted]) -> list[str]:
        """Take what an earlier run left in the spool, as far as it is as good as the cache.

        A file that is damaged or holds other columns is passed over, and its day asked for.

        Args:
            wanted: the days that are due.

        Returns:
            The days taken.
        """
        spooled = self._spool.days()
        # A run that died between writing a part and forgetting its days.
        put_away = [
            date
            for date, entry in spooled.items()
            if date in self._known and self._known[date][1].arrived >= entry.arrived
        ]
        self._spool.drop(put_away)
        spooled = {date: entry for date, entry in spooled.items() if date not in put_away}
        known = {date: [Known(entry.arrived, entry.arrived)] for date, entry in spooled.items()}
        taken = []
        for date in decide(self._rules, wanted, known).keep:
            entry = spooled[date]
            table = self._spool.read(entry)
            if table is not None and table.schema.equals(self._endpoint.schema):
                self._hold(_Batch((date,), table, entry.arrived, entry.route))
                taken.append(date)
        return taken

    def keep(self, dates: Sequence[str], table: pa.Table, route: str) -> None:
        """Take days as they came.

        Args:
            dates: days ``table`` answers for, of one month; a day without rows is one without.
            table: their rows and no others.

        Raises:
            SnapshotError: columns or types are not those of the endpoint table; two rows have the
                same key and other values; or too much of a field cannot be read.
            StorageError: the file system refused.
        """
        _require_schema(table, self._endpoint)
        table = noted(table, of_days(notes_of(table), dates))  # a file tells of all of its days
        if len(dates) == 1 and len(self._waiting[dates[0][:7]]) > 1:
            self._spool.put(dates[0], table, arrived=self._rules.now, route=route)
        self._hold(_Batch(tuple(dates), table, self._rules.now, route))

    def leave_out(self, dates: Iterable[str]) -> None:
        """Wait no longer for days that cannot be had.

        Raises:
            SnapshotError, StorageError: as ``keep``, for a month that is all there without them.
        """
        gone = set(dates)
        for month in sorted({date[:7] for date in gone}):
            self._waiting[month] -= gone
            if not self._waiting[month] and month in self._held:
                self._settle(month, self._held.pop(month))

    def begin_again(self, month: str) -> list[str]:
        """Forget what came of a month; the days that were due in it, which are to come again."""
        self._held.pop(month, None)
        again = sorted(self._due.get(month, ()))
        self._waiting[month] = set(again)
        self._spool.drop(again)
        return again

    def doubted(self) -> list[str]:
        """Days that were not believed, ascending; they may come again."""
        again = sorted(self._thin)
        self._thin.clear()
        for date in again:
            self._waiting[date[:7]].add(date)
        return again

    def close(self) -> None:
        """Say which days were not believed.

        Raises:
            SnapshotError: there are such days; they are not kept.
        """
        if not self._thin:
            return
        shown = [
            f"{date} ({rows:,} rows, its neighbours {usual:,.0f})"
            for date, (rows, usual) in sorted(self._thin.items())[:5]
        ]
        more = f" and {len(self._thin) - 5} more" if len(self._thin) > 5 else ""
        raise SnapshotError(
            f"{self._endpoint.source}: {len(self._thin)} days have less than {THIN:.0%} of the "
            f"usual rows: {', '.join(shown)}{more}",
            "the delivery looks incomplete and was not kept; run again later",
        )

    def _hold(self, batch: _Batch) -> None:
        month = batch.dates[0][:7]
        self._held[month].append(batch)
        self._waiting[month] -= set(batch.dates)
        if not self._waiting[month]:
            self._settle(month, self._held.pop(month))

    def _settle(self, month: str, batches: Sequence[_Batch]) -> None:
        """Check a month that is all there, and write what is new in it."""
        dates = [date for batch in batches for date in batch.dates]
        try:
            table = _in_order(batches, self._endpoint)
            self._require_readable(month, dates, table)
        except SnapshotError:
            self._spool.drop(dates)  # or the next run would only find them again
            raise
        counts = _counts(table, self._endpoint.date_field, dates)
        believed = self._believed(counts)
        changed = believed - self._unchanged(believed, table)
        if not self._writes:
            self.differing |= changed
            return
        came = {date: batch for batch in batches for date in batch.dates}
        for period, days in self._periods(month, changed):
            self._write(period, days, counts, came, table)
        self._spool.drop(dates)

    def _require_readable(self, month: str, dates: Sequence[str], table: pa.Table) -> None:
        """The share of unreadable values is that of the month: with the days the cache has of it.

        Raises:
            SnapshotError: it is too large.
        """
        if not notes_of(table):
            return
        others: dict[str, list[str]] = defaultdict(list)
        parts: dict[str, Part] = {}
        for date, (part, _) in sorted(self._known.items()):
            if date[:7] == month and date not in dates:
                parts[part.file] = part
                others[part.file].append(date)
        earlier = [
            _read_noted(self._store, self._endpoint, parts[file], days)
            for file, days in others.items()
        ]
        require_readable(concatenated([table, *earlier]), self._endpoint)

    def _believed(self, counts: Mapping[str, int]) -> set[str]:
        self._counts.update(counts)
        if not self._endpoint.every_session:
            return set(counts)
        thin = thin_days(self._counts, counts)
        for date in thin:
            if self._endpoint.promises_rows(dt.date.fromisoformat(date)):
                self._thin[date] = thin[date]
        return set(counts) - self._thin.keys()

    def _unchanged(self, dates: Iterable[str], table: pa.Table) -> set[str]:
        """The days whose rows are those of the newest version in the cache."""
        by_part: dict[str, list[str]] = defaultdict(list)
        parts: dict[str, Part] = {}
        for date in sorted(dates):
            if date in self._known:
                part = self._known[date][0]
                parts[part.file] = part
                by_part[part.file].append(date)
        same: set[str] = set()
        for file, days in by_part.items():
            field, source = self._endpoint.date_field, self._endpoint.source
            earlier = self._store.read_days(source, parts[file], days, field)
            equal = {day for day in days if _rows(earlier, field, [day]).equals(
                _rows(table, field, [day]))}  # fmt: skip
            if equal:
                self._store.note_unchanged(source, parts[file], equal, self._rules.now)
            same |= equal
        return same

    def _periods(self, month: str, dates: Iterable[str]) -> list[tuple[str, list[str]]]:
        days = sorted(dates)
        if not days:
            return []
        return [(month, days)] if self._rules.closed(month) else [(day, [day]) for day in days]

    def _write(
        self,
        period: str,
        dates: Sequence[str],
        counts: Mapping[str, int],
        came: Mapping[str, _Batch],
        table: pa.Table,
    ) -> None:
        whole = len(dates) == len(counts)
        self._store.add(
            self._endpoint.source,
            period,
            [Day(date, counts[date], came[date].arrived, came[date].arrived) for date in dates],
            table if whole else _rows(table, self._endpoint.date_field, dates),
            fetched_at=max(came[date].arrived for date in dates),
            route="+".join(sorted({came[date].route for date in dates})),
            quarantine=to_json(of_days(notes_of(table), dates)),
        )


def compact(store: SnapshotStore, endpoint: Endpoint, rules: Rules, parts: Sequence[Part]) -> None:
    """Put the parts of each month that is over into one, every day with its own arrival.

    The old parts stay for the snapshots that list them, until they are pruned.

    Raises:
        StorageError: a part is missing or damaged, or the file system refused.
    """
    months: dict[str, dict[str, list[Day]]] = defaultdict(lambda: defaultdict(list))
    by_file = {part.file: part for part in parts}
    for date, (part, day) in sorted(newest_days(parts).items()):
        if rules.closed(date):
            months[date[:7]][part.file].append(day)
    for month, pieces in months.items():
        if len(pieces) == 1:
            continue
        batches = [
            _Batch(
                tuple(day.date for day in days),
                _read_noted(store, endpoint, by_file[file], [day.date for day in days]),
                by_file[file].fetched_at,
                by_file[file].route,
            )
            for file, days in pieces.items()
        ]
        table = _in_order(batches, endpoint)
        store.add(
            endpoint.source,
            month,
            sorted((day for days in pieces.values() for day in days), key=lambda day: day.date),
            table,
            fetched_at=max(day.arrived for days in pieces.values() for day in days),
            route="+".join(sorted({r for batch in batches for r in batch.route.split("+")})),
            quarantine=to_json(notes_of(table)),
        )


def _read_noted(
    store: SnapshotStore, endpoint: Endpoint, part: Part, dates: Sequence[str]
) -> pa.Table:
    """The rows of some days of a part, with what is noted of them."""
    rows = store.read_days(endpoint.source, part, dates, endpoint.date_field)
    return noted(rows, of_days(from_json(part.quarantine), dates))


def thin_days(counts: Mapping[str, int], judged: Iterable[str]) -> dict[str, tuple[int, float]]:
    """Days with less than ``THIN`` of the median of up to ten neighbours on each side.

    Args:
        counts: rows of every known day, the judged ones among them.

    Returns:
        Rows, and the median of the neighbours, of each such day.
    """
    order = sorted(counts)
    place = {date: at for at, date in enumerate(order)}
    found = {}
    for date in judged:
        at = place[date]
        near = order[max(0, at - _NEIGHBOURS) : at] + order[at + 1 : at + 1 + _NEIGHBOURS]
        if len(near) < _FEWEST:
            continue
        usual = median(counts[other] for other in near)
        if counts[date] < THIN * usual:
            found[date] = (counts[date], float(usual))
    return found


def _in_order(batches: Sequence[_Batch], endpoint: Endpoint) -> pa.Table:
    """The rows of all batches as one table, so that the order in which they came cannot show.

    Raises:
        SnapshotError: two rows have the same key and other values, be it on one day or on two.
    """
    table = ordered(concatenated([batch.table for batch in batches]), endpoint)
    if endpoint.unique and endpoint.date_field not in endpoint.key and table.num_rows:
        date = endpoint.date_field
        keys = (
            table.select([*endpoint.key, date])
            .group_by(list(endpoint.key))
            .aggregate([(date, "count_distinct")])
        )
        twice = keys.filter(pc.greater(keys[f"{date}_count_distinct"], 1))
        if twice.num_rows:
            shown = ["/".join(str(row[name]) for name in endpoint.key) for row in twice.to_pylist()]
            raise SnapshotError(
                f"{endpoint.source}: {len(shown)} keys ({'/'.join(endpoint.key)}) stand on "
                f"several days: {', '.join(sorted(shown)[:5])}",
                "the vendor moved records while they were read; run again",
            )
    return table


def _require_schema(table: pa.Table, endpoint: Endpoint) -> None:
    if table.schema.equals(endpoint.schema):
        return
    found = {field.name: str(field.type) for field in table.schema}
    expected = {field.name: str(field.type) for field in endpoint.schema}
    wrong = [
        f"{name}: expected {expected.get(name, 'no such field')}, got {found.get(name, 'nothing')}"
        for name in dict.fromkeys([*expected, *found])
        if expected.get(name) != found.get(name)
    ]
    raise SnapshotError(
        f"{endpoint.source}: {len(wrong)} fields are not as agreed: "
        f"{'; '.join(wrong[:5]) or 'their order'}",
        "compare the file or answer with the endpoint table",
    )


def _rows(table: pa.Table, field: str, dates: Sequence[str]) -> pa.Table:
    days = pa.array([dt.date.fromisoformat(date) for date in dates], pa.date32())
    return table.filter(pc.is_in(table[field], value_set=days)).combine_chunks()


def _counts(table: pa.Table, field: str, dates: Iterable[str]) -> dict[str, int]:
    """Rows of each day; 0 where there are none."""
    counted = {
        str(entry["values"]): int(entry["counts"])
        for entry in pc.value_counts(table[field].combine_chunks()).to_pylist()
    }
    return {date: counted.get(date, 0) for date in sorted(dates)}
