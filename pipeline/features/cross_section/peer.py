"""Family peer: the stock against others like it, by co-movement, by size and within its sector."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray

from pipeline.features.cross_section.peer_estimation import peer_mean, peer_table
from pipeline.features.engine import window_kernels
from pipeline.features.engine.column_spec import (
    AFTER_CLOSE,
    CLOSE,
    PRICE_AND_STATEMENT,
    BoolArray,
    Feature,
    FloatArray,
    Scope,
)
from pipeline.features.engine.group_statistics import (
    NO_GROUP,
    Groups,
    group_mean,
    group_pct,
    groups_of,
    whole,
)
from pipeline.market.jit import jit
from pipeline.market.panel.market_data import Market

SCOPE: Scope = "derived"

_MIN_PEERS = 5
_MIN_RANKED = 20  # as the transform cs_pct
_DECILES = 10
_LEADERS = 3
_TURNOVER_WINDOW, _TURNOVER_MIN_COUNT = 60, 20  # of adv60_log

_feature = partial(
    Feature,
    family="peer",
    inputs=f"{CLOSE};mkt-cal.Date",
    lookback=131,
    available=AFTER_CLOSE,
    dtype="float32",
    unit="ratio",
)
_of_peers = partial(_feature, null_rule="fewer than 5 peers with a value", check="hand")
_of_estimate = partial(
    _feature, null_rule="stock not in the estimation set", check="numpy corrcoef"
)

FEATURES: tuple[Feature, ...] = (
    _of_estimate(
        name="peer_corr_mean_10",
        formula=(
            "Peer set: estimation date E = last trading day of an ISO week; used in rows "
            "from the next trading day up to and including the next E. y_u = r_u minus "
            "the equal-weighted universe mean of r_u; stocks of the universe on E with "
            "120 non-null r in [E-119..E]; Pearson correlation; peers = 10 highest "
            "correlations excluding self, ties by ascending Code. Value: mean of those 10"
            " correlations."
        ),
        unit="correlation",
    ),
    _of_estimate(
        name="peer_degree_0p5",
        formula=(
            "number of stocks with correlation >= 0.5 at the estimation date E of "
            "peer_corr_mean_10, excluding self."
        ),
        dtype="int16",
        unit="count",
    ),
    _of_peers(
        name="peer_ret_1d",
        formula=(
            "mean of ret_prev_1d_T over the 10 peers of peer_corr_mean_10, at least 5 non-null"
        ),
    ),
    _of_peers(
        name="peer_rel_5d",
        formula=("ret_prev_5d_T - mean of ret_prev_5d_T over the 10 peers, at least 5 non-null."),
    ),
    _feature(
        name="size_peer_rel_20d",
        formula=(
            "ret_prev_20d - equal-weighted mean of ret_prev_20d over universe stocks in the same "
            "decile of log_mktcap on T (decile = min(9,floor(10*cs_pct)))"
        ),
        inputs=f"{CLOSE};fin-summary.ShOutFY,TrShFY",
        lookback=200,
        available=PRICE_AND_STATEMENT,
        null_rule="mktcap null",
        check="hand",
    ),
    _feature(
        name="sector_leaders_ret_5d",
        formula=(
            "adv60-weighted mean of ret_prev_5d over the 3 members of the same S33 with the "
            "largest adv60_log on T, excluding self; ties by ascending Code; all 3 required"
        ),
        inputs="eq-bars-daily.Va,Vo,C,AdjFactor;eq-master.S33",
        lookback=60,
        null_rule="fewer than 4 members",
        check="hand",
    ),
)


def compute(market: Market, known: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
    """All features of the family, name -> (codes, n_out)."""
    n_out = market.panel.n_out
    universe = market.master.universe[:, -n_out:]
    table = peer_table(market.returns, market.master.universe, market.panel.sessions, n_out)
    return {
        "peer_corr_mean_10": table.on_columns(table.mean_corr),
        "peer_degree_0p5": table.on_columns(table.degree),
        "peer_ret_1d": peer_mean(known["ret_prev_1d"], table, _MIN_PEERS),
        "peer_rel_5d": known["ret_prev_5d"] - peer_mean(known["ret_prev_5d"], table, _MIN_PEERS),
        "size_peer_rel_20d": _against_size_decile(
            known["ret_prev_20d"], known["log_mktcap"], universe
        ),
        "sector_leaders_ret_5d": _sector_leaders_return(market, known, universe),
    }


def _against_size_decile(ret: FloatArray, size: FloatArray, universe: BoolArray) -> FloatArray:
    """Returns less the mean of the stock's decile by size, (codes, n_out)."""
    pct = group_pct(size, whole(universe), _MIN_RANKED)
    decile = np.minimum(np.floor(_DECILES * pct), _DECILES - 1)
    number = np.where(np.isnan(decile), NO_GROUP, decile).astype(np.int64)
    deciles = Groups(number, _DECILES)
    excess: FloatArray = ret - deciles.spread(group_mean(ret, deciles, 1))
    return excess


def _sector_leaders_return(
    market: Market, known: Mapping[str, FloatArray], universe: BoolArray
) -> FloatArray:
    """Turnover-weighted return of the busiest others of the sector, (codes, n_out)."""
    panel, n_out = market.panel, market.panel.n_out
    sectors = groups_of(market.master.s33[:, -n_out:], universe)
    turnover = window_kernels.window_mean(panel.tv, _TURNOVER_WINDOW, _TURNOVER_MIN_COUNT, n_out)
    # one more than wanted: a leader's own value leaves it out
    leaders = _leaders(known["adv60_log"], sectors.number, sectors.count, _LEADERS + 1)
    return _leaders_mean(known["ret_prev_5d"], panel.pick(turnover), leaders, sectors.number)


@jit
def _leaders(
    x: FloatArray, number: NDArray[np.int64], n_groups: int, n_leaders: int
) -> NDArray[np.int64]:
    """Codes of the largest values of each group, (columns, groups, n_leaders), -1 = none.

    Descending, ties by ascending code. ``x`` and ``number`` are (codes, columns).
    """
    leaders = np.full((x.shape[1], n_groups, n_leaders), -1)
    for i in range(x.shape[0]):
        for t in range(x.shape[1]):
            if number[i, t] < 0 or np.isnan(x[i, t]):
                continue
            top = leaders[t, number[i, t]]
            place = n_leaders
            while place > 0 and (top[place - 1] < 0 or x[top[place - 1], t] < x[i, t]):
                if place < n_leaders:
                    top[place] = top[place - 1]
                place -= 1
            if place < n_leaders:
                top[place] = i
    return leaders


@jit
def _leaders_mean(
    x: FloatArray, weight: FloatArray, leaders: NDArray[np.int64], number: NDArray[np.int64]
) -> FloatArray:
    """Weighted mean of ``x`` over the first leaders of each code's group other than itself.

    One leader less than given is taken. Null where there are fewer, where a leader's value is
    null, and where the weights add up to 0; (codes, columns).
    """
    wanted = leaders.shape[2] - 1
    result = np.full(x.shape, np.nan)
    for i in range(x.shape[0]):
        for t in range(x.shape[1]):
            if number[i, t] < 0:
                continue
            total, weights, count = 0.0, 0.0, 0
            for place in range(leaders.shape[2]):
                leader = leaders[t, number[i, t], place]
                if leader >= 0 and leader != i and count < wanted:
                    total += weight[leader, t] * x[leader, t]
                    weights += weight[leader, t]
                    count += 1
            if count == wanted and weights != 0.0:
                result[i, t] = total / weights
    return result
