"""One scripted server per module; properties without a deadline, for a machine that is shared."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.api.fakes import FakeServer, Reply, running_server

settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")


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
