"""Family peer."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pipeline.features.cross_section import peer
from pipeline.features.cross_section.peer_estimation import peer_mean, peer_table
from tests.features.crowd import (
    assert_bits_do_not_depend_on_the_arrays,
    assert_declared,
    crowd,
    known_of,
)

N_OUT = 15
MARKET = crowd(60, 220, N_OUT, seed=60)
KNOWN = known_of(MARKET)
SEEN = peer.compute(MARKET, KNOWN)
UNIVERSE = MARKET.master.universe
TABLE = peer_table(MARKET.returns, UNIVERSE, MARKET.panel.sessions, N_OUT)


def test_the_family_returns_what_it_declares():
    """Declared names, float64, (codes, n_out), each with values."""
    assert_declared(peer, SEEN, (60, N_OUT))
    assert all(np.isfinite(values).any() for values in SEEN.values())


def test_peers_are_those_of_the_estimate():
    """Correlation and degree of the estimate of the week; returns of T of its ten peers."""
    np.testing.assert_array_equal(SEEN["peer_corr_mean_10"], TABLE.on_columns(TABLE.mean_corr))
    np.testing.assert_array_equal(SEEN["peer_degree_0p5"], TABLE.on_columns(TABLE.degree))
    np.testing.assert_array_equal(SEEN["peer_ret_1d"], peer_mean(KNOWN["ret_prev_1d"], TABLE, 5))
    expected = KNOWN["ret_prev_5d"] - peer_mean(KNOWN["ret_prev_5d"], TABLE, 5)
    np.testing.assert_array_equal(SEEN["peer_rel_5d"], expected)


def test_a_peer_that_left_the_universe_does_not_count():
    """Its values as stored are null; the correlations of the estimate stay."""
    market = crowd(30, 180, 4, seed=61)
    market.master.universe[:] = True
    before = peer.compute(market, known_of(market))
    table = peer_table(market.returns, market.master.universe, market.panel.sessions, 4)
    gone = table.peers[table.estimate[-1], 0, 0]
    market.master.universe[gone, -1] = False
    known = known_of(market)
    after = peer.compute(market, known)
    others = table.peers[table.estimate[-1], 0, 1:]
    assert after["peer_corr_mean_10"][0, -1] == before["peer_corr_mean_10"][0, -1]
    assert after["peer_ret_1d"][0, -1] == pytest.approx(known["ret_prev_1d"][others, -1].mean())


def test_against_stocks_of_the_same_size():
    """Deciles by pandas rank of the market value, means of the members with a return."""
    size, ret = KNOWN["log_mktcap"].copy(), KNOWN["ret_prev_20d"].copy()
    size[::11], ret[::13] = np.nan, np.nan
    size[10:14] = size[10]  # ties
    known = {**KNOWN, "log_mktcap": size, "ret_prev_20d": ret}
    seen = peer.compute(MARKET, known)["size_peer_rel_20d"]
    for t in range(N_OUT):
        rows = np.flatnonzero(UNIVERSE[:, t - N_OUT])
        frame = pd.DataFrame({"size": size[rows, t], "ret": ret[rows, t]})
        pct = (frame["size"].rank() - 1) / (frame["size"].count() - 1)
        decile = np.minimum(np.floor(10 * pct), 9)
        expected = frame["ret"] - frame.groupby(decile)["ret"].transform("mean")
        np.testing.assert_allclose(seen[rows, t], expected, rtol=1e-9, atol=1e-12)


def test_deciles_need_twenty_market_values():
    """As the transform cs_pct does."""
    for members, expected in ((20, True), (19, False)):
        market = crowd(30, 80, 1, seed=62)
        market.master.universe[:] = np.arange(30)[:, None] < members
        value = peer.compute(market, known_of(market))["size_peer_rel_20d"][0, 0]
        assert np.isfinite(value) == expected


def leaders(turnover, ret, sector=None):
    """sector_leaders_ret_5d of stocks with a constant turnover in yen, on one day."""
    n = len(turnover)
    market = crowd(n, 80, 1, seed=63)
    market.master.universe[:], market.master.s33[:] = True, 50.0
    if sector is not None:
        market.master.s33[:, -1] = sector
    market.panel.tv[:] = np.array(turnover)[:, None]
    known = known_of(market)
    known["ret_prev_5d"] = np.array(ret, dtype=np.float64)[:, None]
    return peer.compute(market, known)["sector_leaders_ret_5d"][:, 0]


def test_leaders_by_hand():
    """The three busiest others, weighted by their turnover in yen."""
    seen = leaders([4.0, 3.0, 2.0, 1.0, 9.0], [0.1, 0.2, 0.3, 0.4, 0.5])
    top = (9 * 0.5 + 4 * 0.1 + 3 * 0.2) / 16
    expected = [
        (9 * 0.5 + 3 * 0.2 + 2 * 0.3) / 14,
        (9 * 0.5 + 4 * 0.1 + 2 * 0.3) / 15,
        top,
        top,
        (4 * 0.1 + 3 * 0.2 + 2 * 0.3) / 9,
    ]
    np.testing.assert_allclose(seen, expected, rtol=1e-12)


def test_equally_busy_leaders_are_taken_by_code():
    """Five with one turnover: the first three others."""
    seen = leaders([7.0] * 5, [1.0, 2.0, 3.0, 4.0, 5.0])
    np.testing.assert_allclose(seen, [3.0, 8 / 3, 7 / 3, 2.0, 2.0], rtol=1e-12)


def test_all_three_leaders_are_required():
    """Three members of a sector have two others; a leader without a return leaves a null."""
    seen = leaders([5.0, 4.0, 3.0, 2.0, 9.0, 8.0, 7.0], [0.1] * 7, [50.0] * 4 + [1050.0] * 3)
    assert np.isfinite(seen).tolist() == [True] * 4 + [False] * 3
    seen = leaders([5.0, 4.0, 3.0, 2.0, 1.0], [np.nan, 0.1, 0.1, 0.1, 0.1])
    assert np.isfinite(seen).tolist() == [True, False, False, False, False]


def test_leaders_that_do_not_trade_weigh_nothing():
    """Weights that add up to 0 have no mean."""
    assert np.isnan(leaders([0.0] * 5, [0.1] * 5)).all()


def test_the_arrays_around_a_value_do_not_matter():
    """Bit for bit."""
    assert_bits_do_not_depend_on_the_arrays(peer, MARKET)
