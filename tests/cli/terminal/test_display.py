"""The display of a run, drawn without a terminal: facts in, text out."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from pipeline.cli.terminal import display
from pipeline.operations.runs.run_watch import ChunkFact, RunFacts, StepFact

QUARTERS = [f"{year}Q{quarter}" for year in range(2020, 2025) for quarter in (1, 2, 3, 4)]
FACTS = RunFacts(
    title="run production",
    run_id="0123456789ab",
    seconds=125.4,
    chunks=(
        ChunkFact("2024Q1", "complete", 249_709, 23.0, 926_000_000),
        ChunkFact("2024Q2", "completed", 250_100, 25.01, 931_000_000),
        ChunkFact("2024Q3", "building", seconds=11.0, done=2, total=4),
        ChunkFact("2024Q4", "failed_schema_mismatch", 12),
        ChunkFact("2025Q1", "waiting"),
    ),
    steps=(
        StepFact("FetchSource listed", 3.0),
        StepFact("FetchSource daily_bars", 4.0),
        StepFact("ValidateSchema", 1.0, "schema gate, chunks 2024Q4"),
        StepFact("FetchSource index_option", 38.5, None, True, 312, 590, "days"),
        StepFact("FetchSource futures", 0.0, None, True, 0, 590, "days"),
    ),
    memory=1_234_000_000,
    left_s=64.0,
    waiting=3,
    page="http://127.0.0.1:8082",
    warnings=("warning: chunk 2024Q1: 2 rows too few",),
    last_line="12:00:00 index option: 312 of 590 days, 8.1 days/s, 34 s left",
)
AT_80 = """\
g5 run production · run 0123456789ab · 2 min 05 s · about 1 min 04 s left
memory 1.2 GB · 1 warning · 3 tasks waiting · 2 sources fetched · schema gate f…
page http://127.0.0.1:8082

CHUNK   STATE                   PROGRESS           ROWS  ROWS/S      SIZE  TOOK
2024Q1  complete                                249,709          926.0 MB  23 s
2024Q2  completed                               250,100  10,000  931.0 MB  25 s
2024Q3  building                █████░░░░░ 2/4                             11 s
2024Q4  failed schema mismatch                       12
2025Q1  waiting

STEP                PROGRESS                    DONE       SPEED  LEFT
fetch index option  █████░░░░░ 52 %  312 of 590 days  8.1 days/s  34 s
fetch futures       ░░░░░░░░░░ 0 %     0 of 590 days

12:00:00 index option: 312 of 590 days, 8.1 days/s, 34 s left
"""
AT_120 = AT_80.replace("schema gate f…", "schema gate failed")
RECORD = {
    "run_id": "0123456789ab",
    "requests": {"listed": 22, "daily_bars": 20},
    "chunks": [
        {
            "chunk_id": "2024Q2",
            "state": "completed",
            "rows": 1000,
            "seconds": 4.0,
            "bytes": 5_000_000,
        },
        {"chunk_id": "2024Q3", "state": "failed", "rows": None, "seconds": None, "bytes": None},
    ],
    "steps": [
        {"name": "FetchSource listed", "seconds": 3.2, "error": None},
        {"name": "FetchSource daily_bars", "seconds": 4.1, "error": None},
        {"name": "BuildChunk 2024Q2", "seconds": 4.5, "error": None},
        {"name": "BuildChunk 2024Q3", "seconds": 1.0, "error": "no space left on device"},
        {"name": "MergeChunks", "seconds": 61.0, "error": None},
        {"name": "BuildAll", "seconds": 0.0, "error": None},
    ],
}
CLOSING = """\
CHUNK   STATE       ROWS  ROWS/S    SIZE  TOOK
2024Q2  completed  1,000     250  5.0 MB   4 s
2024Q3  failed
STEP                   TOOK
fetch 2 sources         7 s  42 requests
chunk 2024Q3            1 s  no space left on device
merge            1 min 01 s
"""


def drawn(*parts: object, width: int) -> str:
    """As on a terminal of this width, without colours; blanks at line ends left out."""
    file = StringIO()
    console = Console(file=file, width=width, force_terminal=True, color_system=None)
    for part in parts:
        console.print(part)
    return "".join(f"{line.rstrip()}\n" for line in file.getvalue().splitlines())


@pytest.mark.parametrize(("width", "text"), [(80, AT_80), (120, AT_120)])
def test_a_run_at_this_width(width: int, text: str) -> None:
    """Chunks as rows, what runs with its progress; nothing is wrapped."""
    shown = drawn(display.running(FACTS, 40), width=width)
    assert shown == text
    assert max(map(len, shown.splitlines())) <= width


def test_the_closing_tables() -> None:
    """Durations and sizes; sources summed up, what failed with its error."""
    tables = [display.chunks_of(RECORD), display.steps_of(RECORD)]
    assert drawn(*tables, width=80) == CLOSING
    nothing = RECORD | {"chunks": [], "steps": []}
    assert (display.chunks_of(nothing), display.steps_of(nothing)) == (None, None)


def test_many_chunks_fit_on_a_low_terminal() -> None:
    """Quiet neighbours share a row; what is being built keeps its own."""
    states = ["complete"] * 9 + ["completed"] * 4 + ["building"] * 2 + ["waiting"] * 5
    chunks = tuple(
        ChunkFact(name, state, 10 if state == "completed" else None, 2.0, 3)
        for name, state in zip(QUARTERS, states, strict=True)
    )
    facts = RunFacts("run production", "id", 1.0, chunks)
    lines = drawn(display.running(facts, 16), width=80).splitlines()
    assert len(lines) <= 16
    firsts = [line.split("  ")[0] for line in lines[4:]]
    assert firsts == [
        "2020Q1 … 2022Q1 (9)", "2022Q2 … 2023Q1 (4)", "2023Q2", "2023Q3", "2023Q4 … 2024Q4 (5)",
    ]  # fmt: skip
    assert "40" in lines[5].split()
    assert len(drawn(display.running(facts, 60), width=80).splitlines()) == 24


def test_colours_unless_they_are_not_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    """NO_COLOR takes all colours away, and leaves the words."""

    def shown() -> str:
        file = StringIO()
        Console(file=file, width=80, force_terminal=True, color_system="standard").print(
            display.running(FACTS, 40)
        )
        return file.getvalue()

    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[32m" in shown() or "\x1b[36m" in shown()
    monkeypatch.setenv("NO_COLOR", "1")
    plain = shown()
    assert not any(f"{colour}m" in plain for colour in ("31", "32", "33", "36"))
    assert "building" in plain
