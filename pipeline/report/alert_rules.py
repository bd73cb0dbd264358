"""Which alerts are due: at most one per cause and day, and one when it is over.

Pure: findings and what was told before go in, messages and what is told by then come out.

Whoever looks sees a part of the whole, its *scope*: the health check sees everything it checks, a
run sees itself. A cause of the scope that is no longer found has ended. One that comes back on
the day it was told is not told again; if it is still there on the next day, it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

State = Literal["open", "silent", "over"]


@dataclass(frozen=True)
class Cause:
    """Something that is wrong now.

    Attributes:
        key: the same for as long as it is the same trouble, such as ``schema 2024Q1``.
        text: one line for people.
    """

    key: str
    text: str


@dataclass(frozen=True)
class Told:
    """What people know of a cause.

    Attributes:
        scope, key: which one.
        text: when it was last found.
        since: when it was first found, ISO 8601.
        told_on: day of the last alert, YYYY-MM-DD.
        state: open: they were told, and it lasts. silent: it came back on a day it had been told.
            over: it has ended.
    """

    scope: str
    key: str
    text: str
    since: str
    told_on: str
    state: State

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Told:
        return cls(**document)


@dataclass(frozen=True)
class Message:
    """What people are told.

    Attributes:
        subject: a few words.
        body: one line for each cause, then those that are over.
    """

    subject: str
    body: str

    @property
    def text(self) -> str:
        return f"{self.subject}\n{self.body}"


@dataclass(frozen=True)
class Look:
    """Somebody looked.

    Attributes:
        scope: what was looked at, such as ``health`` or ``run production``.
        causes: all that is wrong with it.
        now: ISO 8601; its first ten characters are the day.
        whole: nothing else of the scope is wrong. False for a run that ended at its first fault.
    """

    scope: str
    causes: tuple[Cause, ...]
    now: str
    whole: bool = True

    @property
    def day(self) -> str:
        return self.now[:10]


def due(look: Look, known: Iterable[Told], where: str) -> tuple[Message | None, list[Told]]:
    """The message that is due, None for none, and what is known once it has been told.

    Args:
        known: of all scopes.
        where: host and output root, for the message.
    """
    causes = {cause.key: cause for cause in look.causes}
    own = {told.key: told for told in known if told.scope == look.scope}
    kept = [told for told in known if told.scope != look.scope]
    began: list[Told] = []
    lasting: list[Told] = []
    ended: list[Told] = []
    for cause in causes.values():
        before = own.get(cause.key)
        after = _found(look, cause, before)
        kept.append(after)
        if before is None or before.told_on != after.told_on:
            repeated = before is not None and before.state == "open"
            (lasting if repeated else began).append(after)
    for before in own.values():
        if before.key in causes:
            continue
        if not look.whole:
            kept.append(before)
            continue
        if before.state == "open":
            ended.append(before)
        if before.told_on == look.day:
            kept.append(replace(before, state="over"))
    return _message(began, lasting, ended, where), sorted(kept, key=lambda t: (t.scope, t.key))


def _found(look: Look, cause: Cause, before: Told | None) -> Told:
    """What is known of a cause that was found just now."""
    if before is None:
        return Told(look.scope, cause.key, cause.text, look.now, look.day, "open")
    if before.told_on == look.day:
        state: State = "open" if before.state == "open" else "silent"
        since = look.now if before.state == "over" else before.since
        return replace(before, text=cause.text, state=state, since=since)
    since = look.now if before.state == "over" else before.since
    return Told(look.scope, cause.key, cause.text, since, look.day, "open")


def _message(
    began: list[Told], lasting: list[Told], ended: list[Told], where: str
) -> Message | None:
    wrong = began + lasting
    if not wrong and not ended:
        return None
    lines = [told.text for told in began]
    lines += [f"{told.text} (since {told.since})" for told in lasting]
    lines += [f"recovered: {told.text} (since {told.since})" for told in ended]
    scopes = sorted({told.scope for told in wrong or ended})
    number = len(wrong or ended)
    what = f"{', '.join(scopes)}: {'' if wrong else 'recovered, '}"
    what += f"{number} {'alert' if wrong else 'cause'}{'' if number == 1 else 's'}"
    return Message(f"g5 {what}", "\n".join([*lines, where]))
