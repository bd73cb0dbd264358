"""Family volatility: the size of the moves, from closes, from bars and from the nights."""

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
from pipeline.features.engine.order_statistics import window_quantile
from pipeline.market.panel.market_data import Market
from pipeline.market.panel.price_panel import Panel

SCOPE: Scope = "line"

_YEAR = 252.0  # trading days by which a variance is annualised

_REALIZED_WINDOWS = (5, 20, 60, 120)
_YZ_MIN_COUNTS = {20: 10, 60: 30}  # window: traded days required

_TOO_FEW_TRADES = "fewer than 10 traded days in the window"

_feature = partial(
    Feature,
    family="volatility",
    inputs=BARS,
    available=AFTER_CLOSE,
    dtype="float32",
    unit="annualised vol",
)


def _realized_vol(window: int) -> Feature:
    return _feature(
        name=f"realized_vol_{window}d",
        formula=(
            f"sqrt(252)*std(g_u, u in [T-{window - 1}..T]), log returns, ddof=1, "
            f"all {window} required" + ("." if window < 120 else "")
        ),
        inputs=CLOSE,
        lookback=window,
        null_rule=no_carried_close(window),
        check=f"pandas g.rolling({window}).std()*252**.5",
    )


def _yz_vol(window: int, min_count: int) -> Feature:
    return _feature(
        name=f"yz_vol_{window}",
        formula=(
            f"sqrt(252*(Vo+k*Vc+(1-k)*Vrs)), Vo=var_{window}[ln(o_u/p_(u-1))], "
            f"Vc=var_{window}[ln(c_u/o_u)] (both ddof=1), "
            f"Vrs=mean_{window}[Rogers-Satchell term], traded days n in the window (at "
            f"least {min_count}), k=0.34/(1.34+(n+1)/(n-1))."
        ),
        lookback=window,
        null_rule=f"fewer than {min_count} traded days in the window",
        check="pandas one-liner (Yang-Zhang 2000)",
    )


FEATURES: tuple[Feature, ...] = (
    *(_realized_vol(window) for window in _REALIZED_WINDOWS),
    _feature(
        name="rv_ewma_0p94",
        formula=(
            "sqrt(252*sum_(k<230) 0.94^k*g_(T-k)^2 / sum_(k<230) 0.94^k) over non-null g,"
            " at least 20."
        ),
        inputs=CLOSE,
        lookback=230,
        null_rule="fewer than 21 listed columns",
        check="pandas (g**2).ewm(alpha=.06,adjust=True) on the last 230 rows",
    ),
    _feature(
        name="pk_vol_20",
        formula=(
            "sqrt(252*mean_20[ln(h/l)^2]/(4*ln 2)), traded days in [T-19..T], at least "
            "10. Not lagged"
        ),
        lookback=19,
        null_rule=_TOO_FEW_TRADES,
        check="pandas one-liner (Parkinson 1980)",
    ),
    _feature(
        name="gk_vol_20",
        formula=(
            "sqrt(252*max(0,mean_20[0.5*ln(h/l)^2-(2*ln2-1)*ln(c/o)^2])), traded days, at least 10"
        ),
        lookback=19,
        null_rule=_TOO_FEW_TRADES,
        check="pandas one-liner (Garman-Klass 1980)",
    ),
    _feature(
        name="rs_vol_20",
        formula=("sqrt(252*mean_20[ln(h/c)*ln(h/o)+ln(l/c)*ln(l/o)]), traded days, at least 10"),
        lookback=19,
        null_rule=_TOO_FEW_TRADES,
        check="pandas one-liner (Rogers-Satchell 1991)",
    ),
    *(_yz_vol(window, min_count) for window, min_count in _YZ_MIN_COUNTS.items()),
    _feature(
        name="vov_20",
        formula="std(yz_vol_20_u, u in [T-19..T]), ddof=1, at least 10 non-null",
        lookback=39,
        unit="vol of vol",
        null_rule="fewer than 10 non-null yz_vol_20",
        check="pandas",
    ),
    _feature(
        name="natr_14",
        formula="100*wil_14[tr]_T/p_T, finite-window Wilder L=196, traded days, at least 14.",
        lookback=196,
        unit="percent",
        null_rule="fewer than 14 traded days",
        check="TA-Lib NATR(14) after >=300 bars within 1e-4",
    ),
    _feature(
        name="true_range_pct",
        formula="tr_T/p_(T-1), tr_T=max(h_T,p_(T-1))-min(l_T,p_(T-1))",
        lookback=1,
        unit="ratio",
        null_rule="no trade on T or p_(T-1) null",
        check="TA-Lib TRANGE/close.shift(1)",
    ),
    _feature(
        name="range_expansion_20",
        formula=(
            "x_T/mean(x_u, u in [T-20..T-1]), x=(h-l)/p_prev column; "
            "at least 10 traded days in the window; null if the mean is 0"
        ),
        lookback=21,
        unit="ratio",
        null_rule="no trade on T or fewer than 10 traded days",
        check="pandas shift(1).rolling(20,min_periods=10).mean()",
    ),
    _feature(
        name="downside_vol_20",
        formula="sqrt(252*mean_20[min(g,0)^2]), all 20 required",
        inputs=CLOSE,
        lookback=20,
        null_rule=no_carried_close(20),
        check="pandas",
    ),
    _feature(
        name="vol_z_250",
        formula=(
            "(x_T-mean_250[x])/std_250[x], x=realized_vol_20d, window [T-249..T], ddof=1, "
            "at least 125; null if std=0"
        ),
        inputs=CLOSE,
        lookback=269,
        unit="z",
        null_rule="fewer than 125 non-null values",
        check="pandas",
    ),
    _feature(
        name="overnight_vol_20",
        formula="sqrt(252)*std(ln(o_u/p_(u-1)), u in [T-19..T]), ddof=1, at least 10 traded days",
        lookback=20,
        null_rule=_TOO_FEW_TRADES,
        check="pandas",
    ),
    _feature(
        name="jump_share_20",
        formula=(
            "max(0, 1-BV/RV), RV=sum_(k=0..19) g_(T-k)^2, "
            "BV=(pi/2)*(20/19)*sum_(k=0..18)|g_(T-k)||g_(T-k-1)|; null if RV=0; 20 required"
        ),
        inputs=CLOSE,
        lookback=20,
        unit="share",
        null_rule=no_carried_close(20),
        check="hand",
    ),
    _feature(
        name="var_5pct_250",
        formula="5% quantile (linear interpolation) of r_u over [T-249..T], at least 125",
        inputs=CLOSE,
        lookback=250,
        unit="ratio",
        null_rule="fewer than 125 non-null returns",
        check="pandas r.rolling(250,min_periods=125).quantile(.05)",
    ),
)


def compute(market: Market) -> dict[str, FloatArray]:
    """All features of the family, name -> (lines, n_out)."""
    panel, n_out = market.panel, market.panel.n_out
    return {
        **_close_based(panel, n_out),
        **_bar_based(panel, n_out),
        **_yang_zhang_based(panel, n_out),
    }


def _close_based(panel: Panel, n_out: int) -> dict[str, FloatArray]:
    """What needs the carried close alone, name -> (lines, n_out)."""
    g = panel.g
    result = {
        f"realized_vol_{window}d": _annualised(window_kernels.window_std(g, window, window, n_out))
        for window in _REALIZED_WINDOWS
    }
    vol = _annualised(window_kernels.window_std(g, 20, 20, n_out + 249))
    from_mean = window_kernels.lagged(vol, 0, n_out) - window_kernels.window_mean(
        vol, 250, 125, n_out
    )
    result["vol_z_250"] = window_kernels.ratio(
        from_mean, window_kernels.window_std(vol, 250, 125, n_out)
    )
    squares = g * g
    result["rv_ewma_0p94"] = _annualised(np.sqrt(window_kernels.ewm(squares, 0.06, 230, 20, n_out)))
    downside = np.minimum(g, 0.0) ** 2
    result["downside_vol_20"] = _annualised(
        np.sqrt(window_kernels.window_mean(downside, 20, 20, n_out))
    )
    size = np.abs(window_kernels.lagged(g, 0, n_out + 19))
    bipower = window_kernels.window_sum(size[:, 1:] * size[:, :-1], 19, 19, n_out)
    bipower *= (np.pi / 2.0) * (20.0 / 19.0)
    variation = window_kernels.window_sum(squares, 20, 20, n_out)
    result["jump_share_20"] = np.maximum(0.0, 1.0 - window_kernels.ratio(bipower, variation))
    result["var_5pct_250"] = window_quantile(panel.r, 250, 0.05, 125, n_out)
    return result


def _bar_based(panel: Panel, n_out: int) -> dict[str, FloatArray]:
    """What needs the range of the bar, name -> (lines, n_out)."""
    height = np.log(panel.h / panel.l)
    body = np.log(panel.c / panel.o)
    garman_klass = 0.5 * height**2 - (2.0 * np.log(2.0) - 1.0) * body**2
    means = {
        "pk_vol_20": window_kernels.window_mean(height**2, 20, 10, n_out) / (4.0 * np.log(2.0)),
        "gk_vol_20": window_kernels.window_mean(garman_klass, 20, 10, n_out),
        "rs_vol_20": window_kernels.window_mean(_rogers_satchell(panel), 20, 10, n_out),
    }
    result = {name: _annualised(np.sqrt(np.maximum(0.0, mean))) for name, mean in means.items()}
    average_range = window_kernels.wilder(panel.tr, 14, n_out)
    result["natr_14"] = 100.0 * window_kernels.ratio(
        average_range, window_kernels.lagged(panel.p, 0, n_out)
    )
    result["true_range_pct"] = window_kernels.lagged(
        window_kernels.ratio(panel.tr, panel.p_prev), 0, n_out
    )
    relative_range = window_kernels.ratio(panel.h - panel.l, panel.p_prev)
    usual = window_kernels.lagged(
        window_kernels.window_mean(relative_range, 20, 10, n_out + 1), 1, n_out
    )
    result["range_expansion_20"] = window_kernels.ratio(
        window_kernels.lagged(relative_range, 0, n_out), usual
    )
    return result


def _yang_zhang_based(panel: Panel, n_out: int) -> dict[str, FloatArray]:
    """What separates the nights from the days, name -> (lines, n_out)."""
    overnight = window_kernels.log_change(panel.o, panel.p_prev)
    # all terms run over the days that have a night before them
    complete = ~np.isnan(overnight)
    body = np.where(complete, np.log(panel.c / panel.o), np.nan)
    bar = np.where(complete, _rogers_satchell(panel), np.nan)
    result = {
        f"yz_vol_{window}": _yang_zhang(overnight, body, bar, window, n_out)
        for window in _YZ_MIN_COUNTS
    }
    wide = _yang_zhang(overnight, body, bar, 20, n_out + 19)
    result["vov_20"] = window_kernels.window_std(wide, 20, 10, n_out)
    result["overnight_vol_20"] = _annualised(window_kernels.window_std(overnight, 20, 10, n_out))
    return result


def _yang_zhang(
    overnight: FloatArray, body: FloatArray, bar: FloatArray, window: int, n_out: int
) -> FloatArray:
    """Annualised volatility of Yang and Zhang (2000), (rows, n_out).

    Args:
        overnight: ln(o / p_prev), (rows, columns).
        body: ln(c / o), null on the same columns.
        bar: Rogers-Satchell term, null on the same columns.
        window: a key of _YZ_MIN_COUNTS.
        n_out: number of columns wanted.
    """
    needed = _YZ_MIN_COUNTS[window]
    n = window_kernels.window_count(overnight, window, n_out)
    n = np.where(n >= needed, n, np.nan)
    k = 0.34 / (1.34 + (n + 1.0) / (n - 1.0))
    variance = (
        window_kernels.window_std(overnight, window, needed, n_out) ** 2
        + k * window_kernels.window_std(body, window, needed, n_out) ** 2
        + (1.0 - k) * window_kernels.window_mean(bar, window, needed, n_out)
    )
    return _annualised(np.sqrt(np.maximum(0.0, variance)))


def _rogers_satchell(panel: Panel) -> FloatArray:
    """Variance of a bar by Rogers and Satchell (1991), (lines, columns); never negative."""
    o, h, low, c = panel.o, panel.h, panel.l, panel.c
    upper: FloatArray = np.log(h / c) * np.log(h / o)
    lower: FloatArray = np.log(low / c) * np.log(low / o)
    return upper + lower


def _annualised(daily: FloatArray) -> FloatArray:
    annual: FloatArray = np.sqrt(_YEAR) * daily
    return annual
