"""How many rows a session must have, counted straight from the listing records.

``assemble`` decides the same on arrays, for every stock and day at once; that the two agree is
what makes counting worth while.
"""

from __future__ import annotations

import datetime as dt

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.market.codes import MARKET_TIERS, is_ordinary_share, sector33
from pipeline.market.sessions import DateArray


def members_by_session(listed: pa.Table, sessions: DateArray) -> dict[dt.date, int]:
    """Ordinary shares of the market tiers, in one of the 33 industries, per session.

    Args:
        listed: listing records with Date, Code, Mkt and S33.
        sessions: (days,) the sessions asked for.
    """
    by_tier = members_by_tier(listed, sessions)
    return {day: sum(tiers.values()) for day, tiers in by_tier.items()}


def members_by_tier(listed: pa.Table, sessions: DateArray) -> dict[dt.date, dict[int, int]]:
    """The same per session and market tier (1 Prime, 2 Standard, 3 Growth).

    Args:
        listed: listing records with Date, Code, Mkt and S33.
        sessions: (days,) the sessions asked for.
    """
    wanted = pa.array(sessions.astype("datetime64[D]")).cast(pa.date32())
    records = listed.filter(pc.is_in(listed["Date"].cast(pa.date32()), value_set=wanted))
    codes = [code for code in _distinct(records, "Code") if is_ordinary_share(code)]
    industries = [text for text in _distinct(records, "S33") if sector33(text) == sector33(text)]
    member = pc.and_(
        pc.is_in(records["Code"], value_set=pa.array(codes, pa.string())),
        pc.and_(
            pc.is_in(records["Mkt"], value_set=pa.array(list(MARKET_TIERS))),
            pc.is_in(records["S33"], value_set=pa.array(industries, pa.string())),
        ),
    )
    once = records.filter(member).group_by(["Date", "Code"]).aggregate([("Mkt", "min")])
    counts = once.group_by(["Date", "Mkt_min"]).aggregate([("Code", "count")])
    by_day: dict[dt.date, dict[int, int]] = {day: {} for day in wanted.to_pylist()}
    for row in counts.to_pylist():
        tiers, tier = by_day[row["Date"]], int(MARKET_TIERS[row["Mkt_min"]])
        tiers[tier] = tiers.get(tier, 0) + row["Code_count"]
    return by_day


def _distinct(table: pa.Table, column: str) -> list[str]:
    return [text for text in pc.unique(table[column]).to_pylist() if text is not None]
