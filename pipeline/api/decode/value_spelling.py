"""What one value of an answer or a bulk file means.

In order: null; a JSON boolean or number in the place of text as its canonical text (``true`` and
1.0 of a flag as ``1``); the spellings of "missing"; other spellings of a member; padding; the form
of a time; the members of a closed list.
"""

from __future__ import annotations

import ast
import datetime as dt
import math
import re
from typing import Any, Final

import orjson

from pipeline.api.catalogue.fields import Field

#: In place of a value that cannot be read.
UNREADABLE: Final = object()

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
#: A code that went through a spreadsheet may have lost its zeros, and gained a fraction.
_DIGITS = re.compile(r"(\d+)(\.0+)?", re.ASCII)
_CLOCK = re.compile(r"(\d{1,2}):([0-5]\d)(?::([0-5]\d))?", re.ASCII)
_LONGEST_OBJECT = 10_000  # characters of a nested object as text


def text_of(field: Field, value: object) -> Any:
    """The canonical text of a text or flag field; None for missing; else ``UNREADABLE``."""
    if value is None:
        return None
    text = _as_text(value)
    if text is None:
        return UNREADABLE
    if text in field.missing:
        return None
    text = _canonical(field, text)
    if text is None or (field.members and text not in field.members):
        return UNREADABLE
    return text


def number_of(field: Field, value: object) -> Any:
    """A finite number; None for missing; else ``UNREADABLE``."""
    if value is None:
        return None
    if type(value) is str:
        if value in field.missing:
            return None
        if _NUMBER.fullmatch(value) is None:
            return UNREADABLE
    elif type(value) not in (int, float):
        return UNREADABLE
    try:
        number = float(value)  # type: ignore[arg-type]  # text, int or float by now
    except OverflowError:
        return UNREADABLE
    return number if math.isfinite(number) else UNREADABLE


def date_of(field: Field, value: object) -> Any:
    """A date; None for missing; else ``UNREADABLE``."""
    if value is None or isinstance(value, dt.date):
        return value
    if not isinstance(value, str):
        return UNREADABLE
    if value in field.missing:
        return None
    try:
        date = dt.date.fromisoformat(value)
    except ValueError:
        return UNREADABLE
    return date if date.isoformat() == value else UNREADABLE


def object_of(value: object) -> object:
    """The object a text spells: in JSON or, as the vendor's sample has it, in Python's own form
    with single quotes; anything else as it is."""
    if not isinstance(value, str) or len(value) > _LONGEST_OBJECT:
        return value
    try:
        found = orjson.loads(value)
    except orjson.JSONDecodeError:
        found = _literal(value)
    return found if isinstance(found, dict) else value


def _literal(text: str) -> object:
    if not text.lstrip().startswith("{"):
        return None
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None


def _as_text(value: object) -> str | None:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float) and math.isfinite(value):
        return str(int(value)) if value.is_integer() else repr(value)
    return None


def _canonical(field: Field, text: str) -> str | None:
    for alias, member in field.aliases:
        if text == alias:
            return member
    if field.width and (digits := _DIGITS.fullmatch(text)):
        return digits[1].lstrip("0").zfill(field.width)
    if not field.clock:
        return text
    time = _CLOCK.fullmatch(text)
    if time is None:
        return None
    hour, minute, second = time.groups()
    seconds = f":{second or '00'}" if second or field.clock == "HH:MM:SS" else ""
    if field.clock == "HH:MM" and second == "00":
        seconds = ""
    return f"{int(hour):02}:{minute}{seconds}"
