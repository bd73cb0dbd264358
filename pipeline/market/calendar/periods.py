"""Chunk periods: how a date range is cut into chunks, and what a chunk is called.

The grid of periods is anchored at January 2000 and depends on the chunk length alone, never on
the requested start. So the chunk that holds a given day has the same name in every run.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass

import numpy as np

from pipeline.errors import UsageError
from pipeline.market.calendar.sessions import TradingCalendar

_QUARTER = re.compile(r"(\d{4})Q([1-4])")
_MONTHS = re.compile(r"(\d{4})M(\d{2})(?:-(?:(\d{4})M)?(\d{2}))?")


@dataclass(frozen=True, order=True)
class Period:
    """Whole calendar months [first_month, last_month], counted as year * 12 + month - 1."""

    first_month: int
    last_month: int

    @property
    def first_day(self) -> dt.date:
        return dt.date(self.first_month // 12, self.first_month % 12 + 1, 1)

    @property
    def last_day(self) -> dt.date:
        after = self.last_month + 1
        return dt.date(after // 12, after % 12 + 1, 1) - dt.timedelta(days=1)

    @property
    def chunk_id(self) -> str:
        """``2020Q1``, ``2020M01``, ``2020M01-06`` or, across years, ``2020M11-2021M02``."""
        year, month = divmod(self.first_month, 12)
        end_year, end_month = divmod(self.last_month, 12)
        length = self.last_month - self.first_month + 1
        if length == 3 and month % 3 == 0:
            return f"{year}Q{month // 3 + 1}"
        if length == 1:
            return f"{year}M{month + 1:02d}"
        if year == end_year:
            return f"{year}M{month + 1:02d}-{end_month + 1:02d}"
        return f"{year}M{month + 1:02d}-{end_year}M{end_month + 1:02d}"

    @classmethod
    def parse(cls, chunk_id: str) -> Period:
        """The period a chunk id names.

        Raises:
            UsageError: not a chunk id in its canonical spelling.
        """
        period = cls._read(chunk_id)
        if period is None or period.last_month < period.first_month or period.chunk_id != chunk_id:
            raise UsageError(
                f"chunk id {chunk_id!r}: expected a form like 2020Q1, 2020M01, 2020M01-06 "
                "or 2020M11-2021M02"
            )
        return period

    @classmethod
    def _read(cls, chunk_id: str) -> Period | None:
        if quarter := _QUARTER.fullmatch(chunk_id):
            first = int(quarter[1]) * 12 + (int(quarter[2]) - 1) * 3
            return cls(first, first + 2)
        if months := _MONTHS.fullmatch(chunk_id):
            numbers = [int(months[2]), int(months[4] or months[2])]
            if not all(1 <= number <= 12 for number in numbers):
                return None
            first = int(months[1]) * 12 + numbers[0] - 1
            last = int(months[3] or months[1]) * 12 + numbers[1] - 1
            return cls(first, last)
        return None

    def overlaps(self, other: Period) -> bool:
        return self.first_month <= other.last_month and other.first_month <= self.last_month


def require_order(start: dt.date, end: dt.date) -> None:
    """Returns when ``end`` is not before ``start``.

    Raises:
        UsageError: it is.
    """
    if end < start:
        raise UsageError(f"--end {end} is before --start {start}", "exchange the two dates")


def periods_between(start: dt.date, end: dt.date, months: int) -> list[Period]:
    """Periods of ``months`` calendar months that together hold [start, end], in order.

    Raises:
        UsageError: ``end`` before ``start``, or ``months`` outside 1..120.
    """
    require_order(start, end)
    if not 1 <= months <= 120:
        raise UsageError(f"chunk_months {months}: expected 1 to 120")
    anchor = 2000 * 12
    first = (start.year * 12 + start.month - 1 - anchor) // months
    last = (end.year * 12 + end.month - 1 - anchor) // months
    return [
        Period(anchor + k * months, anchor + (k + 1) * months - 1) for k in range(first, last + 1)
    ]


@dataclass(frozen=True)
class ChunkRange:
    """A chunk and the sessions it has to hold.

    Attributes:
        chunk_id: name of the period.
        first, last: first and last session asked for, both included.
    """

    chunk_id: str
    first: dt.date
    last: dt.date


def chunk_ranges(
    calendar: TradingCalendar, start: dt.date, end: dt.date, months: int
) -> list[ChunkRange]:
    """The chunks that hold the sessions of [start, end], in order.

    A period without a session in the range is left out, so an empty list means that the whole
    range has no session.

    Raises:
        UsageError: as ``periods_between``.
    """
    ranges = []
    for period in periods_between(start, end, months):
        sessions = calendar.between(
            np.datetime64(max(start, period.first_day)), np.datetime64(min(end, period.last_day))
        )
        if sessions.size:
            ranges.append(
                ChunkRange(period.chunk_id, sessions[0].astype(object), sessions[-1].astype(object))
            )
    return ranges
