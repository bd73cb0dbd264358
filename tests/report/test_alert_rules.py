"""Which alerts are due: one per cause and day, and one when it is over."""

from __future__ import annotations

from pipeline.report.alert_rules import Cause, Look, Message, Told, due

FULL, LATE = Cause("output", "output: /data: 1.0 GB free"), Cause("freshness", "freshness: late")
WHERE = "here: /data"


def look(
    day: int, *causes: Cause, hour: int = 8, scope: str = "health", whole: bool = True
) -> Look:
    return Look(scope, causes, f"2024-06-{day:02d}T{hour:02d}:00:00+09:00", whole)


class People:
    """They remember what they were told."""

    def __init__(self) -> None:
        self.known: list[Told] = []

    def hear(self, at: Look) -> Message | None:
        message, self.known = due(at, self.known, WHERE)
        return message


def test_a_cause_is_told_once_a_day_and_its_end_once() -> None:
    """The next day it is told again, with the day it began."""
    people = People()
    first = people.hear(look(3, FULL))
    assert first == Message("g5 health: 1 alert", f"{FULL.text}\n{WHERE}")
    assert people.hear(look(3, FULL, hour=9)) is None
    second = people.hear(look(4, FULL))
    assert second is not None
    assert second.body == f"{FULL.text} (since 2024-06-03T08:00:00+09:00)\n{WHERE}"
    over = people.hear(look(4, hour=10))
    assert over is not None
    assert over.subject == "g5 health: recovered, 1 cause"
    assert over.body.startswith(f"recovered: {FULL.text} (since 2024-06-03T08:00:00+09:00)")
    assert people.hear(look(4, hour=11)) is None
    assert people.hear(look(5)) is None
    assert people.known == []


def test_the_words_may_change_but_the_cause_is_the_same() -> None:
    """Less and less room is one trouble; another trouble is told at once, alone."""
    people = People()
    people.hear(look(3, FULL))
    less = Cause("output", "output: /data: 0.5 GB free")
    assert people.hear(look(3, less, hour=9)) is None
    both = people.hear(look(3, less, LATE, hour=10))
    assert both is not None
    assert both.body == f"{LATE.text}\n{WHERE}"


def test_what_comes_and_goes_is_no_storm() -> None:
    """Back on the same day it is not told, nor is its second end; on the next day it is."""
    people = People()
    assert people.hear(look(3, FULL)) is not None
    assert people.hear(look(3, hour=9)) is not None
    assert people.hear(look(3, FULL, hour=10)) is None
    assert people.hear(look(3, hour=11)) is None
    assert people.hear(look(3, FULL, hour=12)) is None
    again = people.hear(look(4, FULL))
    assert again is not None
    assert again.body == f"{FULL.text}\n{WHERE}"  # people thought it was over
    over = people.hear(look(4, hour=9))
    assert over is not None
    assert "recovered" in over.subject


def test_scopes_do_not_meddle() -> None:
    """A run that succeeds does not end what the health check found."""
    people = People()
    people.hear(look(3, FULL))
    assert people.hear(look(3, scope="run production")) is None
    assert [told.key for told in people.known] == ["output"]


def test_a_run_that_failed_says_nothing_of_its_other_faults() -> None:
    """It ended at the first; only a run that succeeds ends them all."""
    people = People()
    fetch, gate = Cause("FetchSource listed", "fetch"), Cause("ValidateSchema", "gate")
    scope = "run production"
    people.hear(look(3, fetch, scope=scope, whole=False))
    second = people.hear(look(3, gate, hour=9, scope=scope, whole=False))
    assert second is not None
    assert second.body == f"gate\n{WHERE}"
    over = people.hear(look(3, hour=10, scope=scope))
    assert over is not None
    assert over.subject == "g5 run production: recovered, 2 causes"
