"""The simulated cluster: a real luigid, real workers, chunks that sleep."""

from __future__ import annotations

import json
from pathlib import Path

import psutil
from scale_cluster import calls_of_chunk, simulate


def test_four_workers_build_eight_chunks_and_leave(tmp_path: Path) -> None:
    steps = 2
    run = simulate(
        tmp_path / "run", workers=4, chunks=8, chunk_s=10.0, scale=10.0, sources=3, steps=steps
    )
    assert sum(run.by_worker.values()) == 8
    assert len(run.by_worker) > 1  # they shared the work
    assert run.ideal_s == 2.0
    assert 2.0 <= run.seconds
    assert run.efficiency == run.ideal_s / run.seconds
    done = [json.loads(path.read_text()) for path in (tmp_path / "run/outputs").glob("chunk-*")]
    assert all(chunk["ended"] - chunk["began"] >= 1.0 for chunk in done)
    # Beside the chunks: the sources, the dataset, the idle roots, and asking in vain.
    told = run.calls["set_task_status_message"]
    assert len(told) == 8 * (1 + steps)
    assert len(run.calls["add_task"]) >= 2 * 8 + 3
    assert calls_of_chunk(steps) == 9
    assert not _left_from(tmp_path)


def test_three_workers_need_a_third_wave(tmp_path: Path) -> None:
    run = simulate(
        tmp_path / "run", workers=3, chunks=7, chunk_s=5.0, scale=10.0, sources=1, steps=1
    )
    assert run.waves_s == 1.5
    assert run.seconds >= 1.5
    assert sum(run.by_worker.values()) == 7


def _left_from(folder: Path) -> list[str]:
    """Processes with this folder in their command line."""
    found = (process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"]))
    return [" ".join(words) for words in found if any(str(folder) in word for word in words)]
