"""What all tests share, and the order in which files begin."""

from __future__ import annotations

import pytest

from tests.shared import share_in


@pytest.fixture(scope="session", autouse=True)
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> None:
    """One folder for all processes of this run, removed by pytest some runs later."""
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if base.name.startswith("popen-") else base) / "shared"
    shared.mkdir(exist_ok=True)
    share_in(shared)


#: Files that take longest, by falling time: begun first, so that no core is idle at the end.
#: The kernels are compiled by the first of them, while the second needs none.
FIRST = (
    "tests/test_point_in_time.py",
    "tests/simulator/test_official_client.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest files; needs ``--no-loadscope-reorder``."""
    rank = {name: place for place, name in enumerate(FIRST)}
    items.sort(key=lambda item: rank.get(item.nodeid.split("::")[0], len(rank)))
