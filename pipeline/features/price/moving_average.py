"""Family moving_average: the price against its averages, and the strength of its trend."""

from __future__ import annotations

from functools import partial

import numpy as np

from pipeline.features.engine import window_kernels
from pipeline.features.engine.column_spec import (
    AFTER_CLOSE,
    BARS,
    CLOSE,
    Feature,
    FloatArray,
    Scope,
    no_carried_close,
)
from pipeline.market.jit import jit
from pipeline.market.panel.market_data import Market
from pipeline.market.panel.price_panel import SAME_PRICE

SCOPE: Scope = "line"

_SMA_WINDOWS = (5, 10, 20, 30, 60, 120, 250)
_RESTART = 120  # columns before T at which KAMA and VIDYA start from the price
_KAMA_WINDOW = 10
_KAMA_FAST, _KAMA_SLOW = 2.0 / 3.0, 2.0 / 31.0
_VIDYA_WINDOW = 14
_VIDYA_SPEED = 2.0 / 15.0
_DI_PERIOD = 14
_AROON_WINDOW, _AROON_MIN = 26, 13


_feature = partial(
    Feature,
    family="moving_average",
    inputs=CLOSE,
    available=AFTER_CLOSE,
    dtype="float32",
    unit="ratio",
)


def _price_to_sma(window: int) -> Feature:
    talib, qlib = f"TA-Lib SMA({window})", f"qlib Alpha158 MA{window} = 1/(1+x)"
    return _feature(
        name=f"price_to_sma_{window}",
        formula=(f"p_T / mean(p_u, u in [T-{window - 1}..T]) - 1, all {window} required"),
        lookback=window - 1,
        null_rule=no_carried_close(window - 1),
        check=f"{qlib}; {talib}" if window <= 60 else talib,
    )


FEATURES: tuple[Feature, ...] = (
    *(_price_to_sma(window) for window in _SMA_WINDOWS),
    _feature(
        name="ema_gap_5_20",
        formula=(
            "ema_5[p]_T / ema_20[p]_T - 1; finite-window EMA: ema_N[x] = sum_(k<L) "
            "(1-a)^k x_(T-k) / sum_(k<L) (1-a)^k over non-null terms, a=2/(N+1), "
            "L=7(N+1)."
        ),
        lookback=146,
        null_rule="fewer than 20 listed columns",
        check=(
            "pandas ewm(span,adjust=True) on the last L rows; "
            "TA-Lib EMA after >=300 bars within 1e-6"
        ),
    ),
    _feature(
        name="ema_gap_20_60",
        formula=(
            "ema_20[p]_T / ema_60[p]_T - 1, finite-window EMA as in ema_gap_5_20 (L=427 for N=60)."
        ),
        lookback=426,
        null_rule="fewer than 60 listed columns",
        check="pandas ewm(span,adjust=True) on the last L rows",
    ),
    _feature(
        name="macd_pct",
        formula="(ema_12[p]_T - ema_26[p]_T)/p_T, finite-window EMA (L=91 and 189)",
        lookback=188,
        null_rule="fewer than 26 listed columns",
        check="TA-Lib MACD(12,26,9)[0]/close after >=300 bars",
    ),
    _feature(
        name="macd_hist_pct",
        formula=(
            "(m_T - ema_9[m]_T)/p_T with m_u = ema_12[p]_u - ema_26[p]_u, all in the "
            "basis of T; finite-window EMA (L=70 on m)."
        ),
        lookback=257,
        null_rule="fewer than 34 listed columns",
        check="TA-Lib MACD(12,26,9)[2]/close after >=400 bars",
    ),
    _feature(
        name="kama_gap_10_2_30",
        formula=(
            "p_T/K_T - 1. Restarted KAMA: K_(T-120)=p_(T-120); for u=T-119..T: "
            "ER_u=|p_u-p_(u-10)|/sum_(j=0..9)|p_(u-j)-p_(u-j-1)| (0 if the denominator is"
            " 0), SC_u=(ER_u*(2/3-2/31)+2/31)^2, K_u=K_(u-1)+SC_u*(p_u-K_(u-1)). Finite "
            "by definition: the slowest SC (0.0042) would need about 3,300 rows of "
            "burn-in."
        ),
        lookback=129,
        null_rule=no_carried_close(129),
        check="hand (scalar loop); TA-Lib KAMA(10) only approximately",
    ),
    _feature(
        name="vidya_gap_14",
        formula=(
            "p_T/V_T - 1. Restarted VIDYA: V_(T-120)=p_(T-120); for u=T-119..T: U,D = "
            "sums of positive and of absolute negative one-day changes of p over 14 "
            "changes ending at u, m_u=|U-D|/(U+D) (0 if U+D=0), "
            "V_u=V_(u-1)+(2/15)*m_u*(p_u-V_(u-1)). Finite by definition."
        ),
        lookback=133,
        null_rule=no_carried_close(133),
        check="hand (scalar loop)",
    ),
    _feature(
        name="adx_14",
        formula=(
            "wil_14[DX]_T, DX=100*|DI+ - DI-|/(DI+ + DI-) (0 if the sum is 0); wil_N = "
            "finite-window Wilder mean: same as ema_N with a=1/N and L=14N=196; bar inputs, "
            "null days skipped, at least 14 terms each. Not lagged"
        ),
        inputs=BARS,
        lookback=392,
        unit="index 0-100",
        null_rule="fewer than 28 traded days in the window",
        check="TA-Lib ADX(14) after >=500 bars within 1e-4",
    ),
    _feature(
        name="di_pos_14",
        formula=(
            "100*wil_14[DM+]_T/wil_14[tr]_T; DM+ = h_u-h_prev if that is > 0 and > "
            "l_prev-l_u, else 0; prev = previous traded day; tr_u = max(h_u,p_(u-1)) - "
            "min(l_u,p_(u-1))."
        ),
        inputs=BARS,
        lookback=197,
        unit="index 0-100",
        null_rule="fewer than 14 traded days",
        check="TA-Lib PLUS_DI(14) after >=300 bars",
    ),
    _feature(
        name="di_neg_14",
        formula=(
            "100*wil_14[DM-]_T/wil_14[tr]_T; DM- = l_prev-l_u if that is > 0 and > "
            "h_u-h_prev, else 0."
        ),
        inputs=BARS,
        lookback=197,
        unit="index 0-100",
        null_rule="fewer than 14 traded days",
        check="TA-Lib MINUS_DI(14) after >=300 bars",
    ),
    _feature(
        name="aroon_osc_25",
        formula=(
            "4*(a-b) where, over the 26 columns [T-25..T], a = 25 - (columns since the highest h), "
            "b = 25 - (columns since the lowest l); ties take the most recent column; "
            "null h,l skipped, at least 13 traded days"
        ),
        inputs=BARS,
        lookback=25,
        unit="index -100..100",
        null_rule="fewer than 13 traded days",
        check="TA-Lib AROONOSC(25)",
    ),
)


def compute(market: Market) -> dict[str, FloatArray]:
    """All features of the family, name -> (lines, n_out)."""
    panel, n_out = market.panel, market.panel.n_out
    p = window_kernels.lagged(panel.p, 0, n_out)
    result = {
        f"price_to_sma_{window}": window_kernels.ratio(
            p, window_kernels.window_mean(panel.p, window, window, n_out)
        )
        - 1.0
        for window in _SMA_WINDOWS
    }
    ema_20 = window_kernels.ema(panel.p, 20, n_out)
    result["ema_gap_5_20"] = (
        window_kernels.ratio(window_kernels.ema(panel.p, 5, n_out), ema_20) - 1.0
    )
    result["ema_gap_20_60"] = (
        window_kernels.ratio(ema_20, window_kernels.ema(panel.p, 60, n_out)) - 1.0
    )
    macd = _macd(panel.p, n_out + 69)  # the signal, ema_9, reaches 69 columns back
    macd_now = window_kernels.lagged(macd, 0, n_out)
    result["macd_pct"] = window_kernels.ratio(macd_now, p)
    result["macd_hist_pct"] = window_kernels.ratio(macd_now - window_kernels.ema(macd, 9, n_out), p)
    result["kama_gap_10_2_30"] = window_kernels.ratio(p, _kama(panel.p, n_out)) - 1.0
    result["vidya_gap_14"] = window_kernels.ratio(p, _vidya(panel.p, n_out)) - 1.0
    result |= _directional(market)
    result["aroon_osc_25"] = _aroon(
        window_kernels.lagged(panel.h, 0, n_out + _AROON_WINDOW - 1),
        window_kernels.lagged(panel.l, 0, n_out + _AROON_WINDOW - 1),
        _AROON_WINDOW,
        _AROON_MIN,
    )
    return result


def _macd(p: FloatArray, n_out: int) -> FloatArray:
    """ema_12 - ema_26 of ``p``, (rows, n_out), yen."""
    return window_kernels.ema(p, 12, n_out) - window_kernels.ema(p, 26, n_out)


def _directional(market: Market) -> dict[str, FloatArray]:
    """adx_14, di_pos_14 and di_neg_14, name -> (lines, n_out)."""
    panel, n_out = market.panel, market.panel.n_out
    wide = n_out + 14 * _DI_PERIOD - 1  # ADX averages DX over that many columns
    up = panel.h - window_kernels.previous_traded(panel.h, panel.p_prev)
    down = window_kernels.previous_traded(panel.l, panel.p_prev) - panel.l
    plus, minus = _directional_moves(up, down, SAME_PRICE * panel.h)
    true_range = window_kernels.wilder(panel.tr, _DI_PERIOD, wide)
    di_pos = 100.0 * window_kernels.ratio(window_kernels.wilder(plus, _DI_PERIOD, wide), true_range)
    di_neg = 100.0 * window_kernels.ratio(
        window_kernels.wilder(minus, _DI_PERIOD, wide), true_range
    )
    both = di_pos + di_neg
    dx = np.where(both == 0.0, 0.0, 100.0 * window_kernels.ratio(np.abs(di_pos - di_neg), both))
    return {
        "adx_14": window_kernels.wilder(dx, _DI_PERIOD, n_out),
        "di_pos_14": window_kernels.lagged(di_pos, 0, n_out),
        "di_neg_14": window_kernels.lagged(di_neg, 0, n_out),
    }


def _directional_moves(
    up: FloatArray, down: FloatArray, tolerance: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """DM+ and DM-: the larger of the two moves where it is positive, 0 for the other one.

    Args:
        up, down: rise of the high and fall of the low since the previous traded day, yen.
        tolerance: differences up to it count as none, yen.

    Returns:
        Two arrays of the same shape; null where ``up`` or ``down`` is.
    """
    missing = np.isnan(up) | np.isnan(down)
    plus = np.where((up > tolerance) & (up > down + tolerance), up, 0.0)
    minus = np.where((down > tolerance) & (down > up + tolerance), down, 0.0)
    return np.where(missing, np.nan, plus), np.where(missing, np.nan, minus)


def _kama(p: FloatArray, n_out: int) -> FloatArray:
    """Adaptive mean of Kaufman restarted at T-120, (rows, n_out), yen; null if any price is."""
    wide = n_out + _RESTART - 1
    price, before = window_kernels.lagged(p, 0, wide), window_kernels.lagged(p, _KAMA_WINDOW, wide)
    change = np.where(window_kernels.same_price(price, before), 0.0, np.abs(price - before))
    steps = np.abs(_changes(p, wide + _KAMA_WINDOW - 1))
    path = window_kernels.window_sum(steps, _KAMA_WINDOW, _KAMA_WINDOW, wide)
    efficiency = np.where(path == 0.0, 0.0, window_kernels.ratio(change, path))
    speed = (efficiency * (_KAMA_FAST - _KAMA_SLOW) + _KAMA_SLOW) ** 2
    return _restarted(window_kernels.lagged(p, 0, wide + 1), speed, _RESTART)


def _vidya(p: FloatArray, n_out: int) -> FloatArray:
    """VIDYA restarted at T-120, (rows, n_out), yen; null if any price is."""
    wide = n_out + _RESTART - 1
    change = _changes(p, wide + _VIDYA_WINDOW - 1)
    rises = window_kernels.window_sum(np.maximum(change, 0.0), _VIDYA_WINDOW, _VIDYA_WINDOW, wide)
    falls = window_kernels.window_sum(np.maximum(-change, 0.0), _VIDYA_WINDOW, _VIDYA_WINDOW, wide)
    path = rises + falls
    momentum = np.where(path == 0.0, 0.0, window_kernels.ratio(np.abs(rises - falls), path))
    return _restarted(window_kernels.lagged(p, 0, wide + 1), _VIDYA_SPEED * momentum, _RESTART)


def _changes(p: FloatArray, n_out: int) -> FloatArray:
    """One-day changes of ``p`` in yen, (rows, n_out); exactly 0 between equal prices."""
    now, before = window_kernels.lagged(p, 0, n_out), window_kernels.lagged(p, 1, n_out)
    return np.where(window_kernels.same_price(now, before), 0.0, now - before)


@jit
def _restarted(p: FloatArray, speed: FloatArray, steps: int) -> FloatArray:
    """Adaptive mean m_u = m_(u-1) + speed_u * (p_u - m_(u-1)), started ``steps`` columns back.

    Args:
        p: (rows, n_out + steps) prices; the mean of T starts as the price of T-steps.
        speed: (rows, n_out + steps - 1), the columns of ``p`` but the first.
        steps: number of updates per value.
    """
    n_out = p.shape[1] - steps
    result = np.empty((p.shape[0], n_out))
    for i in range(p.shape[0]):
        mean = p[i, :n_out].copy()
        for k in range(steps):
            price, pace = p[i, k + 1 : k + 1 + n_out], speed[i, k : k + n_out]
            for t in range(n_out):
                mean[t] += pace[t] * (price[t] - mean[t])
        result[i] = mean
    return result


@jit
def _aroon(h: FloatArray, low: FloatArray, window: int, min_count: int) -> FloatArray:
    """100 * (columns since the lowest low - columns since the highest high) / (window - 1).

    Args:
        h, low: (rows, n_out + window - 1) bar fields, NaN without a trade.
        window: number of columns; of equal extremes the most recent counts.
        min_count: traded days required.
    """
    n_out = h.shape[1] - window + 1
    result = np.empty((h.shape[0], n_out))
    for i in range(h.shape[0]):
        for t in range(n_out):
            since_high = _columns_since_highest(h[i, t : t + window], min_count)
            since_low = _columns_since_highest(-low[i, t : t + window], min_count)
            result[i, t] = 100.0 * (since_low - since_high) / (window - 1)
    return result


@jit
def _columns_since_highest(x: FloatArray, min_count: int) -> float:
    """Distance of the largest value from the end, ties to the most recent; NaN if too few."""
    highest, count = -np.inf, 0
    for value in x:
        if not np.isnan(value):
            highest = max(highest, value)
            count += 1
    if count < min_count:
        return np.nan
    since = 0
    while not x[x.size - 1 - since] >= highest - SAME_PRICE * abs(highest):
        since += 1
    return float(since)
