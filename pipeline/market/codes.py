"""Security codes, and the coded fields of the listing record as numbers.

Every rule is a pure function of one text; NaN stands for *none*, an empty text for a missing one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Final

from pipeline.errors import PipelineError

# Mkt -> tier. The segments before and after the reorganisation of 2022-04-04 share a tier, so
# that a series does not break there. PRO market (0105) and ETF, REIT and others (0109) have none.
MARKET_TIERS: Final[Mapping[str, float]] = {
    "0101": 1.0,  # first section
    "0111": 1.0,  # Prime
    "0102": 2.0,  # second section
    "0106": 2.0,  # JASDAQ Standard
    "0112": 2.0,  # Standard
    "0104": 3.0,  # Mothers
    "0107": 3.0,  # JASDAQ Growth
    "0113": 3.0,  # Growth
}

SCALE_BUCKETS: Final[Mapping[str, float]] = {
    "TOPIX Core30": 5.0,
    "TOPIX Large70": 4.0,
    "TOPIX Mid400": 3.0,
    "TOPIX Small 1": 2.0,
    "TOPIX Small 2": 1.0,
}

_CODE = re.compile(r"[0-9A-Z]{5}")
_OTHER_S17 = "99"
_OTHER_S33 = "9999"


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


def is_ordinary_share(code: str) -> bool:
    """True for ordinary shares: the fifth character is 0 (preferred shares have another)."""
    return len(code) == 5 and code[4] == "0"


def market_tier(mkt: str) -> float:
    """1 Prime and first section, 2 Standard and the like, 3 Growth and the like; else NaN."""
    return MARKET_TIERS.get(mkt, math.nan)


def sector17(s17: str) -> float:
    """TOPIX-17 sector number 1..17; NaN for 99 (others) and an empty field."""
    return math.nan if s17 == _OTHER_S17 else _number(s17)


def sector33(s33: str) -> float:
    """33-industry number 50..9050; NaN for 9999 (others) and an empty field."""
    return math.nan if s33 == _OTHER_S33 else _number(s33)


def scale_bucket(scale_cat: str) -> float:
    """Ordinal of the TOPIX size bucket, 5 (Core30) to 1 (Small 2); 0 for issues in none."""
    return SCALE_BUCKETS.get(scale_cat, 0.0)


def margin_class(mrgn: str) -> float:
    """1 margin buying only, 2 loanable, 3 other; NaN for an empty field."""
    return _number(mrgn)


def _number(text: str) -> float:
    return float(text) if text.isascii() and text.isdigit() else math.nan
