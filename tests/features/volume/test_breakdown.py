"""Family breakdown."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from pipeline.features.volume import breakdown
from pipeline.market.positioning.order_breakdown import Breakdown
from tests.market.hand import Stock, market

NAN = np.nan
COLUMNS = (
    "short_cash", "margin_sell_new", "margin_sell_close", "long_buy", "margin_buy_new",
    "margin_buy_close", "margin_sell_new_shares", "margin_buy_new_shares",
)  # fmt: skip


def records(shape, **fields) -> Breakdown:
    """Records of one kind of day: B = 100; arrays or numbers for some fields."""
    usual = dict(zip(COLUMNS, (8.0, 12.0, 5.0, 60.0, 30.0, 10.0, 1.0, 1.0), strict=True))
    return Breakdown(
        **{name: np.broadcast_to(value, shape).copy() for name, value in (usual | fields).items()}
    )


def values(n_columns, n_out, unlisted=(), **fields):
    stock = Stock("10000", [100.0] * n_columns, unlisted)
    made = replace(
        market(stock, n_out=n_out), breakdown=records((1, min(n_columns, n_out + 119)), **fields)
    )
    return {name: x[0] for name, x in breakdown.compute(made).items()}


def test_the_family_returns_its_declared_columns():
    """Codes x n_out, in float64."""
    made = replace(market(Stock("10000", [100.0] * 4), n_out=3), breakdown=records((1, 4)))
    seen = breakdown.compute(made)
    assert sorted(seen) == sorted(feature.name for feature in breakdown.FEATURES)
    assert {x.shape for x in seen.values()} == {(1, 3)}
    assert {x.dtype for x in seen.values()} == {np.dtype(np.float64)}


def test_the_shares_of_a_day_by_hand():
    """Of a turnover of 100: 8 + 12 short, 30 + 10 bought on margin, 30 - 5 and 12 - 10 opened."""
    seen = {name: float(x[0]) for name, x in values(1, 1).items()}
    assert seen["bd_short_share"] == pytest.approx(0.20)
    assert seen["bd_nonmargin_short_share"] == pytest.approx(0.08)
    assert seen["bd_margin_buy_share"] == pytest.approx(0.40)
    assert seen["bd_margin_long_flow"] == pytest.approx(0.25)
    assert seen["bd_margin_short_flow"] == pytest.approx(0.02)


@pytest.mark.parametrize("gone", [{"long_buy": NAN}, {name: 0.0 for name in COLUMNS}])
def test_no_record_and_no_turnover_are_null(gone):
    """All of the day's shares, and the sums too."""
    assert all(np.isnan(x).all() for x in values(25, 1, **gone).values())


def test_sums_run_over_the_records_of_20_columns():
    """Short sales over turnover, both summed; a day without a record is skipped in both."""
    rng = np.random.default_rng(1)
    buys, shorts = rng.uniform(50.0, 900.0, 30), rng.uniform(0.0, 40.0, 30)
    buys[[12, 20]] = NAN
    seen = values(30, 1, long_buy=buys, short_cash=shorts)
    known = [u for u in range(10, 30) if u not in (12, 20)]
    turnover = (buys + 30.0 + 10.0)[known].sum()
    expected = (shorts + 12.0)[known].sum() / turnover
    assert seen["bd_short_share_20d"][0] == pytest.approx(expected, rel=1e-12)
    assert seen["bd_margin_long_flow_20d"][0] == pytest.approx(18 * 25.0 / turnover, rel=1e-12)


def test_a_record_without_the_part_does_not_enlarge_the_turnover():
    """Both sums leave out a record that lacks what is summed."""
    shorts = np.full(20, 8.0)
    shorts[3] = NAN
    seen = values(20, 1, short_cash=shorts)
    assert seen["bd_short_share_20d"][0] == pytest.approx(0.2)
    assert seen["bd_margin_long_flow_20d"][0] == pytest.approx(0.25)


def test_sums_need_ten_records():
    """Nine are too few."""
    seen = values(12, 3)
    for name in ("bd_short_share_20d", "bd_margin_long_flow_20d"):
        np.testing.assert_array_equal(np.isnan(seen[name]), [False, False, False])
    np.testing.assert_array_equal(np.isnan(values(10, 2)["bd_short_share_20d"]), [True, False])


def test_a_returning_code_does_not_see_its_earlier_life():
    """Absent for 21 columns: ten records of the new listing are needed again."""
    n, back = 60, 40
    seen = values(n, n, unlisted=range(back - 21, back))
    sums = seen["bd_short_share_20d"]
    assert np.isfinite(sums[9 : back - 21]).all()
    assert np.isnan(sums[back : back + 9]).all()
    assert np.isfinite(sums[back + 9 :]).all()
    assert np.isfinite(seen["bd_short_share"][back:]).all()


def test_a_short_absence_does_not_cut_the_window():
    """Ten columns away is the same line, but their records are none: ten of 20 must be left."""
    sums = values(60, 60, unlisted=range(30, 40))["bd_short_share_20d"]
    assert np.isfinite(sums[40:]).all()
    sums = values(60, 60, unlisted=range(30, 41))["bd_short_share_20d"]
    assert np.isnan(sums[41:50]).all()
    assert np.isfinite(sums[50:]).all()


def test_the_mean_share_of_margin_buys():
    """Mean of daily shares, not a share of sums; days outside the universe count."""
    n = 30
    buys = np.where(np.arange(n) % 2 == 0, 60.0, 160.0)
    stock = Stock("10000", [100.0] * n, record={"Mkt": "0105"}, later={n - 2: {"Mkt": "0111"}})
    made = replace(market(stock, n_out=2), breakdown=records((1, n), long_buy=buys))
    assert not made.master.universe[0, n - 3]
    seen = breakdown.margin_buy_share_20d(made)
    np.testing.assert_allclose(seen, [[0.3, 0.3]], rtol=1e-12)


def test_records_of_a_code_go_to_all_its_lines():
    """A split makes a second line; yen amounts are the same in both."""
    n = 30
    stock = Stock("10000", [100.0] * n, factors={n - 2: 0.5})
    made = replace(market(stock, n_out=4), breakdown=records((1, n)))
    assert made.panel.n_lines == 2
    seen = breakdown.compute(made)["bd_short_share_20d"]
    np.testing.assert_allclose(seen, [[0.2] * 4])


def test_more_columns_do_not_change_a_bit():
    """Neither in front nor behind nor wanted."""
    rng = np.random.default_rng(2)
    n = 60
    amounts = {name: rng.uniform(1.0, 100.0, (1, n)) for name in COLUMNS}
    for values_ in amounts.values():
        values_[0, rng.random(n) < 0.2] = NAN

    def built(first, stop, n_out):
        made = market(Stock("10000", [100.0] * (stop - first)), n_out=n_out)
        cut = Breakdown(**{name: x[:, first:stop] for name, x in amounts.items()})
        return breakdown.compute(replace(made, breakdown=cut))

    expected = built(20, 45, 5)
    seen = built(0, n, 30)
    for name, narrow in expected.items():
        np.testing.assert_array_equal(seen[name][:, 10:15], narrow, err_msg=name)


def test_an_unavailable_source_is_null():
    """Records that are all null."""
    made = SimpleNamespace(
        panel=market(Stock("10000", [100.0] * 30), n_out=2).panel,
        breakdown=records((1, 30), **dict.fromkeys(COLUMNS, NAN)),
    )
    assert all(np.isnan(x).all() for x in breakdown.compute(made).values())
