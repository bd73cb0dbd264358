"""The command line of the trials."""

from __future__ import annotations

import sys

import pytest

from tests.crash.__main__ import main


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--only kill", "expected KIND:N"),
        ("--only kill:-1", "expected KIND:N"),
        ("--only bill:1", "expected KIND:N"),
        ("--kills -1", "expected 0 to"),
        ("--kills 0 --disk-full 0 --failing-fs 0 --double-start 0", "no trials"),
        ("--work /there/is/none", "no such folder"),
    ],
)
def test_what_cannot_be_run_is_refused_at_once(
    words: str,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Exit code 2 and the reason, before anything is prepared."""
    monkeypatch.setattr(sys, "argv", ["program", *words.split()])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert said in capsys.readouterr().err.splitlines()[-1]
