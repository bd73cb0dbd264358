"""Corrections that are found and not in rows yet: named, taken in, or left alone."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline import cli, configuration
from pipeline.api.catalogue.endpoints import Endpoint, endpoint_of
from pipeline.cache.corrections import Correction, Found, compared
from pipeline.cache.fetch_policy import ANY_AGE
from pipeline.cache.recheck_ledger import CheckBook, Checks, SourceChecks
from pipeline.cache.recheck_policy import Listed
from pipeline.dataset import rebuild_requests
from pipeline.dataset.build_request import Superseded
from pipeline.dataset.chunk_store import ChunkStore
from pipeline.operations.inspection import health_check
from pipeline.operations.inspection.health_check import Question
from pipeline.operations.planning import run_plan, waiting_corrections
from tests.dataset.builders import CHECKED, build, clock, january, rows
from tests.tasks.commands import NOBODY
from tests.tasks.vendor import settings_at

LATER = "2024-07-01T08:00:00+09:00"
FOUND = Found(
    **{"source": "daily_bars", "date": "2020-01-06", "replaced": CHECKED, "arrived": LATER},
    **{"rows_before": 2, "rows": 2, "added": 0, "removed": 0, "changed": 1},
    fields={"C": 1}, example="13010 C",
)  # fmt: skip


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two months built from the same bars; each reads a year before its first day."""
    monkeypatch.setenv("JQUANTS_API_BASE", NOBODY)
    monkeypatch.setenv("DATA_OUTPUT_DIR", str(tmp_path))
    monkeypatch.delenv("G5_SETTINGS", raising=False)
    configuration.override({"data_output_dir": str(tmp_path)})
    store = ChunkStore(tmp_path, clock)
    days = {"2020M01": january(6, 7), "2020M02": [d.replace(month=2) for d in january(3, 4)]}
    for chunk_id, sessions in days.items():
        build(store, chunk_id, rows(sessions), covered_from=sessions[0], covered_to=sessions[-1])
    return tmp_path


def note(root: Path, *found: Found) -> None:
    checks = Checks()
    checks.add(found)
    CheckBook(root, "simulator").write(checks)


def waiting(root: Path) -> dict[str, list[str]]:
    touched = waiting_corrections.waiting(root, "simulator")
    return {chunk_id: [c.date for c in some] for chunk_id, some in touched.items()}


def test_a_ledger_comes_back_as_written(tmp_path: Path) -> None:
    book = CheckBook(tmp_path, "api")
    assert book.read() == Checks()
    source = SourceChecks(LATER, None, {"2020-01": Listed(3, LATER)}, {"2020-01-06": LATER})
    checks = Checks("2024-07-01", 3, True, 5, 9, {"daily_bars": source})
    checks.add([FOUND, replace(FOUND, example="other")])  # what is known stays
    book.write(checks)
    assert book.read() == checks
    assert book.read().found[FOUND.key] == FOUND
    book.path.write_text("{")
    assert book.read() == Checks()


def test_what_a_day_spent_too_much_is_taken_off_the_next() -> None:
    checks = Checks("2024-07-01", spent=25, done=True)
    checks.begin("2024-07-01", 20)
    assert (checks.spent, checks.done) == (25, True)
    checks.begin("2024-07-02", 20)
    assert (checks.day, checks.spent, checks.done) == ("2024-07-02", 5, False)


def test_what_a_correction_changed_is_counted_and_one_example_named() -> None:
    change = Correction("daily_bars", "2020-01-06", CHECKED, LATER, 3, 3)
    before = pa.table({"Code": ["1", "2", "3"], "C": [1.0, 2.0, None], "V": [1, 2, 3]})
    after = pa.table({"Code": ["2", "3", "4"], "C": [2.5, 3.0, 1.0], "V": [2, 4, 9]})
    found = compared(change, before, after, ["Code"])
    assert (found.added, found.removed, found.changed) == (1, 1, 2)
    assert found.fields == {"C": 2, "V": 1}
    assert found.example == "2 C"
    assert str(found) == (
        "daily_bars 2020-01-06: 1 rows added, 1 rows removed, 2 rows changed in C, V, first 2 C"
    )
    keyless = compared(change, before, after, [])
    assert (keyless.added, keyless.removed, keyless.changed) == (3, 3, 0)


def test_every_chunk_that_reads_the_day_is_touched(root: Path) -> None:
    """January holds it and February has it in its warm-up; what a build knew is no news to it."""
    note(root, FOUND)
    assert waiting(root) == {"2020M01": ["2020-01-06"], "2020M02": ["2020-01-06"]}
    note(root, replace(FOUND, date="2020-02-03"))
    assert waiting(root) == {"2020M02": ["2020-02-03"]}
    note(root, replace(FOUND, arrived=CHECKED, replaced="2024-01-04T08:00:00+09:00"))
    assert waiting(root) == {}
    note(root, replace(FOUND, date="2018-01-04"), replace(FOUND, source="listed"))
    assert waiting(root) == {}  # before the warm-up; of a source it does not read


def test_rows_that_stand_lack_what_new_ones_have(root: Path) -> None:
    """A chunk that grew after the correction: its metadata name it, and so it still waits."""
    store = ChunkStore(root, clock)
    kept = (Superseded("daily_bars", "2020-01-06", CHECKED),)
    days = january(6, 7)
    build(store, "2020M01", rows(days), covered_from=days[0], covered_to=days[1], corrections=kept)
    note(root, replace(FOUND, arrived=CHECKED, replaced="2024-01-04T08:00:00+09:00"))
    assert waiting(root) == {"2020M01": ["2020-01-06"]}


def test_by_default_nothing_is_rebuilt_and_with_rebuild_what_is_touched(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("G5_RUN_ID", "run-7")
    store = ChunkStore(root)
    note(root, replace(FOUND, date="2020-02-03"))
    waiting_corrections.request_rebuilds(settings_at(root), store.ids())
    assert rebuild_requests.pending(store, store.ids()) == []
    taking = settings_at(root, corrections="rebuild")
    waiting_corrections.request_rebuilds(taking, ["2020M01"])
    assert rebuild_requests.pending(store, store.ids()) == []  # not of that run
    waiting_corrections.request_rebuilds(taking, store.ids())
    assert rebuild_requests.pending(store, store.ids()) == ["2020M02"]


def test_a_rebuild_does_not_use_a_snapshot_from_before_the_correction(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A snapshot of the same range is there: it is made again, as soon as the run that found the
    correction has ended, whose tasks must not change while it goes on."""
    note(root, FOUND)
    bars, listed = endpoint_of("daily_bars"), endpoint_of("listed")

    def fresh_after(endpoint: Endpoint, **changes: Any) -> str:
        return run_plan.fresh_after(settings_at(root, **changes), endpoint, refresh_listed=False)

    monkeypatch.setenv("G5_NOW", LATER)
    assert fresh_after(bars) == ANY_AGE
    monkeypatch.setenv("G5_NOW", "2024-07-02T08:00:00+09:00")
    assert fresh_after(bars) == LATER
    assert fresh_after(listed) == ANY_AGE
    assert fresh_after(bars, source_cache_mode="read") == ANY_AGE
    assert fresh_after(bars, source_cache_asof=dt.date(2024, 6, 1)) == ANY_AGE


def test_commands_name_take_in_and_accept(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_plan, "hold_output", lambda _root: None)  # held by this whole process
    note(root, FOUND)
    assert (
        list(health_check.corrections(Question(configuration.settings()))) == []
    )  # existing rows stay
    question = Question(replace(configuration.settings(), corrections="rebuild"))
    (finding,) = health_check.corrections(question)
    assert "1 corrected days are not in the rows of 2020M01, 2020M02" in str(finding)
    assert cli.main(["cache", "corrections"]) == 0
    shown = capsys.readouterr().out
    assert "2020M01, 2020M02" in shown
    assert "13010 C" in shown
    assert "no closed month in the cache yet; 60 requests a day" in shown
    assert cli.main(["status"]) == 3
    assert "corrected 2020M01, 2020M02: rows lack corrections" in capsys.readouterr().out

    assert cli.main(["rebuild", "--corrected"]) == 0
    assert "2 chunks: the next run" in capsys.readouterr().out
    store = ChunkStore(root)
    assert rebuild_requests.pending(store, store.ids()) == ["2020M01", "2020M02"]

    assert cli.main(["cache", "corrections", "--accept"]) == 0
    assert capsys.readouterr().out == "1 correction accepted: existing rows stay as they are\n"
    assert waiting(root) == {}
    assert list(health_check.corrections(question)) == []
    assert cli.main(["cache", "corrections"]) == 0
    assert "accepted" in capsys.readouterr().out
    assert cli.main(["rebuild", "--corrected"]) == 0
    assert "no correction waits" in capsys.readouterr().out
    assert cli.main(["cache", "corrections", "--accept"]) == 0
    assert capsys.readouterr().out.startswith("0 corrections accepted")


def test_a_correction_on_the_newest_day_is_seen_by_a_chunk_of_it(root: Path) -> None:
    note(root, replace(FOUND, date=str(dt.date(2020, 1, 7))))
    assert list(waiting(root)) == ["2020M01", "2020M02"]
