"""The ``g5`` command itself: what it says when it is used wrongly."""

from __future__ import annotations

import pytest

from pipeline import cli
from pipeline.cli import sim


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
