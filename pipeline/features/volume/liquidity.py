"""Family liquidity: how much is traded, and what trading costs."""

from __future__ import annotations

from functools import partial

import numpy as np

from pipeline.features.engine import window_kernels
from pipeline.features.engine.column_spec import (
    AFTER_CLOSE,
    BARS,
    CLOSE,
    PRICE_AND_STATEMENT,
    Feature,
    FloatArray,
    Scope,
    no_carried_close,
)
from pipeline.market.jit import jit
from pipeline.market.panel.market_data import Market
from pipeline.market.panel.price_panel import Panel

SCOPE: Scope = "line"

_TURNOVER = "eq-bars-daily.Va,Vo,C,AdjFactor"
_MONTH, _MONTH_MIN = 20, 10
_QUARTER = 60
_LISTED_MIN = 20
_SQRT_UNIT = 1e6  # yen: turnover enters the price impact as the root of millions
_SPREAD_SCALE = 3.0 - 2.0 * np.sqrt(2.0)  # q of Corwin and Schultz

_FEW_LISTED = "fewer than {} listed columns"
_NO_VOLUME = "no volume in the window"

_feature = partial(
    Feature,
    family="liquidity",
    inputs=_TURNOVER,
    available=AFTER_CLOSE,
    dtype="float32",
    unit="ratio",
    check="pandas",
)

FEATURES: tuple[Feature, ...] = (
    _feature(
        name="log_value",
        formula="ln(1+tv_T), tv in yen, 0 on a listed no-trade day.",
        lookback=0,
        unit="log yen",
        null_rule="not listed",
        check="numpy log1p",
    ),
    _feature(
        name="adv60_log",
        formula=(
            "ln(1+mean(tv_u, u in [T-59..T])), no-trade days count as 0, at least 20 "
            "listed columns. Includes T."
        ),
        lookback=59,
        unit="log yen",
        null_rule=_FEW_LISTED.format(20),
    ),
    _feature(
        name="value_ratio_1_20",
        formula="tv_T/mean(tv_u, u in [T-20..T-1]), at least 10; null if the mean is 0.",
        lookback=20,
        null_rule="mean is 0 or fewer than 10 columns",
        check="pandas shift(1).rolling(20)",
    ),
    _feature(
        name="value_ratio_5_60",
        formula=(
            "mean_5[tv]/mean_60[tv]-1, windows ending at T, 60 listed columns required; "
            "null if mean_60=0."
        ),
        lookback=59,
        null_rule=f"{_FEW_LISTED.format(60)} or no turnover",
    ),
    _feature(
        name="mktcap_turnover_20d",
        formula="mean_20[tv]/mktcap_T, mktcap_T=p_T*shares_T (see log_mktcap).",
        inputs=f"{_TURNOVER};fin-summary.ShOutFY,TrShFY",
        lookback=200,
        available=PRICE_AND_STATEMENT,
        unit="ratio per day",
        null_rule="mktcap null",
        check="hand",
    ),
    _feature(
        name="amihud_20_log",
        formula=(
            "ln(1e9*mean over traded u in [T-19..T] of |r_u|/tv_u), at least 10 traded "
            "days; null if the mean is 0."
        ),
        lookback=20,
        unit="log(1e-9/yen)",
        null_rule="fewer than 10 traded days or all returns 0",
    ),
    _feature(
        name="kyle_lambda_60",
        formula=(
            "slope through the origin: sum(r_u*S_u)/sum(S_u^2), S_u=sign(r_u)*sqrt(tv_u/1e6), "
            "traded u in [T-59..T], at least 30; times 1e4"
        ),
        lookback=60,
        unit="bp per sqrt(million yen)",
        null_rule="too few traded days or sum(S^2)=0",
        check="numpy lstsq",
    ),
    _feature(
        name="roll_spread_60",
        formula=(
            "2*sqrt(max(0,-cov(g_u,g_(u-1)))) over u in [T-58..T] (59 pairs inside [T-59..T]), "
            "ddof=1"
        ),
        inputs=CLOSE,
        lookback=60,
        null_rule=no_carried_close(60),
        check="pandas rolling cov",
    ),
    _feature(
        name="corwin_schultz_20",
        formula=(
            "mean over traded u in [T-19..T] (at least 10) of max(0,S_u), S=2(e^a-1)/(1+e^a), "
            "a=(sqrt(2b)-sqrt(b))/q-sqrt(gm/q), q=3-2*sqrt2, b=ln(H/L)^2+ln(h'/l')^2, "
            "gm=ln(max(H,h')/min(L,l'))^2; h',l',c' = high, low, close of the previous traded day; "
            "overnight shift of the current day d=max(0,l_u-c')+min(0,h_u-c'), H=h_u-d, L=l_u-d"
        ),
        inputs=BARS,
        lookback=40,
        null_rule="fewer than 10 valid pairs",
        check="hand (Corwin-Schultz 2012 spreadsheet)",
    ),
    _feature(
        name="zero_ret_share_60",
        formula=(
            "share of u in [T-59..T] with r_u = 0 (no-trade days included); at least 30 non-null. "
            "r counts as 0 if |p_u-p_(u-1)| <= 1e-9*p_u"
        ),
        inputs=CLOSE,
        lookback=60,
        unit="share",
        null_rule="fewer than 30 non-null returns",
    ),
    _feature(
        name="no_trade_share_60",
        formula="1-mean(is_traded_u, u in [T-59..T]) over listed columns, at least 20",
        inputs="eq-bars-daily.C,Vo",
        lookback=59,
        unit="share",
        null_rule=_FEW_LISTED.format(20),
    ),
    _feature(
        name="obv_ratio_20",
        formula=(
            "sum_20[sign(r)*vol]/sum_20[vol], window [T-19..T]; null if the denominator "
            "is 0. Finite and unit free."
        ),
        inputs=CLOSE,
        lookback=20,
        unit="ratio -1..1",
        null_rule=_NO_VOLUME,
        check="TA-Lib OBV difference over 20 bars / sum of volume",
    ),
    _feature(
        name="cmf_20",
        formula=(
            "sum_20[clv*v]/sum_20[v], clv=(2c-h-l)/(h-l) (0 if h=l), traded days, at least 10"
        ),
        inputs=BARS,
        lookback=19,
        unit="ratio -1..1",
        null_rule="fewer than 10 traded days in the window",
    ),
    _feature(
        name="price_to_vwap_20",
        formula="p_T/(sum_20[Va]/sum_20[v])-1, v in the basis of T; null if no volume",
        lookback=19,
        null_rule=_NO_VOLUME,
    ),
)


def compute(market: Market) -> dict[str, FloatArray]:
    """All features of the family, name -> (lines, n_out)."""
    panel, n_out = market.panel, market.panel.n_out
    turnover = window_kernels.window_mean(panel.tv, _MONTH, _MONTH, n_out)
    market_value = market.mktcap[:, -n_out:][panel.line_code]
    return {
        **_turnover(panel, n_out),
        "mktcap_turnover_20d": window_kernels.ratio(turnover, market_value),
        **_price_impact(panel, n_out),
        **_spreads(panel, n_out),
        **_silence(panel, n_out),
        **_volume_flow(panel, n_out),
    }


def _turnover(panel: Panel, n_out: int) -> dict[str, FloatArray]:
    """Turnover and its changes, name -> (lines, n_out)."""
    tv, now = panel.tv, window_kernels.lagged(panel.tv, 0, n_out)
    quarter = window_kernels.window_mean(tv, _QUARTER, _LISTED_MIN, n_out)
    full_quarter = window_kernels.window_mean(tv, _QUARTER, _QUARTER, n_out)
    month_before = window_kernels.window_mean(tv, _MONTH, _MONTH_MIN, n_out + 1)[:, :-1]
    return {
        "log_value": np.log1p(now),
        "adv60_log": np.log1p(quarter),
        "value_ratio_1_20": window_kernels.ratio(now, month_before),
        "value_ratio_5_60": window_kernels.ratio(
            window_kernels.window_mean(tv, 5, 5, n_out), full_quarter
        )
        - 1.0,
    }


def _price_impact(panel: Panel, n_out: int) -> dict[str, FloatArray]:
    """How far turnover moves the price, name -> (lines, n_out)."""
    width = n_out + _QUARTER - 1
    tv = window_kernels.lagged(panel.va, 0, width)  # null without a trade
    r = window_kernels.lagged(panel.r, 0, width)
    illiquidity = window_kernels.window_mean(
        window_kernels.ratio(np.abs(r), tv), _MONTH, _MONTH_MIN, n_out
    )
    signed_root = np.sign(r) * np.sqrt(tv / _SQRT_UNIT)
    covered = window_kernels.window_sum(r * signed_root, _QUARTER, 30, n_out)
    squares = window_kernels.window_sum(signed_root * signed_root, _QUARTER, 30, n_out)
    return {
        "amihud_20_log": np.log(1e9 * np.where(illiquidity == 0.0, np.nan, illiquidity)),
        "kyle_lambda_60": 1e4 * window_kernels.ratio(covered, squares),
    }


def _spreads(panel: Panel, n_out: int) -> dict[str, FloatArray]:
    """Estimates of the bid-ask spread, name -> (lines, n_out)."""
    covariance = _serial_covariance(window_kernels.lagged(panel.g, 0, n_out + _QUARTER - 1), n_out)
    spread = np.maximum(0.0, _high_low_spread(panel, n_out + _MONTH - 1))
    return {
        "roll_spread_60": 2.0 * np.sqrt(np.maximum(0.0, -covariance)),
        "corwin_schultz_20": window_kernels.window_mean(spread, _MONTH, _MONTH_MIN, n_out),
    }


def _high_low_spread(panel: Panel, n_out: int) -> FloatArray:
    """Spread that the ranges of a day and of the traded day before it imply, (lines, n_out).

    Negative where the two days together range further than a spread explains.

    Source: Corwin, Schultz: A Simple Way to Estimate Bid-Ask Spreads from Daily High and Low
    Prices, Journal of Finance 67 (2012), equations 14 and 18, with their overnight adjustment.
    """
    now = (window_kernels.lagged(x, 0, n_out) for x in (panel.h, panel.l))
    before = (
        window_kernels.lagged(window_kernels.previous_traded(x, panel.p_prev), 0, n_out)
        for x in (panel.h, panel.l, panel.c)
    )
    (high, low), (high_before, low_before, close_before) = now, before
    night = np.maximum(0.0, low - close_before) + np.minimum(0.0, high - close_before)
    high, low = high - night, low - night
    single = np.log(high / low) ** 2 + np.log(high_before / low_before) ** 2
    joint = np.log(np.maximum(high, high_before) / np.minimum(low, low_before)) ** 2
    alpha = (np.sqrt(2.0 * single) - np.sqrt(single)) / _SPREAD_SCALE
    alpha -= np.sqrt(joint / _SPREAD_SCALE)
    spread: FloatArray = 2.0 * (np.exp(alpha) - 1.0) / (1.0 + np.exp(alpha))
    return spread


def _silence(panel: Panel, n_out: int) -> dict[str, FloatArray]:
    """Columns on which nothing moved or nothing was traded, name -> (lines, n_out)."""
    width = n_out + _QUARTER - 1
    r = window_kernels.lagged(panel.r, 0, width)
    still = np.where(np.isnan(r), np.nan, r == 0.0)
    traded = np.where(panel.listed, ~np.isnan(panel.c), np.nan)
    return {
        "zero_ret_share_60": window_kernels.window_mean(still, _QUARTER, 30, n_out),
        "no_trade_share_60": 1.0 - window_kernels.window_mean(traded, _QUARTER, _LISTED_MIN, n_out),
    }


def _volume_flow(panel: Panel, n_out: int) -> dict[str, FloatArray]:
    """Which way the volume went, name -> (lines, n_out)."""
    height = panel.h - panel.l
    location = 2.0 * panel.c - panel.h - panel.l
    accumulated = np.where(height == 0.0, 0.0, window_kernels.ratio(location, height)) * panel.v

    def total(x: FloatArray, min_count: int) -> FloatArray:
        return window_kernels.window_sum(x, _MONTH, min_count, n_out)

    traded_volume = total(panel.v, _MONTH_MIN)
    # 20 listed columns and 10 traded days; the return of a first trade is null and adds nothing
    volume = np.where(np.isnan(traded_volume), np.nan, total(panel.vol, _MONTH))
    vwap = window_kernels.ratio(total(panel.va, _MONTH_MIN), volume)
    return {
        "obv_ratio_20": window_kernels.ratio(total(np.sign(panel.r) * panel.vol, 0), volume),
        "cmf_20": window_kernels.ratio(total(accumulated, _MONTH_MIN), traded_volume),
        "price_to_vwap_20": window_kernels.ratio(window_kernels.lagged(panel.p, 0, n_out), vwap)
        - 1.0,
    }


@jit
def _serial_covariance(g: FloatArray, n_out: int) -> FloatArray:
    """Covariance (ddof 1, two passes) of each column with the one before it inside a window.

    Args:
        g: (rows, n_out + window - 1); a window of n columns has n - 1 pairs.
        n_out: number of columns wanted.

    Returns:
        (rows, n_out), null if any term of the window is.
    """
    pairs = g.shape[1] - n_out
    result = np.empty((g.shape[0], n_out))
    for i in range(g.shape[0]):
        mean_before, mean = np.zeros(n_out), np.zeros(n_out)
        for k in range(pairs):
            before, now = g[i, k : k + n_out], g[i, k + 1 : k + 1 + n_out]
            for t in range(n_out):
                mean_before[t] += before[t]
                mean[t] += now[t]
        mean_before, mean = mean_before / pairs, mean / pairs
        products = np.zeros(n_out)
        for k in range(pairs):
            before, now = g[i, k : k + n_out], g[i, k + 1 : k + 1 + n_out]
            for t in range(n_out):
                products[t] += (before[t] - mean_before[t]) * (now[t] - mean[t])
        result[i] = products / (pairs - 1.0)
    return result
