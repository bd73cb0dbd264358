"""Derived columns: a base value against its own past, its sector and the market of the day.

Definitions: see ``TRANSFORMS``. The time-series ones use the 20 columns before T, T excluded;
the cross-sectional ones run over the universe of T. Which base column gets which transforms is
its class (``transform_class``): a transform that could only be constant, or repeat another
column, is not made.

Everything here is computed per (T, code) from its own inputs in a fixed order, so a value does
not depend on what else is in the array.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pipeline.features.engine.column_spec import DType, Feature, FloatArray
from pipeline.market.jit import jit

HISTORY = 20  # columns before T that the time-series transforms look at
_MIN_HISTORY = 10
_MIN_SECTOR = 5
_MIN_RANKED = 20
NULL_INT8 = -128

TransformClass: TypeAlias = Literal["X", "S", "F", "M", "N"]
Float32Array: TypeAlias = NDArray[np.float32]
Int8Array: TypeAlias = NDArray[np.int8]
RowIndex: TypeAlias = NDArray[np.int32]


@dataclass(frozen=True)
class Transform:
    """One standard operator.

    Attributes:
        suffix: appended to the base name.
        group: time_series, sector or cross_section.
        formula: its definition on x, the base value as stored.
        dtype: stored type.
        unit: unit of the value; SAME_UNIT for that of x.
        null_rule: when the value is null.
    """

    suffix: str
    group: Literal["time_series", "sector", "cross_section"]
    formula: str
    dtype: DType
    unit: str
    null_rule: str


SAME_UNIT = "as x"

TRANSFORMS = (
    Transform(
        "_roll_mean_20d", "time_series", "mean of x over the 20 columns T-20..T-1", "float32",
        SAME_UNIT, "fewer than 10 non-null values",
    ),
    Transform(
        "_roll_std_20d", "time_series", "standard deviation (ddof 1) of x over T-20..T-1",
        "float32", SAME_UNIT, "fewer than 10 non-null values",
    ),
    Transform(
        "_zscore_20d", "time_series", "(x_T - roll_mean) / roll_std", "float32", "z",
        "any input null, or roll_std <= 1e-12 * max(1, |roll_mean|)",
    ),
    Transform(
        "_outlier_flag", "time_series", "1 if |zscore| > 2 else 0", "int8", "flag", "zscore null"
    ),
    Transform(
        "_sector_mean", "sector", "mean of x over the members of the same S33 on T, self included",
        "float32", SAME_UNIT, "fewer than 5 non-null members",
    ),
    Transform(
        "_sector_rel", "sector", "x - sector_mean", "float32", SAME_UNIT, "either null"
    ),
    Transform(
        "_cs_rank", "cross_section", "ascending rank of x in the universe of T, average ties",
        "float32", "rank from 1", "x null or fewer than 20 values",
    ),
    Transform(
        "_cs_pct", "cross_section", "(cs_rank - 1) / (number of values - 1)", "float32",
        "share 0-1", "cs_rank null",
    ),
    Transform(
        "_cs_top20_flag", "cross_section", "1 if cs_pct >= 0.8 else 0", "int8", "flag",
        "cs_pct null",
    ),
    Transform(
        "_cs_bottom20_flag", "cross_section", "1 if cs_pct <= 0.2 else 0", "int8", "flag",
        "cs_pct null",
    ),
)  # fmt: skip

_GROUPS_OF_CLASS = {
    "X": {"time_series", "sector", "cross_section"},
    "S": {"time_series", "cross_section"},
    "F": {"sector", "cross_section"},
    "M": {"time_series"},
    "N": set[str](),
}
_S_FAMILIES = {"sector", "sector_relative", "short_ratio"}
_F_FAMILIES = {
    "fundamental", "guidance", "dividend", "supply", "margin_alert", "earnings_calendar",
}  # fmt: skip
_M_FAMILIES = {"topix_index", "market_breadth", "futures", "option", "investor_flow"}


def transform_class(feature: Feature) -> TransformClass:
    """Class of a base column: which transforms make sense for it.

    N: none (identity, calendar, integers). M: one value per date, time series only. S: constant
    or demeaned inside a sector, so no sector transforms. F: moves a few times a year, so no time
    series. X: all.
    """
    if feature.family in {"identity", "calendar"} or feature.dtype != "float32":
        return "N"
    if feature.family in _M_FAMILIES:
        return "M"
    if feature.family in _S_FAMILIES:
        return "S"
    return "F" if feature.family in _F_FAMILIES else "X"


def transforms_of(feature: Feature) -> tuple[Transform, ...]:
    """The transforms of one base column, in column order."""
    groups = _GROUPS_OF_CLASS[transform_class(feature)]
    return tuple(t for t in TRANSFORMS if t.group in groups)


@jit
def time_series(
    x: FloatArray,
    row_of: RowIndex,
    mean: Float32Array,
    std: Float32Array,
    zscore: Float32Array,
    flag: Int8Array,
) -> None:
    """The four time-series transforms, written in row order.

    Args:
        x: (codes, HISTORY + days) base values, NaN = null.
        row_of: (codes, days) row of the output, -1 where the code has no row.
        mean, std, zscore: (rows,) outputs, NaN = null.
        flag: (rows,) output, NULL_INT8 = null.
    """
    for code in range(row_of.shape[0]):
        for day in range(row_of.shape[1]):
            row = row_of[code, day]
            if row < 0:
                continue
            count = 0
            total = 0.0
            for u in range(day, day + HISTORY):
                if not np.isnan(x[code, u]):
                    count += 1
                    total += x[code, u]
            mean[row] = np.nan
            std[row] = np.nan
            zscore[row] = np.nan
            flag[row] = NULL_INT8
            if count < _MIN_HISTORY:
                continue
            centre = total / count
            squares = 0.0
            for u in range(day, day + HISTORY):
                if not np.isnan(x[code, u]):
                    squares += (x[code, u] - centre) ** 2
            deviation = np.sqrt(squares / (count - 1))
            mean[row] = centre
            std[row] = deviation
            now = x[code, day + HISTORY]
            if np.isnan(now) or deviation <= 1e-12 * max(1.0, abs(centre)):
                continue
            score = (now - centre) / deviation
            zscore[row] = score
            flag[row] = 1 if abs(score) > 2.0 else 0


@jit
def sector(
    x: FloatArray,
    sector_of: NDArray[np.int16],
    row_of: RowIndex,
    n_sectors: int,
    mean: Float32Array,
    relative: Float32Array,
) -> None:
    """The two sector transforms, written in row order.

    Args:
        x: (days, codes) base values, NaN = null.
        sector_of: (days, codes) sector number from 0; any value where there is no row.
        row_of: (days, codes) row of the output, -1 where the code is not in the universe.
        n_sectors: sector numbers are below it.
        mean, relative: (rows,) outputs, NaN = null.
    """
    total = np.empty(n_sectors)
    count = np.empty(n_sectors, dtype=np.int64)
    for day in range(x.shape[0]):
        total[:] = 0.0
        count[:] = 0
        for code in range(x.shape[1]):
            if row_of[day, code] >= 0 and not np.isnan(x[day, code]):
                total[sector_of[day, code]] += x[day, code]
                count[sector_of[day, code]] += 1
        for code in range(x.shape[1]):
            row = row_of[day, code]
            if row < 0:
                continue
            own = sector_of[day, code]
            if count[own] < _MIN_SECTOR:
                mean[row] = np.nan
                relative[row] = np.nan
            else:
                centre = total[own] / count[own]
                mean[row] = centre
                relative[row] = x[day, code] - centre


@jit
def cross_section(
    x: FloatArray,
    order: NDArray[np.int64],
    row_of: RowIndex,
    rank: Float32Array,
    pct: Float32Array,
    top: Int8Array,
    bottom: Int8Array,
) -> None:
    """The four cross-sectional transforms, written in row order.

    Args:
        x: (days, codes) base values, NaN = null and outside the universe.
        order: (days, codes) ``argsort`` of x along codes, nulls last.
        row_of: (days, codes) row of the output, -1 where the code is not in the universe.
        rank, pct: (rows,) outputs, NaN = null.
        top, bottom: (rows,) outputs, NULL_INT8 = null.
    """
    n_codes = x.shape[1]
    for day in range(x.shape[0]):
        count = 0
        while count < n_codes and not np.isnan(x[day, order[day, count]]):
            count += 1
        first = 0
        while first < n_codes:
            stop = first + 1
            ranked = first < count and count >= _MIN_RANKED
            if ranked:
                while stop < count and x[day, order[day, stop]] == x[day, order[day, first]]:
                    stop += 1
            value = (first + 1 + stop) / 2.0
            share = (value - 1.0) / (count - 1.0) if ranked else np.nan
            for place in range(first, stop):
                row = row_of[day, order[day, place]]
                if row < 0:
                    continue
                rank[row] = value if ranked else np.nan
                pct[row] = share
                top[row] = (1 if share >= 0.8 else 0) if ranked else NULL_INT8
                bottom[row] = (1 if share <= 0.2 else 0) if ranked else NULL_INT8
            first = stop
