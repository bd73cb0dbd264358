"""Family futures."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest

from pipeline.features.derivatives import futures
from pipeline.market.calendar.sessions import TradingCalendar
from pipeline.market.derivatives.futures_quotes import futures_quotes
from pipeline.market.panel.axis import Axis
from tests.market.hand import NAN, date_of
from tests.market.records import axis, source

NEAR, FAR = "2023-03", "2023-06"


def quote(column, month=NEAR, product="TOPIXF", **fields):
    """A contract settled at 2000; NEAR trades until column 30, FAR 91 days longer."""
    last = 30 if month == NEAR else 95
    return {
        "ProdCat": product,
        "Date": date_of(column),
        "CM": month,
        "CCMFlag": "1" if month == NEAR else "0",
        "EmMrgnTrgDiv": "002",
        "H": 2010.0,
        "L": 1990.0,
        "EC": 2005.0,
        "Settle": 2000.0,
        "OI": 100.0,
        "LTD": date_of(last),
        "SQD": date_of(last + 1),
        **fields,
    }


def values(rows, n_columns=3, n_out=1, topix=2000.0, nikkei=30000.0, on=None):
    columns = on or axis(n_columns, n_out)
    market = SimpleNamespace(
        panel=SimpleNamespace(n_out=n_out),
        axis=columns,
        futures=futures_quotes(source("futures", *rows), columns),
        topix=SimpleNamespace(c=np.full(n_columns, topix)),
        options=SimpleNamespace(underlying=np.full(n_columns, nikkei)),
    )
    return futures.compute(market)


def last(name, rows, **how):
    return float(values(rows, **how)[name][-1])


def test_the_family_returns_its_declared_columns():
    """(n_out,) each, in float64; all null without records."""
    seen = values([], 9, 4)
    assert sorted(seen) == sorted(feature.name for feature in futures.FEATURES)
    assert {x.shape for x in seen.values()} == {(4,)}
    assert {x.dtype for x in seen.values()} == {np.dtype(np.float64)}
    assert all(np.isnan(x).all() for x in seen.values())


def test_the_night_is_measured_from_the_settlement_before():
    """Of the contract that is front on T, which was not front the day before."""
    rows = [
        quote(1, NEAR, Settle=1000.0),
        quote(1, FAR, Settle=1900.0),
        quote(2, NEAR, EC=1.0, CCMFlag="0"),
        quote(2, FAR, EC=1938.0, CCMFlag="1"),
    ]
    assert last("fut_topix_night_ret", rows) == pytest.approx(0.02)
    nikkei = [{**row, "ProdCat": "NK225F"} for row in rows]
    assert last("fut_nk225_night_ret", nikkei) == pytest.approx(0.02)


@pytest.mark.parametrize("missing", [{"EC": 0.0}, {"EC": None}])
def test_no_night_session_is_null(missing):
    """A blank and a zero: nothing traded at night."""
    assert math.isnan(last("fut_topix_night_ret", [quote(1), quote(2, **missing)]))


@pytest.mark.parametrize("missing", [{"Settle": 0.0}, {"Settle": None}, {"EmMrgnTrgDiv": "001"}])
def test_no_settlement_before_is_null(missing):
    """What is measured from it has no value."""
    rows = [quote(1, **missing), quote(2)]
    for name in ("fut_topix_night_ret", "fut_topix_range_pct"):
        assert math.isnan(last(name, rows))


def test_the_range_of_the_whole_day():
    """(2030 - 1990) / 1600; a zero high or low is none."""
    before = quote(1, Settle=1600.0)
    assert last("fut_topix_range_pct", [before, quote(2, H=2030.0)]) == 0.025
    assert math.isnan(last("fut_topix_range_pct", [before, quote(2, L=0.0)]))


def test_open_interest_of_contracts_that_outlive_the_day():
    """NEAR has its SQ day on T: neither its 900 of yesterday nor a record of today counts."""
    rows = [
        quote(1, NEAR, OI=900.0, SQD=date_of(2)),
        quote(1, FAR, OI=200.0),
        quote(2, NEAR, OI=500.0, SQD=date_of(2)),
        quote(2, FAR, OI=250.0),
    ]
    assert last("fut_topix_oi_chg_1d", rows) == 0.25


def test_open_interest_counts_contracts_that_are_new():
    """A contract listed on T adds to the sum of T alone."""
    rows = [quote(1, OI=100.0), quote(2, OI=100.0), quote(2, FAR, OI=10.0)]
    assert last("fut_topix_oi_chg_1d", rows) == pytest.approx(0.1)


@pytest.mark.parametrize(
    "rows",
    [
        [quote(2)],
        [quote(1)],
        [quote(1, OI=0.0), quote(2)],
        [quote(1, OI=None), quote(2)],
        [quote(1), quote(2, OI=None)],
        [quote(1, SQD=date_of(2)), quote(2, FAR)],
    ],
)
def test_no_open_interest_to_compare_is_null(rows):
    """No record, nothing held, or nothing that outlives T on one of the two days."""
    assert math.isnan(last("fut_topix_oi_chg_1d", rows))


def test_the_basis_to_topix_and_to_nikkei():
    """Settlement of the front over the index of T; the public function gives the same."""
    rows = [quote(2, Settle=2010.0), quote(2, product="NK225F", Settle=29970.0)]
    assert last("fut_topix_basis", rows) == pytest.approx(0.005)
    assert last("fut_nk225_basis", rows) == pytest.approx(-0.001)
    assert math.isnan(last("fut_topix_basis", rows, topix=NAN))
    assert math.isnan(last("fut_nk225_basis", rows, nikkei=NAN))


def test_the_basis_for_other_families():
    """The wanted columns alone."""
    columns = axis(3, 2)
    rows = [quote(1, Settle=1990.0), quote(2, Settle=2010.0)]
    market = SimpleNamespace(
        panel=SimpleNamespace(n_out=2),
        futures=futures_quotes(source("futures", *rows), columns),
        topix=SimpleNamespace(c=np.array([1.0, 2000.0, 2000.0])),
    )
    np.testing.assert_allclose(futures.topix_basis(market), [-0.005, 0.005])


def test_the_slope_between_front_and_next():
    """91 days from SQ day to SQ day; null when nobody holds the next one."""
    days = (date_of(96) - date_of(31)).days
    rows = [quote(2), quote(2, FAR, Settle=2020.0)]
    expected = math.log(1.01) * 365.0 / days
    assert last("fut_topix_term_slope_ann", rows) == pytest.approx(expected)
    assert math.isnan(last("fut_topix_term_slope_ann", [rows[0], quote(2, FAR, OI=0.0)]))
    assert math.isnan(last("fut_topix_term_slope_ann", [rows[0], quote(2, FAR, Settle=0.0)]))


def test_columns_to_the_last_trading_day():
    """0 on that day, weekends do not count."""
    rows = [quote(c, LTD=date_of(9)) for c in (3, 8, 9)]
    seen = values(rows, 10, 7)["fut_topix_days_to_roll"]
    np.testing.assert_array_equal(seen, [6.0, NAN, NAN, NAN, NAN, 1.0, 0.0])


def test_columns_to_a_day_beyond_the_calendar_are_unknown():
    """As are those to no day, and to one that is over."""
    whole = axis(3, 1)
    short = Axis(
        whole.codes, whole.sessions, 1, TradingCalendar(whole.calendar.sessions[:20]),
        whole.adj_factor,
    )  # fmt: skip
    assert last("fut_topix_days_to_roll", [quote(2, LTD=date_of(19))], on=short) == 17.0
    assert math.isnan(last("fut_topix_days_to_roll", [quote(2, LTD=date_of(20))], on=short))
    assert math.isnan(last("fut_topix_days_to_roll", [quote(2, LTD=None)]))
    assert math.isnan(last("fut_topix_days_to_roll", [quote(2, LTD=date_of(1))]))


def bonds(n_columns, roll):
    """NEAR gains 1 % a day and FAR 2 %; FAR is front from column ``roll`` on."""
    rows = []
    for column in range(n_columns):
        rolled = column >= roll
        near = {"Settle": 100.0 * 1.01**column, "CCMFlag": "0" if rolled else "1"}
        far = {"Settle": 50.0 * 1.02**column, "CCMFlag": "1" if rolled else "0"}
        rows += [quote(column, NEAR, "JGBLF", **near), quote(column, FAR, "JGBLF", **far)]
    return rows


def test_the_rolled_return_never_jumps_between_contracts():
    """Each day's change is that of the contract that is front on it."""
    seen = values(bonds(22, 18), 22, 2)
    assert seen["jgb_fut_ret_5d"][1] == pytest.approx(1.01**1 * 1.02**4 - 1)
    assert seen["jgb_fut_ret_5d"][0] == pytest.approx(1.01**2 * 1.02**3 - 1)
    assert seen["jgb_fut_ret_20d"][1] == pytest.approx(1.01**16 * 1.02**4 - 1)


def test_the_rolled_return_needs_every_day():
    """20 changes need 21 columns; a day without a file breaks two of them."""
    assert math.isnan(last("jgb_fut_ret_20d", bonds(20, 9), n_columns=20))
    assert math.isfinite(last("jgb_fut_ret_20d", bonds(21, 9), n_columns=21))
    rows = [row for row in bonds(22, 9) if row["Date"] != date_of(17)]
    assert math.isnan(last("jgb_fut_ret_5d", rows, n_columns=22))
    assert math.isnan(values(rows, 23, 1)["jgb_fut_ret_5d"][0])


def test_more_columns_do_not_change_a_bit():
    """Neither in front nor behind nor wanted."""
    rng = np.random.default_rng(5)
    rows = [
        quote(c, m, p, Settle=rng.uniform(1e3, 2e3), EC=rng.uniform(1e3, 2e3), OI=rng.integers(99))
        for c in range(40)
        for m in (NEAR, FAR)
        for p in ("TOPIXF", "NK225F", "JGBLF")
    ]
    expected = values([r for r in rows if r["Date"] <= date_of(33)], 34, 5)
    seen = values(rows, 40, 30)
    for name, narrow in expected.items():
        np.testing.assert_array_equal(seen[name][-11:-6], narrow, err_msg=name)
