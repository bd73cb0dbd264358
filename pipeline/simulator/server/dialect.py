"""How the simulator spells what it says: every point on which the real service may differ.

The specification leaves these points open, or sources contradict each other. A dialect changes
the spelling only: the rows of a market and their values are the same in all of them. Two choices
withhold something all the same, as the vendor is said to do: ``times=minutes`` and
``times=missing`` take the seconds or the whole text of ``DiscTime`` away.

The default is what has been seen or stated most credibly, ``plain`` what the specification says
and nothing else, ``careless`` everything odd at once. The names of files that hold several months
are a guess: an official answer only says that there are such files.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cache
from typing import TYPE_CHECKING, Final, Literal, get_args, get_type_hints

from pipeline.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(frozen=True)
class Dialect:
    """One choice for every open point.

    Bulk files:

    Attributes:
        nested: a nested value in a CSV file: text of a Python dict, JSON text, or a column for
            each inner key (``PubReason.Restricted``).
        lines: ends of lines.
        bom: whether files begin with a byte order mark.
        history: what one file under ``historical/`` holds, once all of it is over.
        grouping: which date puts a row into a file of a month: the one requests select on, or the
            row's other date (margin alerts: application; short positions: calculation; daily
            margin balances: publication).
        live: folders between ``live/`` and a file of one day.
        premium: whether the plan Premium has the segment ``premium/`` in keys of daily bars.
            ``both``: beside the files without it, which then lack morning and afternoon.
        size: type of ``Size`` in the list.
        modified: form of ``LastModified``; missing: no such key.
        folders: whether the list has entries of folders.
        strangers: whether the list has files that are for no period.
        listing: whether the list comes in pages.

    Values:

    Attributes:
        padding: leading zeros of codes: all, none, or none in some rows.
        codes: type of codes, where all of their characters are digits. Numbers have no padding.
        limits: type of ``UL`` and ``LL``.
        flags: type of the flags of ``/fins/summary`` and inside ``PubReason``.
        numbers: type of numbers.
        blanks: how a missing number is written: as specified for its field, or one mark for all,
            or all marks by turns.
        repeats: whether some rows come twice. Not those of ``/markets/short-sale-report``, which
            has no key: there a repeated row cannot be told from two equal reports.
        times: ``DiscTime`` with seconds, without, some with, or not at all in some rows.

    Answers:

    Attributes:
        bad_key: status for a missing or wrong key.
        window: whether a refusal outside the plan's window names the window.
        closed: a day without rows on which the exchange was closed: an empty answer, or a 400.
        day: where the day begins that moves the plan's window.
        earnings: the lowest plan with ``/fins/earnings-date``.

    Raises:
        UsageError: a value is none of the choices.
    """

    nested: Literal["python", "json", "columns"] = "python"
    lines: Literal["crlf", "lf"] = "crlf"
    bom: Literal["no", "yes"] = "no"
    history: Literal["month", "quarter", "year"] = "month"
    grouping: Literal["asked", "other"] = "asked"
    live: Literal["flat", "year", "month"] = "flat"
    premium: Literal["both", "only", "none"] = "both"
    size: Literal["float", "int", "text"] = "float"
    modified: Literal["iso", "http", "null", "missing"] = "iso"
    folders: Literal["no", "yes"] = "no"
    strangers: Literal["no", "yes"] = "no"
    listing: Literal["whole", "pages"] = "whole"
    padding: Literal["full", "mixed", "stripped"] = "full"
    codes: Literal["text", "number"] = "text"
    limits: Literal["text", "number", "boolean"] = "text"
    flags: Literal["text", "number", "boolean"] = "text"
    numbers: Literal["number", "text"] = "number"
    blanks: Literal["specified", "null", "empty", "dash", "star", "wide", "mixed"] = "specified"
    repeats: Literal["none", "some"] = "none"
    times: Literal["seconds", "minutes", "mixed", "missing"] = "seconds"
    bad_key: Literal["403", "401"] = "403"
    window: Literal["named", "silent"] = "named"
    closed: Literal["empty", "refused"] = "empty"
    day: Literal["jst", "utc"] = "jst"
    earnings: Literal["light", "all"] = "light"

    def __post_init__(self) -> None:
        for name, choices in points().items():
            if getattr(self, name) not in choices:
                raise UsageError(
                    f"simulator dialect {name}: expected one of {', '.join(choices)},"
                    f" got {getattr(self, name)!r}"
                )


@cache
def points() -> Mapping[str, tuple[str, ...]]:
    """The choices of every point, by its name; the first is that of the evidence."""
    types = get_type_hints(Dialect)
    return {point.name: get_args(types[point.name]) for point in fields(Dialect)}


EVIDENCE: Final = Dialect()
PLAIN: Final = Dialect(nested="json", lines="lf", live="month", premium="none", size="int")
CARELESS: Final = Dialect(
    nested="python",
    lines="crlf",
    bom="yes",
    history="quarter",
    grouping="other",
    live="year",
    premium="both",
    size="text",
    modified="missing",
    folders="yes",
    strangers="yes",
    listing="pages",
    padding="mixed",
    codes="text",
    limits="number",
    flags="boolean",
    numbers="text",
    blanks="mixed",
    repeats="some",
    times="mixed",
    bad_key="401",
    window="silent",
    closed="refused",
    day="utc",
    earnings="all",
)
PRESETS: Final = {"evidence": EVIDENCE, "plain": PLAIN, "careless": CARELESS}


def parse_dialect(texts: Iterable[str]) -> Dialect:
    """A dialect from ``NAME=VALUE[,NAME=VALUE...]`` and names of presets, the last word counts.

    A preset sets every point, so it belongs at the beginning.

    Raises:
        UsageError: no such preset, point or choice; names those there are.
    """
    dialect = EVIDENCE
    for word in (word.strip() for text in texts for word in text.split(",")):
        name, sign, value = word.partition("=")
        if not sign:
            if name not in PRESETS:
                raise UsageError(
                    f"simulator dialect {word!r}: expected {', '.join(PRESETS)}, or NAME=VALUE"
                    f" with a name of {', '.join(points())}"
                )
            dialect = PRESETS[name]
        elif name not in points():
            raise UsageError(
                f"simulator dialect {name!r}: unknown; expected one of {', '.join(points())}"
            )
        else:
            changes: dict[str, str] = {name: value}
            dialect = replace(dialect, **changes)  # type: ignore[arg-type]
    return dialect
