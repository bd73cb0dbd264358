"""Family sector_relative: the stock's return against that of its sector."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from pipeline.features.cross_section.sector import MIN_MEMBERS
from pipeline.features.engine.column_spec import AFTER_CLOSE, CLOSE, Feature, FloatArray, Scope
from pipeline.features.engine.group_statistics import group_pct, groups_of
from pipeline.market.panel.market_data import Market

SCOPE: Scope = "derived"

_HORIZONS = (1, 5, 20)

_feature = partial(
    Feature,
    family="sector_relative",
    available=AFTER_CLOSE,
    dtype="float32",
    unit="ratio",
    null_rule="either input null",
    check="hand",
)

FEATURES: tuple[Feature, ...] = (
    *(
        _feature(
            name=f"rel_to_sector_idx_{days}d",
            formula=f"ret_prev_{days}d - sector_idx_ret_{days}d",
            inputs=f"{CLOSE};eq-master.S33;idx-bars-daily.Code,C",
            lookback=days,
        )
        for days in _HORIZONS
    ),
    _feature(
        name="rel_to_sec17_20d",
        formula="ret_prev_20d - sec17_ret_20d (mean includes the stock itself)",
        inputs=f"eq-master.S17;{CLOSE}",
        lookback=20,
    ),
    _feature(
        name="pct_in_sector_ret_20d",
        formula=(
            "(k-1)/(n-1), k = average-tie ascending rank of ret_prev_20d among the n universe "
            "members of the same S33 on T with non-null value; n>=5"
        ),
        inputs=f"eq-master.S33;{CLOSE}",
        lookback=20,
        unit="share",
        null_rule="fewer than 5 members or own value null",
        check="pandas groupby rank",
    ),
)


def compute(market: Market, known: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
    """All features of the family, name -> (codes, n_out)."""
    n_out = market.panel.n_out
    sectors = groups_of(market.master.s33[:, -n_out:], market.master.universe[:, -n_out:])
    result = {
        f"rel_to_sector_idx_{days}d": (
            known[f"ret_prev_{days}d"] - known[f"sector_idx_ret_{days}d"]
        )
        for days in _HORIZONS
    }
    result["rel_to_sec17_20d"] = known["ret_prev_20d"] - known["sec17_ret_20d"]
    result["pct_in_sector_ret_20d"] = group_pct(known["ret_prev_20d"], sectors, MIN_MEMBERS)
    return result
