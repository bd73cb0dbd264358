"""The real ``luigi`` on an object store: the build of a disk, a store that goes away, no secret."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.storage import place
from pipeline.storage.datasets import DatasetStore
from tests.object_stores import SECRET, ObjectStore, gateway, used
from tests.tasks.commands import Home, until
from tests.tasks.conftest import RANGE

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    with gateway(tmp_path_factory.mktemp("gateway")) as store:
        yield store


def on(server: ObjectStore, built: Home, folder: Path, name: str) -> Home:
    """A home whose root is in the store; to be called while the store is ``used``."""
    folder.mkdir(exist_ok=True)
    given = dict(server.environment, G5_HOST_DIR=str(folder / "host"), AWS_MAX_ATTEMPTS="2")
    home = replace(built, root=place.place_of(f"s3://market/{name}"), folder=folder)
    return home.having(**given)


def dataset_hash(home: Home) -> str:
    dataset = DatasetStore(home.root).latest()
    assert dataset is not None
    return str(dataset.metadata["dataset_hash"])


def test_the_build_is_the_one_of_a_disk_and_holds_no_secret(
    server: ObjectStore, built: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with used(server, tmp_path / "reader", monkeypatch):
        home = on(server, built, tmp_path / "here", "whole")
        ended = home.run("BuildAll", *RANGE, "--workers", "2")
        assert ended.code == 0, ended.told
        assert dataset_hash(home) == dataset_hash(built)
        system, key = place.file_system(home.root)
        before = system.find(key, detail=True)
        again = home.run("BuildAll", *RANGE)
        assert again.code == 0
        assert any("nothing to do" in line for line in again.told)
        assert {n: e["ETag"] for n, e in system.find(key, detail=True).items()} == {
            n: e["ETag"] for n, e in before.items()
        }
        for command in (("status",), ("check-chunks",), ("check-dataset",), ("cache", "list")):
            assert home.g5(*command).code == 0, command
        told = "\n".join([*ended.told, *again.told])
        for name in before:
            assert SECRET.encode() not in system.cat_file(name), name
    written = [path for path in (tmp_path / "here").rglob("*") if path.is_file()]
    assert any(path.name == "g5.log" for path in written)
    for path in written:
        assert SECRET.encode() not in path.read_bytes(), path
    assert SECRET not in told


def test_a_store_that_goes_away_ends_the_run_clearly_and_the_next_one_finishes(
    server: ObjectStore, built: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with used(server, tmp_path / "reader", monkeypatch):
        home = on(server, built, tmp_path / "here", "away")
        chunks = home.root / "chunks"
        with home.start("BuildAll", *RANGE, "--workers", "2") as run:
            until(lambda: place.folders_in(chunks))
            server.kill()
            _, err = run.communicate(timeout=200)
        server.start()
        assert run.returncode not in (0, 1), err
        lines = [line for line in err.splitlines() if "error: " in line]
        assert lines, err
        assert not any("Traceback" in line for line in err.splitlines()), err
        assert DatasetStore(home.root).latest() is None
        for chunk, status in home.statuses().items():
            assert status["state"] != "completed", chunk
        ended = home.run("BuildAll", *RANGE, "--workers", "2")
        assert ended.code == 0, ended.told
        assert dataset_hash(home) == dataset_hash(built)


def test_a_store_that_is_back_soon_is_waited_for(
    server: ObjectStore, built: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with used(server, tmp_path / "reader", monkeypatch):
        home = on(server, built, tmp_path / "here", "soon").having(AWS_MAX_ATTEMPTS="12")
        chunks = home.root / "chunks"
        with home.start("BuildAll", *RANGE, "--workers", "2") as run:
            until(lambda: place.folders_in(chunks))
            server.kill()
            server.start()
            _, err = run.communicate(timeout=200)
        assert run.returncode == 0, err
        assert dataset_hash(home) == dataset_hash(built)
