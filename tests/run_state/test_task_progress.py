"""Progress files: written by task processes, read by whoever watches."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pipeline.run_state.task_progress import Progress, ProgressBoard

FETCH = Progress("run-1", "FetchSource index_option", "index option", "days", 3, 590, 100.0, 101.0)


def test_the_last_word_of_each_task_is_read(tmp_path: Path) -> None:
    """In the order in which they began; tasks of other runs are not shown."""
    board = ProgressBoard(tmp_path)
    assert board.of_run("run-1") == []
    board.write(FETCH)
    later = replace(FETCH, done=12, told=102.0)
    first = replace(FETCH, task="BuildChunk 2024Q1", began=99.0)
    for each in (later, first, replace(FETCH, task="MergeChunks", run_id="run-0")):
        board.write(each)
    assert board.of_run("run-1") == [first, later]


def test_damaged_and_half_written_files_are_passed_over(tmp_path: Path) -> None:
    """Nobody is disturbed by them, and they go with the others."""
    board = ProgressBoard(tmp_path)
    board.write(FETCH)
    (board.folder / "Broken.json").write_text('{"run_id": "run-1"')
    (board.folder / ".Other.json.123").write_text("")
    assert board.of_run("run-1") == [FETCH]
    board.clear()
    assert list(board.folder.iterdir()) == []
