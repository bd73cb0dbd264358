"""Family gap: the jump from the last close to the open, and what the day made of it."""

from __future__ import annotations

from functools import partial

import numpy as np

from pipeline.features.engine import window_kernels
from pipeline.features.engine.column_spec import AFTER_CLOSE, BARS, Feature, FloatArray, Scope
from pipeline.features.price import beta
from pipeline.market.panel.benchmark_levels import Topix
from pipeline.market.panel.market_data import Market
from pipeline.market.panel.price_panel import SAME_PRICE, Panel

SCOPE: Scope = "line"

_SMALLEST = 0.001  # a gap below 10 basis points has nothing to retrace
_WINDOW, _MIN_COUNT = 20, 10
_ATR_PERIOD = 14

_NO_GAP = "no trade on T or p_(T-1) null"

_feature = partial(
    Feature,
    family="gap",
    inputs=BARS,
    lookback=1,
    available=AFTER_CLOSE,
    dtype="float32",
    check="hand",
)

FEATURES: tuple[Feature, ...] = (
    _feature(
        name="gap_atr",
        formula=(
            "(o_T-p_(T-1))/A, A = wil_14[tr]_(T-1) in the basis of T (finite-window Wilder); "
            "null if A=0. Signed"
        ),
        lookback=197,
        unit="ATR units",
        null_rule="no trade on T or natr_14_(T-1) null",
    ),
    _feature(
        name="gap_filled_flag",
        formula=("1 if (o_T>p_(T-1) and l_T<=p_(T-1)) or (o_T<p_(T-1) and h_T>=p_(T-1)); else 0."),
        dtype="int8",
        unit="flag",
        null_rule=_NO_GAP,
    ),
    _feature(
        name="gap_retrace",
        formula=(
            "clip((o_T-l_T)/(o_T-p_(T-1)),0,1) if the gap is up, "
            "clip((h_T-o_T)/(p_(T-1)-o_T),0,1) if down; null if |ret_overnight_T|<0.001."
        ),
        unit="share",
        null_rule="gap below 10 bp or no trade on T",
    ),
    _feature(
        name="gap_magnitude_z20",
        formula=(
            "(|y_T|-mean)/std of |y_u|, y=ret_overnight, window [T-20..T-1] excluding T, "
            "ddof=1, at least 10; null if std=0. The numerator is T"
        ),
        lookback=21,
        unit="z",
        null_rule="fewer than 10 traded days in the window",
        check="pandas shift(1).rolling(20,min_periods=10)",
    ),
    _feature(
        name="gap_resid_topix",
        formula="ret_overnight_T - beta60_topix_(T-1)*topix_overnight_T",
        inputs=f"{BARS};idx-bars-daily-topix.O,C",
        lookback=61,
        unit="ratio",
        null_rule="any input null",
    ),
)


def compute(market: Market) -> dict[str, FloatArray]:
    """All features of the family, name -> (lines, n_out)."""
    panel, n_out = market.panel, market.panel.n_out
    overnight = _overnight(panel, n_out + _WINDOW)
    gap = overnight[:, -n_out:]
    market_beta = beta.beta60(market, n_out + 1)[:, :-1]
    return {
        "gap_atr": _in_true_ranges(panel, n_out),
        **_aftermath(panel, gap, n_out),
        "gap_magnitude_z20": _magnitude(np.abs(overnight), n_out),
        "gap_resid_topix": gap - market_beta * _topix_overnight(market.topix, n_out),
    }


def _overnight(panel: Panel, n_out: int) -> FloatArray:
    """ret_overnight, (lines, n_out): exactly 0 where the day opens at the last close."""
    return window_kernels.simple_change(
        window_kernels.lagged(panel.o, 0, n_out), window_kernels.lagged(panel.p, 1, n_out)
    )


def _topix_overnight(topix: Topix, n_out: int) -> FloatArray:
    """TOPIX from the last close to the open, (1, n_out)."""
    opened, close = topix.o[np.newaxis], topix.c[np.newaxis]
    return window_kernels.simple_change(
        window_kernels.lagged(opened, 0, n_out), window_kernels.lagged(close, 1, n_out)
    )


def _in_true_ranges(panel: Panel, n_out: int) -> FloatArray:
    """The gap in average true ranges of the days before it, (lines, n_out)."""
    o, before = window_kernels.lagged(panel.o, 0, n_out), window_kernels.lagged(panel.p, 1, n_out)
    gap = np.where(window_kernels.same_price(o, before), 0.0, o - before)
    return window_kernels.ratio(
        gap, window_kernels.wilder(panel.tr, _ATR_PERIOD, n_out + 1)[:, :-1]
    )


def _aftermath(panel: Panel, gap: FloatArray, n_out: int) -> dict[str, FloatArray]:
    """Whether the day came back to the last close, and how far, name -> (lines, n_out).

    Args:
        panel: bars.
        gap: (lines, n_out) ret_overnight.
        n_out: number of columns wanted.
    """
    o, h, low = (window_kernels.lagged(x, 0, n_out) for x in (panel.o, panel.h, panel.l))
    before = window_kernels.lagged(panel.p, 1, n_out)
    fell_back = (gap > 0.0) & (window_kernels.simple_change(low, before) <= 0.0)
    came_back = (gap < 0.0) & (window_kernels.simple_change(h, before) >= 0.0)
    way_back = np.where(gap > 0.0, o - low, h - o)
    share = np.clip(window_kernels.ratio(way_back, np.abs(o - before)), 0.0, 1.0)
    # the boundary itself is a gap: 1001 over 1000 must not fall below it by rounding
    wide_enough = np.abs(gap) >= _SMALLEST - SAME_PRICE
    return {
        "gap_filled_flag": np.where(np.isnan(gap), np.nan, fell_back | came_back),
        "gap_retrace": np.where(wide_enough, share, np.nan),
    }


def _magnitude(size: FloatArray, n_out: int) -> FloatArray:
    """Size of the gap against the 20 columns before it, in standard deviations, (rows, n_out).

    Args:
        size: (rows, n_out + 20) absolute overnight returns.
        n_out: number of columns wanted.
    """
    mean = window_kernels.window_mean(size, _WINDOW, _MIN_COUNT, n_out + 1)[:, :-1]
    std = window_kernels.window_std(size, _WINDOW, _MIN_COUNT, n_out + 1)[:, :-1]
    return window_kernels.ratio(window_kernels.lagged(size, 0, n_out) - mean, std)
