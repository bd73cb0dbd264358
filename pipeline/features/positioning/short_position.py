"""Family short_position: short positions large enough to be reported, by open position."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from pipeline.features.engine import window_kernels
from pipeline.features.engine.column_spec import Feature, FloatArray, Scope
from pipeline.market.books.record_in_force import NO_ROW, rows_in_force
from pipeline.market.jit import jit
from pipeline.market.panel.market_data import Market
from pipeline.market.positioning.short_reports import DEPTH, HISTORY, SMALLEST, ShortReports

SCOPE: Scope = "market"

_WEEK, _MONTH = 5, HISTORY

_STATE = (
    "state at T: reporter key = (SSName,DICName,FundName) after NFKC and trimming; per key the row "
    "with the largest (DiscDate,CalcDate) among DiscDate<=T; active if "
    f"ShrtPosToSO>={SMALLEST} and DiscDate within the last {DEPTH} columns; r_i = ShrtPosToSO of "
    "active keys; "
)

_feature = partial(
    Feature,
    family="short_position",
    inputs=("mkt-short-sale.DiscDate,CalcDate,SSName,DICName,FundName,ShrtPosToSO,ShrtPosShares"),
    lookback=DEPTH,
    available="DiscDate 17:30 JST; as-of join by DiscDate, never by CalcDate",
    dtype="float32",
    unit="ratio of shares",
    null_rule="never null while listed",
    check="hand",
)


def _delta(days: int, was: str) -> Feature:
    return _feature(
        name=f"ssp_delta_{days}d",
        formula=f"ssp_ratio_sum_T - ssp_ratio_sum_(T-{days}){was}",
        lookback=DEPTH + days,
        null_rule=f"not listed at T-{days}",
    )


FEATURES: tuple[Feature, ...] = (
    _feature(
        name="ssp_ratio_sum",
        formula=f"{_STATE}sum of r_i, 0 if none.",
    ),
    _feature(
        name="ssp_reporters",
        formula=f"{_STATE}number of active keys",
        dtype="int16",
        unit="count",
    ),
    _feature(name="ssp_top_ratio", formula=f"{_STATE}max of r_i, 0 if none"),
    _feature(
        name="ssp_hhi",
        formula=f"{_STATE}sum of (r_i/sum r)^2; null if none active.",
        unit="share",
        null_rule="no active reporter",
    ),
    _delta(_WEEK, "."),
    _delta(_MONTH, ""),
    _feature(
        name=f"ssp_net_entries_{_MONTH}d",
        formula=(
            f"keys active at T and not at T-{_MONTH}, minus keys active at T-{_MONTH} and not at T."
        ),
        lookback=DEPTH + _MONTH,
        dtype="int8",
        unit="count",
        null_rule=f"not listed at T-{_MONTH}",
    ),
    _feature(
        name="ssp_days_since_report",
        formula=(
            "columns from the first column >= the latest DiscDate<=T of the code to T, "
            f"cap {DEPTH}; null if none."
        ),
        dtype="int16",
        unit="trading days",
        null_rule=f"no report in the last {DEPTH} columns",
    ),
)


def compute(market: Market) -> dict[str, FloatArray]:
    """All columns of the family, (codes, n_out) each."""
    reports, n_out = market.short_reports, market.panel.n_out
    width = HISTORY + n_out
    total, count, largest, concentration = _open_positions(
        reports.offsets,
        reports.start,
        reports.stop,
        reports.ratio,
        reports.axis.first_wanted - HISTORY,
        width,
    )
    listed = market.master.listed.astype(np.float64)

    def now(values: FloatArray) -> FloatArray:
        return window_kernels.lagged(values, 0, n_out)

    def change(values: FloatArray, days: int) -> FloatArray:
        was_listed = window_kernels.lagged(listed, days, n_out) == 1.0
        return np.where(
            was_listed, now(values) - window_kernels.lagged(values, days, n_out), np.nan
        )

    return {
        "ssp_ratio_sum": now(total),
        "ssp_reporters": now(count),
        "ssp_top_ratio": now(largest),
        "ssp_hhi": now(concentration),
        "ssp_delta_5d": change(total, _WEEK),
        "ssp_delta_20d": change(total, _MONTH),
        # Who left and who came cancel out of the difference of the two counts.
        "ssp_net_entries_20d": change(count, _MONTH),
        "ssp_days_since_report": _columns_since_report(reports),
    }


def _columns_since_report(reports: ShortReports) -> FloatArray:
    columns = np.arange(reports.axis.first_wanted, reports.axis.n_columns)
    row = rows_in_force(reports.report_offsets, reports.reported, columns, DEPTH)
    age = columns - np.append(reports.reported, 0)[row]
    return np.where(row == NO_ROW, np.nan, age)


@jit
def _open_positions(
    offsets: NDArray[np.int64],
    start: NDArray[np.int64],
    stop: NDArray[np.int64],
    ratio: FloatArray,
    first: int,
    width: int,
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Sum, number, largest and concentration of the open positions, (codes, width) each.

    Positions are added in order of the reporters' names, so that a sum does not depend on when
    they were opened.

    Args:
        offsets, start, stop, ratio: see ``ShortReports``.
        first: column of the first result.
        width: number of columns.
    """
    shape = (offsets.size - 1, width)
    total, count, largest, squares = (
        np.zeros(shape),
        np.zeros(shape),
        np.zeros(shape),
        np.zeros(shape),
    )
    for i in range(shape[0]):
        for row in range(offsets[i], offsets[i + 1]):
            for t in range(max(start[row] - first, 0), min(stop[row] - first, width)):
                total[i, t] += ratio[row]
                count[i, t] += 1.0
                largest[i, t] = max(largest[i, t], ratio[row])
        for row in range(offsets[i], offsets[i + 1]):
            for t in range(max(start[row] - first, 0), min(stop[row] - first, width)):
                squares[i, t] += (ratio[row] / total[i, t]) ** 2
        for t in range(width):
            if count[i, t] == 0.0:
                squares[i, t] = np.nan
    return total, count, largest, squares
