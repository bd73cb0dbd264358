"""Injected faults: what goes wrong, how often, and where.

Whether a request is struck depends on the fault's seed, the request's path and query, and how
often that same path and query was asked before: not on the order in which threads arrive. Of
several faults the first that strikes is the one that happens.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import asdict, dataclass, fields, replace
from fnmatch import fnmatchcase
from random import Random
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from pipeline.errors import UsageError
from pipeline.simulator.bulk.bulk_endpoints import FILES, expired_url
from pipeline.simulator.delivery.body_distortions import DISTORTIONS
from pipeline.simulator.delivery.http_exchange import Answer, Delivery, Request, refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_GATEWAY = {
    "502": (502, "Bad Gateway"),
    "503": (503, "Service Unavailable"),
    "504": (504, "Gateway Timeout"),
}
INSTEAD: Final = ("429", "500", *_GATEWAY, "reset", "hang", "expired-url")
KINDS: Final = (*INSTEAD, "drip", "truncated-body", *DISTORTIONS)
_DEFAULT_SECONDS = {"hang": 600.0, "drip": 5.0}


@dataclass(frozen=True)
class Fault:
    """A kind of fault and the requests it strikes.

    Args:
        kind: one of ``KINDS``.
        rate: share of the requests struck, 0 to 1.
        path: pattern of the path without /v2, ``*`` for any text; files are below ``/_files/``.
        count: struck at most this often; None for no end.
        seed: another seed strikes other requests.
        seconds: length of a ``hang`` or ``drip``; None for a default.
        field: the key that vanishes or changes its type; None for any.

    Raises:
        UsageError: a value is out of its range.
    """

    kind: str
    rate: float = 1.0
    path: str = "*"
    count: int | None = None
    seed: int = 0
    seconds: float | None = None
    field: str | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UsageError(f"fault {self.kind!r}: expected one of {', '.join(KINDS)}")
        if not 0 <= self.rate <= 1:
            raise UsageError(f"fault {self.kind}: rate: expected 0 to 1, got {self.rate}")
        for name, value in (("count", self.count), ("seconds", self.seconds)):
            if value is not None and not 0 <= value < math.inf:
                raise UsageError(f"fault {self.kind}: {name}: expected 0 or more, got {value}")

    @property
    def delivery_seconds(self) -> float:
        """``seconds`` or its default."""
        return _DEFAULT_SECONDS.get(self.kind, 0.0) if self.seconds is None else self.seconds

    def strikes(self, request: Request, number: int) -> bool:
        """Whether the ``number``-th request of its kind is struck, were there no ``count``."""
        if not fnmatchcase(request.endpoint, self.path):
            return False
        return self.stream(request, number).random() < self.rate

    def stream(self, request: Request, number: int) -> Random:
        """Random numbers, the same for the same request; the first one decides on the strike."""
        return Random(f"{self.seed}|{self.kind}|{identity(request)}|{number}")


def parse_fault(text: str, seed: int = 0) -> Fault:
    """The fault of a text KIND:RATE, such as ``503:0.05``.

    Raises:
        UsageError: it is none.
    """
    kind, _, rate = text.partition(":")
    try:
        return Fault(kind, float(rate) if rate else 1.0, seed=seed)
    except ValueError:
        raise UsageError(f"fault {text!r}: expected KIND:RATE, such as 503:0.05") from None


def faults_of_json(text: bytes) -> list[Fault]:
    """Faults of a JSON array of objects with the names of ``Fault``.

    Raises:
        UsageError: it is none.
    """
    try:
        return [_fault_of(entry) for entry in json.loads(text)]
    except (ValueError, TypeError) as error:
        raise UsageError(f"faults: expected an array of objects: {error}") from error


def _fault_of(entry: Mapping[str, Any]) -> Fault:
    known = {field.name for field in fields(Fault)}
    if unknown := set(entry) - known:
        names = ", ".join(sorted(unknown))
        raise UsageError(f"faults: unknown {names}; expected {', '.join(sorted(known))}")
    return Fault(**entry)


class Faults:
    """The faults in force; they may be changed at any time, from any thread."""

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        self._lock = Lock()
        self.set(faults)

    def set(self, faults: Iterable[Fault]) -> None:
        """Replace all faults; every count begins anew."""
        made = tuple(faults)
        with self._lock:
            self._faults = made
            self._struck = [0] * len(made)
            self._asked: Counter[str] = Counter()

    def snapshot(self) -> list[dict[str, object]]:
        """The faults in force, each with the number of requests it ``struck``."""
        with self._lock:
            pairs = zip(self._faults, self._struck, strict=True)
            return [asdict(fault) | {"struck": struck} for fault, struck in pairs]

    def number(self, request: Request) -> int:
        """How often the request's path and query were asked before."""
        with self._lock:
            if not self._faults:
                return 0
            number = self._asked[identity(request)]
            self._asked[identity(request)] += 1
        return number

    def instead(self, request: Request, number: int) -> Answer | None:
        """What happens instead of an answer, if anything."""
        return self._first(request, number, lambda fault: _instead(fault, request))

    def distort(self, request: Request, number: int, answer: Answer) -> Answer:
        """The answer, or what a fault makes of it."""
        if answer.status not in (200, 206) or not answer.body:
            return answer

        def distorted(fault: Fault) -> Answer | None:
            stream = fault.stream(request, number)
            stream.random()  # spent on the strike
            return _distorted(fault, answer, stream)

        return self._first(request, number, distorted) or answer

    def _first(
        self, request: Request, number: int, make: Callable[[Fault], Answer | None]
    ) -> Answer | None:
        with self._lock:
            for index, fault in enumerate(self._faults):
                spent = fault.count is not None and self._struck[index] >= fault.count
                if spent or not fault.strikes(request, number):
                    continue
                made = make(fault)
                if made is not None:
                    self._struck[index] += 1
                    return replace(made, fault=fault.kind)
        return None


def identity(request: Request) -> str:
    """Path and query; a file's query is only its ticket, which never comes twice."""
    is_file = request.path.startswith(FILES)
    return request.path if is_file else f"{request.path}?{request.query}"


def _instead(fault: Fault, request: Request) -> Answer | None:
    if fault.kind == "429":
        return refusal(429, "Too Many Requests")
    if fault.kind == "500":
        return refusal(500, "Unexpected error. Please try again later.")
    if fault.kind in _GATEWAY:
        status, text = _GATEWAY[fault.kind]
        page = f"<html><head><title>{status} {text}</title></head><body>{text}</body></html>\n"
        return Answer(status, page.encode(), content_type="text/html")
    if fault.kind == "reset":
        return Answer(0, delivery=Delivery("reset"))
    if fault.kind == "hang":
        return Answer(0, delivery=Delivery("hang", fault.delivery_seconds))
    if fault.kind == "expired-url" and request.path.startswith(FILES):
        return expired_url()
    return None


def _distorted(fault: Fault, answer: Answer, stream: Random) -> Answer | None:
    if fault.kind == "drip":
        return replace(answer, delivery=Delivery("drip", fault.delivery_seconds))
    if fault.kind == "truncated-body":
        return replace(answer, delivery=Delivery("cut"))
    if fault.kind in DISTORTIONS:
        return DISTORTIONS[fault.kind](answer, stream, fault.field)
    return None
