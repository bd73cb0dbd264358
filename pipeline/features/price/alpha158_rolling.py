"""Family alpha158_rolling: the window features of qlib's Alpha158 over 5, 10, 20, 30, 60 columns.

The fields ``check`` say which of qlib's columns each one is. Differences: no epsilon in any
denominator, full windows instead of whatever is there, and ln(v) instead of ln(v + 1).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.features.engine import order_statistics, regression, window_kernels
from pipeline.features.engine.column_spec import (
    AFTER_CLOSE,
    BARS,
    CLOSE,
    Feature,
    FloatArray,
    Scope,
)
from pipeline.market.panel.market_data import Market
from pipeline.market.panel.price_panel import Panel

SCOPE: Scope = "line"

_WINDOWS = (5, 10, 20, 30, 60)


_NO_CLOSE = "fewer than {w} listed columns or p null"
_NO_TRADES = "fewer than {need} traded days in the window"
_NO_VOLUME = "no trade on T or fewer than {w} listed columns"


def _traded_days_needed(window: int) -> int:
    """Bars a window must hold: half of its columns."""
    return (window + 1) // 2


@dataclass(frozen=True)
class _Stem:
    """One feature for every window; in the texts {w} is the window, {back} the columns before T
    it reaches to, {need} the traded days it must hold.

    Attributes:
        name, formula, null_rule, check, unit, inputs: as in Feature.
        extra: columns it reads before the window, 1 for changes from the day before.
    """

    name: str
    formula: str
    null_rule: str
    check: str
    unit: str = "ratio"
    inputs: str = CLOSE
    extra: int = 0

    def over(self, window: int) -> Feature:
        """Its declaration for one window."""
        words = {"w": window, "back": window - 1, "need": _traded_days_needed(window)}
        return Feature(
            name=f"{self.name}_{window}d",
            family="alpha158_rolling",
            formula=self.formula.format(**words),
            inputs=self.inputs,
            lookback=window - 1 + self.extra,
            available=AFTER_CLOSE,
            dtype="float32",
            unit=self.unit,
            null_rule=self.null_rule.format(**words),
            check=self.check.format(**words),
        )


_STEMS = (
    _Stem(
        name="close_std_ratio",
        formula="std(p_u, u in [T-{back}..T])/p_T, ddof=1, all {w} required",
        null_rule=_NO_CLOSE,
        check="qlib Alpha158 STD{w}",
    ),
    _Stem(
        name="trend_slope",
        formula=(
            "OLS slope of p_u on x=1..{w} (x={w} is T) over [T-{back}..T], divided by p_T; "
            "all {w} required"
        ),
        null_rule=_NO_CLOSE,
        check="qlib Alpha158 BETA{w}",
        unit="ratio per day",
    ),
    _Stem(
        name="trend_r2",
        formula=(
            "squared correlation of p_u with x=1..{w} over [T-{back}..T]; "
            "null if std(p)=0; all {w} required"
        ),
        null_rule=_NO_CLOSE + " or flat price",
        check="qlib Alpha158 RSQR{w}",
        unit="share",
    ),
    _Stem(
        name="trend_resid",
        formula="(p_T - fitted value at x={w})/p_T of the same OLS line as trend_slope_{w}d",
        null_rule=_NO_CLOSE,
        check="qlib Alpha158 RESI{w}",
    ),
    _Stem(
        name="high_max_ratio",
        formula="max(h_u, u in [T-{back}..T])/p_T, traded days, at least {need}",
        null_rule=_NO_TRADES,
        check="qlib Alpha158 MAX{w}",
        inputs=BARS,
    ),
    _Stem(
        name="low_min_ratio",
        formula="min(l_u, u in [T-{back}..T])/p_T, traded days, at least {need}",
        null_rule=_NO_TRADES,
        check="qlib Alpha158 MIN{w}",
        inputs=BARS,
    ),
    *(
        _Stem(
            name=f"close_q{percent}_ratio",
            formula=(
                f"{percent}% quantile (linear interpolation) of p_u over [T-{{back}}..T], "
                "divided by p_T; all {w} required"
            ),
            null_rule=_NO_CLOSE,
            check=f"qlib Alpha158 {label}{{w}}",
        )
        for percent, label in ((80, "QTLU"), (20, "QTLD"))
    ),
    _Stem(
        name="close_rank",
        formula=(
            "average-tie rank of p_T among p_u, u in [T-{back}..T], ascending from 1, "
            "divided by {w}; all {w} required"
        ),
        null_rule=_NO_CLOSE,
        check="qlib Alpha158 RANK{w}; pandas p.rolling({w}).rank(pct=True)",
        unit="share",
    ),
    _Stem(
        name="rsv",
        formula=(
            "(p_T-lo)/(hi-lo), hi=max h, lo=min l over [T-{back}..T], traded days, "
            "at least {need}; null if hi=lo"
        ),
        null_rule="fewer than {need} traded days or zero range",
        check="qlib Alpha158 RSV{w}; TA-Lib STOCHF fastK/100, WILLR = 100*(x-1)",
        inputs=BARS,
    ),
    _Stem(
        name="high_pos",
        formula=(
            "position of the maximum h in [T-{back}..T] (1 = oldest column, {w} = T; "
            "first occurrence on ties; columns without a trade keep their position but cannot "
            "win), divided by {w}; at least {need} traded days"
        ),
        null_rule=_NO_TRADES,
        check="qlib Alpha158 IMAX{w}",
        unit="share",
        inputs=BARS,
    ),
    _Stem(
        name="low_pos",
        formula=(
            "position of the minimum l in [T-{back}..T] (1 = oldest, {w} = T; first occurrence "
            "on ties; no-trade columns cannot win), divided by {w}; at least {need} traded days"
        ),
        null_rule=_NO_TRADES,
        check=(
            "qlib Alpha158 IMIN{w}; IMXD{w} = high_pos_{w}d - low_pos_{w}d "
            "(dropped as a linear combination)"
        ),
        unit="share",
        inputs=BARS,
    ),
    _Stem(
        name="corr_close_logvol",
        formula=(
            "Pearson correlation of c_u and ln(v_u) over traded u in [T-{back}..T], "
            "at least {need}; null if either std=0. "
            "ln(v) without qlib's +1 so that it is split invariant"
        ),
        null_rule="fewer than {need} traded days or constant series",
        check="qlib Alpha158 CORR{w} up to the +1 in Log",
        unit="correlation",
        inputs=BARS,
    ),
    _Stem(
        name="corr_ret_volchg",
        formula=(
            "Pearson correlation of p_u/p_(u-1) and ln(v_u/v_(u-1)+1) over u in [T-{back}..T] "
            "with trades on u and u-1, at least {need}; null if either std=0"
        ),
        null_rule="fewer than {need} pairs or constant series",
        check="qlib Alpha158 CORD{w}",
        unit="correlation",
        inputs=BARS,
        extra=1,
    ),
    _Stem(
        name="up_day_share",
        formula="mean of 1[p_u > p_(u-1)] over u in [T-{back}..T], all {w} required",
        null_rule=_NO_CLOSE,
        check="qlib Alpha158 CNTP{w}",
        unit="share",
        extra=1,
    ),
    _Stem(
        name="down_day_share",
        formula="mean of 1[p_u < p_(u-1)] over u in [T-{back}..T], all {w} required",
        null_rule=_NO_CLOSE,
        check="qlib Alpha158 CNTN{w}; CNTD{w} = up_day_share_{w}d - down_day_share_{w}d (dropped)",
        unit="share",
        extra=1,
    ),
    _Stem(
        name="gain_share",
        formula=(
            "G/A, G=sum of max(p_u-p_(u-1),0), A=sum of |p_u-p_(u-1)| over u in [T-{back}..T], "
            "p in one basis; null if A=0; all {w} required"
        ),
        null_rule=_NO_CLOSE + " or flat price",
        check=("qlib Alpha158 SUMP{w}; SUMN{w} = 1-x, SUMD{w} = 2x-1 (dropped as affine copies)"),
        unit="share",
        extra=1,
    ),
    _Stem(
        name="volume_ma_ratio",
        formula=(
            "mean(vol_u, u in [T-{back}..T])/v_T, vol = 0 on no-trade days; "
            "all {w} listed columns required"
        ),
        null_rule=_NO_VOLUME,
        check="qlib Alpha158 VMA{w}",
    ),
    _Stem(
        name="volume_std_ratio",
        formula=(
            "std(vol_u, u in [T-{back}..T])/v_T, ddof=1, vol = 0 on no-trade days; all {w} required"
        ),
        null_rule=_NO_VOLUME,
        check="qlib Alpha158 VSTD{w}",
    ),
    _Stem(
        name="absret_volume_cv",
        formula=(
            "std/mean (ddof=1) of |r_u|*vol_u over [T-{back}..T], all {w} required; "
            "null if the mean is 0"
        ),
        null_rule=_NO_CLOSE + " or mean 0",
        check="qlib Alpha158 WVMA{w}",
        extra=1,
    ),
    _Stem(
        name="volume_gain_share",
        formula=(
            "G/A, G=sum of max(vol_u-vol_(u-1),0), A=sum of |vol_u-vol_(u-1)| "
            "over u in [T-{back}..T]; null if A=0; all {w} required"
        ),
        null_rule=_NO_CLOSE + " or constant volume",
        check=(
            "qlib Alpha158 VSUMP{w}; VSUMN{w} = 1-x, VSUMD{w} = 2x-1 (dropped as affine copies)"
        ),
        unit="share",
        extra=1,
    ),
)

FEATURES: tuple[Feature, ...] = tuple(stem.over(window) for stem in _STEMS for window in _WINDOWS)


@dataclass(frozen=True, eq=False)
class _Series:
    """The panel and what is derived from it once for all windows.

    The derived series are (lines, n_out + 60): the longest window and the day before it.

    Attributes:
        panel: bars, carried close, volume and returns.
        close_step: p_u - p_(u-1).
        volume_step: vol_u - vol_(u-1).
        up, down: 1 where p rose or fell from the column before, else 0.
        moved: |r_u| * vol_u.
        price_ratio: p_u / p_(u-1), NaN unless both columns have a trade.
        log_v: ln(v_u).
        log_v_ratio: ln(v_u / v_(u-1) + 1), NaN unless both columns have a trade.
    """

    panel: Panel
    close_step: FloatArray
    volume_step: FloatArray
    up: FloatArray
    down: FloatArray
    moved: FloatArray
    price_ratio: FloatArray
    log_v: FloatArray
    log_v_ratio: FloatArray

    @classmethod
    def of(cls, panel: Panel) -> _Series:
        """Derive all series from the last columns of the panel."""
        width = panel.n_out + max(_WINDOWS)
        p, c, v, vol, r = (
            window_kernels.lagged(field, 0, width)
            for field in (panel.p, panel.c, panel.v, panel.vol, panel.r)
        )
        v = np.where(v > 0.0, v, np.nan)
        return cls(
            panel=panel,
            close_step=_step(p),
            volume_step=_step(vol),
            up=np.where(np.isnan(r), np.nan, r > 0.0),
            down=np.where(np.isnan(r), np.nan, r < 0.0),
            moved=np.abs(r) * vol,
            price_ratio=window_kernels.simple_change(c, _day_before(c)) + 1.0,
            log_v=np.log(v),
            log_v_ratio=np.log(v / _day_before(v) + 1.0),
        )


def compute(market: Market) -> dict[str, FloatArray]:
    """All features of the family, name -> (lines, n_out)."""
    series = _Series.of(market.panel)
    values: dict[str, FloatArray] = {}
    for window in _WINDOWS:
        for group in (_closes, _bars, _correlations, _directions, _volumes):
            for stem, value in group(series, window).items():
                values[f"{stem}_{window}d"] = value
    return {feature.name: values[feature.name] for feature in FEATURES}


def _closes(series: _Series, window: int) -> dict[str, FloatArray]:
    """Dispersion, trend line, quantiles and rank of the carried close."""
    p, n_out = series.panel.p, series.panel.n_out
    now = window_kernels.lagged(p, 0, n_out)
    trend = regression.window_trend(p, window, n_out)
    q80, q20 = order_statistics.window_quantiles(p, window, (0.8, 0.2), window, n_out)
    return {
        "close_std_ratio": window_kernels.ratio(
            window_kernels.window_std(p, window, window, n_out), now
        ),
        "trend_slope": window_kernels.ratio(trend.slope, now),
        "trend_r2": trend.r2,
        "trend_resid": window_kernels.ratio(trend.residual, now),
        "close_q80_ratio": window_kernels.ratio(q80, now),
        "close_q20_ratio": window_kernels.ratio(q20, now),
        "close_rank": order_statistics.window_rank(p, window, window, n_out) / window,
    }


def _bars(series: _Series, window: int) -> dict[str, FloatArray]:
    """Range of highs and lows: its ends, when they were reached, where the close stands in it."""
    panel, needed = series.panel, _traded_days_needed(window)
    now = window_kernels.lagged(panel.p, 0, panel.n_out)
    high = order_statistics.window_highest(panel.h, window, needed, panel.n_out)
    low = order_statistics.window_lowest(panel.l, window, needed, panel.n_out)
    flat = window_kernels.same_price(high.value, low.value)
    height = np.where(flat, np.nan, high.value - low.value)
    return {
        "high_max_ratio": window_kernels.ratio(high.value, now),
        "low_min_ratio": window_kernels.ratio(low.value, now),
        "rsv": (now - low.value) / height,
        "high_pos": high.position / window,
        "low_pos": low.position / window,
    }


def _correlations(series: _Series, window: int) -> dict[str, FloatArray]:
    """Price with volume, as levels and as changes."""
    needed, n_out = _traded_days_needed(window), series.panel.n_out
    levels = regression.window_corr(series.panel.c, series.log_v, window, needed, n_out)
    changes = regression.window_corr(series.price_ratio, series.log_v_ratio, window, needed, n_out)
    return {"corr_close_logvol": levels, "corr_ret_volchg": changes}


def _directions(series: _Series, window: int) -> dict[str, FloatArray]:
    """Shares of days and of distance on which the price rose or fell."""
    n_out = series.panel.n_out
    return {
        "up_day_share": window_kernels.window_mean(series.up, window, window, n_out),
        "down_day_share": window_kernels.window_mean(series.down, window, window, n_out),
        "gain_share": _gain_share(series.close_step, window, n_out),
    }


def _volumes(series: _Series, window: int) -> dict[str, FloatArray]:
    """Level, dispersion and direction of the volume; no-trade days count as 0."""
    vol, n_out = series.panel.vol, series.panel.n_out
    now = window_kernels.lagged(series.panel.v, 0, n_out)
    moved_mean = window_kernels.window_mean(series.moved, window, window, n_out)
    moved_std = window_kernels.window_std(series.moved, window, window, n_out)
    gain_share = _gain_share(series.volume_step, window, n_out)
    # The row names a null p besides the volumes: nothing is said of a stock halted for so long.
    no_close = np.isnan(window_kernels.lagged(series.panel.p, 0, n_out))
    return {
        "volume_ma_ratio": window_kernels.ratio(
            window_kernels.window_mean(vol, window, window, n_out), now
        ),
        "volume_std_ratio": window_kernels.ratio(
            window_kernels.window_std(vol, window, window, n_out), now
        ),
        "absret_volume_cv": window_kernels.ratio(moved_std, moved_mean),
        "volume_gain_share": np.where(no_close, np.nan, gain_share),
    }


def _gain_share(step: FloatArray, window: int, n_out: int) -> FloatArray:
    """Sum of the rises over the sum of all moves; null where nothing moved."""
    gains = window_kernels.window_sum(np.maximum(step, 0.0), window, window, n_out)
    moves = window_kernels.window_sum(np.abs(step), window, window, n_out)
    return window_kernels.ratio(gains, moves)


def _day_before(x: FloatArray) -> FloatArray:
    """(lines, columns) value of the column before."""
    return window_kernels.lagged(x, 1, x.shape[1])


def _step(x: FloatArray) -> FloatArray:
    """Difference from the column before, exactly 0 where only split factors left a rounding."""
    before = _day_before(x)
    return np.where(window_kernels.same_price(x, before), 0.0, x - before)
