"""A session that reports what came: also of answers that are errors."""

from __future__ import annotations

import threading
import time
from email.utils import formatdate

import pytest

from pipeline.api.http.clock import FetchCancelled
from pipeline.api.http.rate_limit import RateLimiter
from pipeline.api.http.retry import RetryPolicy
from pipeline.api.http.watched import Answer, WatchedSession
from pipeline.errors import ApiError
from tests.api.fakes import KEY, FakeServer, Reply
from tests.servers import Handler, serving


def watched(url: str, answers: list[Answer], halt: threading.Event | None = None) -> WatchedSession:
    return WatchedSession(
        url,
        KEY,
        on_answer=answers.append,
        halt=halt or threading.Event(),
        origin="api",
        limiter=RateLimiter({}),
        policy=RetryPolicy(attempts=1),
    )


def test_an_answer_is_reported_with_size_and_time(server: FakeServer) -> None:
    server.replies(Reply({"data": [{"a": 1}]}, delay_s=0.2))
    answers: list[Answer] = []
    with watched(server.url, answers) as session:
        assert session.get("/x", {"date": "2024-05-10"}) == {"data": [{"a": 1}]}
    (answer,) = answers
    assert (answer.path, answer.query, answer.status) == ("/x", {"date": "2024-05-10"}, 200)
    assert (answer.size, answer.error) == (len(b'{"data":[{"a":1}]}'), None)
    assert 0.2 <= answer.seconds < 10
    assert answer.ahead_s is not None
    assert abs(answer.ahead_s) < 5


@pytest.mark.parametrize("status", [400, 403, 429, 500])
def test_a_refusal_is_reported_with_its_headers(server: FakeServer, status: int) -> None:
    server.replies(Reply({"message": "no"}, status, {"X-RateLimit-Limit": "60", "X-Other": "1"}))
    answers: list[Answer] = []
    with watched(server.url, answers) as session, pytest.raises(ApiError):
        session.get("/x", {})
    (answer,) = answers
    assert (answer.status, answer.page, answer.limits) == (
        status,
        None,
        {"X-RateLimit-Limit": "60"},
    )
    assert answer.error is not None
    assert len(server.requests) == 1


def test_garbage_and_silence_are_reported(server: FakeServer) -> None:
    answers: list[Answer] = []
    server.replies(Reply(b"<html>"), Reply(b"", cut=0))
    with watched(server.url, answers) as session:
        for _ in range(2):
            with pytest.raises(ApiError):
                session.get("/x", {})
    with watched("http://127.0.0.1:9/v2", answers) as nobody, pytest.raises(ApiError):
        nobody.get("/x", {})
    assert [(a.status, a.size) for a in answers] == [(200, 6), (200, 0), (None, None)]


def test_halted_it_sends_nothing(server: FakeServer) -> None:
    halt = threading.Event()
    halt.set()
    answers: list[Answer] = []
    with watched(server.url, answers, halt) as session, pytest.raises(FetchCancelled):
        session.get("/x", {})
    assert (answers, server.requests) == ([], [])


@pytest.mark.parametrize(("date", "expected"), [(-300, 300), (7200, -7200), (None, None)])
def test_the_clock_is_compared(date: int | None, expected: int | None) -> None:
    """Positive when this machine is ahead; no date, or none that is one, is no statement."""

    class Dated(Handler):
        def do_GET(self) -> None:
            self.send_response_only(200)
            text = "soon" if date is None else formatdate(time.time() + date, usegmt=True)
            self.send_header("Date", text)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

    answers: list[Answer] = []
    with serving(Dated) as url, watched(url, answers) as session:
        session.get("/x", {})
    ahead = answers[0].ahead_s
    assert (ahead is None) == (expected is None)
    assert ahead is None or expected is None or abs(ahead - expected) < 5
