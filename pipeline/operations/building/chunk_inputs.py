"""What a chunk, or an audit, reads: snapshots as sources."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from typing import Any

import numpy as np

from pipeline.api.catalogue.endpoints import endpoint_of
from pipeline.cache.corrections import arrived_between, corrections
from pipeline.cache.snapshots import SnapshotStore, quarantine_of, snapshot_key
from pipeline.configuration import Settings
from pipeline.dataset.build_request import Input as Used
from pipeline.dataset.build_request import Superseded
from pipeline.dataset.chunk_growth import Growth
from pipeline.dataset.chunk_store import ChunkStore
from pipeline.errors import MissingData
from pipeline.features.engine import catalogue
from pipeline.features.engine.chunk_features import columns_of
from pipeline.features.engine.look_ahead_audit import Inputs
from pipeline.market.calendar.as_of import decision_time, visible
from pipeline.market.calendar.sessions import DateArray, TradingCalendar
from pipeline.market.closed_lists import unknown_lines
from pipeline.market.panel.assemble import COLUMNS
from pipeline.market.panel.axis import Source
from pipeline.market.panel.universe import members_by_session
from pipeline.operations.fetching.snapshot_range import SnapshotRange
from pipeline.operations.fetching.source_fetch import (
    CALENDAR,
    load_calendar,
    range_of,
    sources_of,
    unavailable,
)
from pipeline.quarantine import to_json

Snapshots = Mapping[str, Mapping[str, Any]]  # by source


class ChunkInputs:
    """The snapshots of one chunk over its sessions and the warm-up in front of them.

    Attributes:
        calendar: the published trading calendar.
        sessions: (days,) the chunk's sessions.
        columns: (columns,) the panel's, warm-up included.
        absent: endpoints without data.
        unknown: what ``sources`` met in coded fields that is in no list and counts as null.
    """

    def __init__(
        self, settings: Settings, snapshots: Snapshots, first: dt.date, last: dt.date
    ) -> None:
        self.calendar: TradingCalendar = load_calendar(settings, last)
        self.sessions: DateArray = self.calendar.between(np.datetime64(first), np.datetime64(last))
        self.columns: DateArray = columns_of(self.calendar, self.sessions)
        self.absent = frozenset(endpoint_of(name).id for name in unavailable(settings))
        self._store = SnapshotStore(settings.data_output_dir, settings.origin)
        self._snapshots = snapshots
        self._threads = settings.compute_threads
        self.unknown: list[str] = []
        self._refuse_gap()

    def since(self, first: dt.date) -> ChunkInputs:
        """The same for the sessions from a day on, and the warm-up in front of those."""
        later = copy(self)
        later.unknown = []
        later.sessions = self.calendar.between(np.datetime64(first), self.sessions[-1])
        later.columns = columns_of(self.calendar, later.sessions)
        return later

    @property
    def used(self) -> tuple[Used, ...]:
        return tuple(
            Used(source, snapshot["key"], snapshot["sha256"], _known_until(snapshot))
            for source, snapshot in self._snapshots.items()
        )

    def sources(self) -> dict[str, Source]:
        """The rows of every source that were public when the last row was decided."""
        with ThreadPoolExecutor(self._threads) as pool:
            return dict(zip(COLUMNS, pool.map(self._source, COLUMNS), strict=True))

    def listed_members(self) -> dict[dt.date, int]:
        """How many rows the listing records give for each session."""
        first, last = (self.sessions[at].astype(object) for at in (0, -1))
        table = self._store.read(self._snapshots["listed"], COLUMNS["listed"], first, last)
        return members_by_session(table, self.sessions)

    @property
    def quarantine(self) -> tuple[Mapping[str, Any], ...]:
        """What of the days read could not be taken as it came, by source."""
        last = str(self.sessions[-1])
        found = []
        for source, snapshot in self._snapshots.items():
            is_book = endpoint_of(source).id in catalogue.EARLIER_DAYS
            first = snapshot["start"] if is_book else str(self.columns[0])
            entries = to_json(quarantine_of(snapshot, first, last))
            found += [{"source": source, **entry} for entry in entries]
        return tuple(found)

    def corrections_since(self, growth: Growth) -> tuple[Superseded, ...]:
        """What arrived after the rows that stand were made, and is about days they are made of."""
        before = growth.base.metadata
        until = {used.source: used.checked_at for used in self.used}
        found = [
            correction
            for source, snapshot in self._snapshots.items()
            for correction in corrections(self._store, [source], first=snapshot["start"])
            if correction.date < str(growth.first)
        ]
        known = [Superseded(**told) for told in before["corrections"]]
        new = arrived_between(found, before["checked"], until)
        return (*known, *(Superseded(c.source, c.date, c.arrived) for c in new))

    def for_audit(self, threads: int) -> Inputs:
        """The same with the calendar, as an audit takes it apart."""
        snapshot = self._store.newest(CALENDAR)
        assert snapshot is not None  # load_calendar found it
        calendar = Source(self._store.read(snapshot), endpoint_of(CALENDAR).publication)
        return Inputs(self.sources(), calendar, self.absent, threads)

    def _source(self, source: str) -> Source:
        endpoint, wanted = endpoint_of(source), COLUMNS[source]
        if source not in self._snapshots:
            return Source(endpoint.schema.empty_table().select(wanted), endpoint.publication)
        snapshot = self._snapshots[source]
        first = self.columns[0].astype(object)
        if endpoint.id in catalogue.EARLIER_DAYS:
            first = dt.date.fromisoformat(snapshot["start"])
        table = self._store.read(snapshot, wanted, first, self.columns[-1].astype(object))
        cutoff = decision_time(self.columns[-1], self.calendar)
        seen = visible(table, endpoint.publication, cutoff, self.calendar)
        self.unknown += list(unknown_lines(source, seen))  # whole: several threads add to it
        return Source(seen, endpoint.publication)

    def _refuse_gap(self) -> None:
        """A snapshot may begin within the warm-up, where the plan's window does, not later.

        Raises:
            MissingData: it begins after the chunk's first session.
        """
        first = self.sessions[0].astype(object)
        for source, snapshot in self._snapshots.items():
            endpoint = endpoint_of(source)
            begins = min(
                (part["dates"][0] for part in snapshot["parts"] if part["dates"]), default=""
            )
            if endpoint.promises_rows(first) and begins > str(first):
                raise MissingData(
                    f"snapshot {snapshot['key']} begins on {begins}, the chunk on {first}",
                    "the plan's window has moved on: use a later --start, or a larger plan",
                )


def _known_until(snapshot: Mapping[str, Any]) -> str:
    """The moment up to which a snapshot knows its source."""
    checked: str = snapshot["checked_at"]
    return min(checked, f"{snapshot['asof']}T23:59:59+09:00") if snapshot["asof"] else checked


def snapshots_of_range(settings: Settings, wanted: SnapshotRange) -> Snapshots:
    """The snapshots a run made for a range of the daily sources.

    Raises:
        MissingData: one is absent.
    """
    store = SnapshotStore(settings.data_output_dir, settings.origin)
    return {
        endpoint.source: store.get(
            endpoint.source, _key(endpoint.source, range_of(endpoint, wanted))
        )
        for endpoint in sources_of(settings)
    }


def snapshots_of_chunks(settings: Settings, chunk_ids: Sequence[str]) -> Snapshots:
    """The snapshots that complete chunks were built from, all from the same ones.

    Raises:
        MissingData: a chunk is not there, a snapshot is gone, or they were built from different
            snapshots.
    """
    chunks = ChunkStore(settings.data_output_dir)
    inputs = {chunk: chunks.read_status(chunk)["inputs"] for chunk in chunk_ids}
    first, *others = chunk_ids
    for chunk in others:
        if inputs[chunk] != inputs[first]:
            raise MissingData(
                f"chunks {first} and {chunk} were built from different snapshots",
                "audit them one by one, or rebuild them in one run with --force",
            )
    store = SnapshotStore(settings.data_output_dir, settings.origin)
    keys = {key.partition("_raw_")[0]: key for key in inputs[first]}
    return {source: store.get(source, key) for source, key in keys.items()}


def _key(source: str, wanted: SnapshotRange) -> str:
    return snapshot_key(source, wanted.start, wanted.end, wanted.asof, wanted.tag)
