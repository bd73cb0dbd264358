"""A plan says what the run then does, and leaves no trace of having looked."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import MissingData, UsageError
from pipeline.operations.planning.run_preview import Plan, action_of, plan_of
from pipeline.simulator.server.app import DEFAULT_API_KEY
from tests.tasks.commands import EVERYTHING, FEW_SOURCES, NOW, ONE_PROCESS, Home, asked, rewrite
from tests.tasks.conftest import RANGE
from tests.tasks.vendor import settings_at

START, END = (dt.date.fromisoformat(text) for text in RANGE[1::2])
Planner = Callable[..., Plan]
# A task each: the run is quicker without, and what is left has each kind of query.
UNNEEDED = "indices,dividend,earnings_date,margin_alert,short_ratio,short_sale,breakdown,futures"


@pytest.fixture(scope="module")
def built(built: Home) -> Home:
    """Tasks share the process of their run: here it matters what they do."""
    return built.having(**ONE_PROCESS)


def tree(root: Path) -> dict[str, tuple[int, int]]:
    """Size and time of everything there, folders, logs and locks included."""
    paths = [root, *sorted(root.rglob("*"))] if root.exists() else []
    facts = {str(path): path.lstat() for path in paths}
    return {name: (fact.st_size, fact.st_mtime_ns) for name, fact in facts.items()}


@pytest.fixture
def planner(api: str, monkeypatch: pytest.MonkeyPatch) -> Planner:
    """Plans in this process, on any root."""
    monkeypatch.setenv("JQUANTS_API_BASE", api)
    monkeypatch.setenv("JQUANTS_API_KEY", DEFAULT_API_KEY)
    monkeypatch.setenv("G5_NOW", NOW)

    def plan(root: Path, start: dt.date = START, end: dt.date = END, **changes: Any) -> Plan:
        flags = {
            name: changes.pop(name)
            for name in ("force", "resume", "latest_only", "ask_files", "chunk_months")
            if name in changes
        }
        few = frozenset(FEW_SOURCES["UNAVAILABLE_SOURCES"].split(","))
        usual = {"source_route": "auto", "unavailable_sources": few}
        settings = settings_at(root, **(usual | changes))
        return plan_of(settings, start, end, **flags)

    return plan


@pytest.mark.slow
def test_the_run_does_what_the_plan_said(built: Home, tmp_path: Path) -> None:
    """A month later: which chunk grows, how many requests, what is due; then nothing is."""
    home = built.copy(tmp_path / "output", *EVERYTHING).having(
        G5_NOW="2024-05-13T08:00", UNAVAILABLE_SOURCES=UNNEEDED
    )
    words = ("--start", "2024-03-01", "--end", "2024-05-13")
    before = tree(home.root)
    ended = home.g5("plan", *words, "--ask-files", "--json")
    assert ended.code == 3, ended.told
    assert tree(home.root) == before
    plan = json.loads(ended.out)
    assert [(c["chunk_id"], c["action"]) for c in plan["chunks"]] == [
        ("2024Q1", "skip"),
        ("2024Q2", "grow"),
    ]
    grown = plan["chunks"][1]
    assert (grown["first"], grown["last"]) == ("2024-04-01", "2024-05-10")

    earlier, old = asked(home.url), home.builds()
    assert home.run("BuildAll", *words).code == 0
    sent = sum(asked(home.url).values()) - sum(earlier.values())
    assert sent == plan["requests"] > 0
    new = home.builds()
    assert [chunk for chunk in new if new[chunk] != old[chunk]] == ["2024Q2"]
    rows = home.statuses()["2024Q2"]["rows"]
    assert grown["rows"] == pytest.approx(rows, rel=0.1)

    after = tree(home.root)
    ended = home.g5("plan", *words)
    assert (ended.code, ended.told) == (0, [])
    assert ended.out.endswith("nothing to do: 2024-03-01 to 2024-05-13 is complete\n")
    assert tree(home.root) == after


def test_an_empty_root_is_planned_without_making_it(planner: Planner, tmp_path: Path) -> None:
    """The calendar is asked for and thrown away; everything is to be built and fetched."""
    plan = planner(tmp_path / "output", requests_per_minute=60)
    assert [(chunk.chunk_id, chunk.action) for chunk in plan.chunks] == [
        ("2024Q1", "build"),
        ("2024Q2", "build"),
    ]
    assert {chunk.reason for chunk in plan.chunks} == {"not built yet"}
    assert plan.calendar_asked
    assert plan.requests == 1 + sum(source.requests for source in plan.sources)
    # 59 in 61 s, evenly but for five; earnings summaries have as many of their own.
    windows, more = divmod(plan.requests - 1, 59)
    assert plan.seconds == pytest.approx((windows + max(more - 4, 0) / 59) * 61.0)
    assert plan.disk_bytes > sum(chunk.bytes for chunk in plan.chunks)
    assert plan.basis.startswith("assumed")
    assert plan.exit_code == 3
    assert not (tmp_path / "output").exists()


def test_the_request_for_the_calendar_is_not_even_noted(planner: Planner, tmp_path: Path) -> None:
    """A root that has a folder for such notes stays as it is."""
    (tmp_path / "run").mkdir()
    before = tree(tmp_path)
    assert planner(tmp_path).calendar_asked
    assert tree(tmp_path) == before


def test_a_complete_range_is_nothing_to_do(planner: Planner, built: Home) -> None:
    """Not one request; the figures are those on disk."""
    before, requests = tree(built.root), asked(built.url)
    plan = planner(built.root)
    assert {chunk.action for chunk in plan.chunks} == {"skip"}
    assert (plan.requests, plan.disk_bytes) == (0, 0)
    assert (plan.gate, plan.merge, plan.labels) == (None, None, None)
    assert [chunk.rows for chunk in plan.chunks] == [
        status["rows"] for status in built.statuses().values()
    ]
    assert plan.exit_code == 0
    assert tree(built.root) == before
    assert asked(built.url) == requests


@pytest.mark.parametrize("flags", [{"force": True}, {"resume": False}])
def test_a_forced_run_builds_from_the_cache(
    planner: Planner, built: Home, flags: dict[str, bool]
) -> None:
    """Every chunk anew, and nothing to fetch."""
    plan = planner(built.root, **flags)
    assert {(chunk.action, chunk.reason) for chunk in plan.chunks} == {
        ("rebuild", "asked for anew")
    }
    assert (plan.requests, plan.exit_code) == (0, 3)
    assert plan.basis == "measured on 2 chunks"


def test_what_is_asked_again_is_what_the_cache_settings_say(
    planner: Planner, built: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A day later: a refresh leaves months that are over alone, mode off trusts nothing."""
    monkeypatch.setenv("G5_NOW", "2024-06-30T09:00")
    latest = {"latest_only": True, "force": True}
    plan = planner(built.root, source_cache_force_refresh=True, **latest)
    assert [chunk.action for chunk in plan.chunks] == ["skip", "rebuild"]
    assert plan.chunks[0].reason == "merged as found"
    assert (plan.sources, plan.requests) == ((), 0)
    plan = planner(built.root, source_cache_mode="off", source_route="requests", **latest)
    bars = next(source for source in plan.sources if source.source == "daily_bars")
    assert (bars.missing[0], bars.missing[-1]) == ("2024-01-04", "2024-04-12")
    assert bars.requests == len(bars.missing) == bars.by_request


def test_a_read_only_cache_that_lacks_days_is_a_problem(planner: Planner, built: Home) -> None:
    """The run would end there; without a calendar nothing can be told at all."""
    plan = planner(built.root, end=dt.date(2024, 5, 31), source_cache_mode="read")
    assert plan.requests == 0
    assert "daily_bars: 21 days cannot be had, from 2024-05-01" in plan.problems
    with pytest.raises(MissingData, match="no trading calendar"):
        planner(built.root / "elsewhere", source_cache_mode="read")


def test_what_refuses_a_run_refuses_its_plan(
    planner: Planner, built: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the same words."""
    with pytest.raises(UsageError, match="--end 2024-03-01 is before"):
        planner(built.root, dt.date(2024, 3, 2), dt.date(2024, 3, 1))
    with pytest.raises(UsageError, match="lies in the future"):
        planner(built.root, end=dt.date(2025, 1, 1))
    monkeypatch.delenv("JQUANTS_API_KEY")
    with pytest.raises(UsageError, match="JQUANTS_API_KEY is not set"):
        planner(built.root)
    assert not list(tmp_path.iterdir())


def test_each_state_has_its_action(planner: Planner, built: Home, tmp_path: Path) -> None:
    """Requested, damaged, vanished, of another origin: built, rebuilt, and why."""
    home = built.copy(tmp_path / "output", *EVERYTHING)
    store = home.chunks

    def first() -> tuple[str, str]:
        chunk = planner(home.root).chunks[0]
        return chunk.action, chunk.reason

    store.request_rebuild(["2024Q1"], "test")
    assert first() == ("rebuild", "a rebuild was requested")
    store.rebuild_path("2024Q1").unlink()
    status = store.status_path("2024Q1").read_bytes()
    rewrite(store.status_path("2024Q1"), b"")
    action, reason = first()
    assert action == "rebuild"
    assert reason.endswith("is empty")
    rewrite(store.status_path("2024Q1"), status.replace(b'"simulator"', b'"api"'))
    assert first() == ("rebuild", "made from origin api, the run is simulator")
    rewrite(store.status_path("2024Q1"), status)
    store.parquet_path("2024Q1").unlink()
    assert first() == ("build", "the Parquet file is missing")
    latest = planner(home.root, latest_only=True)
    assert [chunk.action for chunk in latest.chunks] == ["blocked", "skip"]
    assert "chunk 2024Q1 is not complete" in latest.problems[0]


def test_a_stale_gate_or_dataset_alone_is_work(
    planner: Planner, built: Home, tmp_path: Path
) -> None:
    """Chunks are skipped, and the exit code still says that a run has something to do."""
    home = built.copy(tmp_path / "output", "cache", "chunks", "validation")
    plan = planner(home.root)
    assert (plan.gate, plan.merge, plan.exit_code) == (None, "nothing is merged yet", 3)
    assert plan.labels == "never made"
    assert plan.disk_bytes == sum(chunk.bytes for chunk in plan.chunks)
    (home.root / "validation" / "schema_validation.json").unlink()
    assert planner(home.root).gate == "never run"


def test_labels_alone_are_work(planner: Planner, built: Home, tmp_path: Path) -> None:
    """Everything else stands, and a run would make them."""
    home = built.copy(tmp_path / "output", *EVERYTHING)
    (home.root / "labels" / "2024Q1.parquet").unlink()
    plan = planner(home.root)
    assert (plan.due, plan.gate, plan.merge, plan.exit_code) == ((), None, None, 3)
    assert plan.labels == "the file of 2024Q1 is missing or of another size"
    assert plan.disk_bytes == 0


def test_the_action_follows_from_three_facts() -> None:
    """Complete or not, rows or none, short or unfit."""
    assert action_of(None, has_rows=True, only_short=True) == "skip"
    assert action_of("x", has_rows=False, only_short=False) == "build"
    assert action_of("x", has_rows=True, only_short=True) == "grow"
    assert action_of("x", has_rows=True, only_short=False) == "rebuild"
