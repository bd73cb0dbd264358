"""Snapshots: what was fetched of one source, immutable, shared and addressed by a readable key.

``cache/<source>/parts/`` holds small Parquet parts named by period and content, each with a
JSON note of its provenance that is written last and so commits it. A closed month is one part;
the days of an open month are a part each. A snapshot, ``cache/<source>/<key>.json``, lists the
parts that answer one request, so snapshots of different ranges share what they have in common.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.errors import MissingData, StorageError
from pipeline.storage import atomic, documents

WHOLE = "all"  # period of a source that is always fetched in one piece


@dataclass(frozen=True)
class Part:
    """One immutable piece of a source.

    Attributes:
        period: ``YYYY-MM``, ``YYYY-MM-DD`` or ``all``.
        file: name inside ``parts/``.
        sha256: of the file.
        rows, bytes: size.
        dates: sessions the part answers for, ISO, ascending; empty for period ``all``.
        origin: api, files or simulator.
        route: how it came: requests, bulk or files.
        fetched_at: when this content was first seen, ISO, JST.
    """

    period: str
    file: str
    sha256: str
    rows: int
    bytes: int
    dates: tuple[str, ...]
    origin: str
    route: str
    fetched_at: str


def snapshot_key(
    source: str, start: dt.date, end: dt.date, asof: dt.date | None, tag: str | None
) -> str:
    """``<source>_raw_<start>_<end>[_asof-<date>][_<tag>]``."""
    suffix = (f"_asof-{asof}" if asof else "") + (f"_{tag}" if tag else "")
    return f"{source}_raw_{start}_{end}{suffix}"


def choose_parts(parts: Iterable[Part], wanted: Sequence[str]) -> tuple[list[Part], list[str]]:
    """Parts that together answer for as many wanted dates as possible, each date once.

    The largest parts come first, of equal ones the newest; a part that overlaps a chosen one is
    left aside, so no row is ever read twice.

    Returns:
        The chosen parts in order of their dates, and the wanted dates still missing.
    """
    open_dates = set(wanted)
    taken: set[str] = set()
    chosen: list[Part] = []
    for part in sorted(parts, key=lambda p: (len(p.dates), p.fetched_at, p.file), reverse=True):
        dates = set(part.dates)
        if dates & open_dates and not dates & taken:
            chosen.append(part)
            taken |= dates
            open_dates -= dates
    return sorted(chosen, key=lambda p: p.dates), sorted(open_dates)


class SnapshotStore:
    """The ``cache/`` folder of one output root, seen by one origin.

    Parts and snapshots of another origin are as good as absent: synthetic data never mix with
    real ones.
    """

    def __init__(self, root: Path, origin: str) -> None:
        self.root = root / "cache"
        self.origin = origin

    def parts(self, source: str) -> list[Part]:
        """Every committed part of a source."""
        notes = sorted((self.root / source / "parts").glob("*.json"))
        parts = [_read_note(note) for note in notes]
        return [part for part in parts if part is not None and part.origin == self.origin]

    def add(
        self,
        source: str,
        period: str,
        dates: Sequence[str],
        table: pa.Table,
        *,
        fetched_at: str,
        route: str = "requests",
    ) -> Part:
        """Write a part and commit it. Equal content is kept as first seen.

        Args:
            table: rows sorted by the source's key.
        """
        buffer = io.BytesIO()
        pq.write_table(table, buffer, compression="zstd", compression_level=3)
        content = buffer.getvalue()
        digest = hashlib.sha256(content).hexdigest()
        folder = self.root / source / "parts"
        name = f"{period}-{self.origin}-{digest[:16]}"
        known = _read_note(folder / f"{name}.json")
        if known is not None and known.dates == tuple(dates):
            return known
        part = Part(
            period=period,
            file=f"{name}.parquet",
            sha256=digest,
            rows=table.num_rows,
            bytes=len(content),
            dates=tuple(dates),
            origin=self.origin,
            route=route,
            fetched_at=fetched_at,
        )
        atomic.write_bytes(folder / part.file, content)
        atomic.write_json(folder / f"{name}.json", asdict(part))
        return part

    def commit(
        self,
        source: str,
        key: str,
        parts: Sequence[Part],
        *,
        start: dt.date,
        end: dt.date,
        asof: dt.date | None,
        tag: str | None,
        checked_at: str,
        client_version: str,
    ) -> Mapping[str, Any]:
        """Make a snapshot of these parts visible under its key."""
        document = {
            "source": source,
            "key": key,
            "origin": self.origin,
            "start": str(start),
            "end": str(end),
            "asof": str(asof) if asof else None,
            "tag": tag,
            "route": "+".join(sorted({part.route for part in parts})) or "requests",
            "client_version": client_version,
            "checked_at": checked_at,
            "fetched_at": max((part.fetched_at for part in parts), default=checked_at),
            "rows": sum(part.rows for part in parts),
            "sha256": _digest(parts),
            "parts": [
                {name: value for name, value in asdict(part).items() if name != "origin"}
                for part in parts
            ],
        }
        documents.write_document(self.root / source / f"{key}.json", "snapshot", document)
        return document

    def find(self, source: str, key: str) -> Mapping[str, Any] | None:
        """The snapshot of a key, or None when it is absent, damaged or of another origin."""
        path = self.root / source / f"{key}.json"
        if not path.exists():
            return None
        try:
            document = documents.read_document(path, "snapshot")
        except StorageError:
            return None
        whole = all(
            _size(self.root / source / "parts" / part["file"]) == part["bytes"]
            for part in document["parts"]
        )
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
        """Rows of a snapshot with ``first <= Date <= last``.

        Raises:
            StorageError: a part is missing or damaged.
        """
        low, high = str(first or dt.date.min), str(last or dt.date.max)
        files = [
            part["file"]
            for part in snapshot["parts"]
            if not part["dates"] or (part["dates"][-1] >= low and part["dates"][0] <= high)
        ]
        table = pa.concat_tables([
            self.read_part(snapshot["source"], name, columns) for name in files
        ])  # fmt: skip
        if first is not None:
            table = table.filter(pc.greater_equal(table["Date"], pa.scalar(first, pa.date32())))
        if last is not None:
            table = table.filter(pc.less_equal(table["Date"], pa.scalar(last, pa.date32())))
        return table

    def read_part(self, source: str, file: str, columns: Sequence[str] | None = None) -> pa.Table:
        """One part.

        Raises:
            StorageError: it is missing or damaged.
        """
        path = self.root / source / "parts" / file
        try:
            return pq.read_table(path, columns=list(columns) if columns else None)
        except (OSError, pa.ArrowException) as error:
            raise StorageError(
                f"snapshot part {path}: cannot be read: {error}",
                "delete it and its .json note; the next run fetches it again",
            ) from error


def _digest(parts: Sequence[Part]) -> str:
    return hashlib.sha256("\n".join(part.sha256 for part in parts).encode()).hexdigest()


def _read_note(path: Path) -> Part | None:
    """The note of a part; None when it is absent or no such note."""
    try:
        note = json.loads(path.read_text("utf-8"))
        part = Part(**{**note, "dates": tuple(note["dates"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return part if _size(path.with_name(part.file)) == part.bytes else None


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1
