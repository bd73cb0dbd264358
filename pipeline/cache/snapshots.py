"""Snapshots: what was fetched of one source, immutable, shared and addressed by a readable key.

``cache/<source>/parts/`` holds small Parquet parts named by period, arrival and content, each
with a JSON note of its provenance that is written last and so commits it. A closed month is one
part; the days of an open month are a part each. A snapshot, ``cache/<source>/<key>.json``, lists
the parts that answer one request, so snapshots of different ranges share what they have in common.

What changed at the vendor is kept as first seen: the new content becomes another part, and per
day the newest one counts, or the newest that had arrived by an as-of day. The Parquet file never
changes; the note does in one respect, the moment each day was last found unchanged.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.cache.parts import Day, Part, Selection, notes_in
from pipeline.errors import DamagedFile, MissingData, StorageError
from pipeline.filesystem import atomic, documents
from pipeline.filesystem.local_copies import local_copy
from pipeline.filesystem.location import on_host, sizes_in
from pipeline.quarantine import Entry, from_json, merged, without_notes

WHOLE = "all"  # period of a source that is always fetched in one piece
_ROWS_AT_ONCE = 1 << 16
_COMPRESSION_LEVEL = 1  # a sixth larger than level 3, and a third faster


def snapshot_key(
    source: str, start: dt.date, end: dt.date, asof: dt.date | None, tag: str | None
) -> str:
    """``<source>_raw_<start>_<end>[_asof-<date>][_<tag>]``."""
    suffix = (f"_asof-{asof}" if asof else "") + (f"_{tag}" if tag else "")
    return f"{source}_raw_{start}_{end}{suffix}"


class SnapshotStore:
    """The ``cache/`` folder of one output root, seen by one origin.

    Parts and snapshots of another origin are as good as absent: synthetic data never mix with
    real ones.
    """

    def __init__(self, root: Path, origin: str) -> None:
        self.root = root / "cache"
        self._spools = on_host(root) / "cache"
        self.origin = origin

    def spool_folder(self, source: str) -> Path:
        """Where days wait for their part."""
        return self._spools / source / "spool"

    def parts(self, source: str) -> list[Part]:
        """Every committed part of a source."""
        parts = notes_in(self.root / source / "parts").values()
        return [part for part in parts if part is not None and part.origin == self.origin]

    def add(
        self,
        source: str,
        period: str,
        days: Sequence[Day],
        table: pa.Table,
        *,
        fetched_at: str,
        route: str = "requests",
        quarantine: Sequence[Mapping[str, Any]] = (),
    ) -> Part:
        """Write a part and commit it.

        A piece without days, that is period ``all``, is kept as first seen when its content is
        that of the newest one.

        Args:
            days: what it answers for, ascending, with the rows of each.
            table: rows sorted by the source's key.
            quarantine: what of the rows could not be taken as it came, per day, as documents.

        Raises:
            StorageError: the file system refused.
        """
        buffer = io.BytesIO()
        # Deterministic: the same rows are the same bytes. Parts are read whole, so statistics
        # help nobody, and numbers hardly repeat, so a dictionary only costs time and space.
        pq.write_table(
            without_notes(table),
            buffer,
            compression="zstd",
            compression_level=_COMPRESSION_LEVEL,
            use_dictionary=[
                field.name for field in table.schema if not pa.types.is_floating(field.type)
            ],
            write_statistics=False,
            data_page_version="2.0",
            write_batch_size=_ROWS_AT_ONCE,
        )
        content = buffer.getvalue()
        digest = hashlib.sha256(content).hexdigest()
        if not days:
            pieces = [part for part in self.parts(source) if part.period == period]
            newest = max(pieces, key=lambda part: part.fetched_at, default=None)
            if newest is not None and newest.sha256 == digest:
                return newest
        folder = self.root / source / "parts"
        moment = fetched_at[:19].replace("-", "").replace(":", "")
        part = Part(
            period=period,
            file=f"{period}-{self.origin}-{moment}-{digest[:16]}.parquet",
            sha256=digest,
            rows=table.num_rows,
            bytes=len(content),
            days=tuple(days),
            origin=self.origin,
            route=route,
            fetched_at=fetched_at,
            quarantine=tuple(quarantine),
        )
        atomic.write_bytes(folder / part.file, content)
        self._write_note(source, part)
        return part

    def note_unchanged(self, source: str, part: Part, dates: Iterable[str], checked: str) -> Part:
        """Note that the server gave these days of a part again as they are.

        Raises:
            StorageError: the file system refused.
        """
        same = set(dates)
        days = [replace(day, checked=checked) if day.date in same else day for day in part.days]
        part = replace(part, days=tuple(days))
        self._write_note(source, part)
        return part

    def commit(
        self,
        source: str,
        key: str,
        selections: Sequence[Selection],
        *,
        date_field: str,
        start: dt.date,
        end: dt.date,
        asof: dt.date | None,
        tag: str | None,
        checked_at: str,
        client_version: str,
    ) -> Mapping[str, Any]:
        """Make a snapshot of these parts visible under its key.

        Args:
            date_field: column that holds the days.

        Raises:
            StorageError: the document breaks its schema, or the file system refused.
        """
        entries = [_entry(selection) for selection in selections]
        document = {
            "source": source,
            "key": key,
            "origin": self.origin,
            "start": str(start),
            "end": str(end),
            "asof": str(asof) if asof else None,
            "tag": tag,
            "route": _routes(entry["route"] for entry in entries) or "requests",
            "client_version": client_version,
            "checked_at": checked_at,
            "fetched_at": max((entry["fetched_at"] for entry in entries), default=checked_at),
            "date_field": date_field,
            "rows": sum(entry["rows"] for entry in entries),
            "sha256": _digest(entries),
            "parts": entries,
        }
        documents.write_document(self.root / source / f"{key}.json", "snapshot", document)
        return document

    def find(self, source: str, key: str) -> Mapping[str, Any] | None:
        """The snapshot of a key, or None when it is absent, damaged or of another origin.

        Raises:
            StorageError: it cannot be read.
        """
        path = self.root / source / f"{key}.json"
        try:
            document = documents.read_document(path, "snapshot")
        except (MissingData, DamagedFile):
            return None
        sizes = sizes_in(self.root / source / "parts")
        whole = all(sizes.get(part["file"]) == part["bytes"] for part in document["parts"])
        return document if whole and document["origin"] == self.origin else None

    def get(self, source: str, key: str) -> Mapping[str, Any]:
        """The snapshot of a key.

        Raises:
            MissingData: it is absent, damaged or of another origin.
        """
        found = self.find(source, key)
        if found is None:
            raise MissingData(
                f"snapshot {key} of origin {self.origin}: not in {self.root}",
                "run again; the missing parts are fetched",
            )
        return found

    def newest(self, source: str) -> Mapping[str, Any] | None:
        """The snapshot of a source that was checked last."""
        keys = [path.stem for path in (self.root / source).glob("*.json")]
        found = [document for key in keys if (document := self.find(source, key))]
        return max(found, key=lambda d: (d["checked_at"], d["key"]), default=None)

    def read(
        self,
        snapshot: Mapping[str, Any],
        columns: Sequence[str] | None = None,
        first: dt.date | None = None,
        last: dt.date | None = None,
    ) -> pa.Table:
        """Rows of a snapshot dated in [first, last], each once.

        Raises:
            StorageError: a part is missing or damaged.
        """
        low, high = str(first or dt.date.min), str(last or dt.date.max)
        field = snapshot["date_field"]
        names = None if columns is None else list(dict.fromkeys([*columns, field]))
        inside = [
            entry
            for entry in snapshot["parts"]
            if not entry["dates"] or (entry["dates"][-1] >= low and entry["dates"][0] <= high)
        ]
        tables = [
            self._rows_of(snapshot["source"], entry, field, names, first, last)
            for entry in inside or snapshot["parts"][:1]  # one gives the columns at least
        ]
        table = pa.concat_tables(tables)
        return table if columns is None else table.select(list(columns))

    def read_days(self, source: str, part: Part, dates: Sequence[str], date_field: str) -> pa.Table:
        """The rows of some days of a part, in the part's order.

        Raises:
            StorageError: it is missing or damaged.
        """
        table = self.read_part(source, part.file)
        return _of_days(table, date_field, None if len(dates) == len(part.days) else dates)

    def read_part(self, source: str, file: str, columns: Sequence[str] | None = None) -> pa.Table:
        """One part.

        Raises:
            StorageError: it is missing or damaged.
        """
        path = self.root / source / "parts" / file
        try:
            return pq.read_table(local_copy(path), columns=list(columns) if columns else None)
        except (OSError, pa.ArrowException) as error:
            raise StorageError(
                f"snapshot part {path}: cannot be read: {error}",
                "delete it and its .json note; the next run fetches it again",
            ) from error

    def _rows_of(
        self,
        source: str,
        entry: Mapping[str, Any],
        field: str,
        columns: Sequence[str] | None,
        first: dt.date | None,
        last: dt.date | None,
    ) -> pa.Table:
        """What a snapshot takes of a part, of the days in [first, last]."""
        table = self.read_part(source, entry["file"], columns)
        table = _of_days(table, field, None if entry["whole"] else entry["dates"])
        days = entry["dates"]
        if days and str(first or days[0]) <= days[0] and days[-1] <= str(last or days[-1]):
            return table  # most parts: a filter would copy them
        return _between(table, field, first, last)

    def _write_note(self, source: str, part: Part) -> None:
        path = self.root / source / "parts" / part.file
        atomic.write_json(path.with_suffix(".json"), asdict(part))


def _entry(selection: Selection) -> dict[str, Any]:
    """What a snapshot says about one of its parts."""
    part, days = selection.part, selection.days
    dates = {day.date for day in days}
    notes = [e for e in part.quarantine if not dates or e["first"] in dates]
    return {
        "period": part.period,
        "file": part.file,
        "sha256": part.sha256,
        "rows": sum(day.rows for day in days) if part.days else part.rows,
        "bytes": part.bytes,
        "dates": [day.date for day in days],
        "whole": selection.whole,
        "route": part.route,
        "fetched_at": max((day.arrived for day in days), default=part.fetched_at),
        **({"quarantine": notes} if notes else {}),
    }


def quarantine_of(
    snapshot: Mapping[str, Any], first: str = "", last: str = "9"
) -> tuple[Entry, ...]:
    """What of a snapshot's rows dated in [first, last] could not be taken as it came.

    Args:
        first, last: days, ISO.
    """
    entries = from_json(e for part in snapshot["parts"] for e in part.get("quarantine", ()))
    return merged(entry for entry in entries if first <= entry.first <= last)


def _between(table: pa.Table, field: str, first: dt.date | None, last: dt.date | None) -> pa.Table:
    if first is not None:
        table = table.filter(pc.greater_equal(table[field], pa.scalar(first, pa.date32())))
    if last is not None:
        table = table.filter(pc.less_equal(table[field], pa.scalar(last, pa.date32())))
    return table


def _of_days(table: pa.Table, field: str, dates: Sequence[str] | None) -> pa.Table:
    """The rows of these days; all of them for None."""
    if dates is None:
        return table
    days = pa.array([dt.date.fromisoformat(date) for date in dates], pa.date32())
    return table.filter(pc.is_in(table[field], value_set=days))


def _routes(routes: Iterable[str]) -> str:
    return "+".join(sorted({route for text in routes for route in text.split("+")}))


def _digest(entries: Sequence[Mapping[str, Any]]) -> str:
    """Hash of what a snapshot holds: the hashes of its parts, and the days of split ones."""
    lines = [" ".join([e["sha256"], *([] if e["whole"] else e["dates"])]) for e in entries]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
