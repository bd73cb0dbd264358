"""Family margin by hand."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest

from pipeline.features.positioning import margin
from tests.features.event_books import market_with, of_code
from tests.market.hand import NAN, Stock, date_of

N = 320
FLAT = Stock("10010", [10.0] * N)  # 1,000 shares a day
FRIDAYS = range(4, N - 2, 5)


def record(column: int, long: float, short: float, *, daily: bool = False) -> dict[str, object]:
    return {
        "PubDate": date_of(column + 1) if daily else None,
        "Date": date_of(column),
        "Code": "10010",
        "LongVol": long,
        "ShrtVol": short,
        "LongStdVol": 0.25 * long,
    }


def computed(*rows: dict[str, object], stock: Stock = FLAT, n_out: int = N, **others):
    market = market_with(stock, n_out=n_out, margin=list(rows), **others)
    return {name: of_code(market, x) for name, x in margin.compute(market).items()}


def test_one_record_by_hand():
    """Balances of Friday 24 seen from Tuesday 26 on: ratios to shares, volume and each other."""
    seen = computed(record(24, 5000.0, 2000.0))
    expected = {
        "margin_long_to_shares": 0.005,
        "margin_short_to_shares": 0.002,
        "margin_lsr_log": np.log(5100 / 2100),
        "margin_long_to_adv20": 5.0,
        "margin_short_to_adv20": 2.0,
        "margin_net_chg_1w_to_adv20": NAN,
        "margin_long_chg_1w": NAN,
        "margin_short_chg_1w": NAN,
        "margin_long_std_share": 0.25,
        "margin_net_z52": NAN,
        "margin_staleness_td": 2.0,
    }
    assert set(seen) == set(expected) == {f.name for f in margin.FEATURES}
    for name, value in expected.items():
        np.testing.assert_allclose(seen[name][28], value, rtol=1e-14, err_msg=name)
        assert np.isnan(seen[name][[25, 47]]).all(), name
    assert seen["margin_staleness_td"][46] == 20


def test_changes_over_a_week():
    """Against the record of the Friday before; logarithms are of balances plus one lot."""
    seen = computed(record(24, 5000.0, 2000.0), record(29, 4000.0, 2500.0))
    np.testing.assert_allclose(seen["margin_net_chg_1w_to_adv20"][31], (1500 - 3000) / 1000)
    np.testing.assert_allclose(seen["margin_long_chg_1w"][31], np.log(4100 / 5100))
    np.testing.assert_allclose(seen["margin_short_chg_1w"][31], np.log(2600 / 2100))
    assert np.isnan(seen["margin_long_chg_1w"][30])


def test_a_split_between_balances_and_row_changes_no_ratio():
    """1:2 on column 33: shares, balances and volumes double together; the logarithms keep 100."""
    closes = [10.0] * 33 + [5.0] * (N - 33)
    # hand stocks trade 100 x close shares: the same yen price would be 1,000 old, 2,000 new
    stock = Stock("10010", closes, factors={33: 0.5})
    rows = record(24, 5000.0, 2000.0), record(29, 4000.0, 2500.0)
    shares = np.where(np.arange(N) < 33, 1e6, 2e6)
    seen = computed(*rows, stock=stock, shares=shares)
    for name in ("margin_long_to_shares", "margin_short_to_shares", "margin_long_std_share"):
        assert seen[name][32] == seen[name][33], name
    np.testing.assert_allclose(seen["margin_lsr_log"][32:34],
                               [np.log(4100 / 2600), np.log(8100 / 5100)])  # fmt: skip
    np.testing.assert_allclose(seen["margin_long_chg_1w"][33], np.log(8100 / 10100))
    volume = (19 * 2000 + 500) / 20  # in the basis of column 33
    np.testing.assert_allclose(seen["margin_long_to_adv20"][33], 8000 / volume)
    np.testing.assert_allclose(seen["margin_net_chg_1w_to_adv20"][33], -3000 / volume)


def test_denominators_that_are_missing_or_zero_give_null():
    """Shares null or 0; no trade in 20 columns, or fewer than 20 columns; no long balance."""
    rows = record(4, 5000.0, 2000.0), record(24, 0.0, 2000.0)
    shares = np.where(np.arange(N) < 10, NAN, 0.0)
    seen = computed(*rows, shares=shares)
    assert np.isnan(seen["margin_long_to_shares"]).all()
    assert np.isnan(seen["margin_long_to_adv20"][18])
    assert np.isfinite(seen["margin_long_to_adv20"][19])
    assert np.isnan(seen["margin_long_std_share"][26])
    assert seen["margin_lsr_log"][26] == np.log(100 / 2100)
    silent = Stock("10010", [10.0] * 10 + [NAN] * (N - 10))
    seen = computed(*rows, stock=silent)
    assert np.isnan(seen["margin_long_to_adv20"][29])
    assert np.isfinite(seen["margin_long_to_adv20"][28])


def zscore(x: list[float]) -> float:
    """Of the last value within all of them."""
    return (x[-1] - np.mean(x)) / np.std(x, ddof=1)


def balances() -> dict[int, float]:
    """A net balance for every Friday."""
    rng = np.random.default_rng(3)
    return {c: float(rng.integers(-50, 50) * 100) for c in FRIDAYS}


def test_the_z_score_of_a_year_of_weeks():
    """The last 52 Fridays, at least 26, the one in force included."""
    net = balances()
    seen = computed(*(record(c, 9000.0 + x, 9000.0) for c, x in net.items()))["margin_net_z52"]
    weeks = list(net.values())
    # The k-th Friday from 0 is seen on its column plus 2.
    for k in (25, 40, 51, 60):
        expected = zscore(weeks[max(0, k - 51) : k + 1])
        np.testing.assert_allclose(seen[FRIDAYS[k] + 2], expected, rtol=1e-12)
    assert np.isnan(seen[FRIDAYS[25] + 1])


def test_one_record_a_week_counts_in_the_daily_era():
    """Of past weeks the last day, of the current one the newest."""
    net = balances()
    weekly = [record(c, 9000.0 + net[c], 9000.0) for c in FRIDAYS if c < 200]
    daily = [
        record(c, 9000.0 + net.get(c, 77.0 * (c % 5)), 9000.0, daily=True) for c in range(200, 240)
    ]
    seen = computed(*weekly, *daily)["margin_net_z52"]
    fridays = [net[c] for c in FRIDAYS if c < 234]
    assert FRIDAYS[0] + 5 * (len(fridays) - 1) == 229
    # Column 233 is a Thursday; the record in force is Wednesday's.
    expected = zscore([*fridays, 77.0 * (232 % 5)][-52:])
    np.testing.assert_allclose(seen[233], expected, rtol=1e-12)


def test_weeks_without_a_record_are_skipped_within_400_days():
    """The sample reaches over gaps, but no further back than 400 calendar days."""
    net = {c: x for c, x in balances().items() if (c // 5) % 2 == 0}
    columns = list(net)
    seen = computed(*(record(c, 9000.0 + x, 9000.0) for c, x in net.items()))["margin_net_z52"]
    at = columns[-1] + 2
    days = [(date_of(at) - date_of(c)).days for c in columns]
    inside = [net[c] for c, age in zip(columns, days, strict=True) if age <= 400]
    assert 26 <= len(inside) < len(columns)
    np.testing.assert_allclose(seen[at], zscore(inside), rtol=1e-12)


def test_a_week_without_balances_is_skipped():
    """It is one of the 52 weeks, and 26 others are needed; in force it gives null."""
    net = balances()
    gaps = {FRIDAYS[3], FRIDAYS[30]}
    rows = [
        {**record(c, 9000.0 + x, 9000.0), **({"ShrtVol": None} if c in gaps else {})}
        for c, x in net.items()
    ]
    seen = computed(*rows)["margin_net_z52"]
    weeks = [x for c, x in net.items() if c not in gaps]
    assert np.isnan(seen[[FRIDAYS[25] + 2, FRIDAYS[30] + 2]]).all()
    np.testing.assert_allclose(seen[FRIDAYS[26] + 2], zscore(weeks[:26]), rtol=1e-12)
    np.testing.assert_allclose(seen[FRIDAYS[52] + 2], zscore(weeks[1:51]), rtol=1e-12)


def test_weeks_before_the_first_column_are_left_out():
    """Nothing tells of splits between them and the panel."""
    net = list(balances().items())[:30]
    early = [
        {**record(4, 1e6 * k, 9000.0), "Date": date_of(4) - dt.timedelta(weeks=k)}
        for k in range(1, 6)
    ]
    stock = Stock("10010", [10.0] * N, factors={N - 1: 0.5})
    seen = computed(*early, *(record(c, 9000.0 + x, 9000.0) for c, x in net), stock=stock)
    expected = zscore([x for _, x in net])
    np.testing.assert_allclose(seen["margin_net_z52"][net[-1][0] + 2], expected, rtol=1e-12)


def test_the_z_score_is_blind_to_splits_and_to_the_unit_of_shares():
    """Balances reported before a split are restated; a constant factor cancels."""
    net = balances()
    old = [record(c, 9000.0 + x, 9000.0) for c, x in net.items()]
    plain = computed(*old)["margin_net_z52"]
    new = [
        record(c, (9000.0 + x) * (4.0 if c >= 150 else 1.0), 9000.0 * (4.0 if c >= 150 else 1.0))
        for c, x in net.items()
    ]
    split = computed(*new, stock=Stock("10010", [10.0] * N, factors={150: 0.25}), shares=3e5)
    np.testing.assert_allclose(split["margin_net_z52"], plain, rtol=1e-9)


@pytest.mark.parametrize(("net", "shares"), [(1234.0, 1e6), (0.0, 1e6), (None, NAN), (None, 0.0)])
def test_no_z_score_without_deviation_or_shares(net, shares):
    """A constant sample has none; shares that are null or 0 leave nothing to standardise."""
    rows = (record(c, 9000.0 + (x if net is None else net), 9000.0) for c, x in balances().items())
    assert np.isnan(computed(*rows, shares=shares)["margin_net_z52"]).all()


def test_bits_depend_neither_on_the_wanted_columns_nor_on_other_rows():
    """A narrower request, shuffled records, another code: the same bits."""
    net = balances()
    rows = [record(c, 9000.0 + x, 3000.0 - x / 7) for c, x in net.items()]
    stock = Stock("10010", [10.0 + (c % 7) for c in range(N)], factors={100: 0.3, N - 5: 3.0})
    whole, part = computed(*rows, stock=stock), computed(*rows[::-1], stock=stock, n_out=30)
    other = Stock("10000", [20.0] * N)
    market = market_with(
        other, stock, n_out=30, margin=[*rows, *({**r, "Code": "10000"} for r in rows)]
    )
    beside = margin.compute(market)
    for name, values in part.items():
        np.testing.assert_array_equal(values, whole[name][-30:], err_msg=name)
        np.testing.assert_array_equal(of_code(market, beside[name]), values, err_msg=name)


def test_without_records_everything_is_null():
    """An empty source is no error."""
    assert all(np.isnan(x).all() for x in computed(n_out=20).values())
