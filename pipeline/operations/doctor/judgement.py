"""What the answers of a server mean for a run: the judgement of ``g5 doctor``.

Each answer is held against the endpoint table and given to the decoder that a run uses; what that
refuses is a problem, any other difference a warning.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from pipeline import configuration
from pipeline.api import bulk
from pipeline.api.catalogue.endpoints import ENDPOINTS, Endpoint
from pipeline.api.catalogue.plans import Plan
from pipeline.api.decode.examine import FieldFindings, examine
from pipeline.api.decode.listing_shapes import shapes_of
from pipeline.api.decode.page_decoder import Decoder
from pipeline.api.http.retry import refusal_of
from pipeline.api.http.watched import Answer
from pipeline.configuration import INDISPENSABLE, Settings
from pipeline.errors import ApiError, PipelineError
from pipeline.market.closed_lists import LISTS
from pipeline.operations.doctor.diagnosis import Asked, Check, Level, Question
from pipeline.operations.fetching.source_fetch import limits_of

CLOCK_OFF_S = 60.0

_SHOWN = 4  # fields named in one line
_REPORT = "g5 doctor --record FILE, and send the file with a bug report"


def key_of(question: Question) -> tuple[str, str]:
    """What an answer to this question has in common with it; see ``identity_of``."""
    if question.part == "files":
        return bulk.LIST_PATH, question.endpoint.path
    return question.endpoint.path, repr(sorted(question.query.items()))


def identity_of(answer: Answer) -> tuple[str, str]:
    """Path and query of an answer; of a list of files, path and endpoint."""
    if answer.path == bulk.LIST_PATH:
        return answer.path, answer.query.get("endpoint", "")
    return answer.path, repr(sorted(answer.query.items()))


def judged(
    failed: Mapping[str, str], answers: Iterable[Answer], questions: Iterable[Question]
) -> tuple[list[Asked], list[Check]]:
    """Every answer in figures, and what is to be said of each source.

    Args:
        failed: why a run cannot use the list of files, by source.
    """
    by_path = {endpoint.path: endpoint for endpoint in ENDPOINTS}
    known = {key_of(question): question for question in questions}
    asked: list[Asked] = []
    checks: list[Check] = []
    found: dict[str, list[FieldFindings]] = {}
    unread: dict[str, str] = {}
    for answer in answers:
        question = known.get(identity_of(answer)) or _unplanned(answer, by_path)
        if question is None:
            continue
        if question.part == "files":
            asked.append(_listing(failed, question, answer, checks))
            continue
        one, why = _examined(question, answer)
        asked.append(one)
        checks += _of_answer(question, answer, one)
        if one.found is not None:
            found.setdefault(one.source, []).append(one.found)
        if why:
            unread.setdefault(one.source, why)
    for source, several in found.items():
        checks += _of_source(source, several, unread.get(source))
    return asked, checks


def _unplanned(answer: Answer, by_path: Mapping[str, Endpoint]) -> Question | None:
    """The calendar, and what was asked to find the plan out."""
    endpoint = by_path.get(answer.path)
    if endpoint is None:
        return None
    if not answer.query:
        return Question(endpoint, "calendar", {})
    days = [dt.date.fromisoformat(text) for text in answer.query.values()]
    return Question(endpoint, "plan", answer.query, min(days), max(days))


def _examined(question: Question, answer: Answer) -> tuple[Asked, str]:
    """An answer in figures; and why a run could not read it, "" when it could."""
    page = answer.page or {}
    data = page.get("data")
    rows = [row for row in data if isinstance(row, dict)] if isinstance(data, list) else None
    endpoint = question.endpoint
    found = None
    why = ""
    if rows is not None:
        lists = [known for known in LISTS if known.source == endpoint.source]
        found = examine(endpoint, rows, first=question.first, last=question.last, lists=lists)
        why = _unread(endpoint, cast("list[Any]", data), question.query)
    elif answer.page is not None:
        why = "data: expected an array of rows"
    ago = None if question.last is None else (configuration.now().date() - question.last).days
    asked = Asked(
        source=endpoint.source,
        part=question.part,
        query=answer.query,
        days_ago=ago,
        status=answer.status,
        seconds=answer.seconds,
        bytes=answer.size,
        pages=bool(page.get("pagination_key")),
        reads=None if answer.page is None else not why,
        found=found,
    )
    return asked, why


def _unread(endpoint: Endpoint, data: list[Any], query: Mapping[str, str]) -> str:
    """Why the decoder of a run refuses these rows; "" when it reads them."""
    if not all(isinstance(row, dict) for row in data):
        return "data: expected objects as rows"
    try:
        Decoder(endpoint).table(data, query)
    except ApiError as error:
        return error.server_message
    except (PipelineError, ValueError, TypeError) as error:
        return str(error)
    return ""


def _of_answer(question: Question, answer: Answer, asked: Asked) -> Iterator[Check]:
    """What is to be said of one answer as such."""
    source, days = asked.source, asked.days
    without = _without(source)
    error = answer.error
    facts: dict[str, Any] = {"part": asked.part, "status": asked.status}
    if error is not None:
        said = error.server_message or "without a word"
        text = f"{days}: HTTP {asked.status}: {said}" if asked.status else f"{days}: {said}"
        if asked.part == "plan":
            return  # a refusal there is an answer; the plan is said elsewhere
        if asked.status in (401, 403):
            facts["refusal"] = refusal_of(asked.status, error.server_message)
            yield Check("problem", source, "refused", text, without, facts)
        elif asked.status == 400:
            level: Level = "problem" if asked.part == "recent" else "warning"
            then = (
                without if level == "problem" else "use a --start inside the days the server names"
            )
            yield Check(level, source, "not answered", text, then, facts)
        elif asked.status == 404:
            yield Check("problem", source, "no such path", text, "check JQUANTS_API_BASE", facts)
        elif asked.status != 429:
            then = f"run g5 doctor again; if it stays: {without}"
            yield Check("problem", source, "failed", text, then, facts)
        return
    if asked.found is None:
        text = f"{days}: no array of rows in the answer"
        yield Check("problem", source, "no rows", text, without, facts)
        return
    day = question.last if question.first == question.last else None
    promised = day is not None and question.endpoint.promises_rows(day)
    if promised and not asked.found.rows and asked.part != "plan":
        text = f"{days}: no rows, although every session has some"
        then = f"run g5 doctor again later; if it stays: {without}"
        yield Check("problem", source, "empty", text, then, facts)


def _of_source(
    source: str, several: Sequence[FieldFindings], unread: str | None
) -> Iterator[Check]:
    """How the fields of a source differ from the table, one check for each kind of difference."""
    rows = sum(found.rows for found in several)
    if unread:
        yield Check(
            "problem", source, "unreadable", f"g5 cannot read it: {unread}",
            f"{_without(source)}; and {_REPORT}",
        )  # fmt: skip
    groups: dict[tuple[str, str], Counter[str]] = {}
    values: dict[str, str] = {}
    for found in several:
        for one in found.findings:
            groups.setdefault((one.difference, one.seen), Counter())[one.field] += one.rows
            if one.value:
                values[one.field] = one.value
    for (difference, seen), fields in groups.items():
        level, text, then = _difference(source, difference, seen, fields, values)
        facts = {"difference": difference, "seen": seen, "fields": dict(fields), "of_rows": rows}
        yield Check(level, source, difference, f"{text}, of {rows:,} rows", then, facts)
    refused = f"{_without(source)}; and {_REPORT}"
    counts: tuple[tuple[Level, str, int, str, str], ...] = (
        ("warning", "repeated", sum(f.repeated for f in several), "come twice", _REPORT),
        (
            *("problem", "conflicting", sum(f.conflicting for f in several)),
            *("have the key of another row and other values", refused),
        ),
        (
            *("problem", "elsewhere", sum(f.elsewhere for f in several)),
            *("are of days that were not asked for", _REPORT),
        ),
    )
    for level, kind, count, text, then in counts:
        if count:
            facts = {"rows": count, "of_rows": rows}
            yield Check(level, source, kind, f"{count:,} rows {text}", then, facts)


def _difference(
    source: str, difference: str, seen: str, fields: Counter[str], values: Mapping[str, str]
) -> tuple[Level, str, str]:
    """Level, words and advice for one kind of difference."""
    named = [f"{field} ({count:,})" for field, count in fields.most_common(_SHOWN)]
    more = f" and {len(fields) - _SHOWN} more fields" if len(fields) > _SHOWN else ""
    where = ", ".join(named) + more
    if difference == "missing":
        return "problem", f"missing: {where}", f"{_without(source)}; and {_REPORT}"
    if difference == "new":
        return "warning", f"new, {seen}: {where}", f"nothing, they are left out; or {_REPORT}"
    if difference == "type":
        return "warning", f"{seen} instead of the declared type: {where}", _REPORT
    if difference == "spelling":
        return "warning", f"unknown spelling {seen!r}: {where}", _REPORT
    if difference == "padding":
        return "warning", f"{seen} without its leading zeros: {where}", _REPORT
    shown = ", ".join(f"{name} {values.get(name, seen)!r}" for name in list(fields)[:_SHOWN])
    refused = {
        known.field for known in LISTS if known.source == source and known.unknown == "refuse"
    }
    level: Level = "problem" if refused & set(fields) else "warning"
    return level, f"not in the closed list: {shown} ({sum(fields.values()):,})", _REPORT


def _without(source: str) -> str:
    """What to set to go without a source."""
    if source in INDISPENSABLE:
        return "there is no row without it: ask the vendor"
    return f"unavailable_sources = {source}"


def _listing(
    failed: Mapping[str, str], question: Question, answer: Answer, checks: list[Check]
) -> Asked:
    """A list of files in figures."""
    source = question.endpoint.source
    shapes = None if answer.page is None else shapes_of(question.endpoint, answer.page)
    why = failed.get(source)
    if why is not None and answer.status != 429:
        facts = {"source": source, "status": answer.status}
        checks.append(
            Check(
                "problem",
                "bulk",
                "unusable",
                f"files of {source}: {why}",
                "source_route = requests",
                facts,
            )
        )
    elif shapes is not None and not shapes.entries:
        facts = {"source": source}
        checks.append(
            Check(
                "warning",
                "bulk",
                "empty",
                f"no files of {source}",
                "source_route = requests",
                facts,
            )
        )
    elif shapes is not None:
        forms = ", ".join(f"{key} ({count})" for key, count in shapes.keys.items())
        facts = {"source": source, "entries": shapes.entries}
        checks.append(Check("ok", "bulk", "usable", f"files of {source}: {forms}", "", facts))
    return Asked(
        source=source,
        part="files",
        query=answer.query,
        days_ago=None,
        status=answer.status,
        seconds=answer.seconds,
        bytes=answer.size,
        pages=bool(shapes and shapes.pages),
        reads=None if answer.page is None else why is None,
        found=None,
        files=shapes,
    )


def of_clock(answers: Iterable[Answer]) -> Iterator[Check]:
    """This machine's clock against the servers' dates; nothing when none came."""
    known = [answer.ahead_s for answer in answers if answer.ahead_s is not None]
    if not known:
        return
    ahead = min(known, key=abs)
    facts = {"ahead_s": round(ahead)}
    if abs(ahead) <= CLOCK_OFF_S:
        text = f"within {max(round(abs(ahead)), 1)} s of the server's"
        yield Check("ok", "clock", "agrees", text, "", facts)
        return
    way = "ahead of" if ahead > 0 else "behind"
    text = f"this machine is {abs(ahead):,.0f} s {way} the server"
    yield Check("warning", "clock", "differs", text, "set the clock of this machine (NTP)", facts)


def of_limits(settings: Settings, plan: Plan, answers: Sequence[Answer]) -> Iterator[Check]:
    """Refusals for too many requests, and headers that speak of limits."""
    names = sorted({name for answer in answers for name in answer.limits})
    shown = {name: value for answer in answers for name, value in answer.limits.items()}
    facts: dict[str, Any] = {"headers": names, "requests": len(answers)}
    headers = ", ".join(f"{name}: {value}" for name, value in sorted(shown.items()))
    at = next((n for n, answer in enumerate(answers, 1) if answer.status == 429), None)
    if at is None:
        if answers:
            text = f"{len(answers)} requests, none refused; headers: {headers or 'none'}"
            yield Check("ok", "limits", "kept", text, "", facts)
        return
    most = limits_of(replace(settings, plan=plan, requests_per_minute=None))
    half = max(min(most.values()) // 2, 1)
    yield Check(
        "problem", "limits", "refused",
        f"HTTP 429 at request {at}, nothing was asked after it; headers: {headers or 'none'}",
        f"wait five minutes; if no other program uses the key: requests_per_minute = {half}",
        facts | {"refused_at": at},
    )  # fmt: skip
