"""``g5 plan``: what people and programs read, and what it answers to wrong use."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from luigi.configuration import get_config

from pipeline import cli
from pipeline.cli.inspection import plan as command
from pipeline.operations.planning.request_estimate import SourcePlan
from pipeline.operations.planning.run_preview import ChunkPlan, Plan
from pipeline.simulator.server.app import DEFAULT_API_KEY
from tests.tasks.commands import NOBODY
from tests.tasks.vendor import settings_at

Q1 = ChunkPlan(
    "2024Q1", "skip", "complete", dt.date(2024, 1, 4), dt.date(2024, 3, 29), 240_000, 10**9
)
Q2 = ChunkPlan(
    "2024Q2", "grow", "covers less", dt.date(2024, 4, 1), dt.date(2024, 5, 10), 112_000, 5 * 10**8
)
BARS = SourcePlan(
    "daily_bars", ("2024-04-01", "2024-05-09", "2024-05-10"), (), ("2024-04",), 2, 2, 2, 10**6
)
WORDS = ("plan", "--start", "2024-01-04", "--end", "2024-05-10")


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    monkeypatch.setenv("G5_NOW", "2024-05-11T08:00")
    monkeypatch.setenv("JQUANTS_API_BASE", NOBODY)
    return Plan(
        settings=settings_at(tmp_path, requests_per_minute=None),
        start=dt.date(2024, 1, 4),
        end=dt.date(2024, 5, 10),
        chunks=(Q1, Q2),
        calendar_asked=False,
        sources=(BARS,),
        gate="chunks are built",
        merge="chunks are built",
        labels="chunks are built",
        requests=4,
        seconds=0.0,
        disk_bytes=2 * 10**9,
        disk_free=10**12,
        basis="measured on 1 chunk",
        problems=(),
    )


def text(plan: Plan, capsys: pytest.CaptureFixture[str]) -> list[str]:
    command.show(plan, as_json=False)
    return capsys.readouterr().out.splitlines()


def test_people_read_a_line_for_each_chunk_and_source(
    plan: Plan, capsys: pytest.CaptureFixture[str]
) -> None:
    """Estimates are marked as such; the last line sums up."""
    shown = text(plan, capsys)
    assert shown[0].startswith("plan 2024-01-04 to 2024-05-10, as of 2024-05-11 08:00 JST")
    assert shown[2].split() == ["CHUNK", "ACTION", "FIRST", "LAST", "ROWS", "SIZE", "WHY"]
    assert shown[3].split() == [
        *("2024Q1", "skip", "2024-01-04", "2024-03-29", "240,000", "1.0", "GB", "complete"),
    ]
    assert shown[4].split()[4:] == ["~112,000", "~500.0", "MB", "covers", "less"]
    (source,) = (line for line in shown if line.startswith("daily_bars"))
    assert source.split()[1:4] == ["3", "2024-04-01", "2024-05-10"]
    assert "1 monthly file, 2 days by request" in source
    assert source.endswith(" 4")
    assert "requests  about 4; at least 0 s under the limits of the plan" in shown
    assert "disk      2.0 GB needed, 1.0 TB free; measured on 1 chunk" in shown
    assert shown[-1] == "work to do: grow 1, skip 1 of 2 chunks"


def test_nothing_to_do_is_said_in_one_line(plan: Plan, capsys: pytest.CaptureFixture[str]) -> None:
    """No source, no disk: nothing would be touched."""
    idle = replace(plan, chunks=(Q1,), sources=(), gate=None, merge=None, labels=None, requests=0)
    shown = text(idle, capsys)
    assert (idle.exit_code, len(shown)) == (0, 6)
    due = replace(idle, labels="never made")
    assert due.exit_code == 3
    assert "labels    never made" in text(due, capsys)
    assert shown[-1] == "nothing to do: 2024-01-04 to 2024-05-10 is complete"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"requests": 0}, "requests  none"),
        ({"seconds": 7384.0}, "at least 2 h 03 min under the limits of the plan"),
        ({"seconds": 183.0}, "at least 3 min 03 s"),
        ({"calendar_asked": True}, "one of them for the trading calendar"),
        ({"problems": ("disk: too small",)}, "problem: disk: too small"),
    ],
)
def test_what_matters_is_said(
    plan: Plan, changes: dict[str, Any], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Long times in hours, the calendar, what will stop the run."""
    assert any(said in line for line in text(replace(plan, **changes), capsys))


def test_programs_read_one_line(plan: Plan, capsys: pytest.CaptureFixture[str]) -> None:
    """All the facts, every missing day among them."""
    command.show(plan, as_json=True)
    (line,) = capsys.readouterr().out.splitlines()
    document = json.loads(line)
    assert document["exit_code"] == 3
    assert document["origin"] == "simulator"
    assert document["sources"][0]["missing"] == list(BARS.missing)
    assert document["chunks"][1] == {
        **{"chunk_id": "2024Q2", "action": "grow", "reason": "covers less"},
        **{"first": "2024-04-01", "last": "2024-05-10", "rows": 112_000, "bytes": 5 * 10**8},
    }


@pytest.fixture
def own_configuration() -> Iterator[None]:
    """Flags go into Luigi's configuration, of which a process has one."""
    config = get_config()
    before = dict(config.items("g5", raw=True)) if config.has_section("g5") else {}
    yield
    for name in config.options("g5"):
        config.remove_option("g5", name)
    for name, value in before.items():
        config.set("g5", name, value)


@pytest.mark.usefixtures("own_configuration")
@pytest.mark.parametrize(
    ("flags", "environment", "said"),
    [
        ((), {"JQUANTS_API_KEY": None}, "JQUANTS_API_KEY is not set"),
        (("--g5-plan", "gold"), {}, "plan 'gold': expected one of free"),
        (("--g5-source-cache-mode", "read"), {}, "no trading calendar"),
        (("--end", "2024-01-03"), {}, "is before --start"),
        (("--end", "2025-01-03"), {}, "lies in the future"),
        (("--output", "/dev/null/x"), {}, "is not a folder"),
    ],
)
def test_what_cannot_be_told_is_one_line_and_exit_code_2(
    flags: tuple[str, ...],
    environment: dict[str, str | None],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The reason a run would be refused, or that there is nothing to tell it by."""
    names = {"JQUANTS_API_KEY": DEFAULT_API_KEY, "G5_NOW": "2024-05-11T08:00"} | environment
    for name, value in names.items():
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    assert cli.main([*WORDS, "--output", str(tmp_path / "output"), *flags]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("g5 plan: error: ")
    assert said in line
    assert not list(tmp_path.iterdir())
