"""The ledger of sent requests: processes that follow one another share the window."""

from __future__ import annotations

from pathlib import Path

from pipeline.storage.ledger import SendLedger


class Clock:
    def __init__(self) -> None:
        self.time = 1_700_000_000.0

    def __call__(self) -> float:
        return self.time


def test_the_next_process_sees_what_was_sent(tmp_path: Path) -> None:
    """Send times by budget, ascending."""
    clock = Clock()
    first = SendLedger(tmp_path / "run" / "requests.log", clock)
    assert first.recent("plan") == []
    for second in (3.0, 1.0, 2.0):
        first.note("plan", clock.time + second)
    first.note("fins/summary", clock.time)
    second_process = SendLedger(first.path, clock)
    assert second_process.recent("plan") == [clock.time + s for s in (1.0, 2.0, 3.0)]
    assert second_process.recent("fins/summary") == [clock.time]
    first.close()


def test_what_no_longer_matters_is_cut_off(tmp_path: Path) -> None:
    """The file stays small for ever: with the first line of a process the old ones go."""
    clock = Clock()
    ledger = SendLedger(tmp_path / "requests.log", clock)
    ledger.note("plan", clock.time)
    ledger.close()
    clock.time += 3600
    assert ledger.recent("plan") == []
    ledger.note("plan", clock.time)
    ledger.close()
    assert len(ledger.path.read_text().splitlines()) == 1


def test_a_long_run_does_not_let_it_grow(tmp_path: Path) -> None:
    """500 requests a minute for hours: the file is cut as it grows."""
    clock = Clock()
    ledger = SendLedger(tmp_path / "requests.log", clock)
    for _ in range(60_000):
        clock.time += 0.5
        ledger.note("plan", clock.time)
    assert ledger.path.stat().st_size < 1_100_000
    assert ledger.recent("plan")[-1] == clock.time
    ledger.close()


def test_a_torn_line_and_a_clock_set_back_do_no_harm(tmp_path: Path) -> None:
    """A line cut off by a kill is passed over, so is one from a far future."""
    clock = Clock()
    path = tmp_path / "requests.log"
    path.write_text(f"plan {clock.time}\nplan {clock.time + 1e6}\nplan 17\npl\n\nplan x\nplan")
    assert SendLedger(path, clock).recent("plan") == [clock.time]
