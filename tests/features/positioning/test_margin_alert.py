"""Family margin_alert by hand."""

from __future__ import annotations

import numpy as np

from pipeline.features.positioning import margin_alert
from tests.features.event_books import market_with, of_code
from tests.market.hand import NAN, Stock, date_of

N = 70
FLAT = Stock("10010", [10.0] * N)  # 1,000 shares a day


def row(published: int, **fields: object) -> dict[str, object]:
    return {
        "PubDate": date_of(published),
        "Code": "10010",
        "AppDate": date_of(published - 1),
        "PubReason.RestrictedByJSF": "0",
        "PubReason.PrecautionByJSF": "1",
        "LongOut": 5000.0,
        "LongOutChg": 300.0,
        "ShrtOut": 2000.0,
        "TSEMrgnRegCls": "001",
        **fields,
    }


def computed(*rows: dict[str, object], stock: Stock = FLAT, n_out: int = N):
    market = market_with(stock, n_out=n_out, alerts=list(rows))
    return {name: of_code(market, x) for name, x in margin_alert.compute(market).items()}


def test_one_row_by_hand():
    """Published on column 30: columns 30 and 31, and 20 columns more in the count."""
    seen = computed(row(30))
    assert set(seen) == {f.name for f in margin_alert.FEATURES}
    around = {
        "alert_is_listed": [0, 1, 1, 0],
        "alert_reg_class": [0, 1, 1, 0],
        "alert_jsf_restricted": [0, 1, 1, 0],
        "alert_days_20d": [0, 1, 2, 2],
        "alert_sl_ratio_log": [NAN, np.log(5100 / 2100), np.log(5100 / 2100), NAN],
        "alert_long_chg_to_adv20": [NAN, 0.3, 0.3, NAN],
    }
    for name, expected in around.items():
        np.testing.assert_allclose(seen[name][29:33], expected, rtol=1e-14, err_msg=name)
    np.testing.assert_array_equal(seen["alert_days_20d"][48:53], [2, 2, 1, 0, 0])


def test_columns_before_the_listing_and_the_panel_count_0():
    """The count is never null: 2 on the panel's second column."""
    np.testing.assert_array_equal(computed(row(1))["alert_days_20d"][:4], [0, 1, 2, 2])
    late = Stock("10010", [10.0] * N, unlisted=range(30))
    np.testing.assert_array_equal(computed(row(31), stock=late)["alert_days_20d"][30:33], [0, 1, 2])


def test_the_change_of_the_first_day_is_null():
    """The other columns of that row are not."""
    seen = computed(row(30, LongOutChg=None))
    assert np.isnan(seen["alert_long_chg_to_adv20"]).all()
    assert seen["alert_is_listed"][30] == 1.0


def test_shares_are_in_the_basis_of_the_row():
    """A split on the day of publication: balances of the day before are restated, as is volume."""
    stock = Stock("10010", [10.0] * N, factors={30: 0.5})
    seen = computed(row(30), stock=stock)
    np.testing.assert_allclose(seen["alert_sl_ratio_log"][30], np.log(10100 / 4100))
    np.testing.assert_allclose(seen["alert_long_chg_to_adv20"][30], 600 / ((19 * 2000 + 1000) / 20))


def test_a_stock_without_trades_has_no_days_of_volume():
    """20 silent columns: null, as before the 20th column of the listing."""
    silent = Stock("10010", [10.0] * 10 + [NAN] * (N - 10))
    seen = computed(row(12), row(40), stock=silent)
    assert np.isnan(seen["alert_long_chg_to_adv20"][[12, 40]]).all()
    assert seen["alert_is_listed"][40] == 1.0


def test_bits_do_not_depend_on_the_wanted_columns_or_the_order_of_rows():
    """A narrower request on reversed rows is the tail of a wider one."""
    rows = [row(c, LongOut=100.0 * c, TSEMrgnRegCls=f"00{c % 7}") for c in range(5, N - 3, 3)]
    stock = Stock("10010", [10.0 + c % 7 for c in range(N)], factors={40: 0.3, N - 5: 3.0})
    whole, part = computed(*rows, stock=stock), computed(*rows[::-1], stock=stock, n_out=12)
    for name, values in part.items():
        np.testing.assert_array_equal(values, whole[name][-12:], err_msg=name)


def test_without_rows_nobody_is_designated():
    """Flags and counts are 0, what needs a row is null."""
    for name, values in computed(n_out=20).items():
        null = name in {"alert_sl_ratio_log", "alert_long_chg_to_adv20"}
        np.testing.assert_array_equal(values, np.full(20, NAN if null else 0.0), err_msg=name)
