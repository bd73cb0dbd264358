"""The earnings schedule and family earnings_calendar, by hand."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pandas as pd
import pytest

from tests.reference.earnings_calendar import FEATURES, reaction_column
from tests.reference.hand import CODE, COLUMNS, DAYS, market, value, values
from tests.reference.market import ReferenceMarket
from tests.reference.publication import Record
from tests.reference.schedule import days_to_next
from tests.reference.test_statements import statement


def announcement(published: int, scheduled: int | None, name: str = "1Q", fye: str = "0331") -> Any:
    """A row of the schedule, with columns for dates."""
    date = None if scheduled is None else DAYS[scheduled]
    return {"PubDate": DAYS[published], "SchDate": date, "FQName": name, "FYE": fye}


def test_a_date_is_known_a_column_after_its_publication() -> None:
    """Up to the column before it; 120 columns at most, and never more than 60 columns ahead."""
    found = values(
        FEATURES,
        "earn_days_to_next",
        market(earnings_date=[announcement(100, 180)]),
        range(90, 190),
    )
    assert found == {i: min(60, 180 - i) for i in range(101, 180)}
    m = market(earnings_date=[announcement(100, 240)])
    assert values(FEATURES, "earn_days_to_next", m, (221, 222)) == {221: 19}


def test_a_date_on_a_weekend_counts_as_the_next_column() -> None:
    """eff(SchDate); on the Friday before it is one column away."""
    row = announcement(100, 154) | {"SchDate": DAYS[154] + dt.timedelta(days=1)}
    assert DAYS[154].isoweekday() == 5
    found = values(FEATURES, "earn_days_to_next", market(earnings_date=[row]), range(153, 157))
    assert found == {153: 2, 154: 1}


def test_a_changed_date_replaces_the_older_one() -> None:
    """Undecided is no date; the shift is against the first date of the same event."""
    rows = [
        announcement(100, None),
        announcement(105, 130),
        announcement(110, 140),
        announcement(120, None),
        announcement(122, 150, "2Q"),
        announcement(124, 135),
    ]
    m = market(earnings_date=rows[::-1])
    columns = (105, 106, 111, 121, 123, 125, 135)
    found = values(FEATURES, "earn_days_to_next", m, columns)
    assert found == {106: 24, 111: 29, 123: 27, 125: 10, 135: 15}
    shifts = values(FEATURES, "earn_date_shift_days", m, columns)
    assert shifts == {106: 0, 111: 14, 123: 0, 125: 7, 135: 0}


def test_of_two_rows_of_one_day_the_later_in_the_file_counts() -> None:
    """For the current date and for the first one."""
    rows = [announcement(100, 150), announcement(100, 140)]
    m = market(earnings_date=rows)
    assert days_to_next(m, CODE, DAYS[120]) == 20
    assert value(FEATURES, "earn_date_shift_days", m, 120) == 0
    assert days_to_next(market(earnings_date=rows[::-1]), CODE, DAYS[120]) == 30


def index(prices: dict[int, float]) -> list[dict[str, Any]]:
    """TOPIX at 1000 points, and other values from some columns on."""
    rows, level = [], 1000.0
    for i, day in enumerate(DAYS[:COLUMNS]):
        level = prices.get(i, level)
        rows.append({"Date": day, "C": level})
    return rows


@pytest.mark.parametrize(
    ("time", "reaction"),
    [("11:30:00", 304), ("14:59:59", 304), ("15:00:00", 305), ("15:30:00", 305), ("", 305)],
)
def test_the_reaction_column(time: str, reaction: int) -> None:
    """The day itself before the close, else the next column; the price rises by a tenth there."""
    m = market(
        prices={reaction: 110.0},
        fin_summary=[statement(2021, "1Q", 304, DiscTime=time)],
        topix=index({reaction: 1010.0}),
    )
    found = values(FEATURES, "earn_reaction_1d", m, (303, reaction - 1, reaction, 504, 505))
    assert found == pytest.approx({reaction: 0.09, 504: 0.09})


def test_the_session_is_longer_from_november_2024_on() -> None:
    """15:10 is after the close on the 1st, and before it on the 5th."""
    days = pd.bdate_range("2024-10-28", "2024-11-15")
    nothing = pd.DataFrame({"Date": [], "Code": []})
    m = ReferenceMarket(nothing, nothing, pd.DataFrame({"Date": days, "HolDiv": "1"}))
    columns = []
    for day in (dt.date(2024, 11, 1), dt.date(2024, 11, 5)):
        row = statement(2025, "2Q", 0) | {"DiscDate": day, "DiscTime": "15:10:00"}
        columns.append(reaction_column(m, Record(row, m.eff(day))))
    assert [m.columns[i] for i in columns] == [dt.date(2024, 11, 4), dt.date(2024, 11, 5)]


def test_a_statement_of_a_saturday_acts_on_monday() -> None:
    """Whatever its time."""
    row = statement(2021, "1Q", 304, DiscTime="16:00:00")
    row["DiscDate"] += dt.timedelta(days=1)
    m = market(prices={305: 110.0}, fin_summary=[row], topix=index({}))
    assert values(FEATURES, "earn_reaction_1d", m, (304, 305)) == pytest.approx({305: 0.1})


def test_drift_and_turnover() -> None:
    """p and TOPIX against the reaction column; turnover against the 20 columns before it."""
    m = market(
        prices={305: 110.0, 310: 121.0},
        fin_summary=[statement(2021, "1Q", 304)],
        topix=index({305: 1010.0, 312: 1111.0}),
    )
    drift = values(FEATURES, "earn_drift_since", m, (304, 305, 310, 312, 425, 426))
    assert drift == pytest.approx({305: 0, 310: 0.1, 312: 0, 425: 0}, abs=1e-12)
    assert value(FEATURES, "earn_reaction_value_ratio", m, 330) == pytest.approx(1.1)
    halted = market(
        halted=range(280, 305), fin_summary=[statement(2021, "1Q", 304)], topix=index({})
    )
    # The 20 columns before are listed and without turnover: the mean is 0.
    assert value(FEATURES, "earn_reaction_value_ratio", halted, 330) is None


def test_the_latest_first_disclosure_is_the_event() -> None:
    """A correction is none; a new statement takes over on its own reaction column."""
    m = market(
        prices={305: 110.0, 321: 121.0},
        fin_summary=[
            statement(2021, "1Q", 304),
            statement(2021, "1Q", 310, 1),
            statement(2021, "2Q", 320),
        ],
        topix=index({}),
    )
    found = values(FEATURES, "earn_drift_since", m, (315, 320, 321))
    assert found == pytest.approx({315: 0, 320: 0, 321: 0}, abs=1e-12)
    found = values(FEATURES, "earn_reaction_1d", m, (315, 320, 520, 521))
    assert found == pytest.approx({315: 0.1, 320: 0.1, 520: 0.1})


def test_a_reaction_in_an_earlier_line_is_unknown() -> None:
    """A code that was away for more than 20 columns starts anew."""
    rows = [statement(2021, "1Q", 300)]
    away = market(unlisted=range(310, 331), fin_summary=rows, topix=index({}))
    assert value(FEATURES, "earn_reaction_1d", away, 309) == 0
    assert value(FEATURES, "earn_reaction_1d", away, 331) is None
    back = market(unlisted=range(310, 330), fin_summary=rows, topix=index({}))
    assert value(FEATURES, "earn_drift_since", back, 330) == 0
