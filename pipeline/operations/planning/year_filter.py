"""The chunks of some calendar years: ``--filter-by-year``."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pipeline.errors import MissingData, UsageError
from pipeline.market.calendar.periods import Period

FLAG = "--filter-by-year"


def read_years(text: str) -> tuple[int, ...]:
    """Years as in ``2020,2021``, ascending.

    Raises:
        UsageError: it is something else.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(re.fullmatch(r"[12][0-9]{3}", part) for part in parts):
        raise UsageError(f"parameter {text!r}: expected years such as 2020,2021")
    return tuple(sorted({int(part) for part in parts}))


def of_years(chunk_ids: Sequence[str], years: Sequence[int]) -> list[str]:
    """The chunks that lie in these years.

    Raises:
        UsageError: a chunk lies only partly in them.
        MissingData: a year has no chunk at all.
    """
    covered = {chunk_id: _years_of(Period.parse(chunk_id)) for chunk_id in chunk_ids}
    for chunk_id, held in covered.items():
        if held & set(years) and not held <= set(years):
            raise UsageError(
                f"{FLAG} {_joined(years)}: chunk {chunk_id} also holds "
                f"{_joined(sorted(held - set(years)))}",
                "name all years of the chunk, or none",
            )
    absent = sorted(set(years) - {year for held in covered.values() for year in held})
    if absent:
        raise MissingData(f"{FLAG}: no chunk of {_joined(absent)}", "build it first")
    return [chunk_id for chunk_id, held in covered.items() if held <= set(years)]


def _years_of(period: Period) -> set[int]:
    return set(range(period.first_day.year, period.last_day.year + 1))


def _joined(years: Sequence[int]) -> str:
    return ",".join(map(str, years))
