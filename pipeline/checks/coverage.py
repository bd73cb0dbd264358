"""Whether a chunk has the rows it must have: sessions by the calendar, stocks by the listing.

The listing records are those of the snapshot that the status of the chunk names, with the same
sha256: what the vendor corrected later is no fault of the chunk. Where that snapshot is gone, the
newest records in the cache are looked at instead, and what differs is a warning. Where they are
gone too, the answer is *not checked*, and why.

An answer counts for the keys it was given for: as long as keys and listing snapshot of a chunk
stay the same, the listing is not read again.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.cache.parts import select
from pipeline.cache.snapshots import SnapshotStore
from pipeline.errors import PipelineError
from pipeline.market.calendar.sessions import DateArray, TradingCalendar
from pipeline.market.panel import row_rules
from pipeline.market.panel.universe import member_keys

Document = Mapping[str, Any]

LISTED = "listed"
COLUMNS = ("Date", "Code", "Mkt", "S33")

#: The first day of a chunk may be a closed one in front of the first session of the calendar. Ten
#: closed days around the accession of 2019 were the most there ever were.
_LONGEST_CLOSURE = np.timedelta64(11, "D")


@dataclass(frozen=True)
class Answer:
    """What can be said of the rows of one chunk.

    Attributes:
        holes: what is missing, and what should not be there, one line each.
        warnings: what differs from listing records that came after the chunk was built.
        receipt: for the report: what was compared with what, and what was not checked.
    """

    holes: tuple[str, ...]
    warnings: tuple[str, ...]
    receipt: dict[str, Any]


@dataclass(frozen=True)
class _Listing:
    """Listing records to compare with.

    Attributes:
        read: gives them for a range of days.
        recorded: True for those the chunk was built from.
        days: the days they answer for, ISO.
    """

    read: Callable[[dt.date, dt.date], pa.Table]
    recorded: bool
    days: frozenset[str]


@dataclass(frozen=True)
class Coverage:
    """Holds chunks against calendar and listing, from any number of threads.

    Attributes:
        root: the output root with the cache.
        calendar: the published trading days; None when the cache has none.
        earlier: receipts of answers given before, by chunk.
    """

    root: Path
    calendar: TradingCalendar | None
    earlier: Mapping[str, Document] = field(default_factory=dict)

    def answer(self, status: Document, metadata: Document | None, keys: pa.Table) -> Answer:
        """What is to be said of a completed chunk.

        Args:
            status: its status.
            metadata: its metadata; None when they cannot be read.
            keys: Date (date32) and Code of its rows, in order.

        Raises:
            StorageError: a part of the cache that is there cannot be read.
        """
        first, last = (dt.date.fromisoformat(status[f"covered_{end}"]) for end in ("from", "to"))
        keys = keys.drop_null()  # the gate has a word on such rows
        days = set(pc.unique(keys["Date"]).to_pylist())
        unchecked: dict[str, str] = {}
        holes: list[str] = []
        sessions = self._sessions(first, last, unchecked)
        if sessions is not None and self.calendar is not None:
            lost = row_rules.lost_sessions(days, self.calendar, first, last)
            if lost:
                shown = row_rules.some(lost)
                holes.append(f"{len(lost)} sessions of {first} to {last} have no row: {shown}")
        digest = keys_digest(keys)
        listing_key, listing_sha256 = _listing_of(status)
        receipt: dict[str, Any] = {
            "keys_sha256": digest,
            "sessions": len(days),
            "listing": None,
            "listing_sha256": None,
            "unchecked": unchecked,
        }
        before = self.earlier.get(status["chunk_id"])
        if before is not None and listing_sha256 is not None and (
            (before["keys_sha256"], before["listing_sha256"]) == (digest, listing_sha256)
        ):  # fmt: skip
            kept = {"listing": listing_key, "listing_sha256": listing_sha256}
            return Answer(tuple(holes), (), receipt | kept)
        found = self._against_listing(status, metadata, keys, (first, last), sessions, unchecked)
        warnings = found.warnings
        if found.exact:
            receipt |= {"listing": listing_key, "listing_sha256": listing_sha256}
        return Answer((*holes, *found.holes), warnings, receipt)

    def _sessions(
        self, first: dt.date, last: dt.date, unchecked: dict[str, str]
    ) -> DateArray | None:
        """The sessions of a range; None, and why, where the calendar does not know them."""
        if self.calendar is None:
            unchecked["sessions"] = "no trading calendar in the cache"
            return None
        known = self.calendar.sessions
        if (
            np.datetime64(first) < known[0] - _LONGEST_CLOSURE
            or np.datetime64(last) > known[-1] + _LONGEST_CLOSURE
        ):
            unchecked["sessions"] = (
                f"the trading calendar in the cache is of {known[0]} to {known[-1]} only"
            )
            return None
        return self.calendar.between(np.datetime64(first), np.datetime64(last))

    def _against_listing(
        self,
        status: Document,
        metadata: Document | None,
        keys: pa.Table,
        covered: tuple[dt.date, dt.date],
        sessions: DateArray | None,
        unchecked: dict[str, str],
    ) -> _Compared:
        listing = self._listing(status, covered, unchecked)
        if listing is None:
            return _Compared()
        days = np.array(pc.unique(keys["Date"]).to_pylist(), "datetime64[D]")
        asked = days if sessions is None else np.union1d(days, sessions)
        answered = np.array([str(day) in listing.days for day in asked], dtype=bool)
        if not answered.all():
            unchecked["rows"] = (
                f"no listing records of {int((~answered).sum())} of {asked.size} sessions in the "
                "cache"
            )
        if not answered.any():
            return _Compared()
        try:
            expected = member_keys(listing.read(*covered), asked[answered])
        except PipelineError as error:
            if listing.recorded:
                return _Compared(holes=(error.message,))
            unchecked["rows"] = error.message
            return _Compared()
        wanted = pa.array(asked[answered]).cast(pa.date32())
        own = keys.filter(pc.is_in(keys["Date"], value_set=wanted)).combine_chunks()
        findings = list(row_rules.against_listing(own, expected.combine_chunks()))
        corrected = _corrected(metadata) if listing.recorded else {f.subject for f in findings}
        faults = [finding for finding in findings if finding.subject not in corrected]
        later = [finding for finding in findings if finding.subject in corrected]
        return _Compared(
            holes=tuple(_line("rows are not those of the listing records", faults)),
            warnings=tuple(
                _line("rows are not those of listing records that came after the build", later)
            ),
            exact=bool(listing.recorded and answered.all() and not findings),
        )

    def _listing(
        self, status: Document, covered: tuple[dt.date, dt.date], unchecked: dict[str, str]
    ) -> _Listing | None:
        """The records to compare with; None, and why, when there are none."""
        store = SnapshotStore(self.root, status["origin"])
        key, sha256 = _listing_of(status)
        snapshot = store.find(LISTED, key) if key is not None else None
        if snapshot is not None and snapshot["sha256"] == sha256:
            days = frozenset(day for part in snapshot["parts"] for day in part["dates"])
            return _Listing(
                lambda first, last: store.read(snapshot, COLUMNS, first, last), True, days
            )
        first, last = map(str, covered)
        parts = store.parts(LISTED)
        wanted = sorted({d.date for part in parts for d in part.days if first <= d.date <= last})
        if not wanted:
            gone = f"snapshot {key} is not in the cache" if key else "the chunk names no snapshot"
            unchecked["rows"] = f"{gone}, nor are other listing records of these days"
            return None
        unchecked["listing"] = (
            f"snapshot {key} is not in the cache as the chunk was built from it; compared with "
            "the newest listing records, of which differences are warnings"
        )
        selections, _ = select(parts, wanted)

        def read(_first: dt.date, _last: dt.date) -> pa.Table:
            tables = [
                store.read_days(LISTED, s.part, [day.date for day in s.days], "Date").select(
                    list(COLUMNS)
                )
                for s in selections
            ]
            return pa.concat_tables(tables)

        return _Listing(read, False, frozenset(wanted))


@dataclass(frozen=True)
class _Compared:
    """Rows against listing records; ``exact`` when they are those the chunk was built from, of
    all sessions, and nothing differs."""

    holes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    exact: bool = False


def keys_digest(keys: pa.Table) -> str:
    """sha256 of Date and Code of rows, in hex; the same however they are cut into pieces."""
    digest = hashlib.sha256()
    dates = keys["Date"].combine_chunks().cast(pa.date32()).view(pa.int32()).fill_null(-1)
    digest.update(dates.to_numpy(zero_copy_only=False).tobytes())
    codes = keys["Code"].cast(pa.string()).fill_null("").combine_chunks()
    digest.update(pc.binary_length(codes).to_numpy(zero_copy_only=False).tobytes())
    # The bytes of the texts as they lie behind each other: a Python text for each row would take
    # longer than reading the file.
    _, ends, texts = codes.buffers()
    ends = np.frombuffer(ends, np.int32)[codes.offset : codes.offset + len(codes) + 1]
    digest.update(texts.slice(int(ends[0]), int(ends[-1] - ends[0])))
    return digest.hexdigest()


def sessions_between(
    before: dt.date, after: dt.date, calendar: TradingCalendar, years: Sequence[int] | None
) -> list[dt.date]:
    """Sessions after the one day and before the other; with ``years``, only those of them."""
    day = np.timedelta64(1, "D")
    found: list[dt.date] = calendar.between(
        np.datetime64(before) + day, np.datetime64(after) - day
    ).tolist()
    return [session for session in found if years is None or session.year in years]


def _listing_of(status: Document) -> tuple[str | None, str | None]:
    """Key and sha256 of the listing snapshot a chunk was built from."""
    for key, sha256 in status["inputs"].items():
        if key.startswith(f"{LISTED}_raw_"):
            return key, sha256
    return None, None


def _corrected(metadata: Document | None) -> set[str]:
    """Days whose listing records came with other content after rows were made of them."""
    corrections = metadata["corrections"] if metadata is not None else []
    return {entry["date"] for entry in corrections if entry["source"] == LISTED}


def _line(what: str, findings: Sequence[row_rules.Finding]) -> Iterator[str]:
    if findings:
        yield f"{what} on {len(findings)} sessions: {row_rules.joined(findings)}"
