"""``g5 cache``: people see what is there, how large and how old it is, and may make room."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import cli
from pipeline.cache.parts import Selection
from pipeline.cache.snapshots import SnapshotStore
from tests.cache.test_snapshots import SOURCE, at, commit, put

NOW = "2024-09-30T08:00:00+09:00"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SnapshotStore:
    """A current snapshot, and an old version of a day that nobody lists."""
    monkeypatch.setenv("G5_NOW", NOW)
    store = SnapshotStore(tmp_path, "api")
    put(store, "2024-05-02", {"2024-05-02": 9.0}, "2024-05-03")
    part = put(store, "2024-05", {"2024-05-01": 1.0, "2024-05-02": 2.0}, "2024-06-01")
    commit(store, [Selection(part, part.days)], checked_at=at("2024-09-28"))
    return store


def g5(store: SnapshotStore, *arguments: str) -> int:
    return cli.main(["cache", *arguments, "--output", str(store.root.parent)])


def test_list_shows_sizes_and_ages(
    store: SnapshotStore, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line per snapshot, and what each source takes on disk."""
    assert g5(store, "list") == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].split() == ["SNAPSHOT", "ORIGIN", "ROUTE", "PARTS", "ROWS", "SIZE", "CHECKED"]
    assert shown[1].split()[:5] == [f"{SOURCE}_raw_2024-05-01_2024-06-30", "api", "requests", "1", "4"]  # fmt: skip
    assert shown[1].endswith(" 2 d")
    assert any(line.startswith(f"{SOURCE} ") and line.endswith("kB") for line in shown)


def test_show_tells_the_provenance(
    store: SnapshotStore, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of the snapshot and of each part."""
    assert g5(store, "show", f"{SOURCE}_raw_2024-05-01_2024-06-30") == 0
    shown = capsys.readouterr().out
    for text in ("origin        api", "2024-09-28T08:00:00+09:00 (2 d)", "2024-06-01T08:00:00"):
        assert text in shown
    assert g5(store, "show", "nothing") == 2
    assert "expected SOURCE_raw_START_END" in capsys.readouterr().err


def test_a_dry_run_names_what_would_go_and_touches_nothing(
    store: SnapshotStore, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same files that a real run removes."""
    before = sorted(store.root.rglob("*"))
    assert g5(store, "prune", "--dry-run") == 0
    shown = capsys.readouterr().out
    assert "parts/2024-05-02-api" in shown
    assert "would remove 2 part files" in shown
    assert sorted(store.root.rglob("*")) == before


def run_prune(store: SnapshotStore, *arguments: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own: it takes the lock of the output folder."""
    command = [sys.executable, "-m", "pipeline.cli", "cache", "prune", *arguments]
    command += ["--output", str(store.root.parent)]
    return subprocess.run(
        command, capture_output=True, text=True, env=os.environ | {"G5_NOW": NOW}, check=False
    )


def test_prune_removes_what_no_snapshot_lists(store: SnapshotStore) -> None:
    """And nothing that is younger than was said."""
    assert "removed nothing" in run_prune(store, "--older-than-days", "365").stdout
    done = run_prune(store)
    assert (done.returncode, done.stdout[:24]) == (0, "removed 2 part files: 1.")
    assert [part.period for part in store.parts(SOURCE)] == ["2024-05"]
    assert store.newest(SOURCE) is not None


def test_prune_tells_of_a_damaged_snapshot_that_it_keeps(store: SnapshotStore) -> None:
    """By its name it has a tag: only the user knows whether it can go."""
    path = store.root / SOURCE / f"{SOURCE}_raw_2024-05-01_2024-06-30_v1.0.0.json"
    path.write_text("{")
    done = run_prune(store, "--older-than-days", "0")
    assert (done.returncode, done.stdout) == (0, "removed nothing: 0 B\n")
    assert f"{SOURCE}/{path.name}: is damaged; it stays" in done.stderr
    assert done.stderr.count("\n") == 1
    assert path.exists()
    assert len(store.parts(SOURCE)) == 2


def test_prune_keeps_off_while_a_run_works(store: SnapshotStore) -> None:
    """Exit code 10, as for a second run, and every file still there."""
    lock = store.root.parent / "run" / "build.lock"
    lock.parent.mkdir()
    with lock.open("a+") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        refused = run_prune(store)
    assert refused.returncode == 10
    assert "another run" in refused.stderr
    assert len(store.parts(SOURCE)) == 2


def test_a_root_without_a_cache_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Most likely the wrong folder."""
    assert cli.main(["cache", "list", "--output", str(tmp_path)]) == 20
    assert "give the output root with --output" in capsys.readouterr().err
