"""Family sector."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pipeline.features.cross_section import sector
from pipeline.market.panel.benchmark_levels import SECTOR_INDEX
from tests.features.crowd import (
    assert_bits_do_not_depend_on_the_arrays,
    assert_declared,
    crowd,
    known_of,
)

N_OUT = 30
MARKET = crowd(40, 260, N_OUT, seed=30)
KNOWN = known_of(MARKET)
SEEN = sector.compute(MARKET, KNOWN)
MASTER, UNIVERSE = MARKET.master, MARKET.master.universe[:, -N_OUT:]


def index_of(code: int) -> pd.DataFrame:
    """Closes of the index of the stock's sector on each wanted column, T counted from the end."""
    return pd.Series(MARKET.indices.of(SECTOR_INDEX[code]))


def of_own_index(statistic):
    """A statistic of the sector index of T, (codes, n_out)."""
    s33 = MASTER.s33[:, -N_OUT:]
    series = {code: statistic(index_of(int(code))).to_numpy() for code in set(s33[s33 > 0])}
    expected = np.full(s33.shape, np.nan)
    for code, values in series.items():
        expected = np.where(s33 == code, values[-N_OUT:], expected)
    return expected


def by_group(values, labels, statistic):
    """pandas groupby per column over the universe, at least 5 values, given to all members."""
    expected = np.full(values.shape, np.nan)
    for t in range(values.shape[1]):
        rows = np.flatnonzero(UNIVERSE[:, t])
        frame = pd.DataFrame({"x": values[rows, t], "label": labels[rows, t]}, index=rows)
        groups = frame.groupby("label")["x"]
        enough = groups.transform("count") >= 5
        expected[rows, t] = groups.transform(statistic).where(enough)
    return expected


def test_the_family_returns_what_it_declares():
    """Declared names, float64, (codes, n_out)."""
    assert_declared(sector, SEEN, (40, N_OUT))


def test_the_index_of_the_sector_of_the_day():
    """The whole window follows the index of the sector on T, also after a change of sector."""
    changes = (MASTER.s33[:, -N_OUT:] != MASTER.s33[:, -1:]).any(axis=1)
    assert (changes & UNIVERSE.any(axis=1)).any()
    expected = {
        **{
            f"sector_idx_ret_{days}d": of_own_index(lambda s, days=days: s.pct_change(days))
            for days in (1, 5, 20)
        },
        "sector_idx_vol_20": of_own_index(
            lambda s: np.sqrt(252) * np.log(s / s.shift()).rolling(20).std()
        ),
    }
    for name, values in expected.items():
        np.testing.assert_allclose(SEEN[name], values, rtol=1e-9, err_msg=name)


def test_the_ema_gap_is_that_of_pandas_on_the_last_rows():
    """ewm(adjust=True) over the last 42 and 147 columns."""
    expected = of_own_index(
        lambda s: pd.Series(
            [
                s.iloc[t - 41 : t + 1].ewm(span=5).mean().iloc[-1]
                / s.iloc[t - 146 : t + 1].ewm(span=20).mean().iloc[-1]
                - 1
                if t >= 146
                else np.nan
                for t in range(s.size)
            ]
        )
    )
    np.testing.assert_allclose(SEEN["sector_idx_ema_gap_5_20"], expected, rtol=1e-9, atol=1e-14)


def test_what_the_members_do():
    """pandas groupby over the members of the day."""
    s33, s17 = MASTER.s33[:, -N_OUT:], MASTER.s17[:, -N_OUT:]
    r, gap = KNOWN["ret_prev_1d"], KNOWN["price_to_sma_20"]
    expected = {
        "sector_breadth_up_1d": by_group(np.where(np.isnan(r), r, r > 0), s33, "mean"),
        "sector_breadth_sma20": by_group(np.where(np.isnan(gap), gap, gap > 0), s33, "mean"),
        "sector_dispersion_1d": by_group(r, s33, "std"),
        "sec17_ret_20d": by_group(KNOWN["ret_prev_20d"], s17, "mean"),
        "sector_earn_density_5d": by_group(
            (MARKET.schedule.days_to_next <= 5).astype(float), s33, "mean"
        ),
    }
    for name, values in expected.items():
        assert np.isfinite(values).any()
        np.testing.assert_allclose(SEEN[name], values, rtol=1e-9, err_msg=name)


def one_day(n, **known):
    """``n`` members of one sector on one day, with the given columns."""
    market = crowd(n + 4, 60, 1, seed=31)
    market.master.universe[:] = np.arange(n + 4)[:, None] < n
    market.master.s33[:], market.master.s17[:] = 50.0, 1.0
    values = {name: np.full((n + 4, 1), np.nan) for name in KNOWN}
    for name, column in known.items():
        values[name][:n, 0] = column
    return market, values


def test_a_price_on_its_own_mean_is_not_above_it():
    """price_to_sma_20 counts from beyond 1e-9."""
    market, known = one_day(5, price_to_sma_20=[1e-9, 1.1e-9, -0.1, 0.0, 0.2])
    assert sector.compute(market, known)["sector_breadth_sma20"][0, 0] == 2 / 5


@pytest.mark.parametrize(("n", "expected"), [(5, 2 / 5), (4, np.nan)])
def test_members_without_a_known_date_stay_in_the_denominator(n, expected):
    """Two of five report within 5 columns; the sixth column ahead is too late."""
    market, known = one_day(n)
    market.schedule.days_to_next[:5, 0] = [5.0, 6.0, np.nan, 1.0, np.nan]
    seen = sector.compute(market, known)["sector_earn_density_5d"]
    np.testing.assert_array_equal(seen[:n, 0], np.full(n, expected))
    assert np.isnan(seen[n:]).all()


def test_five_members_with_a_value_are_needed():
    """A null leaves the count; the member itself still gets the value of the sector."""
    market, known = one_day(6, ret_prev_1d=[0.1, -0.1, 0.1, np.nan, 0.0, 0.2])
    seen = sector.compute(market, known)["sector_breadth_up_1d"]
    np.testing.assert_array_equal(seen[:6, 0], np.full(6, 3 / 5))
    market, known = one_day(5, ret_prev_1d=[0.1, -0.1, 0.1, np.nan, 0.0])
    assert np.isnan(sector.compute(market, known)["sector_breadth_up_1d"]).all()


def test_the_arrays_around_a_value_do_not_matter():
    """Bit for bit."""
    assert_bits_do_not_depend_on_the_arrays(sector, MARKET)
