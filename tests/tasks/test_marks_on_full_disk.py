"""What a run writes beside its products says in one line when the disk is full."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline.errors import StorageError
from pipeline.operations.planning import forced_rebuild, run_plan
from pipeline.process import kernel_cache


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An output root, the one of the settings."""
    settings = SimpleNamespace(data_output_dir=tmp_path)
    monkeypatch.setattr(forced_rebuild.configuration, "settings", lambda: settings)
    (tmp_path / "run").mkdir()
    return tmp_path


def test_the_lock(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It can be opened and held, but the pid does not go into it."""
    monkeypatch.setattr(run_plan, "_lock", None)
    (root / "run/build.lock").symlink_to("/dev/full")
    with pytest.raises(StorageError, match=r"build\.lock: cannot be written"):
        run_plan.hold_output(root)
    assert run_plan._lock is None


def test_the_mark_of_a_forced_run(root: Path) -> None:
    """A file stands where the folder of marks is needed."""
    (root / "run").rmdir()
    (root / "run").touch()
    with pytest.raises(StorageError, match="a file stands where a folder is needed"):
        forced_rebuild.request_once(["2024Q1"])


def test_the_mark_of_compiled_kernels(root: Path) -> None:
    """The same where a chunk is built first."""
    (root / "run").rmdir()
    (root / "run").touch()
    with pytest.raises(StorageError, match="cannot be written"), kernel_cache.compiled_once(root):
        pass
