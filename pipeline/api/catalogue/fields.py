"""How a field looks on the wire, and what it becomes in our tables.

The vendor writes missing values in several ways, pads codes or not, and sends flags as text,
number or boolean. Which members a closed list has and how wide a code is are declared here as
data. What a value means is decided by ``spelling``; what cannot be read becomes null and is
counted (``pipeline.quarantine``), except where a row could not be placed without it.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

#: text: text, as it came. flag: 0 or 1, stored as text. date: ``YYYY-MM-DD``. number: a number.
#: On the wire text and flags may also be JSON numbers or booleans, and numbers numeric text.
Kind = Literal["text", "flag", "date", "number"]

#: Spellings of "no value" besides null. Blank text is always one: the bulk files cannot tell it
#: from null, and the routes to a snapshot must agree.
BLANK = ("",)
#: ``-``: a dividend not yet decided, a change from a day that was not published; ``*``: a ratio
#: of an ETF. Seen in these fields; that any other number, date or text of the vendor may hold
#: them, and in full width (the forms of CP932 among them), is a guess that costs nothing: none of
#: them is a value anywhere but in ``ScaleCat``, which declares so.
MISSING = ("", "-", "*", "－", "＊", "−")

FLAG = ("0", "1")
#: Flags of the statements: text that spells a boolean.
TRUTH = ("true", "false")

#: Other spellings of a flag's members. Text ``1``, numbers and booleans are seen or stated; what a
#: spreadsheet makes of them is a guess.
_FLAG_ALIASES = (
    *((text, "1") for text in ("1.0", "true", "True", "TRUE")),
    *((text, "0") for text in ("0.0", "false", "False", "FALSE")),
)
_TRUTH_ALIASES = (
    *((text, "true") for text in ("1", "1.0", "True", "TRUE")),
    *((text, "false") for text in ("0", "0.0", "False", "FALSE")),
)

_ARROW: dict[Kind, pa.DataType] = {
    "text": pa.string(),
    "flag": pa.string(),
    "date": pa.date32(),
    "number": pa.float64(),
}


@dataclass(frozen=True)
class Field:
    """One column of a source.

    Attributes:
        name: name on the wire; ``Outer.Inner`` is the key ``Inner`` of the object ``Outer``.
        kind: wire form, and through it the Arrow type.
        missing: texts that stand for null; null itself always does.
        required: the key must be there in every row. Not required are keys that some plans or
            some years do not send: their column is then null.
        since: first row date from which a required key must be there; None for all dates.
        kept: False for what must be there where it is sent, but is no column of our tables; its
            values are not looked at.
        width: digits of a code, leading zeros included: shorter ones are padded, longer ones lose
            their zeros; text that is no number stays as it is. 0 for no rule.
        members: of a closed list; any other value cannot be read. Empty for an open one.
        aliases: other spellings of members, each with what it stands for.
        clock: form of a time of day, with seconds always (``HH:MM:SS``) or only where there are
            some (``HH:MM``); empty for what is none.
        refused: True where a row without a readable value is refused, although it is no key.
    """

    name: str
    kind: Kind
    missing: tuple[str, ...] = ()
    required: bool = True
    since: dt.date | None = None
    kept: bool = True
    width: int = 0
    members: tuple[str, ...] = ()
    aliases: tuple[tuple[str, str], ...] = ()
    clock: Literal["", "HH:MM", "HH:MM:SS"] = ""
    refused: bool = False

    @property
    def outer(self) -> str:
        """Key of the row object the field is found under."""
        return self.name.partition(".")[0]

    @property
    def inner(self) -> str:
        """Key inside the nested object; "" for a plain field."""
        return self.name.partition(".")[2]

    @property
    def alone(self) -> tuple[str, ...]:
        """Names of a column that holds this field and nothing else.

        How a bulk file names the columns of nested fields is a guess, all three.
        """
        if not self.inner:
            return (self.name,)
        return self.name, f"{self.outer}_{self.inner}", self.inner

    @property
    def wire_names(self) -> tuple[str, ...]:
        """Every name under which it may come."""
        return (*self.alone, self.outer) if self.inner else self.alone

    @property
    def arrow_type(self) -> pa.DataType:
        return _ARROW[self.kind]


def fields(
    names: str,
    kind: Kind,
    *,
    missing: tuple[str, ...] = MISSING,
    required: bool = True,
    since: dt.date | None = None,
    kept: bool = True,
    width: int = 0,
    members: tuple[str, ...] = (),
    aliases: tuple[tuple[str, str], ...] = (),
    clock: Literal["", "HH:MM", "HH:MM:SS"] = "",
    refused: bool = False,
) -> tuple[Field, ...]:
    """Fields of one kind, from their names separated by blanks. Flags have their two members."""
    if kind == "flag":
        members, aliases = FLAG, _FLAG_ALIASES
    elif members == TRUTH:
        aliases = _TRUTH_ALIASES
    return tuple(
        Field(name, kind, missing, required, since, kept, width, members, aliases, clock, refused)
        for name in names.split()
    )
