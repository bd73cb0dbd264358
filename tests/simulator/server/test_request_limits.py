"""Rate limits, on a clock that the test moves and over HTTP."""

from __future__ import annotations

from time import monotonic, sleep

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import UsageError
from pipeline.simulator import LimitOptions
from pipeline.simulator.server.refusal import RefusalError
from pipeline.simulator.server.request_limits import (
    REQUESTS_PER_MINUTE,
    WINDOW_KINDS,
    FixedWindow,
    RateLimiter,
    ScaledClock,
    SlidingWindow,
    TokenBucket,
)
from tests.simulator.clients import Client, serve

BARS, SUMMARY, TOPIX = "/equities/bars/daily", "/fins/summary", "/indices/bars/daily/topix"
ARRIVALS = st.lists(st.floats(0, 30), max_size=60).map(
    lambda gaps: [sum(gaps[: i + 1]) for i in range(len(gaps))]
)


class Account:
    """A limiter and its clock."""

    def __init__(self, plan="light", scale=1.0, **options):
        self.now = 6_000_000.0  # a full minute
        clock = ScaledClock(scale, lambda: self.now)
        self.limiter = RateLimiter(LimitOptions(**options), plan, clock)

    def ask(self, path=BARS, outcome=200):
        """The status of one request."""
        try:
            came = self.limiter.admit(path)
        except RefusalError as refusal:
            self.refusal = refusal
            return refusal.status
        self.limiter.settle(path, came, outcome)
        return outcome

    def served(self, times, path=BARS):
        return sum(self.ask(path) == 200 for _ in range(times))


@pytest.mark.parametrize("plan", REQUESTS_PER_MINUTE)
@pytest.mark.parametrize("window", WINDOW_KINDS)
def test_a_plan_allows_so_many_requests_a_minute(plan, window):
    """5, 60, 120 and 500; a minute later as many again."""
    account = Account(plan, window=window, count_failed=False, block_after=0)
    limit = REQUESTS_PER_MINUTE[plan]
    assert account.served(2 * limit) == limit
    account.now += 60
    assert account.served(2 * limit) == limit


@given(ARRIVALS, st.integers(1, 6))
def test_a_sliding_window_never_holds_more_than_its_limit(arrivals, limit):
    """In any 60 seconds, whenever they begin; and a request with room gets in."""
    window, let_in = SlidingWindow(limit), []
    for now in arrivals:
        recent = sum(now - 60 < came for came in let_in)
        assert window.has_room(now) == (recent < limit)
        if window.has_room(now):
            window.charge(now)
            let_in.append(now)


@given(ARRIVALS, st.integers(1, 6))
def test_a_fixed_window_counts_by_the_minute_of_the_clock(arrivals, limit):
    """Twice the limit fits around a full minute."""
    window, let_in = FixedWindow(limit), []
    for now in arrivals:
        if window.has_room(now):
            window.charge(now)
            let_in.append(now)
        assert sum(came // 60 == now // 60 for came in let_in) <= limit
    edge = FixedWindow(limit)
    for now in [59.0] * limit + [61.0] * limit:
        assert edge.has_room(now)
        edge.charge(now)


@given(ARRIVALS, st.integers(1, 6), st.one_of(st.none(), st.integers(1, 6)))
def test_a_bucket_gives_its_content_and_what_flows_in(arrivals, limit, holds):
    """Over any span: what it holds, and the limit per minute on top."""
    bucket, let_in = TokenBucket(limit, holds), []
    for now in arrivals:
        if bucket.has_room(now):
            bucket.charge(now)
            let_in.append(now)
    for i, first in enumerate(let_in):
        for j, last in enumerate(let_in[i:]):
            content = limit if holds is None else holds
            assert j + 1 <= content + (last - first) * limit / 60 + 1e-6


@given(st.sampled_from([SlidingWindow, FixedWindow, TokenBucket]), ARRIVALS, st.integers(1, 6))
def test_after_the_wait_there_is_room(kind, arrivals, limit):
    """And there is none before, if the wait is not zero."""
    window = kind(limit)
    for now in arrivals:
        window.charge(now)
    now = arrivals[-1] if arrivals else 0.0
    wait = window.wait(now)
    assert (wait == 0) == window.has_room(now)
    assert window.has_room(now + wait + 1e-6)


@pytest.mark.parametrize("window", WINDOW_KINDS)
def test_failed_requests_count_or_not(window):
    """Refusals for other reasons, and 429 itself."""
    for counted in (True, False):
        account = Account(window=window, per_minute=4, count_failed=counted, block_after=0)
        assert [account.ask(outcome=400) for _ in range(3)] == [400] * 3
        assert account.served(6) == (1 if counted else 4)


def test_a_small_bucket_refuses_a_burst_that_a_minute_allows():
    """Thirty at once of 60 a minute; then one for each second that passes."""
    account = Account(window="bucket", burst=30, count_failed=False, block_after=0)
    assert account.served(60) == 30
    account.now += 7
    assert account.served(60) == 7
    account.now += 600
    assert account.served(60) == 30


def test_who_keeps_asking_stays_out_when_refusals_count():
    """One refused request every 50 seconds keeps a sliding window of one shut."""
    account = Account(per_minute=1, block_after=0)
    seen = []
    for _ in range(4):
        seen.append(account.ask())
        account.now += 50
    assert seen == [200, 429, 429, 429]
    account.now += 60
    assert account.ask() == 200


def test_two_endpoints_have_a_budget_of_their_own():
    """60 a minute within a higher plan; part of the plan's limit unless said otherwise."""
    shared = Account("premium", count_failed=False, block_after=0)
    assert shared.served(100, SUMMARY) == 60
    assert shared.served(100, "/fins/details") == 60
    assert shared.served(500) == 500 - 120
    separate = Account("free", fins_in_plan=False, count_failed=False, block_after=0)
    assert separate.served(100, SUMMARY) == 60
    assert separate.served(100) == 5


def test_gross_excess_cuts_access_for_five_minutes():
    """As many refusals as the limit; then nothing is answered, and nothing is forgotten early."""
    account = Account(per_minute=10)
    assert account.served(10) == 10
    assert account.served(10) == 0
    account.now += 299.9
    assert account.ask() == 429
    account.now += 0.2
    assert account.ask() == 200


def test_threshold_status_and_length_of_the_block_are_options():
    """A block of ten seconds with 403 after the second refusal."""
    account = Account(per_minute=1, block_after=2, block_s=10, block_status=403)
    assert [account.ask() for _ in range(4)] == [200, 429, 429, 403]
    account.now += 61
    assert account.ask() == 200


def test_retry_after_is_sent_on_request_only():
    """In seconds of the client, rounded up; the block counts."""
    account = Account(per_minute=1, retry_after=True, scale=10, block_after=2)
    account.ask()
    account.now += 1.05
    account.ask()
    assert account.refusal.headers == (("Retry-After", "6"),)
    account.ask()
    assert account.refusal.headers == (("Retry-After", "30"),)
    silent = Account(per_minute=1)
    silent.served(2)
    assert silent.refusal.headers == ()


def test_without_options_nothing_is_limited():
    """The default of tests and the demo."""
    limiter = RateLimiter(None, "free", ScaledClock())
    for _ in range(1000):
        limiter.settle(BARS, limiter.admit(BARS), 400)


@pytest.mark.parametrize(
    "options",
    [
        {"per_minute": 0},
        {"fins_per_minute": 0},
        {"window": "other"},
        {"window": "bucket", "burst": 0},
        {"burst": 30},
        {"block_after": -1},
        {"block_s": -1.0},
        {"block_status": 200},
    ],
)
def test_options_out_of_range_are_refused(options):
    """Before anything is served."""
    with pytest.raises(UsageError, match="simulator limits"):
        LimitOptions(**options)
    with pytest.raises(UsageError, match="clock scale"):
        ScaledClock(0)


def test_over_the_limit_answers_429_over_http(market):
    """The body has the vendor's words, and no Retry-After; the limit passes with the clock."""
    limits = LimitOptions(per_minute=3, count_failed=False, block_after=0)
    with serve(market, plan="light", limits=limits, clock_scale=30) as base_url:
        client = Client(base_url)
        assert client.statuses(TOPIX, 5, from_="20220601") == [200, 200, 200, 429, 429]
        answer = client.get(TOPIX)
        assert answer.json() == {"message": "Too Many Requests"}
        assert "Retry-After" not in answer.headers
        deadline = monotonic() + 20
        while client.get(TOPIX, from_="20220601").status_code == 429 and monotonic() < deadline:
            sleep(0.1)
        assert client.stats()["statuses"]["200"] == 4


def test_a_key_that_is_not_known_uses_nobodys_limit(market):
    """403, and the account still has its request."""
    with serve(market, limits=LimitOptions(per_minute=1)) as base_url:
        client, stranger = Client(base_url), Client(base_url)
        stranger.session.headers["x-api-key"] = "other"
        assert stranger.statuses(TOPIX, 3) == [403] * 3
        assert client.statuses(TOPIX, 2, from_="20220601") == [200, 429]
