"""What market to make: the one input of the synthetic exchange."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from pipeline.errors import UsageError

FIRST_DATE = date(2008, 5, 7)  # J-Quants has no bars before
MAX_STOCKS = 6000  # four-digit codes left after those of funds and of later listings


@dataclass(frozen=True)
class MarketSpec:
    """A market, completely determined by these four values.

    Two specs that differ only in ``end`` describe the same market up to the smaller ``end``.

    Args:
        seed: any non-negative integer.
        stocks: ordinary shares listed on the first day, 4 to 6,000; funds, PRO market issues
            and preferred shares come on top (about a tenth).
        start: first calendar date of the market.
        end: last calendar date with prices, not before ``start``.

    Raises:
        UsageError: a value is out of its range.
    """

    seed: int
    stocks: int
    start: date
    end: date

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise UsageError(f"simulator seed: expected 0 or more, got {self.seed}")
        if not 4 <= self.stocks <= MAX_STOCKS:
            raise UsageError(f"simulator stocks: expected 4 to {MAX_STOCKS}, got {self.stocks}")
        if self.start < FIRST_DATE:
            raise UsageError(f"simulator start: expected {FIRST_DATE} or later, got {self.start}")
        if self.end < self.start:
            raise UsageError(
                f"simulator end: {self.end} lies before start {self.start}", "exchange the two"
            )
