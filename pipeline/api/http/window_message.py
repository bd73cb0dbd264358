"""What a refusal says about the days an account may read: text in, dates out.

Messages seen from the live service, always with status 400 and for days outside at either end::

    Your subscription covers the following dates: 2024-03-12 ~ 2026-03-12. If you want ...
    Your subscription covers the following dates: 2021-09-04 ~ . If you want ...

The second has no end. The vendor does not promise the text, so spaces, case, the kind of tilde and
of date separator may vary (a guess); anything else is not read as a window.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass

_DATE = r"\d{4}[-/]\d{1,2}[-/]\d{1,2}"
_COVERS = re.compile(
    rf"covers\s+the\s+following\s+dates?\s*[:：]?\s*(?P<first>{_DATE})?\s*[~〜～]\s*(?P<last>{_DATE})?",
    re.IGNORECASE,
)
#: Guesses but for the first, of which one live measurement told.
_CLOSED = re.compile(
    r"not\s+a\s+(business|trading)\s+day|\bholiday\b|market\s+(is|was)\s+closed|休業日|休場|非営業日",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Window:
    """The days an account may read, both ends included; None leaves an end open."""

    first: dt.date | None = None
    last: dt.date | None = None

    def holds(self, day: dt.date) -> bool:
        """True when the account may read ``day``."""
        return (self.first is None or day >= self.first) and (self.last is None or day <= self.last)

    def cut(self, first: dt.date | None, last: dt.date | None) -> Window:
        """What [first, last] and the window have in common; empty when ``is_empty``."""
        firsts = [day for day in (self.first, first) if day is not None]
        lasts = [day for day in (self.last, last) if day is not None]
        return Window(max(firsts, default=None), min(lasts, default=None))

    @property
    def is_empty(self) -> bool:
        """True when no day lies in it."""
        return self.first is not None and self.last is not None and self.first > self.last

    def __str__(self) -> str:
        return f"{self.first or ''} ~ {self.last or ''}"


def window_in(message: str) -> Window | None:
    """The window a server's message names; None when it names none that makes sense."""
    found = _COVERS.search(message)
    if found is None:
        return None
    try:
        first, last = (_day(found[end]) for end in ("first", "last"))
    except ValueError:
        return None
    window = Window(first, last)
    return None if window == Window() or window.is_empty else window


def says_closed(message: str) -> bool:
    """True when a server's message says that the exchange was closed on the day asked for."""
    return _CLOSED.search(message) is not None


def _day(text: str | None) -> dt.date | None:
    if text is None:
        return None
    year, month, day = (int(part) for part in re.split("[-/]", text))
    return dt.date(year, month, day)
