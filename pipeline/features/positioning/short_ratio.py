"""Family short_ratio: short selling in the stock's sector."""

from __future__ import annotations

from functools import partial

import numpy as np

from pipeline.features.engine.column_spec import AFTER_CLOSE, Feature, FloatArray, Scope
from pipeline.features.engine.window_kernels import ratio
from pipeline.market.panel.axis import IndexArray
from pipeline.market.panel.market_data import Market

SCOPE: Scope = "market"

_CHANGE = 5  # columns

_feature = partial(
    Feature,
    family="short_ratio",
    inputs="mkt-short-ratio.Date,S33,SellExShortVa,ShrtWithResVa,ShrtNoResVa",
    lookback=0,
    available=AFTER_CLOSE,
    dtype="float32",
    unit="share",
    null_rule="no record for the sector on T",
    check="hand",
)

FEATURES: tuple[Feature, ...] = (
    _feature(
        name="short_ratio_sector",
        formula=(
            "(R+N)/(S+R+N), R=ShrtWithResVa, N=ShrtNoResVa, S=SellExShortVa of the "
            "stock's S33 on T; null if the denominator is 0."
        ),
    ),
    _feature(
        name="short_restricted_share_sector",
        formula=(
            "R/(R+N) of the stock's S33 on T; null if R+N=0. R = shorts with the price (uptick) "
            "restriction in force"
        ),
    ),
    _feature(
        name="short_ratio_sector_chg_5d",
        formula=(f"short_ratio_sector_T - short_ratio_sector_(T-{_CHANGE}), both for the S33 of T"),
        lookback=_CHANGE,
    ),
)


def compute(market: Market) -> dict[str, FloatArray]:
    """All columns of the family, (codes, n_out) each."""
    records, n_out = market.short_ratio, market.panel.n_out
    row = records.row_of(market.master.s33[:, -n_out:])
    share = ratio(records.shorts, records.sales)
    restricted = ratio(records.restricted, records.shorts)
    now = _of_sector(share, row, 0)
    return {
        "short_ratio_sector": now,
        "short_restricted_share_sector": _of_sector(restricted, row, 0),
        "short_ratio_sector_chg_5d": now - _of_sector(share, row, _CHANGE),
    }


def _of_sector(values: FloatArray, row: IndexArray, back: int) -> FloatArray:
    """Each stock's sector some columns earlier.

    Args:
        values: (sectors, columns).
        row: (codes, n_out) sector on T, NOWHERE without one.
        back: columns before T.

    Returns:
        (codes, n_out).
    """
    n_out, n_columns = row.shape[1], values.shape[1]
    padded = np.full((values.shape[0] + 1, n_out + back), np.nan)  # NOWHERE picks the null row
    known = min(padded.shape[1], n_columns)
    padded[:-1, -known:] = values[:, -known:]
    return padded[row, np.arange(n_out)]
