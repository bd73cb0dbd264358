"""Family supply: how many shares there are, and how their number changed."""

from __future__ import annotations

from functools import partial

import numpy as np

from pipeline.features.engine import window_kernels
from pipeline.features.engine.column_spec import (
    DISCLOSED,
    Feature,
    FloatArray,
    Scope,
)
from pipeline.market.books.statements import Statements
from pipeline.market.panel.market_data import Market

SCOPE: Scope = "market"

_MISMATCH = 0.5  # a larger change is a split the statement and AdjFactor disagree about
_SHOCK = 0.01

_feature = partial(
    Feature,
    family="supply",
    inputs=(
        "fin-summary.ShOutFY,TrShFY,DiscDate,CurPerEn,CurFYEn,CurPerType;eq-bars-daily.AdjFactor"
    ),
    available=DISCLOSED,
    dtype="float32",
    unit="ratio",
    check="hand",
)


def _change(name: str, earlier: str, lookback: int, null_rule: str, remark: str = "") -> Feature:
    return _feature(
        name=name,
        formula=(
            f"n_0/n_1-1, n = ShOutFY-TrShFY of the latest period and of the {earlier}, both put in "
            f"the basis of T by the AdjFactor product over (effective column,T]{remark}"
        ),
        lookback=lookback,
        null_rule=null_rule,
    )


FEATURES: tuple[Feature, ...] = (
    _change(
        "shares_out_chg_yoy",
        "same quarter one year earlier",
        520,
        "no statement one year earlier",
    ),
    _change(
        "shares_out_chg_last",
        "immediately preceding reported period (next smaller CurPerEn)",
        330,
        "no previous statement",
        "; |x|>0.5 -> null (residual split mismatch).",
    ),
    _feature(
        name="treasury_ratio",
        formula="TrShFY/ShOutFY of the latest period (null TrShFY = 0)",
        lookback=200,
        unit="share",
        null_rule="no statement in the last 200 columns",
    ),
    _feature(
        name="supply_shock",
        formula="+1 if shares_out_chg_last>=0.01, -1 if <=-0.01, else 0 (dilution positive)",
        lookback=330,
        dtype="int8",
        unit="sign",
        null_rule="shares_out_chg_last null",
    ),
)


def compute(market: Market) -> dict[str, FloatArray]:
    """All columns of the family, (codes, n_out) each."""
    statements: Statements = market.statements
    timeline = statements.wanted
    at = timeline.points
    latest = statements.current(at)
    shares = statements.net_shares(at, latest.period)
    year_ago = statements.net_shares(at, latest.period.years_before(1))
    preceding = statements.net_shares(at, statements.preceding(at, latest).period)
    change = window_kernels.ratio(shares, preceding) - 1.0
    change = np.where(np.abs(change) > _MISMATCH, np.nan, change)
    treasury = statements.treasury_shares(at, latest.period)
    issued = statements.issued_shares(at, latest.period)
    by_point = {
        "shares_out_chg_yoy": window_kernels.ratio(shares, year_ago) - 1.0,
        "shares_out_chg_last": change,
        "treasury_ratio": window_kernels.ratio(treasury, issued),
        "supply_shock": _shock(change),
    }
    return {name: timeline.spread(values) for name, values in by_point.items()}


def _shock(change: FloatArray) -> FloatArray:
    """Sign of a change of at least 1 %, else 0; null where the change is."""
    sign = np.where(np.abs(change) >= _SHOCK, np.sign(change), 0.0)
    return np.where(np.isnan(change), np.nan, sign)
