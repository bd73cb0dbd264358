"""Family dividend: yields, forecasts and ex-dates, from the dividend and the guidance book.

An amount per share is put in the basis of T before it meets the price of T. The amount of an
ex-date belongs to the shares of the day before, so a split on the ex-date applies to it.
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
from pipeline.features.fundamental.identity import listed_columns
from pipeline.market.books.statements import Statements
from pipeline.market.jit import jit
from pipeline.market.panel import share_basis
from pipeline.market.panel.axis import Axis, IndexArray
from pipeline.market.panel.market_data import Market
from pipeline.market.panel.price_panel import Panel

SCOPE: Scope = "market"

_YEAR = 365  # calendar days of trailing dividends
_LISTED = 250  # columns of listing after which no ex-date means no dividend
_CAP = 250  # columns to or from an ex-date
_NEAR = 120  # columns ahead in which the amount of an ex-date matters

_BOOK = (
    "dividend book at T: rows with PubDate<=T, per CARefNo the last by (PubDate,PubTime,RefNo), "
    "dropped if StatCode=3; DivRate '-' or '' = null; "
)
_NOTICES = "fin-dividend.PubDate,PubTime,RefNo,CARefNo,StatCode,DivRate,ExDate,CommSpecCode"
_PUBLISHED = "PubDate 19:00 JST at the latest; as-of join, first row = first trading day >= PubDate"
_WITH_PRICE = "PubDate 19:00 JST and price of T; as-of join by PubDate"

_feature = partial(
    Feature, family="dividend", lookback=300, dtype="float32", unit="ratio", check="hand"
)

FEATURES: tuple[Feature, ...] = (
    _feature(
        name="div_yield_ttm",
        formula=(
            f"{_BOOK}sum over ExDate in (T-{_YEAR} calendar days, T] of DivRate*product "
            "of AdjFactor over [ExDate,T] (ex-date included: the dividend belongs to "
            f"the pre-split share), divided by p_T; 0 if none and listed for {_LISTED} "
            "columns."
        ),
        inputs=f"{_NOTICES};{CLOSE}",
        lookback=500,
        available=_WITH_PRICE,
        null_rule=f"listed fewer than {_LISTED} columns and no ex-date",
    ),
    _feature(
        name="div_yield_fwd",
        formula=(
            "latest non-null full-year dividend forecast for fy* (FDivAnn where CurFYEn=fy*, "
            "NxFDivAnn where NxtFYEn=fy*, revisions included) times product of AdjFactor over "
            "(effective column,T], divided by p_T"
        ),
        inputs=f"fin-summary.FDivAnn,NxFDivAnn,CurFYEn,NxtFYEn;{CLOSE}",
        available=PRICE_AND_STATEMENT,
        null_rule="no forecast for fy*",
    ),
    _feature(
        name="div_fwd_growth",
        formula=(
            "forecast of div_yield_fwd / actual DivAnn of the last FY (both in the basis of T) "
            "- 1; null if DivAnn<=0"
        ),
        inputs=f"fin-summary.FDivAnn,NxFDivAnn,DivAnn;{CLOSE}",
        lookback=560,
        available=DISCLOSED,
        null_rule="no forecast or no paid dividend",
    ),
    _feature(
        name="div_rev_last",
        formula=(
            "(new-old)*cumulative split factor/p at the close before the effective column, for "
            "the last change of the full-year dividend forecast of fy*; 0 if never changed"
        ),
        inputs=f"fin-summary.FDivAnn,NxFDivAnn;{CLOSE}",
        available=PRICE_AND_STATEMENT,
        null_rule="no forecast for fy*",
    ),
    _feature(
        name="div_days_to_ex",
        formula=(
            f"{_BOOK}columns from T to the nearest ExDate>T with non-null DivRate or "
            f"null rate but known date, at most {_CAP}; null if none known."
        ),
        inputs=f"{_NOTICES};mkt-cal.Date",
        available=_PUBLISHED,
        dtype="int16",
        unit="trading days",
        null_rule="no future ex-date known",
    ),
    _feature(
        name="div_days_since_ex",
        formula=f"{_BOOK}columns since the last ExDate<=T, cap {_CAP}",
        inputs=f"{_NOTICES};mkt-cal.Date",
        lookback=250,
        available=_PUBLISHED,
        dtype="int16",
        unit="trading days",
        null_rule=f"no ex-date in the last {_CAP} columns",
    ),
    _feature(
        name="div_next_yield",
        formula=(
            f"{_BOOK}DivRate of the nearest ExDate>T within {_NEAR} columns times "
            "product of AdjFactor over (PubDate,T], divided by p_T; 0 if that DivRate "
            "is 0."
        ),
        inputs=f"{_NOTICES};{CLOSE}",
        available=_WITH_PRICE,
        null_rule="no future ex-date or undecided amount",
    ),
)


def compute(market: Market) -> dict[str, FloatArray]:
    """All columns of the family, (codes, n_out) each."""
    return {**_from_notices(market), **_from_forecasts(market)}


def _from_notices(market: Market) -> dict[str, FloatArray]:
    axis, notices = market.axis, market.dividends
    stands = (notices.code, notices.start, notices.stop)
    ex_date = (notices.ex_date.astype(np.int64), notices.ex_column)
    days = axis.sessions.astype(np.int64)
    paid, last_ex = _past(*stands, *ex_date, notices.rate, axis.adj_factor, days, axis.n_out)
    amount, next_ex = _ahead(
        *stands, *ex_date, notices.rate, notices.stated, axis.adj_factor, axis.n_out
    )
    p = market.close[:, -axis.n_out :]
    since_ex, to_ex = _columns(axis) - last_ex, _columns_to(axis, next_ex)
    return {
        "div_yield_ttm": ratio(np.where(np.isnan(paid), _no_dividend(market.panel), paid), p),
        "div_days_to_ex": to_ex,
        "div_days_since_ex": np.where(since_ex <= _CAP, since_ex, np.nan),
        "div_next_yield": ratio(np.where(to_ex <= _NEAR, amount, np.nan), p),
    }


def _no_dividend(panel: Panel) -> FloatArray:
    """(codes, n_out) 0 where listing_age_td says that no ex-date means no dividend, else NaN."""
    age = listed_columns(panel.listed)[:, -panel.n_out :].astype(np.float64)
    return np.where(panel.pick(age) >= _LISTED, 0.0, np.nan)


def _columns_to(axis: Axis, ex_column: FloatArray) -> FloatArray:
    """Columns from T, at most _CAP; NaN where the published calendar cannot tell."""
    distance = np.minimum(ex_column - _columns(axis), _CAP)
    end = axis.column_at_or_after(axis.calendar.sessions[-1:]) + 1
    return np.where((ex_column < end) | (distance == _CAP), distance, np.nan)


def _from_forecasts(market: Market) -> dict[str, FloatArray]:
    axis, statements = market.axis, market.statements
    forecast = market.forecasts.current("DivAnn", statements.forecast_year)
    expected = forecast.value * share_basis.restated(
        axis.adj_factor, _codes(axis), forecast.column, _columns(axis)
    )
    paid = _last_paid(statements)
    return {
        "div_yield_fwd": ratio(expected, market.close[:, -axis.n_out :]),
        "div_fwd_growth": expected / np.where(paid > 0.0, paid, np.nan) - 1.0,
        "div_rev_last": _last_revision(market),
    }


def _last_paid(statements: Statements) -> FloatArray:
    """(codes, n_out) DivAnn of the last fiscal year, yen per share in the basis of T."""
    at = statements.wanted.points
    stated = statements.figures("DivAnn", at, statements.last_full_year(at))
    factor = share_basis.restated(statements.axis.adj_factor, at.code, stated.columns, at.column)
    return statements.wanted.spread(stated.values * factor)


def _last_revision(market: Market) -> FloatArray:
    """Change of the forecast over the close before it, both in the basis of its column."""
    axis = market.axis
    change = market.forecasts.last_change("DivAnn", market.statements.forecast_year)
    p = market.forecasts.just_before(change, market.close)
    p *= share_basis.restated(axis.adj_factor, _codes(axis), change.column - 1, change.column)
    return np.where(change.value == 0.0, 0.0, ratio(change.value, p))


def _codes(axis: Axis) -> IndexArray:
    return np.arange(axis.codes.size)[:, None]


def _columns(axis: Axis) -> IndexArray:
    return np.arange(axis.first_wanted, axis.n_columns)


@jit
def _past(
    code: IndexArray,
    start: IndexArray,
    stop: IndexArray,
    ex_day: IndexArray,
    ex_column: IndexArray,
    rate: FloatArray,
    adj_factor: FloatArray,
    days: IndexArray,
    n_out: int,
) -> tuple[FloatArray, FloatArray]:
    """What went ex up to T, from notices in the order of ``DividendNotices``.

    Args:
        code ... rate: of the notices; ``ex_day`` in days since 1970, as ``days`` of the columns.
        adj_factor: (codes, columns).

    Returns:
        (codes, n_out) each: sum of the rates of the trailing year in the basis of T, an undecided
        one counting 0, NaN without an ex-date; and the last ex-column, NaN without one.
    """
    n_columns = days.size
    first = n_columns - n_out
    paid = np.full((adj_factor.shape[0], n_out), np.nan)
    last = np.full((adj_factor.shape[0], n_out), np.nan)
    for n in range(code.size):
        i = code[n]
        # Before the panel no factor is known, and so is none of the amount.
        factor = 1.0 if ex_column[n] >= 0 else np.nan
        for t in range(max(ex_column[n], 0), min(stop[n], n_columns)):
            factor *= adj_factor[i, t]
            if t < max(start[n], first):
                continue
            last[i, t - first] = ex_column[n]  # ex-dates ascend
            if ex_day[n] > days[t] - _YEAR:
                amount = 0.0 if np.isnan(rate[n]) else rate[n] * factor
                before = paid[i, t - first]
                paid[i, t - first] = amount if np.isnan(before) else before + amount
    return paid, last


@jit
def _ahead(
    code: IndexArray,
    start: IndexArray,
    stop: IndexArray,
    ex_day: IndexArray,
    ex_column: IndexArray,
    rate: FloatArray,
    stated: IndexArray,
    adj_factor: FloatArray,
    n_out: int,
) -> tuple[FloatArray, FloatArray]:
    """What will go ex after T, from notices in the order of ``DividendNotices``.

    Args:
        code ... rate: of the notices; ``ex_day`` in days since 1970.
        stated: (notices,) column in whose basis the rate is.
        adj_factor: (codes, columns).

    Returns:
        (codes, n_out) each: sum of the known rates of the nearest ex-date in the basis of T, NaN
        if none is known; and its column, NaN without one.
    """
    n_columns = adj_factor.shape[1]
    first = n_columns - n_out
    amount = np.full((adj_factor.shape[0], n_out), np.nan)
    nearest = np.full((adj_factor.shape[0], n_out), np.nan)
    nearest_day = np.zeros((adj_factor.shape[0], n_out), np.int64)
    for n in range(code.size):
        i = code[n]
        factor = 1.0 if stated[n] >= -1 else np.nan
        for t in range(max(stated[n], 0), min(stop[n], ex_column[n], n_columns)):
            factor *= adj_factor[i, t] if t > stated[n] else 1.0
            if t < max(start[n], first):
                continue
            if np.isnan(nearest[i, t - first]):  # ex-dates ascend
                nearest[i, t - first] = ex_column[n]
                nearest_day[i, t - first] = ex_day[n]
            if nearest_day[i, t - first] == ex_day[n] and not np.isnan(rate[n]):
                before = amount[i, t - first]
                known = rate[n] * factor
                amount[i, t - first] = known if np.isnan(before) else before + known
    return amount, nearest
