"""What ``g5 doctor`` found, and the two documents of it: for the user, and for a bug report.

The redacted one says names, types, shapes and counts. It holds no text of the data, no day that
was asked, no words of the server, no path and no address, so it may be made public.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from pipeline.api.catalogue.endpoints import Endpoint
from pipeline.api.decode.examine import FieldFindings
from pipeline.api.decode.listing_shapes import ListShapes
from pipeline.exit_codes import ExitCode

Level: TypeAlias = Literal["ok", "warning", "problem"]
#: recent: a published day. old: one at the beginning of the plan's window. plan: asked to find
#: the plan out. calendar: the whole calendar. files: the list of bulk files.
Part: TypeAlias = Literal["recent", "old", "plan", "calendar", "files"]


@dataclass(frozen=True)
class Question:
    """One request that is meant to be sent.

    Attributes:
        first, last: days asked for; None leaves that end open.
    """

    endpoint: Endpoint
    part: Part
    query: Mapping[str, str]
    first: dt.date | None = None
    last: dt.date | None = None


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        about: ``key``, ``plan``, ``clock``, ``limits``, ``disk`` ..., or a source.
        kind: what was found, in one word that never varies.
        text: the same for people; may repeat the server's words.
        next: what to do about it; "" when there is nothing to do.
        facts: names, counts and shapes only.
    """

    level: Level
    about: str
    kind: str
    text: str
    next: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Asked:
    """One answer of an endpoint.

    Attributes:
        query: as it was sent.
        days_ago: of the last day asked for; None when the query names none.
        status: HTTP status; None when no answer came.
        pages: whether further pages follow, which were not asked for.
        reads: whether g5 reads the answer as it is; None when there is none to read.
        found: the fields; None of an answer that is no table.
        files: shapes of a list of files, else None.
    """

    source: str
    part: Part
    query: Mapping[str, str]
    days_ago: int | None
    status: int | None
    seconds: float
    bytes: int | None
    pages: bool
    reads: bool | None
    found: FieldFindings | None
    files: ListShapes | None = None

    @property
    def days(self) -> str:
        """The days asked for, for people; a range by its ends."""
        days = [value for name, value in self.query.items() if name not in ("endpoint", "code")]
        return "all" if not days else " to ".join(dict.fromkeys(days))


@dataclass(frozen=True)
class Report:
    """Everything ``g5 doctor`` found.

    Attributes:
        checked_at: ISO 8601 with offset.
        host: ``official``, ``loopback`` or ``other``: who was asked.
        plan: found out, or gone by; None when neither.
        requests: sent.
        seconds: from the first request to the last answer.
        can_check: False when not a single answer could be looked at.
        not_asked: sources and parts that were left out, and why.
    """

    checked_at: dt.datetime
    version: str
    origin: str
    host: str
    plan: str | None
    requests: int
    seconds: float
    can_check: bool
    checks: tuple[Check, ...]
    asked: tuple[Asked, ...]
    not_asked: tuple[tuple[str, Part, str], ...]

    @property
    def exit_code(self) -> ExitCode:
        if not self.can_check:
            return ExitCode.USAGE
        found = any(check.level != "ok" for check in self.checks)
        return ExitCode.FINDINGS if found else ExitCode.DONE

    def to_json(self, *, redacted: bool) -> dict[str, Any]:
        """The report as a document.

        Args:
            redacted: without what would tell data, days, words of the server, or the place.
        """
        moment: dict[str, Any] = (
            {"checked_month": self.checked_at.year * 100 + self.checked_at.month}
            if redacted
            else {"checked_at": self.checked_at.isoformat()}
        )
        return {
            "document": "g5 doctor",
            "redacted": redacted,
            **moment,
            "version": self.version,
            "origin": self.origin,
            "host": self.host,
            "plan": self.plan,
            "requests": self.requests,
            "seconds": round(self.seconds, 1),
            "exit_code": self.exit_code,
            "checks": [_check(check, redacted=redacted) for check in self.checks],
            "answers": [_asked(asked, redacted=redacted) for asked in self.asked],
            "not_asked": [
                {"source": source, "part": part, "why": why} for source, part, why in self.not_asked
            ],
        }


def _check(check: Check, *, redacted: bool) -> dict[str, Any]:
    document = {
        "level": check.level,
        "about": check.about,
        "kind": check.kind,
        "facts": dict(check.facts),
    }
    return document if redacted else document | {"text": check.text, "next": check.next}


def _asked(asked: Asked, *, redacted: bool) -> dict[str, Any]:
    document: dict[str, Any] = {
        "source": asked.source,
        "part": asked.part,
        "days_ago": asked.days_ago,
        "status": asked.status,
        "seconds": round(asked.seconds, 3),
        "bytes": asked.bytes,
        "pages": asked.pages,
        "reads": asked.reads,
        "rows": None,
    }
    if not redacted:
        document["query"] = dict(asked.query)
    if asked.found is not None:
        document |= _found(asked.found, redacted=redacted)
    if asked.files is not None:
        document["files"] = {
            "entries": asked.files.entries,
            "keys": dict(asked.files.keys),
            "folders": asked.files.folders,
            "sizes": dict(asked.files.sizes),
            "modified": dict(asked.files.modified),
            "others": dict(asked.files.others),
            "pages": asked.files.pages,
        }
    return document


def _found(found: FieldFindings, *, redacted: bool) -> dict[str, Any]:
    findings = []
    for one in found.findings:
        entry = {
            "field": one.field,
            "difference": one.difference,
            "seen": one.seen,
            "rows": one.rows,
        }
        findings.append(entry if redacted or not one.value else entry | {"value": one.value})
    return {
        "rows": found.rows,
        "repeated": found.repeated,
        "conflicting": found.conflicting,
        "elsewhere": found.elsewhere,
        "fields": {name: dict(types) for name, types in found.types.items()},
        "findings": findings,
    }
