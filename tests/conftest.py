"""What all tests share, and the order in which files begin."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.shared import share_in


@pytest.fixture(scope="session", autouse=True)
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> None:
    """One folder for all processes of this run, removed by pytest some runs later."""
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if base.name.startswith("popen-") else base) / "shared"
    shared.mkdir(exist_ok=True)
    share_in(shared)


#: What takes longest begins first, so that no core is idle at the end. The kernels are compiled
#: while the first file runs; the files beside it need none, or hardly any.
LONGEST = (
    "tests/test_point_in_time.py",
    "tests/simulator/test_official_client.py",
    "tests/operations/fetching/test_source_fetch.py",
    "tests/tasks/test_fetching_simulator.py",
    "tests/test_dialects.py",
    "tests/tasks/test_fetching_killed.py",
    "tests/tasks/test_object_store.py",
    "tests/test_against_reference.py",
    "tests/test_documents.py",
    "tests/tasks/test_interrupted.py",
    "tests/features/engine/test_look_ahead_audit.py",
    "tests/tasks/test_operating.py",
    "tests/test_publication_delay.py",
    "tests/tasks/test_build_labels.py",
    "tests/test_labels_against_reference.py",
    "tests/test_columns_vary.py",
)


#: What ``--quick`` leaves out beside the tests marked as slow: files and folders of tests that
#: start many processes, build whole markets or drive a browser. The two files of ``tests/tasks``
#: that it runs are in ``QUICK_TASKS``.
NOT_QUICK = (
    *LONGEST,
    "tests/api/test_bounds.py",
    "tests/api/test_dialects.py",
    "tests/api/test_with_simulator.py",
    "tests/benchmarks/test_scale_cluster.py",
    "tests/cli/inspection/test_doctor.py",
    "tests/cli/test_bad_inputs.py",
    "tests/crash/",
    "tests/replay/",
    "tests/tasks/",
    "tests/test_browser.py",
    "tests/test_hosting.py",
)
#: Sets of parameters that it runs of each parametrised test.
QUICK_PARAMETERS = 2
QUICK_TASKS = ("tests/tasks/test_marks_on_full_disk.py", "tests/tasks/test_worker.py")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--quick", action="store_true", help="leave out what takes long")


def is_quick(file: str) -> bool:
    """Whether ``--quick`` runs a file's tests, those marked as slow aside."""
    return file in QUICK_TASKS or not file.startswith(NOT_QUICK)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The longest files first, then those with slow tests, then all others.

    pytest-xdist keeps this order only with ``--no-loadscope-reorder``.
    """
    if config.getoption("--quick"):
        seen = Counter[str]()
        kept, left_out = [], []
        for item in items:
            test = item.nodeid.partition("[")[0]
            seen[test] += 1
            slow = item.get_closest_marker("slow") or not is_quick(of_file(item))
            (left_out if slow or seen[test] > QUICK_PARAMETERS else kept).append(item)
        config.hook.pytest_deselected(items=left_out)
        items[:] = kept
    slow = {of_file(item) for item in items if item.get_closest_marker("slow")}
    place = {name: at for at, name in enumerate((*LONGEST, *sorted(slow - set(LONGEST))))}
    items.sort(key=lambda item: place.get(of_file(item), len(place)))


def of_file(item: pytest.Item) -> str:
    return item.nodeid.split("::")[0]
