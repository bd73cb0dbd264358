"""Messages to a running fetch, and its answers."""

from __future__ import annotations

import queue
import threading

import pytest

from pipeline.api.http.concurrency import Lanes
from pipeline.errors import Stopped
from pipeline.operations.runs.scheduler_messages import FetchControl, listening


class Message:
    """As Luigi hands it to a task."""

    def __init__(self, text: str, *, deaf: bool = False) -> None:
        self._text = text
        self._deaf = deaf
        self.answered = threading.Event()
        self.answer = ""

    def __str__(self) -> str:
        return self._text

    def respond(self, answer: str) -> None:
        self.answer = answer
        self.answered.set()
        if self._deaf:
            raise ConnectionError("luigid is gone")


@pytest.mark.parametrize(
    ("text", "number", "answer"),
    [
        ("concurrency=30", 30, "up to 30 requests at a time from now on, before it was 8"),
        (" Concurrency = 1 ", 1, "up to 1 requests at a time"),
        (
            "concurrency=0",
            8,
            "'concurrency=0': expected stop, or concurrency=N with N from 1 to 200",
        ),
        ("concurrency=201", 8, "expected stop"),
        ("concurrency=-3", 8, "expected stop"),
        ("concurrency=" + "9" * 500, 8, "expected stop"),
        ("halt", 8, "'halt': expected stop"),
        ("", 8, "'': expected stop"),
    ],
)
def test_a_number_of_threads_is_taken_or_explained(text: str, number: int, answer: str) -> None:
    """What cannot be meant changes nothing and ends nothing."""
    lanes = Lanes(8)
    control = FetchControl(lanes)
    assert answer in control.follow(text)
    assert lanes.number == number
    control.check(3, 10)


def test_stop_ends_the_fetch_where_days_are_kept() -> None:
    """Not when all of them have come anyway."""
    control = FetchControl(Lanes(8))
    control.check(311, 590)
    assert "stopping" in control.follow("STOP")
    control.check(590, 590)
    with pytest.raises(Stopped, match=r"^stopped on request after 312 of 590 days \("):
        control.check(312, 590)


def test_messages_are_answered_as_html_while_the_task_runs() -> None:
    """An answer that does not arrive disturbs nothing; afterwards nobody listens."""
    inbox: queue.Queue[Message] = queue.Queue()
    control = FetchControl(Lanes(8))
    lost, heard = Message("stop", deaf=True), Message("<b>")
    with listening(inbox, control.follow):
        inbox.put(lost)
        inbox.put(heard)
        assert heard.answered.wait(10)
    assert "&lt;b&gt;" in heard.answer
    late = Message("stop")
    inbox.put(late)
    assert not late.answered.wait(0.5)
    with listening(None, control.follow):
        pass
