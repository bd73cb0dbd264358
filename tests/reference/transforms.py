"""The ten derived transforms on plain lists, and which base feature gets which of them."""

from __future__ import annotations

import math

from tests.reference.operators import Value, Values, at_least, mean, present

TIME_SERIES = ("_roll_mean_20d", "_roll_std_20d", "_zscore_20d", "_outlier_flag")
SECTOR = ("_sector_mean", "_sector_rel")
CROSS_SECTION = ("_cs_rank", "_cs_pct", "_cs_top20_flag", "_cs_bottom20_flag")
SUFFIXES = TIME_SERIES + SECTOR + CROSS_SECTION

HISTORY = 20
"""Columns before T in the time-series window."""

WITHOUT = {"identity", "calendar"}
MARKET_WIDE = {"topix_index", "market_breadth", "futures", "option", "investor_flow"}
SECTOR_CONSTANT = {"sector", "sector_relative", "short_ratio"}
RARELY_MOVING = {
    "fundamental",
    "guidance",
    "dividend",
    "supply",
    "margin_alert",
    "earnings_calendar",
}


def class_of(family: str, dtype: str) -> str:
    """Class letter of a base feature: X, S, F, M or N."""
    if family in WITHOUT or dtype in {"int8", "int16"}:
        return "N"
    for letter, families in (("M", MARKET_WIDE), ("S", SECTOR_CONSTANT), ("F", RARELY_MOVING)):
        if family in families:
            return letter
    return "X"


def suffixes_of(family: str, dtype: str) -> tuple[str, ...]:
    """Suffixes of the columns derived from a base feature, in the order of the catalogue."""
    return {
        "X": SUFFIXES,
        "S": TIME_SERIES + CROSS_SECTION,
        "F": SECTOR + CROSS_SECTION,
        "M": TIME_SERIES,
        "N": (),
    }[class_of(family, dtype)]


def time_series(suffix: str, x: Value, before: Values) -> Value:
    """A time-series transform of x_T, given x of the columns T-20..T-1."""
    known = at_least(10, before)
    if known is None:
        return None
    centre = mean(known)
    deviation = math.sqrt(math.fsum((v - centre) ** 2 for v in known) / (len(known) - 1))
    if suffix == "_roll_mean_20d":
        return centre
    if suffix == "_roll_std_20d":
        return deviation
    if x is None or deviation <= 1e-12 * max(1.0, abs(centre)):
        return None
    zscore = (x - centre) / deviation
    return zscore if suffix == "_zscore_20d" else float(abs(zscore) > 2)


def sector(suffix: str, x: Value, members: Values) -> Value:
    """A sector transform of x, given x of all members of U_T with the same S33, self included."""
    known = at_least(5, members)
    if known is None:
        return None
    if suffix == "_sector_mean":
        return mean(known)
    return None if x is None else x - mean(known)


def cross_section(suffix: str, x: Value, members: Values) -> Value:
    """A rank transform of x, given x of all members of U_T, self included."""
    known = present(members)
    n = len(known)
    if x is None or n < 20:
        return None
    rank = sum(v < x for v in known) + (sum(v == x for v in known) + 1) / 2
    share = (rank - 1) / (n - 1)
    return {
        "_cs_rank": rank,
        "_cs_pct": share,
        "_cs_top20_flag": float(share >= 0.8),
        "_cs_bottom20_flag": float(share <= 0.2),
    }[suffix]
