"""A chunk in memory: from the sources to the rows of any of its days."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa

from pipeline.features.engine import catalogue, chunk_matrix
from pipeline.features.engine.chunk_matrix import Members
from pipeline.features.engine.column_spec import FloatArray
from pipeline.features.engine.transforms import HISTORY
from pipeline.market.calendar.sessions import DateArray, TradingCalendar
from pipeline.market.panel.assemble import assemble
from pipeline.market.panel.axis import Source
from pipeline.market.panel.market_data import Market


@dataclass(frozen=True, eq=False)
class Chunk:
    """The base values of some sessions, from which their rows are made.

    Attributes:
        members: who has a row on which session.
        base: what ``matrix.base_values`` gave.
    """

    members: Members
    base: Mapping[str, FloatArray]

    @property
    def sessions(self) -> DateArray:
        """(days,) datetime64[D]."""
        return self.members.sessions

    def rows(self, start: int, stop: int, threads: int = 1) -> pa.Table:
        """Rows of the days [start, stop), counted from the first session."""
        return chunk_matrix.rows(self.members, self.base, start, stop, threads)

    def months(self) -> Iterator[tuple[int, int]]:
        """Day ranges [start, stop) of the months."""
        return months_of(self.sessions)


def build(
    sources: Mapping[str, Source],
    calendar: TradingCalendar,
    first: np.datetime64,
    last: np.datetime64,
    *,
    threads: int = 1,
    unavailable: Collection[str] = (),
    columns: MutableMapping[str, FloatArray] | None = None,
    freed: Callable[[], None] = lambda: None,
) -> Chunk:
    """Base values of the sessions in [first, last].

    Args:
        sources: see ``assemble``; rows outside the panel's columns do not matter.
        first, last: days, both included.
        threads, unavailable, columns: see ``matrix.base_values``.
        freed: called after the sources have been let go.

    Raises:
        EmptyUniverse: nobody is listed.
    """
    sessions = calendar.between(first, last)
    market = market_of(sources, calendar, sessions)
    del sources  # several times the size of the arrays
    freed()
    base = chunk_matrix.base_values(market, sessions.size, threads, unavailable, columns)
    return Chunk(chunk_matrix.members(market, sessions.size), base)


def market_of(
    sources: Mapping[str, Source],
    calendar: TradingCalendar,
    sessions: DateArray,
    earlier: int = 0,
) -> Market:
    """All inputs of the rows of some sessions.

    Args:
        sessions: (days,) consecutive sessions.
        earlier: columns by which the panel begins earlier than it has to.

    Raises:
        EmptyUniverse: nobody is listed.
    """
    columns = columns_of(calendar, sessions, earlier)
    n_out = min(sessions.size + HISTORY, columns.size)
    return assemble(sources, calendar, columns, n_out)


def columns_of(calendar: TradingCalendar, sessions: DateArray, earlier: int = 0) -> DateArray:
    """Columns of the panel of some sessions: the warm-up in front of them, and themselves."""
    start = calendar.back(sessions[0], catalogue.warm_up_columns() + earlier)
    return calendar.between(start, sessions[-1])


def months_of(sessions: DateArray) -> Iterator[tuple[int, int]]:
    """Ranges [start, stop) of ``sessions`` that lie in one month each."""
    month = sessions.astype("datetime64[M]")
    edges = [0, *(np.flatnonzero(month[1:] != month[:-1]) + 1).tolist(), sessions.size]
    return pairwise(edges)
