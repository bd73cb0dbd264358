"""Family guidance: what companies forecast, against what they reported and forecast before.

g(X) is the current forecast of X for fy*, the year after the last one with published results. The
forecasts come from the guidance book, the results from the statement book, both as of T.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from pipeline.features.engine.column_spec import (
    CLOSE,
    DISCLOSED,
    PRICE_AND_STATEMENT,
    Feature,
    FloatArray,
    Scope,
)
from pipeline.features.engine.window_kernels import ratio
from pipeline.market.books.fiscal_periods import FULL_YEAR, YEAR
from pipeline.market.books.forecasts import CURRENT, Item
from pipeline.market.books.statements import Statements
from pipeline.market.panel.market_data import Market

SCOPE: Scope = "market"

_WINDOW = 250  # columns in which revisions are counted
_SILENT = 550  # columns without a forecast after which there is nothing to count

_BOOK = (
    "see 'guidance book' in features.md: fy* = the fiscal year after the last one with published "
    "FY results; g(X) = latest non-null full-year forecast of X for fy*; "
)
_FIELDS = (
    "fin-summary.DiscDate,DiscTime,DiscNo,DocType,CurFYEn,NxtFYEn,"
    "FSales,FOP,FNP,NxFSales,NxFOP,NxFNp"
)

_feature = partial(
    Feature,
    family="guidance",
    inputs=f"{_FIELDS},CurPerType",
    lookback=300,
    available=DISCLOSED,
    dtype="float32",
    unit="ratio",
    null_rule=f"no forecast for fy* in the last {CURRENT} columns",
    check="hand",
)

FEATURES: tuple[Feature, ...] = (
    _feature(
        name="guide_sales_growth",
        formula=f"{_BOOK}g(Sales)/cum(last FY,Sales)-1; null if the denominator<=0",
        inputs=f"{_FIELDS},Sales",
        lookback=560,
    ),
    _feature(
        name="guide_op_growth_to_sales",
        formula=f"{_BOOK}(g(OP)-cum(last FY,OP))/cum(last FY,Sales)",
        inputs=f"{_FIELDS},OP,Sales",
        lookback=560,
    ),
    _feature(
        name="guide_op_margin",
        formula=f"{_BOOK}g(OP)/g(Sales); null if g(Sales)<=0",
    ),
    _feature(
        name="guide_rev_op_last",
        formula=(
            f"{_BOOK}(g_new-g_old)/g(Sales) for the last change of g(OP) for fy* (g_old = previous "
            "non-null value for the same fy*); 0 if never changed"
        ),
    ),
    _feature(
        name="guide_rev_np_last",
        formula=(
            f"{_BOOK}(g_new-g_old)/mktcap at the close before the effective column of the change, "
            "for g(NP); 0 if never changed"
        ),
        inputs=f"{_FIELDS},ShOutFY;{CLOSE}",
        available=PRICE_AND_STATEMENT,
    ),
    _feature(
        name="guide_rev_net_count_250d",
        formula=(
            "number of upward minus downward changes of g(OP) (any fy*, same target year compared) "
            f"with effective column in [T-{_WINDOW - 1}..T]"
        ),
        lookback=550,
        dtype="int8",
        unit="count",
        null_rule=f"no forecast in the last {_SILENT} columns",
    ),
    _feature(
        name="guide_progress_op",
        formula=(
            f"{_BOOK}cum(latest period,OP)/g(OP) if the latest period lies in fy* (1Q..3Q); null "
            "if g(OP)<=0"
        ),
        inputs=f"{_FIELDS},OP,CurPerType",
        null_rule=(
            f"no forecast for fy* in the last {CURRENT} columns, or between FY results and the "
            "first quarter"
        ),
    ),
    _feature(
        name="guide_progress_gap",
        formula=(
            f"{_BOOK}guide_progress_op - cum(f-1,k,OP)/cum(f-1,FY,OP); null if either "
            "denominator<=0"
        ),
        inputs=f"{_FIELDS},OP,CurPerType",
        lookback=560,
        null_rule="guide_progress_op null or no prior year",
    ),
    _feature(
        name="guide_surprise_op_fy",
        formula=(
            "(cum(f,FY,OP)-g)/cum(f,FY,Sales), f = last FY with published results, g = last "
            "forecast of OP for f effective strictly before that statement's effective column"
        ),
        inputs=f"{_FIELDS},OP,Sales",
        lookback=560,
        null_rule="no forecast before the results",
    ),
    _feature(
        name="days_since_guide_rev",
        formula=(
            "columns since the effective column of the last change of g(OP), cap "
            f"{_WINDOW}; null if none in [T-{_WINDOW - 1}..T]."
        ),
        lookback=550,
        dtype="int16",
        unit="trading days",
        null_rule=f"no revision in the last {_WINDOW} columns",
    ),
)


def compute(market: Market) -> dict[str, FloatArray]:
    """All columns of the family, (codes, n_out) each."""
    return {
        **_growth(market),
        **_last_revisions(market),
        **_revisions(market),
        **_progress(market),
        "guide_surprise_op_fy": _surprise(market),
    }


def _growth(market: Market) -> dict[str, FloatArray]:
    sales, op = _guided(market, "Sales"), _guided(market, "OP")
    sales_before = _last_result(market.statements, "Sales")
    op_before = _last_result(market.statements, "OP")
    return {
        "guide_sales_growth": sales / _positive(sales_before) - 1.0,
        "guide_op_growth_to_sales": ratio(op - op_before, sales_before),
        "guide_op_margin": op / _positive(sales),
    }


def _last_revisions(market: Market) -> dict[str, FloatArray]:
    year = market.statements.forecast_year
    op = market.forecasts.last_change("OP", year)
    profit = market.forecasts.last_change("NP", year)
    return {
        "guide_rev_op_last": _relative(op.value, _guided(market, "Sales")),
        "guide_rev_np_last": _relative(
            profit.value, market.forecasts.just_before(profit, market.mktcap)
        ),
    }


def _relative(change: FloatArray, scale: FloatArray) -> FloatArray:
    """A change over its scale, which does not matter when nothing changed."""
    return np.where(change == 0.0, 0.0, ratio(change, scale))


def _revisions(market: Market) -> dict[str, FloatArray]:
    revisions = market.forecasts.revisions("OP", _WINDOW)
    guides = revisions.since_forecast <= _SILENT
    return {
        "guide_rev_net_count_250d": np.where(guides, revisions.net, np.nan),
        "days_since_guide_rev": revisions.since_change,
    }


def _progress(market: Market) -> dict[str, FloatArray]:
    statements = market.statements
    at, spread = statements.wanted.points, statements.wanted.spread
    period = statements.latest(at).period
    results = statements.last_full_year(at)
    in_forecast_year = (period.year == results.year + YEAR) & (period.quarter < FULL_YEAR)
    op = statements.figures("OP", at, period).values
    op_before = statements.figures("OP", at, period.years_before(1)).values
    whole_before = statements.figures("OP", at, results).values
    guided = _guided(market, "OP")
    progress = spread(np.where(in_forecast_year, op, np.nan)) / _positive(guided)
    return {
        "guide_progress_op": progress,
        "guide_progress_gap": progress - spread(op_before / _positive(whole_before)),
    }


def _surprise(market: Market) -> FloatArray:
    """(codes, n_out) results of the last fiscal year against the last forecast before them."""
    statements = market.statements
    at, spread = statements.wanted.points, statements.wanted.spread
    results = statements.last_full_year(at)
    first, _ = statements.disclosures(at, results)
    published = spread(np.append(statements.rows.visible, 0)[first]).astype(np.int64)
    year = statements.forecast_year - YEAR
    forecast = market.forecasts.before("OP", year, published).value
    return ratio(_last_result(statements, "OP") - forecast, _last_result(statements, "Sales"))


def _guided(market: Market, item: Item) -> FloatArray:
    """(codes, n_out) g(item), yen."""
    return market.forecasts.current(item, market.statements.forecast_year).value


def _last_result(statements: Statements, field: str) -> FloatArray:
    """(codes, n_out) cum(last FY, field), yen."""
    at = statements.wanted.points
    return statements.wanted.spread(
        statements.figures(field, at, statements.last_full_year(at)).values
    )


def _positive(denominator: FloatArray) -> FloatArray:
    """The denominator, null where it is not positive."""
    return np.where(denominator > 0.0, denominator, np.nan)
