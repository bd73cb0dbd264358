"""Family valuation: the market value, and what the statements earn and own for it.

Price, number of shares and statement are those of the same column, in its own basis.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from pipeline.features.engine import window_kernels
from pipeline.features.engine.column_spec import (
    CLOSE,
    PRICE_AND_STATEMENT,
    Feature,
    FloatArray,
    Scope,
)
from pipeline.market.books.change_list import Timeline
from pipeline.market.books.quarterly_accounts import Accounts
from pipeline.market.books.statements import Statements
from pipeline.market.panel.market_data import Market

SCOPE: Scope = "market"

_WINDOW = 250
_MIN_COUNT = 125

_feature = partial(
    Feature,
    family="valuation",
    available=PRICE_AND_STATEMENT,
    dtype="float32",
    unit="ratio",
    null_rule="mktcap or the statement item null",
    check="hand",
)


def _inputs(fields: str) -> str:
    return f"{CLOSE};fin-summary.ShOutFY,TrShFY,{fields}"


FEATURES: tuple[Feature, ...] = (
    _feature(
        name="log_mktcap",
        formula=(
            "ln(mktcap_T), mktcap_T = p_T (basis of T) * shares_T, shares_T = (ShOutFY - "
            "TrShFY, null TrShFY = 0) of the latest statement in force / product of "
            "AdjFactor over (effective column, T]. Price and shares in the same basis"
        ),
        inputs=_inputs("DiscDate"),
        lookback=200,
        unit="log yen",
        null_rule="no statement in the last 200 columns or p null",
        check="eq-valuation.MktCap*1e6 (1 day later on disclosures)",
    ),
    _feature(
        name="ep_ttm",
        formula="TTM(NP)/mktcap_T",
        inputs=_inputs("NP"),
        lookback=520,
        check="1/eq-valuation.PER (1 day later on disclosures)",
    ),
    _feature(
        name="ep_fwd",
        formula="g(NP)/mktcap_T, g of the guidance book",
        inputs=_inputs("FNP,NxFNp"),
        lookback=300,
        check="1/eq-valuation.FwdPER",
    ),
    _feature(
        name="bp",
        formula="Eq/mktcap_T, Eq of the latest period",
        inputs=_inputs("Eq"),
        lookback=200,
        check="1/eq-valuation.PBR",
    ),
    _feature(
        name="sp_ttm",
        formula="TTM(Sales)/mktcap_T",
        inputs=_inputs("Sales"),
        lookback=520,
    ),
    _feature(
        name="cfp_ttm",
        formula="TTM(CFO)/mktcap_T, TTM at the latest period that reports CFO",
        inputs=_inputs("CFO"),
        lookback=520,
    ),
    _feature(
        name="ep_ttm_z_250",
        formula="(ep_ttm_T-mean)/std over [T-249..T], ddof=1, at least 125; null if std=0",
        inputs=_inputs("NP"),
        lookback=770,
        unit="z",
        null_rule="fewer than 125 values",
        check="pandas",
    ),
)


def compute(market: Market) -> dict[str, FloatArray]:
    """All columns of the family, (lines, n_out) each."""
    statements: Statements = market.statements
    accounts = _current_accounts(statements, statements.wanted)
    at, n_out = accounts.at, market.axis.n_out
    cash = statements.reporting(at, statements.current(at), ("CFO",))
    items = {
        "bp": accounts.cumulative("Eq"),
        "sp_ttm": accounts.ttm("Sales"),
        "cfp_ttm": Accounts(statements, at, cash.period).ttm("CFO"),
    }
    mktcap = market.mktcap[:, -n_out:]
    forecast = market.forecasts.current("NP", statements.forecast_year).value
    by_code = {
        "log_mktcap": np.log(np.where(mktcap > 0.0, mktcap, np.nan)),
        "ep_fwd": window_kernels.ratio(forecast, mktcap),
        **{n: window_kernels.ratio(statements.wanted.spread(x), mktcap) for n, x in items.items()},
    }
    earnings = _earnings_yield(market)
    return {
        **{name: values[market.panel.line_code] for name, values in by_code.items()},
        "ep_ttm": earnings[:, -n_out:],
        "ep_ttm_z_250": _z_score(earnings, n_out),
    }


def _current_accounts(statements: Statements, timeline: Timeline) -> Accounts:
    """The accounts of the latest period, while its first disclosure is recent enough."""
    return Accounts(statements, timeline.points, statements.current(timeline.points).period)


def _earnings_yield(market: Market) -> FloatArray:
    """TTM(NP)/mktcap of the wanted columns and the window before them, (lines, columns).

    A line has values only while it has a price of its own: windows do not reach back into an
    earlier listing of the code.
    """
    statements: Statements = market.statements
    since = max(0, market.axis.first_wanted - _WINDOW + 1)
    timeline = statements.timeline(since)
    profit = timeline.spread(_current_accounts(statements, timeline).ttm("NP"))
    by_code = window_kernels.ratio(profit, market.mktcap[:, since:])
    priced = ~np.isnan(market.panel.p[:, since:])
    return np.where(priced, by_code[market.panel.line_code], np.nan)


def _z_score(x: FloatArray, n_out: int) -> FloatArray:
    mean = window_kernels.window_mean(x, _WINDOW, _MIN_COUNT, n_out)
    std = window_kernels.window_std(x, _WINDOW, _MIN_COUNT, n_out)
    return window_kernels.ratio(x[:, -n_out:] - mean, std)
