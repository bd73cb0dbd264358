"""Family futures: TOPIX, Nikkei 225 and government bond futures, one value per date."""

from __future__ import annotations

from functools import partial

import numpy as np

from pipeline.features.engine.column_spec import (
    AFTER_NIGHT,
    Feature,
    FloatArray,
    Scope,
)
from pipeline.features.engine.window_kernels import ratio
from pipeline.market.derivatives.futures_quotes import Contracts
from pipeline.market.panel.axis import Axis
from pipeline.market.panel.market_data import Market

SCOPE: Scope = "market"

_DAYS_PER_YEAR = 365.0
_BOND_WINDOWS = (5, 20)

_INPUTS = "drv-bars-daily-fut.ProdCat,Date,CM,CCMFlag,EmMrgnTrgDiv,O,H,L,EC,Settle,OI,Vo,LTD,SQD"

_feature = partial(
    Feature,
    family="futures",
    inputs=_INPUTS,
    available=AFTER_NIGHT,
    dtype="float32",
    unit="ratio",
    null_rule="no record with EmMrgnTrgDiv='002' for the contract on a needed date",
    check="hand",
)


def _front(product: str) -> str:
    return (
        "front = contract with CCMFlag='1', else the largest OI (ties: nearest SQD), among "
        f"ProdCat={product}, EmMrgnTrgDiv='002', SQD>T;"
    )


def _bond_return(days: int) -> Feature:
    return _feature(
        name=f"jgb_fut_ret_{days}d",
        formula=(
            f"{_front('JGBLF')} product over u in [T-{days - 1}..T] of (Settle_u/Settle_(u-1) of "
            "the contract that is front on u) - 1, rolled return"
        ),
        lookback=days,
    )


FEATURES: tuple[Feature, ...] = (
    _feature(
        name="fut_topix_night_ret",
        formula=(
            f"{_front('TOPIXF')} EC_T/Settle_(T-1)-1 of the same contract (night session "
            "of trading date T ends 06:00 of T)."
        ),
        lookback=1,
    ),
    _feature(
        name="fut_topix_range_pct",
        formula=(
            f"{_front('TOPIXF')} (H_T-L_T)/Settle_(T-1) of the same contract, whole trading day."
        ),
        lookback=1,
    ),
    _feature(
        name="fut_topix_oi_chg_1d",
        formula="sum(OI_T)/sum(OI_(T-1))-1 over TOPIXF contracts with SQD>T, '002' records",
        lookback=1,
    ),
    _feature(
        name="fut_topix_basis",
        formula=(
            f"{_front('TOPIXF')} Settle_T/C_T-1, C = TOPIX close of T (settlement is struck at the "
            "end of the derivatives day session, 15:15, from 2024-11-05 15:45)"
        ),
        inputs=f"{_INPUTS};idx-bars-daily-topix.C",
        lookback=0,
    ),
    _feature(
        name="fut_topix_term_slope_ann",
        formula=(
            f"{_front('TOPIXF')} ln(Settle_n/Settle_f)*365/(days between their SQD), n = "
            "contract with the smallest SQD after the front's and OI>0."
        ),
        lookback=0,
        unit="per year",
    ),
    _feature(
        name="fut_topix_days_to_roll",
        formula=f"{_front('TOPIXF')} trading columns from T to LTD of the front (0 on LTD)",
        inputs=f"{_INPUTS};mkt-cal.Date",
        lookback=0,
        dtype="int16",
        unit="trading days",
    ),
    _feature(
        name="fut_nk225_night_ret",
        formula=f"{_front('NK225F')} EC_T/Settle_(T-1)-1 of the same contract",
        lookback=1,
    ),
    _feature(
        name="fut_nk225_basis",
        formula=f"{_front('NK225F')} Settle_T/N_T-1, N = UnderPx of the option file of T",
        inputs=f"{_INPUTS};drv-bars-daily-opt-225.UnderPx",
        lookback=0,
    ),
    *(_bond_return(days) for days in _BOND_WINDOWS),
)


def compute(market: Market) -> dict[str, FloatArray]:
    """All columns of the family, (n_out,) each."""
    topix, nikkei, bond = market.futures.topix, market.futures.nikkei, market.futures.bond
    n_out = market.panel.n_out
    every_day = {
        "fut_topix_night_ret": _night_return(topix),
        "fut_topix_range_pct": _range(topix),
        "fut_topix_oi_chg_1d": _open_interest_change(topix),
        "fut_topix_term_slope_ann": _term_slope(topix),
        "fut_topix_days_to_roll": _days_to_roll(topix, market.axis),
        "fut_nk225_night_ret": _night_return(nikkei),
        "fut_nk225_basis": _basis(nikkei, market.options.underlying),
    }
    return {
        **{name: values[-n_out:] for name, values in every_day.items()},
        "fut_topix_basis": topix_basis(market),
        **{f"jgb_fut_ret_{days}d": _rolled_return(bond, days, n_out) for days in _BOND_WINDOWS},
    }


def topix_basis(market: Market) -> FloatArray:
    """Column fut_topix_basis, (n_out,), for families that use it."""
    return _basis(market.futures.topix, market.topix.c)[-market.panel.n_out :]


def _basis(contracts: Contracts, underlying: FloatArray) -> FloatArray:
    """Front settlement over the level of what it follows, less 1, (columns,)."""
    return ratio(contracts.at(contracts.front, contracts.settle), underlying) - 1.0


def _night_return(contracts: Contracts) -> FloatArray:
    """(columns,) of the front contract: the night session precedes the day session of its date."""
    front = contracts.front
    night_close = contracts.at(front, contracts.night_close)
    return ratio(night_close, contracts.before(front, contracts.settle)) - 1.0


def _range(contracts: Contracts) -> FloatArray:
    """(columns,) of the front contract."""
    front = contracts.front
    height = contracts.at(front, contracts.high) - contracts.at(front, contracts.low)
    return ratio(height, contracts.before(front, contracts.settle))


def _open_interest_change(contracts: Contracts) -> FloatArray:
    """Change of the open interest of the contracts that outlive T, (columns,).

    NaN without a record of such a contract on T or the column before, or nothing held there.
    """
    change = np.full(contracts.sessions.size, np.nan)
    now = _sum_over_contracts(np.where(contracts.live, contracts.oi, np.nan))
    outlives = contracts.sq_day[:, :-1] > contracts.sessions[1:]
    before = _sum_over_contracts(np.where(outlives, contracts.oi[:, :-1], np.nan))
    change[1:] = ratio(now[1:], before) - 1.0
    return change


def _sum_over_contracts(values: FloatArray) -> FloatArray:
    """(columns,) sum of the non-null terms, by contract month; NaN without any."""
    total = np.zeros(values.shape[1])
    for contract in values:
        total += np.where(np.isnan(contract), 0.0, contract)
    return np.where(np.isnan(values).all(axis=0), np.nan, total)


def _term_slope(contracts: Contracts) -> FloatArray:
    """Log settlement of the next contract over the front one, per year between them, (columns,)."""
    front, following = contracts.front, contracts.following
    far, near = (contracts.at(row, contracts.settle) for row in (following, front))
    far_day, near_day = (contracts.at(row, contracts.sq_day) for row in (following, front))
    days = (far_day - near_day) / np.timedelta64(1, "D")
    slope: FloatArray = np.log(far / near) * _DAYS_PER_YEAR / days
    return slope


def _days_to_roll(contracts: Contracts, axis: Axis) -> FloatArray:
    """(columns,) NaN too where the last trading day is past the published calendar, or over."""
    last_day = contracts.at(contracts.front, contracts.last_day)
    columns = axis.column_at_or_before(last_day) - np.arange(last_day.size)
    published = last_day <= axis.calendar.sessions[-1]
    return np.where(published & (columns >= 0), columns, np.nan)


def _rolled_return(contracts: Contracts, days: int, n_out: int) -> FloatArray:
    """Product of the daily changes of whatever contract was front, less 1, (n_out,)."""
    front = contracts.front
    settle = contracts.at(front, contracts.settle)
    change = np.full(n_out + days - 1, np.nan)
    known = min(change.size, settle.size)
    change[-known:] = ratio(settle, contracts.before(front, contracts.settle))[-known:]
    product = np.ones(n_out)
    for k in range(days):
        product *= change[k : k + n_out]
    return product - 1.0
