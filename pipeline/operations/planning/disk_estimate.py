"""How much room a run needs on disk, judged by what lies there already. Pure arithmetic.

What was built and fetched before is the measure: bytes per row and rows per session of the chunks,
bytes per day of each source. Without any, the figures of a simulated market of 4,000 stocks stand
in, and the estimate says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

# A quarter of 4,000 stocks under the catalogue of all families, as built in November 2026.
_ROWS_PER_SESSION = 4_000.0
_BYTES_PER_CELL = 1.8

# Bytes a day in the cache, likewise; the other sources stay below _SMALL_DAY.
_DAY_BYTES: Mapping[str, int] = {
    "breakdown": 212_000,
    "daily_bars": 210_000,
    "valuation": 90_000,
    "index_option": 67_000,
    "listed": 26_000,
    "margin_interest": 17_000,
}
_SMALL_DAY = 5_000


@dataclass(frozen=True)
class Built:
    """A chunk to measure by.

    Attributes:
        rows, bytes: of its Parquet file.
        sessions: its trading days.
    """

    rows: int
    bytes: int
    sessions: int


@dataclass(frozen=True)
class Yardstick:
    """What chunks of this output root are expected to be like.

    Attributes:
        rows_per_session: stocks on one trading day.
        bytes_per_row: of the Parquet file.
        chunks: how many were measured; 0 when the figures are assumed.
    """

    rows_per_session: float
    bytes_per_row: float
    chunks: int

    @property
    def basis(self) -> str:
        """Where the figures come from, in words."""
        if not self.chunks:
            return "assumed for 4,000 stocks, as nothing is built yet"
        return f"measured on {self.chunks} chunk{'' if self.chunks == 1 else 's'}"

    def rows(self, sessions: int) -> int:
        """Rows of a chunk of so many trading days."""
        return round(sessions * self.rows_per_session)

    def bytes(self, sessions: int) -> int:
        """Size of its Parquet file."""
        return round(self.rows(sessions) * self.bytes_per_row)


def yardstick(built: Iterable[Built], columns: int) -> Yardstick:
    """The measure these chunks give; the assumed one when none has rows.

    Args:
        columns: of the catalogue, for the assumed one.
    """
    measured = [chunk for chunk in built if chunk.rows and chunk.sessions]
    if not measured:
        return Yardstick(_ROWS_PER_SESSION, _BYTES_PER_CELL * columns, 0)
    rows = sum(chunk.rows for chunk in measured)
    return Yardstick(
        rows / sum(chunk.sessions for chunk in measured),
        sum(chunk.bytes for chunk in measured) / rows,
        len(measured),
    )


def cache_bytes(source: str, missing: int, known_days: int, known_bytes: int) -> int:
    """What ``missing`` days of a source will take, by the days of it that are there."""
    if known_days:
        return round(missing * known_bytes / known_days)
    return missing * _DAY_BYTES.get(source, _SMALL_DAY)
