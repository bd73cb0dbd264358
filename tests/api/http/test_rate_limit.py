"""Rate limits: never one request too many in any minute, whatever the schedule."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.api.http.clock import FetchCancelled, SystemClock
from pipeline.api.http.rate_limit import MemoryLedger, Pacing, RateLimiter, paced_s, process_limiter
from tests.api.fakes import FakeClock

PLAN = ("plan",)
BOTH = ("plan", "fins/summary")


def most_in_any_window(moments: list[float], window_s: float) -> int:
    return max(sum(start <= moment < start + window_s for moment in moments) for start in moments)


@given(
    st.lists(st.tuples(st.floats(0, 40), st.sampled_from([PLAN, BOTH])), min_size=1, max_size=80),
    st.integers(1, 12),
    st.integers(1, 12),
)
def test_no_window_ever_holds_more_than_the_limit(
    calls: list[tuple[float, tuple[str, ...]]], plan_limit: int, summary_limit: int
) -> None:
    """For any gaps between calls, every 60 seconds hold at most the limit, budget by budget."""
    clock = FakeClock()
    limiter = RateLimiter({"plan": plan_limit, "fins/summary": summary_limit}, clock=clock)
    sent: dict[str, list[float]] = {"plan": [], "fins/summary": []}
    for gap, names in calls:
        clock.wait(gap)
        moment = limiter.acquire(names)
        for name in names:
            sent[name].append(moment)
    assert most_in_any_window(sent["plan"], 60.0) <= plan_limit
    if sent["fins/summary"]:
        assert most_in_any_window(sent["fins/summary"], 60.0) <= summary_limit


@given(
    st.lists(st.tuples(st.floats(0, 40), st.sampled_from([PLAN, BOTH])), min_size=1, max_size=80),
    st.integers(1, 40),
    st.integers(1, 8),
)
def test_requests_leave_evenly_but_for_a_few(
    calls: list[tuple[float, tuple[str, ...]]], limit: int, burst: int
) -> None:
    """A bucket of ``burst`` requests, refilled at the plan's rate, refuses none, whatever came."""
    clock = FakeClock()
    pacing = Pacing(burst=burst)
    limiter = RateLimiter({"plan": limit, "fins/summary": 7}, pacing, clock)
    sent = []
    for gap, names in calls:
        clock.wait(gap)
        sent.append(limiter.acquire(names))
    for i, first in enumerate(sent):
        for number, last in enumerate(sent[i:], 1):
            assert number <= max(burst, 1) + (last - first) * limit / 60.0 + 1e-4


@pytest.mark.parametrize(
    ("limit", "allowed", "burst"),
    [(1, 1, 1), (5, 5, 2), (60, 59, 5), (120, 118, 5), (500, 490, 5)],
)
def test_the_margin_leaves_room_but_hardly_any_time(limit: int, allowed: int, burst: int) -> None:
    """98 % of the limit in 61 seconds: less than 5 % slower than the limit itself."""
    clock = FakeClock()
    limiter = RateLimiter({"plan": limit}, clock=clock)
    start = clock.now()
    moments = [limiter.acquire(PLAN) - start for _ in range(4 * allowed)]
    assert moments[:burst] == [0.0] * burst
    gaps = [b - a for a, b in zip(moments[burst - 1 :], moments[burst:allowed], strict=False)]
    assert gaps == pytest.approx([61.0 / allowed] * len(gaps))
    assert moments[-1] <= 4 * allowed * 60.0 / limit * 1.05
    assert most_in_any_window(moments, 61.0 - 1e-6) <= allowed


@pytest.mark.parametrize("before", [60, 240, 980])
def test_what_left_at_a_faster_pace_is_made_up_for_within_a_window(before: int) -> None:
    """The plan is asked about at the pace of the smallest, right behind a run at that of another;
    each of its requests would count twelve seconds."""
    clock, ledger = FakeClock(), MemoryLedger()
    for number in range(before):
        ledger.note("plan", clock.wall() - 120.0 * (1 - number / before))
    limiter = RateLimiter({"plan": 5}, clock=clock, ledger=ledger)
    start = clock.now()
    assert limiter.acquire(PLAN) - start <= 61.0
    assert limiter.acquire(PLAN) - start <= 61.0 + 61.0 / 5


def test_a_plan_of_60_stays_far_below_what_was_refused() -> None:
    """About 30 requests in 12 s were refused once; ours take more than 25 s."""
    clock = FakeClock()
    limiter = RateLimiter({"plan": 60}, clock=clock)
    moments = [limiter.acquire(PLAN) for _ in range(30)]
    assert 25.0 < moments[-1] - moments[0] < 27.0


def test_threads_share_one_window() -> None:
    """Eight threads together send no more than one would."""
    pacing = Pacing(window_s=0.2, guard_s=0.02, margin=1.0)
    limiter = RateLimiter({"plan": 5}, pacing)
    with ThreadPoolExecutor(8) as pool:
        moments = sorted(pool.map(lambda _: limiter.acquire(PLAN), range(20)))
    assert most_in_any_window(moments, 0.2) <= 5
    assert moments[-1] - moments[0] < 2.0


def test_a_budget_without_a_limit_does_not_wait() -> None:
    """The simulator may be asked without limits."""
    clock = FakeClock()
    limiter = RateLimiter({}, clock=clock)
    for _ in range(10_000):
        limiter.acquire(BOTH)
    assert clock.waits == []


def test_a_refusal_holds_back_everything_for_a_minute() -> None:
    """Requests of every budget wait until the cool-down is over."""
    clock = FakeClock()
    limiter = RateLimiter({"plan": 100}, clock=clock)
    sent_at = limiter.acquire(PLAN)
    assert limiter.refused(sent_at) == 60.0
    assert limiter.acquire(("other",)) == sent_at + 60.0


def test_after_a_refusal_requests_leave_slowly_for_a_while() -> None:
    """One at a time at half the pace for two minutes; then as before."""
    clock = FakeClock()
    limiter = RateLimiter({"plan": 60}, clock=clock)
    limiter.refused(limiter.acquire(PLAN))
    first = limiter.acquire(PLAN)
    moments = [first] + [limiter.acquire(PLAN) for _ in range(100)]
    gaps = [b - a for a, b in zip(moments, moments[1:], strict=False)]
    slow, usual = 2 * 61 / 59, 61 / 59
    while_slow = [gap for gap, at in zip(gaps, moments[1:], strict=False) if at < first + 120.0]
    assert while_slow == pytest.approx([slow] * 58)
    assert gaps[-20:] == pytest.approx([usual] * 20)


def test_each_refusal_halves_the_pace_down_to_an_eighth() -> None:
    """And each quiet time doubles it."""
    clock = FakeClock()
    limiter = RateLimiter({"plan": 60}, clock=clock)

    def gap() -> float:
        return -(limiter.acquire(PLAN) - limiter.acquire(PLAN)) / (61 / 59)

    for slowness in (2, 4, 8, 8):
        limiter.refused(limiter.acquire(PLAN))
        assert gap() == pytest.approx(slowness)
    for slowness in (4, 2, 1):
        clock.wait(120.0)
        limiter.acquire(PLAN)
        if slowness > 1:
            assert gap() == pytest.approx(slowness)
    assert gap() == 0.0  # the burst is back


def test_refusals_of_one_burst_count_once() -> None:
    """Requests that were under way when the first refusal came do not prolong the pause."""
    clock = FakeClock()
    limiter = RateLimiter({"plan": 100}, clock=clock)
    early = [limiter.acquire(PLAN) for _ in range(5)]
    clock.wait(2.0)
    limiter.refused(early[0])
    clock.wait(1.0)
    assert [limiter.refused(sent_at) for sent_at in early[1:]] == [59.0] * 4


def test_a_refusal_after_the_pause_means_the_long_one() -> None:
    """Gross excess cuts access for five minutes; a success in between resets that."""
    clock = FakeClock()
    limiter = RateLimiter({"plan": 100}, clock=clock)
    limiter.refused(limiter.acquire(PLAN))
    assert limiter.refused(limiter.acquire(PLAN)) == 300.0
    limiter.succeeded(limiter.acquire(PLAN))
    clock.wait(1.0)
    assert limiter.refused(limiter.acquire(PLAN)) == 60.0


def test_an_answer_to_an_old_request_does_not_end_the_excess() -> None:
    """Only a request sent after the pause can show that the API answers again."""
    clock = FakeClock()
    limiter = RateLimiter({"plan": 100}, clock=clock)
    old = limiter.acquire(PLAN)
    limiter.refused(old)
    limiter.succeeded(old)
    assert limiter.refused(limiter.acquire(PLAN)) == 300.0


def test_the_server_may_name_the_pause() -> None:
    """Retry-After replaces the usual cool-down."""
    clock = FakeClock()
    limiter = RateLimiter({"plan": 100}, clock=clock)
    assert limiter.refused(limiter.acquire(PLAN), 7.0) == 7.0


def test_waiting_ends_when_the_fetch_is_cancelled() -> None:
    """A thread in a cool-down of minutes leaves at once."""
    limiter = RateLimiter({"plan": 100}, clock=SystemClock())
    limiter.refused(limiter.acquire(PLAN))
    stop = threading.Event()
    threading.Timer(0.05, stop.set).start()
    began = time.monotonic()
    with pytest.raises(FetchCancelled):
        limiter.acquire(PLAN, stop)
    assert time.monotonic() - began < 5.0


def test_a_cancelled_fetch_sends_nothing_more() -> None:
    """Even when no wait is due."""
    stop = threading.Event()
    stop.set()
    with pytest.raises(FetchCancelled):
        RateLimiter({}).acquire(PLAN, stop)


def test_sessions_of_a_process_share_the_limiter_of_their_plan() -> None:
    """The account is one, however many sessions there are."""
    assert process_limiter("light") is process_limiter("light")
    assert process_limiter("light") is not process_limiter("premium")


@given(
    st.lists(st.tuples(st.floats(0, 40), st.integers(0, 2), st.booleans()), max_size=80),
    st.integers(1, 12),
)
def test_limiters_with_one_ledger_keep_one_window(
    calls: list[tuple[float, int, bool]], limit: int
) -> None:
    """One after the other or in turns, as processes of an account do: never more than the limit,
    and evenly."""
    clock, ledger = FakeClock(), MemoryLedger()
    limiters: dict[int, RateLimiter] = {}
    sent: list[float] = []
    for gap, process, restarted in calls:
        clock.wait(gap)
        if restarted or process not in limiters:
            limiters[process] = RateLimiter({"plan": limit}, clock=clock, ledger=ledger)
        sent.append(limiters[process].acquire(PLAN))
    if sent:
        assert most_in_any_window(sent, 60.0) <= limit
    burst = max(1, min(5, limit // 2))
    for i, first in enumerate(sent):
        for number, last in enumerate(sent[i:], 1):
            assert number <= burst + (last - first) * limit / 60.0 + 1e-4


def test_a_new_process_begins_where_the_last_one_ended() -> None:
    """It waits for the next moment that is due, and not longer: 61 s / 5 apart, but for two."""
    clock, ledger = FakeClock(), MemoryLedger()
    sent = [
        RateLimiter({"plan": 5}, clock=clock, ledger=ledger).acquire(PLAN) - 1000.0
        for _ in range(7)
    ]
    assert sent == pytest.approx([0.0, 0.0, 12.2, 24.4, 36.6, 61.0, 61.0])
    clock.wait(12.0)
    later = RateLimiter({"plan": 5}, clock=clock, ledger=ledger)
    assert [later.acquire(PLAN) - 1000.0 for _ in range(2)] == pytest.approx([73.2, 85.4])


def test_only_limited_budgets_are_noted() -> None:
    """Each request once per budget, at its moment of the day."""
    clock, ledger = FakeClock(), MemoryLedger()
    limiter = RateLimiter({"plan": 5}, clock=clock, ledger=ledger)
    limiter.acquire(BOTH)
    clock.wait(2.0)
    limiter.acquire(PLAN)
    assert ledger.recent("plan") == [1000.0 + 1.7e9, 1002.0 + 1.7e9]
    assert ledger.recent("fins/summary") == []


def test_a_clock_that_was_set_back_stops_nobody_for_long() -> None:
    """By seconds: the wait grows by them. By a day: what the ledger says is of no use."""
    for ahead, waits in ((10.0, [71.0]), (86_400.0, [])):
        clock, ledger = FakeClock(), MemoryLedger()
        for _ in range(5):
            ledger.note("plan", clock.wall() + ahead)
        RateLimiter({"plan": 5}, clock=clock, ledger=ledger).acquire(PLAN)
        assert clock.waits == waits


def test_own_requests_are_counted_without_a_ledger_too() -> None:
    """A ledger that forgets everything cannot raise the rate of one process."""

    class Forgetful:
        def recent(self, budget: str) -> list[float]:
            return []

        def note(self, budget: str, wall_time: float) -> None:
            pass

    clock = FakeClock()
    limiter = RateLimiter({"plan": 5}, clock=clock, ledger=Forgetful())
    sent = [limiter.acquire(PLAN) - 1000.0 for _ in range(11)]
    assert sent[:7] == pytest.approx([0.0, 0.0, 12.2, 24.4, 36.6, 61.0, 61.0])
    assert sent[10] == pytest.approx(122.0)


@given(
    st.lists(st.tuples(st.integers(0, 40), st.sampled_from([PLAN, BOTH, ("other",)])), max_size=6),
    st.integers(1, 12),
    st.integers(1, 12),
)
def test_the_time_foretold_is_the_time_taken(
    batches: list[tuple[int, tuple[str, ...]]], plan_limit: int, summary_limit: int
) -> None:
    """As a limiter with nothing sent before it lets the last request go."""
    limits = {"plan": plan_limit, "fins/summary": summary_limit}
    clock = FakeClock()
    start = clock.now()
    limiter = RateLimiter(limits, clock=clock)
    for count, names in batches:
        for _ in range(count):
            limiter.acquire(names)
    assert paced_s(batches, limits) == pytest.approx(clock.now() - start)
    assert paced_s(batches, {}) == 0.0
