"""How a field looks on the wire, and what it becomes in our tables.

The vendor writes missing values in five ways. Which ones a field may use is declared here as
data, so that anything else in its place is an error and never turns silently into a null.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

#: text: JSON text. flag: 0/1 as text or as integer, stored as text. date: ``YYYY-MM-DD`` text.
#: number: JSON number or numeric text.
Kind = Literal["text", "flag", "date", "number"]

#: Spellings of "no value" besides null. Blank text is always one: the bulk files cannot tell it
#: from null, and the routes to a snapshot must agree.
BLANK = ("",)
UNDECIDED = ("", "-")  # dividends not yet decided; a change from a day that was not published
NO_RATIO = ("", "*")  # margin ratios of ETFs

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
        kept: False for what is checked where it is sent, but is no column of our tables.
    """

    name: str
    kind: Kind
    missing: tuple[str, ...] = ()
    required: bool = True
    since: dt.date | None = None
    kept: bool = True

    @property
    def outer(self) -> str:
        """Key of the row object the field is found under."""
        return self.name.partition(".")[0]

    @property
    def inner(self) -> str:
        """Key inside the nested object; "" for a plain field."""
        return self.name.partition(".")[2]

    @property
    def arrow_type(self) -> pa.DataType:
        return _ARROW[self.kind]


def fields(
    names: str,
    kind: Kind,
    *,
    missing: tuple[str, ...] | None = None,
    required: bool = True,
    since: dt.date | None = None,
    kept: bool = True,
) -> tuple[Field, ...]:
    """Fields of one kind, from their names separated by blanks.

    Numbers are missing only as null unless ``missing`` says otherwise; all others also when blank.
    """
    if missing is None:
        missing = () if kind == "number" else BLANK
    return tuple(Field(name, kind, missing, required, since, kept) for name in names.split())
