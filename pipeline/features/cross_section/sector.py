"""Family sector: the stock's industry, as the exchange's index and as its members move.

A value belongs to a sector (33 or 17 of them) on a date and is given to every member of the
universe, whatever the member's own bars say. A window of an index is that of the index of the
sector on T, also where the stock was in another one earlier.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np

from pipeline.features.engine import window_kernels
from pipeline.features.engine.column_spec import AFTER_CLOSE, CLOSE, Feature, FloatArray, Scope
from pipeline.features.engine.group_statistics import group_mean, group_share, group_std, groups_of
from pipeline.market.panel.benchmark_levels import SECTOR_INDEX
from pipeline.market.panel.market_data import Market

SCOPE: Scope = "derived"

MIN_MEMBERS = 5
SAME_AS_MEAN = 1e-9  # a price this close to its own mean does not stand above it
SOON = 5  # columns within which a report is near

_YEAR = 252.0  # trading days by which a variance is annualised
_HORIZONS = (1, 5, 20)

_TOO_FEW = "fewer than 5 members"

_feature = partial(Feature, family="sector", available=AFTER_CLOSE, dtype="float32")
_of_index = partial(
    _feature,
    inputs="eq-master.S33;idx-bars-daily.Code,C",
    unit="ratio",
    null_rule="S33 null or sector index missing",
    check="hand",
)
_of_members = partial(_feature, inputs=f"eq-master.S33;{CLOSE}", null_rule=_TOO_FEW)

FEATURES: tuple[Feature, ...] = (
    _of_index(
        name="sector_idx_ret_1d",
        formula=(
            "s_T/s_(T-1)-1, s = close of the TOPIX-33 sector index of the stock's S33 on T "
            "(codes 0040..0060, map in features.md). Cap weighted, official"
        ),
        lookback=1,
    ),
    _of_index(
        name="sector_idx_ret_5d",
        formula="s_T/s_(T-5)-1 of the index mapped by S33 of T",
        lookback=5,
    ),
    _of_index(
        name="sector_idx_ret_20d",
        formula="s_T/s_(T-20)-1 of the index mapped by S33 of T.",
        lookback=20,
    ),
    _of_index(
        name="sector_idx_ema_gap_5_20",
        formula="ema_5[s]_T/ema_20[s]_T-1, finite-window EMA (L=42,147).",
        lookback=146,
        check="pandas ewm on the last 147 rows",
    ),
    _of_index(
        name="sector_idx_vol_20",
        formula="sqrt(252)*std(ln(s_u/s_(u-1)), u in [T-19..T]), ddof=1.",
        lookback=20,
        unit="annualised vol",
        check="pandas",
    ),
    _of_members(
        name="sector_breadth_up_1d",
        formula=(
            "share of universe members with the same S33 on T and non-null r_T that have r_T>0; "
            "at least 5 members"
        ),
        lookback=1,
        unit="share",
        check="pandas groupby mean",
    ),
    _of_members(
        name="sector_breadth_sma20",
        formula=(
            "share of universe members of the S33 with non-null price_to_sma_20 that have "
            "price_to_sma_20>0; at least 5"
        ),
        lookback=19,
        unit="share",
        check="pandas groupby mean",
    ),
    _of_members(
        name="sector_dispersion_1d",
        formula=(
            "cross-sectional std (ddof=1) of r_T over universe members of the S33, at least 5"
        ),
        lookback=1,
        unit="ratio",
        check="pandas groupby std",
    ),
    _of_members(
        name="sec17_ret_20d",
        formula=(
            "equal-weighted mean of ret_prev_20d over universe members with the same S17 "
            "on T, at least 5."
        ),
        inputs=f"eq-master.S17;{CLOSE}",
        lookback=20,
        unit="ratio",
        null_rule=f"S17 null or {_TOO_FEW}",
        check="pandas groupby mean",
    ),
    _feature(
        name="sector_earn_density_5d",
        formula=(
            "share of universe members of the S33 whose scheduled earnings date known at T lies "
            "on columns T+1..T+5; at least 5 members"
        ),
        inputs="eq-master.S33;fin-earnings-date.PubDate,SchDate;mkt-cal.Date",
        lookback=120,
        available=(
            "delivered 10:05 JST, i.e. after the 08:00 cutoff; "
            "first row = first trading day strictly after PubDate"
        ),
        unit="share",
        null_rule=_TOO_FEW,
        check="hand",
    ),
)


def compute(market: Market, known: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
    """All features of the family, name -> (codes, n_out)."""
    wanted = np.s_[:, -market.panel.n_out :]
    sector33 = market.master.s33[wanted]
    return {
        **{
            name: _of_own_sector(values, sector33) for name, values in _index_values(market).items()
        },
        **_member_values(market, known),
    }


def _index_values(market: Market) -> dict[str, FloatArray]:
    """Name -> (33, n_out), in the order of SECTOR_INDEX."""
    n_out = market.panel.n_out
    s = market.indices.sectors
    now = window_kernels.lagged(s, 0, n_out)
    result = {
        f"sector_idx_ret_{days}d": window_kernels.simple_change(
            now, window_kernels.lagged(s, days, n_out)
        )
        for days in _HORIZONS
    }
    gap = (
        window_kernels.ratio(window_kernels.ema(s, 5, n_out), window_kernels.ema(s, 20, n_out))
        - 1.0
    )
    result["sector_idx_ema_gap_5_20"] = gap
    g = window_kernels.log_change(s, window_kernels.lagged(s, 1, s.shape[1]))
    result["sector_idx_vol_20"] = np.sqrt(_YEAR) * window_kernels.window_std(g, 20, 20, n_out)
    return result


def _of_own_sector(values: FloatArray, sector33: FloatArray) -> FloatArray:
    """Values of (33, n_out) for the sector numbers (codes, n_out); NaN where there is none."""
    numbers = np.array(sorted(SECTOR_INDEX), dtype=np.float64)
    at = np.minimum(np.searchsorted(numbers, sector33), numbers.size - 1)
    picked = values[at, np.arange(values.shape[1])]
    return np.where(numbers[at] == sector33, picked, np.nan)


def _member_values(market: Market, known: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
    """Name -> (codes, n_out)."""
    wanted = np.s_[:, -market.panel.n_out :]
    universe = market.master.universe[wanted]
    sector33 = groups_of(market.master.s33[wanted], universe)
    sector17 = groups_of(market.master.s17[wanted], universe)
    r, gap = known["ret_prev_1d"], known["price_to_sma_20"]
    near = market.schedule.days_to_next <= SOON
    rising = group_share(r > 0.0, ~np.isnan(r), sector33, MIN_MEMBERS)
    above = group_share(gap > SAME_AS_MEAN, ~np.isnan(gap), sector33, MIN_MEMBERS)
    reporting = group_share(near, universe, sector33, MIN_MEMBERS)
    return {
        "sector_breadth_up_1d": sector33.spread(rising),
        "sector_breadth_sma20": sector33.spread(above),
        "sector_dispersion_1d": sector33.spread(group_std(r, sector33, MIN_MEMBERS)),
        "sec17_ret_20d": sector17.spread(group_mean(known["ret_prev_20d"], sector17, MIN_MEMBERS)),
        "sector_earn_density_5d": sector33.spread(reporting),
    }
