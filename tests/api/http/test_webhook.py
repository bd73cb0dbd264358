"""Messages to a webhook; its address, a secret, is in no error."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pipeline.api.http import webhook
from pipeline.errors import PipelineError
from tests.servers import Handler, serving

SECRET = "T0/B0/xyzzy"


@pytest.fixture
def server() -> Iterator[str]:
    """Answers with the status that its path begins with."""

    class Hook(Handler):
        def do_POST(self) -> None:
            self.content()
            self.answer(int(self.path.split("/")[1]), Location=f"/200/{SECRET}")

    with serving(Hook) as url:
        yield url


def test_any_answer_from_200_on_will_do(server: str) -> None:
    """The status is returned."""
    assert webhook.post(f"{server}/204/{SECRET}", "hello") == 204


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("{server}/404/" + SECRET, "webhook: HTTP 404"),
        ("{server}/302/" + SECRET, "webhook: HTTP 302"),  # a POST that is sent on becomes a GET
        ("http://127.0.0.1:9/" + SECRET, "webhook: no answer (ConnectionError)"),
        ("http://no such host/" + SECRET, "webhook: no answer ("),
        ("ftp://127.0.0.1/" + SECRET, "webhook: the address is no http or https URL"),
        ("http://[::1/" + SECRET, "webhook: the address is no http or https URL"),
        (SECRET, "webhook: the address is no http or https URL"),
    ],
)
def test_what_does_not_arrive_is_an_error_without_the_address(
    server: str, url: str, said: str
) -> None:
    """Nor is it in what the error came from."""
    with pytest.raises(PipelineError) as caught:
        webhook.post(url.replace("{server}", server), "hello")
    assert said in str(caught.value)
    assert "xyzzy" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
