"""Margin balances: weekly, daily, and of designated issues."""

from __future__ import annotations

from collections import defaultdict
from datetime import date

import numpy as np
import pytest

from pipeline.simulator.positions.margin_rows import balance_dates
from tests.simulator.conftest import END, START
from tests.simulator.viewing import rows

INTEREST, ALERT = "/markets/margin-interest", "/markets/margin-alert"


@pytest.fixture(scope="module")
def balances(market):
    return market.rows("margin_interest", START, END)


@pytest.fixture(scope="module")
def alerts(market):
    columns = market.rows("margin_alert", START, END)
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def test_a_balance_is_the_sum_of_its_parts(balances):
    """Negotiable and standardised margin, in lots of 100 shares; no short selling without loans."""
    for side in ("Shrt", "Long"):
        parts = balances[f"{side}NegVol"] + balances[f"{side}StdVol"]
        np.testing.assert_array_equal(balances[f"{side}Vol"], parts)
        assert (balances[f"{side}Vol"] % 100 == 0).all()
        assert (balances[f"{side}Vol"] >= 0).all()
    assert set(balances["IssType"]) == {"1", "2"}
    assert (balances["ShrtStdVol"][balances["IssType"] == "1"] == 0).all()


def test_the_weekly_era_has_the_last_session_of_weeks_of_three(market, balances):
    """No rows for weeks with two sessions or fewer; no amounts, no publication date."""
    sessions = market.calendar.sessions
    weeks = defaultdict(list)
    for session in sessions:
        weeks[(int(session.astype(np.int64)) + 3) // 7].append(str(session))
    last = {days[-1] for days in weeks.values() if len(days) >= 3}
    assert set(balances["Date"]) == {day for day in last if day <= END.isoformat()}
    assert all(value is None for value in balances["PubDate"])
    assert np.isnan(balances["LongVal"]).all()


@pytest.mark.parametrize(
    ("day", "published"),
    [
        ("2021-06-11", "2021-06-15"),  # Friday, Tuesday
        ("2021-07-21", "2021-07-27"),  # two holidays before the weekend
        ("2021-09-17", "2021-09-22"),  # a Monday off
        ("2020-12-30", "2021-01-05"),  # exactly six days
        ("2021-04-30", "2021-05-10"),  # Golden Week: the second session is a week away
    ],
)
def test_weekly_balances_come_on_the_second_session(market, day, published):
    """At 16:30; on the third when the second is more than six days away."""
    assert rows(market, INTEREST, now=f"{published}T16:29", date=day) == []
    assert rows(market, INTEREST, now=f"{published}T16:30", date=day)


def test_the_daily_era_begins_with_the_balances_of_25_september_2026(recent):
    """Every session, published on the next one, with amounts at the close."""
    dates, shown_on = balance_dates(recent.calendar.sessions)
    days = recent.calendar.sessions[dates]
    daily = days >= np.datetime64("2026-09-25")
    assert (np.diff(dates[daily]) == 1).all()
    assert (shown_on[daily] == dates[daily] + 1).all()
    assert rows(recent, INTEREST, date="2026-09-24") == []
    found = rows(recent, INTEREST, date="2026-10-06")
    for row in found:
        assert row["PubDate"] == "2026-10-07"
        assert row["LongVal"] == pytest.approx(row["LongNegVal"] + row["LongStdVal"], abs=2)
    assert rows(recent, INTEREST, now="2026-10-07T16:29", date="2026-10-06") == []
    assert rows(recent, INTEREST, published_date="2026-10-07") == found
    assert rows(recent, INTEREST, published_date="2026-09-15") == []


def test_balances_move_by_a_part_of_the_volume(market, bars):
    """What opens and closes on margin was traded."""
    first, last = date(2021, 6, 7), date(2021, 6, 18)
    t = market.calendar.at_or_after(np.datetime64(first))
    for session in range(t, market.calendar.at_or_before(np.datetime64(last)) + 1):
        lots = market.tape.blocks[:, 4, session].sum(axis=0)
        opened = np.abs(market.margin.opened(session))
        assert (opened <= 0.2 * lots + 0.5).all()


def test_a_split_multiplies_the_balances(market):
    """They are shares of the day, not restated later."""
    market.margin.extend(market.last + 1)
    grown = [
        market.margin.balance[0, x.session, x.slot]
        / market.margin.balance[0, x.session - 1, x.slot]
        * x.factor
        for x in market.tape.splits
        if x.session <= market.last and market.margin.balance[0, x.session - 1, x.slot] > 100
    ]
    assert grown
    assert np.median(grown) == pytest.approx(1.0, abs=0.1)


def test_changes_are_a_dash_when_the_issue_was_not_published_before(alerts):
    """Otherwise they are the difference to the day before."""
    by_issue = defaultdict(dict)
    for row in alerts:
        by_issue[row["Code"]].setdefault(row["AppDate"], []).append(row)
    days = sorted({row["AppDate"] for row in alerts})
    seen = set()
    for row in alerts:
        before = days[max(days.index(row["AppDate"]) - 1, 0)]
        follows = before != row["AppDate"] and before in by_issue[row["Code"]]
        seen.add(follows)
        for name in ("ShrtOutChg", "LongOutChg", "LongNegOutChg", "ShrtStdOutChg"):
            assert isinstance(row[name], float) or row[name] == "-"
        assert (row["LongOutChg"] == "-") == (not follows) or before == days[0]
    assert seen == {True, False}


def test_alert_balances_add_up_and_funds_have_no_ratios(market, alerts):
    """Parts and totals agree; the ratio of an exchange traded fund is a star."""
    kinds = dict(
        zip(market.universe.issues.code, market.universe.issues.kind.tolist(), strict=True)
    )
    stars = 0
    for row in alerts:
        assert row["LongOut"] == row["LongNegOut"] + row["LongStdOut"]
        assert row["ShrtOut"] == row["ShrtNegOut"] + row["ShrtStdOut"]
        assert (row["LongOutRatio"] == "*") == (kinds[row["Code"]] == 2)
        stars += row["LongOutRatio"] == "*"
        assert set(row["PubReason"].values()) <= {"0", "1"}
        assert len(row["PubReason"]) == 6
    assert stars
    classes = {row["TSEMrgnRegCls"] for row in alerts}
    assert {"001", "002", "003", "101", "102"} <= classes


def test_a_corrected_alert_is_one_more_row_with_a_later_publication(market, alerts):
    """Normally PubDate is the session after AppDate; the first row stays as it was."""
    sessions = [str(day) for day in market.calendar.sessions]
    rows_of = defaultdict(list)
    for row in alerts:
        rows_of[row["Code"], row["AppDate"]].append(row)
    corrected = [found for found in rows_of.values() if len(found) == 2]
    assert corrected
    for wrong, right in corrected:
        assert wrong["PubDate"] < right["PubDate"]
        assert wrong["LongOut"] >= right["LongOut"]
    for (_, applied), found in rows_of.items():
        assert found[0]["PubDate"] == sessions[sessions.index(applied) + 1]


def test_alerts_come_at_half_past_four(market, alerts):
    """On their publication date."""
    day = alerts[len(alerts) // 2]["PubDate"]
    assert rows(market, ALERT, now=f"{day}T16:29", date=day) == []
    assert rows(market, ALERT, now=f"{day}T16:30", date=day)
