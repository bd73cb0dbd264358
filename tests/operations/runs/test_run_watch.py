"""What goes on in a run, told from its files."""

from __future__ import annotations

import datetime as dt
import json
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline import configuration
from pipeline.dataset.chunk_store import ChunkStore
from pipeline.operations.runs import run_watch
from pipeline.operations.runs.run_watch import ChunkFact, StepFact, Watcher, left_s, steps_of
from pipeline.run_state.history import Note, RunHistory
from pipeline.run_state.task_progress import Progress, ProgressBoard
from tests.dataset.builders import build, january, order, rows
from tests.servers import Handler, serving

NOW = 1_717_400_000.0
FETCH = Progress("run-1", "FetchSource index_option", "index option", "days", 3, 10, NOW - 6, NOW)


@pytest.fixture
def watcher(tmp_path: Path) -> Watcher:
    settings = replace(configuration.settings(), data_output_dir=tmp_path)
    return Watcher(settings, "run production", "run-1", NOW - 60)


def begin(root: Path) -> RunHistory:
    history = RunHistory(root)
    texts: dict[str, Any] = {"parameters": {}, "settings": {}}
    names = {"run_id": "run-1", "task": "BuildAll", "code_version": "1", "origin": "simulator"}
    history.begin({**names, **texts, "profile": None})
    return history


def test_before_the_run_has_a_record_only_its_time_is_known(watcher: Watcher) -> None:
    """And the memory of its process, which is this one here."""
    facts = watcher.look(os.getpid(), NOW)
    assert (facts.run_id, facts.seconds, facts.chunks, facts.steps) == (None, 60.0, (), ())
    assert facts.memory is not None
    assert facts.memory > 10_000_000
    assert watcher.look(None, NOW).memory is None


def test_chunks_and_steps_of_a_run_that_goes_on(watcher: Watcher) -> None:
    """What is built, what is being built, what runs and what has ended."""
    root = watcher.settings.data_output_dir
    history, board, store = begin(root), ProgressBoard(root), ChunkStore(root)
    build(store, "2020Q1", rows(january(6, 7)))
    history.note("run-1", Note("FetchSource listed", NOW - 50, 4.0))
    history.note("run-1", Note("BuildChunk 2020Q1", NOW - 40, 20.0))
    board.write(FETCH)
    board.write(replace(FETCH, task="FetchSource listed", told=NOW - 46.5))
    build_2 = replace(FETCH, task="BuildChunk 2020Q2", began=NOW - 5, done=1, total=4, unit="steps")
    board.write(build_2)
    second = {"covered_from": dt.date(2020, 4, 1), "covered_to": dt.date(2020, 6, 30)}
    with store.build(order("2020Q2", **second)) as writer:
        facts = watcher.look(None, NOW)
        writer.write(rows([dt.date(2020, 4, 1)]))
    assert facts.run_id == "run-1"
    assert [(c.chunk_id, c.state, c.rows) for c in facts.chunks] == [
        ("2020Q1", "completed", 4),
        ("2020Q2", "building", None),
    ]
    assert (facts.chunks[1].seconds, facts.chunks[1].done, facts.chunks[1].total) == (5.0, 1, 4)
    assert facts.steps == (
        StepFact("FetchSource listed", 4.0),
        StepFact("FetchSource index_option", 6.0, None, True, 3, 10, "days"),
    )
    assert facts.left_s is not None


def test_a_step_that_ended_does_not_run() -> None:
    """Unless it began again, as it does in the next run of a daily update."""
    began = dt.datetime.fromtimestamp(NOW, dt.UTC).isoformat()
    ended = {"name": FETCH.task, "started_at": began, "seconds": 10.0, "error": "HTTP 500"}
    record = {"steps": [ended]}
    failed = StepFact(FETCH.task, 10.0, "HTTP 500")
    assert steps_of(record, [replace(FETCH, told=NOW + 9)], NOW + 12) == [failed]
    again = steps_of(record, [replace(FETCH, began=NOW + 11, told=NOW + 11)], NOW + 12)
    assert again == [failed, StepFact(FETCH.task, 1.0, None, True, 3, 10, "days")]


@pytest.mark.parametrize(
    ("states", "fetched", "typical", "workers", "left"),
    [
        ("", None, None, 1, None),
        ("w", None, None, 1, None),  # nobody knows how long a chunk takes
        ("ww", None, 10.0, 1, 20.0),
        ("ww", None, 10.0, 2, 10.0),
        ("cw", None, 99.0, 1, 8.0),  # the chunks of this run say it better
        ("cb", None, None, 1, 6.0),  # a quarter of it is done
        ("w", (6.0, 3, 10), 10.0, 1, 24.0),
        ("", (6.0, 3, 10), None, 1, 14.0),
        ("", (6.0, 0, 10), None, 1, None),
        ("c", None, None, 1, None),
    ],
)
def test_how_long_it_still_takes(
    states: str,
    fetched: tuple[float, int, int] | None,
    typical: float | None,
    workers: int,
    left: float | None,
) -> None:
    """The fetch that runs, then the chunks, as many at a time as there are workers."""
    kinds = {
        "w": ChunkFact("2024Q1", "waiting"),
        "b": ChunkFact("2024Q1", "building", done=1, total=4),
        "c": ChunkFact("2024Q1", "completed", 10, 8.0),
    }
    steps = []
    if fetched is not None:
        seconds, done, total = fetched
        steps.append(StepFact("FetchSource x", seconds, None, True, done, total, "days"))
    assert left_s([kinds[s] for s in states], steps, typical, workers) == left


@pytest.fixture
def scheduler() -> Iterator[str]:
    """Answers as luigid does when it is asked for tasks that wait."""

    class Api(Handler):
        def do_GET(self) -> None:
            assert self.path.startswith("/api/task_list?data=")
            self.answer(200, json.dumps({"response": {"a": {}, "b": {}}}).encode())

    with serving(Api) as url:
        yield url


def test_a_central_scheduler_says_how_many_tasks_wait(watcher: Watcher, scheduler: str) -> None:
    """One that does not answer says nothing, and nobody waits for it."""
    watcher.scheduler_url = scheduler
    facts = watcher.look(None, time.time())
    assert (facts.waiting, facts.page) == (2, scheduler)
    assert run_watch.tasks_waiting("http://127.0.0.1:9") is None
