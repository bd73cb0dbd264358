"""Security codes. The coded fields of the listing record are in ``closed_lists``."""

from __future__ import annotations

import re

from pipeline.errors import PipelineError

_CODE = re.compile(r"[0-9A-Z]{5}")


class BadCode(PipelineError):
    """A security code does not have the form of one."""


def checked_code(code: str) -> str:
    """The code itself, if it has the form of the API's issue codes: 5 digits or capital letters.

    Raises:
        BadCode: it does not; 4-character codes are not completed, the fifth character says which
            kind of share is meant.
    """
    if not _CODE.fullmatch(code):
        raise BadCode(
            f"security code {code!r}: expected 5 digits or capital letters such as 72030 or 130A0",
            "write all five characters; ordinary shares end in 0",
        )
    return code


def has_form(code: str) -> bool:
    """True for a text that has the form of an issue code."""
    return _CODE.fullmatch(code) is not None


def is_ordinary_share(code: str) -> bool:
    """True for ordinary shares: the fifth character is 0 (preferred shares have another)."""
    return len(code) == 5 and code[4] == "0"
