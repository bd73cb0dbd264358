"""Family volatility."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import talib

from pipeline.features.price import volatility
from tests.features.bars import (
    assert_bits_do_not_depend_on_the_panel,
    assert_close,
    assert_declared,
    assert_no_column_is_empty,
    bars_from_closes,
    market_of,
    random_bars,
    without_trade,
)

COLUMNS = 600
BARS = random_bars(1, COLUMNS, seed=10)
O, H, L, C = (pd.Series(BARS[name][0]) for name in "ohlc")
G = np.log(C / C.shift())
NIGHT = np.log(O / C.shift())
WALK = {name: x[0] for name, x in volatility.compute(market_of(BARS, COLUMNS)).items()}
YEAR = np.sqrt(252)


def rogers_satchell(o, h, low, c):
    return np.log(h / c) * np.log(h / o) + np.log(low / c) * np.log(low / o)


def yang_zhang(o, h, low, c, before):
    """Annualised Yang-Zhang volatility of days given as arrays without nulls."""
    n = o.size
    k = 0.34 / (1.34 + (n + 1) / (n - 1))
    night, day = np.var(np.log(o / before), ddof=1), np.var(np.log(c / o), ddof=1)
    return np.sqrt(252 * (night + k * day + (1 - k) * rogers_satchell(o, h, low, c).mean()))


def of_closes(closes: list[float], n_out: int = 1) -> dict[str, np.ndarray]:
    """Features of the last columns of a line that only closes."""
    values = volatility.compute(market_of(bars_from_closes(closes), n_out))
    return {name: x[0] for name, x in values.items()}


def test_the_family_returns_what_it_declares():
    """Declared names, float64, (lines, n_out); a value as soon as the look-back is there."""
    assert_declared(volatility)
    assert_no_column_is_empty(volatility)


def test_the_panel_around_a_value_does_not_matter():
    """Bit for bit."""
    assert_bits_do_not_depend_on_the_panel(volatility)


def test_close_based_measures_equal_pandas():
    """The one-liner of each check column, nulls included."""
    vol = G.rolling(20).std() * YEAR
    history = vol.rolling(250, min_periods=125)
    r = C.pct_change()
    pairs = (G.abs() * G.abs().shift()).rolling(19).sum()
    expected = {
        **{f"realized_vol_{n}d": G.rolling(n).std() * YEAR for n in (5, 20, 60, 120)},
        "downside_vol_20": np.sqrt(252 * (G.clip(upper=0) ** 2).rolling(20).mean()),
        "vol_z_250": (vol - history.mean()) / history.std(),
        "overnight_vol_20": NIGHT.rolling(20, min_periods=10).std() * YEAR,
        "var_5pct_250": r.rolling(250, min_periods=125).quantile(0.05),
        "jump_share_20": (1 - np.pi / 2 * 20 / 19 * pairs / (G**2).rolling(20).sum()).clip(0),
    }
    for name, series in expected.items():
        assert_close(WALK[name], series.to_numpy())


def test_the_weighted_volatility_equals_pandas_on_the_last_rows():
    """ewm(alpha=0.06, adjust=True) of squared returns on 230 rows."""
    squares = G**2
    for t in (20, 100, 229, 230, 500):
        rows = squares.iloc[max(0, t - 229) : t + 1]
        expected = np.sqrt(252 * rows.ewm(alpha=0.06, adjust=True).mean().iloc[-1])
        assert WALK["rv_ewma_0p94"][t] == pytest.approx(expected, abs=1e-9)
    assert np.isnan(WALK["rv_ewma_0p94"][:20]).all()


def test_range_based_measures_equal_pandas():
    """Parkinson, Garman-Klass and Rogers-Satchell, from the tenth traded day on."""
    terms = {
        "pk_vol_20": np.log(H / L) ** 2 / (4 * np.log(2)),
        "gk_vol_20": 0.5 * np.log(H / L) ** 2 - (2 * np.log(2) - 1) * np.log(C / O) ** 2,
        "rs_vol_20": rogers_satchell(O, H, L, C),
    }
    for name, term in terms.items():
        expected = np.sqrt(252 * term.rolling(20, min_periods=10).mean())
        assert_close(WALK[name], expected.to_numpy())


def test_the_range_of_t_is_compared_with_the_twenty_days_before():
    """T itself is not in its own mean."""
    x = (H - L) / C.shift()
    expected = x / x.shift(1).rolling(20, min_periods=10).mean()
    assert_close(WALK["range_expansion_20"], expected.to_numpy())


@pytest.mark.parametrize(("window", "needed"), [(20, 10), (60, 30)])
def test_yang_zhang_equals_its_formula_on_full_and_partial_windows(window, needed):
    """The weight k follows the number of days; column 0 has no night and is no term."""
    for t in (needed, window - 1, window, COLUMNS - 1):
        days = slice(max(1, t - window + 1), t + 1)
        o, h, low, c = (x.to_numpy()[days] for x in (O, H, L, C))
        expected = yang_zhang(o, h, low, c, C.shift().to_numpy()[days])
        assert WALK[f"yz_vol_{window}"][t] == pytest.approx(expected, abs=1e-9)
    assert np.isnan(WALK[f"yz_vol_{window}"][:needed]).all()


def test_the_volatility_of_volatility_is_the_std_of_its_column():
    """Ten values of yz_vol_20 are enough."""
    expected = pd.Series(WALK["yz_vol_20"]).rolling(20, min_periods=10).std()
    assert_close(WALK["vov_20"], expected.to_numpy())


def test_true_ranges_equal_talib():
    """TRANGE over the close before; NATR once the recursion has forgotten its seed."""
    h, low, c = H.to_numpy(), L.to_numpy(), C.to_numpy()
    assert_close(WALK["true_range_pct"], talib.TRANGE(h, low, c) / C.shift().to_numpy())
    assert_close(WALK["natr_14"][400:], talib.NATR(h, low, c, 14)[400:], 1e-4)


def test_the_first_trade_after_a_halt_has_its_night_against_the_carried_close():
    """A gap of 20 columns is one night; after 21 the day has none and is no term."""
    walk = random_bars(1, 80, seed=11)
    for empty in (20, 21):
        bars = without_trade(walk, 0, slice(40, 40 + empty))
        seen = {name: x[0] for name, x in volatility.compute(market_of(bars, 80)).items()}
        o, h, low, c = (bars[name][0] for name in "ohlc")
        first = 40 + empty
        before = np.concatenate([[np.nan], c[:-1]])
        before[first] = c[39] if empty == 20 else np.nan
        assert np.isnan(seen["true_range_pct"][first]) == (empty == 21)
        window = np.arange(80) > first + 12 - 20
        days = window & (np.arange(80) <= first + 12) & ~np.isnan(o) & ~np.isnan(before)
        expected = yang_zhang(o[days], h[days], low[days], c[days], before[days])
        assert seen["yz_vol_20"][first + 12] == pytest.approx(expected, abs=1e-9)
        expected = np.std(np.log(o[days] / before[days]), ddof=1) * YEAR
        assert seen["overnight_vol_20"][first + 12] == pytest.approx(expected, abs=1e-9)


def test_a_halt_counts_as_days_without_movement_for_closes_only():
    """The carried close does not move; range measures skip the days."""
    closes = [*[100.0, 101.0] * 20, *[np.nan] * 5]
    seen = of_closes(closes)
    expected = np.array([*[1, -1] * 7, 1, *[0] * 5]) * np.log(1.01)
    assert seen["realized_vol_20d"] == pytest.approx(expected.std(ddof=1) * YEAR)
    assert seen["pk_vol_20"] == 0.0
    assert np.isnan(seen["true_range_pct"])
    assert np.isnan(seen["range_expansion_20"])
    assert np.isfinite(seen["natr_14"])


def test_a_price_that_never_moves_has_no_volatility():
    """Zeros where a zero is a value, nulls where it would be a denominator."""
    seen = of_closes([0.1] * 300)
    zero = {name for name, x in seen.items() if x == 0.0}
    null = {name for name, x in seen.items() if np.isnan(x)}
    assert null == {"range_expansion_20", "vol_z_250", "jump_share_20"}
    assert zero == set(seen) - null


def test_a_listing_inside_the_window():
    """Measures of closes wait for all returns, those of bars for ten days, of nights for eleven."""
    new = random_bars(1, 60, seed=12)
    seen = volatility.compute(market_of(without_trade(new, 0, slice(0, 30)), 30))
    first = {name: int(np.argmax(np.isfinite(x[0]))) for name, x in seen.items()}
    names = ("realized_vol_20d", "rs_vol_20", "yz_vol_20", "natr_14", "range_expansion_20")
    assert [first[name] for name in names] == [20, 9, 10, 14, 11]
