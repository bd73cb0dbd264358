"""``g5 rebuild``: durable requests, said aloud, and taken back as cleanly."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import cli
from pipeline.dataset import rebuild_requests
from pipeline.dataset.chunk_store import ChunkStore
from tests.dataset.builders import build, clock, january, rows


@pytest.fixture
def store(tmp_path: Path) -> ChunkStore:
    store = ChunkStore(tmp_path, clock)
    build(store, "2020M01", rows(january(6, 7)))
    build(store, "2020M02", rows([day.replace(month=2) for day in january(3, 4)]))
    return store


def rebuild(store: ChunkStore, *words: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own: it takes the lock of the output root."""
    command = [sys.executable, "-m", "pipeline.cli", "rebuild", *words]
    command += ["--output", str(store.folder.parent)]
    environment = {name: text for name, text in os.environ.items() if not name.startswith("G5_")}
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def test_requests_are_made_and_taken_back(store: ChunkStore) -> None:
    """Each time it says for which chunks; rows and status stay untouched."""
    files = (store.status_path, store.parquet_path, store.metadata_path)
    before = [path(chunk).read_bytes() for chunk in store.ids() for path in files]

    done = rebuild(store, "--latest-only", "--reason", "a new source")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0].startswith("2020M02  rebuild requested (")
    assert done.stdout.splitlines()[-1].startswith("1 chunk: the next run")
    assert rebuild_requests.pending(store, store.ids()) == ["2020M02"]
    assert "a new source" in store.rebuild_path("2020M02").read_text()

    done = rebuild(store, "--start", "2020-01-31", "--end", "2020-02-01")
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["2020M01", "2020M02", "2"]

    done = rebuild(store, "--cancel", "2020M01")
    assert (done.returncode, done.stdout) == (0, "2020M01  request taken back\n")
    assert rebuild_requests.pending(store, store.ids()) == ["2020M02"]
    assert rebuild(store, "--cancel").stdout == "2020M02  request taken back\n"
    assert rebuild(store, "--cancel").stdout == "no request to take back: none is pending\n"
    assert [path(chunk).read_bytes() for chunk in store.ids() for path in files] == before


def test_no_request_is_made_while_a_run_writes(store: ChunkStore) -> None:
    """The build under way would end without being what is wanted."""
    lock = store.folder.parent / "run" / "build.lock"
    lock.parent.mkdir()
    with lock.open("a+") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        refused = rebuild(store, "2020M01")
    assert refused.returncode == 10
    assert "another run" in refused.stderr
    assert rebuild_requests.pending(store, store.ids()) == []


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ((), 2, "no chunk is named"),
        (("2020M01", "--latest-only"), 2, "named in two ways"),
        (("--start", "2020-01-01"), 2, "one of --start and --end is missing"),
        (("--start", "2020-02-01", "--end", "2020-01-01"), 2, "is before --start"),
        (("2020Q9",), 2, "chunk id '2020Q9'"),
        (("../../etc",), 2, "chunk id '../../etc'"),
        (("2019Q1",), 20, "chunk 2019Q1: not in"),
        (("--start", "2021-01-01", "--end", "2021-02-01"), 20, "no chunk between"),
    ],
)
def test_wrong_use_is_one_line_and_requests_nothing(
    store: ChunkStore,
    words: tuple[str, ...],
    code: int,
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Refused before the lock is taken."""
    assert cli.main(["rebuild", *words, "--output", str(store.folder.parent)]) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("g5 rebuild: error: ")
    assert said in line
    assert rebuild_requests.pending(store, store.ids()) == []
    assert not (store.folder.parent / "run").exists()
