"""Records that were wrong at first: the vendor restates them some days after they came out.

A share of the bars, listing records and margin balances says something else until the moment of
its correction: a close is the open, an industry is "other", the balance under negotiable terms is
missing. Which rows, and when, depends on the seed, the endpoint, the date and the code alone, so
that the same record is corrected on the same day whoever asks, by whatever way.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

import numpy as np

from pipeline.errors import UsageError
from pipeline.simulator.exchange import code_tables

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.simulator.array_types import BoolArray, Columns, DateArray

DAYS: Final = (1, 2, 3, 4, 6, 9, 14, 35)  # after a record's date, or after the balance came out
_AT = np.timedelta64(16 * 60 + 30, "m")
_MARGIN_DELAY = 7  # calendar days at most from the date of a balance to its publication


@dataclass(frozen=True)
class Corrections:
    """Which records are wrong at first.

    Args:
        rate: their share, 0 to 1.
        seed: other ones.

    Raises:
        UsageError: the rate is out of its range.
    """

    rate: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.rate <= 1:
            raise UsageError(f"simulator corrections: expected a share of 0 to 1, got {self.rate}")

    def as_seen(self, path: str, columns: Columns, now: np.datetime64) -> Columns:
        """Rows of an endpoint as they were told at ``now``, datetime64[m] in Tokyo."""
        if not self.rate or path not in _FIRST_TOLD:
            return columns
        wrong = self.moments(path, columns) > now
        return _FIRST_TOLD[path](columns, wrong)

    def moments(self, path: str, columns: Columns) -> DateArray:
        """When each row is corrected, datetime64[m]; the beginning of time for one that is not."""
        days = np.array(columns["Date"], dtype="datetime64[D]")
        found = np.full(days.size, np.datetime64("0001-01-01T00:00", "m"))
        delay = _MARGIN_DELAY if path == MARGIN else 0
        for row, (date, code) in enumerate(zip(columns["Date"], columns["Code"], strict=True)):
            digest = blake2b(f"{self.seed}/{path}/{date}/{code}".encode(), digest_size=9).digest()
            if int.from_bytes(digest[:8], "big") < self.rate * 2**64:
                after = np.timedelta64(delay + DAYS[digest[8] % len(DAYS)], "D")
                found[row] = (days[row] + after).astype("datetime64[m]") + _AT
        return found


def _bars(columns: Columns, wrong: BoolArray) -> Columns:
    """The close of the day is its open."""
    return columns | {
        close: np.where(wrong, columns[open_], columns[close])
        for close, open_ in (("C", "O"), ("AdjC", "AdjO"))
    }


def _master(columns: Columns, wrong: BoolArray) -> Columns:
    """The industry is not known yet."""
    code, name, sector, _ = code_tables.INDUSTRIES[code_tables.OTHER_INDUSTRY]
    said = {"S17": sector, "S17Nm": code_tables.TOPIX_17[sector], "S33": code, "S33Nm": name}
    return columns | {field: np.where(wrong, text, columns[field]) for field, text in said.items()}


def _margin(columns: Columns, wrong: BoolArray) -> Columns:
    """Short balances under negotiable terms are missing."""
    return columns | {
        "ShrtVol": np.where(wrong, columns["ShrtStdVol"], columns["ShrtVol"]),
        "ShrtNegVol": np.where(wrong, 0.0, columns["ShrtNegVol"]),
    }


BARS: Final = "/equities/bars/daily"
MASTER: Final = "/equities/master"
MARGIN: Final = "/markets/margin-interest"
_FIRST_TOLD: Final[dict[str, Callable[[Columns, BoolArray], Columns]]] = {
    BARS: _bars,
    MASTER: _master,
    MARGIN: _margin,
}
