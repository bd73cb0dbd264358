"""Family earnings_calendar by hand."""

from __future__ import annotations

import numpy as np

from pipeline.features.fundamental import earnings_calendar
from tests.features.event_books import Rows, market_with, of_code
from tests.market.hand import NAN, Stock, date_of

N = 260
RISING = Stock("10010", [100.0 + c for c in range(N)])  # turns over 100 x close^2 yen
TOPIX = 2000.0 + 3.0 * (np.arange(N) % 11)


def statement(column: int, time: str = "13:00:00", period: str = "1Q") -> dict[str, object]:
    return {
        "DiscDate": date_of(column),
        "DiscTime": time,
        "Code": "10010",
        "DocType": f"{period}FinancialStatements_Consolidated_JP",
        "CurPerType": period,
        "CurFYEn": date_of(0),
    }


def plan(published: int, planned: int, quarter: str = "1Q") -> dict[str, object]:
    return {
        "PubDate": date_of(published),
        "SchDate": date_of(planned),
        "FQName": quarter,
        "FYE": "0331",
        "Code": "10010",
    }


def computed(
    reactions: Rows | None = None,
    schedule: Rows | None = None,
    *,
    stock: Stock = RISING,
    n_out: int = N,
):
    market = market_with(
        stock, n_out=n_out, topix=TOPIX, reactions=reactions or [], schedule=schedule or []
    )
    return {name: of_code(market, x) for name, x in earnings_calendar.compute(market).items()}


def test_days_to_the_next_report_are_capped():
    """80 columns ahead it counts 60; the shift is told all the same."""
    seen = computed(schedule=[plan(1, 82), plan(3, 85)])
    assert set(seen) == {f.name for f in earnings_calendar.FEATURES}
    np.testing.assert_array_equal(
        seen["earn_days_to_next"][[1, 2, 24, 25, 26, 84, 85]], [NAN, 60, 60, 60, 59, 1, NAN]
    )
    np.testing.assert_array_equal(seen["earn_date_shift_days"][[1, 2, 4, 84, 85]],
                                  [NAN, 0, 5, 5, NAN])  # fmt: skip


def test_the_reaction_of_the_session_of_the_report():
    """Return of the reaction column less TOPIX's, for 200 columns more."""
    seen = computed([statement(40)])["earn_reaction_1d"]
    expected = 140 / 139 - 1 - (TOPIX[40] / TOPIX[39] - 1)
    np.testing.assert_allclose(seen[40:241], expected, rtol=1e-12)
    assert np.isnan(seen[:40]).all()
    assert np.isnan(seen[241:]).all()


def test_a_report_after_the_close_acts_on_the_next_column():
    """Public on column 40 already, but its reaction is that of 41; so is the drift's start."""
    seen = computed([statement(40, "15:00:00")])
    assert np.isnan(seen["earn_reaction_1d"][40])
    np.testing.assert_allclose(
        seen["earn_reaction_1d"][41], 141 / 140 - 1 - (TOPIX[41] / TOPIX[40] - 1), rtol=1e-12
    )
    assert np.isnan(seen["earn_drift_since"][40])
    assert seen["earn_drift_since"][41] == 0.0


def test_the_drift_since_the_reaction():
    """Price ratio less index ratio; 120 columns, then null although the reaction stays."""
    seen = computed([statement(40)])
    expected = (100.0 + np.arange(40, 161)) / 140.0 - TOPIX[40:161] / TOPIX[40]
    np.testing.assert_allclose(seen["earn_drift_since"][40:161], expected, atol=1e-14)
    assert np.isnan(seen["earn_drift_since"][161:]).all()
    assert np.isfinite(seen["earn_reaction_1d"][161])


def test_the_latest_report_counts():
    """A second quarter replaces the first; its correction does not."""
    rows = [statement(40), statement(90, period="2Q"), statement(93, period="2Q")]
    seen = computed(rows)
    assert seen["earn_drift_since"][90] == 0.0
    np.testing.assert_allclose(seen["earn_drift_since"][95], 195 / 190 - TOPIX[95] / TOPIX[90])


def test_the_turnover_of_the_reaction():
    """Against the mean of the 20 columns before it."""
    seen = computed([statement(40)])["earn_reaction_value_ratio"]
    usual = np.mean((100.0 + np.arange(20, 40)) ** 2)
    np.testing.assert_allclose(seen[[40, 240]], 140.0**2 / usual, rtol=1e-12)
    assert np.isnan(seen[[39, 241]]).all()


def test_a_new_listing_needs_ten_columns_before_the_reaction():
    """Nine are too few; a halt on the reaction column itself is a turnover of 0."""
    young = Stock("10010", RISING.closes, unlisted=range(30))
    name = "earn_reaction_value_ratio"
    assert np.isnan(computed([statement(39)], stock=young)[name][60])
    assert np.isfinite(computed([statement(40)], stock=young)[name][60])
    halted = Stock("10010", [NAN if c == 40 else 100.0 for c in range(N)])
    seen = computed([statement(40)], stock=halted)
    assert seen[name][60] == 0.0
    np.testing.assert_allclose(seen["earn_reaction_1d"][60], -(TOPIX[40] / TOPIX[39] - 1))


def test_no_value_reaches_across_a_new_listing():
    """Away for 21 columns: prices of the old listing are not compared with those of the new."""
    away = Stock("10010", RISING.closes, unlisted=range(60, 81))
    seen = computed([statement(40)], stock=away, n_out=200)
    for name in ("earn_reaction_1d", "earn_drift_since", "earn_reaction_value_ratio"):
        assert np.isnan(seen[name][100 - 60]), name
    back = Stock("10010", RISING.closes, unlisted=range(60, 80))
    assert np.isfinite(computed([statement(40)], stock=back)["earn_drift_since"][100])


def test_a_split_since_the_report_changes_nothing():
    """Prices are compared in one basis, before and after the ex-date."""
    rising = np.array(RISING.closes)
    halved = Stock(
        "10010", np.where(np.arange(N) < 60, rising, rising / 2).tolist(), factors={60: 0.5}
    )
    plain, split = computed([statement(40)]), computed([statement(40)], stock=halved)
    for name in ("earn_reaction_1d", "earn_drift_since", "earn_reaction_value_ratio"):
        np.testing.assert_allclose(split[name], plain[name], atol=1e-14, err_msg=name)


def test_equal_prices_do_not_drift():
    """A constant price in a basis that does not divide evenly: exactly the index's part."""
    flat = Stock("10010", [700.7 * (0.3 if c >= 60 else 1.0) for c in range(N)], factors={60: 0.3})
    seen = computed([statement(40)], stock=flat)["earn_drift_since"]
    index = TOPIX / TOPIX[40] - 1.0
    same = np.isclose(index, 0.0, atol=1e-9)
    np.testing.assert_array_equal(seen[40:161], -np.where(same, 0.0, index)[40:161])


def test_bits_depend_neither_on_the_wanted_columns_nor_on_the_order_of_rows():
    """A narrower request on reversed rows is the tail of a wider one."""
    statements = [statement(c, period=p) for c, p in ((30, "1Q"), (95, "2Q"), (220, "FY"))]
    plans = [plan(c, c + 30, f"{c % 3}Q") for c in range(5, 225, 9)]
    stock = Stock("10010", RISING.closes, factors={100: 0.3, N - 5: 3.0})
    whole = computed(statements, plans, stock=stock)
    part = computed(statements[::-1], plans[::-1], stock=stock, n_out=40)
    for name, values in part.items():
        np.testing.assert_array_equal(values, whole[name][-40:], err_msg=name)


def test_without_rows_everything_is_null():
    """Empty sources are no error."""
    assert all(np.isnan(x).all() for x in computed(n_out=20).values())
