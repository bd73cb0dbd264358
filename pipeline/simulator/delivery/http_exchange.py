"""One HTTP exchange: what was asked, what is answered, and how the answer travels."""

from __future__ import annotations

from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import parse_qsl

import orjson

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from _typeshed.wsgi import WSGIEnvironment

PREFIX = "/v2"
JSON = "application/json"


@dataclass(frozen=True)
class Request:
    """What the server needs of a request.

    Attributes:
        path: as sent, with the prefix of the API's version.
        query: as sent; ``params`` holds the same by name, the last of equal names.
        headers: by WSGI name, such as HTTP_X_API_KEY.
        host: host and port under which the client reached the server.
        gone: whether the client has closed the connection meanwhile.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = b""
    host: str = ""
    gone: Callable[[], bool] = lambda: False

    @classmethod
    def of(cls, environ: WSGIEnvironment) -> Request:
        """The request of a WSGI call."""
        headers = {name: str(text) for name, text in environ.items() if name.startswith("HTTP_")}
        size = int(environ.get("CONTENT_LENGTH") or 0)
        return cls(
            method=str(environ.get("REQUEST_METHOD", "GET")),
            path=str(environ.get("PATH_INFO", "")),
            query=str(environ.get("QUERY_STRING", "")),
            headers=headers,
            body=environ["wsgi.input"].read(size) if size else b"",
            host=headers.get("HTTP_HOST")
            or f"{environ.get('SERVER_NAME')}:{environ.get('SERVER_PORT')}",
            gone=environ.get("waitress.client_disconnected", lambda: False),
        )

    @property
    def endpoint(self) -> str:
        """The path without the prefix."""
        return self.path.removeprefix(PREFIX)

    @property
    def params(self) -> dict[str, str]:
        return dict(parse_qsl(self.query, keep_blank_values=True))

    @property
    def takes_gzip(self) -> bool:
        return "gzip" in self.headers.get("HTTP_ACCEPT_ENCODING", "").lower()


@dataclass(frozen=True)
class Delivery:
    """How an answer travels.

    Attributes:
        mode: ``whole``: at once; ``drip``: in small pieces over ``seconds``; ``cut``: half of it,
            then the connection closes; ``reset``: nothing, the connection is reset; ``hang``:
            nothing for ``seconds``, then the connection is reset.
    """

    mode: Literal["whole", "drip", "cut", "reset", "hang"] = "whole"
    seconds: float = 0.0


@dataclass(frozen=True)
class Page:
    """Where in a series of pages an answer stands.

    Attributes:
        key: the paging key asked with; None on the first page.
        before: body of the page before; None on the first page.
    """

    key: str | None = None
    before: bytes | None = None


@dataclass(frozen=True)
class Answer:
    """What is sent back.

    Attributes:
        status: HTTP status; 0 when nothing is sent at all.
        packed: the body is gzip as a transport encoding.
        page: of an answer with rows.
        fault: kind of the injected fault, if any.
    """

    status: int
    body: bytes = b""
    packed: bool = False
    content_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()
    page: Page = Page()
    delivery: Delivery = Delivery()
    fault: str | None = None

    @property
    def status_line(self) -> str:
        try:
            return f"{self.status} {HTTPStatus(self.status).phrase}"
        except ValueError:  # 210 of the real API is not a registered status
            return f"{self.status} No Content"

    @property
    def all_headers(self) -> list[tuple[str, str]]:
        encoding = [("Content-Encoding", "gzip")] if self.packed else []
        return [
            ("Content-Type", self.content_type),
            ("Content-Length", str(len(self.body))),
            ("X-Simulator", "g5"),
            *encoding,
            *self.headers,
        ]


def json_answer(value: Any) -> Answer:
    """A value as the body of a success."""
    return Answer(200, orjson.dumps(value))


def refusal(status: int, message: str, headers: tuple[tuple[str, str], ...] = ()) -> Answer:
    """The body of every error of the API."""
    return Answer(status, orjson.dumps({"message": message}), headers=headers)
