"""What can go wrong with one attempt, and what to do about it.

Private to the API layer: callers see ``ApiError`` and ``BadResponse`` only.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

from pipeline.errors import PipelineError

#: What an answer 401 or 403 is about: the key; the plan, which lacks the endpoint; the account,
#: which has no plan; the path, which is not there; or the server's words do not say.
Refusal = Literal["key", "plan", "account", "path", "unclear"]

# Parts of the messages users of the API have seen; the rest of their texts, and whether they stay,
# is unknown. What is in none of them is unclear, and never taken for one of the others.
_SAID: tuple[tuple[str, Refusal], ...] = (
    ("not available on your subscription", "plan"),
    ("no active subscription", "account"),
    ("endpoint does not exist", "path"),
    ("api key", "key"),
    ("invalid or expired", "key"),
)

_SET_PLAN = "set plan (luigi.cfg, PLAN or --g5-plan) to auto, or to what the account subscribes to"

#: What to do about an answer that no repetition will change.
_HINTS = {
    400: "the date may lie outside the plan's window, see the server's words",
    404: "check JQUANTS_API_BASE",
    410: "JQUANTS_API_BASE points at the closed v1 API",
}
_REFUSAL_HINTS: dict[Refusal, str] = {
    "key": "check JQUANTS_API_KEY",
    "plan": f"the account's plan does not have it: {_SET_PLAN}",
    "account": "choose a plan for the account on the J-Quants dashboard; Free will do",
    "path": "check JQUANTS_API_BASE",
    "unclear": f"key, plan or path: check JQUANTS_API_KEY and JQUANTS_API_BASE; {_SET_PLAN}",
}


def refusal_of(status: int | None, message: str) -> Refusal:
    """What an answer 401 or 403 is about, by its status and the server's words."""
    if status == 401:
        return "key"
    words = message.casefold()
    return next((kind for said, kind in _SAID if said in words), "unclear")


def hint_for(status: int, message: str = "") -> str:
    """Advice for a refusal that is not retried; "" when there is none.

    Args:
        message: the server's words, which tell the kinds of 403 apart.
    """
    if status in (401, 403):
        return _REFUSAL_HINTS[refusal_of(status, message)]
    return _HINTS.get(status, "")


class Transient(PipelineError):
    """An attempt failed in a way that the next one may not.

    Attributes:
        status: HTTP status, or None when no whole answer came.
        garbled: the answer came, but is not JSON of the promised form.
    """

    def __init__(self, reason: str, status: int | None = None, *, garbled: bool = False) -> None:
        super().__init__(reason)
        self.status = status
        self.garbled = garbled


class Refused(Transient):
    """HTTP 429: too many requests.

    Attributes:
        retry_after_s: the server's ``Retry-After`` in seconds, or None.
    """

    def __init__(self, reason: str, retry_after_s: float | None) -> None:
        super().__init__(reason, 429)
        self.retry_after_s = retry_after_s


@dataclass(frozen=True)
class RetryPolicy:
    """Bounds of persistence; times in seconds.

    Attributes:
        attempts: tries per page, the first one included.
        base_s: upper bound of the first pause; each following bound doubles.
        cap_s: largest bound.
        reads: how often a whole answer, all pages, is asked for when its content contradicts the
            endpoint table: rows may shift between pages while the vendor updates them.
    """

    attempts: int = 6
    base_s: float = 1.0
    cap_s: float = 30.0
    reads: int = 3

    def pause_s(self, failures: int, rng: random.Random) -> float:
        """Pause after the ``failures``-th failure in a row: random in the upper half of its bound,
        so that threads that failed together do not return together."""
        bound = min(self.cap_s, self.base_s * 2.0 ** (failures - 1))
        return bound * rng.uniform(0.5, 1.0)


def retry_after_s(header: str | None) -> float | None:
    """Seconds asked for by a ``Retry-After`` header, 1 to 900; None if absent or not a number.

    The HTTP-date form is not used by this vendor; the usual cool-down then applies.
    """
    if header is None or not header.strip().isdigit():
        return None
    return float(min(max(int(header), 1), 900))
