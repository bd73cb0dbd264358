"""One page, whatever happens on the way: retries, pauses, refusals, and the key out of sight."""

from __future__ import annotations

import io
import logging
import pickle
import socket
import threading
import time
import traceback

import pytest

from pipeline.api.http.client import SIMULATOR_HEADER, SIMULATOR_MARK, ApiSession, Timeouts
from pipeline.api.http.rate_limit import Pacing, RateLimiter
from pipeline.api.http.retry import RetryPolicy, retry_after_s
from pipeline.errors import ApiError, BadResponse, PipelineError, UsageError
from tests.api.fakes import KEY, FakeClock, FakeServer, Reply, session_to

PATH = "/markets/calendar"
QUERY = {"from": "2024-01-04"}
GOOD = Reply({"data": [{"Date": "2024-01-04", "HolDiv": "1"}]})
IMPATIENT = Timeouts(connect_s=1.0, read_s=0.1, total_s=0.3)


def get(server: FakeServer, **options) -> tuple[dict, FakeClock]:
    clock = FakeClock()
    with session_to(server.url, clock=clock, **options) as session:
        return session.get(PATH, QUERY), clock


def test_a_page_is_asked_for_with_the_key_in_its_header(server: FakeServer) -> None:
    """The key travels as x-api-key, the query as given, compressed answers are welcome."""
    server.replies(GOOD)
    page, _ = get(server)
    assert page == GOOD.body
    (request,) = server.requests
    assert (request.path, request.query, request.page_key) == (PATH, QUERY, None)
    assert request.headers["x-api-key"] == KEY
    assert "gzip" in request.headers["accept-encoding"]


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_server_faults_are_tried_again(server: FakeServer, status: int) -> None:
    """Two faults, then an answer: three requests, growing pauses."""
    fault = Reply({"message": "Unexpected error."}, status)
    server.replies(fault, fault, GOOD)
    page, clock = get(server)
    assert page == GOOD.body
    assert len(server.requests) == 3
    assert 0.5 <= clock.waits[0] <= 1.0 <= clock.waits[1] <= 2.0


@pytest.mark.parametrize(
    "broken",
    [
        Reply(GOOD.body, cut=0),
        Reply(GOOD.body, cut=20),
        Reply(b'{"data": [{"Date": "2024-0'),
        Reply(b"<html>busy</html>"),
        Reply(b"[]"),
        Reply(b""),
        Reply(GOOD.body, delay_s=0.3),
        Reply(GOOD.body, drip_s=0.05),
        Reply(b"not gzip", headers={"Content-Encoding": "gzip"}),
    ],
    ids="reset cut truncated html array empty hang drip undecodable".split(" "),
)
def test_broken_answers_are_tried_again(server: FakeServer, broken: Reply) -> None:
    """Whatever is not a whole JSON object is a fault of the connection, not an answer."""
    server.replies(broken, GOOD)
    with ApiSession(
        server.url, KEY, origin="api", limiter=RateLimiter({}), timeouts=IMPATIENT,
        policy=RetryPolicy(base_s=0.01),
    ) as session:  # fmt: skip
        assert session.get(PATH, QUERY) == GOOD.body
        assert session.requests_sent == 2


def test_nobody_listening_is_an_error_in_bounded_time() -> None:
    """No answer at all: as many attempts as the policy allows, then a typed error."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v2"
        clock = FakeClock()
        with session_to(url, clock=clock) as session, pytest.raises(ApiError) as caught:
            session.get(PATH, QUERY)
    assert caught.value.status is None
    assert "gave up after 6 attempts" in str(caught.value)
    assert len(clock.waits) == 5
    assert sum(clock.waits) < 60


def test_persisting_faults_end_as_an_error_with_the_facts(server: FakeServer) -> None:
    """Endpoint, parameters, status and the server's words, as attributes and in one line."""
    server.replies(Reply({"message": "Service\n  Unavailable"}, 503))
    with pytest.raises(ApiError) as caught:
        get(server)
    error = caught.value
    assert len(server.requests) == 6
    assert (error.endpoint, error.params, error.status) == (PATH, QUERY, 503)
    assert error.server_message == "Service Unavailable"
    assert "\n" not in str(error)
    assert str(error).startswith(
        "GET /markets/calendar?from=2024-01-04: HTTP 503: Service Unavailable (gave up"
    )


def test_persisting_garbage_ends_as_a_bad_response(server: FakeServer) -> None:
    """It came with status 200, so the form of the answer is what failed."""
    server.replies(Reply(b"{"))
    with pytest.raises(BadResponse, match="is not JSON"):
        get(server)
    assert len(server.requests) == 6


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 413])
def test_refusals_are_final(server: FakeServer, status: int) -> None:
    """A 4xx other than 429 will be the same the next time: one request, no wait."""
    server.replies(Reply({"message": "no"}, status))
    with pytest.raises(ApiError) as caught:
        get(server)
    assert caught.value.status == status
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [204, 210, 302])
def test_other_answers_are_bad_responses(server: FakeServer, status: int) -> None:
    """No content and redirects are none of the answers our endpoints give."""
    server.replies(Reply({}, status, {"Location": "http://127.0.0.1:9/"} if status == 302 else {}))
    with pytest.raises(BadResponse):
        get(server)
    assert len(server.requests) == 1


def test_too_many_requests_cools_down_for_a_minute(server: FakeServer) -> None:
    """One 429: the next request goes out 60 s later, without a burst in between."""
    server.replies(Reply({"message": "Too Many Requests"}, 429), GOOD)
    page, clock = get(server)
    assert page == GOOD.body
    assert clock.waits == [60.0]
    assert len(server.requests) == 2


def test_persisting_refusals_cool_down_for_longer(server: FakeServer) -> None:
    """The five-minute block is waited out."""
    refusal = Reply({"message": "Too Many Requests"}, 429)
    server.replies(refusal, refusal, GOOD)
    _, clock = get(server)
    assert clock.waits == [60.0, 300.0]


def test_endless_refusals_end(server: FakeServer) -> None:
    """Six attempts, then an error that says so."""
    server.replies(Reply({"message": "Too Many Requests"}, 429))
    with pytest.raises(ApiError, match="HTTP 429: Too Many Requests"):
        get(server)
    assert len(server.requests) == 6


def test_retry_after_is_obeyed(server: FakeServer) -> None:
    """Should the server ever send it."""
    server.replies(Reply({}, 429, {"Retry-After": "17"}), GOOD)
    _, clock = get(server)
    assert clock.waits == [17.0]


@pytest.mark.parametrize(
    ("header", "seconds"),
    [(None, None), ("", None), ("17", 17.0), ("0", 1.0), ("99999", 900.0), ("soon", None)],
)
def test_retry_after_is_bounded(header: str | None, seconds: float | None) -> None:
    """Nonsense falls back on the usual cool-down, extremes are cut."""
    assert retry_after_s(header) == seconds


def test_the_cool_down_is_configurable(server: FakeServer) -> None:
    """Two minutes are safer than one."""
    server.replies(Reply({}, 429), GOOD)
    _, clock = get(server, pacing=Pacing(cool_down_s=120.0))
    assert clock.waits == [120.0]


def test_every_page_and_repetition_takes_a_permit(server: FakeServer) -> None:
    """Repeated requests count toward the limit as well."""
    server.replies(Reply({}, 500), GOOD)
    clock = FakeClock()
    with session_to(server.url, clock=clock, limits={"plan": 2}) as session:
        began = clock.now()
        session.get(PATH, QUERY)
        assert clock.now() - began == pytest.approx(30.5)
        session.get(PATH, QUERY, page_key="next")
        assert clock.now() - began == pytest.approx(61.0)
    assert server.requests[-1].page_key == "next"


def test_simulated_answers_do_not_pass_for_real(server: FakeServer) -> None:
    """Each side of the guard: a marked answer to a real run, an unmarked one to a simulated."""
    server.replies(Reply(GOOD.body, headers={SIMULATOR_HEADER: SIMULATOR_MARK}))
    assert get(server, origin="simulator")[0] == GOOD.body
    with pytest.raises(UsageError, match="expected origin api, got answers marked as synthetic"):
        get(server, origin="api")
    server.replies(GOOD)
    with pytest.raises(
        UsageError, match="origin simulator, got answers without the simulator's"
    ) as caught:
        get(server, origin="simulator")
    assert "proxy" in caught.value.hint
    assert "origin to api (luigi.cfg, ORIGIN or --g5-origin)" in " ".join(caught.value.hint.split())


def test_a_proxy_of_the_vendor_on_this_machine_is_as_good_as_the_vendor(server: FakeServer) -> None:
    """Where origin is declared, the address says nothing; the mark is still refused."""
    server.replies(GOOD)
    assert server.url.startswith("http://127.0.0.1:")
    assert get(server, origin="api")[0] == GOOD.body


def leaks(error: BaseException, key: str) -> bool:
    """True when the key shows in any text one could make of an error and its causes."""
    texts = [repr(error), str(error), "".join(traceback.format_exception(error))]
    if isinstance(error, PipelineError):
        texts += [repr(vars(error)), repr(pickle.dumps(error))]
    return any(key in text for text in texts)


@pytest.mark.parametrize(
    "reply",
    [
        Reply({"message": f"The incoming api key is invalid: {KEY}"}, 403),
        Reply({"message": f"{KEY} is over its limit"}, 429),
        Reply(f"<html>{KEY}</html>".encode(), 502),
        Reply(GOOD.body, cut=5),
        Reply(b"{" + KEY.encode()),
    ],
    ids="403 429 502 cut garbled".split(" "),
)
def test_the_key_is_nowhere_to_be_seen(
    server: FakeServer, reply: Reply, caplog: pytest.LogCaptureFixture
) -> None:
    """Not in errors, their causes, logs at debug level, or representations."""
    caplog.set_level(logging.DEBUG)
    server.replies(reply)
    with session_to(server.url, clock=FakeClock()) as session:
        with pytest.raises(ApiError) as caught:
            session.get(PATH, QUERY)
        shown = repr(session) + repr(vars(session)) + repr(session._http.headers)
    assert not leaks(caught.value, KEY)
    assert KEY not in shown
    assert KEY not in caplog.text + "".join(str(vars(record)) for record in caplog.records)
    assert "urllib3" in caplog.text


def test_a_key_at_the_end_of_what_is_repeated_does_not_begin_there(server: FakeServer) -> None:
    """A long message is cut after the key was taken out of it."""
    server.replies(Reply({"message": "x" * 190 + KEY}, 400))
    with pytest.raises(ApiError) as caught:
        get(server)
    assert not leaks(caught.value, KEY[:5])


@pytest.mark.parametrize("key", ["", "with blank", "line\nbreak", "käse", "tab\t"])
def test_a_malformed_key_is_refused_without_being_shown(key: str) -> None:
    """The HTTP library would repeat it in its own error."""
    with pytest.raises(UsageError, match="JQUANTS_API_KEY") as caught:
        ApiSession("http://127.0.0.1:1/v2", key, origin="api", limiter=RateLimiter({}))
    assert not key or not leaks(caught.value, key)


def test_a_session_is_not_pickled() -> None:
    """The key cannot leave the process inside an object."""
    with session_to("http://127.0.0.1:1/v2") as session, pytest.raises(TypeError):
        pickle.dump(session._auth, io.BytesIO())


@pytest.mark.parametrize(
    "url",
    ["", "api.jquants.com/v2", "ftp://host/v2", "https://user:word@host/v2", "https://host/?a=b"],
)
def test_a_malformed_address_is_refused(url: str) -> None:
    """Before the first request, without repeating what may hold a password."""
    with pytest.raises(UsageError, match="expected a URL like") as caught:
        session_to(url)
    assert "word" not in str(caught.value)


def test_the_key_is_not_sent_unencrypted_over_a_network() -> None:
    """Plain http is for this machine only."""
    with pytest.raises(UsageError, match=r"travel to api\.jquants\.com unencrypted"):
        session_to("http://api.jquants.com/v2")
    session_to("https://api.jquants.com/v2/").close()
    session_to("http://[::1]:8000/v2").close()


def test_an_environment_proxy_does_not_see_loopback_requests(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The simulator is reached directly."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    server.replies(GOOD)
    assert get(server)[0] == GOOD.body


def test_connections_are_reused_by_all_threads(server: FakeServer) -> None:
    """A pool as large as the number of threads, and no cookie jar between them."""
    server.replies(Reply(GOOD.body, headers={"Set-Cookie": "a=b"}))
    with session_to(server.url, pool_size=4) as session:
        threads = [
            threading.Thread(target=lambda: [session.get(PATH, QUERY) for _ in range(5)])
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert session.requests_sent == 20
        assert not session._http.cookies
    assert all("cookie" not in request.headers for request in server.requests)


def test_a_dripping_body_is_given_up_in_time(server: FakeServer) -> None:
    """A byte now and then keeps the read timeout happy; the total time ends it."""
    server.replies(Reply(b" " * 10_000, drip_s=0.05))
    began = time.monotonic()
    limiter = RateLimiter({})
    with ApiSession(
        server.url, KEY, origin="api", limiter=limiter, timeouts=IMPATIENT,
        policy=RetryPolicy(attempts=2, base_s=0.01),
    ) as session, pytest.raises(ApiError, match="not complete within"):  # fmt: skip
        session.get(PATH, QUERY)
    assert time.monotonic() - began < 5.0
