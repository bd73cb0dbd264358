"""Share counts and prices of one date in the share basis of another, and the close of any column.

These belong to a code, not to a line: the books of a code that returns to the list are not cut.
"""

from __future__ import annotations

import datetime as dt
import math

from tests.reference.market import CARRY, ReferenceMarket, remembered
from tests.reference.operators import Value


@remembered
def splits(market: ReferenceMarket, code: str) -> list[tuple[dt.date, float]]:
    """Columns on which AdjFactor is not 1, ascending."""
    return [
        (day, bar.factor)
        for day, bar in sorted(market.bars(code).items())
        if bar.factor != 1 and day in market.column_of
    ]


def factor_after(market: ReferenceMarket, code: str, day: dt.date, upto: dt.date) -> float:
    """K(day, upto]: the product of AdjFactor over the columns dated after ``day`` up to ``upto``.

    Shares of ``day`` are divided by it, amounts per share multiplied.
    """
    return math.prod(factor for when, factor in splits(market, code) if day < when <= upto)


def factor_after_column(market: ReferenceMarket, code: str, column: int, upto: dt.date) -> float:
    """K(column, upto] of a column given by its number."""
    return factor_after(market, code, market.columns[column], upto)


def is_listed(market: ReferenceMarket, code: str, column: int) -> bool:
    """Tell whether the code has a master record dated that column; false before the calendar."""
    return column >= 0 and market.columns[column] in market.listings(code)


def is_inside_a_line(market: ReferenceMarket, code: str, column: int) -> bool:
    """Tell whether a column is listed, or in a gap of at most 20 columns between listed ones."""
    before = [u for u in range(column - CARRY, column + 1) if is_listed(market, code, u)]
    if not before:
        return False
    end = min(before[-1] + CARRY + 1, len(market.columns) - 1)
    return any(is_listed(market, code, u) for u in range(column, end + 1))


def carried_close(market: ReferenceMarket, code: str, column: int) -> Value:
    """p of a column in the basis of its own date, whatever line of the code it belongs to."""
    if not is_inside_a_line(market, code, column):
        return None
    bars, day = market.bars(code), market.columns[column]
    for u in range(column, max(-1, column - CARRY - 1), -1):
        bar = bars.get(market.columns[u])
        if bar is not None and bar.is_traded and bar.c is not None and is_listed(market, code, u):
            return bar.c * factor_after_column(market, code, u, day)
    return None
