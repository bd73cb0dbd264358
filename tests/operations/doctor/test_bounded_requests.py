"""Jobs that are waited for until a moment: none that hangs holds anybody up."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from pipeline.operations.doctor.bounded_requests import within


def test_results_and_exceptions_come_with_their_number() -> None:
    def fail() -> int:
        raise ValueError("no")

    jobs: list[Callable[[], int]] = [lambda: 1, fail, lambda: 3]
    halt = threading.Event()
    ended = dict(within(jobs, 2, time.monotonic() + 10, halt))
    assert [ended[n].result for n in range(3)] == [1, None, 3]
    assert isinstance(ended[1].error, ValueError)
    assert not halt.is_set()


def test_a_job_that_hangs_is_left_behind() -> None:
    hanging, halt = threading.Event(), threading.Event()
    begun: list[int] = []
    jobs: list[Callable[[], bool]] = [
        lambda: hanging.wait(60),
        lambda: begun.append(1) is None,
    ]
    before = time.monotonic()
    ended = list(within(jobs, 1, before + 0.3, halt))
    assert time.monotonic() - before < 5
    assert (ended, halt.is_set()) == ([], True)
    hanging.set()
    time.sleep(0.1)
    assert begun == []  # nothing more begins


def test_a_halt_lets_nothing_further_begin() -> None:
    halt = threading.Event()
    jobs: list[Callable[[], None]] = [halt.set, halt.clear]
    assert [number for number, _ in within(jobs, 1, time.monotonic() + 10, halt)] == [0]
