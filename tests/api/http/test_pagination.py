"""All pages of a request, and an end to every loop."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.api.catalogue.endpoints import endpoint_of
from pipeline.api.http import pagination
from pipeline.api.http.pagination import pages
from pipeline.errors import BadResponse
from tests.api.fakes import FakeServer, Reply, session_to

CALENDAR = endpoint_of("trading_calendar")
QUERY = {"from": "2024-01-01"}


def read(server: FakeServer) -> list[list[dict[str, Any]]]:
    with session_to(server.url) as session:
        return list(pages(session, CALENDAR, QUERY))


def page(number: int, **rest: object) -> Reply:
    return Reply({"data": [{"n": number}], **rest})


def test_pages_follow_their_keys(server: FakeServer) -> None:
    """The same query each time, with the key just received; the first page has none."""
    server.replies(page(1, pagination_key="a.b."), page(2, pagination_key="c d&e="), page(3))
    assert read(server) == [[{"n": 1}], [{"n": 2}], [{"n": 3}]]
    assert [request.page_key for request in server.requests] == [None, "a.b.", "c d&e="]
    assert all(request.query == QUERY for request in server.requests)


@pytest.mark.parametrize("last", [{}, {"pagination_key": None}, {"pagination_key": ""}])
def test_three_forms_end_the_loop(server: FakeServer, last: dict[str, object]) -> None:
    """No key, null, and the empty text that makes other clients loop for ever."""
    server.replies(page(1, **last))
    assert read(server) == [[{"n": 1}]]
    assert len(server.requests) == 1


def test_no_rows_are_one_empty_page(server: FakeServer) -> None:
    """Nothing found is an answer."""
    assert read(server) == [[]]


@pytest.mark.parametrize("keys", [["a", "a"], ["a", "b", "a"]])
def test_a_repeated_key_is_refused(server: FakeServer, keys: list[str]) -> None:
    """Following it would never end."""
    server.replies(*(page(n, pagination_key=key) for n, key in enumerate(keys)))
    with pytest.raises(BadResponse, match="pagination_key: page .* repeats an earlier one"):
        read(server)
    assert len(server.requests) == len(keys)


def test_endlessly_new_keys_are_refused(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that invents keys is stopped too."""
    monkeypatch.setattr(pagination, "MAX_PAGES", 5)
    server.script = lambda request: page(1, pagination_key=f"{request.page_key}x")
    with pytest.raises(BadResponse, match="more than 5 pages"):
        read(server)
    assert len(server.requests) == 5


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"rows": []}, r"data: expected an array, got keys \['rows'\]"),
        ({"data": None}, "data: expected an array, got NoneType"),
        ({"data": {"n": 1}}, "data: expected an array, got dict"),
        ({"data": [{"n": 1}, ["n", 1]]}, "data: expected objects as rows, got list"),
        ({"data": [], "pagination_key": 7}, "pagination_key: expected text, got int"),
    ],
)
def test_an_unexpected_body_is_never_an_empty_page(
    server: FakeServer, body: dict[str, object], told: str
) -> None:
    """An empty answer and a missing one are different things."""
    server.replies(Reply(body))
    with pytest.raises(BadResponse, match=told):
        read(server)


def test_the_paging_key_stays_out_of_errors(server: FakeServer) -> None:
    """Parameters in errors are those one could repeat by hand."""
    server.replies(page(1, pagination_key="opaque"), Reply({}))
    with pytest.raises(BadResponse) as caught:
        read(server)
    assert caught.value.params == QUERY
    assert "opaque" not in str(caught.value)
