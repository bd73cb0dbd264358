"""Rate limits: requests per minute by plan, and the block after gross excess.

What the vendor does not say is an option here: the kind of window, whether failed requests
count, whether the budget of an endpoint is part of the plan's, the threshold and status of the
block. All times are those of ``ScaledClock``: at scale 10 a minute passes in six seconds.
"""

from __future__ import annotations

import math
import time
from collections import deque
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Final, Literal, Protocol, TypeAlias, get_args

from pipeline.errors import UsageError
from pipeline.simulator.server.refusal import RefusalError

if TYPE_CHECKING:
    from collections.abc import Callable

WindowKind: TypeAlias = Literal["sliding", "fixed", "bucket"]
WINDOW_KINDS: Final[tuple[str, ...]] = get_args(WindowKind)
REQUESTS_PER_MINUTE: Final = {"free": 5, "light": 60, "standard": 120, "premium": 500}
OWN_BUDGET: Final = frozenset({"/fins/summary", "/fins/details"})
_MINUTE = 60.0
TOO_MANY = "Too Many Requests"


@dataclass(frozen=True)
class LimitOptions:
    """How requests are limited.

    Args:
        per_minute: requests a minute; None for those of the plan.
        window: ``sliding``: the last 60 seconds; ``fixed``: from one full minute of the clock to
            the next; ``bucket``: a bucket of ``burst`` requests, refilled evenly at the limit.
        burst: what a bucket holds; None for as much as the limit.
        count_failed: whether requests answered with an error, 429 included, count too.
        fins_per_minute: for ``/fins/summary`` and ``/fins/details``, each.
        fins_in_plan: whether those also use up the plan's budget.
        block_after: requests refused within a minute before access is cut; None for as many as
            the limit, 0 for never.
        block_s: length of the cut.
        block_status: what is answered meanwhile.
        retry_after: whether a refusal says how long to wait; the real server does not.

    Raises:
        UsageError: a value is out of its range.
    """

    per_minute: int | None = None
    window: WindowKind = "sliding"
    burst: int | None = None
    count_failed: bool = True
    fins_per_minute: int = 60
    fins_in_plan: bool = True
    block_after: int | None = None
    block_s: float = 300.0
    block_status: int = 429
    retry_after: bool = False

    def __post_init__(self) -> None:
        for name in ("per_minute", "fins_per_minute", "burst"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"simulator limits: {name}: expected 1 or more, got {value}")
        if self.window not in WINDOW_KINDS:
            known = ", ".join(WINDOW_KINDS)
            raise UsageError(f"simulator limits: window {self.window!r}: expected one of {known}")
        if self.burst is not None and self.window != "bucket":
            raise UsageError("simulator limits: burst: only a bucket has one; set window=bucket")
        if (self.block_after or 0) < 0 or self.block_s < 0:
            raise UsageError("simulator limits: the block: expected 0 or more")
        if not 400 <= self.block_status <= 599:
            raise UsageError(
                f"simulator limits: block_status: expected 400 to 599, got {self.block_status}"
            )


class ScaledClock:
    """Seconds since some fixed moment, passing ``scale`` times as fast as outside.

    Raises:
        UsageError: the scale is not above 0.
    """

    def __init__(self, scale: float = 1.0, source: Callable[[], float] = time.monotonic) -> None:
        if not 0 < scale < math.inf:
            raise UsageError(f"simulator clock scale: expected more than 0, got {scale}")
        self.scale = scale
        self._source = source

    def __call__(self) -> float:
        return self._source() * self.scale


class RateLimiter:
    """The budgets of one account.

    Args:
        options: None for no limits at all.
        plan: its name.
        clock: in seconds.
    """

    def __init__(self, options: LimitOptions | None, plan: str, clock: ScaledClock) -> None:
        self._options = options or LimitOptions()
        self._off = options is None
        self._clock = clock
        limit = self._options.per_minute or REQUESTS_PER_MINUTE[plan]
        self._plan = _window(self._options, limit)
        self._own = {
            path: _window(self._options, self._options.fins_per_minute) for path in OWN_BUDGET
        }
        after = self._options.block_after
        self._block = _Block(limit if after is None else after, self._options.block_s)
        self._lock = Lock()

    def admit(self, path: str) -> float:
        """Let a request in, or refuse it.

        Returns:
            When it came, to be given to ``settle``.

        Raises:
            RefusalError: there is no room, or access is cut.
        """
        now = self._clock()
        if self._off:
            return now
        with self._lock:
            if self._block.until > now:
                raise self._refusal(self._options.block_status, self._block.until - now)
            windows = self._windows(path)
            full = [window for window in windows if not window.has_room(now)]
            if not full or self._options.count_failed:
                for window in windows:
                    window.charge(now)
            if full:
                wait = max(window.wait(now) for window in full)
                raise self._refusal(429, max(wait, self._block.count(now)))
        return now

    def settle(self, path: str, came: float, status: int) -> None:
        """Give the request's place back when it failed and failures do not count."""
        if self._off or self._options.count_failed or status < 400:
            return
        with self._lock:
            for window in self._windows(path):
                window.give_back(came, self._clock())

    def _windows(self, path: str) -> list[Window]:
        own = self._own.get(path)
        if own is None:
            return [self._plan]
        return [self._plan, own] if self._options.fins_in_plan else [own]

    def _refusal(self, status: int, wait: float) -> RefusalError:
        seconds = math.ceil(wait / self._clock.scale)
        headers = (("Retry-After", str(seconds)),) if self._options.retry_after else ()
        return RefusalError(status, TOO_MANY, headers=headers)


class _Block:
    """Access is cut for ``seconds`` once ``after`` requests were refused within a minute."""

    def __init__(self, after: int, seconds: float) -> None:
        self._after, self._seconds = after, seconds
        self._refused: deque[float] = deque()
        self.until = -math.inf

    def count(self, now: float) -> float:
        """Note a refusal; returns the seconds for which access is cut because of it, or 0."""
        if not self._after:
            return 0.0
        self._refused.append(now)
        while self._refused[0] <= now - _MINUTE:
            self._refused.popleft()
        if len(self._refused) < self._after:
            return 0.0
        self._refused.clear()
        self.until = now + self._seconds
        return self._seconds


class Window(Protocol):
    """A budget of requests."""

    def has_room(self, now: float) -> bool:
        """Whether one more request is within the limit."""

    def charge(self, now: float) -> None:
        """Count a request."""

    def give_back(self, came: float, now: float) -> None:
        """Forget the request counted at ``came``."""

    def wait(self, now: float) -> float:
        """Seconds until there is room, if nothing else is charged."""


class SlidingWindow:
    """At most ``limit`` requests in any 60 seconds."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._times: deque[float] = deque()

    def has_room(self, now: float) -> bool:
        while self._times and self._times[0] <= now - _MINUTE:
            self._times.popleft()
        return len(self._times) < self._limit

    def charge(self, now: float) -> None:
        self._times.append(now)

    def give_back(self, came: float, now: float) -> None:
        if came > now - _MINUTE and came in self._times:
            self._times.remove(came)

    def wait(self, now: float) -> float:
        if self.has_room(now):
            return 0.0
        return self._times[-self._limit] + _MINUTE - now


class FixedWindow:
    """At most ``limit`` requests in each full minute of the clock."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._minute, self._count = -1, 0

    def has_room(self, now: float) -> bool:
        self._roll(now)
        return self._count < self._limit

    def charge(self, now: float) -> None:
        self._roll(now)
        self._count += 1

    def give_back(self, came: float, now: float) -> None:
        self._roll(now)
        if came // _MINUTE == self._minute and self._count:
            self._count -= 1

    def wait(self, now: float) -> float:
        return 0.0 if self.has_room(now) else (self._minute + 1) * _MINUTE - now

    def _roll(self, now: float) -> None:
        minute = int(now // _MINUTE)
        if minute != self._minute:
            self._minute, self._count = minute, 0


class TokenBucket:
    """A bucket of ``holds`` requests, by default ``limit``, refilled at ``limit`` a minute.

    Requests charged without room put it in debt, but never by more than it holds.
    """

    def __init__(self, limit: int, holds: int | None = None) -> None:
        self._limit = limit
        self._holds = float(limit if holds is None else min(holds, limit))
        self._tokens, self._at = self._holds, -math.inf

    def has_room(self, now: float) -> bool:
        self._refill(now)
        return self._tokens >= 1

    def charge(self, now: float) -> None:
        self._refill(now)
        self._tokens = max(self._tokens - 1, -self._holds)

    def give_back(self, came: float, now: float) -> None:  # noqa: ARG002 (a bucket has no past)
        self._refill(now)
        self._tokens = min(self._tokens + 1, self._holds)

    def wait(self, now: float) -> float:
        self._refill(now)
        return max(1 - self._tokens, 0.0) * _MINUTE / self._limit

    def _refill(self, now: float) -> None:
        if now > self._at:
            gained = 0.0 if self._at == -math.inf else (now - self._at) * self._limit / _MINUTE
            self._tokens = min(self._tokens + gained, self._holds)
            self._at = now


def _window(options: LimitOptions, limit: int) -> Window:
    kinds: dict[WindowKind, Callable[[int], Window]] = {
        "sliding": SlidingWindow,
        "fixed": FixedWindow,
        "bucket": lambda limit: TokenBucket(limit, options.burst),
    }
    return kinds[options.window](limit)
