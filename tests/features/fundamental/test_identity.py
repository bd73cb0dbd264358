"""Family identity."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipeline.features.fundamental import identity
from pipeline.market.closed_lists import MARKET
from pipeline.market.panel.price_panel import Panel

NAN = np.nan
FIRST_DAY = np.datetime64("2021-01-04")
FIELDS = ("tier", "s17", "s33", "scale", "margin")


def market_of(n_columns, n_out, listed=None, line_code=None, line_listed=None, c=None, **fields):
    """A market with one row per code in ``listed`` and ``fields``, one line each unless told."""
    n_codes = 1 if listed is None else np.asarray(listed).shape[0]
    listed = np.ones((n_codes, n_columns), bool) if listed is None else np.asarray(listed)
    row = np.arange(n_codes) if line_code is None else np.asarray(line_code)
    c = np.full((row.size, n_columns), 100.0) if c is None else c
    panel = Panel(
        sessions=FIRST_DAY + np.arange(n_columns),
        n_out=n_out,
        codes=np.array([f"{1000 + i}0" for i in range(n_codes)]),
        line_code=row.astype(np.int32),
        line_first=np.zeros(row.size, np.int32),
        line_stop=np.full(row.size, n_out, np.int32),
        **dict.fromkeys(("o", "h", "l"), c),
        c=c,
        v=fields.pop("v", np.where(np.isnan(c), np.nan, 500.0)),
        va=c * 500.0,
        listed=listed[row] if line_listed is None else np.asarray(line_listed),
        adj_factor=np.ones((row.size, n_columns)),
    )
    factor = fields.pop("adj_factor", np.ones((n_codes, n_columns)))
    record = {name: fields.get(name, np.where(listed, 1.0, np.nan)) for name in FIELDS}
    master = SimpleNamespace(listed=listed, adj_factor=factor, **record)
    return SimpleNamespace(panel=panel, master=master)


def column(name, **market):
    """One feature of the first line."""
    return identity.compute(market_of(**market))[name][0]


def one(values):
    return np.array([values], np.float64)


def test_the_family_returns_its_declared_columns_for_every_line():
    """(lines, n_out) each, in float64, although records belong to codes."""
    values = identity.compute(market_of(30, 7, listed=np.ones((2, 30), bool), line_code=[0, 1, 1]))
    assert list(values) == [feature.name for feature in identity.FEATURES]
    assert {x.shape for x in values.values()} == {(3, 7)}
    assert {x.dtype for x in values.values()} == {np.dtype(np.float64)}


def test_the_record_of_t_is_shown_on_t_and_missing_records_are_null():
    """Each field is the one dated that day; without a record there is none."""
    listed = np.array([[True, True, False, True]])
    fields = {name: one([1, 2, NAN, 3]) for name in FIELDS}
    values = identity.compute(market_of(4, 3, listed=listed, **fields))
    names = ("market_tier", "sector17_id", "sector33_id", "scale_bucket", "margin_class")
    for name in names:
        np.testing.assert_array_equal(values[name], [[2, NAN, 3]], err_msg=name)
    np.testing.assert_array_equal(values["is_traded"], [[1, NAN, 1]])
    np.testing.assert_array_equal(values["listing_age_td"], [[2, NAN, 3]])


def test_all_lines_of_a_code_share_its_record():
    """A split in the wanted columns makes a second line with the same master fields."""
    s33 = np.array([[3650.0, 3700.0], [50.0, 50.0]])
    values = identity.compute(
        market_of(2, 2, listed=np.ones((2, 2), bool), line_code=[0, 1, 0], s33=s33)
    )
    np.testing.assert_array_equal(values["sector33_id"], s33[[0, 1, 0]])


@pytest.mark.parametrize(
    ("c", "v", "traded"),
    [(100.0, 1.0, 1), (NAN, NAN, 0), (100.0, 0.0, 0), (100.0, NAN, 0), (NAN, 5.0, 0)],
)
def test_traded_means_a_close_and_a_volume(c, v, traded):
    """Either alone is no trade."""
    assert column("is_traded", n_columns=1, n_out=1, c=one([c]), v=one([v])) == traded


def test_the_age_counts_records_in_500_columns_and_stops_there():
    """Column 499 of a listing is the first one with the full age."""
    age = column("listing_age_td", n_columns=520, n_out=520)
    np.testing.assert_array_equal(age, np.minimum(np.arange(520) + 1, 500))


def test_days_without_a_record_do_not_age_a_listing():
    """Three missing days among the last 500 cost three."""
    listed = np.ones((1, 600), bool)
    listed[0, [300, 301, 420]] = False
    age = column("listing_age_td", n_columns=600, n_out=100, listed=listed)
    assert age[0] == 497  # window 1..500
    assert age[-1] == 497
    listed[0, 90] = False  # outside every window but the first ones
    assert column("listing_age_td", n_columns=600, n_out=100, listed=listed)[-1] == 497


@given(listed=arrays(bool, (2, 60)), n_out=st.integers(1, 60))
def test_ages_of_short_histories_are_plain_counts(listed, n_out):
    """Below 500 columns the age is the number of records so far."""
    values = identity.compute(market_of(60, n_out, listed=listed))["listing_age_td"]
    count = np.array([[row[: t + 1].sum() for t in range(60)] for row in listed], np.float64)
    np.testing.assert_array_equal(values, np.where(listed, count, NAN)[:, -n_out:])


def test_the_reorganisation_of_april_2022_is_a_change_only_for_those_that_moved():
    """First section to Prime is the same tier, first section to Standard is not."""
    before, after = ["0101"] * 3, ["0111", "0112", "0113"]
    tier = np.array(
        [
            [MARKET.number(b)] * 4 + [MARKET.number(a)] * 3
            for b, a in zip(before, after, strict=True)
        ]
    )
    values = identity.compute(market_of(7, 5, listed=np.ones((3, 7), bool), tier=tier))
    moved = [NAN, NAN, 0, 1, 2]
    np.testing.assert_array_equal(values["days_since_market_change"], [[NAN] * 5, moved, moved])


def test_a_change_is_seen_between_two_known_tiers_only():
    """PRO market to Growth, a first record and a missing day are no change of tier."""
    tier = one([NAN, 3, 3, NAN, 2, 2])
    assert np.isnan(column("days_since_market_change", n_columns=6, n_out=6, tier=tier)).all()


def test_the_latest_change_counts_for_250_columns():
    """0 on the day of the change, 249 on the last day it is remembered, and the newer one wins."""
    tier = np.where(np.arange(400) < 100, 2.0, 1.0)[np.newaxis]
    since = column("days_since_market_change", n_columns=400, n_out=300, tier=tier)
    expected = np.where(np.arange(300) < 250, np.arange(300.0), NAN)
    np.testing.assert_array_equal(since, expected)
    tier[0, 150:] = 3.0
    since = column("days_since_market_change", n_columns=400, n_out=250, tier=tier)
    np.testing.assert_array_equal(since, np.arange(250))


def test_a_split_is_counted_from_its_ex_date_and_never_before():
    """Splits and reverse splits alike; the next split does not show in advance."""
    factor = np.ones((1, 320))
    factor[0, [20, 290]] = 0.5, 10.0
    since = column("days_since_split", n_columns=320, n_out=300, adj_factor=factor)
    expected = np.arange(300.0)
    expected[250:270] = NAN
    expected[270:] -= 270
    np.testing.assert_array_equal(since, expected)


def test_a_returning_code_starts_anew():
    """Records, changes and splits of the earlier listing belong to another line."""
    listed = np.ones((1, 80), bool)
    listed[0, 30:60] = False
    again = listed.copy()
    again[0, :30] = False
    factor = np.ones((1, 80))
    factor[0, 20] = 0.5
    tier = np.where(listed, np.where(np.arange(80) < 10, 2.0, 1.0), NAN)
    shared = {"n_columns": 80, "n_out": 60, "listed": listed, "tier": tier, "adj_factor": factor}
    values = identity.compute(
        market_of(line_code=[0, 0], line_listed=np.vstack([again, listed & ~again]), **shared)
    )
    newest, older = ({name: x[line] for name, x in values.items()} for line in (0, 1))
    assert newest["listing_age_td"][-1] == 20
    assert np.isnan(newest["days_since_split"]).all()
    assert np.isnan(newest["days_since_market_change"]).all()
    assert older["listing_age_td"][9] == 30
    assert older["days_since_split"][9] == 9
    assert older["days_since_market_change"][9] == 19


def test_a_split_on_a_day_without_a_record_inside_the_listing_is_seen():
    """A record missing for a day does not hide the AdjFactor of the bar."""
    listed = np.ones((1, 30), bool)
    listed[0, 15] = False
    factor = np.ones((1, 30))
    factor[0, 15] = 0.2
    since = column("days_since_split", n_columns=30, n_out=10, listed=listed, adj_factor=factor)
    np.testing.assert_array_equal(since, np.arange(5, 15))


def test_values_do_not_depend_on_the_width_of_the_panel():
    """History beyond the look-back changes nothing."""
    rng = np.random.default_rng(5)
    n, n_out = 620, 20
    listed = rng.random((3, n)) < 0.97
    tier = np.where(listed, rng.integers(1, 3, (3, n)), NAN)
    factor = np.where(rng.random((3, n)) < 0.005, 0.5, 1.0)
    needed = max(feature.lookback for feature in identity.FEATURES) + n_out

    def newest(width):
        cut = np.s_[:, -width:]
        return identity.compute(
            market_of(width, n_out, listed=listed[cut], tier=tier[cut], adj_factor=factor[cut])
        )

    expected = newest(n)
    for width in (needed, needed + 1, needed + 37):
        for name, values in newest(width).items():
            np.testing.assert_array_equal(values, expected[name], err_msg=name)
