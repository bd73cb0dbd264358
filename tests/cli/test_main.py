"""The ``g5`` command itself: what it says when it is used wrongly."""

from __future__ import annotations

import subprocess
import sys

import pytest

from pipeline import cli
from pipeline.cli.maintenance import sim


def test_an_unknown_command_is_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    """The commands there are are listed."""
    with pytest.raises(SystemExit) as ended:
        cli.main(["bild"])
    assert ended.value.code == 2
    assert "regenerate-manifest" in capsys.readouterr().err


def test_an_interrupt_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 130, as shells expect it."""

    def interrupted(_args: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(sim, "run", interrupted)
    assert cli.main(["sim", "serve", "--start", "2024-01-04", "--end", "2024-01-05"]) == 130
    assert capsys.readouterr().err == "g5 sim: interrupted\n"


@pytest.mark.parametrize(
    ("words", "heavy"),
    [
        (["--help"], {"luigi", "numpy", "pyarrow", "requests"}),
        (
            ["status", "--help"],
            {"numba", "pandas", "pipeline.features", "pipeline.api.http.client"},
        ),
        (["check-chunks", "--help"], {"numba", "pandas", "pipeline.features"}),
        (["health", "--help"], {"numba", "pandas", "exchange_calendars", "pipeline.features"}),
    ],
)
def test_a_command_does_not_wait_for_what_it_does_not_use(
    words: list[str], heavy: set[str]
) -> None:
    """Each of them takes longer to import than the command takes to answer."""
    code = (
        "import sys\nfrom pipeline.cli import main\n"
        f"try: main({words!r})\nexcept SystemExit: pass\n"
        f"sys.exit(' '.join(sorted({heavy!r} & sys.modules.keys())) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_task_process_loads_what_its_task_needs() -> None:
    """Fetch, gate and merge compute nothing: neither the compiler nor the catalogue."""
    code = (
        "import sys\n"
        "import pipeline.tasks.merge_dataset, pipeline.tasks.fetch_source, pipeline.tasks.validate_schema\n"
        "heavy = {'numba', 'pandas', 'exchange_calendars', 'pipeline.features'}\n"
        "sys.exit(' '.join(sorted(heavy & sys.modules.keys())) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
