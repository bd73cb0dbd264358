"""One small market and one finished build for all tests of the command."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from tests.shared import once
from tests.tasks.commands import EVERYTHING, FEW_SOURCES, PROJECT, Ended, Home, simulator

MARKET = ("--stocks", "12", "--start", "2024-01-04", "--end", "2024-06-28")
RANGE = ("--start", "2024-03-01", "--end", "2024-04-12")


@pytest.fixture(scope="session")
def api() -> Iterator[str]:
    """A simulated market of half a year; its base URL."""
    with simulator(*MARKET) as url:
        yield url


@pytest.fixture(scope="session")
def first_run(api: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, Ended]:
    """The undisturbed build everything is compared with: two chunks, two workers, an empty root.

    It runs in the project's folder, so its ``luigi.cfg`` is in force; the others run elsewhere
    and have to do without. Builds of all sources are in the tests of the demo and the documents.
    It is made once for all test processes; each has its own copy, and its own simulator of the
    same market, because tests look at locks and count requests.
    """

    def home(folder: Path) -> Home:
        return Home(folder / "output", api, PROJECT, dict(FEW_SOURCES))

    def make(folder: Path) -> None:
        ended = home(folder).run("BuildAll", *RANGE, "--workers", "2")
        (folder / "ended.json").write_text(json.dumps(asdict(ended)))

    folder = once("built", make)
    ended = Ended(**json.loads((folder / "ended.json").read_text()))
    if ended.code != 0:
        return home(folder), ended
    told = ("run/history", "run/metrics")
    own = home(folder).copy(tmp_path_factory.mktemp("built") / "output", *EVERYTHING, *told)
    return replace(own, folder=PROJECT), ended


@pytest.fixture(scope="session")
def built(first_run: tuple[Home, Ended]) -> Home:
    """The root of the first run; not to be written to."""
    home, ended = first_run
    assert ended.code == 0, ended.told
    return home
