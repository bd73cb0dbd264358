"""Families margin, margin_alert and crowding, by hand."""

from __future__ import annotations

import datetime as dt
import math

import pytest

from tests.reference.crowding import FEATURES as CROWDING
from tests.reference.hand import DAYS, Rows, market, value, values, weekend_after
from tests.reference.margin import FEATURES as MARGIN
from tests.reference.margin_alert import FEATURES as ALERT

FRIDAY = 304
"""A column that is a Friday: its balances appear on FRIDAY + 2."""

FOUNDED: Rows = [
    {
        "DiscDate": DAYS[290],
        "DiscTime": "16:00:00",
        "DiscNo": "1",
        "DocType": "1QFinancialStatements_Consolidated_JP",
        "CurPerType": "1Q",
        "CurPerEn": dt.date(2021, 1, 31),
        "CurFYEn": dt.date(2021, 10, 31),
        "ShOutFY": 11_000.0,
        "TrShFY": 1_000.0,
    }
]


def weekly(*balances: tuple[float, float], last: int = FRIDAY) -> Rows:
    """Long and short balances of consecutive Fridays up to a column."""
    return [
        {
            "Date": DAYS[last - 5 * ago],
            "LongVol": long,
            "ShrtVol": short,
            "LongStdVol": long / 4,
        }
        for ago, (long, short) in enumerate(reversed(balances))
    ]


def test_margin_by_hand() -> None:
    """Two weeks of balances: 300 and 100 shares long, 200 and 100 short."""
    m = market(margin_interest=weekly((300, 200), (100, 100)), fin_summary=FOUNDED)
    expected = {
        "margin_long_to_shares": 0.01,
        "margin_short_to_shares": 0.01,
        "margin_lsr_log": 0.0,
        "margin_long_to_adv20": 0.1,
        "margin_short_to_adv20": 0.1,
        "margin_net_chg_1w_to_adv20": -0.1,
        "margin_long_chg_1w": math.log(200 / 400),
        "margin_short_chg_1w": math.log(200 / 300),
        "margin_long_std_share": 0.25,
        "margin_net_z52": None,
        "margin_staleness_td": 3,
    }
    assert list(expected) == list(MARGIN)
    found = {name: value(MARGIN, name, m, FRIDAY + 5) for name in expected}
    assert found == pytest.approx(expected)


def test_a_record_is_in_force_for_twenty_columns_after_its_publication() -> None:
    """From the Tuesday after a Friday on, then null."""
    m = market(margin_interest=weekly((300, 200)))
    found = values(MARGIN, "margin_staleness_td", m, range(FRIDAY, FRIDAY + 30))
    assert found == {FRIDAY + 2 + age: age for age in range(21)}


def test_balances_follow_splits_after_the_application() -> None:
    """A 1:2 split on the Monday doubles the balance; a split on the Friday is in it already."""
    rows = weekly((300, 200))
    for split, expected in ((FRIDAY + 1, 600), (FRIDAY, 300)):
        m = market(factors={split: 0.5}, margin_interest=rows)
        found = value(MARGIN, "margin_lsr_log", m, FRIDAY + 2)
        assert found == pytest.approx(math.log((expected + 100) / (expected / 1.5 + 100)))
    # The volume of the days before the split counts double as well.
    m = market(factors={FRIDAY + 1: 0.5}, margin_interest=rows)
    volume = (18 * 2000 + 2 * 1000) / 20
    assert value(MARGIN, "margin_long_to_adv20", m, FRIDAY + 2) == pytest.approx(600 / volume)


def test_the_week_before_is_seven_to_21_days_old() -> None:
    """Daily records: the one dated exactly a week earlier; a gap of 22 days: none."""
    daily = [
        {"Date": DAYS[i], "PubDate": DAYS[i + 1], "LongVol": float(i), "ShrtVol": 0.0}
        for i in range(FRIDAY - 20, FRIDAY + 1)
    ]
    found = value(MARGIN, "margin_long_chg_1w", market(margin_interest=daily), FRIDAY + 1)
    assert found == pytest.approx(math.log((FRIDAY + 100) / (FRIDAY - 5 + 100)))
    recent, older = daily[-1], {**daily[0], "Date": DAYS[FRIDAY] - dt.timedelta(days=21)}
    rows = [recent, older]
    assert value(MARGIN, "margin_long_chg_1w", market(margin_interest=rows), FRIDAY + 1) is not None
    rows = [recent, {**older, "Date": DAYS[FRIDAY] - dt.timedelta(days=22)}]
    assert value(MARGIN, "margin_long_chg_1w", market(margin_interest=rows), FRIDAY + 1) is None


def test_z_score_of_the_weeks() -> None:
    """26 weeks are enough; two values in equal shares give sqrt(25/26)."""
    balances = [(100.0 * (i % 2), 0.0) for i in range(26)]
    m = market(margin_interest=weekly(*balances), fin_summary=FOUNDED)
    found = value(MARGIN, "margin_net_z52", m, FRIDAY + 2)
    assert found == pytest.approx(0.5 / (0.5 * math.sqrt(26 / 25)))
    m = market(margin_interest=weekly(*balances[1:]), fin_summary=FOUNDED)
    assert value(MARGIN, "margin_net_z52", m, FRIDAY + 2) is None
    # Without a change there is no deviation.
    m = market(margin_interest=weekly(*[(100.0, 0.0)] * 30), fin_summary=FOUNDED)
    assert value(MARGIN, "margin_net_z52", m, FRIDAY + 2) is None


def test_only_the_last_52_weeks_count() -> None:
    """An outlier 52 weeks before the current one is out."""
    balances = [(9e9, 0.0), *((100.0 * (i % 2), 0.0) for i in range(52))]
    m = market(margin_interest=weekly(*balances), fin_summary=FOUNDED)
    found = value(MARGIN, "margin_net_z52", m, FRIDAY + 2)
    assert found == pytest.approx(0.5 / (0.5 * math.sqrt(52 / 51)))


@pytest.mark.parametrize(("age", "is_null"), [(400, False), (401, True)])
def test_a_week_counts_for_400_days(age: int, is_null: bool) -> None:
    """With 25 recent weeks, a further one is the 26th only within 400 calendar days."""
    rows = weekly(*((100.0 * (i % 2), 0.0) for i in range(25)))
    old = {**rows[0], "Date": DAYS[FRIDAY + 2] - dt.timedelta(days=age)}
    m = market(margin_interest=[*rows, old], fin_summary=FOUNDED)
    assert (value(MARGIN, "margin_net_z52", m, FRIDAY + 2) is None) is is_null


def alert(pub: dt.date, app: dt.date, **fields: object) -> dict[str, object]:
    """A daily balance of 900 shares long and 100 short."""
    row = {"PubDate": pub, "AppDate": app, "LongOut": 900.0, "ShrtOut": 100.0}
    return row | {"LongOutChg": 50.0, "TSEMrgnRegCls": "003"} | fields


def test_an_alert_is_in_force_on_its_day_and_the_next() -> None:
    """Counted for twenty columns; a Saturday counts as Monday; a correction wins by PubDate."""
    m = market(margin_alert=[alert(DAYS[FRIDAY], DAYS[FRIDAY - 1])])
    first = range(FRIDAY - 1, FRIDAY + 4)
    assert values(ALERT, "alert_sl_ratio_log", m, first) == pytest.approx(
        dict.fromkeys((FRIDAY, FRIDAY + 1), math.log(1000 / 200))
    )
    assert list(values(ALERT, "alert_is_listed", m, first).values()) == [0, 1, 1, 0, 0]
    found = [value(ALERT, "alert_days_20d", m, FRIDAY + i) for i in (-1, 0, 1, 19, 20, 21)]
    assert found == [0, 1, 2, 2, 1, 0]
    late = market(margin_alert=[alert(weekend_after(FRIDAY), DAYS[FRIDAY - 1])])
    assert set(values(ALERT, "alert_long_chg_to_adv20", late, first)) == {FRIDAY + 1, FRIDAY + 2}


def test_alert_records_of_one_code() -> None:
    """The largest AppDate first, then the largest PubDate; flags and class are those of it."""
    correction = alert(DAYS[FRIDAY + 1], DAYS[FRIDAY - 1], LongOut=1900.0)
    newer = alert(
        DAYS[FRIDAY + 1],
        DAYS[FRIDAY],
        LongOut=400.0,
        LongOutChg=None,
        **{"TSEMrgnRegCls": "101", "PubReason.PrecautionByJSF": "1"},
    )
    m = market(margin_alert=[correction, alert(DAYS[FRIDAY], DAYS[FRIDAY - 1])])
    assert value(ALERT, "alert_sl_ratio_log", m, FRIDAY + 1) == pytest.approx(math.log(10))
    assert value(ALERT, "alert_jsf_restricted", m, FRIDAY + 1) is None  # it has no flags
    flags = {"PubReason.RestrictedByJSF": "0", "PubReason.PrecautionByJSF": "0"}
    m = market(margin_alert=[alert(DAYS[FRIDAY + 1], DAYS[FRIDAY - 1], **flags)])
    assert value(ALERT, "alert_jsf_restricted", m, FRIDAY + 1) == 0
    m = market(margin_alert=[newer, correction], factors={FRIDAY + 1: 0.5})
    expected = {
        "alert_is_listed": 1,
        "alert_reg_class": 101,
        "alert_jsf_restricted": 1,
        "alert_days_20d": 1,
        "alert_sl_ratio_log": math.log(900 / 300),  # the split came after the application
        "alert_long_chg_to_adv20": None,
    }
    found = {name: value(ALERT, name, m, FRIDAY + 1) for name in ALERT}
    assert found == pytest.approx(expected)
    assert value(ALERT, "alert_reg_class", m, FRIDAY) == 0


def test_columns_without_a_master_record_count_no_alert() -> None:
    """Days before the listing contribute 0."""
    rows = [alert(DAYS[i], DAYS[i - 1]) for i in range(300, 310)]
    m = market(unlisted=range(305), margin_alert=rows)
    assert value(ALERT, "alert_days_20d", m, 309) == 5


def opened(column: int, price: float, shares: float) -> dict[str, object]:
    """Margin longs opened at a price on a column, and shorts at twice that price."""
    return {
        "Date": DAYS[column],
        "LongBuyVa": 1000.0,
        "MrgnBuyNewVa": price * shares,
        "MrgnBuyNewVo": shares,
        "MrgnSellNewVa": 2 * price * shares,
        "MrgnSellNewVo": shares,
    }


def test_average_price_of_open_positions() -> None:
    """60 records of 120 columns; shares of before a split count double."""
    rows = [opened(i, 125, 10) for i in range(200, 260)]
    m = market(breakdown=rows, margin_interest=weekly((300, 200), last=249))
    assert value(CROWDING, "margin_cost_gap_120d", m, 258) is None
    assert value(CROWDING, "margin_cost_gap_120d", m, 259) == pytest.approx(-0.2)
    assert value(CROWDING, "short_cost_gap_120d", m, 259) == pytest.approx(-0.6)
    assert value(CROWDING, "margin_pain", m, 259) == pytest.approx(0.2 * 0.3)
    assert value(CROWDING, "short_pain", m, 259) == 0
    assert value(CROWDING, "margin_cost_gap_120d", m, 320) is None
    halved = market(breakdown=rows, factors={260: 0.5}, prices={260: 50.0})
    assert value(CROWDING, "margin_cost_gap_120d", halved, 270) == pytest.approx(-0.2)


def test_scores_need_a_cross_section() -> None:
    """With one stock no rank exists."""
    m = market(margin_interest=weekly((300, 200)), breakdown=[])
    assert value(CROWDING, "crowding_score", m, FRIDAY + 2) is None
