"""Weekly trading by investor type (eq-investor-types), as of each wanted column.

A record states one week of one section of the exchange; it counts from its publication, and a
correction is another record of the same week with a later PubDate. On a column, the record *in
force* for a week is the newest one published by then. Weeks are counted by their last day.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pipeline.market.calendar.sessions import DateArray
from pipeline.market.panel.axis import (
    NOWHERE,
    Axis,
    FloatArray,
    IndexArray,
    Source,
    dates_of,
    numbers_of,
)
from pipeline.market.texts import encoded

AMOUNTS = ("FrgnBal", "IndBal", "TrstBnkBal", "InvTrBal", "BusCoBal", "FrgnTot", "TotTot")
COLUMNS = ("PubDate", "StDate", "EnDate", "Section", *AMOUNTS)

WHOLE_MARKET = "TokyoNagoya"  # runs through the reorganisation of 2022-04-04

#: Sections of each market tier, before the reorganisation and since.
TIER_SECTIONS = {
    1.0: ("TSE1st", "TSEPrime"),
    2.0: ("TSE2nd", "TSEStandard"),
    3.0: ("TSEMothers", "TSEGrowth"),
}

WEEKS = 52  # most weeks any feature looks at

#: Columns a record counts after it became public. 52 weeks and the delay of the newest need 275.
DEPTH = 290


@dataclass(frozen=True, eq=False)
class SectionFlows:
    """Weeks of one section, or of an old section and its successor, as of each wanted column.

    Attributes:
        row: (n_out, WEEKS) record in force for each of the latest weeks, the latest at the end;
            NOWHERE in front where there are fewer.
        age: (n_out,) columns since the record of the latest week became public; NaN without one.
        amounts: field -> (records + 1,) thousand yen, the last one null for NOWHERE.
    """

    row: IndexArray
    age: FloatArray
    amounts: Mapping[str, FloatArray]

    def weekly(self, field: str) -> FloatArray:
        """(n_out, WEEKS) one of AMOUNTS, thousand yen; NaN where there is no record."""
        return self.amounts[field][self.row]

    def latest(self, field: str) -> FloatArray:
        """(n_out,) one of AMOUNTS for the latest week."""
        return self.amounts[field][self.row[:, -1]]


@dataclass(frozen=True, eq=False)
class InvestorFlows:
    """Trading by investor type.

    Attributes:
        whole: Tokyo and Nagoya together.
        tiers: market tier -> its section; where both the old and the new section have a record of
            one week, the new one counts.
    """

    whole: SectionFlows
    tiers: Mapping[float, SectionFlows]


def investor_flows(source: Source, axis: Axis) -> InvestorFlows:
    """Replay the rows of eq-investor-types over the wanted columns."""
    number, names = encoded(source.table["Section"])
    start, published, end = (
        dates_of(source.table[name]) for name in ("StDate", "PubDate", "EnDate")
    )
    visible = axis.visible_from(source)

    def of(*sections: str) -> SectionFlows:
        """The records of some sections; of one week, those of a later section come last."""
        ranks = [sections.index(name) if name in sections else NOWHERE for name in names]
        rank = np.array(ranks, dtype=np.int64)[number]
        order = np.lexsort((start, published, rank, end))
        own = order[rank[order] != NOWHERE]
        row, age = _in_force(end[own], visible[own], axis)
        amounts = {name: np.append(numbers_of(source.table[name])[own], np.nan) for name in AMOUNTS}
        return SectionFlows(row, age, amounts)

    return InvestorFlows(
        whole=of(WHOLE_MARKET),
        tiers={tier: of(*sections) for tier, sections in TIER_SECTIONS.items()},
    )


def _in_force(week: DateArray, visible: IndexArray, axis: Axis) -> tuple[IndexArray, FloatArray]:
    """``row`` and ``age`` of SectionFlows.

    Args:
        week: (records,) last day of the week, ascending; what supersedes stands last in its week.
        visible: (records,) first column whose row may use the record.
    """
    row = np.full((axis.n_out, WEEKS), NOWHERE)
    age = np.full(axis.n_out, np.nan)
    for day in range(axis.n_out):
        column = axis.first_wanted + day
        known = np.flatnonzero((visible <= column) & (visible >= column - DEPTH))
        latest = known[np.diff(week[known], append=np.datetime64("NaT")) != np.timedelta64(0, "D")]
        latest = latest[-WEEKS:]
        row[day, WEEKS - latest.size :] = latest
        if latest.size:
            age[day] = column - visible[latest[-1]]
    return row, age
