"""Scheduled earnings dates: first plans, changes, days withdrawn and set again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline.simulator.array_types import iso_dates, stacked, taken
from pipeline.simulator.companies.event_records import Records, moment, sorted_records
from pipeline.simulator.companies.reporting_dates import on_session
from pipeline.simulator.random_streams import stream

if TYPE_CHECKING:
    from pipeline.simulator.array_types import Columns, DateArray, IntArray, TextArray
    from pipeline.simulator.companies.company_accounts import PeriodEnd
    from pipeline.simulator.companies.reporting_dates import Agenda

_NO_DAY = np.datetime64("NaT")
_FIRST_UNDECIDED = 0.06
_DAYS_AHEAD = np.timedelta64(8, "D")  # of a day set again
_QUARTERS = np.array(["", "1Q", "2Q", "3Q", "FY"], dtype=object)
_FINAL = 4


@dataclass(frozen=True, eq=False)
class Schedules:
    """One entry per published plan, all (n,).

    Attributes:
        day: of the publication.
        slot: issue.
        planned: day of the report, NaT while undecided.
        quarter: 1 to 3, 4 for the full year.
        year_end: month in which the fiscal year ends, since 1970-01.
    """

    day: DateArray
    slot: IntArray
    planned: DateArray
    quarter: IntArray
    year_end: IntArray


def make_schedules(seed: int, end: PeriodEnd, agenda: Agenda, sessions: DateArray) -> Schedules:
    """Plans about the reports of one month's period ends."""
    rng = stream(seed, "schedules", end.month)
    uniform = rng.random((2, end.slot.size))
    undecided = uniform[0] < _FIRST_UNDECIDED
    decided_later = on_session(
        sessions, agenda.announced + (3 + 5 * uniform[1]).astype(np.int64).astype("timedelta64[D]")
    )
    nothing = np.full(end.slot.size, _NO_DAY, dtype="datetime64[D]")
    report = on_session(sessions, agenda.day)
    everyone = np.ones(end.slot.size, dtype=np.bool_)
    steps = (
        (agenda.announced, np.where(undecided, nothing, agenda.planned), everyone),
        (decided_later, agenda.planned, undecided),
        (agenda.moved, np.where(agenda.undecided, nothing, report), ~np.isnat(agenda.moved)),
        (on_session(sessions, report - _DAYS_AHEAD), report, agenda.undecided),
    )
    # Reports on a fourth or fifth quarter have no name here and are not scheduled.
    named = end.final | (end.quarter <= 3)
    parts = [
        taken(
            Schedules(
                day=day,
                slot=end.slot,
                planned=planned,
                quarter=np.where(end.final, _FINAL, end.quarter),
                year_end=end.year_start + 3 * end.year_quarters - 1,
            ),
            chosen & named & ~np.isnat(day),
        )
        for day, planned, chosen in steps
    ]
    return stacked(parts)


class ScheduleBook:
    """Records of ``/fins/earnings-date`` and what is in force among them."""

    def __init__(
        self, plans: Schedules, codes: TextArray, names: TextArray, english_names: TextArray
    ) -> None:
        self._codes, self._names, self._english_names = codes, names, english_names
        by_code = np.lexsort((plans.quarter, codes[plans.slot].astype("U5"), plans.day))
        self._plans = taken(plans, by_code)
        self.records: Records = sorted_records(
            self._plans.day,
            self._plans.slot,
            moment(self._plans.day, 10, 5),
            self.columns,
            tie=np.arange(by_code.size),
        )

    def columns(self, index: IntArray) -> Columns:
        """Rows in the order of publication."""
        rows = taken(self._plans, index)
        year_end = (rows.year_end + 1).astype("datetime64[M]").astype("datetime64[D]") - 1
        planned = np.where(np.isnat(rows.planned), "", iso_dates(rows.planned)).astype(object)
        return {
            "PubDate": iso_dates(rows.day),
            "SchDate": planned,
            "FQName": _QUARTERS[rows.quarter],
            "FYE": np.array([text[5:7] + text[8:] for text in iso_dates(year_end)], dtype=object),
            "Code": self._codes[rows.slot],
            "CoName": self._names[rows.slot],
            "CoNameEn": self._english_names[rows.slot],
        }

    def in_force(self, index: IntArray) -> IntArray:
        """The newest plan of every report among the rows ``index``, which ascend in time."""
        rows = self._plans
        report = np.stack([rows.slot, rows.year_end, rows.quarter], axis=1)[index]
        # The first of the reversed rows is the last one published.
        _, newest = np.unique(report[::-1], axis=0, return_index=True)
        kept: IntArray = np.sort(index[::-1][newest])
        return kept
