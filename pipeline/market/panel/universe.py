"""Which rows a session must have, taken straight from the listing records.

``assemble`` decides the same on arrays, for every stock and day at once; that the two agree is
what makes the comparison worth while. Both refuse a record whose place cannot be determined.
"""

from __future__ import annotations

import datetime as dt

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.market.calendar.sessions import DateArray
from pipeline.market.closed_lists import (
    INDUSTRY,
    MARKET,
    BoolArray,
    UnknownMember,
)
from pipeline.market.panel.codes import has_form, is_ordinary_share, must_be_placed
from pipeline.market.texts import encoded

KEYS = ("Date", "Code")


def members(listed: pa.Table) -> BoolArray:
    """(rows,) True for records of ordinary shares of the market tiers, in one of the 33 industries.

    Args:
        listed: listing records with Code, Mkt and S33; Date, where it is there, is for messages.

    Raises:
        UnknownMember: a record whose place cannot be determined: a code that has not the form of
            one, an unknown market of a code that ends in 0, an unknown industry in a market tier.
    """
    index, codes = encoded(listed["Code"])
    formed = np.array([has_form(code) for code in codes], dtype=bool)[index]
    if not formed.all():
        rows = np.flatnonzero(~formed)
        value = listed["Code"][int(rows[0])].as_py()
        day = listed["Date"][int(rows[0])].as_py() if "Date" in listed.column_names else "a record"
        raise UnknownMember("listed", "Code", value or "", str(day), rows.size)
    ordinary = np.array([is_ordinary_share(code) for code in codes], dtype=bool)[index]
    to_be_placed = np.array([must_be_placed(code) for code in codes], dtype=bool)[index]
    MARKET.refuse_unknown(listed, to_be_placed)
    in_tier = ordinary & ~np.isnan(MARKET.decode(listed["Mkt"]))
    INDUSTRY.refuse_unknown(listed, in_tier & to_be_placed)
    found: BoolArray = in_tier & ~np.isnan(INDUSTRY.decode(listed["S33"]))
    return found


def member_records(listed: pa.Table, sessions: DateArray) -> pa.Table:
    """The records that make rows, on these sessions.

    Args:
        listed: listing records with Date, Code, Mkt and S33.
        sessions: (days,) the sessions asked for.

    Raises:
        UnknownMember: see ``members``.
    """
    wanted = pa.array(sessions.astype("datetime64[D]")).cast(pa.date32())
    records = listed.filter(pc.is_in(listed["Date"].cast(pa.date32()), value_set=wanted))
    return records.filter(pa.array(members(records)))


def member_keys(listed: pa.Table, sessions: DateArray) -> pa.Table:
    """Date (date32) and Code of the rows these sessions must have, in the order of a chunk.

    Args:
        listed: listing records with Date, Code, Mkt and S33.
        sessions: (days,) the sessions asked for.

    Raises:
        UnknownMember: see ``members``.
    """
    records = member_records(listed, sessions)
    keys = pa.table(
        [records["Date"].cast(pa.date32()), records["Code"].cast(pa.string())], names=list(KEYS)
    )
    once = keys.group_by(list(KEYS)).aggregate([])
    return once.select(list(KEYS)).sort_by([(name, "ascending") for name in KEYS])


def members_by_session(listed: pa.Table, sessions: DateArray) -> dict[dt.date, int]:
    """Ordinary shares of the market tiers, in one of the 33 industries, per session.

    Args:
        listed: listing records with Date, Code, Mkt and S33.
        sessions: (days,) the sessions asked for.

    Raises:
        UnknownMember: see ``members``.
    """
    by_tier = members_by_tier(listed, sessions)
    return {day: sum(tiers.values()) for day, tiers in by_tier.items()}


def members_by_tier(listed: pa.Table, sessions: DateArray) -> dict[dt.date, dict[int, int]]:
    """The same per session and market tier (1 Prime, 2 Standard, 3 Growth).

    Args:
        listed: listing records with Date, Code, Mkt and S33.
        sessions: (days,) the sessions asked for.

    Raises:
        UnknownMember: see ``members``.
    """
    records = member_records(listed, sessions)
    keys = {"Date": records["Date"].cast(pa.date32()), "Code": records["Code"]}
    table = pa.table({**keys, "Tier": pa.array(MARKET.decode(records["Mkt"]))})
    once = table.group_by(["Date", "Code"]).aggregate([("Tier", "min")])
    counts = once.group_by(["Date", "Tier_min"]).aggregate([("Code", "count")])
    by_day: dict[dt.date, dict[int, int]] = {
        day: {} for day in sessions.astype("datetime64[D]").tolist()
    }
    for row in counts.to_pylist():
        tiers, tier = by_day[row["Date"]], int(row["Tier_min"])
        tiers[tier] = tiers.get(tier, 0) + row["Code_count"]
    return by_day
