"""Family identity: what the listing record of T says, and how long it has said so."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from pipeline.features.engine.column_spec import AFTER_CLOSE, BoolArray, Feature, FloatArray, Scope
from pipeline.market.panel.market_data import Market

SCOPE: Scope = "line"

_AGE_CAP = 500
_EVENT_WINDOW = 250

_feature = partial(
    Feature,
    family="identity",
    lookback=0,
    available="T-1 17:30 JST (record dated T, refreshed T 08:00); own value of T allowed",
    dtype="int8",
    unit="category",
    check="hand",
)

FEATURES: tuple[Feature, ...] = (
    _feature(
        name="market_tier",
        formula=(
            "1 if Mkt in {0111,0101}; 2 if Mkt in {0112,0102,0106}; 3 if Mkt in "
            "{0113,0104,0107}; else null. Master record dated T."
        ),
        inputs="eq-master.Mkt",
        null_rule="Mkt outside the listed codes (PRO market, ETF/REIT segment)",
    ),
    _feature(
        name="sector17_id",
        formula="int(S17) of the master record dated T; 99 -> null.",
        inputs="eq-master.S17",
        null_rule="S17 = 99 or no master record",
    ),
    _feature(
        name="sector33_id",
        formula="int(S33) of the master record dated T (codes 50..9050); 9999 -> null.",
        inputs="eq-master.S33",
        dtype="int16",
        null_rule="S33 = 9999 or no master record",
    ),
    _feature(
        name="scale_bucket",
        formula=(
            "ordinal of ScaleCat: 'TOPIX Core30'=5, 'TOPIX Large70'=4, 'TOPIX Mid400'=3, "
            "'TOPIX Small 1'=2, 'TOPIX Small 2'=1, '-'=0"
        ),
        inputs="eq-master.ScaleCat",
        null_rule="no master record, or a ScaleCat that is none of these",
    ),
    _feature(
        name="margin_class",
        formula="int(Mrgn): 1 margin-buy only, 2 loanable (margin buy and short), 3 other.",
        inputs="eq-master.Mrgn",
        null_rule="Mrgn is none of these",
    ),
    _feature(
        name="is_traded",
        formula="1 if C_T is not null and Vo_T > 0, else 0",
        inputs="eq-bars-daily.C,Vo",
        available=AFTER_CLOSE,
        unit="flag",
        null_rule="never null while listed",
    ),
    _feature(
        name="listing_age_td",
        formula=(
            f"number of columns u in [T-{_AGE_CAP - 1}..T] on which the code has a master record "
            f"(cap {_AGE_CAP}; finite window, so a chunk start cannot change it)"
        ),
        inputs="eq-master.Date,Code",
        lookback=_AGE_CAP,
        dtype="int16",
        unit="trading days",
        null_rule="never null while listed",
    ),
    _feature(
        name="days_since_market_change",
        formula=(
            f"columns since the last u in [T-{_EVENT_WINDOW - 1}..T] with market_tier_u != "
            "market_tier_{u-1} (both non-null); 0 on the change day; null when there is none in "
            "the window"
        ),
        inputs="eq-master.Mkt",
        lookback=_EVENT_WINDOW + 1,
        dtype="int16",
        unit="trading days",
        null_rule=f"no change in the last {_EVENT_WINDOW} columns",
    ),
    _feature(
        name="days_since_split",
        formula=(
            f"columns since the last u in [T-{_EVENT_WINDOW - 1}..T] with AdjFactor_u not null and "
            "!= 1; 0 on the ex-date; null when none. Backward looking only"
        ),
        inputs="eq-bars-daily.AdjFactor",
        lookback=_EVENT_WINDOW,
        available=AFTER_CLOSE,
        dtype="int16",
        unit="trading days",
        null_rule=f"no split in the last {_EVENT_WINDOW} columns",
    ),
)


def compute(market: Market) -> dict[str, FloatArray]:
    """All columns of the family, (n_lines, n_out) each; NaN on columns without a record."""
    panel, master = market.panel, market.master
    wanted = np.s_[:, -panel.n_out :]
    row, listed = panel.line_code, panel.listed

    def of_record(values: NDArray[np.generic]) -> FloatArray:
        return np.where(listed[wanted], values, np.nan)

    def field(values: FloatArray) -> FloatArray:
        return of_record(values[wanted][row])

    traded = (panel.v[wanted] > 0.0) & ~np.isnan(panel.c[wanted])
    return {
        "market_tier": field(master.tier),
        "sector17_id": field(master.s17),
        "sector33_id": field(master.s33),
        "scale_bucket": field(master.scale),
        "margin_class": field(master.margin),
        "is_traded": of_record(traded),
        "listing_age_td": of_record(listed_columns(listed)[wanted]),
        "days_since_market_change": _columns_since(
            _tier_changes(master.tier[row], listed), panel.n_out
        ),
        "days_since_split": _columns_since(_splits(master.adj_factor[row], listed), panel.n_out),
    }


def listed_columns(listed: BoolArray) -> NDArray[np.int32]:
    """Listed columns among the last 500, (lines, columns): whole numbers, so sums are exact."""
    total = np.cumsum(listed, axis=1, dtype=np.int32)
    count = total.copy()
    count[:, _AGE_CAP:] -= total[:, :-_AGE_CAP]
    return count


def _tier_changes(tier: FloatArray, listed: BoolArray) -> BoolArray:
    """True where the tier differs from that of the column before, both known and of this line."""
    known = listed & ~np.isnan(tier)
    changes = np.zeros(tier.shape, np.bool_)
    changes[:, 1:] = known[:, 1:] & known[:, :-1] & (tier[:, 1:] != tier[:, :-1])
    return changes


def _splits(factor: FloatArray, listed: BoolArray) -> BoolArray:
    """True on ex-dates since the line began; a missing record inside the line hides none."""
    begun = np.logical_or.accumulate(listed, axis=1)
    splits: BoolArray = begun & (factor != 1.0)
    return splits


def _columns_since(events: BoolArray, n_out: int) -> FloatArray:
    """Columns since the last event of [T-249..T], (lines, n_out); NaN when there is none."""
    columns = np.arange(events.shape[1], dtype=np.int32)
    last = np.maximum.accumulate(np.where(events, columns, np.int32(-1)), axis=1)
    age = (columns - last)[:, -n_out:]
    return np.where((last[:, -n_out:] >= 0) & (age < _EVENT_WINDOW), age, np.nan)
