"""The reference itself is trusted because other people's code and hand work agree with it."""

from __future__ import annotations

import datetime as dt
import math

import numpy as np
import pandas as pd
import pytest
import talib

from tests.reference.brute import (
    NAMES,
    ReferenceMarket,
    base_value,
    catalogue,
    transform_value,
    universe,
)
from tests.reference.synthetic import (
    BAR_FIELDS,
    CODE,
    COLUMNS,
    DAYS,
    LAST,
    crowd,
    flat_bars,
    market_of,
    master_of,
    random_bars,
    without_trades,
)
from tests.reference.transforms import SUFFIXES, cross_section, suffixes_of, time_series

BARS = random_bars(1)
MARKET = market_of(BARS)


def value(name: str) -> float | None:
    """A base value of the gap-free market on its last column."""
    return base_value(MARKET, name, LAST, CODE)


def test_the_reference_covers_the_catalogue() -> None:
    """All 420 base features, in the order of the catalogue."""
    rows = [name for name, row in catalogue().items() if row["family"] != "label"]
    assert list(NAMES) == rows
    assert len(NAMES) == 420


O, H, L, C, V = (BARS[f].to_numpy() for f in ("O", "H", "L", "C", "Vo"))
P = pd.Series(C)
R = P.pct_change()
G = P.map(math.log).diff()
OVERNIGHT = (pd.Series(O) / P.shift()).map(math.log)

WINDOW_REFERENCES = {
    "ret_prev_120d": talib.ROCP(C, 120)[-1],
    "mom_250_20": P.iloc[-21] / P.iloc[-251] - 1,
    "overnight_ret_sum_20d": OVERNIGHT.rolling(20).sum().iloc[-1],
    "max_ret_20d": R.rolling(20).max().iloc[-1],
    "dist_low_250d": C[-1] / talib.MIN(L, 250)[-1] - 1,
    "max_drawdown_60d": (P.iloc[-60:] / P.iloc[-60:].cummax() - 1).min(),
    "price_to_sma_250": C[-1] / talib.SMA(C, 250)[-1] - 1,
    "aroon_osc_25": talib.AROONOSC(H, L, 25)[-1],
    "ema_gap_20_60": P.iloc[-147:].ewm(span=20).mean().iloc[-1]
    / P.iloc[-427:].ewm(span=60).mean().iloc[-1]
    - 1,
    "realized_vol_60d": G.rolling(60).std().iloc[-1] * 252**0.5,
    "rv_ewma_0p94": (252 * (G.iloc[-230:] ** 2).ewm(alpha=0.06).mean().iloc[-1]) ** 0.5,
    "pk_vol_20": (252 * (np.log(H / L) ** 2)[-20:].mean() / (4 * np.log(2))) ** 0.5,
    "true_range_pct": talib.TRANGE(H, L, C)[-1] / C[-2],
    "var_5pct_250": R.rolling(250).quantile(0.05).iloc[-1],
    "trend_slope_30d": talib.LINEARREG_SLOPE(C, 30)[-1] / C[-1],
    "trend_resid_30d": 1 - talib.LINEARREG(C, 30)[-1] / C[-1],
    "trend_r2_20d": talib.CORREL(C[-20:], np.arange(20.0), 20)[-1] ** 2,
    "close_q80_ratio_20d": P.rolling(20).quantile(0.8).iloc[-1] / C[-1],
    "close_rank_30d": P.rolling(30).rank(pct=True).iloc[-1],
    "rsv_20d": talib.STOCHF(H, L, C, 20, 1)[0][-1] / 100,
    "high_pos_60d": (H[-60:].argmax() + 1) / 60,
    "low_pos_60d": (L[-60:].argmin() + 1) / 60,
    "corr_close_logvol_20d": np.corrcoef(C[-20:], np.log(V[-20:]))[0, 1],
    "corr_ret_volchg_20d": np.corrcoef(C[-20:] / C[-21:-1], np.log(V[-20:] / V[-21:-1] + 1))[0, 1],
    "gain_share_20d": talib.CMO(C[-21:], 20)[-1] / 200 + 0.5,
    "volume_ma_ratio_30d": talib.SMA(V, 30)[-1] / V[-1],
    "volume_std_ratio_30d": pd.Series(V).rolling(30).std().iloc[-1] / V[-1],
}


@pytest.mark.parametrize("name", WINDOW_REFERENCES)
def test_window_definitions_agree_with_ta_lib_and_pandas(name: str) -> None:
    """On gap-free bars a window definition equals the published function to nine digits."""
    assert value(name) == pytest.approx(WINDOW_REFERENCES[name], rel=1e-9, abs=1e-9)


MACD, _, MACD_HIST = talib.MACD(C, 12, 26, 9)
RECURSIVE_REFERENCES = {
    "ema_gap_5_20": (100 * (talib.EMA(C, 5)[-1] / talib.EMA(C, 20)[-1] - 1), 100.0),
    "macd_pct": (100 * MACD[-1] / C[-1], 100.0),
    "macd_hist_pct": (100 * MACD_HIST[-1] / C[-1], 100.0),
    "adx_14": (talib.ADX(H, L, C, 14)[-1], 1.0),
    "di_pos_14": (talib.PLUS_DI(H, L, C, 14)[-1], 1.0),
    "di_neg_14": (talib.MINUS_DI(H, L, C, 14)[-1], 1.0),
    "natr_14": (talib.NATR(H, L, C, 14)[-1], 1.0),
}


@pytest.mark.parametrize("name", RECURSIVE_REFERENCES)
def test_finite_windows_agree_with_ta_lib_after_a_long_history(name: str) -> None:
    """A finite EMA or Wilder value is within 1e-4 points of the recursive form."""
    expected, scale = RECURSIVE_REFERENCES[name]
    found = value(name)
    assert found is not None
    assert found * scale == pytest.approx(expected, abs=1e-4)


def test_yang_zhang_and_what_is_built_on_it() -> None:
    """Yang-Zhang, its own deviation and the z-score of volatility equal their pandas one-liners."""
    intraday = np.log(P / O)
    inside = np.log(H / P) * np.log(H / O) + np.log(L / P) * np.log(L / O)
    k = 0.34 / (1.34 + 21 / 19)
    variance = OVERNIGHT.rolling(20).var() + k * intraday.rolling(20).var()
    yz = (252 * (variance + (1 - k) * inside.rolling(20).mean())) ** 0.5
    vol = G.rolling(20).std() * 252**0.5
    assert value("yz_vol_20") == pytest.approx(yz.iloc[-1], rel=1e-9)
    assert value("vov_20") == pytest.approx(yz.iloc[-20:].std(), rel=1e-9)
    expected = (vol.iloc[-1] - vol.iloc[-250:].mean()) / vol.iloc[-250:].std()
    assert value("vol_z_250") == pytest.approx(expected, rel=1e-9)


def test_adaptive_means_trail_a_straight_line_by_a_known_distance() -> None:
    """On a line of slope 1 the smoothing is constant: 4/9 for KAMA, 2/15 for VIDYA."""
    line = 1000.0 + np.arange(COLUMNS)
    market = market_of(flat_bars().assign(O=line, H=line, L=line, C=line))
    kama, vidya = line[-1] - 5 / 4, line[-1] - 6.5 * (1 - (13 / 15) ** 120)
    assert base_value(market, "kama_gap_10_2_30", LAST, CODE) == pytest.approx(line[-1] / kama - 1)
    assert base_value(market, "vidya_gap_14", LAST, CODE) == pytest.approx(line[-1] / vidya - 1)


def test_fractional_difference_of_a_step() -> None:
    """With one step d in ln p j columns ago, fdiff is -d times the weights older than the step."""
    bars = flat_bars()
    bars.loc[COLUMNS - 2 :, ["O", "H", "L", "C"]] = 200.0
    weights = [1.0]
    for k in range(1, 100):
        weights.append(-weights[-1] * (0.4 - k + 1) / k)
    found = base_value(market_of(bars), "fdiff_0p4_100", LAST, CODE)
    assert weights[1:3] == pytest.approx([-0.4, -0.12])
    assert found == pytest.approx(-math.log(2) * sum(weights[2:]))


def test_candle_by_hand() -> None:
    """The bar 100, 110, 90, 105 with a mean price of 102."""
    bars = flat_bars(n=30)
    bars.loc[29, BAR_FIELDS] = [100.0, 110.0, 90.0, 105.0, 10.0, 1020.0]
    market = market_of(bars)
    expected = {
        "ret_intraday": 0.05,
        "kbar_len": 0.2,
        "kbar_body_share": 0.25,
        "kbar_upper": 0.05,
        "kbar_upper_share": 0.25,
        "kbar_lower": 0.1,
        "kbar_lower_share": 0.5,
        "kbar_shift": 0.1,
        "kbar_shift_share": 0.5,
        "high_to_close": 110 / 105,
        "low_to_close": 90 / 105,
        "vwap_to_close": 102 / 105,
    }
    found = {name: base_value(market, name, LAST, CODE) for name in expected}
    assert found == pytest.approx(expected)


def test_a_split_changes_no_value_but_its_own_counter() -> None:
    """Bars in old shares with AdjFactor 0.5, then 3.0, give the values of the unsplit bars."""
    bars = BARS.copy()
    prices = ["O", "H", "L", "C"]
    for column, factor in ((COLUMNS - 30, 0.5), (COLUMNS - 7, 3.0)):
        bars.loc[: column - 1, prices] /= factor
        bars.loc[: column - 1, "Vo"] *= factor
        bars.loc[column, "AdjFactor"] = factor
    market = market_of(bars)
    assert base_value(market, "days_since_split", LAST, CODE) == 6
    others = [name for name in NAMES if name != "days_since_split"]
    found = pd.Series({name: base_value(market, name, LAST, CODE) for name in others}, dtype=float)
    expected = pd.Series({name: value(name) for name in others}, dtype=float)
    pd.testing.assert_series_equal(found, expected, rtol=1e-9, atol=1e-12)


def test_prices_equal_up_to_rounding_are_equal() -> None:
    """A flat stock stays flat across a split of 1:3, whatever the last digit says."""
    bars = flat_bars(price=0.7)
    bars.loc[: COLUMNS - 4, ["O", "H", "L", "C"]] /= 1 / 3
    bars.loc[COLUMNS - 3, "AdjFactor"] = 1 / 3
    market = market_of(bars)
    expected = {
        "ret_prev_5d": 0.0,
        "ret_streak": 0.0,
        "trend_r2_20d": None,
        "gain_share_20d": None,
        "rsv_20d": None,
        "close_rank_20d": 10.5 / 20,
        "high_pos_20d": 1 / 20,
        "aroon_osc_25": 0.0,
        "up_day_share_20d": 0.0,
        "jump_share_20": None,
        "kama_gap_10_2_30": pytest.approx(0.0),
    }
    assert {n: base_value(market, n, LAST, CODE) for n in expected} == expected


def test_the_close_is_carried_for_twenty_columns() -> None:
    """After 20 columns without a trade p is still there, after 21 it is null."""
    twenty = market_of(without_trades(BARS, range(20)))
    more = market_of(without_trades(BARS, range(21)))
    assert base_value(twenty, "ret_prev_1d", LAST, CODE) == 0.0
    assert base_value(twenty, "ret_overnight", LAST, CODE) is None
    assert base_value(twenty, "is_traded", LAST, CODE) == 0
    assert base_value(twenty, "volume_gain_share_20d", LAST, CODE) == 0.0
    assert base_value(more, "ret_prev_1d", LAST, CODE) is None
    assert base_value(more, "ema_gap_5_20", LAST, CODE) is not None
    assert base_value(more, "macd_pct", LAST, CODE) is None


def test_bar_windows_skip_days_without_a_trade_down_to_their_minimum() -> None:
    """Ten of 20 traded days are enough, nine are not; the position counts all columns."""
    enough = market_of(without_trades(BARS, range(10)))
    too_few = market_of(without_trades(BARS, range(11)))
    assert base_value(enough, "pk_vol_20", LAST, CODE) is not None
    assert base_value(too_few, "pk_vol_20", LAST, CODE) is None
    found = base_value(enough, "high_pos_20d", LAST, CODE)
    assert found == pytest.approx((H[-20:-10].argmax() + 1) / 20)


@pytest.mark.parametrize(("missing", "age"), [(20, 80), (21, 50)])
def test_a_code_missing_for_more_than_twenty_columns_is_a_new_line(missing: int, age: int) -> None:
    """Windows look through a gap of 20 columns in the master and stop at one of 21."""
    dropped = range(COLUMNS - 50 - missing, COLUMNS - 50)
    bars = random_bars(1, n=80 + missing).set_axis(range(COLUMNS - 80 - missing, COLUMNS))
    market = market_of(bars.drop(index=dropped))
    assert base_value(market, "listing_age_td", LAST, CODE) == age
    reaches_back = base_value(market, "ret_prev_60d", LAST, CODE) is not None
    assert reaches_back == (missing == 20)


def test_identity_by_hand() -> None:
    """Master fields of T, and the columns since the tier changed."""
    bars = flat_bars(n=40)
    master = master_of(bars, S17="99", S33="9050", ScaleCat="TOPIX Mid400", Mrgn="1")
    master.loc[:33, "Mkt"] = "0106"
    market = market_of(bars, master)
    expected = {
        "market_tier": 1,
        "sector17_id": None,
        "sector33_id": 9050,
        "scale_bucket": 3,
        "margin_class": 1,
        "is_traded": 1,
        "listing_age_td": 40,
        "days_since_market_change": 5,
        "days_since_split": None,
    }
    assert {n: base_value(market, n, LAST, CODE) for n in expected} == expected


def test_nothing_after_t_is_read() -> None:
    """Every value is the same when all later rows are deleted."""
    day = DAYS[600]
    cut = market_of(BARS[BARS["Date"] <= day])
    found = {name: base_value(cut, name, day, CODE) for name in NAMES}
    assert found == {name: base_value(MARKET, name, day, CODE) for name in NAMES}


def tokyo(first: str, last: str, *holidays: str) -> ReferenceMarket:
    """A market without stocks: weekdays but the given holidays."""
    days = pd.date_range(first, last)
    closed = (days.day_of_week >= 5) | days.isin(pd.DatetimeIndex(holidays))
    calendar = pd.DataFrame({"Date": days, "HolDiv": np.where(closed, "0", "1")})
    return ReferenceMarket(flat_bars(n=1), master_of(flat_bars(n=1)), calendar)


SPRING = tokyo(
    "2024-02-01",
    "2024-06-30",
    *("2024-02-12", "2024-02-23", "2024-03-20", "2024-04-29", "2024-05-03", "2024-05-06"),
)


@pytest.mark.parametrize(
    ("day", "name", "expected"),
    [
        ("2024-03-04", "day_of_week", 1),
        ("2024-03-04", "td_of_month", 2),
        ("2024-03-27", "td_to_month_end", 2),
        ("2024-03-29", "td_to_month_end", 0),
        ("2024-03-19", "gap_days_next", 2),
        ("2024-03-21", "gap_days_prev", 2),
        ("2024-03-18", "td_to_fy_end", 8),
        ("2024-03-29", "td_to_fy_end", 0),
        ("2024-03-08", "td_to_sq", 0),
        ("2024-03-11", "td_to_sq", 23),
        ("2024-03-26", "td_to_rights_last", 1),
        ("2024-03-27", "td_to_rights_last", 0),
        ("2024-03-28", "td_to_rights_last", 20),
        ("2024-04-01", "td_to_fy_end", None),
        ("2024-06-17", "td_to_sq", None),
        ("2024-06-28", "td_to_month_end", 0),
        ("2024-06-28", "gap_days_next", None),
    ],
)
def test_calendar_by_hand(day: str, name: str, expected: int | None) -> None:
    """Spring 2024: SQ on 8 March and 12 April, last day with rights 27 March and 25 April."""
    assert base_value(SPRING, name, day, CODE) == expected


def test_rights_days_before_and_after_the_change_of_settlement() -> None:
    """25 June 2019 was three trading days before the month end, 29 July two."""
    summer = tokyo("2019-06-03", "2019-08-30", "2019-07-15", "2019-08-12")
    assert base_value(summer, "td_to_rights_last", "2019-06-25", CODE) == 0
    assert base_value(summer, "td_to_rights_last", "2019-07-29", CODE) == 0


def test_the_sq_day_moves_before_a_holiday() -> None:
    """The second Friday of August 2017 was a holiday: SQ on Thursday the 10th."""
    summer = tokyo("2017-08-01", "2017-08-31", "2017-08-11")
    assert base_value(summer, "td_to_sq", "2017-08-10", CODE) == 0


def test_transforms_agree_with_pandas() -> None:
    """Rolling, sector and rank columns of ret_intraday equal their pandas one-liners."""
    bars, master = crowd()
    market = market_of(bars, master)
    codes = universe(market, LAST)
    assert codes == [f"{1301 + i}0" for i in range(30)]
    x = (bars["C"] / bars["O"] - 1).groupby([bars["Code"], bars["Date"]]).first().unstack(0)
    before, now = x.iloc[-21:-1][codes], x.iloc[-1][codes]
    zscore = (now - before.mean()) / before.std()
    rank = now.rank()
    small = pd.Series([i >= 26 for i in range(30)], codes)
    mean = pd.Series(now[~small].mean(), codes).where(~small)
    expected = {
        "_roll_mean_20d": before.mean(),
        "_roll_std_20d": before.std(),
        "_zscore_20d": zscore,
        "_outlier_flag": (zscore.abs() > 2).astype(float),
        "_sector_mean": mean,
        "_sector_rel": now - mean,
        "_cs_rank": rank,
        "_cs_pct": (rank - 1) / 29,
        "_cs_top20_flag": (rank >= 0.8 * 29 + 1).astype(float),
        "_cs_bottom20_flag": (rank <= 0.2 * 29 + 1).astype(float),
    }
    for suffix in SUFFIXES:
        found = [transform_value(market, "ret_intraday", suffix, LAST, code) for code in codes]
        found_series = pd.Series(found, codes, dtype=float, name=suffix)
        pd.testing.assert_series_equal(found_series, expected[suffix], check_names=False, rtol=1e-9)


def test_a_value_outside_the_universe_is_not_stored() -> None:
    """Columns spent outside U_u do not count, and no outsider has a derived column."""
    bars, master = crowd()
    own = (master["Code"] == "13010") & (master["Date"] < DAYS[COLUMNS - 10])
    master.loc[own, "Mkt"] = "0105"
    market = market_of(bars, master)
    assert transform_value(market, "ret_intraday", "_roll_mean_20d", LAST, "13010") is None
    assert transform_value(market, "ret_intraday", "_roll_mean_20d", LAST, "13020") is not None
    assert transform_value(market, "ret_intraday", "_cs_rank", LAST, "13325") is None


def test_limits_of_the_transforms() -> None:
    """Counts of 10 and 20, the zero deviation, and shares that are exactly 0.8 and 0.2."""
    assert time_series("_roll_mean_20d", None, [1.0] * 9 + [None] * 11) is None
    assert time_series("_roll_mean_20d", None, [1.0] * 10 + [None] * 10) == 1.0
    assert time_series("_zscore_20d", 2.0, [1.0] * 20) is None
    assert cross_section("_cs_rank", 1.0, [1.0] * 19) is None
    assert cross_section("_cs_rank", 1.0, [1.0] * 20) == 10.5
    members = [float(i) for i in range(21)]
    assert cross_section("_cs_top20_flag", 16.0, members) == 1
    assert cross_section("_cs_bottom20_flag", 4.0, members) == 1
    assert cross_section("_cs_bottom20_flag", 5.0, members) == 0


def test_the_classes_add_up_to_the_published_number_of_columns() -> None:
    """420 base features and 3,118 derived columns."""
    rows = [row for row in catalogue().values() if row["family"] != "label"]
    derived = [s for row in rows for s in suffixes_of(row["family"], row["dtype"])]
    assert (len(rows), len(derived)) == (420, 3118)


def test_a_transform_the_class_does_not_have_is_refused() -> None:
    """Identity features have no derived columns."""
    with pytest.raises(KeyError, match="market_tier: no derived column _cs_rank"):
        transform_value(MARKET, "market_tier", "_cs_rank", LAST, CODE)


def test_dates_may_be_given_in_any_usual_form() -> None:
    """Text, timestamp and date name the same column."""
    day: dt.date = LAST.date()
    assert base_value(MARKET, "ret_prev_1d", day, CODE) == value("ret_prev_1d")
    assert base_value(MARKET, "ret_prev_1d", str(day), CODE) == value("ret_prev_1d")
