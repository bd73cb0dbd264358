"""Runs that other hosts help: a real luigid, real workers, each with folders and settings of its
own, and one output root they share."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import luigi
import psutil
import pytest
from luigi.execution_summary import LuigiRunResult, LuigiStatusCode

from pipeline.filesystem.documents import read_document, write_document
from pipeline.manifest import Manifest
from pipeline.operations.cluster import announcement, host_capacity
from pipeline.operations.planning import run_plan
from pipeline.operations.runs import luigid_server
from pipeline.run_state.history import RunHistory
from pipeline.tasks.worker import remote_worker
from pipeline.tasks.worker.leader import HANDED_BACK, Leader, PatientScheduler, last_line
from tests.tasks.commands import LUIGI, ONE_PROCESS, PATIENCE_S, PROJECT, Home, assert_gone, until
from tests.tasks.conftest import RANGE

G5 = LUIGI.with_name("g5")
GiB = 2**30


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """A luigid with the configuration of ours, which misses workers sooner: the tests are short."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path / "luigid"
    folder.mkdir()
    text = luigid_server._CONFIG.format(folder=folder)
    assert "worker_disconnect_delay = 20" in text
    text = text.replace("worker_disconnect_delay = 20", "worker_disconnect_delay = 4")
    text = text.replace(f"logging_conf_file = {folder}/logging.cfg", "no_configure_logging = true")
    (folder / "luigid.cfg").write_text(text)
    command = [str(LUIGI.with_name("luigid")), "--address", "127.0.0.1", "--port", str(port)]
    environment = os.environ | {"LUIGI_CONFIG_PATH": str(folder / "luigid.cfg")}
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            until(lambda: luigid_server.answers(f"http://127.0.0.1:{port}"))
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def host(home: Home, folder: Path) -> Home:
    """Another host: it knows the root, and neither the key nor the settings of the run."""
    (folder / "tmp").mkdir(parents=True)
    (folder / "host.cfg").write_text("[g5]\ncompute_threads = 1\n")
    own = Home(home.root, home.url, folder)
    return own.having(
        JQUANTS_API_BASE=None,
        JQUANTS_API_KEY=None,
        REQUESTS_PER_MINUTE=None,
        G5_NOW=None,
        TMPDIR=str(folder / "tmp"),
        LUIGI_CONFIG_PATH=str(folder / "host.cfg"),
    )


@contextmanager
def worker(
    own: Home, url: str, *words: str, command: Sequence[str] = (str(G5), "worker")
) -> Iterator[subprocess.Popen[str]]:
    """A helper that has joined, in a process group of its own; what it says is in worker.log."""
    with (
        (own.folder / "worker.log").open("w") as log,
        subprocess.Popen(
            [*command, "--scheduler-url", url, *words],
            env=own._environment(),
            cwd=own.folder,
            text=True,
            stdout=log,
            stderr=log,
            start_new_session=True,
        ) as process,
    ):
        try:
            until(lambda: "joined" in said(own) or process.poll() is not None)
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def said(own: Home) -> str:
    return (own.folder / "worker.log").read_text()


def building_on(home: Home, pids: list[int]) -> list[str]:
    """Chunks that one of these processes builds."""
    chunks = [c for c in home.building() if (home.chunks.status(c) or {}).get("pid") in pids]
    return [c for c in chunks if (home.chunks.status(c) or {}).get("state") == "building"]


def children(process: subprocess.Popen[str]) -> list[int]:
    return [child.pid for child in psutil.Process(process.pid).children(recursive=True)]


@pytest.mark.slow
def test_a_chunk_lost_with_its_worker_is_built_by_another(
    built: Home, tmp_path: Path, url: str
) -> None:
    """kill -9 in the middle of a build; the same run ends well, with the same dataset.

    The helper was given its settings, its moment and the origin by the run: it has none.
    """
    home = built.copy(tmp_path / "output", "cache").having(**ONE_PROCESS)
    own = host(home, tmp_path / "host")
    with worker(own, url, "--workers", "1") as helper:
        with home.start("BuildAll", *RANGE, scheduler=("--scheduler-url", url)) as leader:
            until(lambda: building_on(home, children(helper)))
            (lost,) = building_on(home, children(helper))
            processes = [psutil.Process(pid) for pid in children(helper)]
            helper.kill()
            assert_gone(processes)
            assert home.chunks.read_status(lost)["state"] == "building"
            _, told = leader.communicate(timeout=PATIENCE_S)
    assert leader.returncode == 0, told
    assert f"BuildChunk {lost}: lost with its worker; another one gets it" in told
    assert f"took chunk {lost} of run" in said(own)
    assert home.dataset_sha() == built.dataset_sha()
    assert not (tmp_path / "host" / "output").exists()


@pytest.mark.slow
def test_a_worker_that_is_told_to_leave_finishes_its_chunk(
    built: Home, tmp_path: Path, url: str
) -> None:
    """Also by Ctrl-C, which all its processes hear. The leader waits for it and ends with 0."""
    home = built.copy(tmp_path / "output", "cache").having(**ONE_PROCESS)
    own = host(home, tmp_path / "host")
    with worker(own, url, "--workers", "1") as helper:
        with home.start("BuildAll", *RANGE, scheduler=("--scheduler-url", url)) as leader:
            until(lambda: building_on(home, children(helper)))
            (chunk,) = building_on(home, children(helper))
            os.killpg(helper.pid, signal.SIGINT)
            assert helper.wait(PATIENCE_S) == 0, said(own)
            _, told = leader.communicate(timeout=PATIENCE_S)
    assert leader.returncode == 0, told
    lines = said(own)
    assert "1 chunk builds at a time (as asked; " in lines
    assert "leaving: what is being built is finished first" in lines
    assert f"finished chunk {chunk} in " in lines
    assert f"left {url}: 1 chunks built" in lines
    assert "Traceback" not in lines
    assert f"chunk {chunk}: building" not in told, "the leader did not build it"
    status = home.chunks.read_status(chunk)
    (announced,) = [read_document(home.root / "run/announcement.json", "announcement")]
    assert status["run_id"] == announced["run_id"]
    assert status["origin"] == "simulator"
    assert home.dataset_sha() == built.dataset_sha()
    (record,) = RunHistory(home.root).records()
    assert f"BuildChunk {chunk}" in [step["name"] for step in record["steps"]]
    assert announced["settings"]["unavailable_sources"]
    assert "data_output_dir" not in announced["settings"]


def test_a_second_signal_ends_it_at_once(built: Home, tmp_path: Path, url: str) -> None:
    """Nothing of it lives on; the run that gave it the chunk is not needed for that."""
    home = built.copy(tmp_path / "output", "cache")
    own = host(home, tmp_path / "host")
    with (
        worker(own, url, "--workers", "2") as helper,
        home.start("BuildAll", *RANGE, scheduler=("--scheduler-url", url)),
    ):
        until(lambda: building_on(home, children(helper)))
        processes = [psutil.Process(pid) for pid in children(helper)]
        helper.terminate()
        until(lambda: "leaving" in said(own))
        helper.terminate()
        assert helper.wait(10) == 143
        assert_gone(processes)


def package(folder: Path) -> list[str]:
    """A copy of the package, as another host has one; the command that starts a worker of it."""
    shutil.copytree(
        PROJECT / "pipeline", folder / "pipeline", ignore=shutil.ignore_patterns("__pycache__")
    )
    (folder / "schema").symlink_to(PROJECT / "schema")
    return [sys.executable, "-m", "pipeline.cli", "worker"]


def change(folder: Path) -> None:
    """Another version of a file that decides values."""
    with (folder / "pipeline/features/engine/window_kernels.py").open("a") as file:
        file.write("# other code\n")


def test_other_code_is_refused_at_the_start(tmp_path: Path, url: str) -> None:
    """One line: what differs, and what to do; exit code 2."""
    own = host(Home(tmp_path / "output", url, tmp_path), tmp_path / "host")
    announce(own.root)
    command = package(own.folder)
    change(own.folder)
    ended = own._ended([*command, "--scheduler-url", url])
    assert ended.code == 2
    (line,) = ended.told
    run = announcement.identity(run_plan.load_manifest()).code_version
    assert re.search(rf"run this of elsewhere: code \S+ here, {re.escape(run)} there", line)
    assert "(install the version of that run here, or begin a run with this one first)" in line
    announce(own.root, schema_hash="0123456789abcdef", schema_version="9.0.0")
    (line,) = own.g5("worker", "--scheduler-url", url).told
    assert "here, 0123456789abcdef (9.0.0) there" in line
    assert "manifest" in line


def test_other_code_is_refused_in_mid_life(tmp_path: Path, url: str) -> None:
    """An idle worker leaves by itself when a run with other code begins."""
    own = host(Home(tmp_path / "output", url, tmp_path), tmp_path / "host")
    announce(own.root)
    with worker(own, url) as helper:
        assert helper.poll() is None, said(own)
        announce(own.root, code_version="9.9.9+01234567", run_id="later")
        assert helper.wait(30) == 2
    assert "g5 worker: error: left: run later of elsewhere: code " in said(own)


@pytest.mark.slow
def test_no_chunk_is_made_by_code_replaced_under_a_worker(
    built: Home, tmp_path: Path, url: str
) -> None:
    """The task process looks once more before it builds; the worker leaves, another one builds."""
    home = built.copy(tmp_path / "output", "cache")
    own = host(home, tmp_path / "host")
    command = package(own.folder)
    with worker(own, url, "--workers", "1", command=command) as helper:
        change(own.folder)
        with home.start("BuildAll", *RANGE, scheduler=("--scheduler-url", url)):
            assert helper.wait(PATIENCE_S) == 2, said(own)
            until(lambda: len(made_by(home)) == 2)
    lines = said(own)
    assert "took chunk " in lines
    assert "error: left: pipeline.errors.UsageError: foreign code: run " in lines
    assert set(made_by(home)) == {announcement.identity(run_plan.load_manifest()).code_version}


def made_by(home: Home) -> list[str]:
    """The code that makes, or made, each chunk."""
    statuses = [home.chunks.status(chunk) for chunk in home.chunks.ids()]
    return [status["code_version"] for status in statuses if status is not None]


def test_another_root_is_refused(tmp_path: Path, url: str) -> None:
    """The scheduler knows a run that this root never saw."""
    leader = PatientScheduler(url)
    leader.add_worker(worker="leader", info=[(announcement.RUN, "theirs")])
    home = Home(tmp_path / "output", url, tmp_path)
    announce(home.root, run_id="ours")
    ended = home.g5("worker", "--scheduler-url", url)
    assert ended.code == 2
    (line,) = ended.told
    assert f"output root {home.root}: run theirs of this scheduler never began there" in line
    nobody = home.g5("worker", "--scheduler-url", "http://127.0.0.1:9")
    assert nobody.code == 30
    assert "luigid http://127.0.0.1:9: does not answer (start it, or" in nobody.told[0]
    assert home.g5("worker").code == 2


class Fetch(luigi.Task):
    """As a fetch is to the scheduler."""

    resources = {"jquants_api": 1}
    accepts_messages = True
    priority = 100

    def complete(self) -> bool:
        return False


class Build(luigi.Task):
    """As a chunk is to the scheduler; done when somebody says so."""

    done: set[str] = set()
    chunk = luigi.Parameter()

    def complete(self) -> bool:
        return self.chunk in self.done


class Root(luigi.WrapperTask):
    def requires(self) -> list[luigi.Task]:
        return [Build(chunk=chunk) for chunk in ("2024Q1", "2024Q2")]


@pytest.fixture
def leader(url: str, monkeypatch: pytest.MonkeyPatch) -> Leader:
    """A leader that has scheduled its tasks and runs none itself, for the time being."""
    monkeypatch.setattr(Build, "done", set())
    monkeypatch.setenv("G5_RUN_ID", "this")
    leader = Leader(
        scheduler=PatientScheduler(url),
        worker_id="leader",
        no_install_shutdown_handler=True,
        force_multiprocessing=False,
    )
    assert leader.add(Root())
    leader._add_worker()
    return leader


def test_a_helper_takes_chunks_alone(
    leader: Leader, tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fetch is handed back as it was; a chunk is taken once its run is known in this root."""
    monkeypatch.setattr(remote_worker, "_TAKES", "Build")
    monkeypatch.setattr(os, "environ", dict(os.environ))
    assert leader.add(Fetch())
    announce(tmp_path, run_id="this", now="2024-06-29T09:00:00+09:00")
    identity = announcement.identity(run_plan.load_manifest())
    host = remote_worker.Host(tmp_path, identity, {"plan": "free", "compute_threads": "7"}, 1)
    helper = remote_worker.join(url, host)
    asked = {"worker": "helper", "host": "h", "assistant": True, "current_tasks": []}
    assert helper.get_work(**asked)["task_id"] is None, "the fetch has the highest priority"
    (fetch,) = helper.task_list(status="PENDING", upstream_status="", search="Fetch").values()
    assert fetch["resources"] == {"jquants_api": 1}
    work = leader._get_work()
    assert work.task_id == Fetch().task_id
    assert helper.task_list(status="RUNNING", upstream_status="")[work.task_id]["accepts_messages"]
    given = helper.get_work(**asked)
    assert given["task_family"] == "Build"
    assert os.environ["G5_RUN_ID"] == "this"
    assert os.environ["G5_NOW"] == "2024-06-29T09:00:00+09:00"
    settings = json.loads(os.environ["G5_SETTINGS"])
    assert settings["plan"] == "premium", "of the run"
    assert settings["compute_threads"] == "7", "of the host"
    asked["current_tasks"] = [given["task_id"]]
    announce(tmp_path, run_id="later", earlier=["this"])
    assert helper.get_work(**asked)["task_id"] is None, "that one is not known yet to the scheduler"
    (tmp_path / "run/announcement.json").write_text("{")
    assert helper.get_work(**asked)["task_id"] is None, "nothing is known of the run for now"
    assert helper.refusal is None
    announce(tmp_path, run_id="later", earlier=["this"], format=2)
    told = helper.get_work(**asked)
    assert (told["task_id"], told["worker_state"]) == (None, "disabled")
    assert "format 1 here, 2 there" in str(helper.refusal)
    assert len(helper.task_list(status="RUNNING", upstream_status="")) == 2


@pytest.mark.parametrize(
    ("errors", "said"),
    [
        (["UsageError: foreign code: run x"], "foreign code: run x"),
        (["Task died unexpectedly with exit code -9"] * 2, "2 builds in a row died on this host"),
    ],
)
def test_a_host_that_cannot_build_leaves(
    leader: Leader,
    tmp_path: Path,
    url: str,
    monkeypatch: pytest.MonkeyPatch,
    errors: list[str],
    said: str,
) -> None:
    """Or it would be given every chunk of the run, and lose it."""
    monkeypatch.setattr(remote_worker, "_TAKES", "Build")
    monkeypatch.setattr(os, "environ", dict(os.environ))
    announce(tmp_path, run_id="this")
    host = remote_worker.Host(tmp_path, announcement.identity(run_plan.load_manifest()), {}, 1)
    helper = remote_worker.join(url, host)
    asked = {"worker": "helper", "host": "h", "assistant": True, "current_tasks": []}
    for error in errors:
        task_id = helper.get_work(**asked)["task_id"]
        assert task_id is not None
        end(helper, task_id, "FAILED", error)
    told = helper.get_work(**asked)
    assert (told["task_id"], told["worker_state"]) == (None, "disabled")
    assert said in str(helper.refusal)


def give(scheduler: PatientScheduler) -> str:
    """A task of the run for a helper; its id."""
    asked = {"host": "h", "assistant": True, "current_tasks": []}
    return str(scheduler.get_work(worker="helper", **asked)["task_id"])


def end(scheduler: PatientScheduler, task_id: str, status: str, error: str = "") -> None:
    """What a helper tells of a task."""
    told: dict[str, Any] = {"status": status, "expl": json.dumps(error), "runnable": None}
    scheduler.add_task(worker="helper", task_id=task_id, assistant=True, **told)


def test_what_helpers_did_is_no_longer_to_be_done(leader: Leader, url: str) -> None:
    """Luigi alone would call it not run, or run by another worker."""
    helper = PatientScheduler(url)
    for _ in range(2):
        task_id = give(helper)
        end(helper, task_id, "DONE")
        Build.done.add(leader._scheduled_tasks[task_id].chunk)
    assert leader.run()
    assert LuigiRunResult(leader).status is LuigiStatusCode.SUCCESS


def test_lost_tasks_are_handed_on_and_failed_ones_are_not(leader: Leader, url: str) -> None:
    """Not for ever: what kills one host after the other has failed."""
    helper = PatientScheduler(url)
    first = give(helper)
    end(helper, first, "FAILED", f"Task {first} died unexpectedly with exit code -9")
    assert leader._release_lost()
    assert give(helper) == first
    end(helper, first, "FAILED", HANDED_BACK)
    assert leader._release_lost()
    assert give(helper) == first
    end(helper, first, "FAILED", "Runtime error:\nUsageError: foreign code: run x")
    assert leader._release_lost()
    assert give(helper) == first
    end(helper, first, "FAILED", f"Task {first} died unexpectedly with exit code 1")
    assert not leader._release_lost()
    second = give(helper)
    end(helper, second, "FAILED", "Traceback\n  of it\npipeline.errors.StorageError: no rows")
    assert not leader._release_lost()
    assert leader.run()
    assert LuigiRunResult(leader).status is LuigiStatusCode.FAILED
    by_id = {task.task_id: status for task, status, _ in leader._add_task_history}
    assert by_id[first] == by_id[second] == "FAILED"


def test_the_error_of_a_helper_in_one_line() -> None:
    """Of the text that Luigi makes of an exception; a secret in it is none."""
    assert last_line(json.dumps("Runtime error:\nTraceback\n  x\nStorageError: no rows\n")) == (
        "StorageError: no rows"
    )
    assert last_line("") == "no message"


@pytest.mark.parametrize(
    ("cores", "memory", "threads", "builds"),
    [(2, 24, 2, 1), (16, 64, 2, 8), (16, 16, 2, 4), (64, 8, 1, 2), (1, 2, 2, 1)],
)
def test_as_many_builds_as_the_host_holds(
    cores: int, memory: int, threads: int, builds: int
) -> None:
    """The smaller of what cores and memory hold; one at least."""
    found = host_capacity.capacity_of(cores, memory * GiB, threads)
    assert found.builds == builds
    assert f"{memory}.0 GiB at 3.2 GiB each" in found.why
    assert ("too little" in found.why) is (memory == 2)


def test_the_limits_of_a_service_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Control groups say what it may use, its own or one above; "max" is no limit."""
    service = tmp_path / "system.slice" / "g5-worker.service"
    service.mkdir(parents=True)
    monkeypatch.setattr(host_capacity, "_GROUPS", tmp_path)
    monkeypatch.setattr(host_capacity, "_GROUP", tmp_path / "none")
    unlimited = host_capacity.of_host(1)
    (tmp_path / "cgroup").write_text("0::/system.slice/g5-worker.service\n")
    monkeypatch.setattr(host_capacity, "_GROUP", tmp_path / "cgroup")
    (service / "memory.max").write_text("max\n")
    (service / "cpu.max").write_text("max 100000\n")
    assert host_capacity.of_host(1) == unlimited
    (service / "memory.max").write_text(f"{5 * GiB}\n")
    (service.parent / "cpu.max").write_text("100000 100000\n")
    assert host_capacity.of_host(1).why.startswith("1 cores at 1 each hold 1, 5.0 GiB")


def announce(root: Path, **changes: Any) -> None:
    """What a run of this code would have told in this root."""
    told = {
        "format": announcement.FORMAT,
        "run_id": "this",
        "began_at": "2024-06-29T00:00:00+00:00",
        "host": "elsewhere",
        "now": "2024-06-29T09:00:00+09:00",
        "server": "simulator",
        "settings": {"plan": "premium"},
        "earlier": [],
    }
    manifest: Manifest = run_plan.load_manifest()
    mine = announcement.identity(manifest)
    told |= {
        "code_version": mine.code_version,
        "schema_hash": mine.schema_hash,
        "schema_version": mine.schema_version,
    }
    write_document(root / "run/announcement.json", "announcement", told | changes)
