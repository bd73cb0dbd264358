"""Family session: the morning against the afternoon."""

from __future__ import annotations

from functools import partial

import numpy as np

from pipeline.features.engine import window_kernels
from pipeline.features.engine.column_spec import AFTER_CLOSE, Feature, FloatArray, Scope
from pipeline.market.panel.market_data import Market

SCOPE: Scope = "market"

_WINDOW, _MIN_COUNT = 20, 10
_NO_TRADE = "no trade in the session concerned, or plan without session fields"

_feature = partial(
    Feature,
    family="session",
    inputs="eq-bars-daily.MO,MH,ML,MC,MVa,AO,AH,AL,AC,AVa,H,L,Va",
    lookback=0,
    available=AFTER_CLOSE,
    dtype="float32",
    unit="ratio",
    null_rule=_NO_TRADE,
    check="hand",
)

FEATURES: tuple[Feature, ...] = (
    _feature(
        name="am_ret",
        formula="MC_T/MO_T - 1, raw, same day. Own value of T",
    ),
    _feature(name="pm_ret", formula="AC_T/AO_T - 1, raw, same day"),
    _feature(name="lunch_gap", formula="AO_T/MC_T - 1, raw, same day."),
    _feature(name="am_range", formula="(MH_T-ML_T)/MO_T, raw, same day"),
    _feature(
        name="am_to_full_range",
        formula="(MH_T-ML_T)/(H_T-L_T), raw; null if H=L. All four raw",
        unit="share",
        null_rule=f"{_NO_TRADE}, or H=L",
    ),
    _feature(
        name="am_value_share",
        formula="MVa_T/Va_T; null if Va=0.",
        unit="share",
    ),
    _feature(
        name="pm_minus_am_20d",
        formula=(
            "sum over u in [T-19..T] of ln(AC_u/AO_u) minus the same sum of ln(MC_u/MO_u); "
            "each sum skips null terms, at least 10 terms each"
        ),
        lookback=19,
        unit="log return",
        null_rule="fewer than 10 sessions of either kind",
    ),
)


def compute(market: Market) -> dict[str, FloatArray]:
    """All features of the family, name -> (codes, n_out).

    Computed once per code instead of once per line: all prices of a ratio are of one day, and a
    code that was away and came back (more than 20 columns) has no old day in its window.
    """
    parts, n_out = market.parts, market.panel.n_out
    listed = market.master.listed[:, -parts.width :]

    def of_listed(values: FloatArray) -> FloatArray:
        return np.where(listed, values, np.nan)

    def now(values: FloatArray) -> FloatArray:
        return window_kernels.lagged(of_listed(values), 0, n_out)

    def drift(close: FloatArray, first: FloatArray) -> FloatArray:
        change = np.log(window_kernels.ratio(of_listed(close), of_listed(first)))
        return window_kernels.window_sum(change, _WINDOW, _MIN_COUNT, n_out)

    am_open, am_close, pm_open = now(parts.mo), now(parts.mc), now(parts.ao)
    am_height = now(parts.mh - parts.ml)
    return {
        "am_ret": window_kernels.ratio(am_close, am_open) - 1.0,
        "pm_ret": window_kernels.ratio(now(parts.ac), pm_open) - 1.0,
        "lunch_gap": window_kernels.ratio(pm_open, am_close) - 1.0,
        "am_range": window_kernels.ratio(am_height, am_open),
        "am_to_full_range": window_kernels.ratio(am_height, now(parts.h - parts.l)),
        "am_value_share": window_kernels.ratio(now(parts.mva), now(parts.va)),
        "pm_minus_am_20d": drift(parts.ac, parts.ao) - drift(parts.mc, parts.mo),
    }
