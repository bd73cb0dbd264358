"""How often the API may be asked: evenly, never too often in a window, and the pause after a 429.

The vendor does not say whether its minute slides, follows the clock or is a token bucket, nor how
much a bucket would hold. At most ``limit`` requests in *every* window satisfies the first two, and
requests spread evenly over the window, but for a few, satisfy a bucket of any size that is
plausible: one user was refused after about 30 requests 0.4 s apart on a plan of 60 a minute. A
window is made ``guard_s`` longer than a minute because requests may reach the server closer
together than they were sent.

The account's window does not end with a process. A ``Ledger`` tells a limiter what others sent
just before, so that a task process that follows another does not begin with an empty window.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Protocol

from pipeline.api.catalogue.plans import Plan, budgets
from pipeline.api.http.clock import Clock, SystemClock, check

_TICK_S = 1e-6  # less than clocks and their sums tell apart


@dataclass(frozen=True)
class Pacing:
    """Operating values of the limiter; all times in seconds.

    Attributes:
        window_s: length of the vendor's window.
        guard_s: added to it, for the spread of travel times.
        margin: part of the vendor's limit that is used; limits are rounded, never below 1.
        cool_down_s: pause of all requests after a 429.
        long_cool_down_s: pause when the first request after a cool-down is refused again: gross
            excess cuts access for about five minutes.
        burst: requests that may leave at once after a quiet time, so that short runs do not
            wait; never more than half of what a window holds.
        slowed_s: after a 429 requests leave one at a time at half the pace (after another one,
            a quarter, and so on down to ``1 / slowest``); each such time without a refusal
            doubles the pace again.
        slowest: see ``slowed_s``.
    """

    window_s: float = 60.0
    guard_s: float = 1.0
    margin: float = 0.98
    cool_down_s: float = 60.0
    long_cool_down_s: float = 300.0
    burst: int = 5
    slowed_s: float = 120.0
    slowest: int = 8

    def room(self, limit: int) -> int:
        """Requests sent within one window, of a vendor's ``limit``."""
        return max(1, round(limit * self.margin))


class Spacing:
    """When the next request of one budget may leave, by the moments of those before it. Pure.

    Two rules hold: at most ``room`` requests in any window, and at most ``burst`` more than
    ``window / room`` apart would allow in any time.

    Args:
        limit: requests per window at the vendor.
        pacing: windows, margin and burst.
        moments: earlier requests in seconds, in order.
    """

    def __init__(self, limit: int, pacing: Pacing, moments: Iterable[float] = ()) -> None:
        room = pacing.room(limit)
        self._length = pacing.window_s + pacing.guard_s
        self.interval_s = self._length / room
        self._ahead = (max(1, min(pacing.burst, room // 2)) - 1) * self.interval_s
        self._sent: deque[float] = deque(maxlen=room)
        self._even = float("-inf")  # when the next one would be due if all were evenly apart
        for moment in moments:
            self.note(moment)

    def note(self, moment: float) -> None:
        """Count a request."""
        self._sent.append(moment)
        # Earlier ones may have left at the pace of a larger plan: a quiet window makes up for all.
        self._even = min(max(self._even, moment) + self.interval_s, moment + self._length)

    def next(self, slowness: int = 1) -> float:
        """The earliest moment for the next request; ``-inf`` when nothing was sent.

        Args:
            slowness: above 1, requests leave singly and so many intervals apart.
        """
        if not self._sent:
            return float("-inf")
        earliest = self._even - self._ahead
        if len(self._sent) == self._sent.maxlen:
            earliest = max(earliest, self._sent[0] + self._length)
        if slowness > 1:
            earliest = max(earliest, self._sent[-1] + slowness * self.interval_s)
        return earliest


class Ledger(Protocol):
    """What an account sent lately, by all processes that write to the same ledger.

    One process sends at a time (the Luigi resource ``jquants_api`` sees to that), so between
    ``recent`` and ``note`` nobody else sends. Times are seconds since the epoch.
    """

    def recent(self, budget: str) -> list[float]:
        """When requests of a budget were sent, at least those of the last minutes; any order."""

    def note(self, budget: str, wall_time: float) -> None:
        """Keep one more; called before the request leaves, in the thread that sends it."""


class MemoryLedger:
    """A ledger that ends with its process."""

    _KEPT = 1024  # per budget; more than any window holds

    def __init__(self) -> None:
        self._sent: dict[str, deque[float]] = {}

    def recent(self, budget: str) -> list[float]:
        return list(self._sent.get(budget, ()))

    def note(self, budget: str, wall_time: float) -> None:
        self._sent.setdefault(budget, deque(maxlen=self._KEPT)).append(wall_time)


class RateLimiter:
    """Shared by all threads of a process; each page takes one permit of each of its budgets.

    Window and spacing hold twice: for its own requests on the monotonic clock, which no correction
    of the time of day can shorten, and for all requests in the ledger on the time of day.

    Args:
        limits: requests per window and budget; a budget that is not named is not limited.
        pacing: windows, margin and pauses.
        clock: tests inject their own.
        ledger: what this account sent before and elsewhere; by default, nothing.
    """

    def __init__(
        self,
        limits: Mapping[str, int],
        pacing: Pacing | None = None,
        clock: Clock | None = None,
        ledger: Ledger | None = None,
    ) -> None:
        self._pacing = pacing or Pacing()
        self._clock: Clock = clock or SystemClock()
        self._ledger: Ledger = ledger or MemoryLedger()
        self._limits = dict(limits)
        self._sent = {budget: Spacing(limit, self._pacing) for budget, limit in limits.items()}
        self._lock = threading.Lock()
        self._paused_from = float("-inf")
        self._paused_until = float("-inf")
        self._refusals = 0
        self._slowness = 1  # at the end of the latest pause

    def acquire(self, names: Iterable[str], stop: threading.Event | None = None) -> float:
        """Waits until a request may be sent, and counts it.

        Returns:
            The moment of the permit on the limiter's clock.

        Raises:
            FetchCancelled: ``stop`` is set, or was while waiting.
        """
        limited = [name for name in names if name in self._sent]
        while True:
            if stop is not None:
                check(stop)
            with self._lock:
                now = self._clock.now()
                pause = self._pause(limited, now)
                if pause <= _TICK_S:
                    self._note(limited, now)
                    return now
            self._clock.wait(pause, stop)

    def refused(self, sent_at: float, retry_after_s: float | None = None) -> float:
        """Notes a 429 and pauses all requests.

        Refusals of requests sent before the pause began are the tail of the same burst and change
        nothing. A refusal after a pause, with no success since, starts the long pause.

        Args:
            sent_at: what ``acquire`` returned for the request.
            retry_after_s: the server's own wish, if it sent one.

        Returns:
            Seconds until requests go on, for the log and the caller's own pause.
        """
        with self._lock:
            now = self._clock.now()
            if sent_at >= self._paused_from:
                self._refusals += 1
                self._slowness = min(2 * self._slowness_at(now), self._pacing.slowest)
                usual = self._pacing.cool_down_s
                pause = usual if self._refusals == 1 else self._pacing.long_cool_down_s
                self._paused_from = now
                self._paused_until = now + (pause if retry_after_s is None else retry_after_s)
            return max(0.0, self._paused_until - now)

    def succeeded(self, sent_at: float) -> None:
        """Notes an answer: refusals before it do not count as persisting."""
        with self._lock:
            if sent_at >= self._paused_until:
                self._refusals = 0

    def _note(self, names: Iterable[str], now: float) -> None:
        for name in names:
            self._sent[name].note(now)
            self._ledger.note(name, self._clock.wall())

    def _slowness_at(self, now: float) -> int:
        """How many times slower than usual; 1 when no refusal is recent."""
        if self._slowness == 1:
            return 1
        halvings = int(max(now - self._paused_until, 0.0) // self._pacing.slowed_s)
        return max(self._slowness >> halvings, 1)

    def _pause(self, names: Iterable[str], now: float) -> float:
        """Seconds until every budget lets one more go; 0 or less: at once."""
        slowness = self._slowness_at(now)
        own = [self._sent[name].next(slowness) - now for name in names]
        pause = max([self._paused_until - now, *own])
        # Of many threads that wait for the same moment, only one comes further.
        return pause if pause > _TICK_S else max([pause, *map(self._ledger_pause, names)])

    def _ledger_pause(self, name: str) -> float:
        wall = self._clock.wall()
        # Moments far ahead are of a clock that was set back since; they end no wait.
        ahead = self._pacing.window_s + self._pacing.guard_s
        ages = sorted(moment - wall for moment in self._ledger.recent(name))
        known = (age for age in ages if age <= ahead)
        return Spacing(self._limits[name], self._pacing, known).next()


def paced_s(
    batches: Iterable[tuple[int, Sequence[str]]],
    limits: Mapping[str, int],
    pacing: Pacing | None = None,
) -> float:
    """How long a limiter with nothing sent before holds back the last of these requests.

    Args:
        batches: number of requests and the budgets each draws from, in the order of sending.
        limits: as of ``RateLimiter``.
        pacing: likewise.
    """
    sent = {budget: Spacing(limit, pacing or Pacing()) for budget, limit in limits.items()}
    now = 0.0
    for count, names in batches:
        own = [sent[name] for name in names if name in sent]
        for _ in range(count if own else 0):
            now = max([now, *(spacing.next() for spacing in own)])
            for spacing in own:
                spacing.note(now)
    return now


@cache
def process_limiter(plan: Plan) -> RateLimiter:
    """The limiter of ``plan`` that all sessions of this process share: one account, one window."""
    return RateLimiter(budgets(plan))
