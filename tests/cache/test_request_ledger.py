"""The ledger of sent requests: processes that follow one another share the window."""

from __future__ import annotations

from pathlib import Path

from pipeline.cache.request_ledger import SendLedger


class Clock:
    def __init__(self) -> None:
        self.time = 1_700_000_000.0

    def __call__(self) -> float:
        return self.time


def test_the_next_process_sees_what_was_sent(tmp_path: Path) -> None:
    """Send times by budget; within a process too."""
    clock = Clock()
    first = SendLedger(tmp_path / "requests.log", clock)
    assert first.recent("plan") == []
    for second in (1.0, 2.0, 3.0):
        first.note("plan", clock.time + second)
    first.note("fins/summary", clock.time)
    for ledger in (first, SendLedger(first.path, clock)):
        assert ledger.recent("plan") == [clock.time + s for s in (1.0, 2.0, 3.0)]
        assert ledger.recent("fins/summary") == [clock.time]


def test_what_no_longer_matters_is_forgotten(tmp_path: Path) -> None:
    """After the window, here and for the next process."""
    clock = Clock()
    ledger = SendLedger(tmp_path / "requests.log", clock)
    ledger.note("plan", clock.time)
    clock.time += 3600
    assert ledger.recent("plan") == []
    assert SendLedger(ledger.path, clock).recent("plan") == []


def test_the_file_stays_small_for_ever(tmp_path: Path) -> None:
    """500 requests a minute for hours: the file is cut as it grows."""
    clock = Clock()
    ledger = SendLedger(tmp_path / "requests.log", clock)
    for _ in range(20_000):
        clock.time += 0.12
        ledger.note("plan", clock.time)
    assert ledger.path.stat().st_size < 270_000
    assert len(ledger.recent("plan")) in (1000, 1001)  # two minutes
    assert SendLedger(ledger.path, clock).recent("plan") == [
        round(moment, 3) for moment in ledger.recent("plan")
    ]


def test_a_torn_line_and_a_clock_set_back_do_no_harm(tmp_path: Path) -> None:
    """A line cut off by a kill is passed over, so is one from a far future."""
    clock = Clock()
    path = tmp_path / "requests.log"
    path.write_text(f"plan {clock.time}\nplan {clock.time + 1e6}\nplan 17\npl\n\nplan x\nplan")
    assert SendLedger(path, clock).recent("plan") == [clock.time]


def test_nothing_is_written_before_there_is_a_folder(tmp_path: Path) -> None:
    """A run that is refused leaves no trace; one that goes on catches up."""
    clock = Clock()
    ledger = SendLedger(tmp_path / "run" / "requests.log", clock)
    ledger.note("plan", clock.time)
    assert list(tmp_path.iterdir()) == []
    ledger.flush()
    assert SendLedger(ledger.path, clock).recent("plan") == [clock.time]


def test_who_only_looks_leaves_the_file_as_it_is(tmp_path: Path) -> None:
    """Its own requests count for itself, those of others too."""
    clock = Clock()
    path = tmp_path / "requests.log"
    SendLedger(path, clock).note("plan", clock.time)
    before = path.read_bytes()
    looking = SendLedger(path, clock, writes=False)
    looking.note("plan", clock.time + 1.0)
    assert looking.recent("plan") == [clock.time, clock.time + 1.0]
    assert path.read_bytes() == before
