"""What the dates and counts of a merged dataset must be like: pure comparisons.

Nothing here repeats how the rows were made. The days of a dataset are held against the trading
calendar, the moment of publication and the listing records.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.market.calendar.sessions import TradingCalendar

SHOWN = 5  # examples in one finding

Days = Mapping[dt.date, int]


@dataclass(frozen=True)
class Finding:
    """Something about a dataset that is not as it should be.

    Attributes:
        check: which check found it.
        subject: what it is about, such as a chunk, a day or a column.
        text: what is wrong.
    """

    check: str
    subject: str
    text: str

    def __str__(self) -> str:
        return f"{self.check}: {self.subject}: {self.text}"


@dataclass(frozen=True)
class Span:
    """A chunk in a dataset: its name, and the first and last day of its rows."""

    chunk_id: str
    first: dt.date
    last: dt.date


def off_calendar(days: Days, calendar: TradingCalendar) -> Iterator[Finding]:
    """Days with rows on which the exchange does not trade."""
    wrong = sorted(set(days) - _dates(calendar, min(days), max(days))) if days else []
    if wrong:
        rows = sum(days[day] for day in wrong)
        yield Finding("calendar", str(wrong[0]), f"no trading day, {rows} rows on {some(wrong)}")


def in_the_future(days: Days, published: dt.date) -> Iterator[Finding]:
    """Days with rows after the last session whose data are public."""
    wrong = sorted(day for day in days if day > published)
    if wrong:
        rows = sum(days[day] for day in wrong)
        yield Finding(
            "future", str(wrong[0]), f"after {published}, {rows} rows on {some(wrong)}"
        )  # fmt: skip


def gaps(days: Days, calendar: TradingCalendar, spans: Sequence[Span]) -> Iterator[Finding]:
    """Sessions without a row between the first and the last day, one finding for each stretch."""
    if not days:
        return
    sessions = sorted(_dates(calendar, min(days), max(days)))
    for lost, stretch in groupby(sessions, lambda session: session not in days):
        if lost:
            missing = list(stretch)
            where = _place(missing[0], spans)
            text = f"{len(missing)} sessions without a row, {where}: {some(missing)}"
            yield Finding("gaps", str(missing[0]), text)


def against_master(days: Days, members: Mapping[dt.date, int]) -> Iterator[Finding]:
    """Days with another number of rows than ordinary shares listed on them.

    Args:
        members: how many there are, of the days that are known.
    """
    wrong = [day for day in sorted(set(days) & set(members)) if days[day] != members[day]]
    if wrong:
        told = [_rows_told(day, days[day], members[day]) for day in wrong[:SHOWN]]
        yield Finding("master", str(wrong[0]), f"{'; '.join(told)}{_more_days(wrong)}")


def lost_sessions(
    days: Collection[dt.date], calendar: TradingCalendar, first: dt.date, last: dt.date
) -> list[dt.date]:
    """Sessions of [first, last] without a row, ascending."""
    return sorted(_dates(calendar, first, last) - set(days))


def against_listing(found: pa.Table, expected: pa.Table) -> Iterator[Finding]:
    """Days on which other codes have rows than the listing records give.

    Args:
        found: Date (date32) and Code of rows, in order.
        expected: as ``universe.member_keys``, of the same days. Days without any row are not
            looked at here: they are lost sessions.
    """
    if found.equals(expected):
        return
    missing, extra = _beside(expected, found), _beside(found, expected)
    rows, listed = _counts(found), _counts(expected)
    for day in sorted({*missing, *extra} & rows.keys()):
        told = [_rows_told(day, rows[day], listed.get(day, 0))]
        if codes := missing.get(day):
            told.append(f"missing {some(codes)}")
        if codes := extra.get(day):
            told.append(f"not among them {some(codes)}")
        yield Finding("master", str(day), ", ".join(told))


def joined(findings: Sequence[Finding]) -> str:
    """Findings of days as one text: the first few, and how many more."""
    texts = "; ".join(finding.text for finding in findings[:SHOWN])
    return f"{texts}{_more_days(findings)}"


def _beside(these: pa.Table, those: pa.Table) -> dict[dt.date, list[str]]:
    """By day the codes of the keys that are in the one table only."""
    only = these.join(those, keys=list(these.column_names), join_type="left anti")
    by_day: dict[dt.date, list[str]] = defaultdict(list)
    for key in only.sort_by([(name, "ascending") for name in only.column_names]).to_pylist():
        by_day[key["Date"]].append(key["Code"])
    return by_day


def _counts(keys: pa.Table) -> dict[dt.date, int]:
    counts = pc.value_counts(keys["Date"]).to_pylist()
    return {count["values"]: count["counts"] for count in counts}


def _rows_told(day: dt.date, rows: int, listed: int) -> str:
    return f"{day} has {rows} rows, {listed} are listed"


def _more_days(days: Sequence[object]) -> str:
    return f" and {len(days) - SHOWN} more days" if len(days) > SHOWN else ""


def some(things: Sequence[object]) -> str:
    """The first few, and how many more."""
    more = f" and {len(things) - SHOWN} more" if len(things) > SHOWN else ""
    return f"{', '.join(map(str, things[:SHOWN]))}{more}"


def _dates(calendar: TradingCalendar, first: dt.date, last: dt.date) -> set[dt.date]:
    found: Iterable[dt.date] = calendar.between(np.datetime64(first), np.datetime64(last)).tolist()
    return set(found)


def _place(day: dt.date, spans: Sequence[Span]) -> str:
    """In which chunk, or between which."""
    for span in spans:
        if span.first <= day <= span.last:
            return f"inside chunk {span.chunk_id}"
    before = [span.chunk_id for span in spans if span.last < day]
    after = [span.chunk_id for span in spans if span.first > day]
    if before and after:
        return f"between chunks {before[-1]} and {after[0]}"
    return "outside all chunks"
