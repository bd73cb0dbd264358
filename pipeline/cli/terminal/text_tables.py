"""Numbers and tables as people read them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Sequence


def table(rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> list[str]:
    """Lines with aligned columns.

    Args:
        rows: cells, the heading first; all of one length.
        right: columns that end flush.
    """
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    return [
        "  ".join(
            cell.rjust(width) if at in right else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def size(count: int | None) -> str:
    """Bytes, such as ``1.6 GB``; ``-`` for None."""
    if count is None:
        return "-"
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"


def count(number: int | None) -> str:
    """A whole number with separators; ``-`` for None."""
    return "-" if number is None else f"{number:,}"


def duration(seconds: float) -> str:
    """A time in the two units that matter, such as ``2 h 05 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min"


def age(then: dt.datetime | None, now: dt.datetime) -> str:
    """How long ago, in one unit; ``-`` for None."""
    if then is None:
        return "-"
    minutes = max((now - then).total_seconds() / 60, 0)
    if minutes < 60:
        return f"{minutes:.0f} min"
    hours = minutes / 60
    return f"{hours:.0f} h" if hours < 48 else f"{hours / 24:.0f} d"


def plural(number: int, noun: str) -> str:
    """``1 chunk``, ``2 chunks``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
