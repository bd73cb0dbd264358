"""What one chunk holds, in numbers small enough to keep: by session, month and family.

A profile depends on one build of a chunk and on nothing else, so it is made once per build and
taken over from one report to the next. All of it are counts, shares and quantiles.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.features.engine.catalogue import DATE, features

VERSION = 1  # to be raised when something is measured otherwise

TIER = "market_tier"
TIERS = (1, 2, 3)  # Prime, Standard, Growth and those before them
UNTIERED = len(TIERS)  # position of the rows without a tier

#: Telling features, one or two of each kind of source, whose distribution is followed.
DRIFT = (
    *("ret_prev_20d", "realized_vol_20d", "rsi_14", "log_value", "amihud_20_log", "log_mktcap"),
    *("ep_ttm", "bp", "fs_roe_ttm", "div_yield_fwd", "margin_lsr_log", "bd_short_share"),
)
#: One value per session, the same in all its rows.
MARKET = ("topix_ret_1d", "opt_iv_atm_30d")

_QUARTILES = (0.25, 0.5, 0.75)
_DIGITS = 6


@dataclass(frozen=True)
class Session:
    """One trading day.

    Attributes:
        rows: by tier, then those without one.
        members: by tier, as the listing records give them; None where these are not at hand.
        market: values of ``MARKET``; None for a null.
    """

    rows: tuple[int, ...]
    members: tuple[int, ...] | None
    market: tuple[float | None, ...]

    @property
    def total(self) -> int:
        return sum(self.rows)

    @property
    def expected(self) -> int | None:
        return None if self.members is None else sum(self.members)


@dataclass(frozen=True)
class Month:
    """The rows of one month of a chunk.

    Attributes:
        nulls: family -> share of nulls in its base columns.
        spread: feature of ``DRIFT`` -> lower quartile, median, upper quartile; without the
            features that have no value at all.
    """

    rows: int
    nulls: Mapping[str, float]
    spread: Mapping[str, tuple[float, ...]]


@dataclass(frozen=True)
class Profile:
    """One build of a chunk: sessions by ISO date, months by ``YYYY-MM``, both ascending."""

    sessions: Mapping[str, Session]
    months: Mapping[str, Month]


@cache
def base_columns() -> dict[str, tuple[str, ...]]:
    """The base columns of each family, in catalogue order."""
    families: dict[str, list[str]] = {}
    for feature in features():
        families.setdefault(feature.family, []).append(feature.name)
    return {family: tuple(names) for family, names in families.items()}


def partly_null(rates: Mapping[str, float]) -> list[str]:
    """The base columns whose nulls have to be counted by month.

    One without a null in the chunk has none in any month, one without a value likewise.

    Args:
        rates: null rate by column over the whole chunk.
    """
    names = [name for names in base_columns().values() for name in names]
    return [name for name in names if 0.0 < rates.get(name, 1.0) < 1.0]


def month_of(
    rows: int, rates: Mapping[str, float], counted: Mapping[str, int], values: pa.Table
) -> Month:
    """The facts of a month.

    Args:
        rows: their number, at least one.
        rates: null rate by column over the whole chunk.
        counted: nulls in the month, of the columns ``partly_null`` names.
        values: the month's columns of ``DRIFT``.
    """
    nulls = {
        family: round(
            sum(counted[n] / rows if n in counted else float(rates.get(n, 1.0)) for n in names)
            / len(names),
            _DIGITS,
        )
        for family, names in base_columns().items()
    }
    spread = {name: found for name in DRIFT if (found := _quartiles(values[name]))}
    return Month(rows, nulls, spread)


def sessions_of(
    rows: pa.Table, members: Mapping[str, Mapping[int, int]] | None
) -> dict[str, Session]:
    """The facts of each session that has rows, or should have.

    Args:
        rows: Date, ``TIER`` and ``MARKET`` of a chunk, sorted by Date.
        members: by ISO date and tier; None where they are not known.
    """
    days = rows[DATE].to_numpy().astype("datetime64[D]")
    tiers = np.nan_to_num(rows[TIER].to_numpy(zero_copy_only=False).astype(float), nan=0.0)
    dates, first = np.unique(days, return_index=True)
    ends = np.append(first[1:], days.size)
    market = [rows[name].take(pa.array(first)).to_pylist() for name in MARKET]
    found: dict[str, Session] = {}
    for at, day in enumerate(dates):
        own = tiers[first[at] : ends[at]]
        counts = [int((own == tier).sum()) for tier in TIERS]
        found[str(day)] = Session(
            rows=(*counts, own.size - sum(counts)),
            members=_members(members, str(day)),
            market=tuple(_rounded(values[at]) for values in market),
        )
    nothing = (0,) * (len(TIERS) + 1)
    for day in (members or {}).keys() - found.keys():
        found[day] = Session(nothing, _members(members, day), (None,) * len(MARKET))
    return dict(sorted(found.items()))


def to_json(profile: Profile) -> dict[str, Any]:
    """The profile as a document: lists in the order of the attributes."""
    return {
        "sessions": {
            day: [list(one.rows), None if one.members is None else list(one.members),
                  list(one.market)]
            for day, one in profile.sessions.items()
        },
        "months": {
            month: {"rows": one.rows, "nulls": dict(one.nulls),
                    "spread": {name: list(found) for name, found in one.spread.items()}}
            for month, one in profile.months.items()
        },
    }  # fmt: skip


def from_json(document: Mapping[str, Any]) -> Profile:
    """The profile of a valid document."""
    sessions = {
        day: Session(tuple(rows), None if members is None else tuple(members), tuple(market))
        for day, (rows, members, market) in document["sessions"].items()
    }
    months = {
        month: Month(
            one["rows"],
            dict(one["nulls"]),
            {name: tuple(found) for name, found in one["spread"].items()},
        )
        for month, one in document["months"].items()
    }
    return Profile(sessions, months)


def null_rates(profiles: Iterable[Profile]) -> dict[str, dict[str, float]]:
    """Month -> family -> share of nulls, over the chunks that share a month."""
    rows: dict[str, int] = {}
    nulls: dict[str, dict[str, float]] = {}
    for profile in profiles:
        for month, one in profile.months.items():
            rows[month] = rows.get(month, 0) + one.rows
            sums = nulls.setdefault(month, {})
            for family, share in one.nulls.items():
                sums[family] = sums.get(family, 0.0) + share * one.rows
    return {
        month: {family: total / max(rows[month], 1) for family, total in sums.items()}
        for month, sums in sorted(nulls.items())
    }


def shift(spreads: Sequence[tuple[float, ...]]) -> float | None:
    """How far the last median lies from the middle of those before it, in quartile ranges.

    None with fewer than two months, or when the range is zero.
    """
    if len(spreads) < 2:
        return None
    low, middle, high = (float(np.median([s[i] for s in spreads[:-1]])) for i in range(3))
    return (spreads[-1][1] - middle) / (high - low) if high > low else None


def _members(members: Mapping[str, Mapping[int, int]] | None, day: str) -> tuple[int, ...] | None:
    if members is None or day not in members:
        return None
    return tuple(members[day].get(tier, 0) for tier in TIERS)


def _quartiles(column: pa.ChunkedArray[Any]) -> tuple[float, ...] | None:
    values = pc.drop_null(column).to_numpy()
    if not values.size:
        return None
    found = np.quantile(values.astype(np.float64), _QUARTILES)
    return tuple(float(f"{value:.{_DIGITS}g}") for value in found)


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.{_DIGITS}g}")
