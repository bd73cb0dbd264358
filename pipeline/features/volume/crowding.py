"""Family crowding: who sits in the stock, at what price, and how full it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray

from pipeline.features.engine import window_kernels
from pipeline.features.engine.column_spec import CLOSE, Feature, FloatArray, Scope
from pipeline.features.volume.breakdown import margin_buy_share_20d, of_lines
from pipeline.market.jit import jit
from pipeline.market.panel.market_data import Market
from pipeline.market.panel.price_panel import Panel
from pipeline.market.panel.share_basis import restated

SCOPE: Scope = "derived"

_COST_WINDOW, _COST_MIN_RECORDS = 120, 60
_MIN_RANKED = 20  # as the transform _cs_pct
_MIN_AVAILABLE = 3

_MARGIN = "mkt-margin-int.PubDate,Date,LongVol,ShrtVol"
_BREAKDOWN = (
    "mkt-breakdown.LongSellVa,ShrtNoMrgnVa,MrgnSellNewVa,MrgnSellCloseVa,"
    "LongBuyVa,MrgnBuyNewVa,MrgnBuyCloseVa"
)
_LATEST = "latest of its inputs (breakdown T 18:00 JST)"

_feature = partial(
    Feature, family="crowding", lookback=_COST_WINDOW - 1, dtype="float32", check="hand"
)
_cost_gap = partial(
    _feature,
    available="T 18:00 JST; own value of T allowed in row T",
    unit="ratio",
    null_rule=f"fewer than {_COST_MIN_RECORDS} records",
)
_pain = partial(_feature, unit="days of volume", null_rule="either input null")
_score = partial(_feature, available=_LATEST, unit="score 0-1", null_rule="fewer than 3 inputs")


def _cost(side: str) -> str:
    return (
        f"p_T/c-1, c = sum({side}Va_u)/sum({side}Vo_u/product of AdjFactor over (u,T]) over u in "
        f"[T-{_COST_WINDOW - 1}..T]"
    )


FEATURES: tuple[Feature, ...] = (
    _cost_gap(
        name="margin_cost_gap_120d",
        formula=(
            f"{_cost('MrgnBuyNew')} (about the six-month margin term), at least "
            f"{_COST_MIN_RECORDS} records; null if no volume"
        ),
        inputs=f"mkt-breakdown.MrgnBuyNewVa,MrgnBuyNewVo;{CLOSE}",
    ),
    _cost_gap(
        name="short_cost_gap_120d",
        formula=(
            f"{_cost('MrgnSellNew')}, at least {_COST_MIN_RECORDS} records; null if no volume. "
            "Positive = short sellers under water"
        ),
        inputs=f"mkt-breakdown.MrgnSellNewVa,MrgnSellNewVo;{CLOSE}",
    ),
    _pain(
        name="margin_pain",
        formula="max(0,-margin_cost_gap_120d)*margin_long_to_adv20.",
        inputs=f"mkt-breakdown.MrgnBuyNewVa,MrgnBuyNewVo;{_MARGIN};{CLOSE}",
        available="as margin_long_to_adv20 and breakdown of T 18:00 JST",
    ),
    _pain(
        name="short_pain",
        formula="max(0,short_cost_gap_120d)*margin_short_to_adv20",
        inputs=f"mkt-breakdown.MrgnSellNewVa,MrgnSellNewVo;{_MARGIN};{CLOSE}",
        available="as margin_short_to_adv20 and breakdown of T 18:00 JST",
    ),
    _score(
        name="crowding_score",
        formula=(
            "mean of the available cs_pct on T (definition of the cs_pct transform) of "
            "margin_long_to_adv20, mktcap_turnover_20d, mean_20[bd_margin_buy_share] (at least "
            "10), ret_prev_60d; at least 3 available"
        ),
        inputs=(
            f"{_MARGIN};{_BREAKDOWN};eq-bars-daily.Va,Vo,C,AdjFactor;fin-summary.ShOutFY,TrShFY"
        ),
        lookback=200,
    ),
    _score(
        name="squeeze_score",
        formula=(
            "mean of the available cs_pct on T of ssp_ratio_sum, margin_short_to_adv20, "
            "bd_short_share_20d, ret_prev_5d; at least 3 available."
        ),
        inputs=(
            "mkt-short-sale.DiscDate,CalcDate,SSName,DICName,FundName,ShrtPosToSO,ShrtPosShares;"
            f"{_MARGIN};{_BREAKDOWN};{CLOSE}"
        ),
        lookback=250,
    ),
)


def compute(market: Market, known: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
    """All columns of the family, (codes, n_out) each.

    Args:
        market: the whole market.
        known: columns of other families as stored, (codes, n_out).
    """
    long_gap, short_gap = _cost_gaps(market)
    universe = market.master.universe[:, -market.panel.n_out :]
    margin_buys = np.where(universe, margin_buy_share_20d(market), np.nan)
    crowding = (
        known["margin_long_to_adv20"],
        known["mktcap_turnover_20d"],
        margin_buys,
        known["ret_prev_60d"],
    )
    squeeze = (
        known["ssp_ratio_sum"],
        known["margin_short_to_adv20"],
        known["bd_short_share_20d"],
        known["ret_prev_5d"],
    )
    return {
        "margin_cost_gap_120d": long_gap,
        "short_cost_gap_120d": short_gap,
        "margin_pain": _loss(-long_gap) * known["margin_long_to_adv20"],
        "short_pain": _loss(short_gap) * known["margin_short_to_adv20"],
        "crowding_score": _mean_percentile(crowding),
        "squeeze_score": _mean_percentile(squeeze),
    }


def _loss(gap: FloatArray) -> FloatArray:
    """max(0, gap); the sum makes one zero of the two that ``maximum`` may return."""
    return np.maximum(0.0, gap) + 0.0


def _cost_gaps(market: Market) -> tuple[FloatArray, FloatArray]:
    """Columns margin_cost_gap_120d and short_cost_gap_120d, (codes, n_out)."""
    panel, records = market.panel, market.breakdown
    price = window_kernels.lagged(panel.p, 0, panel.n_out)
    factor = _factor_to_basis(panel, records.margin_buy_new.shape[1])

    def gap(amount: FloatArray, shares: FloatArray) -> FloatArray:
        """The price against what a share cost on average in the orders of 120 columns."""
        complete = ~np.isnan(amount + shares)
        paid = of_lines(panel, np.where(complete, amount, np.nan))
        bought = of_lines(panel, np.where(complete, shares, np.nan)) / factor
        cost = window_kernels.ratio(_sum(paid, panel.n_out), _sum(bought, panel.n_out))
        return panel.pick(window_kernels.simple_change(price, cost))

    return (
        gap(records.margin_buy_new, records.margin_buy_new_shares),
        gap(records.margin_sell_new, records.margin_sell_new_shares),
    )


def _sum(values: FloatArray, n_out: int) -> FloatArray:
    return window_kernels.window_sum(values, _COST_WINDOW, _COST_MIN_RECORDS, n_out)


def _factor_to_basis(panel: Panel, width: int) -> FloatArray:
    """K(u, T] of the last ``width`` columns u, (lines, width); one for all T a line answers for."""
    first_wanted = panel.n_columns - panel.n_out
    last = first_wanted + panel.line_stop.astype(np.int64)[:, np.newaxis] - 1
    line = np.arange(panel.n_lines)[:, np.newaxis]
    return restated(panel.adj_factor, line, np.arange(panel.n_columns)[-width:], last)


def _mean_percentile(columns: Iterable[FloatArray]) -> FloatArray:
    """Mean of the percentiles there are, (codes, n_out); null below 3 of them."""
    shares = np.stack([percentile(values) for values in columns])
    available = ~np.isnan(shares)
    total = np.zeros(shares.shape[1:])
    for share, known in zip(shares, available, strict=True):
        total += np.where(known, share, 0.0)
    count = available.sum(axis=0)
    return np.where(count >= _MIN_AVAILABLE, window_kernels.ratio(total, count), np.nan)


def percentile(values: FloatArray) -> FloatArray:
    """The transform _cs_pct, before it is rounded to float32.

    Args:
        values: (codes, n_out), NaN where null or outside the universe.

    Returns:
        (codes, n_out) (average rank - 1) / (number of values - 1) of each column, 0 to 1; NaN
        where the value is, and on columns with fewer than 20 values.
    """
    by_day = np.ascontiguousarray(values.T)
    return _percentile(by_day, np.argsort(by_day, axis=1)).T


@jit
def _percentile(x: FloatArray, order: NDArray[np.int64]) -> FloatArray:
    """``percentile`` of (columns, codes); ``order`` sorts each column, nulls last."""
    result = np.full(x.shape, np.nan)
    for day in range(x.shape[0]):
        count = 0
        while count < x.shape[1] and not np.isnan(x[day, order[day, count]]):
            count += 1
        if count < _MIN_RANKED:
            continue
        first = 0
        while first < count:
            stop = first + 1
            while stop < count and x[day, order[day, stop]] == x[day, order[day, first]]:
                stop += 1
            share = ((first + 1 + stop) / 2.0 - 1.0) / (count - 1.0)
            for place in range(first, stop):
                result[day, order[day, place]] = share
            first = stop
    return result
