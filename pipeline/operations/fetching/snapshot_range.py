"""The range of a source a run reads, as text that fits into a task parameter."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from pipeline.errors import UsageError


@dataclass(frozen=True)
class SnapshotRange:
    """The range of a source a run reads, with what else its key holds.

    Written ``<start>_<end>[_asof-<date>][_<tag>]``, which is the key without the source.
    """

    start: dt.date
    end: dt.date
    asof: dt.date | None = None
    tag: str | None = None

    def __str__(self) -> str:
        asof = f"_asof-{self.asof}" if self.asof else ""
        tag = f"_{self.tag}" if self.tag else ""
        return f"{self.start}_{self.end}{asof}{tag}"

    @classmethod
    def parse(cls, text: str) -> SnapshotRange:
        """Inverse of ``str``; the text comes from a task parameter.

        Raises:
            UsageError: not such a text.
        """
        try:
            start, end, *rest = text.split("_", 3)
            asof = None
            if rest and rest[0].startswith("asof-"):
                asof = dt.date.fromisoformat(rest.pop(0).removeprefix("asof-"))
            tag = "_".join(rest) or None
            return cls(dt.date.fromisoformat(start), dt.date.fromisoformat(end), asof, tag)
        except ValueError:
            raise UsageError(f"snapshot {text!r}: expected START_END[_asof-DATE][_TAG]") from None
