"""The plan of an account is found out with two requests; a refusal says what it is about."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from pipeline.api.catalogue.endpoints import endpoint_of
from pipeline.api.catalogue.plans import PLANS, Plan, covers, window
from pipeline.api.http.retry import hint_for, refusal_of
from pipeline.api.http.subscription import TELLTALES, find_plan, probe_day, why_refused
from pipeline.errors import ApiError, UsageError
from pipeline.simulator import AppOptions, Market, MarketSpec, serving
from tests.api.fakes import KEY, FakeServer, Reply, Request, session_to

TODAY = dt.date(2024, 6, 29)
NOT_IN_PLAN = Reply({"message": "This API is not available on your subscription."}, 403)
FORBIDDEN = Reply({"message": "Forbidden"}, 403)
EMPTY = Reply({"data": []})
OUTSIDE = Reply({"message": "Your subscription covers the following dates: 2021-09-04 ~ ."}, 400)
CLOSED_DAY = Reply({"message": "The date is not a business day"}, 400)
PATHS = {plan: endpoint_of(source).path for plan, source in TELLTALES.items()}


@pytest.fixture(scope="module")
def market() -> Market:
    first, last = dt.date(2024, 1, 4), dt.date(2024, 6, 28)
    return Market(MarketSpec(seed=7, stocks=12, start=first, end=last))


def account(plan: Plan, refusal: Reply, answer: Reply = EMPTY) -> Callable[[Request], Reply]:
    """A server that knows the telltales only."""
    needs = {path: minimum for minimum, path in PATHS.items()}
    return lambda request: answer if covers(plan, needs[request.path]) else refusal


def script(answers: Mapping[Plan, Reply]) -> Callable[[Request], Reply]:
    """Answers by telltale; what is not named is not to be asked."""
    return lambda request: {PATHS[plan]: reply for plan, reply in answers.items()}[request.path]


@pytest.mark.parametrize("plan", PLANS)
def test_each_plan_of_the_simulator_is_found_with_two_requests(market: Market, plan: Plan) -> None:
    options = AppOptions(api_key=KEY, plan=plan)
    with serving(market, options) as url, session_to(url, origin="simulator") as session:
        found = find_plan(session, TODAY)
    assert (found.plan, found.requests) == (plan, 2)
    assert len(found.evidence) == 2


@pytest.mark.parametrize("answer", [EMPTY, OUTSIDE, CLOSED_DAY, Reply({"message": ""}, 210)])
@pytest.mark.parametrize("plan", PLANS)
def test_any_answer_about_the_query_means_that_the_plan_has_the_endpoint(
    server: FakeServer, plan: Plan, answer: Reply
) -> None:
    server.script = account(plan, NOT_IN_PLAN, answer)
    with session_to(server.url) as session:
        assert find_plan(session, TODAY).plan == plan
    assert len(server.requests) == 2


@pytest.mark.parametrize(("plan", "requests"), [("free", 3), ("light", 3), ("standard", 2)])
def test_a_bare_403_is_taken_for_the_plan_once_something_was_answered(
    server: FakeServer, plan: Plan, requests: int
) -> None:
    """``Forbidden`` may be about the key: the calendar, which every plan has, tells which."""
    server.script = account(plan, FORBIDDEN)
    with session_to(server.url) as session:
        assert find_plan(session, TODAY).plan == plan
    assert len(server.requests) == requests


@pytest.mark.parametrize(
    ("reply", "requests"),
    [
        (Reply({"message": "The incoming token is invalid or expired."}, 401), 1),
        (Reply({"message": "The incoming api key is invalid or expired."}, 403), 1),
        (FORBIDDEN, 2),
        (Reply({"message": "Missing Authentication Token"}, 403), 2),
        (Reply(b"<html>forbidden</html>", 403), 2),
    ],
)
def test_a_refused_key_is_no_plan(server: FakeServer, reply: Reply, requests: int) -> None:
    server.script = lambda _: reply
    with session_to(server.url) as session, pytest.raises(ApiError) as caught:
        find_plan(session, TODAY)
    assert caught.value.status == reply.status
    assert "JQUANTS_API_KEY" in caught.value.hint
    assert len(server.requests) == requests


def test_an_account_without_a_plan_is_said_to_have_none(server: FakeServer) -> None:
    server.replies(Reply({"message": "You have no active subscription."}, 403))
    with session_to(server.url) as session, pytest.raises(ApiError, match="choose a plan"):
        find_plan(session, TODAY)


def test_an_endpoint_that_is_gone_leaves_the_plan_to_the_user(server: FakeServer) -> None:
    gone = Reply({"message": "The requested endpoint does not exist."}, 403)
    server.script = script({"standard": gone, "free": EMPTY})
    with session_to(server.url) as session, pytest.raises(ApiError, match="set plan"):
        find_plan(session, TODAY)


def test_a_wrong_address_is_not_taken_for_a_plan(server: FakeServer) -> None:
    server.replies(Reply({"message": "Not Found"}, 404))
    with session_to(server.url) as session, pytest.raises(ApiError, match="JQUANTS_API_BASE"):
        find_plan(session, TODAY)
    assert len(server.requests) == 1


def test_the_plan_of_a_simulator_is_not_that_of_the_vendor(market: Market) -> None:
    options = AppOptions(api_key=KEY, plan="free")
    with (
        serving(market, options) as url,
        session_to(url, origin="api") as session,
        pytest.raises(UsageError, match="synthetic"),
    ):
        why_refused(session, refused(403, "Forbidden"), TODAY)


@pytest.mark.parametrize("plan", PLANS)
def test_the_telltales_are_those_of_the_endpoint_table(plan: Plan) -> None:
    assert endpoint_of(TELLTALES[plan]).plan == plan


def test_the_probe_asks_for_a_weekday_inside_every_window() -> None:
    for offset in range(4 * 366):
        today = dt.date(2024, 1, 1) + dt.timedelta(days=offset)
        day = probe_day(today)
        assert day.weekday() in (1, 2, 3)
        for plan in PLANS:
            first, last = window(plan, today)
            assert first <= day <= last


def test_the_probe_passes_over_holidays() -> None:
    assert probe_day(dt.date(2024, 8, 14)) == dt.date(2024, 5, 2)  # 6th to 3rd of May: holidays
    assert probe_day(dt.date(2025, 4, 10)) == dt.date(2024, 12, 26)  # New Year, then a weekend


CASES: list[dict[str, Any]] = [
    {"status": 401, "message": "The incoming token is invalid or expired.", "kind": "key"},
    {
        "status": 403,
        "message": "This API is not available on your subscription.",
        "kind": "plan",
    },
    {"status": 403, "message": "Forbidden", "kind": "unclear"},
    {"status": 403, "message": "The api key is required", "kind": "key"},
    {"status": 403, "message": "The requested endpoint does not exist", "kind": "path"},
    {"status": 403, "message": "There is no active subscription", "kind": "account"},
    {"status": 403, "message": "", "kind": "unclear"},
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['status']} {case['message']}")
def test_refusals_are_told_apart_by_the_words_users_have_seen(case: dict[str, Any]) -> None:
    kind = refusal_of(case["status"], case["message"])
    assert kind == case["kind"]
    hint = hint_for(case["status"], case["message"])
    assert ("JQUANTS_API_KEY" in hint) == (kind in ("key", "unclear"))
    assert ("--g5-plan" in hint) == (kind in ("plan", "unclear"))
    assert ("JQUANTS_API_BASE" in hint) == (kind in ("path", "unclear"))


@pytest.mark.parametrize(("calendar", "kind"), [(EMPTY, "plan"), (FORBIDDEN, "key")])
def test_an_unclear_refusal_is_cleared_up_with_one_request(
    server: FakeServer, calendar: Reply, kind: str
) -> None:
    server.replies(calendar)
    with session_to(server.url) as session:
        assert why_refused(session, refused(403, "Forbidden"), TODAY) == kind
    assert [request.path for request in server.requests] == ["/markets/calendar"]


def test_a_clear_refusal_costs_no_request(server: FakeServer) -> None:
    with session_to(server.url) as session:
        said = "This API is not available on your subscription."
        assert why_refused(session, refused(403, said), TODAY) == "plan"
    assert server.requests == []


def refused(status: int, message: str) -> ApiError:
    return ApiError("/fins/dividend", {}, status=status, server_message=message)
