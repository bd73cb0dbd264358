"""The real ``luigi`` on an object store: the build of a disk, a store that goes away, no secret."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.dataset.publication import DatasetStore
from pipeline.filesystem import location
from tests.object_stores import SECRET, ObjectStore, gateway, used
from tests.tasks.commands import PATIENCE_S, Home, until
from tests.tasks.conftest import RANGE
from tests.tasks.test_worker import building_on, children, host, said, url, worker

__all__ = ["url"]  # a fixture

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    with gateway(tmp_path_factory.mktemp("gateway")) as store:
        yield store


def on(server: ObjectStore, built: Home, folder: Path, name: str) -> Home:
    """A home whose root is in the store; to be called while the store is ``used``."""
    folder.mkdir(exist_ok=True)
    given = dict(server.environment, G5_HOST_DIR=str(folder / "host"), AWS_MAX_ATTEMPTS="2")
    home = replace(built, root=location.place_of(f"s3://market/{name}"), folder=folder)
    return home.having(**given)


def with_cache(home: Home, built: Home) -> Home:
    """What was fetched for the build on the disk lies in the store as well."""
    system, key = location.file_system(home.root)
    system.put(f"{built.root}/cache", f"{key}/cache", recursive=True)
    return home


def dataset_hash(home: Home) -> str:
    dataset = DatasetStore(home.root).latest()
    assert dataset is not None
    return str(dataset.metadata["dataset_hash"])


MONTHS = ("--start", "2024-02-13", "--end", "2024-06-14", "--chunk-months", "1")


def test_three_workers_one_killed_one_late_make_the_dataset_of_one_host(
    server: ObjectStore, built: Home, tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The output root in the store, luigid central, every host with folders of its own."""
    alone = built.copy(tmp_path / "alone" / "output", "cache")
    with used(server, tmp_path / "reader", monkeypatch):
        home = with_cache(on(server, built, tmp_path / "lead", "cluster"), built)
        hosts = []
        for name in ("one", "two", "three"):
            own = host(home, tmp_path / name)
            hosts.append(own.having(**server.environment, G5_HOST_DIR=str(tmp_path / name / "g5")))
        one, two, three = hosts
        with (
            worker(one, url, "--workers", "1") as staying,
            worker(two, url, "--workers", "1") as dying,
            home.start("BuildAll", *MONTHS, scheduler=("--scheduler-url", url)) as leader,
        ):
            until(lambda: building_on(home, children(dying)))
            (lost,) = building_on(home, children(dying))
            dying.kill()
            with worker(three, url, "--workers", "1") as late:
                _, told = leader.communicate(timeout=PATIENCE_S)
                assert leader.returncode == 0, told
                for helper in (staying, late):
                    helper.terminate()
                    assert helper.wait(PATIENCE_S) == 0
        assert f"BuildChunk {lost}: lost with its worker; another one gets it" in told
        for own in (one, three):
            assert "finished chunk " in said(own), own.folder
        ended = alone.run("BuildAll", *MONTHS, "--workers", "2")
        assert ended.code == 0, ended.told
        assert len(home.chunks.ids()) == 5
        assert dataset_hash(home) == dataset_hash(alone)


def test_the_build_is_the_one_of_a_disk_and_holds_no_secret(
    server: ObjectStore, built: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with used(server, tmp_path / "reader", monkeypatch):
        home = on(server, built, tmp_path / "here", "whole")
        killed = tmp_path / "here/host/tmp" / f".ml_dataset.parquet.{'0' * 32}.tmp"
        killed.parent.mkdir(parents=True)
        killed.touch()
        os.utime(killed, (0, 0))
        ended = home.run("BuildAll", *RANGE, "--workers", "2")
        assert ended.code == 0, ended.told
        assert dataset_hash(home) == dataset_hash(built)
        system, key = location.file_system(home.root)
        before = system.find(key, detail=True)
        again = home.run("BuildAll", *RANGE)
        assert again.code == 0
        assert any("nothing to do" in line for line in again.told)
        assert {n: e["ETag"] for n, e in system.find(key, detail=True).items()} == {
            n: e["ETag"] for n, e in before.items()
        }
        for command in (("status",), ("check-chunks",), ("check-dataset",), ("cache", "list")):
            assert home.g5(*command).code == 0, command
        assert not killed.exists(), "what a killed run left is swept"
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
        home = with_cache(on(server, built, tmp_path / "here", "away"), built)
        chunks = home.root / "chunks"
        with home.start("BuildAll", *RANGE, "--workers", "2") as run:
            until(lambda: location.folders_in(chunks))
            server.kill()
            _, err = run.communicate(timeout=PATIENCE_S)
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
        home = with_cache(on(server, built, tmp_path / "here", "soon"), built)
        home = home.having(AWS_MAX_ATTEMPTS="12")
        chunks = home.root / "chunks"
        with home.start("BuildAll", *RANGE, "--workers", "2") as run:
            until(lambda: location.folders_in(chunks))
            server.kill()
            server.start()
            _, err = run.communicate(timeout=PATIENCE_S)
        assert run.returncode == 0, err
        assert dataset_hash(home) == dataset_hash(built)


def test_a_chunk_grows_in_the_store_as_on_a_disk(
    server: ObjectStore, built: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two sessions more: the rows that stand come from the store, the whole is that of a disk."""
    with used(server, tmp_path / "reader", monkeypatch):
        home = with_cache(on(server, built, tmp_path / "here", "growing"), built)
        ended = home.run("BuildAll", *RANGE[:3], "2024-04-10", "--workers", "2")
        assert ended.code == 0, ended.told
        ended = home.run("BuildAll", *RANGE, "--latest-only")
        assert ended.code == 0, ended.told
        assert any("grows: rows to 2024-04-10 are kept" in line for line in ended.told), ended.told
        assert dataset_hash(home) == dataset_hash(built)
