"""The command line of the trials."""

from __future__ import annotations

import pytest

from tests.arguments import require_refused
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
    require_refused(main, words, said, monkeypatch, capsys)
