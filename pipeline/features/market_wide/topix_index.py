"""Family topix_index: TOPIX itself and the spread between styles, one value per date."""

from __future__ import annotations

from functools import partial

import numpy as np

from pipeline.features.engine import window_kernels
from pipeline.features.engine.column_spec import (
    AFTER_CLOSE,
    AFTER_NIGHT,
    Feature,
    FloatArray,
    Scope,
)
from pipeline.features.price.oscillator import rsi
from pipeline.market.panel import benchmark_levels
from pipeline.market.panel.market_data import Market

SCOPE: Scope = "market"

_YEAR = 252.0  # trading days by which a variance is annualised
_MONTH = 20

_feature = partial(
    Feature,
    family="topix_index",
    inputs="idx-bars-daily-topix.O,H,L,C",
    available=AFTER_CLOSE,
    dtype="float32",
    unit="ratio",
    null_rule="history shorter than the window",
)

#: name -> index code minus index code, and the words of the catalogue.
_SPREADS = {
    "small_minus_large_20d": (
        benchmark_levels.TOPIX_SMALL,
        benchmark_levels.TOPIX_100,
        "20-column return of index 002D (TOPIX Small) minus that of 002A (TOPIX 100)",
    ),
    "value_minus_growth_20d": (
        benchmark_levels.TOPIX_VALUE,
        benchmark_levels.TOPIX_GROWTH,
        "20-column return of index 8100 (TOPIX Value) minus that of 8200 (TOPIX Growth)",
    ),
}


def _change(days: int) -> Feature:
    return _feature(
        name=f"topix_ret_{days}d",
        formula=f"C_T/C_(T-{days})-1 of TOPIX (2020-10-01 keeps the previous close).",
        lookback=days,
        check=f"pandas pct_change({days})",
    )


FEATURES: tuple[Feature, ...] = (
    *(_change(days) for days in (1, 5, _MONTH)),
    _feature(
        name="topix_overnight",
        formula="O_T/C_(T-1)-1.",
        lookback=1,
        check="hand",
    ),
    _feature(
        name="topix_intraday",
        formula="C_T/O_T-1.",
        lookback=0,
        check="hand",
    ),
    _feature(
        name="topix_rsi_14",
        formula="rsi_14 of TOPIX closes, finite-window Wilder L=196.",
        lookback=196,
        unit="index 0-100",
        check="TA-Lib RSI(14) after >=300 bars",
    ),
    _feature(
        name="topix_natr_14",
        formula="100*wil_14[tr]_T/C_T, finite-window Wilder L=196",
        lookback=196,
        unit="percent",
        check="TA-Lib NATR(14) after >=300 bars",
    ),
    _feature(
        name="topix_realized_vol_20",
        formula=(
            "sqrt(252)*std(ln(C_u/C_(u-1)), u in [T-19..T]), ddof=1; "
            "null (not 0) while the window is short"
        ),
        lookback=20,
        unit="annualised vol",
        check="pandas",
    ),
    _feature(
        name="topix_vol_z_250",
        formula=("(x_T-mean)/std of x=topix_realized_vol_20 over [T-249..T], ddof=1, at least 125"),
        lookback=269,
        unit="z",
        check="pandas",
    ),
    _feature(
        name="topix_drawdown_250d",
        formula="C_T/max(C_u, u in [T-249..T])-1, at least 125",
        lookback=249,
        check="pandas",
    ),
    _feature(
        name="growth250_rel_20d",
        formula=(
            "20-column return of index 0070 minus that of TOPIX (0000). "
            "0070 is the former Mothers index"
        ),
        inputs="idx-bars-daily.Code,C;idx-bars-daily-topix.C",
        lookback=_MONTH,
        check="hand",
    ),
    *(
        _feature(
            name=name,
            formula=formula,
            inputs="idx-bars-daily.Code,C",
            lookback=_MONTH,
            check="hand",
        )
        for name, (_, _, formula) in _SPREADS.items()
    ),
    _feature(
        name="nt_ratio_chg_20d",
        formula=(
            "(N_T/C_T)/(N_(T-20)/C_(T-20))-1, N = Nikkei 225 close from UnderPx of the "
            "option file, C = TOPIX."
        ),
        inputs="drv-bars-daily-opt-225.UnderPx;idx-bars-daily-topix.C",
        lookback=_MONTH,
        available=AFTER_NIGHT,
        null_rule="no option file on T or T-20",
        check="hand",
    ),
)


def compute(market: Market) -> dict[str, FloatArray]:
    """All features of the family, name -> (n_out,)."""
    n_out = market.panel.n_out
    series = {**_topix(market, n_out), **_spreads(market, n_out)}
    return {name: values[0] for name, values in series.items()}


def _topix(market: Market, n_out: int) -> dict[str, FloatArray]:
    """What needs TOPIX alone, name -> (1, n_out)."""
    bars = market.topix
    o, h, low, c = (series[np.newaxis] for series in (bars.o, bars.h, bars.l, bars.c))
    now, opened = (window_kernels.lagged(series, 0, n_out) for series in (c, o))
    before = window_kernels.lagged(c, 1, c.shape[1])
    result = {f"topix_ret_{days}d": _return(c, days, n_out) for days in (1, 5, _MONTH)}
    result["topix_overnight"] = window_kernels.simple_change(
        opened, window_kernels.lagged(c, 1, n_out)
    )
    result["topix_intraday"] = window_kernels.simple_change(now, opened)
    result["topix_rsi_14"] = rsi(c, before, 14, n_out)
    true_range = np.maximum(h, before) - np.minimum(low, before)
    result["topix_natr_14"] = 100.0 * window_kernels.ratio(
        window_kernels.wilder(true_range, 14, n_out), now
    )
    g = window_kernels.log_change(c, before)
    vol = np.sqrt(_YEAR) * window_kernels.window_std(g, 20, 20, n_out + 249)
    result["topix_realized_vol_20"] = window_kernels.lagged(vol, 0, n_out)
    from_mean = window_kernels.lagged(vol, 0, n_out) - window_kernels.window_mean(
        vol, 250, 125, n_out
    )
    result["topix_vol_z_250"] = window_kernels.ratio(
        from_mean, window_kernels.window_std(vol, 250, 125, n_out)
    )
    highest = window_kernels.window_max(c, 250, 125, n_out)
    result["topix_drawdown_250d"] = window_kernels.simple_change(now, highest)
    return result


def _spreads(market: Market, n_out: int) -> dict[str, FloatArray]:
    """One series against another over 20 columns, name -> (1, n_out)."""
    topix = market.topix.c[np.newaxis]

    def of(code: str) -> FloatArray:
        return _return(market.indices.of(code)[np.newaxis], _MONTH, n_out)

    result = {name: of(one) - of(other) for name, (one, other, _) in _SPREADS.items()}
    result["growth250_rel_20d"] = of(benchmark_levels.GROWTH_250) - _return(topix, _MONTH, n_out)
    nikkei = market.options.underlying[np.newaxis]
    result["nt_ratio_chg_20d"] = _return(window_kernels.ratio(nikkei, topix), _MONTH, n_out)
    return result


def _return(series: FloatArray, days: int, n_out: int) -> FloatArray:
    """Simple change of (1, columns) levels over some columns, (1, n_out)."""
    return window_kernels.simple_change(
        window_kernels.lagged(series, 0, n_out), window_kernels.lagged(series, days, n_out)
    )
