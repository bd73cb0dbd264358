"""Family candle: the shape of the bar of T."""

from __future__ import annotations

from functools import partial

import numpy as np

from pipeline.features.engine import window_kernels
from pipeline.features.engine.column_spec import AFTER_CLOSE, BARS, Feature, FloatArray, Scope
from pipeline.market.panel.market_data import Market

SCOPE: Scope = "line"

_feature = partial(
    Feature,
    family="candle",
    inputs=BARS,
    lookback=0,
    available=AFTER_CLOSE,
    dtype="float32",
    unit="ratio",
    null_rule="no trade on T",
)
_FLAT = "; 0 when h_T = l_T"

FEATURES: tuple[Feature, ...] = tuple(
    _feature(name=name, formula=formula, check=f"qlib Alpha158 {check}")
    for name, formula, check in (
        ("ret_intraday", "c_T/o_T - 1", "KMID; OPEN0 = 1/(1+x)"),
        ("kbar_len", "(h_T-l_T)/o_T", "KLEN"),
        ("kbar_body_share", f"(c_T-o_T)/(h_T-l_T){_FLAT}", "KMID2"),
        ("kbar_upper", "(h_T-max(o_T,c_T))/o_T", "KUP"),
        ("kbar_upper_share", f"(h_T-max(o_T,c_T))/(h_T-l_T){_FLAT}", "KUP2"),
        ("kbar_lower", "(min(o_T,c_T)-l_T)/o_T", "KLOW"),
        ("kbar_lower_share", f"(min(o_T,c_T)-l_T)/(h_T-l_T){_FLAT}", "KLOW2"),
        ("kbar_shift", "(2*c_T-h_T-l_T)/o_T", "KSFT"),
        (
            "kbar_shift_share",
            f"(2*c_T-h_T-l_T)/(h_T-l_T){_FLAT}.",
            "KSFT2",
        ),
        ("high_to_close", "h_T/c_T", "HIGH0"),
        ("low_to_close", "l_T/c_T", "LOW0"),
    )
) + (
    _feature(
        name="vwap_to_close",
        formula="(Va_T/Vo_T)/C_T, raw fields of the same day",
        inputs="eq-bars-daily.C,Vo,Va",
        check="qlib Alpha158 VWAP0",
    ),
)


def compute(market: Market) -> dict[str, FloatArray]:
    """All features of the family, name -> (lines, n_out)."""
    panel, n_out = market.panel, market.panel.n_out
    fields = (panel.o, panel.h, panel.l, panel.c, panel.v, panel.va)
    o, h, low, c, v, va = (window_kernels.lagged(field, 0, n_out) for field in fields)
    body = c - o
    upper = h - np.maximum(o, c)
    lower = np.minimum(o, c) - low
    shift = 2.0 * c - h - low
    height = h - low
    return {
        "ret_intraday": window_kernels.ratio(c, o) - 1.0,
        "kbar_len": window_kernels.ratio(height, o),
        "kbar_body_share": _share(body, height),
        "kbar_upper": window_kernels.ratio(upper, o),
        "kbar_upper_share": _share(upper, height),
        "kbar_lower": window_kernels.ratio(lower, o),
        "kbar_lower_share": _share(lower, height),
        "kbar_shift": window_kernels.ratio(shift, o),
        "kbar_shift_share": _share(shift, height),
        "high_to_close": window_kernels.ratio(h, c),
        "low_to_close": window_kernels.ratio(low, c),
        # v and c carry inverse split factors, so the quotient is that of the raw fields
        "vwap_to_close": window_kernels.ratio(window_kernels.ratio(va, v), c),
    }


def _share(part: FloatArray, height: FloatArray) -> FloatArray:
    """Part of the bar's height; 0 for a bar without height, whose parts are all 0."""
    return np.where(height == 0.0, 0.0, window_kernels.ratio(part, height))
