"""``g5 demo``: one command, no key, a dataset that says it is synthetic."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import cli
from pipeline.dataset.publication import DatasetStore


def demo(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run it from another folder; the oldest market there is has the shortest history."""
    return subprocess.run(
        [
            *(str(Path(sys.executable).with_name("g5")), "demo", "--stocks", "6"),
            *("--start", "2008-05-07", "--end", "2008-05-16", *options),
        ],
        cwd=folder,
        env={k: v for k, v in os.environ.items() if not k.startswith(("JQUANTS_", "G5_"))},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


@pytest.mark.slow
def test_it_builds_a_dataset_and_the_second_time_says_so(tmp_path: Path) -> None:
    """Rows, columns and path are printed; again, nothing is to be done."""
    first = demo(tmp_path)
    assert first.returncode == 0, first.stderr
    dataset = DatasetStore(tmp_path / "output-demo").latest()
    assert dataset is not None
    assert dataset.metadata["origin"] == "simulator"
    assert f"rows     {dataset.metadata['rows']:,}" in first.stdout
    assert str(dataset.path) in first.stdout
    assert "chunks   2008Q2" in first.stdout
    second = demo(tmp_path)
    assert second.returncode == 0
    assert second.stdout == first.stdout
    assert "is complete" in second.stderr
    assert not (tmp_path / "output").exists()


def test_a_refusal_of_the_build_is_its_own(tmp_path: Path) -> None:
    """The exit code and the one line of Luigi's side, no dataset."""
    (tmp_path / "file").write_text("")
    ended = demo(tmp_path, "--output", "file")
    assert ended.returncode == 2
    assert ended.stdout == ""
    (line,) = ended.stderr.splitlines()
    assert "file is not a folder" in line


def test_an_end_before_the_start_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """No simulator is started."""
    assert cli.main(["demo", "--start", "2024-02-01", "--end", "2024-01-31"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
