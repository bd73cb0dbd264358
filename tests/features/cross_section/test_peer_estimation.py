"""Weekly estimation of peers."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest

from pipeline.features.cross_section.peer_estimation import (
    NO_PEER,
    estimation_columns,
    peer_mean,
    peer_table,
)
from tests.features.crowd import weekdays

COLUMNS, N_OUT = 150, 12


def factor_returns(n_codes, n_columns=COLUMNS, seed=0):
    """Returns that share a market and one of four themes."""
    rng = np.random.default_rng(seed)
    themes = rng.normal(0.0, 0.01, (4, n_columns))[np.arange(n_codes) % 4]
    own = rng.normal(0.0, 0.01, (n_codes, n_columns))
    return rng.normal(0.0, 0.01, n_columns) + themes + own


def by_numpy(returns, universe, end):
    """Estimation set, peers, mean correlation and degree at one column, from corrcoef."""
    window = slice(end - 119, end + 1)
    mean = np.nanmean(np.where(universe[:, window], returns[:, window], np.nan), axis=0)
    y = returns[:, window] - mean
    members = np.flatnonzero(universe[:, end] & ~np.isnan(y).any(axis=1))
    corr = np.corrcoef(y[members])
    np.fill_diagonal(corr, -2.0)
    order = np.argsort(-corr, axis=1, kind="stable")[:, :10]
    best = np.take_along_axis(corr, order, axis=1)
    return members, members[order], best.mean(axis=1), (corr >= 0.5).sum(axis=1)


@pytest.mark.parametrize("n_codes", [11, 60, 301])
def test_against_corrcoef(n_codes):
    """Every stock and every week, with members that come and go and unknown returns."""
    rng = np.random.default_rng(n_codes)
    returns = factor_returns(n_codes)
    universe = np.ones(returns.shape, dtype=bool)
    if n_codes > 11:
        returns[rng.random(returns.shape) < 0.0002] = np.nan
        universe[5, 100:], universe[7, :140], universe[9] = False, False, False
    table = peer_table(returns, universe, weekdays(COLUMNS), N_OUT)
    ends = np.unique(estimation_columns(weekdays(COLUMNS))[-N_OUT:])
    assert len(table.peers) == ends.size == 3
    for row, end in enumerate(ends):
        members, peers, mean_corr, degree = by_numpy(returns, universe, end)
        np.testing.assert_array_equal(table.peers[row, members], peers)
        np.testing.assert_allclose(table.mean_corr[row, members], mean_corr, rtol=1e-12)
        np.testing.assert_array_equal(table.degree[row, members], degree)
        others = np.setdiff1d(np.arange(n_codes), members)
        assert (table.peers[row, others] == NO_PEER).all()
        assert np.isnan(table.mean_corr[row, others]).all()
        assert np.isnan(table.degree[row, others]).all()


def test_the_estimation_column_is_the_last_of_an_earlier_week():
    """ISO weeks by the calendar: Golden Week leaves its week without a column, years do not."""
    days = np.arange(np.datetime64("2019-04-22"), np.datetime64("2019-05-18"))
    closed = np.arange(np.datetime64("2019-04-27"), np.datetime64("2019-05-07"))
    sessions = np.array([day for day in days if np.is_busday(day) and day not in closed])
    expected = []
    for day in sessions.astype(object):
        weeks = [other.isocalendar()[:2] for other in sessions.astype(object)]
        earlier = [k for k, week in enumerate(weeks) if week < day.isocalendar()[:2]]
        expected.append(earlier[-1] if earlier else -1)
    np.testing.assert_array_equal(estimation_columns(sessions), expected)
    assert sessions[estimation_columns(sessions)[-1]] == np.datetime64("2019-05-10")
    assert sessions[estimation_columns(sessions)[5]] == np.datetime64("2019-04-26")
    year_end = np.array(["2020-12-30", "2021-01-04", "2021-01-05"], "datetime64[D]")
    np.testing.assert_array_equal(estimation_columns(year_end), [-1, 0, 0])


def test_the_calendar_is_isos():
    """Weeks begin on Monday, whatever the first session of the panel."""
    sessions = weekdays(600)[3:]
    weeks = [day.isocalendar()[:2] for day in sessions.astype(object)]
    starts = [k for k in range(1, len(weeks)) if weeks[k] != weeks[k - 1]]
    last = estimation_columns(sessions)
    assert [k for k in range(1, len(weeks)) if last[k] != last[k - 1]] == starts
    assert all(sessions[k].astype(object).weekday() == 0 for k in starts)
    assert isinstance(sessions[0].astype(object), dt.date)


def test_the_estimate_of_a_week_holds_until_the_next_one_ends():
    """On the last column of a week the older estimate still holds."""
    sessions = weekdays(COLUMNS)
    table = peer_table(factor_returns(12), np.ones((12, COLUMNS), dtype=bool), sessions, N_OUT)
    weekday = [day.weekday() for day in sessions[-N_OUT:].astype(object)]
    assert [k for k in range(1, N_OUT) if table.estimate[k] != table.estimate[k - 1]] == [
        k for k in range(1, N_OUT) if weekday[k] == 0
    ]
    spread = table.on_columns(table.mean_corr)
    assert spread.shape == (12, N_OUT)
    np.testing.assert_array_equal(spread[:, 0], table.mean_corr[0])
    np.testing.assert_array_equal(spread[:, -1], table.mean_corr[-1])


def test_equal_correlations_go_to_the_lower_code():
    """Twenty stocks with one and the same series: the ten lowest others, correlated 1."""
    returns = factor_returns(60)
    twins = np.arange(3, 60, 3)[-20:]
    returns[twins] = returns[twins[0]]
    table = peer_table(returns, np.ones(returns.shape, dtype=bool), weekdays(COLUMNS), 1)
    for stock in twins:
        others = twins[twins != stock]
        np.testing.assert_array_equal(table.peers[0, stock], others[:10])
    np.testing.assert_allclose(table.mean_corr[0, twins], 1.0, rtol=1e-12)
    assert (table.mean_corr[0, twins] <= 1.0).all()
    assert (table.degree[0, twins] >= twins.size - 1).all()


def test_ten_stocks_have_no_ten_peers():
    """Eleven have; a stock without all 120 returns is not one of them."""
    sessions = weekdays(COLUMNS)
    for n, missing, expected in ((11, 0, True), (11, 1, False), (10, 0, False)):
        returns = factor_returns(n)
        returns[:missing, -20] = np.nan
        table = peer_table(returns, np.ones(returns.shape, dtype=bool), sessions, 1)
        assert np.isfinite(table.mean_corr).any() == expected
        assert np.isfinite(table.degree).any() == expected


def test_a_series_that_follows_the_market_exactly_has_no_correlation():
    """Without deviation from the mean of the universe there is nothing to correlate."""
    returns = factor_returns(40)
    universe = np.ones(returns.shape, dtype=bool)
    universe[0, :-20] = False
    returns[0, :-20] = returns[1:, :-20].mean(axis=0) + 0.001
    returns[0, -20:] = returns[1:, -20:].mean(axis=0) + 0.001 * 40 / 39
    table = peer_table(returns, universe, weekdays(COLUMNS), 1)
    assert np.isnan(table.mean_corr[0, 0])
    assert np.isfinite(table.mean_corr[0, 1:]).all()


def test_without_a_full_window_there_are_no_peers():
    """The 120th column is the first that can be an estimation column."""
    sessions = weekdays(130)
    returns = factor_returns(12, 130)
    table = peer_table(returns, np.ones((12, 130), dtype=bool), sessions, 20)
    ends = estimation_columns(sessions)[-20:]
    known = np.isfinite(table.on_columns(table.degree)).all(axis=0)
    np.testing.assert_array_equal(known, ends >= 119)
    assert known.any()
    assert not known.all()
    values = np.ones((12, 20))
    np.testing.assert_array_equal(np.isfinite(peer_mean(values, table, 5)).all(axis=0), known)


def test_who_else_is_there_does_not_matter():
    """Bit for bit: stocks outside the universe, history, and the wanted columns of other weeks."""
    returns = factor_returns(300)
    universe = np.ones(returns.shape, dtype=bool)
    universe[::3] = False
    whole = peer_table(returns, universe, weekdays(COLUMNS), N_OUT)
    members = np.flatnonzero(universe[:, -1])
    for earlier, n_out in ((0, N_OUT), (10, 4)):
        seen = peer_table(
            returns[members, earlier:],
            universe[members, earlier:],
            weekdays(COLUMNS)[earlier:],
            n_out,
        )
        for name in ("mean_corr", "degree"):
            np.testing.assert_array_equal(
                seen.on_columns(getattr(seen, name)),
                whole.on_columns(getattr(whole, name))[members, -n_out:],
            )
        np.testing.assert_array_equal(members[seen.peers[-1]], whole.peers[-1, members])


def test_mean_over_the_peers_that_have_a_value():
    """Half of ten is enough, four are not; the peers of the estimate of the day count."""
    returns = factor_returns(40)
    table = peer_table(returns, np.ones(returns.shape, dtype=bool), weekdays(COLUMNS), N_OUT)
    values = np.random.default_rng(1).normal(size=(40, N_OUT))
    values[np.random.default_rng(2).random(values.shape) < 0.5] = np.nan
    seen = peer_mean(values, table, 5)
    counts = set()
    for stock in range(40):
        for t in range(N_OUT):
            own = values[table.peers[table.estimate[t], stock], t]
            own = own[~np.isnan(own)]
            counts.add(own.size)
            expected = own.mean() if own.size >= 5 else np.nan
            np.testing.assert_allclose(seen[stock, t], expected, rtol=1e-12)
    assert {4, 5} <= counts
