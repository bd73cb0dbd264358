"""Family fundamental: profitability, growth and timeliness of the latest statements.

Every value is that of the statement book as of T. It is evaluated on the few columns on which a
code's book may change and holds until the next one.
"""

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
from pipeline.market.books.quarterly_accounts import Accounts
from pipeline.market.books.record_in_force import NO_ROW
from pipeline.market.books.statements import Latest, Statements
from pipeline.market.closed_lists import DOCUMENT
from pipeline.market.panel.axis import IndexArray
from pipeline.market.panel.market_data import Market

SCOPE: Scope = "market"

_BOOK = "see 'statement book' in features.md; "
_KEYS = "fin-summary.DiscDate,DiscTime,DiscNo,DocType,CurPerType,CurPerEn,CurFYEn"
_YEAR = 520  # columns that hold the records of two fiscal years
_TWO_YEARS = 780

_SURPRISES = 8  # earlier changes a surprise is compared with
_MIN_SURPRISES = 6

_fact = partial(
    Feature,
    family="fundamental",
    inputs=_KEYS,
    lookback=200,
    available=DISCLOSED,
    dtype="int8",
    unit="category",
    null_rule="no statement in the last 200 columns",
    check="hand",
)


def _figure(
    name: str,
    formula: str,
    fields: str,
    lookback: int = _YEAR,
    check: str = "hand",
    unit: str = "ratio",
) -> Feature:
    return Feature(
        name=name,
        family="fundamental",
        formula=_BOOK + formula,
        inputs=f"{_KEYS},{fields}",
        lookback=lookback,
        available=DISCLOSED,
        dtype="float32",
        unit=unit,
        null_rule=(
            "no usable statement, a needed prior-period record is missing, "
            "or the latest statement is older than 200 columns"
        ),
        check=check,
    )


FEATURES: tuple[Feature, ...] = (
    _figure(
        "fs_op_margin_ttm",
        (
            "TTM(OP)/TTM(Sales); null if TTM(Sales)<=0. TTM(X) at (FY f, quarter k): "
            "cum(f,FY) if k=FY, else cum(f,k)+cum(f-1,FY)-cum(f-1,k)."
        ),
        "Sales,OP",
        check="eq-valuation for NP based ratios; hand",
    ),
    _figure(
        "fs_np_margin_ttm",
        "TTM(NP)/TTM(Sales); null if TTM(Sales)<=0.",
        "Sales,NP",
    ),
    _figure(
        "fs_roe_ttm",
        "TTM(NP)/mean(Eq at the latest period, Eq one year earlier (f-1,k)); the single latest Eq "
        "if the earlier one is missing; null if the mean<=0",
        "NP,Eq",
        check="eq-valuation.ROE (1 day later, other equity definition)",
    ),
    _figure(
        "fs_roa_ttm",
        "TTM(NP)/mean(TA latest, TA one year earlier), same fallback; null if <=0",
        "NP,TA",
    ),
    _figure(
        "fs_cfo_to_assets",
        "TTM(CFO)/TA, TTM taken at the latest period that reports CFO (usually 2Q or FY), TA of "
        "that period",
        "CFO,TA",
    ),
    _figure(
        "fs_accruals",
        "(TTM(NP)-TTM(CFO))/TA, both TTM at the latest period that reports CFO.",
        "NP,CFO,TA",
    ),
    _figure(
        "fs_fcf_to_assets",
        "(TTM(CFO)+TTM(CFI))/TA at the latest period that reports both.",
        "CFO,CFI,TA",
    ),
    _figure(
        "fs_equity_ratio",
        "Eq/TA of the latest period; null if TA<=0",
        "Eq,TA",
        lookback=200,
        check="fin-summary.EqAR (net of minority interests)",
    ),
    _figure(
        "fs_cash_ratio",
        "CashEq/TA of the latest period that reports CashEq.",
        "CashEq,TA",
        lookback=460,
    ),
    _figure(
        "fs_asset_turnover",
        "TTM(Sales)/mean(TA latest, TA one year earlier)",
        "Sales,TA",
    ),
    _figure(
        "fs_sales_yoy_ttm",
        "TTM(Sales)/TTM_prev(Sales)-1, TTM_prev = TTM at (f-1,k); null if TTM_prev<=0",
        "Sales",
        lookback=_TWO_YEARS,
    ),
    _figure(
        "fs_op_chg_to_assets",
        "(TTM(OP)-TTM_prev(OP))/TA; sign safe.",
        "OP,TA",
        lookback=_TWO_YEARS,
    ),
    _figure(
        "fs_sales_q_yoy",
        "Q(Sales)/Q_prev(Sales)-1; Q = single quarter: cum(f,k)-cum(f,k-1), cum(f,1Q) for k=1Q; "
        "Q_prev the same for f-1; null if Q_prev<=0",
        "Sales",
    ),
    _figure(
        "fs_op_q_chg_to_sales",
        "(Q(OP)-Q_prev(OP))/Q_prev(Sales); null if Q_prev(Sales)<=0",
        "OP,Sales",
    ),
    _figure(
        "fs_op_margin_chg_yoy",
        "fs_op_margin_ttm minus the same ratio at (f-1,k)",
        "OP,Sales",
        lookback=_TWO_YEARS,
    ),
    _figure(
        "fs_asset_growth_yoy",
        "TA/TA one year earlier (f-1,k) - 1; null if the earlier TA<=0",
        "TA",
    ),
    _figure(
        "fs_sue_np",
        "d_0/std(d_1..d_8), d_j = Q(NP) minus Q(NP) four quarters earlier, j quarters back; "
        "ddof=1, at least 6 of d_1..d_8; null if std=0",
        "NP",
        lookback=1100,
        unit="z",
    ),
    _fact(
        name="fs_days_since_disclosure",
        formula=(
            "columns from the first column >= DiscDate of the first statement of the "
            "latest period to T, cap 200."
        ),
        dtype="int16",
        unit="trading days",
    ),
    _fact(
        name="fs_report_lag_days",
        formula="calendar days from CurPerEn to DiscDate of that statement.",
        dtype="int16",
        unit="calendar days",
    ),
    _fact(
        name="fs_quarter",
        formula="CurPerType of the latest period: 1Q=1, 2Q=2, 3Q=3, FY=4.",
    ),
    _fact(
        name="fs_accounting_std",
        formula=(
            "suffix of DocType after the last '_': JP=1, IFRS=2, US=3, JMIS=4, Foreign=5, REIT=6."
        ),
    ),
    _fact(
        name="fs_is_consolidated",
        formula=(
            "1 if DocType contains '_Consolidated_' as a whole token, 0 if '_NonConsolidated_'."
        ),
        unit="flag",
    ),
)


def compute(market: Market) -> dict[str, FloatArray]:
    """All columns of the family, (codes, n_out) each."""
    statements: Statements = market.statements
    timeline = statements.wanted
    latest = statements.current(timeline.points)
    accounts = Accounts(statements, timeline.points, latest.period)
    first, last = statements.disclosures(timeline.points, latest.period)
    by_point = {
        **_margins(accounts),
        **_balance(accounts),
        **_cash(accounts, latest),
        **_growth(accounts),
        "fs_sue_np": _surprise(accounts),
        **_facts(statements, latest, first, last),
    }
    columns = np.arange(market.axis.first_wanted, market.axis.n_columns)
    disclosed = timeline.spread(np.append(statements.rows.visible, np.nan)[first])
    return {
        **{name: timeline.spread(values) for name, values in by_point.items()},
        "fs_days_since_disclosure": columns - disclosed,
    }


def _margins(accounts: Accounts) -> dict[str, FloatArray]:
    sales, op, np_ = (accounts.ttm(field) for field in ("Sales", "OP", "NP"))
    margin = op / _positive(sales)
    before = accounts.ttm("OP", years=1) / _positive(accounts.ttm("Sales", years=1))
    equity, assets = accounts.cumulative("Eq"), accounts.cumulative("TA")
    equity_before = accounts.cumulative("Eq", years=1)
    assets_before = accounts.cumulative("TA", years=1)
    return {
        "fs_op_margin_ttm": margin,
        "fs_op_margin_chg_yoy": margin - before,
        "fs_np_margin_ttm": np_ / _positive(sales),
        "fs_roe_ttm": np_ / _positive(_mean(equity, equity_before)),
        "fs_roa_ttm": np_ / _positive(_mean(assets, assets_before)),
        # no single year in place of the mean here: the catalogue grants that to the returns only
        "fs_asset_turnover": window_kernels.ratio(sales, (assets + assets_before) / 2.0),
    }


def _balance(accounts: Accounts) -> dict[str, FloatArray]:
    assets = accounts.cumulative("TA")
    return {
        "fs_equity_ratio": accounts.cumulative("Eq") / _positive(assets),
        "fs_asset_growth_yoy": assets / _positive(accounts.cumulative("TA", years=1)) - 1.0,
    }


def _cash(accounts: Accounts, latest: Latest) -> dict[str, FloatArray]:
    """Cash flows and cash at the latest period that reports them, over its own assets."""

    def reporting(*fields: str) -> Accounts:
        found = accounts.statements.reporting(accounts.at, latest, fields)
        return Accounts(accounts.statements, accounts.at, found.period)

    flow, flows, cash = reporting("CFO"), reporting("CFO", "CFI"), reporting("CashEq")
    cfo = flow.ttm("CFO")
    free = flows.ttm("CFO") + flows.ttm("CFI")
    return {
        "fs_cfo_to_assets": window_kernels.ratio(cfo, flow.cumulative("TA")),
        "fs_accruals": window_kernels.ratio(flow.ttm("NP") - cfo, flow.cumulative("TA")),
        "fs_fcf_to_assets": window_kernels.ratio(free, flows.cumulative("TA")),
        "fs_cash_ratio": window_kernels.ratio(cash.cumulative("CashEq"), cash.cumulative("TA")),
    }


def _growth(accounts: Accounts) -> dict[str, FloatArray]:
    sales_before = accounts.ttm("Sales", years=1)
    op_change = accounts.ttm("OP") - accounts.ttm("OP", years=1)
    quarter_before = accounts.single_quarter("Sales", quarters=4)
    quarter_change = accounts.single_quarter("OP") - accounts.single_quarter("OP", quarters=4)
    return {
        "fs_sales_yoy_ttm": accounts.ttm("Sales") / _positive(sales_before) - 1.0,
        "fs_op_chg_to_assets": window_kernels.ratio(op_change, accounts.cumulative("TA")),
        "fs_sales_q_yoy": accounts.single_quarter("Sales") / _positive(quarter_before) - 1.0,
        "fs_op_q_chg_to_sales": quarter_change / _positive(quarter_before),
    }


def _surprise(accounts: Accounts) -> FloatArray:
    """Change of the quarterly profit on the year, in standard deviations of the earlier ones."""
    quarters = [accounts.single_quarter("NP", quarters=j) for j in range(_SURPRISES + 5)]
    changes = [quarters[j] - quarters[j + 4] for j in range(_SURPRISES + 1)]
    earlier = np.stack(changes[:0:-1], axis=1)  # (points, 8), oldest first
    std = window_kernels.window_std(earlier, _SURPRISES, _MIN_SURPRISES, 1)[:, 0]
    return window_kernels.ratio(changes[0], std)


def _facts(
    statements: Statements, latest: Latest, first: IndexArray, last: IndexArray
) -> dict[str, FloatArray]:
    """What the rows of the latest period say beside figures; the first one and the last one."""
    rows = statements.rows
    lag = (rows.disclosed - rows.end) / np.timedelta64(1, "D")  # NaN without an end
    standard = np.array([DOCUMENT.number(kind) for kind in rows.kinds], dtype=np.float64)
    consolidated = np.array([_consolidated(kind) for kind in rows.kinds])
    return {
        "fs_report_lag_days": np.append(lag, np.nan)[first],
        "fs_quarter": np.where(latest.row == NO_ROW, np.nan, latest.period.quarter),
        "fs_accounting_std": np.append(standard[rows.kind], np.nan)[last],
        "fs_is_consolidated": np.append(consolidated[rows.kind], np.nan)[last],
    }


def _consolidated(kind: str) -> float:
    if "_Consolidated_" in kind:
        return 1.0
    return 0.0 if "_NonConsolidated_" in kind else np.nan


def _positive(denominator: FloatArray) -> FloatArray:
    """The denominator, null where it is not above 0."""
    return np.where(denominator > 0.0, denominator, np.nan)


def _mean(now: FloatArray, before: FloatArray) -> FloatArray:
    """Mean of both ends of the year; the later one alone where the earlier is missing."""
    return np.where(np.isnan(before), now, (now + before) / 2.0)
