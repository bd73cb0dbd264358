"""Family investor_flow: who bought and who sold in the latest week published, one value per date.

One column follows the stock's market tier and so has one value per tier.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from pipeline.features.engine import window_kernels
from pipeline.features.engine.column_spec import Feature, FloatArray, Scope
from pipeline.market.panel.market_data import Market
from pipeline.market.positioning.investor_flows import WEEKS, InvestorFlows, SectionFlows

SCOPE: Scope = "market"

_MAX_AGE = 15  # columns
_YEAR_WEEKS, _YEAR_MIN_WEEKS = WEEKS, 26
_MONTH_WEEKS = 4
_PERSISTENCE_WEEKS = 10

_IN_FORCE = (
    "Record in force on T: per Section, among rows with PubDate<=T keep for each (StDate,EnDate) "
    "the latest PubDate, then take the largest EnDate."
)
_KEYS = "eq-investor-types.PubDate,StDate,EnDate,Section"
_STALE = f"no record published in the last {_MAX_AGE} columns"

_feature = partial(
    Feature,
    family="investor_flow",
    inputs=f"{_KEYS},FrgnBal,TotTot",
    lookback=_MAX_AGE,
    available="PubDate 18:00 JST; as-of join by PubDate, never by EnDate",
    dtype="float32",
    unit="share",
    null_rule=_STALE,
    check="hand",
)

#: Column name -> balance of the investors it is about.
_NET_SHARES = {
    "flow_foreign_net_share": "FrgnBal",
    "flow_individual_net_share": "IndBal",
    "flow_trustbank_net_share": "TrstBnkBal",
    "flow_invtrust_net_share": "InvTrBal",
    "flow_bizcorp_net_share": "BusCoBal",
}
_NET_SCORES = {"flow_foreign_net_z52": "FrgnBal", "flow_individual_net_z52": "IndBal"}


def _net_share(name: str, balance: str) -> Feature:
    return _feature(
        name=name,
        formula=(
            f"{_IN_FORCE} {balance}/TotTot, Section TokyoNagoya (continuous through the "
            "2022-04-04 market reform; thousand yen cancels)."
        ),
        inputs=f"{_KEYS},{balance},TotTot",
    )


def _net_score(name: str, balance: str) -> Feature:
    return _feature(
        name=name,
        formula=(
            f"{_IN_FORCE} (x_0-mean)/std over the last {_YEAR_WEEKS} weekly records in "
            f"force (one per EnDate, including the current one), x={balance}/TotTot, "
            f"ddof=1, at least {_YEAR_MIN_WEEKS}; null if std=0. Windows count weekly "
            "records, not rows"
        ),
        inputs=f"{_KEYS},{balance},TotTot",
        lookback=290,
        unit="z",
        null_rule=f"{_STALE} or fewer than {_YEAR_MIN_WEEKS} weeks",
    )


FEATURES: tuple[Feature, ...] = (
    *(_net_share(name, balance) for name, balance in _NET_SHARES.items()),
    *(_net_score(name, balance) for name, balance in _NET_SCORES.items()),
    _feature(
        name="flow_foreign_net_4w_share",
        formula=(
            f"{_IN_FORCE} sum(FrgnBal)/sum(TotTot) over the last {_MONTH_WEEKS} weekly records in "
            f"force, {_MONTH_WEEKS} required"
        ),
        lookback=40,
    ),
    _feature(
        name="flow_foreign_persistence_10w",
        formula=(
            f"{_IN_FORCE} mean of sign(FrgnBal) over the last {_PERSISTENCE_WEEKS} "
            f"weekly records in force, {_PERSISTENCE_WEEKS} required."
        ),
        inputs=f"{_KEYS},FrgnBal",
        lookback=70,
        unit="share -1..1",
    ),
    _feature(
        name="flow_foreign_turnover_share",
        formula=f"{_IN_FORCE} FrgnTot/TotTot, Section TokyoNagoya",
        inputs=f"{_KEYS},FrgnTot,TotTot",
    ),
    _feature(
        name="flow_tier_foreign_net_share",
        formula=(
            f"{_IN_FORCE} FrgnBal/TotTot of the stock's own segment: tier 1 TSEPrime (before "
            "2022-04-04 TSE1st), tier 2 TSEStandard (TSE2nd), tier 3 TSEGrowth (TSEMothers)"
        ),
        inputs=f"{_KEYS},FrgnBal,TotTot;eq-master.Mkt",
        null_rule=f"{_STALE}, market_tier null",
    ),
    _feature(
        name="flow_staleness_td",
        formula=(
            "columns from the first column >= PubDate of the record in force (TokyoNagoya) to T."
        ),
        inputs=_KEYS,
        dtype="int16",
        unit="trading days",
    ),
)


def compute(market: Market) -> dict[str, FloatArray]:
    """All columns of the family, (n_out,) each; the one by market tier (codes, n_out)."""
    whole, n_out = market.flows.whole, market.panel.n_out
    values = {name: _share(whole, balance) for name, balance in _NET_SHARES.items()}
    values |= {name: _score(whole, balance) for name, balance in _NET_SCORES.items()}
    foreign, turnover = whole.weekly("FrgnBal"), whole.weekly("TotTot")
    values["flow_foreign_net_4w_share"] = window_kernels.ratio(
        window_kernels.window_sum(foreign, _MONTH_WEEKS, _MONTH_WEEKS, 1)[:, 0],
        window_kernels.window_sum(turnover, _MONTH_WEEKS, _MONTH_WEEKS, 1)[:, 0],
    )
    values["flow_foreign_persistence_10w"] = window_kernels.window_mean(
        np.sign(foreign), _PERSISTENCE_WEEKS, _PERSISTENCE_WEEKS, 1
    )[:, 0]
    values["flow_foreign_turnover_share"] = _share(whole, "FrgnTot")
    values["flow_staleness_td"] = whole.age
    values = {name: _while_fresh(whole, value) for name, value in values.items()}
    tier = market.master.tier[:, -n_out:]
    return {**values, "flow_tier_foreign_net_share": _of_tier(market.flows, tier)}


def _while_fresh(flows: SectionFlows, values: FloatArray) -> FloatArray:
    return np.where(flows.age <= _MAX_AGE, values, np.nan)


def _share(flows: SectionFlows, amount: str) -> FloatArray:
    """An amount of the latest week over its turnover, (n_out,)."""
    return window_kernels.ratio(flows.latest(amount), flows.latest("TotTot"))


def _score(flows: SectionFlows, balance: str) -> FloatArray:
    """Share of the latest week against those of a year, in standard deviations, (n_out,)."""
    share = window_kernels.ratio(flows.weekly(balance), flows.weekly("TotTot"))
    mean = window_kernels.window_mean(share, _YEAR_WEEKS, _YEAR_MIN_WEEKS, 1)[:, 0]
    std = window_kernels.window_std(share, _YEAR_WEEKS, _YEAR_MIN_WEEKS, 1)[:, 0]
    return window_kernels.ratio(share[:, -1] - mean, std)


def _of_tier(flows: InvestorFlows, tier: FloatArray) -> FloatArray:
    """Net share of foreigners in the section of each tier, in the shape of ``tier``."""
    result = np.full(tier.shape, np.nan)
    for number, section in flows.tiers.items():
        share = _while_fresh(section, _share(section, "FrgnBal"))
        result = np.where(tier == number, share, result)
    return result
