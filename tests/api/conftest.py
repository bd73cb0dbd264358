"""One scripted server per module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.api.fakes import FakeServer, Reply, running_server


@pytest.fixture(scope="module")
def module_server() -> Iterator[FakeServer]:
    with running_server() as server:
        yield server


@pytest.fixture
def server(module_server: FakeServer) -> FakeServer:
    """The module's server without a history."""
    module_server.requests.clear()
    module_server.script = lambda _: Reply({"data": []})
    return module_server
