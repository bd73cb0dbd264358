"""Family earnings_calendar: the next report to come, and what the price made of the last one."""

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
from pipeline.market.books.announcement_dates import DEPTH
from pipeline.market.books.earnings_reaction import NO_REACTION, REACH
from pipeline.market.panel.market_data import Market

SCOPE: Scope = "market"

_DAYS_CAP = 60
_DRIFT = 120
_VALUE_WINDOW, _VALUE_MIN_COUNT = 20, 10

_SCHEDULE = (
    "schedule at T: per (FYE,FQName) the row with the largest PubDate<T (strictly); SchDate '' = "
    "undecided; "
)
_EVENT = (
    "event = latest statement by first disclosure; reaction column R = first column >= DiscDate if "
    "DiscTime < close (15:00 before 2024-11-05, 15:30 from then) or DiscDate is not a trading "
    "day, else the next column; R<=T; "
)
_PLANS = "fin-earnings-date.PubDate,SchDate,FQName,FYE"
_STATEMENTS = "fin-summary.DiscDate,DiscTime,DocType"
_TOPIX = "idx-bars-daily-topix.C"

_feature = partial(Feature, family="earnings_calendar", dtype="float32", check="hand")
_planned = partial(
    _feature,
    lookback=DEPTH,
    available=(
        "delivered 10:05 JST, i.e. after the 08:00 cutoff; first row = first trading day strictly "
        "after PubDate"
    ),
    null_rule="no scheduled date known",
)
_reported = partial(
    _feature,
    inputs=f"{_STATEMENTS};{CLOSE};{_TOPIX}",
    lookback=REACH + 2,
    available=PRICE_AND_STATEMENT,
    unit="ratio",
    null_rule=f"no event in the last {REACH} columns",
)

FEATURES: tuple[Feature, ...] = (
    _planned(
        name="earn_days_to_next",
        formula=(
            f"{_SCHEDULE}columns from T to the smallest SchDate>T, cap {_DAYS_CAP}; null "
            "if none known."
        ),
        inputs=f"{_PLANS};mkt-cal.Date",
        dtype="int16",
        unit="trading days",
    ),
    _planned(
        name="earn_date_shift_days",
        formula=(
            f"{_SCHEDULE}for the next event: current SchDate minus the first published SchDate of "
            "the same (FYE,FQName), calendar days; 0 if unchanged"
        ),
        inputs=_PLANS,
        dtype="int16",
        unit="calendar days",
    ),
    _reported(name="earn_reaction_1d", formula=f"{_EVENT}r_R - TOPIX return on R"),
    _reported(
        name="earn_drift_since",
        formula=f"{_EVENT}p_T/p_R - TOPIX_T/TOPIX_R; null once T-R>{_DRIFT}",
        null_rule=f"no event in the last {_DRIFT} columns",
    ),
    _reported(
        name="earn_reaction_value_ratio",
        formula=(
            f"{_EVENT}tv_R/mean(tv_u, u in [R-{_VALUE_WINDOW}..R-1]), at least {_VALUE_MIN_COUNT}"
        ),
        inputs=f"{_STATEMENTS};eq-bars-daily.Va,Vo,C,AdjFactor",
        lookback=REACH + _VALUE_WINDOW + 2,
    ),
)


def compute(market: Market) -> dict[str, FloatArray]:
    """All columns of the family, (codes, n_out) for the schedule, (lines, n_out) for reactions."""
    return {
        "earn_days_to_next": market.schedule.days_up_to(_DAYS_CAP),
        "earn_date_shift_days": market.schedule.date_shift,
        **_reactions(market),
    }


def _reactions(market: Market) -> dict[str, FloatArray]:
    """What bars say about the reaction column R; null where R lies before the line began."""
    panel, topix = market.panel, market.topix.c
    line = np.arange(panel.n_lines)[:, None]
    now = np.arange(panel.n_columns - panel.n_out, panel.n_columns)
    column = market.reactions.reaction[panel.line_code]
    known = column != NO_REACTION
    column = np.where(known, column, 0)
    index_return = np.append(np.nan, window_kernels.simple_change(topix[1:], topix[:-1]))
    usual = window_kernels.window_mean(panel.tv, _VALUE_WINDOW, _VALUE_MIN_COUNT, panel.n_columns)
    # Both ratios of the drift less 1, so that equal prices count as equal.
    drift = window_kernels.simple_change(panel.p[line, now], panel.p[line, column])
    drift -= window_kernels.simple_change(topix[now], topix[column])
    before = np.where(column > 0, usual[line, column - 1], np.nan)
    return {
        "earn_reaction_1d": np.where(known, panel.r[line, column] - index_return[column], np.nan),
        "earn_drift_since": np.where(known & (now - column <= _DRIFT), drift, np.nan),
        "earn_reaction_value_ratio": np.where(
            known, window_kernels.ratio(panel.tv[line, column], before), np.nan
        ),
    }
