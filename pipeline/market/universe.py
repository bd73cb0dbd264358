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
    found = records.filter(member).select(["Date", "Code"])
    counts = found.group_by("Date").aggregate([("Code", "count_distinct")])
    by_day = {row["Date"]: row["Code_count_distinct"] for row in counts.to_pylist()}
    return {day: by_day.get(day, 0) for day in wanted.to_pylist()}


def _distinct(table: pa.Table, column: str) -> list[str]:
    return [text for text in pc.unique(table[column]).to_pylist() if text is not None]
