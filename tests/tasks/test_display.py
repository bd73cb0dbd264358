"""A run as people see it: on a terminal, in a file, and as programs read it."""

from __future__ import annotations

import json
import re
import shutil
import sys
import time
from pathlib import Path

import pytest

from tests.browser import ARTEFACTS
from tests.tasks.commands import EVERYTHING, PATIENCE_S, Home
from tests.tasks.conftest import RANGE
from tests.terminal import terminal

G5 = str(Path(sys.executable).with_name("g5"))
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


@pytest.mark.slow
def test_a_run_on_a_terminal(built: Home, tmp_path: Path) -> None:
    """The chunk is seen while it is built; what remains on the screen is the closing summary."""
    home = built.copy(tmp_path / "output", *EVERYTHING)
    shutil.rmtree(home.chunks.folder / "2024Q2")
    frames: list[str] = []
    command = f"{G5} run production {' '.join(RANGE)}"
    with terminal(command, home.folder, home._environment(), tmp_path / "tmux") as screen:
        deadline = time.monotonic() + PATIENCE_S
        while "ended with" not in "".join(frames[-1:]):
            assert time.monotonic() < deadline, frames[-1]
            frame = screen.shown()
            if frame not in frames[-1:]:
                frames.append(frame)
            time.sleep(0.1)
    ARTEFACTS.mkdir(exist_ok=True)
    text = "\n".join(f"--- {at}\n{frame}" for at, frame in enumerate(frames))
    (ARTEFACTS / "display.txt").write_text(text, "utf-8")
    live = [
        frame
        for frame in frames
        if re.search(r"^2024Q2 +building +[█░]* \d/2", frame, re.MULTILINE)
    ]
    assert live, text
    assert re.search(r"^2024Q1 +complete", live[0], re.MULTILINE)
    assert re.search(r"^memory \d", live[0], re.MULTILINE)
    last = frames[-1]
    assert last.rstrip().endswith("ended with 0")
    assert re.match(r"run production: done in .*: 1 chunk, \d+ rows, g5 runs show \w{12}\n", last)
    assert re.search(r"^2024Q2 +completed +\d+ ", last, re.MULTILINE)
    for step in ("schema gate", "merge", "labels"):
        assert re.search(rf"^{step} +\d+ ", last, re.MULTILINE), last
    assert "building" not in last
    unwrapped = last.replace("\n", "")
    assert f"pandas.read_parquet('{home.root}/ml_dataset_latest_full.parquet'" in unwrapped
    assert list((home.root / "run" / "progress").iterdir()) == []


def test_a_run_piped_to_a_file(built: Home, tmp_path: Path) -> None:
    """Plain lines: one when a step begins and one when it ends, one for the whole; no control
    characters. As JSON: one document on standard output, and nothing else there."""
    home = built.copy(tmp_path / "output", *EVERYTHING)
    (home.root / "validation" / "schema_validation.json").unlink()
    plain = home.g5("run", "merge")
    assert (plain.code, plain.out) == (0, ""), plain.told
    assert not any(CONTROL.search(line) for line in plain.told)
    said = [re.sub(r"^\d\d:\d\d:\d\d ", "", line) for line in plain.told]
    assert said[0] == "schema gate: checking"
    assert any(line.startswith("schema gate: 2 chunks agree with manifest") for line in said)
    assert re.fullmatch(r"run merge: done in [^:]+: g5 runs show \w{12}", said[-1]), said
    (home.root / "validation" / "schema_validation.json").unlink()
    ended = home.g5("run", "merge", "--json")
    (line,) = ended.out.splitlines()
    facts = json.loads(line)
    assert (ended.code, facts["exit_code"], facts["title"]) == (0, 0, "run merge")
    assert facts["run"]["steps"][0]["name"] == "ValidateSchema"
    assert facts["run"]["outcome"] == "done"
    assert facts["dataset"]["path"] == str(home.root / "ml_dataset_latest_full.parquet")
    assert facts["dataset"]["rows"] == sum(s["rows"] for s in home.statuses().values())
    assert (facts["warnings"], facts["problem"]) == ([], None)
