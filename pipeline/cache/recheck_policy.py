"""Which closed months to ask about once more: decisions only, nothing is done.

A month that is over is complete, but the vendor restates some of its records later. So every
closed day of the cache is asked about again, the one that was confirmed longest ago first, on a
budget of requests a day:

1. Where there are monthly files, one list of them for each source shows sizes and modification
   times. A file that differs from the one listed before, or is younger than our own check of its
   days, is *changed*. That an unchanged size and time mean unchanged content is a guess: nobody
   has seen how the vendor rewrites files.
2. Changed files get at most half of what is left of the budget, the others at least half, the
   oldest check first. So content is compared in full in any case, however misleading the list.

Moments are ISO texts with the offset of Japan, which compare as text; days and months are ISO.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Literal

#: file: a monthly file. range: the closed days of a year in one request. day: one day.
Way = Literal["file", "range", "day"]


@dataclass(frozen=True)
class Listed:
    """A monthly file as a list showed it.

    Attributes:
        size: bytes, as listed.
        modified: when it was written, ISO, JST; None where the list does not say.
    """

    size: int
    modified: str | None


@dataclass(frozen=True)
class Closed:
    """The closed days of one source, and what is known about them.

    Attributes:
        by_range: it answers any range of days in one request.
        checked: per closed day when the server last confirmed what the cache holds.
        failed: per period (day, month or year) when it was last asked about without being
            confirmed; a period that was confirmed since may still be named.
        listed: monthly files on offer now; None where there are none or they are not known.
        before: monthly files as they were listed when their content was last known to be ours.
    """

    source: str
    by_range: bool
    checked: Mapping[str, str]
    failed: Mapping[str, str] = field(default_factory=dict)
    listed: Mapping[str, Listed] | None = None
    before: Mapping[str, Listed] = field(default_factory=dict)


@dataclass(frozen=True)
class Question:
    """One question, for which one request is counted.

    Attributes:
        period: ``YYYY-MM`` for a file, ``YYYY`` for a range, ``YYYY-MM-DD`` for a day.
        days: the days of the cache it is about, ascending.
        checked: the longest ago that one of them was confirmed or asked about.
        changed: the list of files says that there is something new.
    """

    source: str
    way: Way
    period: str
    days: tuple[str, ...]
    checked: str
    changed: bool = False

    @property
    def order(self) -> tuple[str, str, str]:
        """The oldest check first; ties in a fixed order."""
        return self.checked, self.source, self.period


@dataclass(frozen=True)
class Promise:
    """Within how many updates a correction of a closed day is found.

    Attributes:
        questions: to go through every closed day once.
        by_list: updates until a file that the list shows as changed is read, as long as no more
            files change than fit into a day; None without lists.
        in_full: updates until the content of every closed day has been compared, whatever lists
            say; None where nothing is ever asked.
    """

    questions: int
    by_list: int | None
    in_full: int | None


def questions(closed: Iterable[Closed]) -> list[Question]:
    """Everything there is to ask, the oldest check first.

    Of a month with a file, days that an earlier reading of the file left unconfirmed are asked
    for by request.
    """
    found: list[Question] = []
    for source in closed:
        if source.by_range:
            found += _ranges(source)
        else:
            found += _files_and_days(source)
    return sorted(found, key=lambda question: question.order)


def choose(asked: Iterable[Question], budget: int, today: str) -> list[Question]:
    """The questions of a day, in the order in which they are to be asked.

    Args:
        budget: how many there may be; the lists are paid already.
        today: what was confirmed or tried today is not asked about again.
    """
    due = sorted((q for q in asked if q.checked[:10] < today), key=lambda q: q.order)
    changed = [question for question in due if question.changed][: max(budget, 0) // 2]
    others = [question for question in due if question not in set(changed)]
    return changed + others[: max(budget, 0) - len(changed)]


def worth_listing(sources: Collection[str], budget: int) -> bool:
    """True when the lists of these sources leave at least half of the budget for questions."""
    return 2 * len(sources) <= budget


def promise(number: int, lists: int, budget: int, requests_each: float = 1.0) -> Promise:
    """Within how many updates a correction is found.

    Args:
        number: questions it takes to go through every closed day once.
        lists: sources whose monthly files are listed in each update.
        budget: requests a day.
        requests_each: what a question cost on the average so far: answers may have pages.
    """
    left = budget - lists
    share = left - left // 2 if lists else left  # the rest may go to changed files
    each = max(requests_each, 1.0)
    in_full = ceil(number * each / share) if share > 0 else None
    return Promise(number, 1 if lists else None, in_full)


def _ranges(source: Closed) -> list[Question]:
    years: dict[str, list[str]] = defaultdict(list)
    for day in sorted(source.checked):
        years[day[:4]].append(day)
    return [_question(source, "range", year, days) for year, days in years.items()]


def _files_and_days(source: Closed) -> list[Question]:
    months: dict[str, list[str]] = defaultdict(list)
    for day in sorted(source.checked):
        months[day[:7]].append(day)
    found = []
    for month, days in months.items():
        listed = None if source.listed is None else source.listed.get(month)
        tried = source.failed.get(month, "")
        by_file = [day for day in days if listed and source.checked[day] >= tried]
        found += [_question(source, "day", day, [day]) for day in days if day not in by_file]
        if listed and by_file:
            question = _question(source, "file", month, by_file)
            changed = differs(listed, source.before.get(month), question.checked)
            found.append(_question(source, "file", month, by_file, changed=changed))
    return found


def differs(listed: Listed, before: Listed | None, checked: str) -> bool:
    """True when a list says that a file is not the one whose content we have.

    Args:
        before: the same file when its content was last known to be ours; None if never listed.
        checked: the longest ago that one of its days was confirmed.
    """
    if before is not None and before != listed:
        return True
    return before is None and listed.modified is not None and listed.modified > checked


def _question(
    source: Closed, way: Way, period: str, days: Sequence[str], *, changed: bool = False
) -> Question:
    oldest = min(source.checked[day] for day in days)
    # What failed goes to the end of the queue: it must not keep the others waiting.
    last = max(oldest, "" if way == "file" else source.failed.get(period, ""))
    return Question(source.source, way, period, tuple(days), last, changed)
