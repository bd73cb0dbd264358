"""The window features against qlib's Alpha158, and the cases qlib does not know."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.features.engine.column_spec import FloatArray
from pipeline.features.price import alpha158_rolling, candle, moving_average, price_return
from tests.features.bars import (
    Bars,
    assert_bits_do_not_depend_on_the_panel,
    assert_declared,
    assert_no_column_is_empty,
    bars_from_closes,
    market_of,
    random_bars,
    without_trade,
)
from tests.features.qlib_alpha158 import WINDOWS, alpha158

CATALOGUE = Path(__file__).parents[2] / "data" / "features.csv"
FULL = max(WINDOWS) + 1  # columns until every window, with the day before it, is full

Columns = dict[str, FloatArray]
Recipe = Callable[[Columns], FloatArray]


def compute(bars: Bars, n_out: int, listed_from: int = 0) -> Columns:
    """The family's columns of stocks listed since the given column of the bars."""
    market = market_of(bars, n_out)
    listed = np.broadcast_to(np.arange(market.panel.n_columns) >= listed_from, bars["c"].shape)
    market.panel = dataclasses.replace(market.panel, listed=listed)
    return alpha158_rolling.compute(market)


def last(bars: Bars, name: str) -> float:
    """Value of the newest column of the first line."""
    return float(compute(bars, 1)[name][0, 0])


# --- the catalogue ---------------------------------------------------------------------------


def test_the_declarations_are_the_rows_of_the_catalogue():
    """Names, order and every attribute equal the catalogue's rows of the family."""
    with CATALOGUE.open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["family"] == "alpha158_rolling"]
    declared = [
        [str(value) for value in dataclasses.astuple(feature)]
        for feature in alpha158_rolling.FEATURES
    ]
    assert declared == [list(row.values()) for row in rows]


def test_the_family_returns_its_columns():
    """One float64 array of (lines, wanted columns) for every declared name."""
    assert_declared(alpha158_rolling)


def test_values_exist_after_the_declared_look_back():
    """No look-back is understated and no column is empty."""
    assert_no_column_is_empty(alpha158_rolling)


def test_no_bit_depends_on_the_width_of_the_panel():
    """Chunk, append and bulk builds agree to the last bit."""
    assert_bits_do_not_depend_on_the_panel(alpha158_rolling)


# --- qlib ------------------------------------------------------------------------------------


def column(name: str) -> Recipe:
    return lambda ours: ours[name]


def inverse(name: str) -> Recipe:
    """1 / (1 + x): qlib divides by the newest price where we divide by the older one."""
    return lambda ours: 1.0 / (1.0 + ours[name])


def difference(name: str, minus: str) -> Recipe:
    return lambda ours: ours[name] - ours[minus]


def affine(name: str, factor: float, offset: float) -> Recipe:
    return lambda ours: factor * ours[name] + offset


def qlib_from_ours() -> dict[str, Recipe]:
    """Each of qlib's 158 columns as a function of ours; the same as the fields ``check`` say."""
    same = {
        "STD": "close_std_ratio",
        "BETA": "trend_slope",
        "RSQR": "trend_r2",
        "RESI": "trend_resid",
        "MAX": "high_max_ratio",
        "MIN": "low_min_ratio",
        "QTLU": "close_q80_ratio",
        "QTLD": "close_q20_ratio",
        "RANK": "close_rank",
        "RSV": "rsv",
        "IMAX": "high_pos",
        "IMIN": "low_pos",
        "CORR": "corr_close_logvol",
        "CORD": "corr_ret_volchg",
        "CNTP": "up_day_share",
        "CNTN": "down_day_share",
        "SUMP": "gain_share",
        "VMA": "volume_ma_ratio",
        "VSTD": "volume_std_ratio",
        "WVMA": "absret_volume_cv",
        "VSUMP": "volume_gain_share",
    }
    shapes = {
        "KMID": "ret_intraday",
        "KLEN": "kbar_len",
        "KMID2": "kbar_body_share",
        "KUP": "kbar_upper",
        "KUP2": "kbar_upper_share",
        "KLOW": "kbar_lower",
        "KLOW2": "kbar_lower_share",
        "KSFT": "kbar_shift",
        "KSFT2": "kbar_shift_share",
        "HIGH0": "high_to_close",
        "LOW0": "low_to_close",
        "VWAP0": "vwap_to_close",
    }
    table = {"OPEN0": inverse("ret_intraday")}
    table |= {theirs: column(name) for theirs, name in shapes.items()}
    for d in WINDOWS:
        table |= {f"{theirs}{d}": column(f"{name}_{d}d") for theirs, name in same.items()}
        table |= {
            f"ROC{d}": inverse(f"ret_prev_{d}d"),
            f"MA{d}": inverse(f"price_to_sma_{d}"),
            f"IMXD{d}": difference(f"high_pos_{d}d", f"low_pos_{d}d"),
            f"CNTD{d}": difference(f"up_day_share_{d}d", f"down_day_share_{d}d"),
            f"SUMN{d}": affine(f"gain_share_{d}d", -1.0, 1.0),
            f"SUMD{d}": affine(f"gain_share_{d}d", 2.0, -1.0),
            f"VSUMN{d}": affine(f"volume_gain_share_{d}d", -1.0, 1.0),
            f"VSUMD{d}": affine(f"volume_gain_share_{d}d", 2.0, -1.0),
        }
    return table


QLIB_FROM_OURS = qlib_from_ours()
FAMILIES = (alpha158_rolling, candle, price_return, moving_average)


def whole_yen_bars(seed: int, n_columns: int) -> Bars:
    """Gap-free bars on a tick of 2 yen, so that closes, highs and lows often tie."""
    bars = random_bars(1, n_columns, seed)
    for field in ("o", "h", "l", "c"):
        bars[field] = np.round(bars[field] / 2.0) * 2.0
    return bars


def frame_of(bars: Bars) -> pd.DataFrame:
    names = {"o": "open", "h": "high", "l": "low", "c": "close", "v": "volume"}
    frame = pd.DataFrame({name: bars[field][0] for field, name in names.items()})
    return frame.assign(vwap=bars["va"][0] / bars["v"][0])


def test_the_mapping_names_all_158_columns_as_the_catalogue_does():
    """Every column of qlib is mapped, and named in the field ``check`` of one of ours."""
    theirs = set(alpha158(frame_of(whole_yen_bars(0, FULL))).columns)
    words = {
        word.strip(",;:")
        for family in FAMILIES
        for feature in family.FEATURES
        for word in feature.check.split()
    }
    assert len(theirs) == 158
    assert set(QLIB_FROM_OURS) == theirs
    assert theirs <= words


@pytest.mark.parametrize("make", [whole_yen_bars, lambda seed, n: random_bars(1, n, seed)])
@pytest.mark.parametrize("seed", [1, 2])
def test_all_158_columns_of_qlib_follow_from_ours(make, seed):
    """On gap-free bars they agree to 1e-9, with ln(v) in CORR on both sides."""
    n_out = 180
    bars = make(seed, n_out + FULL)
    expected = alpha158(frame_of(bars), log_offset=0.0).iloc[-n_out:]
    ours: Columns = {}
    for family in FAMILIES:
        ours |= family.compute(market_of(bars, n_out))
    assert expected.notna().all(axis=None)
    for name, recipe in QLIB_FROM_OURS.items():
        np.testing.assert_allclose(
            recipe(ours)[0], expected[name], rtol=1e-9, atol=1e-9, err_msg=name
        )


def test_the_missing_one_under_the_logarithm_is_small():
    """ln(v) instead of ln(v + 1) moves CORR by little at volumes of thousands of shares."""
    bars = whole_yen_bars(1, 100 + FULL)
    bars["v"] += 5000.0
    expected = alpha158(frame_of(bars)).iloc[-100:]
    ours = compute(bars, 100)
    for d in WINDOWS:
        seen = ours[f"corr_close_logvol_{d}d"][0]
        np.testing.assert_allclose(seen, expected[f"CORR{d}"], atol=1e-3)


# --- gaps ------------------------------------------------------------------------------------

STEMS = sorted({feature.name.rsplit("_", 1)[0] for feature in alpha158_rolling.FEATURES})
ON_BARS = {
    "high_max_ratio", "low_min_ratio", "rsv", "high_pos", "low_pos", "corr_close_logvol",
}  # fmt: skip
FROM_THE_DAY_BEFORE = {
    "corr_ret_volchg", "up_day_share", "down_day_share", "gain_share", "absret_volume_cv",
    "volume_gain_share",
}  # fmt: skip


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("stem", STEMS)
def test_a_new_listing_waits_for_its_minimum_of_columns(stem, window):
    """Bar features start at half a window, the others with the full one and the day before."""
    needed = {5: 3, 10: 5, 20: 10, 30: 15, 60: 30}[window]
    first = needed if stem in ON_BARS | {"corr_ret_volchg"} else window
    first += stem in FROM_THE_DAY_BEFORE
    bars = without_trade(random_bars(1, 80, seed=5), 0, slice(0, 10))
    known = ~np.isnan(compute(bars, 80, listed_from=10)[f"{stem}_{window}d"][0])
    np.testing.assert_array_equal(known, np.arange(80) >= 10 + first - 1)


def test_a_halt_keeps_the_close_and_counts_no_volume():
    """During a halt closes repeat and volumes are 0; what divides by today's volume is null."""
    bars = without_trade(random_bars(1, 40, seed=6), 0, slice(39, 40))
    ours = {name: x[0, 0] for name, x in compute(bars, 1).items()}
    closes, volumes = bars["c"][0, 35:39], bars["v"][0, 34:39]
    steps = np.diff([*volumes, 0.0])
    assert ours["close_std_ratio_5d"] == pytest.approx(
        np.std([*closes, closes[-1]], ddof=1) / closes[-1]
    )
    assert ours["volume_gain_share_5d"] == pytest.approx(
        np.maximum(steps, 0.0).sum() / np.abs(steps).sum()
    )
    assert ours["high_max_ratio_5d"] == bars["h"][0, 35:39].max() / closes[-1]
    assert np.isnan(ours["volume_ma_ratio_5d"])
    assert np.isnan(ours["volume_std_ratio_60d"])


def test_the_volume_of_a_halt_counts_as_zero_afterwards():
    """The day after a halt of two days divides three traded days by five."""
    bars = bars_from_closes([100.0, 101.0, np.nan, np.nan, 102.0])
    assert last(bars, "volume_ma_ratio_5d") == pytest.approx(3 / 5)
    assert last(bars, "volume_std_ratio_5d") == pytest.approx(np.std([1, 1, 0, 0, 1], ddof=1))


def test_changes_need_a_trade_on_both_days():
    """A halt takes two pairs out of the correlation of changes: its own and the next one."""
    bars = random_bars(1, 6, seed=7)
    bars = without_trade(bars, 0, slice(3, 4))
    c, v = bars["c"][0], bars["v"][0]
    pairs = [(c[u] / c[u - 1], np.log(v[u] / v[u - 1] + 1.0)) for u in (1, 2, 5)]
    expected = np.corrcoef(np.array(pairs).T)[0, 1]
    assert last(bars, "corr_ret_volchg_5d") == pytest.approx(expected)
    assert np.isnan(last(without_trade(bars, 0, slice(0, 1)), "corr_ret_volchg_5d"))


def test_a_long_halt_ends_everything_that_stands_on_the_close():
    """The close is carried over 20 columns; without one only correlations and positions stay."""
    bars = without_trade(random_bars(1, 100, seed=8), 0, slice(79, 100))
    ours = compute(bars, 2)
    no_close = {"high_pos", "low_pos", "corr_close_logvol", "corr_ret_volchg"}
    no_trade = {"volume_ma_ratio", "volume_std_ratio"}
    for stem in STEMS:
        before, after = ours[f"{stem}_60d"][0]
        assert np.isnan(before) == (stem in no_trade), stem
        assert np.isnan(after) == (stem not in no_close), stem


def test_a_column_without_a_trade_keeps_its_position():
    """Positions count columns, not trades."""
    bars = bars_from_closes([1.0, np.nan, 3.0, np.nan, 2.0])
    assert last(bars, "high_pos_5d") == 3 / 5
    assert last(bars, "low_pos_5d") == 1 / 5


# --- ties and flat prices --------------------------------------------------------------------

TIE = 100.0 * (1 + 4e-10)  # the same price, up to what split factors leave


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("close_rank_5d", 3.5 / 5),  # 99 below, then 100 four times
        ("high_pos_5d", 1 / 5),
        ("low_pos_5d", 3 / 5),
        ("up_day_share_5d", 1 / 5),
        ("down_day_share_5d", 1 / 5),
        ("gain_share_5d", 1 / 2),
    ],
)
def test_prices_equal_by_rounding_are_equal(name, value):
    """Ties share their rank, the oldest has the position, and no step counts as a move."""
    bars = bars_from_closes([100.0, 100.0, TIE, 99.0, 100.0, TIE])
    assert last(bars, name) == pytest.approx(value)


@pytest.mark.parametrize("price", [100.0, 0.1, 3333.3333333])
@pytest.mark.parametrize(
    ("stem", "value"),
    [
        ("close_std_ratio", 0.0),
        ("trend_slope", 0.0),
        ("trend_resid", 0.0),
        ("trend_r2", np.nan),
        ("high_max_ratio", 1.0),
        ("low_min_ratio", 1.0),
        ("close_q80_ratio", 1.0),
        ("close_q20_ratio", 1.0),
        ("rsv", np.nan),
        ("corr_close_logvol", np.nan),
        ("corr_ret_volchg", np.nan),
        ("up_day_share", 0.0),
        ("down_day_share", 0.0),
        ("gain_share", np.nan),
        ("volume_ma_ratio", 1.0),
        ("volume_std_ratio", 0.0),
        ("absret_volume_cv", np.nan),
        ("volume_gain_share", np.nan),
    ],
)
def test_a_flat_price_at_constant_volume(stem, value, price):
    """No move is exactly 0, and a share of nothing is null."""
    bars = bars_from_closes([price] * FULL)
    for window in WINDOWS:
        np.testing.assert_equal(last(bars, f"{stem}_{window}d"), value)


def test_a_range_of_rounding_errors_is_no_range():
    """rsv is null where highest and lowest price differ by less than 1e-9."""
    assert np.isnan(last(bars_from_closes([100.0, 100.0, TIE, 100.0, 100.0]), "rsv_5d"))
    assert last(bars_from_closes([100.0, 100.0, 99.0, 101.0, 100.0]), "rsv_5d") == 0.5
