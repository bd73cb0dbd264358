"""The ledger of rechecks: what was spent today, what lists said, what was found.

``cache/rechecks_<origin>.json``. When each day was confirmed is not in here but beside the parts
themselves, so a lost ledger costs a list of files and no more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pipeline.cache.corrections import Found
from pipeline.cache.recheck_policy import Listed
from pipeline.errors import DamagedFile, MissingData
from pipeline.filesystem import documents


@dataclass
class SourceChecks:
    """What is remembered of one source.

    Attributes:
        listed_at: when its files were last listed; None for never.
        refused_at: when the list was last refused; None for never since it last came.
        files: monthly files as listed when their content was last known to be ours.
        failed: per period when it was last asked about without being confirmed.
    """

    listed_at: str | None = None
    refused_at: str | None = None
    files: dict[str, Listed] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


@dataclass
class Checks:
    """The ledger of one origin.

    Attributes:
        day: the day the next two are about, ISO, JST; "" before the first.
        spent: requests sent on it, and what the days before went beyond their budget.
        done: nothing is left to ask on it.
        questions, requests: of all days: a question may cost several requests.
        found: corrections, by source, day and arrival.
    """

    day: str = ""
    spent: int = 0
    done: bool = False
    questions: int = 0
    requests: int = 0
    sources: dict[str, SourceChecks] = field(default_factory=dict)
    found: dict[tuple[str, str, str], Found] = field(default_factory=dict)

    def of(self, source: str) -> SourceChecks:
        """What is remembered of a source; added when there is nothing yet."""
        return self.sources.setdefault(source, SourceChecks())

    def begin(self, day: str, budget: int) -> None:
        """Begin a day, unless it has begun: what the one before spent too much is taken off."""
        if self.day != day:
            self.day, self.spent, self.done = day, max(self.spent - budget, 0), False

    def add(self, found: Iterable[Found]) -> None:
        """Remember corrections; what is known already stays as it is."""
        for correction in found:
            self.found.setdefault(correction.key, correction)

    @property
    def requests_each(self) -> float:
        """What a question cost on the average."""
        return self.requests / self.questions if self.questions else 1.0


class CheckBook:
    """The ledger on disk.

    Args:
        root: the output root.
    """

    def __init__(self, root: Path, origin: str) -> None:
        self.path = root / "cache" / f"rechecks_{origin}.json"
        self._origin = origin

    def read(self) -> Checks:
        """The ledger; an empty one when there is none, or it is damaged.

        Raises:
            StorageError: it cannot be read.
        """
        try:
            document = documents.read_document(self.path, "rechecks")
        except (MissingData, DamagedFile):
            return Checks()
        return _from_json(document)

    def write(self, checks: Checks) -> None:
        """Replace the ledger.

        Raises:
            StorageError: the file system refused.
        """
        documents.write_document(
            self.path, "rechecks", {"origin": self._origin, **_to_json(checks)}
        )


def _to_json(checks: Checks) -> dict[str, Any]:
    return {
        "day": checks.day or None,
        "spent": checks.spent,
        "done": checks.done,
        "questions": checks.questions,
        "requests": checks.requests,
        "sources": {source: asdict(known) for source, known in sorted(checks.sources.items())},
        "found": [asdict(checks.found[key]) for key in sorted(checks.found)],
    }


def _from_json(document: Mapping[str, Any]) -> Checks:
    sources = {
        source: SourceChecks(
            listed_at=known["listed_at"],
            refused_at=known["refused_at"],
            files={month: Listed(**file) for month, file in known["files"].items()},
            failed=dict(known["failed"]),
        )
        for source, known in document["sources"].items()
    }
    checks = Checks(
        day=document["day"] or "",
        spent=document["spent"],
        done=document["done"],
        questions=document["questions"],
        requests=document["requests"],
        sources=sources,
    )
    checks.add(Found(**{**entry, "fields": dict(entry["fields"])}) for entry in document["found"])
    return checks
