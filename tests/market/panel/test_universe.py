"""Specification of the number of rows a session must have."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest

from pipeline.market.closed_lists import UnknownMember
from pipeline.market.panel.universe import member_keys, members_by_session, members_by_tier

DAY = dt.date(2024, 3, 1)
SESSIONS = np.array(["2024-03-01", "2024-03-04"], dtype="datetime64[D]")


def listed(*records: tuple[dt.date, str, str, str | None]) -> pa.Table:
    dates, codes, markets, industries = zip(*records, strict=True)
    return pa.table(
        {"Date": pa.array(dates, pa.date32()), "Code": codes, "Mkt": markets,
         "S33": pa.array(industries, pa.string())}
    )  # fmt: skip


def test_ordinary_shares_of_the_three_tiers_count() -> None:
    """Not preferred shares, funds, the PRO market or issues without an industry; each code once."""
    table = listed(
        (DAY, "13010", "0111", "0050"),
        (DAY, "13010", "0111", "0050"),
        (DAY, "130A0", "0113", "5250"),
        (DAY, "25935", "0111", "3100"),  # preferred shares
        (DAY, "13050", "0109", "9999"),  # a fund
        (DAY, "93290", "0105", "9050"),  # PRO market
        (DAY, "99990", "0112", "9999"),
        (DAY, "99980", "0109", None),
        (DAY, "13020", "112", "50"),  # padding gone
        (dt.date(2024, 3, 2), "13010", "0111", "0050"),  # no session
    )
    assert members_by_session(table, SESSIONS) == {DAY: 3, dt.date(2024, 3, 4): 0}


def test_members_by_market_add_up_to_all() -> None:
    """The markets before the reorganisation count with their successors."""
    other = dt.date(2024, 3, 4)
    table = listed(
        (DAY, "13010", "0111", "0050"),
        (DAY, "13020", "0101", "0050"),
        (DAY, "130A0", "0107", "5250"),
        (other, "13010", "0112", "0050"),
        (other, "93290", "0105", "9050"),  # PRO market
    )
    by_tier = members_by_tier(table, SESSIONS)
    assert by_tier == {DAY: {1: 2, 3: 1}, other: {2: 1}}
    assert members_by_session(table, SESSIONS) == {DAY: 3, other: 1}


def test_without_records_nobody_counts() -> None:
    """Every session is answered for."""
    empty = listed((DAY, "13010", "0111", "0050")).slice(0, 0)
    assert set(members_by_session(empty, SESSIONS).values()) == {0}


@pytest.mark.parametrize(
    ("record", "told"),
    [
        (("13010", "0115", "0050"), "Mkt '0115' of 13010 on 2024-03-01"),
        (("13010", None, "0050"), "Mkt '' of 13010 on 2024-03-01"),
        (("13010", "0111", "0051"), "S33 '0051' of 13010 on 2024-03-01"),
        (("1301", "0111", "0050"), "Code '1301' of 2024-03-01"),
    ],
)
def test_a_record_that_cannot_be_placed_is_refused(record: tuple, told: str) -> None:
    """An unknown market is not *outside the universe*, and a short code is no preferred share."""
    with pytest.raises(UnknownMember, match=told):
        members_by_session(listed((DAY, "13020", "0111", "0050"), (DAY, *record)), SESSIONS)


def test_what_does_not_decide_is_not_refused() -> None:
    """The industry of a fund, the market of preferred shares, records of other days."""
    table = listed(
        (DAY, "13010", "0111", "0050"),
        (DAY, "13050", "0109", "-"),
        (DAY, "25935", "0115", "3100"),
        (dt.date(2024, 3, 2), "13020", "0115", "0050"),
    )
    assert members_by_session(table, SESSIONS)[DAY] == 1


def test_an_investment_certificate_may_lack_market_and_industry() -> None:
    """It is in no segment, and outside the universe unless the listing gives it an industry."""
    table = listed(
        (DAY, "13010", "0111", "0050"),
        (DAY, "83010", "0112", None),
        (DAY, "84210", None, "7050"),
    )
    assert members_by_session(table, SESSIONS)[DAY] == 1
    whole = listed((DAY, "84210", "0112", "7050"))
    assert members_by_session(whole, SESSIONS)[DAY] == 1


def test_the_keys_are_those_of_a_chunk() -> None:
    """Sorted by Date and Code, each once."""
    other = dt.date(2024, 3, 4)
    table = listed(
        (other, "13010", "0111", "0050"),
        (DAY, "13020", "0111", "0050"),
        (DAY, "13010", "111", "50"),
        (DAY, "13010", "0111", "0050"),
    )
    keys = member_keys(table, SESSIONS)
    assert keys.to_pylist() == [
        {"Date": DAY, "Code": "13010"},
        {"Date": DAY, "Code": "13020"},
        {"Date": other, "Code": "13010"},
    ]
