"""The catalogue: every column of the dataset, in order.

Each family declares its base columns beside the code that computes them; this module puts the
families in order, adds the transforms and answers what the rest of the pipeline asks: which
columns there are, of which type, and how far back they look. To add a feature: one row and one
function in its family, a new manifest, one test.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, Protocol

import pyarrow as pa

from pipeline.features.cross_section import peer, sector, sector_relative
from pipeline.features.derivatives import futures, option
from pipeline.features.engine.column_spec import Feature, FloatArray, Scope
from pipeline.features.engine.transforms import HISTORY, transform_class, transforms_of
from pipeline.features.fundamental import (
    dividend,
    earnings_calendar,
    fundamental,
    guidance,
    identity,
    supply,
    valuation,
)
from pipeline.features.market_wide import calendar, market_breadth, topix_index
from pipeline.features.positioning import (
    investor_flow,
    margin,
    margin_alert,
    short_position,
    short_ratio,
)
from pipeline.features.price import (
    alpha158_rolling,
    beta,
    candle,
    gap,
    limit,
    moving_average,
    oscillator,
    price_return,
    session,
    volatility,
)
from pipeline.features.volume import breakdown, crowding, liquidity
from pipeline.market.panel.price_panel import CARRY_COLUMNS
from pipeline.market.panel.share_basis import DEPTH as SPLIT_DEPTH

DATE, CODE = "Date", "Code"
ROLE = b"role"  # field metadata: key, feature or label

_ARROW = {"float32": pa.float32(), "int8": pa.int8(), "int16": pa.int16()}


class Family(Protocol):
    """What a family module offers.

    ``compute`` takes the market, and for a family of scope "derived" also the columns known so
    far: those of all other scopes, and of the derived families in front of it.
    """

    @property
    def FEATURES(self) -> tuple[Feature, ...]: ...  # noqa: N802

    @property
    def SCOPE(self) -> Scope: ...  # noqa: N802

    @property
    def compute(self) -> Callable[..., Mapping[str, FloatArray]]: ...


FAMILIES: Sequence[Family] = (
    identity,
    price_return,
    candle,
    moving_average,
    oscillator,
    volatility,
    liquidity,
    alpha158_rolling,
    limit,
    session,
    gap,
    sector,
    sector_relative,
    peer,
    beta,
    topix_index,
    market_breadth,
    futures,
    option,
    investor_flow,
    margin,
    margin_alert,
    short_ratio,
    short_position,
    breakdown,
    fundamental,
    guidance,
    valuation,
    dividend,
    earnings_calendar,
    calendar,
    supply,
    crowding,
)


@cache
def features() -> tuple[Feature, ...]:
    """All base columns in catalogue order."""
    return tuple(feature for family in FAMILIES for feature in family.FEATURES)


@cache
def column_schema() -> pa.Schema:
    """Arrow schema of a chunk: the two keys, then each base column followed by its transforms."""
    keys: list[pa.Field[Any]] = [
        pa.field(DATE, pa.date32(), nullable=False, metadata={ROLE: b"key"}),
        pa.field(CODE, pa.string(), nullable=False, metadata={ROLE: b"key"}),
    ]
    columns: list[pa.Field[Any]] = [
        pa.field(name, _ARROW[dtype], metadata={ROLE: b"feature"})
        for feature in features()
        for name, dtype in [
            (feature.name, feature.dtype),
            *((feature.name + t.suffix, t.dtype) for t in transforms_of(feature)),
        ]
    ]
    return pa.schema(keys + columns)


@cache
def columns_by_family() -> Mapping[str, tuple[str, ...]]:
    """Names of all feature columns of each family, in column order."""
    columns: dict[str, list[str]] = {}
    for feature in features():
        names = [feature.name, *(feature.name + t.suffix for t in transforms_of(feature))]
        columns.setdefault(feature.family, []).extend(names)
    return {family: tuple(names) for family, names in columns.items()}


def repeating_columns() -> frozenset[str]:
    """Columns whose values repeat over the rows of a day: one per date, per sector, or ranks."""
    return frozenset(
        feature.name + suffix
        for feature in features()
        for suffix in ("", *(t.suffix for t in transforms_of(feature)))
        if transform_class(feature) == "M" or suffix in {"_sector_mean", "_cs_rank"}
    )


def value_ranges() -> Mapping[str, tuple[float, float]]:
    """Lowest and highest value of the columns whose unit states them."""
    units = {
        feature.name + suffix: unit
        for feature in features()
        for suffix, unit in [
            ("", feature.unit),
            *((t.suffix, t.unit) for t in transforms_of(feature)),
        ]
    }
    return {name: _RANGES[unit] for name, unit in units.items() if unit in _RANGES}


_RANGES: Mapping[str, tuple[float, float]] = {
    "flag": (0, 1),
    "sign": (-1, 1),
    "share 0-1": (0, 1),
    "score 0-1": (0, 1),
    "share -1..1": (-1, 1),
    "ratio -1..1": (-1, 1),
    "correlation": (-1, 1),
    "index 0-100": (0, 100),
    "index -100..100": (-100, 100),
}

#: Endpoints whose records are read from earlier than the panel begins, by this many calendar
#: days: the statement book reaches back 1,100 columns from each of 250 columns before T.
EARLIER_DAYS: Mapping[str, int] = {"fin-summary": 1250}


def warm_up_columns() -> int:
    """Trading columns in front of a chunk that make every value independent of its start.

    The longest look-back, the columns a close may be carried over before it, and the history
    of the transforms. What reads the statement book looks back further, but in its own records
    only (``EARLIER_DAYS``); of the panel it needs the split factors.
    """
    deepest = max(f.lookback for f in features() if not f.endpoints & EARLIER_DAYS.keys())
    return max(deepest, SPLIT_DEPTH) + CARRY_COLUMNS + HISTORY
