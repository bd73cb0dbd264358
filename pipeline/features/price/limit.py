"""Family limit: days on which the price ran into its daily limit."""

from __future__ import annotations

from functools import partial

import numpy as np

from pipeline.features.engine import window_kernels
from pipeline.features.engine.column_spec import AFTER_CLOSE, BoolArray, Feature, FloatArray, Scope
from pipeline.market.jit import jit
from pipeline.market.panel.intraday_bars import LIMIT_DAYS_BEFORE
from pipeline.market.panel.market_data import Market

SCOPE: Scope = "line"

_COUNT_WINDOW = 20
_SEARCH_WINDOW = LIMIT_DAYS_BEFORE + 1
_STREAK_CAP = 20

# Standard daily limit width in yen for a base price below the first number of each pair.
# Source: Tokyo Stock Exchange, daily price limits; the table of the catalogue.
_WIDTHS = (
    (100, 30), (200, 50), (500, 80), (700, 100), (1_000, 150),
    (1_500, 300), (2_000, 400), (3_000, 500), (5_000, 700), (7_000, 1_000),
    (10_000, 1_500), (15_000, 3_000), (20_000, 4_000), (30_000, 5_000), (50_000, 7_000),
    (70_000, 10_000), (100_000, 15_000), (150_000, 30_000), (200_000, 40_000),
    (300_000, 50_000), (500_000, 70_000), (700_000, 100_000), (1_000_000, 150_000),
    (1_500_000, 300_000), (2_000_000, 400_000), (3_000_000, 500_000), (5_000_000, 700_000),
    (7_000_000, 1_000_000), (10_000_000, 1_500_000), (15_000_000, 3_000_000),
    (20_000_000, 4_000_000), (30_000_000, 5_000_000), (50_000_000, 7_000_000),
    (np.inf, 10_000_000),
)  # fmt: skip
_PRICE_DECIMALS = 6  # split factors leave rounding errors, which must not cross a boundary

_feature = partial(
    Feature,
    family="limit",
    inputs="eq-bars-daily.UL,LL",
    lookback=0,
    available=AFTER_CLOSE,
    dtype="int8",
    unit="sign",
    null_rule="never null while listed",
    check="hand",
)
_count = partial(
    _feature, lookback=_COUNT_WINDOW - 1, unit="count", check="pandas rolling sum"
)  # fmt: skip

FEATURES: tuple[Feature, ...] = (
    _feature(
        name="limit_up_flag",
        formula="1 if UL_T = '1' (the limit-up price was touched), 0 if '0' or no trade.",
        unit="flag",
    ),
    _feature(
        name="limit_down_flag",
        formula="1 if LL_T = '1', 0 if '0' or no trade.",
        unit="flag",
    ),
    _feature(
        name="limit_close_state",
        formula=(
            "+1 if UL_T='1' and C_T=H_T; -1 if LL_T='1' and C_T=L_T; else 0 (raw prices; "
            "both true gives 0)."
        ),
        inputs="eq-bars-daily.UL,LL,H,L,C",
    ),
    _count(
        name="limit_up_cnt_20d",
        formula="sum of limit_up_flag over [T-19..T].",
    ),
    _count(name="limit_down_cnt_20d", formula="sum of limit_down_flag over [T-19..T]"),
    _feature(
        name="days_since_limit",
        formula=(
            "columns since the last u in [T-59..T] with limit_up_flag or limit_down_flag = 1 "
            "(0 = today); null if none"
        ),
        lookback=_SEARCH_WINDOW - 1,
        dtype="int16",
        unit="trading days",
        null_rule="no touch in the last 60 columns",
    ),
    _feature(
        name="limit_streak",
        formula=(
            "signed run capped at +-20: +n if limit_up_flag=1 on the n consecutive "
            "columns ending at T, -n likewise for limit_down_flag, 0 otherwise; if both "
            "flags are set on T use the sign of r_T."
        ),
        lookback=_STREAK_CAP,
        unit="trading days",
    ),
    _feature(
        name="post_limit_reversal",
        formula=(
            "-1 if limit_up_flag_(T-1)=1 and ret_intraday_T<0; "
            "+1 if limit_down_flag_(T-1)=1 and ret_intraday_T>0; else 0"
        ),
        inputs="eq-bars-daily.UL,LL,O,C",
        lookback=1,
    ),
    _feature(
        name="limit_width_next_pct",
        formula=(
            "W(B)/B, B=last raw close at or before T (carried, basis of T), W = standard daily "
            "price-limit width of the TSE table in features.md for base price B; widened limits "
            "are ignored. [replaces mpi_dist_to_limit: v2 has no limit prices]"
        ),
        inputs="eq-bars-daily.C,AdjFactor",
        lookback=20,
        dtype="float32",
        unit="ratio",
        null_rule="p null",
        check="hand (table)",
    ),
)


def compute(market: Market) -> dict[str, FloatArray]:
    """All features of the family, name -> (lines, n_out).

    A flag counts on listed columns of the line only; before the listing and in a gap of it
    nothing was touched.
    """
    panel, limits, n_out = market.panel, market.limits, market.panel.n_out
    listed = panel.listed[:, -n_out:]

    def touched(flags: BoolArray, width: int) -> FloatArray:
        rows = np.where(panel.listed[:, -width:], flags[:, -width:][panel.line_code], False)
        return window_kernels.lagged(rows.astype(np.float64), 0, width)

    def of_listed(values: FloatArray) -> FloatArray:
        return np.where(listed, values, np.nan)

    up, down = (touched(flags, n_out + _SEARCH_WINDOW - 1) for flags in (limits.up, limits.down))
    up_now, down_now = (window_kernels.lagged(flags, 0, n_out) for flags in (up, down))
    up_before, down_before = (window_kernels.lagged(flags, 1, n_out) for flags in (up, down))
    o, c, r, p = (window_kernels.lagged(x, 0, n_out) for x in (panel.o, panel.c, panel.r, panel.p))
    locked_up = up_now * touched(limits.closed_high, n_out)
    locked_down = down_now * touched(limits.closed_low, n_out)
    turned_down = (up_before == 1.0) & (c < o)
    turned_up = (down_before == 1.0) & (c > o)
    return {
        "limit_up_flag": of_listed(up_now),
        "limit_down_flag": of_listed(down_now),
        "limit_close_state": of_listed(locked_up - locked_down),
        "limit_up_cnt_20d": of_listed(window_kernels.window_sum(up, _COUNT_WINDOW, 0, n_out)),
        "limit_down_cnt_20d": of_listed(window_kernels.window_sum(down, _COUNT_WINDOW, 0, n_out)),
        "days_since_limit": of_listed(_columns_since((up == 1.0) | (down == 1.0), n_out)),
        "limit_streak": of_listed(_streak(up, down, r)),
        "post_limit_reversal": of_listed(
            np.where(turned_down, -1.0, np.where(turned_up, 1.0, 0.0))
        ),
        "limit_width_next_pct": _limit_width(p),
    }


def _limit_width(p: FloatArray) -> FloatArray:
    """Standard daily limit width for the base price ``p``, as a share of it."""
    below, width = np.array(_WIDTHS).T
    place = np.searchsorted(below, np.round(p, _PRICE_DECIMALS), side="right")
    known = np.minimum(place, width.size - 1)  # NaN sorts after every price
    return window_kernels.ratio(width[known], p)


def _columns_since(touches: BoolArray, n_out: int) -> FloatArray:
    """Columns since the last touch, (rows, n_out); NaN without one in the search window.

    Args:
        touches: (rows, n_out + _SEARCH_WINDOW - 1).
        n_out: number of columns wanted.
    """
    columns = np.arange(touches.shape[1], dtype=np.int32)
    last = np.maximum.accumulate(np.where(touches, columns, np.int32(-1)), axis=1)[:, -n_out:]
    age = columns[-n_out:] - last
    return np.where((last >= 0) & (age < _SEARCH_WINDOW), age, np.nan)


@jit
def _streak(up: FloatArray, down: FloatArray, r: FloatArray) -> FloatArray:
    """Signed number of consecutive columns with a touch that end in each column.

    Args:
        up, down: (rows, n_out + history) 1 on columns with a touch; history of at least
            _STREAK_CAP - 1 columns.
        r: (rows, n_out) return, whose sign decides on columns with both touches.
    """
    n_out = r.shape[1]
    history = up.shape[1] - n_out
    result = np.zeros(r.shape)
    for i in range(r.shape[0]):
        for t in range(n_out):
            here = history + t
            rises = up[i, here] == 1.0 and not (down[i, here] == 1.0 and not r[i, t] > 0.0)
            falls = down[i, here] == 1.0 and not (up[i, here] == 1.0 and not r[i, t] < 0.0)
            flags = up[i] if rises else down[i]
            length = 0
            while (rises or falls) and length < _STREAK_CAP and flags[here - length] == 1.0:
                length += 1
            result[i, t] = length if rises else -length
    return result
