"""What the labels of a chunk are made of: its rows, and the cached days from then on.

A label looks up to 21 sessions ahead, into the next chunks. Which sessions count follows from the
chunks alone: as far as they cover the calendar without a gap. Their days are taken from the parts
in the cache, which every snapshot shares and no pruning loses, so it does not matter which run
fetched them, nor whether the chunk they belong to is one of this run.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.api.catalogue.endpoints import endpoint_of
from pipeline.cache.parts import Part, Selection, select
from pipeline.cache.snapshots import SnapshotStore
from pipeline.configuration import Settings
from pipeline.errors import MissingData
from pipeline.market.calendar.sessions import DateArray, TradingCalendar
from pipeline.market.panel.axis import dates_of
from pipeline.market.panel.outcomes import (
    BAR_COLUMNS,
    LISTED_COLUMNS,
    TOPIX_COLUMNS,
    Outcomes,
    outcomes_of,
)
from pipeline.operations.fetching.source_fetch import unavailable

#: Sessions in a row on which nothing trades: once, in 2020, there was one. A label whose exit
#: falls on such a session is known with the next trade of anything.
LONGEST_OUTAGE = 10

Covered = Mapping[str, tuple[dt.date, dt.date]]


def known_until(covered: Covered, calendar: TradingCalendar) -> dict[str, dt.date]:
    """The last session up to which every session from a chunk on is covered, by chunk.

    Args:
        covered: first and last session of each complete chunk, in order of time.
    """
    known: dict[str, dt.date] = {}
    following: tuple[dt.date, dt.date] | None = None
    for chunk_id, (first, last) in reversed(list(covered.items())):
        end = last
        if following is not None and not _between(calendar, last, following[0]):
            end = following[1]
        known[chunk_id] = max(end, last)
        following = first, known[chunk_id]
    return dict(reversed(list(known.items())))


def _between(calendar: TradingCalendar, last: dt.date, first: dt.date) -> int:
    """Number of sessions after ``last`` and before ``first``."""
    one = np.timedelta64(1, "D")
    return int(calendar.between(np.datetime64(last) + one, np.datetime64(first) - one).size)


def sessions_of(members: pa.Table, known_to: dt.date, calendar: TradingCalendar) -> DateArray:
    """The sessions of some rows, and those after them that may matter, as far as they are known."""
    from pipeline.features.labels.label_values import AHEAD

    dates = dates_of(members["Date"])
    first, last = dates.min(), dates.max()
    end = min(calendar.eff(last) + AHEAD + LONGEST_OUTAGE, calendar.sessions.size - 1)
    return calendar.between(first, min(calendar.sessions[end], np.datetime64(known_to)))


class LabelInputs:
    """The cache, as far as labels are made of it."""

    def __init__(self, settings: Settings) -> None:
        self._store = SnapshotStore(settings.data_output_dir, settings.origin)
        self._asof = str(settings.source_cache_asof) if settings.source_cache_asof else None
        self._absent = frozenset(unavailable(settings))
        self._parts = cache(self._store.parts)

    def outcomes(self, members: pa.Table, sessions: DateArray) -> Outcomes:
        """What became of the members of a chunk.

        Raises:
            MissingData: the cache lacks days.
            StorageError: a part of it is damaged.
        """
        from pipeline.features.labels.label_values import VOLATILITY

        return outcomes_of(
            members,
            VOLATILITY,
            self._table("daily_bars", BAR_COLUMNS, sessions),
            self._table("listed", LISTED_COLUMNS, sessions),
            self._table("topix", TOPIX_COLUMNS, sessions),
            sessions,
        )

    def _table(self, source: str, columns: Sequence[str], sessions: DateArray) -> pa.Table:
        """The records of these sessions; none of a source that is not to be had."""
        endpoint = endpoint_of(source)
        nothing = endpoint.schema.empty_table().select(list(columns))
        if source in self._absent:
            return nothing
        wanted = sessions[sessions >= np.datetime64(endpoint.first_date)]
        parts: list[Part] = self._parts(source)
        selections, missing = select(parts, [str(day) for day in wanted], self._asof)
        if missing:
            raise MissingData(
                f"labels: {len(missing)} days of {source} are not in the cache, from {missing[0]}",
                "rebuild the chunks of these days: g5 rebuild; the next run fetches them",
            )
        tables = [self._days(source, selection, columns) for selection in selections]
        return pa.concat_tables([nothing, *tables])

    def _days(self, source: str, selection: Selection, columns: Sequence[str]) -> pa.Table:
        table = self._store.read_part(source, selection.part.file, columns)
        dates: list[Any] = [dt.date.fromisoformat(day.date) for day in selection.days]
        return table.filter(pc.is_in(table["Date"], value_set=pa.array(dates, pa.date32())))
