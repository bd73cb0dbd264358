"""Family oscillator: how far the price stands from where it usually is."""

from __future__ import annotations

from functools import partial

import numpy as np

from pipeline.features.engine import window_kernels
from pipeline.features.engine.column_spec import (
    AFTER_CLOSE,
    BARS,
    CLOSE,
    BoolArray,
    Feature,
    FloatArray,
    Scope,
    no_carried_close,
)
from pipeline.features.engine.window_kernels import ZERO_DEVIATION
from pipeline.market.jit import jit
from pipeline.market.panel.market_data import Market
from pipeline.market.panel.price_panel import SAME_PRICE, Panel

SCOPE: Scope = "line"

_MIDPOINT = 50.0  # of an index from 0 to 100: neither side has the upper hand
_RUN_WINDOW = 130  # columns in which a run of rises or falls is counted
_RUN_TERMS, _RUN_DECAY, _RUN_MIN = 28, 0.5, 2  # wil_2: 14 * 2 terms, weights (1 - 1/2)^k
_RANK_WINDOW = 100
_CHANNEL, _CHANNEL_MIN = 20, 10
_MONEY_WINDOW, _MONEY_MIN = 14, 7

_feature = partial(
    Feature,
    family="oscillator",
    inputs=BARS,
    available=AFTER_CLOSE,
    dtype="float32",
    unit="index 0-100",
    check="hand",
)


def _rsi(n: int) -> Feature:
    return _feature(
        name=f"rsi_{n}",
        formula=(
            f"100*G/(G+D), G=wil_{n}[max(dp,0)]_T, D=wil_{n}[max(-dp,0)]_T, "
            f"dp_u=p_u-p_(u-1); finite-window Wilder, L={14 * n}; 50 if G+D=0."
        ),
        inputs=CLOSE,
        lookback=14 * n,
        null_rule=f"fewer than {n + 1} listed columns",
        check=f"TA-Lib RSI({n}) after >=300 bars within 1e-4",
    )


FEATURES: tuple[Feature, ...] = (
    _rsi(2),
    _rsi(14),
    _feature(
        name="crsi_3_2_100",
        formula=(
            "(rsi_3[p] + rsi_2[s] + PR)/3; rsi_N as rsi_14 with L=14N; s_u = uncapped "
            "signed run length of r (0 when r_u=0, run counted inside the last 130 "
            "columns); PR = 100 * count of u in [T-100..T-1] with r_u < r_T, divided by "
            "100. PR ranks returns, not prices"
        ),
        inputs=CLOSE,
        lookback=160,
        null_rule="fewer than 102 listed columns",
    ),
    _feature(
        name="cci_20",
        formula=(
            "(tp_T - mean_20[tp])/(0.015*md), tp=(h+l+c)/3, md = mean over the window of "
            "|tp_u - mean_20[tp]|; traded days only, at least 10 in [T-19..T]; 0 if md=0"
        ),
        lookback=19,
        unit="index",
        null_rule="no trade on T, or fewer than 10 traded days",
        check="TA-Lib CCI(20) on gap-free data",
    ),
    _feature(
        name="mfi_14",
        formula=(
            "100*P/(P+N); over u in [T-13..T] traded, flow = tp_u*v_u goes to P if tp_u > tp of "
            "the previous traded day, to N if smaller, ignored if equal; 50 if P+N=0; "
            "at least 7 flows"
        ),
        lookback=34,
        null_rule="fewer than 7 traded days",
        check="TA-Lib MFI(14) on gap-free data",
    ),
    _feature(
        name="bb_zscore_20",
        formula="(p_T - mean_20[p])/std_20[p], window [T-19..T], ddof=1; null if std=0.",
        inputs=CLOSE,
        lookback=19,
        unit="z",
        null_rule=f"flat price, or {no_carried_close(19)}",
        check="pandas; TA-Lib BBANDS uses ddof=0 (scale sqrt(19/20))",
    ),
    _feature(
        name="bb_bandwidth_20",
        formula="4*std_20[p]/mean_20[p], ddof=1.",
        inputs=CLOSE,
        lookback=19,
        unit="ratio",
        null_rule=no_carried_close(19),
        check="pandas",
    ),
    _feature(
        name="keltner_pos_20",
        formula=(
            "(p_T - ema_20[p]_T)/ema_20[tr]_T, finite-window EMA L=147; null if ema_20[tr]=0."
        ),
        lookback=147,
        unit="ATR units",
        null_rule="fewer than 20 listed columns",
        check="pandas ewm on the last 147 rows",
    ),
    _feature(
        name="ttm_squeeze_on",
        formula=(
            "1 if mean_20+2*std_20 < ema_20[p]+1.5*ema_20[tr] and "
            "mean_20-2*std_20 > ema_20[p]-1.5*ema_20[tr] (mean, std of p, ddof=1), else 0; "
            "computed on T itself"
        ),
        lookback=147,
        dtype="int8",
        unit="flag",
        null_rule="any input null",
    ),
    _feature(
        name="ttm_squeeze_fire",
        formula=("sign(p_T - mean_20[p]) if ttm_squeeze_on_(T-1)=1 and ttm_squeeze_on_T=0, else 0"),
        lookback=148,
        dtype="int8",
        unit="sign",
        null_rule="ttm_squeeze_on null at T or T-1",
    ),
    _feature(
        name="donchian_break_20",
        formula=(
            "+1 if c_T > max(h_u, u in [T-20..T-1]); -1 if c_T < min(l_u, same window); "
            "else 0; at least 10 traded days. The channel excludes T."
        ),
        lookback=20,
        dtype="int8",
        unit="sign",
        null_rule="no trade on T or fewer than 10 traded days",
    ),
)


def compute(market: Market) -> dict[str, FloatArray]:
    """All features of the family, name -> (lines, n_out)."""
    panel, n_out = market.panel, market.panel.n_out
    typical = (panel.h + panel.l + panel.c) / 3.0
    return {
        "rsi_2": rsi(panel.p, panel.p_prev, 2, n_out),
        "rsi_14": rsi(panel.p, panel.p_prev, 14, n_out),
        "crsi_3_2_100": _connors(panel, n_out),
        "cci_20": _commodity_channel(typical, n_out),
        "mfi_14": _money_flow(typical, panel, n_out),
        **_bands(panel, n_out),
        "donchian_break_20": _channel_break(panel, n_out),
    }


def rsi(price: FloatArray, before: FloatArray, n: int, n_out: int) -> FloatArray:
    """Wilder's relative strength index of a price, 0 to 100; 50 where it never moved.

    Args:
        price: (rows, columns).
        before: (rows, columns) price of the column before, in the same basis.
        n: period of the two Wilder means.
        n_out: number of columns wanted.

    Returns:
        (rows, n_out), null with fewer than ``n`` changes in the 14 n columns.
    """
    change = np.where(window_kernels.same_price(price, before), 0.0, price - before)
    gain = window_kernels.wilder(np.maximum(change, 0.0), n, n_out)
    loss = window_kernels.wilder(np.maximum(-change, 0.0), n, n_out)
    return _upper_hand(gain, loss)


def _upper_hand(gain: FloatArray, loss: FloatArray) -> FloatArray:
    """Share of the gains in gains and losses, 0 to 100; the midpoint when there are neither."""
    both = gain + loss
    return np.where(both == 0.0, _MIDPOINT, 100.0 * window_kernels.ratio(gain, both))


def _connors(panel: Panel, n_out: int) -> FloatArray:
    """Mean of the strength of the price, of its runs, and the rank of its return, 0 to 100."""
    gain, loss = _run_changes(window_kernels.lagged(panel.r, 0, n_out + _RUN_WINDOW - 1))
    rank = 100.0 * _lower_share(window_kernels.lagged(panel.r, 0, n_out + _RANK_WINDOW))
    of_price = rsi(panel.p, panel.p_prev, 3, n_out)
    mean: FloatArray = (of_price + _upper_hand(gain, loss) + rank) / 3.0
    return mean


def _commodity_channel(typical: FloatArray, n_out: int) -> FloatArray:
    """Distance of the typical price from its mean in mean deviations; null without a trade."""
    mean = window_kernels.window_mean(typical, _CHANNEL, _CHANNEL_MIN, n_out)
    deviation = _mean_deviation(window_kernels.lagged(typical, 0, n_out + _CHANNEL - 1), mean)
    distance = window_kernels.lagged(typical, 0, n_out) - mean
    flat = (deviation == 0.0) & ~np.isnan(distance)
    return np.where(flat, 0.0, window_kernels.ratio(distance, 0.015 * deviation))


def _money_flow(typical: FloatArray, panel: Panel, n_out: int) -> FloatArray:
    """Share of the turnover on days of a rising typical price, 0 to 100."""
    change = window_kernels.simple_change(
        typical, window_kernels.previous_traded(typical, panel.p_prev)
    )
    flow = np.where(np.isnan(change), np.nan, typical * panel.v)

    def total(side: BoolArray) -> FloatArray:
        own = np.where(np.isnan(flow) | side, flow, 0.0)
        return window_kernels.window_sum(own, _MONEY_WINDOW, _MONEY_MIN, n_out)

    return _upper_hand(total(change > 0.0), total(change < 0.0))


def _bands(panel: Panel, n_out: int) -> dict[str, FloatArray]:
    """Price against Bollinger's and Keltner's bands, and the one inside the other."""
    wide = n_out + 1  # one column more: whether the squeeze was on the day before
    p = window_kernels.lagged(panel.p, 0, wide)
    mean = window_kernels.window_mean(panel.p, 20, 20, wide)
    std = window_kernels.window_std(panel.p, 20, 20, wide)
    middle = window_kernels.ema(panel.p, 20, wide)
    height = window_kernels.ema(panel.tr, 20, wide)
    inside = _below(mean + 2.0 * std, middle + 1.5 * height)
    inside &= _below(middle - 1.5 * height, mean - 2.0 * std)
    on = np.where(np.isnan(mean + std + middle + height), np.nan, inside)
    side = np.where(window_kernels.same_price(p, mean), 0.0, np.sign(p - mean))
    fired = (on[:, :-1] == 1.0) & (on[:, 1:] == 0.0)
    unknown = np.isnan(on[:, :-1] + on[:, 1:])
    wanted = {
        "bb_zscore_20": window_kernels.ratio(p - mean, std),
        "bb_bandwidth_20": 4.0 * window_kernels.ratio(std, mean),
        "keltner_pos_20": window_kernels.ratio(p - middle, height),
        "ttm_squeeze_on": on,
    }
    return {
        **{name: values[:, 1:] for name, values in wanted.items()},
        "ttm_squeeze_fire": np.where(unknown, np.nan, np.where(fired, side[:, 1:], 0.0)),
    }


def _below(a: FloatArray, b: FloatArray) -> BoolArray:
    """True where price ``a`` is lower than ``b`` by more than rounding."""
    lower: BoolArray = (a < b) & ~window_kernels.same_price(a, b)
    return lower


def _channel_break(panel: Panel, n_out: int) -> FloatArray:
    """1, -1 where the close leaves the range of the 20 columns before, 0 where it does not."""
    c = window_kernels.lagged(panel.c, 0, n_out)
    highest = window_kernels.window_max(panel.h, _CHANNEL, _CHANNEL_MIN, n_out + 1)[:, :-1]
    lowest = window_kernels.window_min(panel.l, _CHANNEL, _CHANNEL_MIN, n_out + 1)[:, :-1]
    side = np.where(_below(highest, c), 1.0, np.where(_below(c, lowest), -1.0, 0.0))
    return np.where(np.isnan(c + highest + lowest), np.nan, side)


@jit
def _run_changes(r: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Weighted gains and losses of the signed run length s of returns, as wil_2 weighs them.

    The run of column u is counted inside the last _RUN_WINDOW columns of T, so it may be shorter
    for a later T: s_u = 0 where r_u is 0, null where it is null.

    Args:
        r: (rows, n_out + _RUN_WINDOW - 1) returns, exactly 0 between equal prices.

    Returns:
        Two arrays (rows, n_out), both without the common divisor of the weighted mean; null
        with fewer than _RUN_MIN changes of s.
    """
    n_out = r.shape[1] - _RUN_WINDOW + 1
    gain = np.full((r.shape[0], n_out), np.nan)
    loss = gain.copy()
    for i in range(r.shape[0]):
        run = np.sign(r[i])
        for u in range(1, run.size):
            if run[u] * run[u - 1] > 0.0:
                run[u] += run[u - 1]
        for t in range(n_out):
            rises, falls, count = 0.0, 0.0, 0
            for k in range(_RUN_TERMS - 1, -1, -1):
                room = _RUN_WINDOW - k  # columns from the window's start to u
                now, before = run[t + room - 1], run[t + room - 2]
                if np.isnan(now) or np.isnan(before):
                    continue
                now = max(-room, min(room, now))
                before = max(1 - room, min(room - 1, before))
                weight = _RUN_DECAY**k
                rises += weight * max(now - before, 0.0)
                falls += weight * max(before - now, 0.0)
                count += 1
            if count >= _RUN_MIN:
                gain[i, t], loss[i, t] = rises, falls
    return gain, loss


@jit
def _lower_share(r: FloatArray) -> FloatArray:
    """Share of the _RANK_WINDOW returns before T that are lower than that of T.

    Returns of prices that differ by rounding only do not differ. Null if any of them is null.

    Args:
        r: (rows, n_out + _RANK_WINDOW) returns.
    """
    n_out = r.shape[1] - _RANK_WINDOW
    result = np.empty((r.shape[0], n_out))
    for i in range(r.shape[0]):
        newest = r[i, _RANK_WINDOW:]
        lower, known = np.zeros(n_out), np.zeros(n_out)
        for k in range(_RANK_WINDOW):
            term = r[i, k : k + n_out]
            for t in range(n_out):
                lower[t] += 1.0 if term[t] < newest[t] - SAME_PRICE else 0.0
                known[t] += 1.0 if term[t] - newest[t] == term[t] - newest[t] else 0.0
        result[i] = np.where(known == _RANK_WINDOW, lower / _RANK_WINDOW, np.nan)
    return result


@jit
def _mean_deviation(x: FloatArray, mean: FloatArray) -> FloatArray:
    """Mean absolute deviation from ``mean`` of the non-null terms of each window.

    Exactly 0 up to ZERO_DEVIATION of the largest absolute term, like a standard deviation.

    Args:
        x: (rows, n_out + window - 1).
        mean: (rows, n_out) mean of each window.

    Returns:
        (rows, n_out), null where ``mean`` is.
    """
    n_out = mean.shape[1]
    result = np.empty(mean.shape)
    for i in range(x.shape[0]):
        total, count, largest = np.zeros(n_out), np.zeros(n_out), np.zeros(n_out)
        for k in range(x.shape[1] - n_out + 1):
            term = x[i, k : k + n_out]
            for t in range(n_out):
                known = term[t] == term[t]
                total[t] += abs(term[t] - mean[i, t]) if known else 0.0
                count[t] += 1.0 if known else 0.0
                largest[t] = max(largest[t], abs(term[t]) if known else 0.0)
        deviation = total / count
        result[i] = np.where(deviation <= ZERO_DEVIATION * largest, 0.0, deviation)
    return result
