"""Daily bars as a coherent market."""

from __future__ import annotations

from datetime import date
from itertools import pairwise

import numpy as np
import pytest

from pipeline.simulator import Market, MarketSpec
from pipeline.simulator.exchange.price_rules import limit_width, tick_size
from pipeline.simulator.exchange.source_rows import adjusted_price

BLOCKS = ["", "M", "A"]


@pytest.mark.parametrize("block", BLOCKS)
def test_high_and_low_enclose_open_and_close(bars, block):
    """L <= O, C <= H on every row with a trade."""
    o, h, l, c = (bars[block + x] for x in "OHLC")
    traded = ~np.isnan(o)
    assert traded.mean() > 0.8
    assert (l <= np.minimum(o, c))[traded].all()
    assert (h >= np.maximum(o, c))[traded].all()


@pytest.mark.parametrize("block", BLOCKS)
def test_prices_volume_and_turnover_are_missing_together(bars, block):
    """A block without a trade is null as a whole, the restated fields included; never zero."""
    names = ["O", "H", "L", "C", "Vo", "Va", "AdjO", "AdjH", "AdjL", "AdjC", "AdjVo"]
    idle = np.isnan(bars[block + "O"])
    assert idle.any()
    for name in names:
        assert (np.isnan(bars[block + name]) == idle).all()
        assert (bars[block + name][~idle] > 0).all()
    assert set(bars[block + "UL"][idle]) == {"0"}


@pytest.mark.parametrize("block", BLOCKS)
def test_the_average_price_lies_between_low_and_high(bars, block):
    """Va / Vo is a price of the block, and shares come in lots of 100."""
    traded = ~np.isnan(bars[block + "Vo"])
    volume, value = bars[block + "Vo"][traded], bars[block + "Va"][traded]
    assert (volume % 100 == 0).all()
    assert (value / volume >= bars[block + "L"][traded] - 1e-9).all()
    assert (value / volume <= bars[block + "H"][traded] + 1e-9).all()


def test_the_day_is_made_of_its_two_sessions(bars):
    """First open, highest high, lowest low, last close, sums of volume and turnover."""
    morning, afternoon = ~np.isnan(bars["MO"]), ~np.isnan(bars["AO"])
    assert (morning & ~afternoon).any()
    assert (~morning & afternoon).any()
    first = np.where(morning, bars["MO"], bars["AO"])
    last = np.where(afternoon, bars["AC"], bars["MC"])
    np.testing.assert_array_equal(bars["O"], first)
    np.testing.assert_array_equal(bars["C"], last)
    np.testing.assert_array_equal(bars["H"], np.fmax(bars["MH"], bars["AH"]))
    np.testing.assert_array_equal(bars["L"], np.fmin(bars["ML"], bars["AL"]))
    total = np.nan_to_num(bars["MVo"]) + np.nan_to_num(bars["AVo"])
    np.testing.assert_array_equal(np.nan_to_num(bars["Vo"]), total)
    flags = (bars["MUL"] == "1") | (bars["AUL"] == "1")
    np.testing.assert_array_equal(bars["UL"] == "1", flags)


def test_prices_are_on_valid_ticks(bars, listed):
    """Most issues move in whole yen and 5 or 10 above 3,000; the largest in tenths and halves."""
    large = np.isin(listed["ScaleCat"], ["TOPIX Core30", "TOPIX Large70"])
    for name in ("O", "H", "L", "C", "MO", "AC"):
        price = bars[name]
        tenths = np.round(price * 10)
        tick = np.select([price <= 3000, price <= 5000, price <= 30000], [10, 50, 100], 500)
        fine = np.select([price <= 1000, price <= 3000, price <= 10000], [1, 5, 10], 50)
        traded = ~np.isnan(price) & (price <= 50000)
        step = np.where(large & (price <= 30000), fine, tick)
        assert (tenths % step == 0)[traded].all()
    halves = bars["C"][large & (bars["C"] < 3000)] % 1
    assert (halves > 0).any()


def test_prices_stay_within_the_daily_limits_and_flags_tell_when_they_touch(bars):
    """From the last close times the split factors since, plus or minus the width of the table."""
    touched = 0
    for rows in _rows_by_code(bars).values():
        base = np.nan
        for before, now in pairwise(rows):
            base = bars["C"][before] if not np.isnan(bars["C"][before]) else base
            base *= bars["AdjFactor"][now]
            away = _days_apart(bars, before, now) > 12  # left the list in between
            if away:
                base = np.nan
            if np.isnan(base) or np.isnan(bars["O"][now]):
                continue
            width = float(limit_width(np.array([round(base, 6)]))[0])
            assert bars["H"][now] <= base + width + 1e-6
            assert bars["L"][now] >= base - width - 1e-6
            ceiling = base + width
            tick = tick_size(np.array([ceiling * 10]), np.array([False]))[0] / 10
            if bars["UL"][now] == "1":
                touched += 1
                assert bars["H"][now] > ceiling - tick
            else:
                assert bars["H"][now] < ceiling - 1e-6
    assert touched > 3


def test_a_split_moves_the_raw_price_by_its_factor(bars):
    """On the ex-date the price jumps by AdjFactor, up to the move of a normal day."""
    splits = np.flatnonzero(bars["AdjFactor"] != 1)
    assert (bars["AdjFactor"][splits] < 1).any()
    assert (bars["AdjFactor"][splits] > 1).any()
    ratios = []
    for row in splits:
        same = np.flatnonzero((bars["Code"] == bars["Code"][row]) & ~np.isnan(bars["C"]))
        before, after = same[same < row], same[same >= row]
        if before.size and after.size:
            jump = bars["O"][after[0]] / bars["C"][before[-1]]
            ratios.append(jump / bars["AdjFactor"][row])
    assert np.abs(np.log(ratios)).max() < 0.35
    assert np.median(np.abs(np.log(ratios))) < 0.05


def test_adjusted_prices_are_raw_prices_times_all_later_factors(bars):
    """Within half of 0.1 yen; volume is divided."""
    for code in sorted(set(bars["Code"][bars["AdjFactor"] != 1]))[:5]:
        rows = np.flatnonzero(bars["Code"] == code)
        factor = bars["AdjFactor"][rows]
        later = np.append(np.cumprod(factor[::-1])[::-1][1:], 1.0)
        exact = bars["C"][rows] * later
        adjusted = bars["AdjC"][rows]
        traded = ~np.isnan(exact)
        assert (np.abs(adjusted - exact)[traded] <= 0.05 + 1e-6).all()
        volume = bars["Vo"][rows] / later
        np.testing.assert_allclose(bars["AdjVo"][rows], volume, rtol=1e-9)


@pytest.mark.parametrize(
    ("price", "factor", "adjusted"),
    [(2944.5, 0.5, 1472.3), (2995.5, 0.5, 1497.8), (5943.0, 0.2, 1188.6), (100.1, 0.5, 50.1)],
)
def test_adjusted_prices_are_rounded_half_up(price, factor, adjusted):
    """To 0.1 yen, as in published rows."""
    assert adjusted_price(np.array([price]), np.array([factor])).tolist() == [adjusted]


@pytest.mark.parametrize("block", ["M", "A"])
def test_few_lots_have_few_prices(bars, block):
    """One lot trades at one price; of two, one is the high and the other the low."""
    o, h, l, c = (bars[block + x] for x in "OHLC")
    one, two = bars[block + "Vo"] == 100, bars[block + "Vo"] == 200
    assert one.any()
    assert (h == l)[one].all()
    assert ((h == np.maximum(o, c)) & (l == np.minimum(o, c)))[two].all()


def test_nothing_trades_on_the_day_of_the_system_failure(bars, market):
    """2020-10-01: a row for every listed issue, all prices null; the index repeats its close."""
    day = bars["Date"] == "2020-10-01"
    assert day.sum() > 60
    assert np.isnan(bars["O"][day]).all()
    index = market.rows("topix", date(2020, 9, 30), date(2020, 10, 1))
    assert index["C"][1] == index["C"][0]
    assert index["O"][1] == index["H"][1] == index["L"][1] == index["C"][1]


def test_bars_and_master_have_the_same_rows(bars, listed):
    """No bar outside the listing, and one for every listed issue."""
    np.testing.assert_array_equal(bars["Date"], listed["Date"])
    np.testing.assert_array_equal(bars["Code"], listed["Code"])


def test_market_value_is_close_times_shares_through_splits(bars):
    """A split leaves the market value where it was; funds and idle days have none."""
    assert (np.isnan(bars["MktCap"]) >= np.isnan(bars["C"])).all()
    row = int(np.flatnonzero((bars["AdjFactor"] < 1) & ~np.isnan(bars["C"]))[0])
    same = np.flatnonzero((bars["Code"] == bars["Code"][row]) & ~np.isnan(bars["C"]))
    before = same[same < row][-1]
    assert bars["MktCap"][row] == pytest.approx(bars["MktCap"][before], rel=0.35)
    assert bars["ExRT"][row] == "1"
    assert bars["ExRT"][before] is None


def test_stocks_move_with_the_market(bars, market):
    """The mean return of all issues follows the index closely; single ones only in part."""
    index = market.rows("topix", date(2021, 1, 4), date(2021, 12, 30))
    dates = {day: i for i, day in enumerate(index["Date"])}
    keep = np.array([day in dates for day in bars["Date"]])
    codes = sorted(set(bars["Code"][keep]))
    close = np.full((len(dates), len(codes)), np.nan)
    day_no = [dates[d] for d in bars["Date"][keep]]
    code_no = [codes.index(c) for c in bars["Code"][keep]]
    close[day_no, code_no] = bars["AdjC"][keep]
    full = ~np.isnan(close).any(axis=0)
    returns = np.diff(np.log(close[:, full]), axis=0)
    market_returns = np.diff(np.log(index["C"]))
    assert np.corrcoef(returns.mean(axis=1), market_returns)[0, 1] > 0.8
    single = [np.corrcoef(r, market_returns)[0, 1] for r in returns.T]
    assert 0.1 < np.median(single) < 0.7


def test_volatility_comes_in_clusters():
    """Absolute returns of the index are correlated from day to day."""
    market = Market(MarketSpec(3, 4, date(2012, 1, 1), date(2021, 12, 31)))
    close = market.rows("topix", date(2012, 1, 1), date(2021, 12, 31))["C"]
    size = np.abs(np.diff(np.log(close)))
    assert np.corrcoef(size[1:], size[:-1])[0, 1] > 0.05


def _rows_by_code(bars):
    rows = {}
    for i, code in enumerate(bars["Code"]):
        rows.setdefault(code, []).append(i)
    return rows


def _days_apart(bars, before, now):
    return (date.fromisoformat(bars["Date"][now]) - date.fromisoformat(bars["Date"][before])).days
