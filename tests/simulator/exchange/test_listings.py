"""Listings, absences and attributes."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from pipeline.errors import UsageError
from pipeline.simulator import Market, MarketSpec
from pipeline.simulator.exchange.code_tables import INDUSTRIES, SEGMENTS


def _listing(market, code):
    column = market.slots(code)[0]
    return market.universe.listed[: market.last + 1, column]


def test_issues_come_and_go(market):
    """Some codes are listed later than the first day, some leave for good."""
    listed = market.universe.listed[: market.last + 1]
    assert (~listed[0] & listed[-1]).sum() >= 4
    assert (listed[0] & ~listed[-1]).sum() >= 4


def test_a_code_leaves_for_more_than_twenty_sessions_and_returns(market):
    """The absent code has no rows in between and trades again afterwards."""
    listed = market.universe.listed[: market.last + 1]
    longest = 0
    for column in range(listed.shape[1]):
        on = np.flatnonzero(listed[:, column])
        if on.size:
            longest = max(longest, int(np.diff(on).max(initial=1)) - 1)
    assert longest > 20


def test_a_halted_issue_is_listed_without_trades(market, bars):
    """Suspended issues keep their rows; all prices are null."""
    t, slot = (int(x[0]) for x in np.nonzero(market.universe.halted & market.universe.listed))
    day, code = str(market.calendar.sessions[t]), market.universe.issues.code[slot]
    row = (bars["Date"] == day) & (bars["Code"] == code)
    assert row.sum() == 1
    assert np.isnan(bars["C"][row]).all()


def test_the_sections_became_segments_on_2022_04_04(listed):
    """0101 to 0107 before, 0111 to 0113 from that day on; funds and PRO issues stay."""
    before = set(listed["Mkt"][listed["Date"] == "2022-04-01"])
    after = set(listed["Mkt"][listed["Date"] == "2022-04-04"])
    assert before <= {"0101", "0102", "0104", "0105", "0106", "0107", "0109"}
    assert after <= {"0105", "0109", "0111", "0112", "0113"}
    assert {"0101", "0109", "0105"} <= before


@pytest.mark.parametrize("field", ["Mkt", "S33", "ScaleCat", "Mrgn"])
def test_attributes_change_while_an_issue_is_listed(listed, field):
    """Each attribute changes for some issue apart from the reform of 2022."""
    recent = listed["Date"] < "2022-04-01"
    values = {}
    for code, value in zip(listed["Code"][recent], listed[field][recent], strict=True):
        values.setdefault(code, set()).add(value)
    assert any(len(seen) > 1 for seen in values.values())


def test_every_kind_of_issue_is_there(listed):
    """Ordinary and preferred shares, ETFs, REITs, PRO market issues, even among 60 stocks."""
    day = listed["Date"] == "2021-06-01"
    codes = listed["Code"][day]
    assert {"011", "013", "014"} == set(listed["ProdCat"][day])
    assert any(code.endswith("5") for code in codes)
    funds = listed["Mkt"][day] == "0109"
    assert set(listed["S33"][day][funds]) == {"9999"}
    assert set(listed["Mrgn"][day]) == {"1", "2", "3"}
    assert (codes == np.sort(codes.astype("U5"))).all()
    assert len(set(codes)) == codes.size


def test_four_characters_mean_the_common_share(market):
    """A preferred share answers only to its own five characters."""
    preferred = next(c for c in market.universe.issues.code if c.endswith("5"))
    codes = market.universe.issues.code
    assert [codes[s] for s in market.slots(preferred[:4])] == [preferred[:4] + "0"]
    assert [codes[s] for s in market.slots(preferred)] == [preferred]


def test_listings_since_2024_have_codes_with_letters():
    """130A0 and so on, as at the exchange; older ones keep four digits."""
    market = Market(MarketSpec(5, 40, date(2023, 7, 1), date(2024, 6, 28)))
    old, new = (market.rows("listed", d)["Code"] for d in (date(2023, 12, 29), date(2024, 6, 28)))
    assert all(code.isdigit() for code in old)
    letters = [code for code in new if not code.isdigit()]
    assert letters[0] == "130A0"


def test_a_market_that_starts_after_2024_has_letters_from_the_first_day():
    """Codes with letters are among the issues listed at the start."""
    market = Market(MarketSpec(5, 40, date(2025, 1, 6), date(2025, 1, 31)))
    codes = market.rows("listed", date(2025, 1, 6))["Code"]
    assert any(not code.isdigit() for code in codes)


def test_sectors_of_the_master_belong_together(listed):
    """S17 follows from S33 and all codes are those of the tables."""
    sector = {row[0]: row[2] for row in INDUSTRIES}
    assert all(sector[a] == b for a, b in zip(listed["S33"], listed["S17"], strict=True))
    assert set(listed["Mkt"]) <= {code for code, _ in SEGMENTS}


@pytest.mark.parametrize(
    "change",
    [{"stocks": 3}, {"stocks": 10**6}, {"seed": -1}, {"start": date(2001, 1, 1)}],
)
def test_impossible_markets_are_refused(change):
    """Every bound of the spec is checked with a readable message."""
    values = {"seed": 1, "stocks": 10, "start": date(2024, 1, 1), "end": date(2024, 3, 1)}
    with pytest.raises(UsageError, match="simulator"):
        MarketSpec(**(values | change))


def test_an_end_before_the_start_and_a_range_without_a_session_are_refused():
    """The message names the dates."""
    with pytest.raises(UsageError, match="before start"):
        MarketSpec(1, 10, date(2024, 3, 2), date(2024, 3, 1))
    with pytest.raises(UsageError, match="no session"):
        Market(MarketSpec(1, 10, date(2024, 1, 1), date(2024, 1, 3)))
