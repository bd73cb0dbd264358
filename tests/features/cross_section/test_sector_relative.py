"""Family sector_relative."""

from __future__ import annotations

import numpy as np
import pandas as pd

from pipeline.features.cross_section import sector, sector_relative
from tests.features.crowd import (
    assert_bits_do_not_depend_on_the_arrays,
    assert_declared,
    crowd,
    known_of,
)

N_OUT = 20
MARKET = crowd(40, 220, N_OUT, seed=40)
SECTOR = sector.compute(MARKET, known_of(MARKET))
KNOWN = {**known_of(MARKET), **SECTOR}
SEEN = sector_relative.compute(MARKET, KNOWN)


def test_the_family_returns_what_it_declares():
    """Declared names, float64, (codes, n_out)."""
    assert_declared(sector_relative, SEEN, (40, N_OUT))


def test_differences():
    """Own return less that of the sector's index, or of the members of the sector of 17."""
    for days in (1, 5, 20):
        expected = KNOWN[f"ret_prev_{days}d"] - SECTOR[f"sector_idx_ret_{days}d"]
        np.testing.assert_array_equal(SEEN[f"rel_to_sector_idx_{days}d"], expected)
    expected = KNOWN["ret_prev_20d"] - SECTOR["sec17_ret_20d"]
    np.testing.assert_array_equal(SEEN["rel_to_sec17_20d"], expected)
    assert np.isfinite(expected).any()


def test_rank_within_the_sector():
    """pandas rank with average ties among the members of the day, five at least."""
    ret = np.round(KNOWN["ret_prev_20d"], 2)  # with ties
    seen = sector_relative.compute(MARKET, {**KNOWN, "ret_prev_20d": ret})["pct_in_sector_ret_20d"]
    for t in range(N_OUT):
        rows = np.flatnonzero(MARKET.master.universe[:, t - N_OUT])
        frame = pd.DataFrame({"x": ret[rows, t], "label": MARKET.master.s33[rows, t - N_OUT]})
        groups = frame.groupby("label")["x"]
        count = groups.transform("count")
        expected = ((groups.rank() - 1) / (count - 1)).where(count >= 5)
        np.testing.assert_allclose(seen[rows, t], expected, rtol=1e-12)
    assert np.isnan(seen[3]).all()


def test_the_arrays_around_a_value_do_not_matter():
    """Bit for bit."""
    assert_bits_do_not_depend_on_the_arrays(sector_relative, MARKET, SECTOR)
