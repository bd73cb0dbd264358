"""Family short_position, by hand."""

from __future__ import annotations

from typing import Any

import pytest

from tests.reference.hand import DAYS, market, value, values, weekend_after
from tests.reference.short_position import FEATURES


def report(disclosed: int, share: float, seller: str = "A", **fields: Any) -> Any:
    """A report of the position two columns before its disclosure."""
    row = {"DiscDate": DAYS[disclosed], "CalcDate": DAYS[disclosed - 2], "SSName": seller}
    return row | {"ShrtPosToSO": share} | fields


def test_open_positions_by_hand() -> None:
    """A 1 % since column 100, B 3 % since 110, C 0.5 % since 115; A below the limit from 125."""
    rows = [report(100, 0.01), report(110, 0.03, "B"), report(115, 0.005, "C"), report(125, 0.004)]
    m = market(short_sale=rows)
    expected = {
        "ssp_ratio_sum": 0.035,
        "ssp_reporters": 2,
        "ssp_top_ratio": 0.03,
        "ssp_hhi": (0.03**2 + 0.005**2) / 0.035**2,
        "ssp_delta_5d": -0.01,
        "ssp_delta_20d": 0.025,
        "ssp_net_entries_20d": 1,
        "ssp_days_since_report": 1,
    }
    assert list(expected) == list(FEATURES)
    found = {name: value(FEATURES, name, m, 126) for name in expected}
    assert found == pytest.approx(expected)


def test_without_reports_the_sums_are_zero() -> None:
    """Only the concentration and the days since the last report are unknown."""
    m = market(short_sale=[])
    found = {name: value(FEATURES, name, m, 126) for name in FEATURES}
    unknown = {"ssp_hhi", "ssp_days_since_report"}
    assert found == {name: None if name in unknown else 0 for name in FEATURES}


def test_a_report_stands_for_250_columns() -> None:
    """A Saturday counts from Monday."""
    m = market(short_sale=[report(104, 0.01, DiscDate=weekend_after(104))])
    columns = (104, 105, 106, 355, 356)
    found = values(FEATURES, "ssp_ratio_sum", m, columns)
    assert found == {104: 0, 105: 0.01, 106: 0.01, 355: 0.01, 356: 0}
    ages = values(FEATURES, "ssp_days_since_report", m, columns)
    assert ages == {105: 0, 106: 1, 355: 250}
    # The state of T-20 has its own 250 columns.
    assert value(FEATURES, "ssp_delta_20d", m, 375) == pytest.approx(-0.01)
    assert value(FEATURES, "ssp_delta_20d", m, 376) == 0


def test_one_reporter_under_several_spellings() -> None:
    """NFKC and blanks; another client or fund is another position."""
    rows = [
        report(100, 0.01, "ABC Fund"),
        report(101, 0.02, "ＡＢＣ　Ｆｕｎｄ "),
        report(101, 0.03, "ABC Fund", FundName="X"),
        report(101, 0.04, "ABC Fund", DICName="X"),
    ]
    m = market(short_sale=rows)
    assert value(FEATURES, "ssp_ratio_sum", m, 101) == pytest.approx(0.09)
    assert value(FEATURES, "ssp_reporters", m, 101) == 3


def test_the_last_report_of_a_reporter() -> None:
    """By DiscDate, then CalcDate, then the order of the file."""
    rows = [
        report(100, 0.01, CalcDate=DAYS[99]),
        report(100, 0.02, CalcDate=DAYS[98]),
        report(99, 0.03, CalcDate=DAYS[99]),
    ]
    assert value(FEATURES, "ssp_top_ratio", market(short_sale=rows), 100) == 0.01
    rows.append(report(100, 0.05, CalcDate=DAYS[99]))
    assert value(FEATURES, "ssp_top_ratio", market(short_sale=rows), 100) == 0.05


def test_changes_need_a_listed_column() -> None:
    """Not listed five or twenty columns ago: null, although the positions are known."""
    m = market(short_sale=[report(100, 0.01)], unlisted=range(110))
    assert values(FEATURES, "ssp_delta_5d", m, (110, 114, 115)) == {115: 0}
    assert values(FEATURES, "ssp_net_entries_20d", m, (115, 129, 130)) == {130: 0}
    assert value(FEATURES, "ssp_delta_20d", market(short_sale=[]), 19) is None
