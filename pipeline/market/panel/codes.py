"""Security codes. The coded fields of the listing record are in ``closed_lists``."""

from __future__ import annotations

import re

from pipeline.errors import PipelineError

_CODE = re.compile(r"[0-9A-Z]{5}")

#: Investment certificates of the Bank of Japan and the Shinkin Central Bank. Since April 2022 they
#: are in no market segment, and returned as Standard all the same. Guess: their industry, or one
#: day their market, may be missing; the exchange's own list has a dash in both.
_CERTIFICATES = frozenset({"83010", "84210"})


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


def must_be_placed(code: str) -> bool:
    """True for ordinary shares that must have a market and, in a market tier, an industry.

    An investment certificate without one is outside the universe, and no fault of the listing.
    """
    return is_ordinary_share(code) and code not in _CERTIFICATES
