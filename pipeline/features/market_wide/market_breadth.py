"""Family market_breadth: how the universe moves as a whole, one value per date.

Who counts on a date is who belongs to its universe, not who has a value in a window before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np

from pipeline.features.cross_section.sector import SAME_AS_MEAN, SOON
from pipeline.features.engine import window_kernels
from pipeline.features.engine.column_spec import (
    AFTER_CLOSE,
    BARS,
    CLOSE,
    BoolArray,
    Feature,
    FloatArray,
    Scope,
)
from pipeline.features.engine.group_statistics import group_share, group_std, whole
from pipeline.features.engine.window_kernels import ZERO_DEVIATION
from pipeline.market.jit import jit
from pipeline.market.panel.market_data import Market

SCOPE: Scope = "derived"

_TORAKU_WINDOW = 25
_YEAR_WINDOW, _YEAR_MIN_COUNT = 250, 125
_CORR_WINDOW, _CORR_MIN_STOCKS = 60, 20
_CLIP = 0.5

_feature = partial(
    Feature,
    family="market_breadth",
    inputs=CLOSE,
    available=AFTER_CLOSE,
    dtype="float32",
    unit="share",
    null_rule="empty universe",
    check="pandas",
)

FEATURES: tuple[Feature, ...] = (
    _feature(
        name="mkt_up_share_1d",
        formula="share of universe stocks with non-null r_T that have r_T>0",
        lookback=1,
    ),
    _feature(
        name="toraku_ratio_25d",
        formula=(
            "100*sum(A_u)/sum(D_u), u in [T-24..T], A,D = universe counts of r_u>0 and r_u<0; "
            "2020-10-01 contributes 0 to both; null if sum(D)=0"
        ),
        lookback=25,
        unit="percent",
        null_rule="fewer than 25 columns",
        check="hand",
    ),
    _feature(
        name="mkt_above_sma20_share",
        formula=(
            "share of universe stocks with non-null price_to_sma_20 that have price_to_sma_20>0"
        ),
        lookback=19,
    ),
    _feature(
        name="mkt_new_high_minus_low_250",
        formula=(
            "(a-b)/n over universe stocks with at least 125 traded days: "
            "a counts h_T = max h over [T-249..T], b counts l_T = min l over the same window"
        ),
        inputs=BARS,
        lookback=249,
        check="hand",
    ),
    _feature(
        name="mkt_dispersion_1d",
        formula="cross-sectional std (ddof=1) of r_T over the universe, r clipped to [-0.5,0.5]",
        lookback=1,
        unit="ratio",
        check="numpy std",
    ),
    _feature(
        name="mkt_avg_corr_60",
        formula=(
            "var_60[b]/mean_i(var_60[r_i]), b_u = equal-weighted mean of r_u over the fixed set of "
            "universe stocks of T with 60 non-null r; ddof=1"
        ),
        lookback=60,
        null_rule="fewer than 20 stocks",
        check="hand",
    ),
    _feature(
        name="mkt_earn_density_5d",
        formula=(
            "share of universe stocks whose scheduled earnings date known at T "
            "lies on columns T+1..T+5"
        ),
        inputs="fin-earnings-date.PubDate,SchDate;mkt-cal.Date",
        lookback=120,
        available=(
            "delivered 10:05 JST, i.e. after the 08:00 cutoff; "
            "first row = first trading day strictly after PubDate"
        ),
        check="hand",
    ),
    _feature(
        name="short_ratio_market",
        formula="sum over all S33 of (R+N) / sum of (S+R+N) on T.",
        inputs="mkt-short-ratio.Date,S33,SellExShortVa,ShrtWithResVa,ShrtNoResVa",
        lookback=0,
        null_rule="no record on T",
        check="hand",
    ),
)


def compute(market: Market, known: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
    """All features of the family, name -> (n_out,)."""
    n_out = market.panel.n_out
    universe = market.master.universe[:, -n_out:]
    members = whole(universe)
    r, gap = known["ret_prev_1d"], known["price_to_sma_20"]
    near = market.schedule.days_to_next <= SOON
    return {
        "mkt_up_share_1d": group_share(r > 0.0, ~np.isnan(r), members, 1)[0],
        "toraku_ratio_25d": _toraku(market.returns, market.master.universe, n_out),
        "mkt_above_sma20_share": group_share(gap > SAME_AS_MEAN, ~np.isnan(gap), members, 1)[0],
        "mkt_new_high_minus_low_250": _new_highs_minus_lows(market, universe),
        "mkt_dispersion_1d": group_std(np.clip(r, -_CLIP, _CLIP), members, 2)[0],
        "mkt_avg_corr_60": _average_correlation(market.returns, universe),
        "mkt_earn_density_5d": group_share(near, universe, members, 1)[0],
        "short_ratio_market": window_kernels.lagged(
            market.short_ratio.market_share[np.newaxis], 0, n_out
        )[0],
    }


def _toraku(returns: FloatArray, universe: BoolArray, n_out: int) -> FloatArray:
    """Rises per 100 falls over 25 columns, each counted in the universe of its own date, (n_out,).

    Null where one of them has no return at all, as the first column of the data.
    """
    known = (universe & ~np.isnan(returns)).any(axis=0)

    def total(condition: BoolArray) -> FloatArray:
        count = np.where(known, (universe & condition).sum(axis=0, dtype=np.float64), np.nan)
        return window_kernels.window_sum(count[np.newaxis], _TORAKU_WINDOW, _TORAKU_WINDOW, n_out)

    ratio: FloatArray = window_kernels.ratio(total(returns > 0.0), total(returns < 0.0))[0]
    return 100.0 * ratio


def _new_highs_minus_lows(market: Market, universe: BoolArray) -> FloatArray:
    """Share of stocks at their high of 250 columns less that at their low, (n_out,)."""
    panel, n_out = market.panel, market.panel.n_out
    highest = window_kernels.window_max(panel.h, _YEAR_WINDOW, _YEAR_MIN_COUNT, n_out)
    lowest = window_kernels.window_min(panel.l, _YEAR_WINDOW, _YEAR_MIN_COUNT, n_out)
    at_high = window_kernels.same_price(window_kernels.lagged(panel.h, 0, n_out), highest)
    at_low = window_kernels.same_price(window_kernels.lagged(panel.l, 0, n_out), lowest)
    score = np.where(np.isnan(highest), np.nan, at_high.astype(np.float64) - at_low)
    score = np.where(universe, panel.pick(score), np.nan)
    counted = (~np.isnan(score)).sum(axis=0, dtype=np.float64)
    return window_kernels.ratio(
        np.nansum(score, axis=0), counted
    )  # whole numbers, exact in any order


def _average_correlation(returns: FloatArray, universe: BoolArray) -> FloatArray:
    """Variance of the equal-weighted mean over the mean variance, (n_out,).

    Args:
        returns: (codes, columns).
        universe: (codes, n_out) of the wanted columns.
    """
    n_out = universe.shape[1]
    padded = window_kernels.lagged(returns, 0, n_out + _CORR_WINDOW - 1)
    deviation = window_kernels.window_std(padded, _CORR_WINDOW, _CORR_WINDOW, n_out)
    deviation = np.where(universe, deviation, np.nan)
    variance, count = _mean_of_squares(deviation)
    basket = _basket_std(np.ascontiguousarray(padded.T), ~np.isnan(deviation.T), _CORR_WINDOW)
    return np.where(count >= _CORR_MIN_STOCKS, window_kernels.ratio(basket**2, variance), np.nan)


@jit
def _mean_of_squares(x: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Mean over the codes and number of the non-null terms of (codes, columns)."""
    total, count = np.zeros(x.shape[1]), np.zeros(x.shape[1])
    for i in range(x.shape[0]):
        for t in range(x.shape[1]):
            if not np.isnan(x[i, t]):
                total[t] += x[i, t] * x[i, t]
                count[t] += 1.0
    return total / count, count


@jit
def _basket_std(returns: FloatArray, member: BoolArray, window: int) -> FloatArray:
    """Standard deviation (ddof 1) over each window of the mean return of a fixed set, (n_out,).

    Args:
        returns: (n_out + window - 1, codes); without nulls where a member's window is.
        member: (n_out, codes) the set of each window.
        window: number of columns.
    """
    n_out, n_codes = member.shape
    result = np.empty(n_out)
    for t in range(n_out):
        basket = np.zeros(window)
        count = 0.0
        for i in range(n_codes):
            count += 1.0 if member[t, i] else 0.0
        for k in range(window):
            for i in range(n_codes):
                basket[k] += returns[t + k, i] if member[t, i] else 0.0
            basket[k] /= count
        mean = 0.0
        for k in range(window):
            mean += basket[k]
        mean /= window
        squares, largest = 0.0, 0.0
        for k in range(window):
            squares += (basket[k] - mean) ** 2
            largest = max(largest, abs(basket[k]))
        std = np.sqrt(squares / (window - 1.0))
        result[t] = 0.0 if std <= ZERO_DEVIATION * largest else std
    return result
