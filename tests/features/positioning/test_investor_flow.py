"""Family investor_flow."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from pipeline.features.positioning import investor_flow
from pipeline.market.positioning.investor_flows import AMOUNTS, investor_flows
from tests.market.hand import NAN, date_of
from tests.market.records import axis, source


def record(published, week, section="TokyoNagoya", total=1000.0, **fields):
    amounts = {field: 0.0 for field in AMOUNTS}
    return {
        "PubDate": date_of(published),
        "StDate": date_of(5 * week),
        "EnDate": date_of(5 * week + 4),
        "Section": section,
        **amounts,
        "TotTot": total,
        **fields,
    }


def weekly(balances, **fields):
    """Consecutive weeks, each published four columns after its last; foreigners' balances."""
    return [
        record(5 * week + 8, week, FrgnBal=balance, **fields)
        for week, balance in enumerate(balances)
    ]


def values(rows, n_columns, n_out=1, tier=((1.0,),)):
    columns = axis(n_columns, n_out)
    tiers = np.array(tier)  # (codes, 1) or (codes, columns)
    market = SimpleNamespace(
        panel=SimpleNamespace(n_out=n_out),
        master=SimpleNamespace(tier=np.broadcast_to(tiers, (tiers.shape[0], n_columns))),
        flows=investor_flows(source("investor_types", *rows), columns),
    )
    return investor_flow.compute(market)


def test_the_family_returns_its_declared_columns():
    """(n_out,) each, but for the one by tier; all null without records."""
    seen = values([], 9, 4, tier=((1.0,), (NAN,)))
    assert sorted(seen) == sorted(feature.name for feature in investor_flow.FEATURES)
    shapes = {name: x.shape for name, x in seen.items()}
    assert shapes.pop("flow_tier_foreign_net_share") == (2, 4)
    assert set(shapes.values()) == {(4,)}
    assert {x.dtype for x in seen.values()} == {np.dtype(np.float64)}
    assert all(np.isnan(x).all() for x in seen.values())


def test_the_shares_of_the_latest_week():
    """Balances and turnover over the turnover of both sides."""
    amounts = dict(zip(AMOUNTS, (10.0, -20.0, 30.0, -40.0, 50.0, 600.0), strict=False))
    seen = values([record(8, 0, **amounts)], 9)
    names = (
        "flow_foreign_net_share", "flow_individual_net_share", "flow_trustbank_net_share",
        "flow_invtrust_net_share", "flow_bizcorp_net_share", "flow_foreign_turnover_share",
    )  # fmt: skip
    shares = [float(seen[name][0]) for name in names]
    assert shares == [0.01, -0.02, 0.03, -0.04, 0.05, 0.6]


def test_a_week_without_turnover_is_null():
    """A share of nothing."""
    assert np.isnan(values([record(8, 0, total=0.0)], 9)["flow_foreign_net_share"][0])


def test_a_record_is_stale_after_15_columns():
    """Age 15 is kept; then every column is null, the age too."""
    seen = values(weekly([1.0] * 10), 53 + 17, 17)
    np.testing.assert_array_equal(seen["flow_staleness_td"], [*range(16), NAN])
    for name in ("flow_foreign_net_share", "flow_foreign_net_4w_share",
                 "flow_foreign_persistence_10w"):  # fmt: skip
        assert np.isfinite(seen[name][:16]).all()
        assert np.isnan(seen[name][16])


def test_four_weeks_are_summed_on_both_sides():
    """Not the mean of four shares; a correction changes its week."""
    rows = [
        record(5 * week + 8, week, FrgnBal=balance, total=total)
        for week, (balance, total) in enumerate([(9.0, 9.0), (1.0, 10.0), (2.0, 20.0), (3.0, 30.0)])
    ]
    rows.append(record(28, 4, FrgnBal=4.0, total=40.0))
    name = "flow_foreign_net_4w_share"
    assert values(rows, 29)[name][0] == 10.0 / 100.0
    rows.append(record(28, 3, FrgnBal=13.0, total=30.0, PubDate=date_of(26)))
    assert values(rows, 29)[name][0] == 20.0 / 100.0
    assert np.isnan(values(rows[:3], 29)[name][0])


def test_persistence_is_the_mean_sign_of_ten_weeks():
    """Three up, one flat, six down; nine weeks are too few."""
    balances = [5.0, 1.0, 1.0, 1.0, 0.0, -1.0, -1.0, -1.0, -1.0, -1.0, -1.0]
    name = "flow_foreign_persistence_10w"
    assert values(weekly(balances), 60)[name][0] == pytest.approx(-0.3)
    assert np.isnan(values(weekly(balances[:9]), 50)[name][0])


def test_the_score_against_a_year_of_weeks():
    """Mean and standard deviation include the week itself and go back 52 weeks."""
    rng = np.random.default_rng(0)
    balances = rng.normal(0.0, 50.0, 56).round()
    seen = values(weekly(balances), 5 * 55 + 9)["flow_foreign_net_z52"][0]
    year = balances[-52:] / 1000.0
    assert seen == pytest.approx((year[-1] - year.mean()) / year.std(ddof=1), rel=1e-12)


def test_the_score_needs_26_weeks_and_some_deviation():
    """25 weeks are too few; of equal shares the deviation is 0 and divides nothing."""
    name = "flow_foreign_net_z52"
    balances = np.arange(26.0)
    assert np.isfinite(values(weekly(balances), 140)[name][0])
    assert np.isnan(values(weekly(balances[1:]), 140)[name][0])
    assert np.isnan(values(weekly(np.full(30, 0.1)), 160)[name][0])


def test_each_tier_has_its_section():
    """The tier is that of the day; without one, and without a record, there is no value."""
    rows = [
        record(1, 0, "TSEPrime", FrgnBal=10.0),
        record(1, 0, "TSEStandard", FrgnBal=20.0),
        record(2, 0, "TokyoNagoya", FrgnBal=90.0),
    ]
    tier = [[1.0] * 4, [NAN, NAN, NAN, 2.0], [3.0] * 4, [2.0, 2.0, 2.0, 1.0]]
    seen = values(rows, 4, 2, tier=tier)["flow_tier_foreign_net_share"]
    np.testing.assert_array_equal(seen, [[0.01, 0.01], [NAN, 0.02], [NAN, NAN], [0.02, 0.01]])


def test_a_tier_goes_stale_by_itself():
    """The whole market was published later."""
    rows = [record(1, 0, "TSEPrime", FrgnBal=10.0), record(9, 0)]
    seen = values(rows, 18, 2)
    np.testing.assert_array_equal(seen["flow_tier_foreign_net_share"], [[0.01, NAN]])
    assert np.isfinite(seen["flow_foreign_net_share"]).all()
